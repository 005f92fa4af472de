// Package dist implements the Erlang distribution protocol for a hidden node: the handshake of both
// sides, the frames, the control messages, the ticks.
//
//	handshake.go  the handshake as the connecting side: Connect
//	accept.go     the handshake as the accepting side: Accept
//	errors.go     the statuses of a handshake, and its errors
//	flags.go      the capabilities of a node
//	frame.go      frames in a stream of bytes
//	op.go         the kinds of control messages and their layouts
//	message.go    Parse: a frame becomes a Message
//	compose.go    frames with control messages and messages
//	ask.go        questions of gen(3) and the I/O protocol, and their answers
//	ticker.go     when a tick is due, and when the peer is gone
//
// It follows the chapter "Distribution Protocol" of the ERTS User's Guide, for OTP 25 and later. It
// has no atom cache, fragments, incoming aliases or remote spawn. Default does not offer them, so
// no peer may send them.
//
// It starts no goroutine, reads no clock and keeps no connection. Connect shakes hands on a
// connection that its caller (erluv_main) has opened. Accept does so on a connection that the other
// node has opened, which is a stranger until it has proved that it knows the cookie. Afterwards the
// connection belongs to the caller again. The caller splits its input into frames with Next, reads
// them with Parse, and writes the frames of the Append functions.
//
// The package does not trust its input. It checks lengths before it allocates memory. It accepts a
// control message only in its exact documented form.
package dist
