// Package tutorial types the sessions of doc/tutorial.md and of README.md into a shell of the
// system and one of Erlang, and compares the answers.
//
//	ERLUV_BIN      the binary to install; built when it is not set
//	TUTORIAL_AS    a user who types it, in a home directory of its own, after root has
//	               typed what is root's: for a machine that has nothing yet
//
// Without TUTORIAL_AS what root types is left out, erluv and its library are installed
// below a temporary directory, and an ordinary user has a home directory there. Ports,
// and the name of the node, are replaced by others in either case, and EPMD is one of
// the test's own.
package tutorial
