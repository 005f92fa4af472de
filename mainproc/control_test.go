package mainproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"erluv/config"
	"erluv/control"
	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/wire/dist"
)

// played are doors at which a test connects.
type played struct {
	decide   link.Decide
	accepted func(*link.Link)
	closed   bool
}

// open gives the doors to a guard.
func (p *played) open(g *guard) {
	g.nodes.last = uint32(len(g.lines))
	g.doors.serve = func(ctx context.Context, decide link.Decide, accepted func(*link.Link)) {
		p.decide, p.accepted = decide, accepted
		<-ctx.Done()
		p.closed = true
	}
}

// connect plays a node that connects.
func (p *played) connect(name string) string {
	status, _ := p.decide(dist.Peer{Name: name}, false)
	if status == dist.StatusOK {
		p.accepted(&link.Link{Local: dist.Local{Name: "us@h"}, Peer: dist.Peer{Name: name}})
	}
	after(0)
	return status
}

// TestGuardOperators: an operator comes and goes. Neither the log nor the service manager takes it
// for a node.
func TestGuardOperators(t *testing.T) {
	var doors played
	w := &fakeWorld{opens: doors.open, watchdog: time.Minute}
	err := during(t, w, func(stop func(string)) {
		if status := doors.connect("x@control"); status != dist.StatusOK {
			t.Errorf("an operator is answered %s", status)
		}
		if status := doors.connect("x@control"); status != dist.StatusAlive {
			t.Errorf("another of its name is answered %s", status)
		}
		if status := doors.connect("x@h"); status != dist.StatusNotAllowed {
			t.Errorf("a node is answered %s, and it listens for none", status)
		}
		if n := len(w.crews[0].held()); n != 2 {
			t.Errorf("the child has %d connections", n)
		}
		w.crews[0].says <- crew.Event{Kind: crew.Lost, Link: 2, Err: errTest}
		after(time.Minute)
		if n := len(w.crews[0].held()); n != 1 {
			t.Errorf("the child has %d connections when the operator has left", n)
		}
		for i := range mostOperators {
			if status := doors.connect(fmt.Sprintf("o%d@control", i)); status != dist.StatusOK {
				t.Fatalf("operator %d is answered %s", i, status)
			}
		}
		if status := doors.connect("one@control"); status != dist.StatusNotAllowed {
			t.Errorf("one operator too many is answered %s", status)
		}
		stop("enough")
	})
	if err != nil || !doors.closed {
		t.Errorf("%v, closed %v", err, doors.closed)
	}
	if log := w.logged.String(); strings.Contains(log, "control") || strings.Count(log, "node up") != 1 {
		t.Errorf("operators are logged as nodes:\n%s", log)
	}
	for _, line := range w.log {
		if strings.Contains(line, "control") {
			t.Errorf("the service manager is told: %s", line)
		}
	}
}

// TestGuardOperatorsAlone: operators do not keep an erluv alive that has no node left to serve.
func TestGuardOperatorsAlone(t *testing.T) {
	var doors played
	w := &fakeWorld{opens: doors.open, connects: func(int) error { return errTest }}
	if err := during(t, w, func(func(string)) {}); !errors.Is(err, errTest) || !doors.closed {
		t.Errorf("%v, closed %v", err, doors.closed)
	}
	doors = played{}
	w = &fakeWorld{opens: func(g *guard) {
		doors.open(g)
		g.lines[0].Retry = false
	}}
	err := during(t, w, func(func(string)) {
		doors.connect("x@control")
		w.crews[0].says <- crew.Event{Kind: crew.Lost, Link: 1, Err: errTest}
		after(time.Minute)
	})
	if !errors.Is(err, errTest) || !doors.closed {
		t.Errorf("%v, closed %v", err, doors.closed)
	}
}

// TestGuardOperatorsFirst: an operator gets a child even before there is a node.
func TestGuardOperatorsFirst(t *testing.T) {
	var doors played
	w := &fakeWorld{connects: func(int) error { return errTest }, opens: func(g *guard) {
		doors.open(g)
		g.lines[0].Always = true
	}}
	err := during(t, w, func(stop func(string)) {
		doors.connect("x@control")
		after(time.Second)
		last := w.crews[len(w.crews)-1]
		if n := len(last.held()); n != 1 {
			t.Errorf("the child has %d connections", n)
		}
		last.says <- errLost
		after(time.Second)
		if !last.isGone {
			t.Error("the child goes on without an operator")
		}
		stop("enough")
	})
	if err != nil {
		t.Error(err)
	}
}

// TestListenToOperators: erluv serves without a control socket only if the configuration does not
// require one.
func TestListenToOperators(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	self := link.NewSelf(&config.Config{Name: "n", Host: "h"})
	w := &fakeWorld{}
	g := w.guard()
	if err := g.listenToOperators(config.Control{}, self); err != nil || len(g.doors.list) != 0 {
		t.Errorf("off: %v, %d doors", err, len(g.doors.list))
	}
	on := config.Control{On: true, Dir: filepath.Join(dir, "erluv")}
	if err := g.listenToOperators(on, self); err != nil || len(g.doors.list) != 1 {
		t.Fatalf("on: %v, %d doors", err, len(g.doors.list))
	}
	conn, err := control.Dial(t.Context(), filepath.Join(dir, "erluv", "n.sock"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := g.listenToOperators(on, self); err != nil || len(g.doors.list) != 1 || !strings.Contains(w.logged.String(), "another process listens there") {
		t.Errorf("a second one: %v, %d doors, %s", err, len(g.doors.list), w.logged.String())
	}
	on.Asked = true
	if err := g.listenToOperators(on, self); err == nil {
		t.Error("a second one that was asked for is nothing")
	}
	g.doors.close()
	if _, err := os.Lstat(filepath.Join(dir, "erluv", "n.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}
