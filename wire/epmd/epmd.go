package epmd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	namesReq       = 110 // 'n'
	portPlease2Req = 122 // 'z'
	port2Resp      = 119 // 'w'
)

const (
	// maxName bounds a node's name in bytes: an atom has at most 255 characters of up to four
	// bytes.
	maxName = 4 * 255

	// maxNames bounds the list of all names, in bytes. The daemon keeps as many nodes as it has
	// descriptors, and a line has some 40 bytes.
	maxNames = 1 << 20
)

// ErrUnknown says that EPMD is running and has no node of that name.
var ErrUnknown = errors.New("no node of that name is registered")

// A Node is EPMD's entry of a registered node.
type Node struct {
	Port        uint16 // the TCP port of its distribution listener, not zero
	LowVersion  uint16 // the oldest distribution handshake that it supports
	HighVersion uint16 // the newest one
}

// Speaks reports whether the node supports the given version of the handshake: 6 since OTP 23.
func (n Node) Speaks(version uint16) bool {
	return n.LowVersion <= version && version <= n.HighVersion
}

// Lookup asks the EPMD at addr, a host:port, for the node registered as name. The name is the part
// of a node's name before the @. If there is none, errors.Is(err, ErrUnknown) holds.
func Lookup(ctx context.Context, addr, name string) (Node, error) {
	if err := checkName(name); err != nil {
		return Node{}, fmt.Errorf("cannot ask EPMD for %.80q: %w", name, err)
	}
	var node Node
	err := ask(ctx, addr, append([]byte{portPlease2Req}, name...), func(r io.Reader) (err error) {
		node, err = readPort2(r, name)
		return err
	})
	switch {
	case errors.Is(err, ErrUnknown):
		return Node{}, fmt.Errorf("cannot find node %q: %w with the EPMD at %s: is it running, and under that name?", name, ErrUnknown, addr)
	case err != nil:
		return Node{}, fmt.Errorf("cannot find node %q: %w", name, err)
	}
	return node, nil
}

func checkName(name string) error {
	switch {
	case name == "" || strings.ContainsRune(name, '@'):
		return errors.New("a name is what stands before the @ of a node's name")
	case len(name) > maxName:
		return fmt.Errorf("it has %d bytes, and no atom has more than %d", len(name), maxName)
	}
	return nil
}

// readPort2 reads a PORT2_RESP: 119, result:8 and, when the result is zero, port:16 type:8
// protocol:8 highest:16 lowest:16 nlen:16 name. The extra field after the name has no use and is
// left unread.
func readPort2(r io.Reader, name string) (Node, error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return Node{}, err
	}
	if head[0] != port2Resp {
		return Node{}, fmt.Errorf("an answer of type %d instead of %d", head[0], port2Resp)
	}
	if head[1] != 0 {
		return Node{}, ErrUnknown
	}
	if _, err := io.ReadFull(r, head[2:]); err != nil {
		return Node{}, err
	}
	node := Node{
		Port:        binary.BigEndian.Uint16(head[2:]),
		HighVersion: binary.BigEndian.Uint16(head[6:]),
		LowVersion:  binary.BigEndian.Uint16(head[8:]),
	}
	if protocol := head[5]; protocol != 0 {
		return Node{}, fmt.Errorf("the node listens on protocol %d, only 0 (TCP) is known", protocol)
	}
	if node.Port == 0 {
		return Node{}, errors.New("port 0 in the answer")
	}
	n := int(binary.BigEndian.Uint16(head[10:]))
	if n != len(name) {
		return Node{}, errors.New("the answer is about another node")
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(r, got); err != nil {
		return Node{}, err
	}
	if string(got) != name {
		return Node{}, errors.New("the answer is about another node")
	}
	return node, nil
}

// ask connects to addr, sends one request and has the function answer read the reply.
func ask(ctx context.Context, addr string, req []byte, answer func(io.Reader) error) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	return askOn(ctx, conn, addr, req, answer)
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		return nil, fmt.Errorf("cannot find the host of the EPMD at %s: is its name right? (%w)", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("no EPMD at %s: is an Erlang node running there? (%w)", addr, err)
	}
	return conn, nil
}

// askOn sends one request on conn and has the function answer read the reply.
func askOn(ctx context.Context, conn net.Conn, addr string, req []byte, answer func(io.Reader) error) error {
	// A deadline in the past ends a pending read or write. The context reaches them in this way
	// when it expires or is cancelled.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	msg := binary.BigEndian.AppendUint16(nil, uint16(len(req)))
	_, err := conn.Write(append(msg, req...))
	if err == nil {
		err = answer(conn)
	}
	inTime := stop()
	switch {
	case err == nil && inTime || errors.Is(err, ErrUnknown) || errors.Is(err, ErrTaken):
		return err
	case !inTime:
		return fmt.Errorf("whoever listens at %s did not answer in time: is it an EPMD? (%w)", addr, context.Cause(ctx))
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("whoever listens at %s ended the connection before it had answered: is it an EPMD?", addr)
	}
	return fmt.Errorf("whoever listens at %s does not answer as an EPMD: %w", addr, err)
}
