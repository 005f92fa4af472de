package dist

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Version is the version of the handshake that Connect and Accept support, as EPMD reports it for a
// node: 6, since OTP 23.
const Version = 6

const (
	// maxNodeName bounds a node's name in bytes: an atom has at most 255 characters of up to four
	// bytes.
	maxNodeName = 4 * 255

	// maxHandshake bounds a message of the handshake. The longest is the challenge, 19 bytes and a
	// name. The rest is room for additions of a later OTP after the name.
	maxHandshake = 4096
)

// Local is this node as it presents itself.
type Local struct {
	Name     string // name@host, not in use by another connection of the peer
	Creation uint32 // not zero, and different for each incarnation of the name
	Cookie   string // its bytes, as in the cookie file
	Flags    Flags  // usually Default

	// TLS says that the connection goes through TLS. There every length of the handshake has 32
	// bits instead of 16.
	TLS bool
}

// Peer is the other node as it presents itself.
type Peer struct {
	Name     string
	Flags    Flags // including those that a digest flag stands for
	Creation uint32
}

// Connect shakes hands with the node peerName on conn, as the side that has opened the connection,
// in version 6. Without a peerName it accepts any node. Then the caller has other means to identify
// it.
//
// It reads exactly the handshake: the next byte on conn is the first one of a frame. If ctx ends
// before the handshake does, it fails. After any error conn is useless, and its owner closes it.
// Connect leaves no deadline on conn.
//
// Two errors have a remedy of their own: *Refused and ErrCookie.
func Connect(ctx context.Context, conn net.Conn, local Local, peerName string) (Peer, error) {
	if err := checkLocal(local); err != nil {
		return Peer{}, fmt.Errorf("cannot connect as %q: %w", local.Name, err)
	}
	any := peerName == ""
	if any {
		peerName = "the node"
	} else if err := checkName(peerName); err != nil {
		return Peer{}, fmt.Errorf("cannot connect to %q: %w", peerName, err)
	}
	if local.Name == peerName {
		return Peer{}, fmt.Errorf("cannot connect to %q: that is our own name", peerName)
	}
	// A deadline in the past ends a pending read or write. The context reaches them in this way
	// when it expires or is cancelled.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	h := handshake{conn: conn, local: local, peerName: peerName, any: any}
	peer, err := h.run()
	if !stop() {
		return Peer{}, fmt.Errorf("the handshake with %s did not end in time, at %s: is it a distribution port, "+
			"and is the node not stopped? (%w)", peerName, h.step, context.Cause(ctx))
	}
	var refused *Refused
	switch {
	case err == nil:
		return peer, nil
	case errors.As(err, &refused):
		return Peer{}, err
	case errors.Is(err, ErrCookie):
		return Peer{}, fmt.Errorf("cannot authenticate with %s: %w", peerName, err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET):
		return Peer{}, fmt.Errorf("cannot shake hands with %s: it ended the connection at %s: its log may say why, "+
			"or it is no Erlang node of OTP 23 or later", peerName, h.step)
	}
	return Peer{}, fmt.Errorf("cannot shake hands with %s: at %s: %w", peerName, h.step, err)
}

// handshake is one handshake in progress. It owns nothing: conn belongs to its caller.
type handshake struct {
	conn     net.Conn
	local    Local
	peerName string
	any      bool   // accept any name of the peer
	step     string // the present step, for errors
}

func (h *handshake) run() (Peer, error) {
	h.step = "sending our name"
	if err := h.sendName(); err != nil {
		return Peer{}, err
	}
	h.step = "the answer to our name"
	if err := h.recvStatus(); err != nil {
		return Peer{}, err
	}
	h.step = "its challenge"
	peer, challenge, err := h.recvChallenge()
	if err != nil {
		return Peer{}, err
	}
	h.step = "answering its challenge"
	own, err := h.sendReply(challenge)
	if err != nil {
		return Peer{}, err
	}
	h.step = "the answer to our challenge"
	return peer, h.recvAck(own)
}

// sendName sends 'N' flags:64 creation:32 nlen:16 name.
func (h *handshake) sendName() error {
	m := []byte{'N'}
	m = binary.BigEndian.AppendUint64(m, uint64(h.local.Flags))
	m = binary.BigEndian.AppendUint32(m, h.local.Creation)
	m = binary.BigEndian.AppendUint16(m, uint16(len(h.local.Name)))
	return h.send(append(m, h.local.Name...))
}

// recvStatus reads 's' and a status. It returns an error for each status that ends the handshake.
func (h *handshake) recvStatus() error {
	m, err := h.recv('s', maxHandshake)
	if err != nil {
		return err
	}
	switch status := string(m); status {
	case StatusOK, StatusOKSimultaneous:
		return nil
	case StatusAlive:
		// The peer waits for the decision on the old connection. This side may not end that one.
		// The peer need not receive the answer.
		_ = h.send([]byte("sfalse"))
		fallthrough
	case StatusNotOK, StatusNotAllowed:
		return &Refused{Status: status, Local: h.local.Name, Peer: h.peerName}
	default:
		if strings.HasPrefix(status, "named:") {
			return errors.New("it wants to name us, which we did not ask for")
		}
		return fmt.Errorf("it answers with the unknown status %.40q", status)
	}
}

