package mainproc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"erluv/discover"
	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/wire/dist"
)

// visitors are nodes that connect to erluv.
type visitors struct {
	t      *testing.T
	guard  *guard
	knocks chan string
	says   chan string
	links  chan *link.Link
}

func newVisitors(t *testing.T, g *guard) *visitors {
	v := &visitors{t: t, guard: g, knocks: make(chan string), says: make(chan string), links: make(chan *link.Link)}
	g.open, g.name = true, "us@h"
	g.doors.at = []string{"here"}
	g.doors.serve = func(ctx context.Context, decide link.Decide, accepted func(*link.Link)) {
		for {
			select {
			case name := <-v.knocks:
				status, _ := decide(dist.Peer{Name: name}, false)
				v.says <- status
			case l := <-v.links:
				accepted(l)
			case <-ctx.Done():
				return
			}
		}
	}
	return v
}

// knock plays a node that sends its name, and checks the answer.
func (v *visitors) knock(name, want string) {
	v.t.Helper()
	v.knocks <- name
	if got := <-v.says; got != want {
		v.t.Errorf("%s is answered %s, want %s", name, got, want)
	}
}

// enter plays a node that proves the cookie.
func (v *visitors) enter(name string) {
	v.links <- &link.Link{Local: dist.Local{Name: "us@h"}, Peer: dist.Peer{Name: name}}
	synctest.Wait()
}

// visited runs a guard that accepts nodes, while f plays these and the rest of the world.
func visited(t *testing.T, w *fakeWorld, with func(*guard), f func(v *visitors, stop func(string))) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w.start, w.quit = time.Now(), nil
		w.open = w.lines == 0
		g := w.guard()
		g.team.DieTimeout = 5 * time.Second
		v := newVisitors(t, g)
		if with != nil {
			with(g)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		done := whileRuns(func() { err = g.run(ctx) })
		synctest.Wait()
		f(v, func(reason string) { cancel(errors.New(reason)) })
		<-done
		cancel(nil)
		if g.team.roles != nil || g.team.running != 0 || g.team.handing != 0 || g.doors.running || g.open {
			t.Errorf("something is left: %+v, %+v", g.team, g.doors)
		}
		for _, l := range g.lines {
			if l.link != nil || l.keeper != nil || l.running != 0 {
				t.Errorf("something is left of a link: %+v", l)
			}
		}
	})
	return err
}

func whileRuns(f func()) chan struct{} {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	return done
}

func wantHeld(t *testing.T, c *fakeCrew, want string) {
	t.Helper()
	synctest.Wait()
	var has []string
	for _, l := range c.held() {
		has = append(has, fmt.Sprint(l.(*link.Link).ID, " ", l.(*link.Link).Peer.Name))
	}
	if got := strings.Join(has, ", "); got != want {
		t.Errorf("the child has %q, want %q", got, want)
	}
}

