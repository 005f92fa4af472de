// Package tutorial types the sessions of doc/tutorial.md and README.md into a system shell and an
// Erlang shell, and compares the output.
//
//	ERLUV_BIN      the binary to install; built when it is not set
//	TUTORIAL_AS    a user who types it, in a home directory of its own, after root has
//	               typed root's commands: for a machine that has nothing yet
//
// Without TUTORIAL_AS the test leaves out root's commands. It installs erluv and its library below
// a temporary directory, where an ordinary user has a home directory. In either case it replaces
// the ports and the name of the node, and starts an EPMD of its own.
package tutorial
