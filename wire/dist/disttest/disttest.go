// Package disttest plays both sides of a handshake, for tests. A Node accepts connections from
// dist.Connect, and a Caller connects to dist.Accept. Each can do any step rightly or wrongly.
//
// It shares no code with the sides that it tests.
package disttest

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"erluv/wire/dist"
)

// OTP27 is the capabilities that a node of OTP 27 sends.
const OTP27 dist.Flags = 0xd07df7fbd

// A Node plays the accepting side. With only Name and Cookie it is a well-behaved node.
type Node struct {
	Name      string
	Cookie    string
	Flags     dist.Flags // 0: OTP27
	Creation  uint32
	Challenge uint32
	Status    string // "": ok

	// Misbehaviour: each adds something to a node's behaviour.
	AfterName []byte // sent in the challenge after the name, as later versions may do
	AckDigest []byte // sent as the proof of the cookie instead of the right one
	AfterAck  []byte // sent in one write with the proof: the first frames
}

// A Client is the connecting side as it presents itself.
type Client struct {
	Name     string
	Flags    dist.Flags
	Creation uint32
	Answer   string // to the status alive: true or false
}

// ErrDigest says that the connecting side does not know the cookie. A node then ends the connection
// without a message.
var ErrDigest = fmt.Errorf("disttest: the other side has another cookie")

// Accept shakes hands on conn until the connection is up, and then returns no error. It also stops
// at a status that ends the handshake, or if the other side's proof is wrong. The caller closes
// conn.
func (n Node) Accept(conn net.Conn) (Client, error) {
	var c Client
	m, err := read(conn)
	if err != nil {
		return c, err
	}
	if len(m) < 15 || m[0] != 'N' || len(m) != 15+int(binary.BigEndian.Uint16(m[13:])) {
		return c, fmt.Errorf("disttest: a name was expected, not %q", m)
	}
	c = Client{
		Name:     string(m[15:]),
		Flags:    dist.Flags(binary.BigEndian.Uint64(m[1:])),
		Creation: binary.BigEndian.Uint32(m[9:]),
	}
	if done, err := n.status(conn, &c); done || err != nil {
		return c, err
	}
	if err := write(conn, n.challenge(), nil); err != nil {
		return c, err
	}
	if m, err = read(conn); err != nil {
		return c, err
	}
	if len(m) != 21 || m[0] != 'r' {
		return c, fmt.Errorf("disttest: a digest was expected, not %q", m)
	}
	if string(m[5:]) != string(n.digest(n.Challenge)) {
		return c, ErrDigest
	}
	digest := n.AckDigest
	if digest == nil {
		digest = n.digest(binary.BigEndian.Uint32(m[1:]))
	}
	return c, write(conn, append([]byte{'a'}, digest...), n.AfterAck)
}

// status sends the status and reports whether it ends the handshake.
func (n Node) status(conn net.Conn, c *Client) (done bool, err error) {
	status := n.Status
	if status == "" {
		status = "ok"
	}
	if err := write(conn, append([]byte{'s'}, status...), nil); err != nil {
		return true, err
	}
	switch status {
	case "ok", "ok_simultaneous":
		return false, nil
	case dist.StatusAlive:
		m, err := read(conn)
		if err != nil {
			return true, err
		}
		if m[0] != 's' {
			return true, fmt.Errorf("disttest: true or false was expected, not %q", m)
		}
		c.Answer = string(m[1:])
		return c.Answer != "true", nil
	}
	return true, nil
}

func (n Node) challenge() []byte {
	flags := n.Flags
	if flags == 0 {
		flags = OTP27
	}
	m := binary.BigEndian.AppendUint64([]byte{'N'}, uint64(flags))
	m = binary.BigEndian.AppendUint32(m, n.Challenge)
	m = binary.BigEndian.AppendUint32(m, n.Creation)
	m = binary.BigEndian.AppendUint16(m, uint16(len(n.Name)))
	return append(append(m, n.Name...), n.AfterName...)
}

func (n Node) digest(challenge uint32) []byte {
	sum := md5.Sum(fmt.Appendf(nil, "%s%d", n.Cookie, challenge))
	return sum[:]
}

func read(conn net.Conn) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	m := make([]byte, binary.BigEndian.Uint16(head[:]))
	if len(m) == 0 {
		return nil, fmt.Errorf("disttest: an empty message")
	}
	_, err := io.ReadFull(conn, m)
	return m, err
}

func write(conn net.Conn, m, after []byte) error {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(m)))
	_, err := conn.Write(append(append(b, m...), after...))
	return err
}