// TestGuardAccepts: nodes connect to an erluv that dials none, are served, and leave. The child
// stays.
func TestGuardAccepts(t *testing.T) {
	w := &fakeWorld{watchdog: time.Hour}
	ups := 0
	err := visited(t, w, func(g *guard) { g.up = func() { ups++ } }, func(v *visitors, stop func(string)) {
		if ups != 1 {
			t.Errorf("it is up %d times, without a node", ups)
		}
		v.knock("a@h", "ok")
		v.enter("a@h")
		c := w.crews[0]
		wantHeld(t, c, "1 a@h")
		v.knock("a@h", "alive")
		v.knock("b@h", "ok")
		v.enter("b@h")
		wantHeld(t, c, "1 a@h, 2 b@h")
		c.says <- crew.Event{Kind: crew.Lost, Link: 1, Err: errTest}
		wantHeld(t, c, "2 b@h")
		v.knock("a@h", "ok")
		c.says <- crew.Event{Kind: crew.Lost, Link: 2, Err: errTest}
		after(time.Minute)
		v.enter("a@h")
		wantHeld(t, c, "3 a@h")
		if len(w.crews) != 1 || len(v.guard.lines) != 1 || ups != 1 {
			t.Errorf("%d crews, %d links, up %d times", len(w.crews), len(v.guard.lines), ups)
		}
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"waiting for nodes", "node=us@h at=here", `"node gone" node=a@h why=test`, "target=b@h"} {
		if !strings.Contains(w.logged.String(), want) {
			t.Errorf("it does not log %q:\n%s", want, w.logged.String())
		}
	}
	said := strings.Join(w.log, "\n")
	for _, want := range []string{"STATUS=listening at here", "STATUS=serving a@h as us@h: no programs", "STATUS=serving a@h, b@h as us@h", "1m0s"} {
		if !strings.Contains(said, want) {
			t.Errorf("the service manager is not told %q:\n%s", want, said)
		}
	}
}

// TestGuardAcceptsAgain: a node connects again, with the cookie. It is served on the new connection
// once nothing is left of the old one. Before the proof nothing happens.
func TestGuardAcceptsAgain(t *testing.T) {
	w := &fakeWorld{}
	err := visited(t, w, nil, func(v *visitors, stop func(string)) {
		v.enter("a@h")
		c := w.crews[0]
		for range 3 {
			v.knock("a@h", "alive")
		}
		wantHeld(t, c, "1 a@h")
		v.enter("a@h")
		wantHeld(t, c, "1 a@h") // it is shut down, which the child will notice
		v.enter("a@h")          // and again
		v.knock("a@h", "alive")
		c.says <- crew.Event{Kind: crew.Lost, Link: 1, Err: errTest}
		wantHeld(t, c, "3 a@h")
		stop("term")
	})
	if err != nil || !strings.Contains(w.logged.String(), "node connects again") {
		t.Errorf("%v\n%s", err, w.logged.String())
	}
}

// TestGuardAcceptsInACrash: a node's connection is taken over like any other. A connection that it
// makes while there is no child is kept until there is one.
func TestGuardAcceptsInACrash(t *testing.T) {
	w := &fakeWorld{}
	err := visited(t, w, nil, func(v *visitors, stop func(string)) {
		v.enter("a@h")
		v.enter("b@h")
		w.crash()
		after(time.Second)
		v.enter("c@h")
		v.knock("a@h", "alive")
		v.enter("a@h") // again: its kept connection ends
		synctest.Wait()
		if len(w.keepers) != 4 {
			t.Errorf("%d connections are kept", len(w.keepers))
		}
		after(time.Second)
		w.keepers[2].says <- nil // respawn
		after(time.Second)
		wantSet(t, w.crews[1], "2 b@h", "3 c@h", "4 a@h")
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	w.wantSorted(t, "0s fall", "0s keep", "0s keep 2", "1s keep 3", "1s keep 4", "1s quit",
		"2s release 2", "2s release 3", "2s release 4", "3s ask term")
}

func wantSet(t *testing.T, c *fakeCrew, want ...string) {
	t.Helper()
	has := map[string]bool{}
	for _, l := range c.held() {
		has[fmt.Sprint(l.(*link.Link).ID, " ", l.(*link.Link).Peer.Name)] = true
	}
	for _, l := range want {
		if !has[l] {
			t.Errorf("the child lacks %s of %v", l, has)
		}
	}
	if len(has) != len(want) {
		t.Errorf("the child has %v", has)
	}
}

// TestGuardAcceptsAndReplacesInACrash: the node connects again between the child's death and the
// end of its roles. The old connection is not kept.
func TestGuardAcceptsAndReplacesInACrash(t *testing.T) {
	w := &fakeWorld{stubborn: true}
	err := visited(t, w, nil, func(v *visitors, stop func(string)) {
		v.enter("a@h")
		c := w.crews[0]
		c.says <- crew.Event{Kind: crew.Died, Err: errTest}
		synctest.Wait()
		v.enter("a@h")
		c.leave()
		synctest.Wait()
		if len(w.keepers) != 1 || w.keepers[2] == nil {
			t.Errorf("kept: %v", w.keepers)
		}
		w.stubborn = false
		w.keepers[2].says <- nil
		after(time.Second)
		wantHeld(t, w.crews[1], "2 a@h")
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
}

// TestGuardAcceptsNextInACrash: the only connection is lost while there is no child. The next one
// gets another child without a request for it.
func TestGuardAcceptsNextInACrash(t *testing.T) {
	w := &fakeWorld{}
	err := visited(t, w, nil, func(v *visitors, stop func(string)) {
		v.enter("a@h")
		w.crash()
		w.keeper.says <- errTest
		after(time.Minute)
		if len(w.crews) != 1 {
			t.Errorf("%d crews without a connection", len(w.crews))
		}
		v.enter("b@h")
		after(0)
		wantHeld(t, w.crews[1], "2 b@h")
		stop("term")
	})
	if err != nil || !strings.Contains(w.logged.String(), "no child, and no connection to tell of it") {
		t.Errorf("%v\n%s", err, w.logged.String())
	}
}

// TestGuardListensWithoutCrew: an erluv that dials no node ends with the error of its crew.
func TestGuardListensWithoutCrew(t *testing.T) {
	w := &fakeWorld{launches: func() error { return errTest }}
	if err := visited(t, w, nil, func(*visitors, func(string)) {}); !errors.Is(err, errTest) {
		t.Error(err)
	}
}

// TestGuardAcceptsDieTimeout: no node requests another child, and no dialled link has the error.
func TestGuardAcceptsDieTimeout(t *testing.T) {
	w := &fakeWorld{}
	err := visited(t, w, nil, func(v *visitors, stop func(string)) {
		v.enter("a@h")
		w.crash()
	})
	if ExitStatus(err) != statusDied {
		t.Error(err)
	}
}

// TestGuardMeets: a node on the list connects to erluv. It is not dialled while that connection
// lasts, and is dialled again afterwards.
func TestGuardMeets(t *testing.T) {
	w := &fakeWorld{lines: 1, connects: func(n int) error {
		if n < 3 {
			return &dist.Refused{Status: dist.StatusNotOK}
		}
		return nil
	}}
	err := visited(t, w, func(g *guard) { g.lines[0].target, g.lines[0].Meets, g.nodes.last = "them@h", true, 1 }, func(v *visitors, stop func(string)) {
		v.knock("them@h", "ok") // no attempt is under way
		v.enter("them@h")
		c := w.crews[0]
		wantHeld(t, c, "2 them@h")
		after(time.Minute)
		c.says <- crew.Event{Kind: crew.Lost, Link: 2, Err: errTest}
		after(time.Second)
		v.knock("them@h", "alive")
		v.enter("them@h") // the dialled one is replaced
		wantHeld(t, c, "1 them@h")
		c.says <- crew.Event{Kind: crew.Lost, Link: 1, Err: errTest}
		wantHeld(t, c, "3 them@h")
		after(time.Minute)
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	w.wantSorted(t, "0s refused", "1m0.1s refused", "1m0.3s connected", "2m1s ask term")
}

// TestGuardMeetsHalfway: both sides connect at once. The node with the greater name keeps its
// attempt. Erluv gives its own up when the other side has proved the cookie, not before.
func TestGuardMeetsHalfway(t *testing.T) {
	w := &fakeWorld{lines: 1, hangs: true}
	err := visited(t, w, func(g *guard) { g.lines[0].target, g.nodes.last = "zz@h", 1 }, func(v *visitors, stop func(string)) {
		v.knock("zz@h", "ok_simultaneous")
		v.guard.name = "zzz@h" // nothing else runs
		v.knock("zz@h", "nok")
		v.knock("other@h", "ok")
		synctest.Wait()
		if l := v.guard.lines[0]; l.State != link.Connecting {
			t.Errorf("our attempt is %v", l.State)
		}
		v.enter("zz@h")
		if l := v.guard.lines[0]; l.State != link.Met {
			t.Errorf("our attempt is %v", l.State)
		}
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
}

// TestGuardMeetsOneOfSeveral: with serve = first, a listed node that connects to erluv is the
// served one. When another node connects, the list is still dialled.
func TestGuardMeetsOneOfSeveral(t *testing.T) {
	w := &fakeWorld{lines: 1}
	var dialled []string
	down := map[string]bool{"a@h": true, "b@h": true}
	makes := func(g *guard) {
		c := &choice{known: make(chan struct{}), dial: func(_ context.Context, to discover.Target) (*link.Link, error) {
			dialled = append(dialled, to.Node)
			if down[to.Node] {
				return nil, errTest
			}
			return &link.Link{ID: 1, Local: dist.Local{Name: "us@h"}, Peer: dist.Peer{Name: to.Node}}, nil
		}, passed: func(discover.Target, error) {}}
		c.set(targets("a@h", "b@h"))
		g.lines[0].choice, g.lines[0].connect, g.lines[0].Always, g.nodes.choice, g.nodes.last = c, c.connect, true, c, 1
	}
	err := visited(t, w, makes, func(v *visitors, stop func(string)) {
		v.enter("c@h")
		after(time.Second)
		if len(dialled) < 4 || v.guard.lines[0].dials() != "" {
			t.Errorf("dialled: %v, now %q", dialled, v.guard.lines[0].dials())
		}
		v.enter("b@h")
		after(time.Second)
		n := len(dialled)
		after(time.Minute)
		if l := v.guard.lines[0]; l.State != link.Met || len(dialled) != n {
			t.Errorf("%v, dialled %v", l.State, dialled[n:])
		}
		down["a@h"] = false
		w.crews[0].says <- crew.Event{Kind: crew.Lost, Link: 3, Err: errTest}
		after(time.Second)
		wantHeld(t, w.crews[0], "2 c@h, 1 a@h")
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
}

// TestGuardFindsWhatIsThere: a found node that has already connected to erluv is not dialled. Its
// own connection continues when it is no longer listed.
func TestGuardFindsWhatIsThere(t *testing.T) {
	w := &fakeWorld{}
	synctest.Test(t, func(t *testing.T) {
		w.start = time.Now()
		say := make(chan []discover.Target)
		g := w.seeking(say)
		v := newVisitors(t, g)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- g.run(ctx) }()
		synctest.Wait()
		v.enter("a@h")
		say <- targets("a@h", "b@h")
		after(time.Second)
		wantHeld(t, w.crews[0], "1 a@h, 3 them@h") // in this world b is them@h
		say <- targets("b@h")
		after(time.Second)
		wantHeld(t, w.crews[0], "1 a@h, 3 them@h")
		if len(g.lines) != 2 {
			t.Errorf("%d links", len(g.lines))
		}
		cancel(errors.New("term"))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestGuardListensNoMore: when all dialled nodes have ended for good, erluv ends with their error.
// The others leave in order.
func TestGuardListensNoMore(t *testing.T) {
	refuse := make(chan error, 1)
	w := &fakeWorld{lines: 1}
	err := visited(t, w, func(g *guard) {
		g.lines[0].target, g.nodes.last = "b@h", 1
		refuse = make(chan error) // of the bubble
		g.lines[0].connect = func(context.Context) (*link.Link, error) { return nil, <-refuse }
	}, func(v *visitors, stop func(string)) {
		v.enter("a@h")
		wantHeld(t, w.crews[0], "2 a@h")
		refuse <- dist.ErrCookie
	})
	if ExitStatus(err) != statusRefused {
		t.Error(err)
	}
	wantLog(t, w, "0s ask no node is left to dial")
}

// TestGuardShuts: a node that comes when erluv is ending is refused. So is one beyond the maximum.
func TestGuardShuts(t *testing.T) {
	w := &fakeWorld{silent: true}
	err := visited(t, w, nil, func(v *visitors, stop func(string)) {
		for i := range ownShares().links {
			v.enter(fmt.Sprintf("n%d@h", i))
		}
		v.knock("one@h", "not_allowed")
		v.knock("n7@h", "alive")
		stop("term")
	})
	if err == nil || !strings.Contains(err.Error(), "did not stop") {
		t.Error(err)
	}
	g := &guard{log: slog.New(slog.DiscardHandler)}
	if a := g.decide("a@h", false); a.status != dist.StatusNotAllowed {
		t.Errorf("it answers %v", a)
	}
	g.accept(&link.Link{})
	if len(g.lines) != 0 {
		t.Errorf("%d links", len(g.lines))
	}
}
