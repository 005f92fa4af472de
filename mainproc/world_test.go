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

// fakeWorld permits everything, or what a test decides. It records all requests and their times.
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
	refuses  atomic.Bool            // the child refuses a connection
	silent   bool                   // the child does not answer when it is asked to stop
	deaf     bool                   // it cannot be asked
	mute     atomic.Bool            // the child gives no sign of life
	doubt    error                  // the connection that a crew has left cannot continue
	keeper   *fakeKeeper            // the last one
	keepers  map[uint32]*fakeKeeper // by the number of the link
	n        int
	mu       sync.Mutex    // guards n, log, and what the crews have
	stays    bool          // see guard
	open     bool          // see guard; there is no line
	watchdog time.Duration // of a service manager that listens; 0: none
	logged   bytes.Buffer  // what the guard logs, in the form of slog
	quit     chan struct{}
	awaited  []string     // the lists of nodes that crews got
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

// name distinguishes the second link from the first.
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

// fakeKeeper carries out its orders.
type fakeKeeper struct {
	w      *fakeWorld
	id     uint32
	orders chan link.Order
	says   chan error // nil: a request of a new child
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

// held returns the connections that the crew has.
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

// guard returns a guard with as many lines as w has.
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

// during runs a guard on w in a bubble of fake time, while f plays the world. It returns the
// guard's error.
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

// after lets time pass, and waits for its effects.
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
