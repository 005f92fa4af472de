package link

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"erluv/config"
	"erluv/discover"
	"erluv/wire/dist"
	"erluv/wire/dist/disttest"

	"golang.org/x/sys/unix"
)

// TestDialErrors: the reasons why there is no connection.
func TestDialErrors(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for want, change := range map[string]func(*config.Config) context.Context{
		"the host of no.such.host.invalid:1 is not known": func(c *config.Config) context.Context {
			c.Address = "no.such.host.invalid:1"
			return t.Context()
		},
		"does not answer within": func(*config.Config) context.Context { return ended },
		"invalid port":           func(c *config.Config) context.Context { c.Address = "127.0.0.1:-1"; return t.Context() },
		"nothing listens":        func(c *config.Config) context.Context { c.Address = "127.0.0.1:1"; return t.Context() },
	} {
		cfg := testConfig()
		_, err := NewDialer(1, cfg, NewSelf(cfg), cfg.Targets[0]).dial(change(cfg))
		if _, lookup := net.LookupHost("no.such.host.invalid"); strings.Contains(want, "not known") && !isNoHost(lookup) {
			continue // the name server gives another answer
		}
		wantError(t, "dial", err, want)
	}
}

// TestDialsNoOperator: erluv dials no node with an operator's name, whether a file or DNS has named
// it.
func TestDialsNoOperator(t *testing.T) {
	cfg := testConfig()
	_, err := NewDialer(1, cfg, NewSelf(cfg), discover.Target{Node: "x@control", Host: "127.0.0.1"}).Connect(t.Context())
	wantError(t, "dial", err, "cannot connect to x@control: a name with @control is for the control socket alone")
}

func testConfig() *config.Config {
	return &config.Config{Node: "foo@127.0.0.1", Targets: []discover.Target{{Node: "foo@127.0.0.1", Host: "127.0.0.1"}}, Prefix: "erluv_", Host: "127.0.0.1", Cookie: "CHOCOLATE", Address: "127.0.0.1:1"}
}

func isNoHost(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}

// TestNewPlain: a connection without a descriptor, or a closed one, is an error.
func TestNewPlain(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	_, err := newPlain(a)
	wantError(t, "a pipe in memory", err, "has no descriptor")
	_, node := pair(t)
	_ = node.Close()
	_, err = newPlain(node)
	wantError(t, "closed", err, "cannot take the connection's descriptor")
	_, err = newPlain(&net.TCPConn{})
	wantError(t, "nothing", err, "cannot take the connection's descriptor")
}

// TestTakenNameIsDrawnAgain: another random name is drawn, and that one is kept.
func TestTakenNameIsDrawnAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := testConfig()
	cfg.Address = l.Addr().String()
	clients := make(chan disttest.Client)
	go func() {
		node := disttest.Node{Name: cfg.Node, Cookie: string(cfg.Cookie), Creation: 77, Challenge: 4711, Status: "alive"}
		for range 3 {
			conn, err := l.Accept()
			if err != nil {
				t.Error(err)
				break
			}
			_ = conn.SetDeadline(time.Now().Add(waitBound))
			client, _ := node.Accept(conn) // an error for a refused one
			node.Status = ""
			clients <- client
			_ = conn.Close()
		}
		close(clients)
	}()
	d := NewDialer(5, cfg, NewSelf(cfg), cfg.Targets[0])
	var names []string
	var seen []disttest.Client
	for range 2 { // the second time like the first
		done := make(chan *Link)
		go func() {
			l, err := d.Connect(t.Context())
			if err != nil {
				t.Error(err)
			}
			done <- l
		}()
		var l *Link
		for l == nil {
			select {
			case l = <-done:
			case client := <-clients:
				seen = append(seen, client)
			case <-time.After(waitBound):
				t.Fatal("no connection")
			}
		}
		names = append(names, l.Local.Name)
		fd := uintptr(l.transport.descriptor())
		fdFlags, err1 := unix.FcntlInt(fd, unix.F_GETFD, 0)
		flags, err2 := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err := errors.Join(err1, err2); err != nil || fdFlags&unix.FD_CLOEXEC == 0 || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("the descriptor's flags: %#x, %#x, %v", fdFlags, flags, err)
		}
		if l.ID != 5 || l.Local.Cookie != "" {
			t.Errorf("link %d, cookie %q", l.ID, l.Local.Cookie)
		}
		l.Close()
	}
	for client := range clients {
		seen = append(seen, client)
	}
	if refused := seen[0]; refused.Answer != "false" || names[0] == refused.Name || names[0] != names[1] {
		t.Errorf("taken %s, answered with %q, then %q", refused.Name, refused.Answer, names)
	}
}

// TestIsFinal: these errors are final, and others are not.
func TestIsFinal(t *testing.T) {
	for want, err := range map[bool]error{
		true:  errors.Join(&dist.Refused{Status: dist.StatusNotAllowed}),
		false: errors.Join(&dist.Refused{Status: dist.StatusAlive}),
	} {
		if IsFinal(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
	if !IsFinal(dist.ErrCookie) || IsFinal(nil) {
		t.Error("a cookie, or nothing")
	}
}
