package epmd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"unicode/utf8"
)

const (
	alive2Req   = 120 // 'x'
	alive2XResp = 118 // 'v', for a node that speaks version 6
	alive2Resp  = 121 // 'y', of the EPMD of OTP 22 and older, with a short creation

	typeHidden  = 72 // 'H'
	protocolTCP = 0
	version     = 6 // of the handshake, since OTP 23: the lowest and the highest

	// maxChars bounds a name in characters: an atom has 255, of which the @ and the host take two.
	// EPMD registers names of up to 255 characters, but does not find a name of 255 again. It
	// refuses longer names as if they were taken.
	maxChars = 253
)

// ErrTaken says that EPMD knows another node of that name. That node may have ended a moment ago:
// EPMD forgets it when it reads the end of its connection.
var ErrTaken = errors.New("a node of that name is registered")

// A Registration is a name that EPMD knows until Close, or until EPMD itself ends.
// Its owner calls Close.
type Registration struct {
	// Creation is EPMD's proposal: the clock's seconds at the first registration of a name, and one
	// more at each further one. The node may use another creation.
	Creation uint32

	conn net.Conn
}

// Register registers a hidden node that listens at port with the EPMD at addr, a host:port. The
// name is the part of its name before the @. If another node has the name, errors.Is(err, ErrTaken)
// holds.
//
// EPMD accepts registrations only from its own machine, so addr is one of this machine's.
func Register(ctx context.Context, addr, name string, port uint16) (*Registration, error) {
	return register(ctx, dial, addr, name, port)
}

type dialFunc = func(ctx context.Context, addr string) (net.Conn, error)

func register(ctx context.Context, dial dialFunc, addr, name string, port uint16) (*Registration, error) {
	if err := checkRegistered(name, port); err != nil {
		return nil, fmt.Errorf("cannot register %.80q with EPMD: %w", name, err)
	}
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("cannot register %q: %w", name, err)
	}
	r := &Registration{conn: conn}
	err = askOn(ctx, conn, addr, aliveRequest(name, port), func(from io.Reader) (err error) {
		r.Creation, err = readAlive(from)
		return err
	})
	if err == nil {
		return r, nil
	}
	conn.Close()
	if errors.Is(err, ErrTaken) {
		return nil, fmt.Errorf("cannot register %q: %w with the EPMD at %s: choose another name, or end that node", name, ErrTaken, addr)
	}
	return nil, fmt.Errorf("cannot register %q: %w", name, err)
}

func checkRegistered(name string, port uint16) error {
	if err := checkName(name); err != nil {
		return err
	}
	switch {
	case port == 0:
		return errors.New("port 0 is none that a node listens at")
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return errors.New("it is no text in UTF-8")
	case utf8.RuneCountInString(name) > maxChars:
		return fmt.Errorf("it has %d characters, and no node's name has more than %d before the @", utf8.RuneCountInString(name), maxChars)
	}
	return nil
}

// aliveRequest makes an ALIVE2_REQ: 120, port:16 type:8 protocol:8 highest:16 lowest:16 nlen:16
// name elen:16 extra, here without extra.
func aliveRequest(name string, port uint16) []byte {
	b := binary.BigEndian.AppendUint16([]byte{alive2Req}, port)
	b = append(b, typeHidden, protocolTCP)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return append(append(b, name...), 0, 0)
}

// readAlive reads an ALIVE2_X_RESP, 118 result:8 creation:32, or an ALIVE2_RESP, 121 result:8
// creation:16, to the last byte. A refusal has a creation too, and EPMD leaves the connection open
// in either case.
func readAlive(r io.Reader) (creation uint32, err error) {
	var b [6]byte
	if _, err := io.ReadFull(r, b[:4]); err != nil {
		return 0, err
	}
	switch b[0] {
	case alive2XResp:
		if _, err := io.ReadFull(r, b[4:]); err != nil {
			return 0, err
		}
		creation = binary.BigEndian.Uint32(b[2:])
	case alive2Resp:
		creation = uint32(binary.BigEndian.Uint16(b[2:]))
	default:
		return 0, fmt.Errorf("an answer of type %d instead of %d or %d", b[0], alive2XResp, alive2Resp)
	}
	if b[1] != 0 {
		return 0, ErrTaken
	}
	return creation, nil
}

// Wait returns when the registration has ended, because EPMD ended or after Close.
func (r *Registration) Wait() {
	// EPMD sends nothing more, so an unexpected byte means an end too.
	_, _ = r.conn.Read(make([]byte, 1))
}

// Close ends the registration.
func (r *Registration) Close() { r.conn.Close() }
