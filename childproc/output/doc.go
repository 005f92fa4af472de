// Package output is what the output of a program goes through on its way from the pipe to
// the frames of a node.
package output
