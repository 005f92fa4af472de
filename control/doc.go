// Package control is the control socket: a Unix socket by which those who administer an erluv
// speak with it on its machine, and no one else. Main listens at it; commands of erluv find it and
// connect. What is spoken on it is the distribution protocol, which this package knows nothing of.
//
// Who may connect is decided by the kernel's word for the other side (unix(7), SO_PEERCRED):
// root and the user whom main runs as. So the cookie proves nothing there, and is a word that
// everyone knows.
//
//	place.go    where control sockets are, and which there are
//	listen.go   one is made, and removed
//	peer.go     who has the other end
package control
