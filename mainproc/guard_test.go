package mainproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"erluv/ipc"
	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

var errTest = errors.New("test")

// fakeWorld says yes to everything, or what a test tells it, and writes down
// what it was asked for and when.
type fakeWorld struct {
	start    time.Time
	log      []string
	lines    int               // links, if more than one
	connects func(n int) error // nil: yes; n counts from 1
	waits    bool              // the second link is made when slow is closed
	slow     chan struct{}
	launches func() error
	hangs    bool // connect and launch wait for the end of their context
	crews    []*fakeCrew
	stubborn bool                   // roles do not end by themselves
	refuses  atomic.Bool            // of a child that is handed a connection
	silent   bool                   // the child does not answer when it is asked to stop
	deaf     bool                   // it cannot be asked
	mute     atomic.Bool            // the child does not show that it lives
	doubt    error                  // nobody can go on with the connection that a crew has left
	keeper   *fakeKeeper            // the last one
	keepers  map[uint32]*fakeKeeper // by the number of the link
	n        int
	mu       sync.Mutex    // guards n, log, and what the crews have
	stays    bool          // see guard
	open     bool          // see guard; there is no line
	watchdog time.Duration // of a service manager that listens; 0: there is none
	logged   bytes.Buffer  // what the guard logs, in the form of slog
	quit     chan struct{}
	awaited  []string     // what crews were told of these
	opens    func(*guard) // its doors
}

func (w *fakeWorld) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf("%v ", time.Since(w.start))+fmt.Sprintf(format, args...))
}

func (w *fakeWorld) connect(ctx context.Context, id uint32) (*link.Link, error) {
	w.mu.Lock()
	w.n++
	n := w.n
	w.mu.Unlock()
	if w.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if w.connects != nil {
		if err := w.connects(n); err != nil {
			w.note("refused%s", name(id))
			return nil, err
		}
	}
	if id == 2 && w.slow != nil {
		<-w.slow
	}
	w.note("connected%s", name(id))
	return &link.Link{ID: id, Local: dist.Local{Name: "us@h"}, Peer: dist.Peer{Name: "them@h"}}, nil
}

// name tells the second link from the first.
func name(id uint32) string {
	if id == 1 {
		return ""
	}
	return fmt.Sprintf(" %d", id)
}

func (w *fakeWorld) launch(ctx context.Context) (roles, error) {
	if w.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if w.launches != nil {
		if err := w.launches(); err != nil {
			return nil, err
		}
	}
	c := &fakeCrew{w: w, gone: make(chan struct{}), says: make(chan crew.Event)}
	w.crews = append(w.crews, c)
	return c, nil
}

func (w *fakeWorld) keep(l *link.Link, _ etf.Term) (keeper, error) {
	w.note("keep%s", name(l.ID))
	w.keeper = &fakeKeeper{w: w, id: l.ID, orders: make(chan link.Order, 10), says: make(chan error)}
	if w.keepers == nil {
		w.keepers = map[uint32]*fakeKeeper{}
	}
	w.keepers[l.ID] = w.keeper
	return w.keeper, nil
}

// fakeKeeper does what it is ordered to.
type fakeKeeper struct {
	w      *fakeWorld
	id     uint32
	orders chan link.Order
	says   chan error // nil: a wish for a new child
}

func (k *fakeKeeper) Serve(respawn func()) error {
	for {
		select {
		case err := <-k.says:
			if err != nil {
				return err
			}
			respawn()
		case o := <-k.orders:
			k.w.note("%s%s", [...]string{link.OrderDown: "down", link.OrderRelease: "release", link.OrderLeave: "leave", link.OrderQuit: "quit"}[o.Kind], name(k.id))
			if o.Kind != link.OrderDown {
				return nil
			}
		}
	}
}

func (k *fakeKeeper) Order(o link.Order) { k.orders <- o }

func (k *fakeKeeper) Close() {}

type fakeCrew struct {
	w      *fakeWorld
	says   chan crew.Event
	gone   chan struct{}
	isGone bool
	has    []crew.Connection
}

func (c *fakeCrew) Hand(_ context.Context, l crew.Connection) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.has = append(c.has, l)
	if c.w.refuses.Load() {
		return errTest
	}
	return nil
}

// held are the connections that it has.
func (c *fakeCrew) held() []crew.Connection {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return slices.Clone(c.has)
}

func (c *fakeCrew) TakeBack(l crew.Connection) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.has = slices.DeleteFunc(c.has, func(other crew.Connection) bool { return other == l })
}

