package link

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"erluv/config"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

const (
	// relayRate is how many relays are started in a second for nodes that connect, once
	// relayBurst of them have been: each is a process, and who has connected has proved nothing
	// yet. Of mostWaiting that want one the last waits for 3.2 s, less than setupBound, and the
	// first from another address for 0.1 s.
	relayRate   = 20
	relayBurst  = 40
	mostWaiting = 64

	// tlsHandshake begins the first record of TLS (RFC 8446, 5.1). The first message of a node
	// without it begins with its length, whose first byte is less.
	tlsHandshake = 0x16
)

// Secure is what a door does where some nodes speak TLS, and others may not: its Carry is the
// Door's.
type Secure struct {
	cfg   *config.Config
	start StartRelay
	gate  turns // of who waits for the pace
	pace  pace  // of whom has the turn
}

// NewSecure starts relays by start.
func NewSecure(cfg *config.Config, start StartRelay) *Secure {
	return &Secure{cfg: cfg, start: start, gate: turns{most: mostWaiting}, pace: pace{every: time.Second / relayRate, burst: relayBurst}}
}

// secured is the inner stream to a relay as a handshake uses it. Closing it ends the relay, unless
// it was taken over.
type secured struct {
	net.Conn
	relayed *relayed
}

func (s *secured) Close() error {
	if s.relayed != nil {
		s.relayed.close()
	}
	return s.Conn.Close()
}

// take takes the transport over.
func (s *secured) take() (transport, error) {
	r := s.relayed
	s.relayed = nil
	return r, nil
}

// OverTLS says whether a connection that a Secure has carried speaks TLS.
func OverTLS(conn net.Conn) bool {
	_, is := conn.(*secured)
	return is
}

// Carry has a relay speak TLS with a node that begins so.
func (s *Secure) Carry(ctx context.Context, conn net.Conn) (net.Conn, func() (transport, error), error) {
	first, err := peek(ctx, conn)
	if err == nil && first != tlsHandshake {
		return conn, func() (transport, error) { return newPlain(conn) }, nil
	}
	defer conn.Close() // the relay has a descriptor of its own
	if err == nil {
		err = s.wait(ctx, addressOf(conn))
	}
	if err != nil {
		return nil, nil, err
	}
	t, files, err := s.cfg.ReadTLS(config.TLSServer)
	if err != nil {
		return nil, nil, err
	}
	r, err := newRelayed(ctx, s.start, conn, ipc.StartRelay{
		Server: true, Verify: t.Verify, CertOptional: t.CertOptional,
		MinVersion: t.MinVersion, MaxVersion: t.MaxVersion, Depth: t.Depth,
	}, files)
	if err != nil {
		return nil, nil, fmt.Errorf("no TLS: %w", err)
	}
	inner, err := r.conn()
	if err != nil {
		r.close()
		return nil, nil, err
	}
	c := &secured{inner, r}
	return c, c.take, nil
}

// wait waits until a relay may be started for somebody from an address.
func (s *Secure) wait(ctx context.Context, from string) error {
	if err := s.gate.take(ctx, from); err != nil {
		return err
	}
	defer s.gate.pass()
	rest(ctx, s.pace.next(time.Now()))
	if ctx.Err() != nil {
		s.pace.giveBack() // the next one in order has the turn
		return context.Cause(ctx)
	}
	return nil
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

// whyRefused is err, why a handshake has failed, with what the relay knows of it.
func whyRefused(conn net.Conn, err error) error {
	if s, is := conn.(*secured); is && s.relayed != nil {
		if why := s.relayed.why(); why != "" {
			return fmt.Errorf("%w: %s", err, why)
		}
	}
	return err
}
