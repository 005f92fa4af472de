package link

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"erluv/config"
	"erluv/discover"
	"erluv/ipc"
	"erluv/ipc/counters"
	"erluv/wire/dist"

	"golang.org/x/sys/unix"
)

// fakeRelay is a relay without TLS: it copies both ways. A server takes the first byte, which marks
// the beginning of TLS.
type fakeRelay struct {
	says    string         // Why
	fails   error          // of the start
	far     int            // its end of the inner stream
	page    *counters.Page // with copies off
	memory  int            // of page
	copies  bool
	pumping sync.WaitGroup
	closed  bool
}

func (f *fakeRelay) Why(time.Duration) string { return f.says }

// Close does not wait.
func (f *fakeRelay) Close(<-chan struct{}) <-chan struct{} {
	f.closed = true
	ipc.CloseAll([]int{f.far, f.memory})
	gone := make(chan struct{})
	close(gone)
	return gone
}

func (f *fakeRelay) start(_ context.Context, m ipc.StartRelay, fds ...int) (Relay, error) {
	f.far = fds[1]
	f.memory, _ = unix.Dup(fds[2])
	defer ipc.CloseAll([]int{fds[0], fds[2], fds[3]})
	if f.fails != nil {
		ipc.CloseAll([]int{f.far, f.memory})
		return nil, f.fails
	}
	if _, err := m.Unpack(fds[3]); err != nil || len(fds) != ipc.RelayFDs {
		return nil, errors.Join(err, errTest)
	}
	if !f.copies {
		var err error
		f.page, err = counters.Map(fds[2])
		return f, err
	}
	node, inner := connOf(fds[0]), connOf(fds[1])
	if m.Server {
		if _, err := io.ReadFull(node, make([]byte, 1)); err != nil {
			return nil, err
		}
	}
	f.pumping.Go(func() { // ends with both connections
		defer node.Close()
		defer inner.Close()
		var back sync.WaitGroup
		back.Go(func() { f.copy(node, inner) })
		f.copy(inner, node)
		back.Wait()
	})
	return f, nil
}

// copy also ends the stream that it copies to, because others have descriptors of it.
func (f *fakeRelay) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.(interface{ CloseWrite() error }).CloseWrite()
}

func connOf(fd int) net.Conn {
	fd, _ = unix.Dup(fd)
	file := os.NewFile(uintptr(fd), "")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		panic(err)
	}
	return conn
}

// tcpPair returns a connection and its other end.
func tcpPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if there, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if here, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = here.Close(); _ = there.Close() })
	return here, there
}