func (c *fakeCrew) Standing() []any { return []any{"child", 1} }
func (c *fakeCrew) Answers() bool   { return !c.w.mute.Load() }

func (c *fakeCrew) Watch(report func(crew.Event)) {
	for {
		select {
		case e := <-c.says:
			report(e)
		case <-c.gone:
			report(crew.Event{Kind: crew.Died, Err: errors.New("child: status 0")})
			report(crew.Event{Kind: crew.Died, Err: errors.New("spawner: status 0")})
			return
		}
	}
}

func (c *fakeCrew) Ask(reason string) error {
	c.w.note("ask %s", reason)
	if c.w.deaf {
		return errTest
	}
	if !c.w.silent {
		go func() {
			select {
			case c.says <- crew.Event{Kind: crew.Stopped}:
			case <-c.gone:
			}
		}()
	}
	return nil
}

func (c *fakeCrew) Await(nodes []ipc.Waits) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.awaited = append(c.w.awaited, fmt.Sprint(nodes))
	return nil
}

func (c *fakeCrew) End() {
	if !c.w.stubborn {
		c.leave()
	}
}

func (c *fakeCrew) Kill() {
	c.w.note("kill")
	c.leave()
}

func (c *fakeCrew) leave() {
	if !c.isGone {
		c.isGone = true
		close(c.gone)
	}
}

func (c *fakeCrew) Close() {}

func (c *fakeCrew) Fall() {
	c.w.note("fall")
	if !c.w.stubborn {
		c.leave()
	}
}

func (c *fakeCrew) Left() (etf.Term, error) { return etf.Atom("test"), c.w.doubt }

// guard is one with as many lines as w has.
func (w *fakeWorld) guard() *guard {
	g := &guard{world: w, log: slog.New(slog.NewTextHandler(&w.logged, nil)), told: w.service(), quit: w.quit}
	g.team.StopBound, g.team.DieTimeout = 7*time.Second, 5*time.Second
	g.stays, g.open = w.stays, w.open
	if w.open {
		return g
	}
	for id := range uint32(max(w.lines, 1)) {
		l := &line{id: id + 1, target: []string{"one", "two"}[min(id, 1)], connect: func(ctx context.Context) (*link.Link, error) { return w.connect(ctx, id+1) }}
		l.Retry, l.Jitter = true, func(d time.Duration) time.Duration { return d }
		g.lines = append(g.lines, l)
	}
	if w.opens != nil {
		w.opens(g)
	}
	return g
}

// during runs a guard on w in a bubble of fake time while f plays the world's
// part, and returns the guard's error.
func during(t *testing.T, w *fakeWorld, f func(stop func(string))) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w.start = time.Now()
		w.quit = make(chan struct{}) // of the bubble
		if w.waits {
			w.slow = make(chan struct{}) // of the bubble
		}
		g := w.guard()
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			err = g.run(ctx)
		}()
		synctest.Wait()
		f(func(reason string) { cancel(errors.New(reason)) })
		<-done
		cancel(nil)
		if g.team.roles != nil || g.team.running != 0 || g.team.handing != 0 {
			t.Errorf("something is left of the crew: %+v", g.team)
		}
		for _, l := range g.lines {
			if l.link != nil || l.keeper != nil || l.running != 0 {
				t.Errorf("something is left of a link: %+v", l)
			}
		}
	})
	return err
}

