package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"erluv/config"
	"erluv/wire/dist"
	"erluv/wire/dist/disttest"
)

// house is an Acceptor with one door on the loopback.
type house struct {
	t      *testing.T
	addr   string
	status string // for every node
	why    error
	links  chan *Link
	logged *syncBuffer
	door   Door
}

type syncBuffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.String()
}

const (
	houseCookie = "OVEN"
	houseGuests = 128
)

func newHouse(t *testing.T, change func(*house)) *house {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{
		t: t, addr: listener.Addr().String(), status: dist.StatusOK, links: make(chan *Link, 100), logged: &syncBuffer{},
		door: Door{Listener: listener, Allow: func(net.Conn, dist.Peer) error { return nil }},
	}
	if change != nil {
		change(h)
	}
	a := Acceptor{
		Self: NewSelf(&config.Config{Name: "us", Host: "h"}), Cookie: houseCookie,
		Log:      slog.New(slog.NewTextHandler(h.logged, nil)),
		Decide:   func(dist.Peer, bool) (string, error) { return h.status, h.why },
		Guests:   houseGuests,
		Accepted: func(l *Link) { h.links <- l },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Serve(ctx, []Door{h.door}) }()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

func (h *house) dial() net.Conn {
	h.t.Helper()
	conn, err := net.Dial("tcp4", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(waitBound)); err != nil {
		h.t.Fatal(err)
	}
	return conn
}

func (h *house) link() *Link {
	h.t.Helper()
	select {
	case l := <-h.links:
		h.t.Cleanup(l.Close)
		return l
	case <-time.After(waitBound):
		h.t.Fatal("no link comes")
		return nil
	}
}

// TestAcceptor: a node becomes a link, on which the next byte is the first of a frame.
func TestAcceptor(t *testing.T) {
	h := newHouse(t, nil)
	conn := h.dial()
	host, err := disttest.Caller{Name: "them@h", Cookie: houseCookie, Creation: 9, Challenge: 5, AfterReply: []byte("frame")}.Connect(conn)
	if err != nil || host.Name != "us@h" || host.Status != dist.StatusOK || host.Creation < 4 {
		t.Fatalf("%+v, %v", host, err)
	}
	l := h.link()
	if l.Local.Cookie != "" || l.Local.Name != "us@h" || l.Peer.Name != "them@h" || l.Peer.Creation != 9 || l.self == nil {
		t.Errorf("%+v", l)
	}
	p, err := l.transport.position()
	if err != nil || p.read == 0 || p.written == 0 {
		t.Errorf("%+v, %v", p, err)
	}
	l.Shut()
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("it was shut: %v", err)
	}
	l.Close()
	l.Shut() // has no effect on a closed link
}

// TestAcceptorRefuses: refused nodes get an answer, and the reason is logged.
func TestAcceptorRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*house)
		caller disttest.Caller
		status string
		log    string
	}{
		"cookie":  {nil, disttest.Caller{Name: "them@h", Cookie: "another", Challenge: 1}, "ok", "the cookies differ"},
		"name":    {func(h *house) { h.door.Allow = func(net.Conn, dist.Peer) error { return errTest } }, disttest.Caller{Name: "them@h", Cookie: houseCookie}, "not_allowed", "was answered not_allowed: test"},
		"full":    {func(h *house) { h.status, h.why = dist.StatusNotAllowed, errTest }, disttest.Caller{Name: "them@h", Cookie: houseCookie}, "not_allowed", "was answered not_allowed: test"},
		"ours":    {nil, disttest.Caller{Name: "us@h", Cookie: houseCookie}, "not_allowed", "that is our own name"},
		"carrier": {func(h *house) { h.door.Carry = refuseCarry }, disttest.Caller{Name: "them@h", Cookie: houseCookie}, "", "error=test"},
		"transport": {func(h *house) {
			h.door.Carry = func(g *guest) (net.Conn, func() (transport, error), error) {
				return g.conn, func() (transport, error) { return nil, errTest }, nil
			}
		}, disttest.Caller{Name: "them@h", Cookie: houseCookie, Challenge: 1}, "ok", "error=test"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, tt.change)
			conn := h.dial()
			host, _ := tt.caller.Connect(conn)
			if host.Status != tt.status {
				t.Errorf("it is answered %q, want %q", host.Status, tt.status)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("it is not closed: %v", err)
			}
			for end := time.Now().Add(waitBound); !strings.Contains(h.logged.String(), tt.log); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("it logs %q, want %q", h.logged.String(), tt.log)
				}
			}
			if strings.Contains(h.logged.String(), houseCookie) || len(h.links) > 0 {
				t.Errorf("links %d, %q", len(h.links), h.logged.String())
			}
		})
	}
}

