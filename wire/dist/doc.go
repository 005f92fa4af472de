// Package dist speaks the Erlang distribution protocol as a hidden node: the handshake
// of both sides, the frames, the control messages, the ticks.
//
// It follows the chapter "Distribution Protocol" of the ERTS User's Guide, for
// OTP 25 and later, without atom cache, fragments, incoming aliases and remote spawn: the
// node's flags in Default promise none of them, so no peer may send them.
//
// It starts no goroutine, reads no clock and keeps no connection. Connect shakes
// hands on a connection that its caller (erluv_main) has opened, Accept on one that the
// other node has opened, which is a stranger until it has proved that it knows the cookie.
// After that the connection belongs to the caller again, who cuts what it reads into frames with
// Next, understands them with Parse and writes what the Append functions compose.
// What arrives is not trusted: lengths are checked before anything is allocated,
// and a control message is taken exactly as it is documented or not at all.
package dist