// after lets time pass and what it brings happen.
func after(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func wantLog(t *testing.T, w *fakeWorld, want ...string) {
	t.Helper()
	if got := strings.Join(w.log, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("it did\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

var errLost = crew.Event{Kind: crew.Stopped, Err: errors.New("the connection was lost")}

// TestGuardReconnects: the delays double, and begin anew after a steady time.
func TestGuardReconnects(t *testing.T) {
	w := &fakeWorld{connects: func(n int) error {
		if n > 1 && n < 5 {
			return errors.New("nothing listens")
		}
		return nil
	}}
	err := during(t, w, func(stop func(string)) {
		w.crews[0].says <- errLost
		after(time.Minute)
		w.crews[1].says <- errLost
		after(time.Minute)
		stop("enough")
	})
	if err != nil {
		t.Error(err)
	}
	wantLog(t, w,
		"0s connected", "100ms refused", "300ms refused", "700ms refused", "1.5s connected",
		"1m0.1s connected", "2m0s ask enough")
}

func TestGuardFirstFailure(t *testing.T) {
	for name, w := range map[string]*fakeWorld{
		"connect": {connects: func(int) error { return errTest }},
		"launch":  {launches: func() error { return errTest }},
	} {
		if err := during(t, w, func(func(string)) {}); !errors.Is(err, errTest) {
			t.Errorf("%s: %v", name, err)
		}
		if w.n != 1 {
			t.Errorf("%s: %d attempts", name, w.n)
		}
	}
}

// TestGuardRefused: a reconnect that is refused for good ends it; a taken name
// does not.
func TestGuardRefused(t *testing.T) {
	w := &fakeWorld{connects: func(n int) error {
		switch n {
		case 2:
			return &dist.Refused{Status: dist.StatusAlive}
		case 3:
			return fmt.Errorf("wrapped: %w", dist.ErrCookie)
		}
		return nil
	}}
	err := during(t, w, func(func(string)) { w.crews[0].says <- errLost })
	if ExitStatus(err) != statusRefused || w.n != 3 {
		t.Errorf("%v after %d attempts", err, w.n)
	}
}

// TestGuardStops: an orderly stop from each state.
func TestGuardStops(t *testing.T) {
	t.Run("serving", func(t *testing.T) {
		w := &fakeWorld{}
		if err := during(t, w, func(stop func(string)) { stop("term") }); err != nil {
			t.Error(err)
		}
		wantLog(t, w, "0s connected", "0s ask term")
	})
	t.Run("connecting", func(t *testing.T) {
		w := &fakeWorld{hangs: true}
		if err := during(t, w, func(stop func(string)) { stop("term") }); err != nil {
			t.Error(err)
		}
	})
	t.Run("waiting", func(t *testing.T) {
		w := &fakeWorld{connects: func(n int) error {
			if n > 1 {
				return errTest
			}
			return nil
		}}
		err := during(t, w, func(stop func(string)) {
			w.crews[0].says <- errLost
			after(250 * time.Millisecond)
			stop("term")
		})
		if err != nil {
			t.Error(err)
		}
		wantLog(t, w, "0s connected", "100ms refused")
	})
	t.Run("by the node", func(t *testing.T) {
		w := &fakeWorld{}
		if err := during(t, w, func(func(string)) { w.crews[0].says <- crew.Event{Kind: crew.Stopped} }); err != nil {
			t.Error(err)
		}
		wantLog(t, w, "0s connected")
	})
}

// TestGuardBounds: who does not end is killed, and when.
func TestGuardBounds(t *testing.T) {
	t.Run("silent child", func(t *testing.T) {
		w := &fakeWorld{silent: true, stubborn: true}
		err := during(t, w, func(stop func(string)) { stop("term") })
		if err == nil || !strings.Contains(err.Error(), "was killed") {
			t.Error(err)
		}
		wantLog(t, w, "0s connected", "0s ask term", "7s kill")
	})
	t.Run("a child that cannot be asked", func(t *testing.T) {
		w := &fakeWorld{deaf: true, stubborn: true}
		err := during(t, w, func(stop func(string)) { stop("term") })
		if err == nil || !strings.Contains(err.Error(), "before it had stopped") {
			t.Error(err)
		}
		wantLog(t, w, "0s connected", "0s ask term", "0s kill")
	})
	t.Run("roles that stay", func(t *testing.T) {
		w := &fakeWorld{stubborn: true}
		if err := during(t, w, func(stop func(string)) { stop("term") }); err != nil {
			t.Error(err)
		}
		wantLog(t, w, "0s connected", "0s ask term", "2s kill")
	})
	t.Run("broken child", func(t *testing.T) {
		w := &fakeWorld{stubborn: true}
		err := during(t, w, func(func(string)) { w.crews[0].says <- crew.Event{Kind: crew.Broken, Err: errTest} })
		if !errors.Is(err, errTest) {
			t.Error(err)
		}
		wantLog(t, w, "0s connected", "0s fall", "2s kill", "2s keep", "7s leave")
	})
}

// TestGuardCrash: a role dies; the other ends, and the connection is kept until a
// new crew serves it.
func TestGuardCrash(t *testing.T) {
	w := &fakeWorld{}
	err := during(t, w, func(stop func(string)) {
		w.crash()
		after(time.Second)
		w.keeper.says <- nil
		after(400 * time.Millisecond)
		w.crash()
		after(time.Second)
		w.keeper.says <- nil
		w.keeper.says <- nil // it is on its way
		after(time.Second)
		if len(w.crews) != 3 || w.n != 1 {
			t.Errorf("%d crews, %d connections", len(w.crews), w.n)
		}
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	wantLog(t, w, "0s connected", "0s fall", "0s keep", "1s release",
		"1.4s fall", "1.4s keep", "2.5s release", "3.4s ask term")
}

func (w *fakeWorld) crash() {
	w.crews[len(w.crews)-1].says <- crew.Event{Kind: crew.Died, Err: errors.New("the child was killed")}
	synctest.Wait()
}

// TestGuardDieTimeout: nobody wants a new child, or it cannot be had.
func TestGuardDieTimeout(t *testing.T) {
	w := &fakeWorld{}
	err := during(t, w, func(func(string)) { w.crash() })
	if ExitStatus(err) != 4 {
		t.Error(err)
	}
	wantLog(t, w, "0s connected", "0s fall", "0s keep", "5s leave")

	failing := false
	w = &fakeWorld{launches: func() error {
		if failing {
			return errTest
		}
		return nil
	}}
	err = during(t, w, func(func(string)) {
		w.crash()
		failing = true
		after(4 * time.Second)
		w.keeper.says <- nil
		after(time.Second) // the time begins anew
	})
	if ExitStatus(err) != 4 || !errors.Is(err, errTest) {
		t.Error(err)
	}
	wantLog(t, w, "0s connected", "0s fall", "0s keep", "4s down", "9s leave")
}

// TestGuardCrashBounds: roles that do not end after a crash are killed.
func TestGuardCrashBounds(t *testing.T) {
	w := &fakeWorld{stubborn: true}
	err := during(t, w, func(stop func(string)) {
		w.crash()
		after(3 * time.Second)
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	wantLog(t, w, "0s connected", "0s fall", "2s kill", "2s keep", "3s leave")
}

// TestGuardKeepsNoMore: the connection cannot be gone on with, or is lost while
// there is no child; then it is made anew, with a new crew.
func TestGuardKeepsNoMore(t *testing.T) {
	w := &fakeWorld{doubt: errTest}
	err := during(t, w, func(stop func(string)) {
		w.crash()
		after(time.Second)
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	wantLog(t, w, "0s connected", "0s fall", "100ms connected", "1s ask term")

	w = &fakeWorld{}
	err = during(t, w, func(stop func(string)) {
		w.crash()
		w.keeper.says <- errTest
		after(time.Second)
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	wantLog(t, w, "0s connected", "0s fall", "0s keep", "100ms connected", "1s ask term")
}

// TestGuardStopsWithoutChild: an orderly stop has the last words said.
func TestGuardStopsWithoutChild(t *testing.T) {
	for name, when := range map[string]struct {
		stubborn bool
		hold     bool // the launch
		before   func(w *fakeWorld)
		want     []string
	}{
		"falling": {
			stubborn: true, before: func(w *fakeWorld) {},
			want: []string{"0s fall", "2s kill", "2s keep", "2s leave"},
		},
		"down": {before: func(w *fakeWorld) {}, want: []string{"0s fall", "0s keep", "0s leave"}},
		"resting": {before: func(w *fakeWorld) {
			w.keeper.says <- nil
			synctest.Wait()
			w.crash()
			w.keeper.says <- nil
			after(50 * time.Millisecond)
		}, want: []string{"0s fall", "0s keep", "0s release", "0s fall", "0s keep", "50ms leave"}},
		"rising": {before: func(w *fakeWorld) {
			w.hangs = true
			w.keeper.says <- nil
			after(time.Second)
		}, want: []string{"0s fall", "0s keep", "1s leave"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &fakeWorld{stubborn: when.stubborn}
			err := during(t, w, func(stop func(string)) {
				w.crash()
				when.before(w)
				stop("term")
			})
			if err != nil {
				t.Error(err)
			}
			wantLog(t, w, append([]string{"0s connected"}, when.want...)...)
		})
	}
}

// TestGuardUp: Up is called when the node is up, and once.
func TestGuardUp(t *testing.T) {
	ups := 0
	w := &fakeWorld{}
	synctest.Test(t, func(t *testing.T) {
		g := w.guard()
		g.up = func() { ups++ }
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- g.run(ctx) }()
		synctest.Wait()
		if ups != 1 {
			t.Errorf("up %d times", ups)
		}
		w.crews[0].says <- errLost
		after(time.Second)
		cancel(errors.New("term"))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if ups != 1 || w.n != 2 {
		t.Errorf("up %d times in %d connections", ups, w.n)
	}
}

// TestGuardCrashOfTwo: a crash is told on each link; each is taken over, and handed to the
// next child.
func TestGuardCrashOfTwo(t *testing.T) {
	w := &fakeWorld{lines: 2}
	err := during(t, w, func(stop func(string)) {
		if n := len(w.crews[0].held()); n != 2 || len(w.crews) != 1 {
			t.Errorf("the first child of %d has %d connections", len(w.crews), n)
		}
		w.crash()
		after(time.Second)
		w.keepers[2].says <- nil
		after(time.Second)
		if n := len(w.crews[1].held()); n != 2 || len(w.crews) != 2 {
			t.Errorf("the second child of %d has %d connections", len(w.crews), n)
		}
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	w.wantSorted(t, "0s connected", "0s connected 2", "0s fall", "0s keep", "0s keep 2",
		"1s release", "1s release 2", "2s ask term")
}

// TestGuardDieTimeoutOfTwo: the last words are said on each link.
func TestGuardDieTimeoutOfTwo(t *testing.T) {
	w := &fakeWorld{lines: 2}
	err := during(t, w, func(func(string)) { w.crash() })
	if ExitStatus(err) != statusDied {
		t.Error(err)
	}
	w.wantSorted(t, "0s connected", "0s connected 2", "0s fall", "0s keep", "0s keep 2", "5s leave", "5s leave 2")
}

// TestGuardLosesOneOfTwo: while there is no child one link is lost, and the other is kept
// until there is one; the lost one is made anew, and kept too.
func TestGuardLosesOneOfTwo(t *testing.T) {
	w := &fakeWorld{lines: 2}
	err := during(t, w, func(stop func(string)) {
		w.crash()
		after(time.Second)
		w.keepers[2].says <- errTest
		after(time.Second)
		w.keepers[1].says <- nil
		after(time.Second)
		if n := len(w.crews[1].held()); n != 2 || len(w.crews) != 2 {
			t.Errorf("the second child of %d has %d connections", len(w.crews), n)
		}
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	w.wantSorted(t, "0s connected", "0s connected 2", "0s fall", "0s keep", "0s keep 2",
		"1.1s connected 2", "1.1s keep 2", "2s release", "2s release 2", "3s ask term")
}

// TestGuardOneOfTwoIsLost: the child says that one connection has ended. It is closed at once and
// made anew by itself, and the child that goes on serving the other is given it.
func TestGuardOneOfTwoIsLost(t *testing.T) {
	w := &fakeWorld{lines: 2}
	err := during(t, w, func(stop func(string)) {
		c := w.crews[0]
		c.says <- crew.Event{Kind: crew.Lost, Link: 2, Err: errTest}
		synctest.Wait()
		if has := c.held(); len(has) != 1 || has[0].(*link.Link).ID != 1 {
			t.Errorf("the child has %v", has)
		}
		after(time.Second)
		if has := c.held(); len(has) != 2 || len(w.crews) != 1 {
			t.Errorf("the child of %d has %v", len(w.crews), has)
		}
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	w.wantSorted(t, "0s connected", "0s connected 2", "100ms connected 2", "1s ask term")
}

// TestGuardTellsWhatIsAwaited: each child is told once to which nodes there is no connection, and why.
func TestGuardTellsWhatIsAwaited(t *testing.T) {
	w := &fakeWorld{lines: 2, connects: func(n int) error {
		if n == 3 || n == 4 {
			return errors.New("refused")
		}
		return nil
	}}
	err := during(t, w, func(stop func(string)) {
		w.awaited = nil // one link was made first
		w.crews[0].says <- crew.Event{Kind: crew.Lost, Link: 2, Err: errTest}
		after(time.Minute)
		w.crash()
		after(time.Second)
		w.keepers[1].says <- nil
		after(time.Second)
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	if got, want := fmt.Sprint(w.awaited), "[[{two test}] [{two refused}] []]"; got != want {
		t.Errorf("the children were told %s, want %s", got, want)
	}
}

// TestGuardLosesUnknown: a child that says so of what it never had is not to be relied on.
func TestGuardLosesUnknown(t *testing.T) {
	w := &fakeWorld{lines: 2}
	err := during(t, w, func(stop func(string)) {
		w.crews[0].says <- crew.Event{Kind: crew.Lost, Link: 3, Err: errTest}
		synctest.Wait()
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	w.wantSorted(t, "0s connected", "0s connected 2", "0s fall", "0s keep", "0s keep 2", "0s leave", "0s leave 2")
}

// TestGuardOneEnds: a link that cannot be made ends, and the other goes on.
func TestGuardOneEnds(t *testing.T) {
	w := &fakeWorld{lines: 2, connects: func(n int) error {
		if n == 2 {
			return errTest
		}
		return nil
	}}
	err := during(t, w, func(stop func(string)) {
		after(time.Minute)
		if n := len(w.crews[0].held()); n != 1 || len(w.crews) != 1 {
			t.Errorf("the child of %d has %d connections", len(w.crews), n)
		}
		stop("term")
	})
	if !errors.Is(err, errTest) {
		t.Error(err)
	}
}

// TestGuardWaitsForTheRest: a connection that was lost is closed at once, and not made anew
// before all of its crew is gone.
func TestGuardWaitsForTheRest(t *testing.T) {
	w := &fakeWorld{stubborn: true}
	err := during(t, w, func(stop func(string)) {
		first := w.crews[0]
		first.says <- errLost
		synctest.Wait()
		if n := len(first.held()); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		after(3 * time.Second)
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	wantLog(t, w, "0s connected", "2s kill", "2.1s connected", "3s ask term", "5s kill")
}

// TestGuardLosesTheFirst: a child that stops for want of a connection is not the end of a
// link that is still being made: it gets the next child.
func TestGuardLosesTheFirst(t *testing.T) {
	w := &fakeWorld{lines: 2, waits: true}
	err := during(t, w, func(stop func(string)) {
		w.crews[0].says <- errLost
		after(50 * time.Millisecond)
		close(w.slow)
		after(time.Second)
		stop("term")
	})
	if err != nil || len(w.crews) != 2 {
		t.Errorf("%d crews, %v", len(w.crews), err)
	}
	w.wantSorted(t, "0s connected", "50ms connected 2", "100ms connected", "1.05s ask term")
}

// TestGuardRefusedByChild: a child that does not take a connection is ended, with what has
// begun, and another is tried later, if any was up before.
func TestGuardRefusedByChild(t *testing.T) {
	w := &fakeWorld{}
	w.refuses.Store(true)
	if err := during(t, w, func(func(string)) {}); !errors.Is(err, errTest) || len(w.crews) != 1 {
		t.Errorf("%d crews, %v", len(w.crews), err)
	}
	w = &fakeWorld{}
	err := during(t, w, func(stop func(string)) {
		w.refuses.Store(true)
		w.crews[0].says <- errLost
		after(400 * time.Millisecond)
		w.refuses.Store(false)
		after(time.Second)
		stop("term")
	})
	if err != nil || len(w.crews) != 4 {
		t.Errorf("%d crews, %v", len(w.crews), err)
	}
	w = &fakeWorld{}
	err = during(t, w, func(stop func(string)) { // after a crash it is one more of these
		w.crash()
		w.refuses.Store(true)
		w.keeper.says <- nil
		synctest.Wait()
		w.refuses.Store(false)
		w.keeper.says <- nil
		after(time.Second)
		stop("term")
	})
	if err != nil || len(w.crews) != 3 {
		t.Errorf("%d crews, %v", len(w.crews), err)
	}
}

// wantSorted is wantLog where links may take turns.
func (w *fakeWorld) wantSorted(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(w.log)
	slices.Sort(want)
	wantLog(t, w, want...)
}

// TestGuardSaysHowItStands: somebody asks how main stands, and it goes on.
func TestGuardSaysHowItStands(t *testing.T) {
	w := &fakeWorld{lines: 2}
	err := during(t, w, func(stop func(string)) {
		w.quit <- struct{}{}
		w.crews[0].says <- crew.Event{Kind: crew.Died, Err: errTest}
		synctest.Wait()
		w.quit <- struct{}{}
		stop("term")
	})
	if err != nil {
		t.Error(err)
	}
	var lines []string
	for line := range strings.Lines(w.logged.String()) {
		if _, said, ok := strings.Cut(line, `msg="how main stands`); ok {
			lines = append(lines, strings.TrimSpace(said))
		}
	}
	want := []string{
		`" crew=serving links=2 goroutines=1 handing=0 child=1`,
		`: a link" state=served goroutines=0 node=us@h target=them@h`,
		`: a link" state=served goroutines=0 node=us@h target=them@h`,
		`" crew=down links=2 goroutines=0 handing=0 error=` + errTest.Error(),
		`: a link" state=kept goroutines=1 node=us@h target=them@h`,
		`: a link" state=kept goroutines=1 node=us@h target=them@h`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