// recvChallenge reads 'N' flags:64 challenge:32 creation:32 nlen:16 name. Bytes after the name
// belong to later versions, and are ignored.
func (h *handshake) recvChallenge() (Peer, uint32, error) {
	m, err := h.recv('N', maxHandshake)
	if err != nil {
		return Peer{}, 0, err
	}
	if len(m) < 18 || len(m) < 18+int(binary.BigEndian.Uint16(m[16:])) {
		return Peer{}, 0, fmt.Errorf("a challenge of only %d bytes", len(m))
	}
	peer := Peer{
		Name:     string(m[18 : 18+int(binary.BigEndian.Uint16(m[16:]))]),
		Flags:    Flags(binary.BigEndian.Uint64(m)).expand(),
		Creation: binary.BigEndian.Uint32(m[12:]),
	}
	if h.any {
		if err := checkName(peer.Name); err != nil {
			return Peer{}, 0, fmt.Errorf("the node there calls itself %.80q: %w", peer.Name, err)
		}
	} else if peer.Name != h.peerName {
		return Peer{}, 0, fmt.Errorf("the node there calls itself %.80q: connect to it by that name", peer.Name)
	}
	if missing := needed &^ peer.Flags; missing != 0 {
		return Peer{}, 0, fmt.Errorf("it lacks the capabilities %v: a node of OTP 25 or later is needed", missing)
	}
	return peer, binary.BigEndian.Uint32(m[8:]), nil
}

// sendReply sends 'r' challenge:32 digest:128 and returns its own challenge.
func (h *handshake) sendReply(challenge uint32) (own uint32, err error) {
	own = drawChallenge()
	sum := digest(h.local.Cookie, challenge)
	m := binary.BigEndian.AppendUint32([]byte{'r'}, own)
	return own, h.send(append(m, sum[:]...))
}

func drawChallenge() uint32 {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails, see its document
	return binary.BigEndian.Uint32(random[:])
}

// recvAck reads 'a' digest:128. A node with a different cookie ends the connection instead and logs
// "Connection attempt from node ... rejected".
func (h *handshake) recvAck(own uint32) error {
	m, err := h.recv('a', maxHandshake)
	if err == io.EOF || errors.Is(err, syscall.ECONNRESET) {
		return ErrCookie
	}
	if err != nil {
		return err
	}
	want := digest(h.local.Cookie, own)
	if len(m) != len(want) {
		return fmt.Errorf("a digest of %d bytes instead of %d", len(m), len(want))
	}
	if subtle.ConstantTimeCompare(m, want[:]) != 1 {
		return ErrCookie
	}
	return nil
}

func (h *handshake) send(m []byte) error {
	var head []byte
	if h.local.TLS {
		head = binary.BigEndian.AppendUint32(head, uint32(len(m)))
	} else {
		head = binary.BigEndian.AppendUint16(head, uint16(len(m)))
	}
	_, err := h.conn.Write(append(head, m...))
	return err
}

// recv reads one message of at most limit bytes with its length before it. It checks its tag and
// returns the bytes after the tag. It returns io.EOF only if no byte has come.
func (h *handshake) recv(tag byte, limit int) ([]byte, error) {
	var room [4]byte // the length; one of 16 bits is in the second half
	head := room[:]
	if !h.local.TLS {
		head = room[2:]
	}
	if _, err := io.ReadFull(h.conn, head); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(room[:]))
	if n <= 0 || n > limit { // negative where an int has 32 bits
		return nil, &lengthError{n, limit}
	}
	m := make([]byte, n)
	if _, err := io.ReadFull(h.conn, m); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if m[0] != tag {
		return nil, fmt.Errorf("a message of type %q instead of %q", m[0], tag)
	}
	return m[1:], nil
}

// digest proves knowledge of the cookie. It is the MD5 sum of the cookie and of the challenge in
// decimal digits.
func digest(cookie string, challenge uint32) [md5.Size]byte {
	return md5.Sum(strconv.AppendUint([]byte(cookie), uint64(challenge), 10))
}

func checkLocal(local Local) error {
	if local.Creation == 0 {
		return errors.New("creation 0 means that none was drawn")
	}
	if local.Cookie == "" {
		return errors.New("the cookie is empty")
	}
	return checkName(local.Name)
}

func checkName(name string) error {
	alive, host, _ := strings.Cut(name, "@")
	if alive == "" || host == "" || strings.Contains(host, "@") {
		return errors.New("a node's name has the form name@host")
	}
	if len(name) > maxNodeName {
		return fmt.Errorf("a name of %d bytes is longer than the %d of the longest atom", len(name), maxNodeName)
	}
	return nil
}
