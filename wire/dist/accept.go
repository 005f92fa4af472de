package dist

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// These are the longest messages that the connecting side may send. Together with their lengths
// they take less than 4,096 bytes, so a stranger gets no more memory.
const (
	// maxGreeting bounds the first message, 15 bytes and a name. The rest is room for additions of
	// a later OTP after the name.
	maxGreeting = 2048

	maxAnswer = len("sfalse") // to the status alive
	maxReply  = 1 + 4 + 16    // tag, challenge, digest
)

// maxAtom is the length of the longest atom in characters.
const maxAtom = 255

// Accept shakes hands on conn as the side that has accepted the connection, in version 6.
//
// Accept calls decide once, with the name that the peer has sent, and sends the status that decide
// returns:
//   - [StatusOK];
//   - [StatusOKSimultaneous], if the caller gives up an attempt of its own;
//   - [StatusAlive], if a node of that name is already connected;
//   - [StatusNotOK] or [StatusNotAllowed], which end the handshake with a [*Declined].
//
// At that moment the peer has proved nothing, since every stranger can send any name. So decide
// must not end the old connection of an alive node. A pending handshake must not keep out the real
// node of that name. If Accept returns without an error, the peer knows the cookie. Then the caller
// closes an old connection of the same name.
//
// Accept reads exactly the handshake, and at most 4,096 bytes. The next byte on conn is the first
// one of a frame. It gives up when ctx ends, so the caller bounds the time. After an error the
// owner of conn closes it. Accept leaves no deadline on conn.
func Accept(ctx context.Context, conn net.Conn, local Local, decide func(Peer) (status string)) (Peer, error) {
	if err := checkLocal(local); err != nil {
		return Peer{}, fmt.Errorf("cannot accept connections as %q: %w", local.Name, err)
	}
	// See Connect.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	h := handshake{conn: conn, local: local}
	peer, err := h.accept(decide)
	from := "a connection"
	if h.peerName != "" {
		from = fmt.Sprintf("the connection of %.80q", h.peerName)
	}
	if !stop() {
		return Peer{}, fmt.Errorf("cannot accept %s: it fell silent before %s (%w)", from, h.step, context.Cause(ctx))
	}
	var declined *Declined
	switch {
	case err == nil:
		return peer, nil
	case errors.As(err, &declined):
		return Peer{}, err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE):
		return Peer{}, fmt.Errorf("cannot accept %s: it ended before %s", from, h.step)
	}
	return Peer{}, fmt.Errorf("cannot accept %s: %w", from, err)
}

func (h *handshake) accept(decide func(Peer) string) (Peer, error) {
	h.step = "its name"
	peer, err := h.recvName()
	if err != nil {
		return Peer{}, err
	}
	h.step = "the answer to its name was sent"
	if err := h.checkCaller(peer); err != nil {
		_ = h.sendStatus(StatusNotAllowed) // the first error matters
		return Peer{}, err
	}
	if err := h.answer(decide(peer)); err != nil {
		return Peer{}, err
	}
	h.step = "its answer to our challenge"
	own := drawChallenge()
	if err := h.sendChallenge(own); err != nil {
		return Peer{}, err
	}
	challenge, err := h.recvReply(own)
	if err != nil {
		return Peer{}, err
	}
	sum := digest(h.local.Cookie, challenge)
	return peer, h.send(append([]byte{'a'}, sum[:]...))
}

// recvName reads 'N' flags:64 creation:32 nlen:16 name. Bytes after the name belong to later
// versions, and are ignored.
func (h *handshake) recvName() (Peer, error) {
	m, err := h.recv('N', maxGreeting)
	if err != nil {
		return Peer{}, err
	}
	if len(m) < 14 || len(m) < 14+int(binary.BigEndian.Uint16(m[12:])) {
		return Peer{}, fmt.Errorf("a name in a message of only %d bytes", 1+len(m))
	}
	peer := Peer{
		Name:     string(m[14 : 14+int(binary.BigEndian.Uint16(m[12:]))]),
		Flags:    Flags(binary.BigEndian.Uint64(m)).expand(),
		Creation: binary.BigEndian.Uint32(m[8:]),
	}
	h.peerName = peer.Name
	return peer, nil
}

