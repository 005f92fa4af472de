package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"erluv/config"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

const (
	// relayRate is how many relays are started in a second for nodes that connect. Before that a
	// burst of half the maximum is possible. Each relay is a process, and a guest has proved
	// nothing yet. Of mostWaiting guests the last waits for 3.2 s, less than setupBound. The first
	// from another address waits for 0.1 s.
	relayRate   = 20
	mostWaiting = 64

	// tlsHandshake is the first byte of TLS (RFC 8446, 5.1). Without TLS a node's first message
	// begins with its length, whose first byte is smaller.
	tlsHandshake = 0x16
)

// Secure is for a door where some nodes speak TLS and others may not. Its Carry is the Door's.
type Secure struct {
	cfg   *config.Config
	start StartRelay
	gate  turns // of guests that wait for the pace
	pace  pace  // of the guest that has the turn
	lobby lobby // of guests that have a relay, or may have one soon
	room  room  // of guests that have a relay
}

// room has as many places as guests may have relays. A guest takes one before its relay starts. It
// leaves it when nothing of the relay is left, or when a link has taken the relay over.
type room chan struct{}

func (r room) take(ctx context.Context) error {
	select {
	case r <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r room) leave() { <-r }

// NewSecure returns a Secure that starts relays by start. most bounds the guests that have a relay
// and have not proved the cookie. Each of these takes 1.4 MB and up to ten of main's descriptors.
// Of 48 guests the oldest makes room for a new one. It has then had its relay for 2.4 s in a crowd,
// and for 1.2 s after a burst.
func NewSecure(cfg *config.Config, start StartRelay, most int) *Secure {
	return &Secure{
		cfg: cfg, start: start,
		gate: turns{most: mostWaiting}, pace: pace{every: time.Second / relayRate, burst: most / 2}, lobby: lobby{most: most}, room: make(room, most),
	}
}

// secured is the inner stream to a relay, for a handshake.
type secured struct {
	net.Conn
	relayed *relayed // nil: it was taken over
	guest   *guest
	of      *Secure
	once    sync.Once // its place in the room is left
}

// Close returns when nothing is left of the relay, unless it was taken over. Until then it keeps
// its place in the lobby.
func (s *secured) Close() error {
	err := s.Conn.Close()
	if s.relayed != nil {
		<-s.relayed.end(s.guest.ctx.Done())
	}
	s.of.lobby.leave(s.guest)
	s.once.Do(s.of.room.leave)
	return err
}

// take takes the transport over.
func (s *secured) take() (transport, error) {
	r := s.relayed
	s.relayed = nil
	return r, nil
}

// OverTLS reports whether a connection of a Secure speaks TLS.
func OverTLS(conn net.Conn) bool {
	_, is := conn.(*secured)
	return is
}

// Carry makes a relay speak TLS with a node that begins with TLS.
func (s *Secure) Carry(g *guest) (net.Conn, func() (transport, error), error) {
	first, err := peek(g.ctx, g.conn)
	if err == nil && first != tlsHandshake {
		return g.conn, func() (transport, error) { return newPlain(g.conn) }, nil
	}
	defer g.conn.Close() // the relay has its own descriptor
	if err == nil {
		err = s.wait(g)
	}
	if err != nil {
		return nil, nil, err
	}
	c, err := s.secure(g)
	if err != nil {
		s.lobby.leave(g)
		return nil, nil, err
	}
	return c, c.take, nil
}

// secure starts the relay of a guest once there is room for it. After an error too, the guest is in
// the lobby. A guest that another one has displaced may itself have waited for a place. So it is not
// enough to wait for the displaced one.
func (s *Secure) secure(g *guest) (c *secured, err error) {
	s.lobby.enter(g)
	if err := s.room.take(g.ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.room.leave()
		}
	}()
	t, files, err := s.cfg.ReadTLS(config.TLSServer)
	if err != nil {
		return nil, err
	}
	r, err := newRelayed(g.ctx, s.start, g.conn, ipc.StartRelay{
		Server: true, Verify: t.Verify, CertOptional: t.CertOptional,
		MinVersion: t.MinVersion, MaxVersion: t.MaxVersion, Depth: t.Depth,
	}, files)
	if g.ctx.Err() != nil && err != nil { // its connection may have been closed at any moment
		return nil, context.Cause(g.ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("no TLS: %w", err)
	}
	inner, err := r.conn()
	if err != nil {
		r.close()
		return nil, err
	}
	return &secured{Conn: inner, relayed: r, guest: g, of: s}, nil
}

// wait waits until a relay may be started for a guest.
func (s *Secure) wait(g *guest) error {
	ctx, stop := whileThere(g)
	defer stop()
	if err := s.gate.take(ctx, g.from); err != nil {
		return err
	}
	defer s.gate.pass()
	rest(ctx, s.pace.next(time.Now()))
	if ctx.Err() != nil {
		s.pace.giveBack() // the next one in order gets the turn
		return context.Cause(ctx)
	}
	return nil
}

var errLeft = errors.New("it has left while it waited for its turn")

// whileThere returns the context of a waiting guest, which also ends when the other side closes the
// connection. It reads nothing.
func whileThere(g *guest) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(g.ctx)
	watched := make(chan struct{})
	go func() { // ends with stop
		defer close(watched)
		if hangsUp(g.conn) {
			cancel(errLeft)
		}
	}()
	return ctx, func() {
		_ = g.conn.SetReadDeadline(time.Unix(1, 0))
		<-watched
		_ = g.conn.SetReadDeadline(time.Time{})
		cancel(nil)
	}
}

// hangsUp waits until the other side has closed the connection, and then returns true. After the
// deadline it returns false.
func hangsUp(conn net.Conn) (gone bool) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		for err == unix.EINTR {
			n, err = unix.Poll(p, 0)
		}
		gone = n == 1
		return gone
	})
	return gone
}

// peek waits for the first byte of a connection and leaves it there.
func peek(ctx context.Context, conn net.Conn) (first byte, err error) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // as in dist.Connect
	var b [1]byte
	var n int
	no := raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	switch {
	case !stop():
		return 0, context.Cause(ctx)
	case no != nil:
		return 0, no
	case err != nil:
		return 0, os.NewSyscallError("recv", err)
	case n == 0:
		return 0, fmt.Errorf("it said nothing: %w", io.EOF)
	}
	return b[0], nil
}

// whyRefused returns err, the error of a handshake, with the relay's own reason.
func whyRefused(conn net.Conn, err error) error {
	if s, is := conn.(*secured); is && s.relayed != nil {
		if why := s.relayed.why(); why != "" {
			return fmt.Errorf("%w: %s", err, why)
		}
	}
	return err
}
