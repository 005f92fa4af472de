// Package relay is erluv_relay: it speaks TLS with a node on behalf of main and the child,
// and nothing else. There is one for each connection with TLS.
//
// It exists because the keys and sequence numbers of a TLS connection live in the process
// that encrypts, so that process must not be the child, whose death the connection
// survives. It runs as nobody, opens no file and no socket, and never sees the cookie:
// the cookie's digests pass through it as all bytes do. What it has is the private key,
// by which this erluv proves itself, and the connection.
//
//	node ══ TCP, TLS ══ relay ── inner stream, a Unix socket ── main, then the child
//
// Main hands over the TCP connection and one end of the inner stream (ipc.StartRelay), and
// keeps a descriptor of either end: with both, and with the relay's counters, main can say
// where the inner stream stands (package ipc/counters).
//
// The relay knows no frames. It reads up to a buffer from one side, writes all of it to the
// other, and reads again, so a side that does not read stops the other. When one side has
// no more to say, the other is told: a close_notify of TLS is a shutdown of the inner
// stream in that direction, and the reverse. When one side fails, the relay says Stopped
// with the reason, shuts the inner stream down and ends.
//
//	relay.go    the role: its conversation with main, and both directions
//	config.go   TLS's configuration
//	conn.go     the TCP connection as crypto/tls wants it
//	words.go    why a handshake has failed, and what helps
package relay
