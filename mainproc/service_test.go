package mainproc

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/wire/dist"
)

// service returns a manager that records its messages; nil without a watchdog.
func (w *fakeWorld) service() *service {
	if w.watchdog == 0 {
		return nil
	}
	s := &service{
		tell:  func(text string) { w.note("%s", strings.ReplaceAll(text, "\n", " ")) },
		every: w.watchdog / 2,
	}
	s.watch = time.NewTimer(s.every)
	return s
}

// TestServiceIsTold: the messages to the manager during a life, and their times.
func TestServiceIsTold(t *testing.T) {
	w := &fakeWorld{watchdog: 4 * time.Second, connects: func(n int) error {
		if n == 2 {
			return errors.New("nothing\nlistens")
		}
		return nil
	}}
	err := during(t, w, func(stop func(string)) {
		after(3 * time.Second)
		w.crews[0].says <- errLost
		after(1500 * time.Millisecond)
		w.crews[1].says <- crew.Event{Kind: crew.Died, Err: errTest}
		after(time.Second)
		w.keeper.says <- nil
		after(time.Second)
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	wantLog(t, w,
		"0s connected", "0s READY=1 STATUS=serving them@h as us@h: no programs", "2s WATCHDOG=1",
		"3s STATUS=not connected, trying again: the connection was lost",
		"3.1s refused",
		"3.3s connected", "3.3s READY=1 STATUS=serving them@h as us@h: no programs; last trouble Jan  1 00:00: nothing?listens", "4s WATCHDOG=1",
		"4.5s fall", "4.5s keep", "4.5s STATUS=no child, waiting 5s for respawn: test",
		"5.5s release", "5.5s READY=1 STATUS=serving them@h as us@h: no programs; last trouble Jan  1 00:00: test", "6s WATCHDOG=1",
		"6.5s STOPPING=1 STATUS=stopping: term", "6.5s ask term", "6.5s STOPPING=1 STATUS=ended")
}

// TestServiceIsToldOfPrograms: the line for people follows what changes, once a second at most, and
// nothing is sent while nothing does.
func TestServiceIsToldOfPrograms(t *testing.T) {
	w := &fakeWorld{watchdog: time.Hour}
	err := during(t, w, func(stop func(string)) {
		has := func(n uint32) { w.crews[0].says <- crew.Event{Kind: crew.Counted, Programs: n} }
		after(3 * time.Second)
		has(1)
		after(200 * time.Millisecond)
		has(2)
		has(3)
		after(time.Minute)
		has(4)
		after(200 * time.Millisecond)
		has(5)
		has(4)
		after(time.Minute)
		w.crews[0].says <- crew.Event{Kind: crew.Died, Err: errTest}
		after(time.Second)
		w.keeper.says <- nil
		after(time.Second)
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	wantLog(t, w,
		"0s connected", "0s READY=1 STATUS=serving them@h as us@h: no programs",
		"3s STATUS=serving them@h as us@h: 1 program", "4s STATUS=serving them@h as us@h: 3 programs",
		"1m3.2s STATUS=serving them@h as us@h: 4 programs",
		"2m3.4s fall", "2m3.4s keep", "2m3.4s STATUS=no child, waiting 5s for respawn: test",
		"2m4.4s release", "2m4.4s READY=1 STATUS=serving them@h as us@h: no programs; last trouble Jan  1 00:02: test",
		"2m5.4s STOPPING=1 STATUS=stopping: term", "2m5.4s ask term", "2m5.4s STOPPING=1 STATUS=ended")
}

// TestConditionOfManyNodes: three nodes are named.
func TestConditionOfManyNodes(t *testing.T) {
	var g guard
	for i := range 5 {
		l := &line{link: &link.Link{Local: dist.Local{Name: "us@h"}, Peer: dist.Peer{Name: fmt.Sprintf("n%d@h", i)}}}
		l.State = link.Served
		g.lines = append(g.lines, l)
	}
	if got, want := g.condition(), "serving n0@h, n1@h, n2@h and 2 more as us@h: no programs"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	g.lines[0].State, g.lines[0].refused = link.Waiting, errTest
	if got, want := g.condition(), "serving n1@h, n2@h, n3@h and 1 more as us@h: no programs; trying again: test"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestServiceAndASilentChild: while the child does not answer, the manager gets no sign of life.
// Once the child is found hung, main's own bounds hold.
func TestServiceAndASilentChild(t *testing.T) {
	w := &fakeWorld{watchdog: 20 * time.Second}
	w.mute.Store(true)
	err := during(t, w, func(stop func(string)) {
		after(11500 * time.Millisecond) // due at 10 s, then each second
		w.mute.Store(false)
		after(time.Second)
		w.mute.Store(true)
		after(12 * time.Second) // due at 22 s
		w.crews[0].says <- crew.Event{Kind: crew.Died, Err: errTest}
		after(time.Second)
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	wantLog(t, w,
		"0s connected", "0s READY=1 STATUS=serving them@h as us@h: no programs", "12s WATCHDOG=1",
		"24.5s fall", "24.5s keep", "24.5s STATUS=no child, waiting 5s for respawn: test", "25s WATCHDOG=1",
		"25.5s STOPPING=1 STATUS=stopping: term", "25.5s leave", "25.5s STOPPING=1 STATUS=ended")
}

// TestServiceSockets: both kinds of socket work.
func TestServiceSockets(t *testing.T) {
	for _, name := range []string{
		filepath.Join(t.TempDir(), "notify"),
		fmt.Sprintf("@erluv-test-%d", os.Getpid()),
	} {
		conn := listenUnix(t, name)
		t.Setenv("NOTIFY_SOCKET", name)
		s := newService(slog.New(slog.DiscardHandler))
		s.up("serving a@b\nMAINPID=1")
		buf := make([]byte, 100)
		n, err := conn.Read(buf)
		if got, want := string(buf[:n]), "READY=1\nSTATUS=serving a@b?MAINPID=1"; err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
		if s.due() != nil {
			t.Errorf("%s: a watchdog that nobody wants", name)
		}
		conn.Close()
		s.at = time.Time{}
		s.status("the socket is gone") // which is logged, and no more
	}
}

func listenUnix(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(waitBound)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestServiceEnvironment: the variables that are used, and all of them are removed.
func TestServiceEnvironment(t *testing.T) {
	for _, tt := range []struct {
		socket, usec, pid string
		told              bool
		every             time.Duration
		warns             string
	}{
		{"", "1000000", "", false, 0, ""},
		{"/run/x", "", "", true, 0, ""},
		{"@x", "3000000", "", true, 1500 * time.Millisecond, ""},
		{"/run/x", "3000000", fmt.Sprint(os.Getpid()), true, 1500 * time.Millisecond, ""},
		{"/run/x", "3000000", "1", true, 0, ""}, // another process's
		{"/run/x", "0", "", true, 0, "WATCHDOG_USEC=0"},
		{"/run/x", "-1", "", true, 0, "WATCHDOG_USEC=-1"},
		{"/run/x", "9223372036854775807", "", true, 0, "WATCHDOG_USEC=9"},
		{"/run/x", "5s", "", true, 0, "WATCHDOG_USEC=5s"},
		{"vsock:2:1", "3000000", "", false, 0, "NOTIFY_SOCKET=vsock:2:1"},
	} {
		t.Setenv("NOTIFY_SOCKET", tt.socket)
		t.Setenv("WATCHDOG_USEC", tt.usec)
		t.Setenv("WATCHDOG_PID", tt.pid)
		var log strings.Builder
		s := newService(slog.New(slog.NewTextHandler(&log, nil)))
		if (s != nil) != tt.told || s != nil && (s.every != tt.every || (s.due() != nil) != (tt.every > 0)) {
			t.Errorf("%+v: %+v", tt, s)
		}
		if !strings.Contains(log.String(), tt.warns) || tt.warns == "" && log.Len() > 0 {
			t.Errorf("%+v: it logs %q", tt, log.String())
		}
		left, _ := inheritable(os.Environ())
		for _, v := range left {
			if name, _, _ := strings.Cut(v, "="); slices.Contains(serviceVariables, name) {
				t.Errorf("programs can inherit %s", v)
			}
		}
	}
}
