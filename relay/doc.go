// Package relay is erluv_relay: it speaks TLS with a node for main and the child, and nothing else.
// Each connection with TLS has a relay.
//
// The process that encrypts has the keys and sequence numbers of a TLS connection. The connection
// survives the child's death, so that process cannot be the child. The relay runs as nobody, opens
// no file and no socket, and never sees the cookie. Only the cookie's digests pass through it, like
// all bytes. It has the connection, and the private key that identifies this erluv.
//
//	node ══ TCP, TLS ══ relay ── inner stream, a Unix socket ── main, then the child
//
// Main hands over the TCP connection and one end of the inner stream (ipc.StartRelay), and keeps a
// descriptor of either end. With both, and with the relay's counters, main knows the position of
// the inner stream (package ipc/counters).
//
// The relay knows no frames. It reads up to a buffer from one side, writes all of it to the other,
// and reads again. So a side that does not read stops the other one. The relay passes on the end of
// each direction: a close_notify of TLS becomes a shutdown of the inner stream, and the reverse.
// When one side fails, the relay sends Stopped with the reason, shuts the inner stream down and
// ends.
//
//	relay.go    the role: its conversation with main, and both directions
//	config.go   TLS's configuration
//	conn.go     the TCP connection, for crypto/tls, and the inner stream
//	words.go    why a handshake has failed, and the remedy
package relay