// TestRelayed: the position of the inner stream, and its end. If a relay stopped within a system
// call, the position is unknown, even for a child that then got the connection.
func TestRelayed(t *testing.T) {
	f := &fakeRelay{says: "it was killed"}
	here, _ := tcpPair(t)
	r, err := newRelayed(t.Context(), f.start, here, ipc.StartRelay{}, config.TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Write(r.descriptor(), make([]byte, 100))
	_, _ = f.page.Read(f.far, make([]byte, 40))
	_, _ = f.page.Write(f.far, make([]byte, 30))
	_, _ = unix.Read(r.descriptor(), make([]byte, 10))
	if p, err := r.position(); err != nil || p != (position{written: 100, read: 10}) {
		t.Errorf("%+v, %v", p, err)
	}
	l := testConnection()
	l.transport = r
	if err := l.Ended(errTest); !errors.Is(err, errTest) || !strings.Contains(err.Error(), "(TLS: it was killed)") {
		t.Error(err)
	}
	if err := l.Ended(nil); err != nil {
		t.Error(err)
	}
	_, _ = unix.Pwrite(f.memory, []byte{1}, 0) // the number of the first cell becomes odd
	if _, err := r.position(); !errors.Is(err, errUnknown) {
		t.Error(err)
	}
	if err := l.Give(func(ipc.Message, ...int) error { return nil }); err != nil {
		t.Error(err)
	}
	_, _ = unix.Pwrite(f.memory, []byte{2}, 0)
	if _, _, err := l.remains(); !errors.Is(err, errUnknown) {
		t.Errorf("the child was given it at an unknown place: %v", err)
	}
	l.Shut()
	if n, err := unix.Read(f.far, make([]byte, 100)); n != 60 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := unix.Read(f.far, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("%d, %v instead of the end", n, err)
	}
	l.Close()
	if !f.closed || l.why() != "" || (*Link)(nil).why() != "" {
		t.Error("the relay is not closed")
	}
	f.fails = errTest
	if _, err := newRelayed(t.Context(), f.start, here, ipc.StartRelay{}, config.TLSFiles{}); !errors.Is(err, errTest) {
		t.Error(err)
	}
	if _, err := newRelayed(t.Context(), f.start, here, ipc.StartRelay{}, config.TLSFiles{Key: make([]byte, ipc.MaxMaterial+1)}); err == nil {
		t.Error("too large a key is taken")
	}
}

func tlsConfig(address string) *config.Config {
	return &config.Config{
		Node: "them@h", Name: "us", Host: "h", Cookie: "OVEN", Address: address,
		TLS: true, TLSNodes: []string{"*"}, TLSServerName: "*",
	}
}

// TestDialTLS: a dialled node speaks TLS. The relay's error replaces the handshake's.
func TestDialTLS(t *testing.T) {
	for name, test := range map[string]struct {
		relay  *fakeRelay
		change func(*config.Config)
		cookie string
		want   string
	}{
		"well":         {cookie: "OVEN"},
		"cookie":       {cookie: "ANOTHER", want: "the cookies differ"},
		"relay's word": {relay: &fakeRelay{says: "the node demands a certificate"}, want: "cannot connect to them@h over TLS: the node demands a certificate"},
		"no word":      {want: "it ended the connection"},
		"no start":     {relay: &fakeRelay{fails: errTest}, want: "cannot connect to them@h over TLS: test"},
		"too late":     {relay: &fakeRelay{fails: context.DeadlineExceeded}, want: "the handshake of TLS did not end within 7s"},
		"no files":     {change: func(c *config.Config) { c.TLSVerify = true }, want: "no authority is named"},
		"not TLS":      {change: func(c *config.Config) { c.TLS = false }, cookie: "alert", want: "set tls to on"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			cfg := tlsConfig(l.Addr().String())
			if test.change != nil {
				test.change(cfg)
			}
			var node sync.WaitGroup
			node.Go(func() { // ends with the connection
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				switch test.cookie {
				case "":
					_, _ = conn.Read(make([]byte, 1))
				case "alert":
					_, _ = conn.Write([]byte{0x15, 3, 3, 0, 2, 2, 10})
					_, _ = io.Copy(io.Discard, conn)
				default:
					local := dist.Local{Name: "them@h", Creation: 5, Cookie: test.cookie, Flags: dist.Default, TLS: true}
					if _, err := dist.Accept(t.Context(), conn, local, func(dist.Peer) string { return dist.StatusOK }); err == nil {
						_, _ = io.Copy(io.Discard, conn)
					}
				}
			})
			f := cmp.Or(test.relay, &fakeRelay{})
			f.copies = true
			d := NewDialer(1, cfg, NewSelf(cfg), discover.Target{Node: "them@h", Host: "h"})
			d.Relay = f.start
			made, err := d.Connect(t.Context())
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if err == nil && !made.Local.TLS {
				t.Error("it is not over TLS")
			}
			made.Close()
			_ = l.Close()
			node.Wait()
			f.pumping.Wait()
		})
	}
}

