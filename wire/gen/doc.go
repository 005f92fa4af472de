// Package gen has the terms in which processes of erluv and of a node communicate, as gen(3) and
// its relatives define them.
//
//	ask.go       requests, and how to find one in a frame
//	describe.go  the description of a frame for a log
//	names.go     registered names, and names of nodes with few rights at the control socket
//	pid.go       the pids of erluv
//	term.go      encoded terms: answers, exit reasons, signals, errors
//
// It has no sockets and makes no decisions. Packages childproc, mainproc and others share it.
package gen