func refuseCarry(g *guest) (net.Conn, func() (transport, error), error) {
	g.conn.Close()
	return nil, nil, errTest
}

// TestAcceptorCrowd: many guests that are silent, stop halfway, or send junk do not keep a node
// out.
func TestAcceptorCrowd(t *testing.T) {
	h := newHouse(t, nil)
	crowd := 3 * houseGuests
	var all []net.Conn
	for i := range crowd {
		conn := h.dial()
		all = append(all, conn)
		switch i % 3 {
		case 0: // silent
		case 1:
			_, _ = conn.Write([]byte("\x00\x19N\x00\x00\x00\x0d\x07\xdf\x7f\xbd")) // half of a name
		case 2:
			_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		}
	}
	conn := h.dial()
	if _, err := (disttest.Caller{Name: "them@h", Cookie: houseCookie, Creation: 9, Challenge: 5}).Connect(conn); err != nil {
		t.Fatal(err)
	}
	h.link()
	for i, conn := range all { // the oldest have made room, or sent junk
		if i < crowd-houseGuests || i%3 == 2 {
			if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("number %d is still there: %v", i, err)
			}
		}
	}
	if n := strings.Count(h.logged.String(), "a connection was refused"); n != refusalBurst {
		t.Errorf("%d lines", n)
	}
}

// listenerOf returns connections that a test sends it.
type listenerOf struct {
	conns chan net.Conn
	errs  chan error
	once  sync.Once
	shut  chan struct{}
}

func (l *listenerOf) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.shut:
		return nil, net.ErrClosed
	}
}

func (l *listenerOf) Close() error   { l.once.Do(func() { close(l.shut) }); return nil }
func (l *listenerOf) Addr() net.Addr { return &net.TCPAddr{} }

// inTime runs an Acceptor in virtual time.
func inTime(t *testing.T, f func(l *listenerOf, logged *syncBuffer)) {
	synctest.Test(t, func(t *testing.T) {
		l := &listenerOf{conns: make(chan net.Conn), errs: make(chan error), shut: make(chan struct{})}
		logged := &syncBuffer{}
		a := Acceptor{
			Self: NewSelf(&config.Config{Name: "us", Host: "h"}), Cookie: houseCookie,
			Log:    slog.New(slog.NewTextHandler(logged, nil)),
			Decide: func(dist.Peer, bool) (string, error) { return dist.StatusOK, nil },
			Guests: houseGuests,
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.Serve(ctx, []Door{{Listener: l, Allow: func(net.Conn, dist.Peer) error { return nil }}})
		}()
		f(l, logged)
		cancel()
		<-done
	})
}

