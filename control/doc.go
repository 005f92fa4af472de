// Package control is the control socket, a Unix socket for the administrators of an erluv on its
// machine. Main listens on it; commands of erluv find it and connect. They speak the distribution
// protocol on it, which this package does not know.
//
// The kernel identifies the other side (unix(7), SO_PEERCRED). Only root and main's own user may
// connect. So the cookie there proves nothing, and is a public constant.
//
//	place.go    the directories of control sockets, and the sockets in them
//	listen.go   makes and removes a socket
//	peer.go     the process at the other end
package control