// checkCaller refuses a peer that cannot be a node, before decide is called.
func (h *handshake) checkCaller(peer Peer) error {
	if peer.Flags&FlagNameMe != 0 {
		return errors.New("it wants to be given a name (-sname undefined), which only a node of OTP does")
	}
	if err := checkName(peer.Name); err != nil {
		return err
	}
	// The name becomes an atom in all pids of the node. OTP encodes it in Latin-1
	// here and in UTF-8 there, and accepts only letters, digits, _ and - before the @.
	if strings.ContainsFunc(peer.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("a name with characters other than the printable ones of ASCII")
	}
	if len(peer.Name) > maxAtom {
		return fmt.Errorf("a name of %d characters is longer than the longest atom, %d", len(peer.Name), maxAtom)
	}
	if peer.Name == h.local.Name {
		return errors.New("that is our own name: give one of the two another one")
	}
	if missing := needed &^ peer.Flags; missing != 0 {
		return fmt.Errorf("it lacks the capabilities %v: a node of OTP 25 or later is needed", missing)
	}
	return nil
}

// answer sends the status. It returns an error for each status that ends the handshake.
func (h *handshake) answer(status string) error {
	switch status {
	case StatusOK, StatusOKSimultaneous:
		return h.sendStatus(status)
	case StatusNotOK, StatusNotAllowed:
		_ = h.sendStatus(status) // the peer is declined even if it does not receive this
		return &Declined{Status: status, Peer: h.peerName}
	case StatusAlive:
		if err := h.sendStatus(status); err != nil {
			return err
		}
		h.step = "the answer whether the old connection is given up"
		m, err := h.recv('s', maxAnswer)
		if err != nil {
			return err
		}
		switch string(m) {
		case "true":
			return nil
		case "false":
			return &Declined{Status: status, Peer: h.peerName}
		}
		return fmt.Errorf("it answers the status alive with %q", m)
	}
	return fmt.Errorf("%q is no status to answer with", status)
}

// sendStatus sends 's' and a status.
func (h *handshake) sendStatus(status string) error { return h.send([]byte("s" + status)) }

// sendChallenge sends 'N' flags:64 challenge:32 creation:32 nlen:16 name.
func (h *handshake) sendChallenge(challenge uint32) error {
	m := []byte{'N'}
	m = binary.BigEndian.AppendUint64(m, uint64(h.local.Flags))
	m = binary.BigEndian.AppendUint32(m, challenge)
	m = binary.BigEndian.AppendUint32(m, h.local.Creation)
	m = binary.BigEndian.AppendUint16(m, uint16(len(h.local.Name)))
	return h.send(append(m, h.local.Name...))
}

// recvReply reads 'r' challenge:32 digest:128 and returns the peer's challenge.
func (h *handshake) recvReply(own uint32) (challenge uint32, err error) {
	m, err := h.recv('r', maxReply)
	if err != nil {
		return 0, err
	}
	want := digest(h.local.Cookie, own)
	if len(m) != 4+len(want) {
		return 0, fmt.Errorf("a digest of %d bytes instead of %d", max(len(m)-4, 0), len(want))
	}
	if subtle.ConstantTimeCompare(m[4:], want[:]) != 1 {
		return 0, ErrCookie
	}
	return binary.BigEndian.Uint32(m), nil
}

// Simultaneous returns the status for a node that connects while the caller's own attempt to
// connect to it is pending. The node with the greater name keeps its attempt. With
// [StatusOKSimultaneous] the caller gives up its own.
func Simultaneous(local, peer string) (status string) {
	if local > peer {
		return StatusNotOK
	}
	return StatusOKSimultaneous
}