// TestSecure: at a door where some nodes speak TLS, the first byte tells which.
func TestSecure(t *testing.T) {
	cfg := tlsConfig("")
	ours := dist.Local{Name: "them@h", Creation: 5, Cookie: houseCookie, Flags: dist.Default}
	for name, test := range map[string]struct {
		over, refuse bool
	}{"over TLS": {over: true}, "without": {}, "refused": {over: true, refuse: true}} {
		t.Run(name, func(t *testing.T) {
			f := &fakeRelay{copies: true, says: "a word"}
			over := make(chan bool, 1)
			h := newHouse(t, func(h *house) {
				h.door.Carry = NewSecure(cfg, f.start, 4).Carry
				h.door.Allow = func(conn net.Conn, _ dist.Peer) error { over <- OverTLS(conn); return nil }
			})
			conn := h.dial()
			defer conn.Close()
			local := ours
			if local.TLS = test.over; test.over {
				_, _ = conn.Write([]byte{tlsHandshake})
			}
			if test.refuse {
				local.Cookie = "ANOTHER"
			}
			_, err := dist.Connect(t.Context(), conn, local, "us@h")
			if (err != nil) != test.refuse || <-over != test.over {
				t.Errorf("%v", err)
			}
			for end := time.Now().Add(waitBound); test.refuse && !strings.Contains(h.logged.String(), "a word"); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("it logs %q", h.logged.String())
				}
			}
			_ = conn.Close()
			if !test.refuse {
				(<-h.links).Close()
			}
			f.pumping.Wait()
		})
	}
}

// TestSecureRefuses: the guests that a door does not carry, and the reasons.
func TestSecureRefuses(t *testing.T) {
	gone, cancel := context.WithCancelCause(context.Background())
	cancel(errTest)
	wants := func(name, want string, s *Secure, ctx context.Context, say []byte, end bool) {
		t.Helper()
		here, there := tcpPair(t)
		_, _ = there.Write(say)
		if end {
			_ = there.Close()
		}
		if _, _, err := s.Carry(newGuest(ctx, here)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	f := &fakeRelay{fails: errTest}
	s := NewSecure(tlsConfig(""), f.start, 4)
	wants("silent", "test", s, gone, nil, false)
	wants("ended", "it said nothing", s, t.Context(), nil, true)
	wants("no relay", "no TLS: test", s, t.Context(), []byte{tlsHandshake}, false)
	bad := tlsConfig("")
	bad.TLSVerify = true
	wants("no files", "no authority", NewSecure(bad, f.start, 4), t.Context(), []byte{tlsHandshake}, false)
	if len(s.lobby.guests) > 0 {
		t.Errorf("%d are in the lobby", len(s.lobby.guests))
	}
	// Others wait at the gate, and leave it.
	here, there := tcpPair(t)
	guest := newGuest(gone, here)
	s.gate.add("first")
	if err := s.wait(guest); !errors.Is(err, errTest) {
		t.Error(err)
	}
	closing := newGuest(t.Context(), here)
	defer closing.end()
	left := make(chan error)
	go func() { left <- s.wait(closing) }()
	for waiting := 0; waiting == 0; time.Sleep(time.Millisecond) { // until it does; the test itself has a bound
		s.gate.mu.Lock()
		waiting = len(s.gate.waiting)
		s.gate.mu.Unlock()
	}
	_, _ = there.Write(make([]byte, 10))
	_ = there.Close()
	if err := <-left; !errors.Is(err, errLeft) || len(s.gate.waiting) != 0 {
		t.Errorf("%v, %d wait", err, len(s.gate.waiting))
	}
	s.gate.pass()
	for s.pace.next(time.Now()) <= 0 {
	}
	// If a guest leaves during its turn, the next one gets the turn. No turn comes by itself here.
	due := time.Now().Add(time.Hour)
	s.pace.due = due
	for range 1000 {
		if err := s.wait(guest); !errors.Is(err, errTest) {
			t.Error(err)
		}
	}
	if s.pace.due != due {
		t.Errorf("1,000 that have left have moved the next turn by %v", s.pace.due.Sub(due))
	}
}