// TestAcceptorIsBounded: silent guests have setupBound, and connections beyond acceptBurst are
// accepted at acceptRate.
func TestAcceptorIsBounded(t *testing.T) {
	inTime(t, func(l *listenerOf, logged *syncBuffer) {
		begin := time.Now()
		ours, theirs := net.Pipe()
		l.conns <- theirs
		if _, err := ours.Read(make([]byte, 1)); err != io.EOF || time.Since(begin) != setupBound {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		synctest.Wait()
		if !strings.Contains(logged.String(), "it fell silent before its name (it did not shake hands in time)") {
			t.Error(logged.String())
		}
		begin = time.Now()
		for range acceptBurst + acceptRate {
			ours, theirs := net.Pipe()
			l.conns <- theirs
			ours.Close()
		}
		if took := time.Since(begin); took < time.Second-2*time.Millisecond || took > time.Second+2*time.Millisecond {
			t.Errorf("%d connections are accepted in %v", acceptBurst+acceptRate, took)
		}
	})
}

// TestAcceptorHasNoDescriptors: a listener that fails is tried again, and does not fill the log.
func TestAcceptorHasNoDescriptors(t *testing.T) {
	inTime(t, func(l *listenerOf, logged *syncBuffer) {
		begin := time.Now()
		for range 100 {
			l.errs <- errors.New("too many open files")
		}
		if took := time.Since(begin); took != 99*acceptPause {
			t.Errorf("100 errors in %v", took)
		}
		ours, theirs := net.Pipe()
		l.conns <- theirs
		ours.Close()
		synctest.Wait()
	})
}

// TestLobby: the right guest makes room for a new one.
func TestLobby(t *testing.T) {
	at := func(ip string) net.Conn { return addressed{remote: &net.TCPAddr{IP: net.ParseIP(ip)}} }
	enter := func(l *lobby, ip string) *guest {
		g := newGuest(t.Context(), at(ip))
		l.enter(g)
		return g
	}
	out := func(g *guest) bool { return errors.Is(context.Cause(g.ctx), errCrowded) }

	const most = houseGuests
	l := lobby{most: most}
	node := enter(&l, "10.0.0.1")
	var crowd []*guest
	for range 3 * most {
		crowd = append(crowd, enter(&l, "10.0.0.2"))
	}
	if len(l.guests) != most || out(node) {
		t.Errorf("%d are in; the one from elsewhere is out: %v", len(l.guests), out(node))
	}
	for i, g := range crowd {
		if out(g) != (i < len(crowd)-(most-1)) {
			t.Errorf("number %d is out: %v", i, out(g))
		}
	}
	second := enter(&l, "10.0.0.3")
	if out(node) || out(second) || !out(crowd[len(crowd)-(most-1)]) {
		t.Error("a second one from elsewhere has not pushed out one of the crowd")
	}
	for _, g := range slices.Concat(crowd, []*guest{node, second}) {
		l.leave(g)
		l.leave(g)
		g.end()
	}
	if len(l.guests) != 0 {
		t.Errorf("%d are left", len(l.guests))
	}
	// Each has an address of its own, so the oldest leaves.
	oldest := enter(&l, "10.1.0.0")
	for i := range most {
		enter(&l, fmt.Sprintf("10.1.0.%d", 1+i))
	}
	if !out(oldest) || len(l.guests) != most {
		t.Errorf("%d are in; the oldest is out: %v", len(l.guests), out(oldest))
	}
	for _, g := range slices.Clone(l.guests) {
		l.leave(g)
		g.end()
	}
	for ip, want := range map[string]string{"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "fe80:1:2:3:4:5:6:7": "fe80:1:2:3::/64"} {
		if got := addressOf(at(ip)); got != want {
			t.Errorf("%s counts as %s", ip, got)
		}
	}
	if got := addressOf(addressed{remote: &net.UnixAddr{}}); got != "this machine" {
		t.Error(got)
	}
}

type addressed struct {
	net.Conn
	remote net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.remote }
func (a addressed) Close() error         { return nil }

// TestRefusals: a few refusals of a crowd are logged, and the number of the others.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged := &syncBuffer{}
		r := refusals{log: slog.New(slog.NewTextHandler(logged, nil))}
		r.flush()
		for range 10_000 {
			r.note("10.0.0.1", errors.New("a\nb\x1b"))
		}
		lines := func() int { return strings.Count(logged.String(), "\n") }
		if lines() != refusalBurst || !strings.Contains(logged.String(), "from=10.0.0.1 error=a?b?") {
			t.Errorf("%d lines:\n%s", lines(), logged.String())
		}
		time.Sleep(refusalWindow)
		synctest.Wait()
		if lines() != refusalBurst+1 || !strings.Contains(logged.String(), "left_out=9995 ") {
			t.Errorf("%d lines:\n%s", lines(), logged.String())
		}
		for range refusalBurst { // the next window
			r.note("10.0.0.1", errTest)
		}
		time.Sleep(2 * refusalWindow)
		synctest.Wait()
		if lines() != 2*refusalBurst+1 {
			t.Errorf("%d lines:\n%s", lines(), logged.String())
		}
	})
}
