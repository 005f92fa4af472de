package disttest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"erluv/wire/dist"
)

// A Caller plays the connecting side against dist.Accept. With only Name and Cookie it is a
// well-behaved node.
type Caller struct {
	Name      string
	Cookie    string
	Flags     dist.Flags // 0: OTP27
	Creation  uint32
	Challenge uint32
	Answer    string // to the status alive; "": true

	// Misbehaviour, as in Node.
	AfterName   []byte
	ReplyDigest []byte
	AfterReply  []byte // sent in one write with the proof
}

// A Host is the accepting side as it presents itself.
type Host struct {
	Status    string
	Name      string
	Flags     dist.Flags
	Creation  uint32
	Challenge uint32
}

// Connect shakes hands on conn until the connection is up, and then returns no error. It also stops
// at a status that ends the handshake, or if the other side's proof is wrong. The caller closes
// conn.
func (c Caller) Connect(conn net.Conn) (Host, error) {
	var h Host
	if err := write(conn, c.greeting(), nil); err != nil {
		return h, err
	}
	m, err := read(conn)
	if err != nil {
		return h, err
	}
	if m[0] != 's' {
		return h, fmt.Errorf("disttest: a status was expected, not %q", m)
	}
	switch h.Status = string(m[1:]); h.Status {
	case "ok", "ok_simultaneous":
	case "alive":
		answer := c.Answer
		if answer == "" {
			answer = "true"
		}
		if err := write(conn, []byte("s"+answer), nil); err != nil || answer != "true" {
			return h, err
		}
	default:
		return h, nil
	}
	if m, err = read(conn); err != nil {
		return h, err
	}
	if len(m) < 19 || m[0] != 'N' || len(m) != 19+int(binary.BigEndian.Uint16(m[17:])) {
		return h, fmt.Errorf("disttest: a challenge was expected, not %q", m)
	}
	h.Name = string(m[19:])
	h.Flags = dist.Flags(binary.BigEndian.Uint64(m[1:]))
	h.Creation = binary.BigEndian.Uint32(m[13:])
	h.Challenge = binary.BigEndian.Uint32(m[9:])
	return h, c.prove(conn, h.Challenge)
}

func (c Caller) greeting() []byte {
	flags := c.Flags
	if flags == 0 {
		flags = OTP27
	}
	m := binary.BigEndian.AppendUint64([]byte{'N'}, uint64(flags))
	m = binary.BigEndian.AppendUint32(m, c.Creation)
	m = binary.BigEndian.AppendUint16(m, uint16(len(c.Name)))
	return append(append(m, c.Name...), c.AfterName...)
}

// prove answers the challenge, and checks the answer to its own challenge.
func (c Caller) prove(conn net.Conn, challenge uint32) error {
	mine := Node{Cookie: c.Cookie}
	digest := c.ReplyDigest
	if digest == nil {
		digest = mine.digest(challenge)
	}
	m := binary.BigEndian.AppendUint32([]byte{'r'}, c.Challenge)
	if err := write(conn, append(m, digest...), c.AfterReply); err != nil {
		return err
	}
	m, err := read(conn)
	if err == io.EOF {
		return ErrDigest
	}
	if err != nil {
		return err
	}
	if len(m) != 17 || m[0] != 'a' || string(m[1:]) != string(mine.digest(c.Challenge)) {
		return fmt.Errorf("disttest: a proof was expected, not %q", m)
	}
	return nil
}
