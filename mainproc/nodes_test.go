package mainproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"erluv/config"
	"erluv/discover"
	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/wire/dist"
)

func targets(names ...string) (list []discover.Target) {
	for _, name := range names {
		list = append(list, discover.Target{Node: name})
	}
	return list
}

// TestChoice: the first node that accepts is chosen. After its loss, those behind it are tried,
// then those before.
func TestChoice(t *testing.T) {
	var asked []string
	down := map[string]error{}
	c := &choice{known: make(chan struct{}), dial: func(_ context.Context, to discover.Target) (*link.Link, error) {
		asked = append(asked, to.Node)
		return &link.Link{}, down[to.Node]
	}}
	var passed []string
	c.passed = func(to discover.Target, err error) { passed = append(passed, to.Node+": "+err.Error()) }
	c.set(targets("a", "b", "c"))
	connect := func(want ...string) error {
		t.Helper()
		asked = nil
		_, err := c.connect(t.Context())
		if !slices.Equal(asked, want) {
			t.Errorf("asked %v, want %v", asked, want)
		}
		return err
	}
	_ = connect("a")
	_ = connect("b")
	down["c"] = errors.New("c is down")
	_ = connect("c", "a")
	c.set(targets("d", "a", "c"))
	_ = connect("c", "d")
	c.set(targets("c", "e")) // d is no longer listed
	_ = connect("c", "e")
	down["e"] = dist.ErrCookie
	err := connect("c", "e")
	if err == nil || err.Error() != "c is down; "+dist.ErrCookie.Error() || link.IsFinal(err) || ExitStatus(err) != 1 {
		t.Errorf("%v (final %v, status %d)", err, link.IsFinal(err), ExitStatus(err))
	}
	down["c"] = dist.ErrCookie
	if err := connect("c", "e"); !link.IsFinal(err) || ExitStatus(err) != 3 {
		t.Errorf("%v (final %v, status %d)", err, link.IsFinal(err), ExitStatus(err))
	}
	// A node that is busy with us is asked again, regardless of the others' answers.
	down["e"] = &dist.Refused{Status: dist.StatusNotOK}
	if err := connect("c", "e"); !link.IsMeeting(err) || link.IsFinal(err) {
		t.Errorf("%v (final %v)", err, link.IsFinal(err))
	}
	// It reports refusals only when another node accepts.
	if want := []string{"c: c is down", "c: c is down", "c: c is down"}; !slices.Equal(passed, want) {
		t.Errorf("passed over: %q, want %q", passed, want)
	}
	// Without any node it waits until one is known.
	c.set(nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := c.connect(ctx); done <- err }()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go func() { _, err := c.connect(t.Context()); done <- err }()
	c.set(targets("z"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// seeking returns a guard that serves all nodes of a finder; the test sends these to say.
func (w *fakeWorld) seeking(say chan []discover.Target) *guard {
	g := w.guard()
	g.lines = nil
	g.nodes.line = func(id uint32, to discover.Target) *line {
		l := &line{id: id, target: to.Node, connect: func(ctx context.Context) (*link.Link, error) { return w.connect(ctx, id) }}
		l.Retry, l.Always, l.Jitter = true, true, func(d time.Duration) time.Duration { return d }
		return l
	}
	g.nodes.seek = func(ctx context.Context, tell func([]discover.Target, error)) {
		for {
			select {
			case found := <-say:
				tell(found, nil)
			case <-ctx.Done():
				return
			}
		}
	}
	return g
}

// finds runs such a guard, while do sends the nodes, and stops it in order.
func (w *fakeWorld) finds(t *testing.T, do func(g *guard, say chan<- []discover.Target)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w.start = time.Now()
		say := make(chan []discover.Target)
		g := w.seeking(say)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- g.run(ctx) }()
		do(g, say)
		cancel(errors.New("term"))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestGuardFinds: listed nodes get a connection while erluv runs. A node that is no longer listed
// keeps its connection until that is lost. Then it is not dialled until it is listed again.
func TestGuardFinds(t *testing.T) {
	w := &fakeWorld{connects: func(int) error { return nil }}
	w.finds(t, func(g *guard, say chan<- []discover.Target) {
		after(time.Second)
		if len(w.crews) != 0 {
			t.Errorf("%d crews without a node", len(w.crews))
		}
		say <- targets("a", "b")
		after(time.Second)
		say <- targets("b", "c")
		after(time.Second)
		c := w.crews[0]
		if len(c.has) != 3 || len(w.crews) != 1 {
			t.Errorf("the child of %d has %v", len(w.crews), c.has)
		}
		c.says <- crew.Event{Kind: crew.Lost, Link: 1, Err: errTest}
		c.says <- crew.Event{Kind: crew.Lost, Link: 2, Err: errTest}
		after(time.Minute)
		if ids := fmt.Sprint(idsOf(c)); ids != "[2 3]" {
			t.Errorf("the child has %s", ids)
		}
		say <- targets("a", "b", "c")
		after(time.Second)
		if ids := fmt.Sprint(idsOf(c)); ids != "[2 3 4]" {
			t.Errorf("the child has %s", ids)
		}
	})
	w.wantSorted(t, "1s connected", "1s connected 2", "2s connected 3", "3.1s connected 2", "1m3s connected 4", "1m4s ask term")
}

func idsOf(c *fakeCrew) (ids []uint32) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for _, l := range c.has {
		ids = append(ids, l.(*link.Link).ID)
	}
	slices.Sort(ids)
	return ids
}

// TestGuardFindsAndLeaves: an attempt at a node that is no longer listed is cancelled. Nodes that
// are found after the stop change nothing.
func TestGuardFindsAndLeaves(t *testing.T) {
	w := &fakeWorld{hangs: true}
	w.finds(t, func(g *guard, say chan<- []discover.Target) {
		say <- targets("a", "b")
		after(time.Second)
		say <- targets("b")
		after(time.Second)
		say <- targets("b") // ended links are forgotten
		after(time.Second)
		if len(g.lines) != 1 || g.lines[0].target != "b" || g.lines[0].State != link.Connecting {
			t.Errorf("lines: %+v", g.lines)
		}
	})
}

// TestGuardRetiredIsLost: the lost connection to a node that is no longer listed is no failure.
func TestGuardRetiredIsLost(t *testing.T) {
	w := &fakeWorld{connects: func(int) error { return nil }}
	w.finds(t, func(g *guard, say chan<- []discover.Target) {
		say <- targets("a", "b")
		after(time.Second)
		say <- targets("b")
		after(time.Second)
		w.crews[0].says <- crew.Event{Kind: crew.Lost, Link: 1, Err: errTest}
		synctest.Wait()
		if len(g.lines) != 2 || g.lines[0].State != link.Ended || g.lines[0].Err == nil {
			t.Errorf("lines: %+v", g.lines)
		}
	})
}

// TestUnknown: the list of nodes cannot be read.
func TestUnknown(t *testing.T) {
	source, err := discover.ParseSource("file:"+filepath.Join(t.TempDir(), "missing"), "")
	if err != nil {
		t.Fatal(err)
	}
	cfg := newNode(t).config()
	cfg.Targets, cfg.Source = nil, source
	if _, err := Ping(t.Context(), cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ping: %v", err)
	}
	if _, _, err := Client(t.Context(), cfg, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a client: %v", err)
	}
	var log bytes.Buffer
	g := &guard{log: slog.New(slog.NewTextHandler(&log, nil))}
	g.nodes.stop()
	g.found(targets("a@h"), errTest)
	if len(g.lines) != 0 || !strings.Contains(log.String(), `"cannot ask which nodes there are" error=test`) {
		t.Errorf("%d links when it is about to end\n%s", len(g.lines), log.String())
	}
}

// TestDial: the configuration decides how many links there are, and where they lead.
func TestDial(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nodes")
	if err := os.WriteFile(file, []byte("a@h\nb@h\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	source, err := discover.ParseSource("file:"+file, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cfg    config.Config
		lines  int  // at once
		seeks  bool // and these are found later
		always bool
		links  int // for a@h and b@h
	}{
		"one":           {config.Config{Serve: config.ServeFirst, Targets: targets("a@h")}, 1, false, false, 1},
		"the first":     {config.Config{Serve: config.ServeFirst, Targets: targets("a@h", "b@h")}, 1, false, false, 1},
		"all":           {config.Config{Serve: config.ServeAll, Targets: targets("a@h", "b@h")}, 2, false, true, 2},
		"all, found":    {config.Config{Serve: config.ServeAll, Source: source}, 0, true, true, 2},
		"first, found":  {config.Config{Serve: config.ServeFirst, Source: source}, 1, true, true, 1},
		"one, patient":  {config.Config{Serve: config.ServeFirst, Targets: targets("a@h"), Reconnect: config.ReconnectAlways}, 1, false, true, 1},
		"all, only one": {config.Config{Serve: config.ServeAll, Targets: targets("a@h")}, 1, false, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := &guard{log: slog.New(slog.DiscardHandler)}
			tt.cfg.DiscoverInterval = time.Hour
			g.dial(&tt.cfg, link.NewSelf(&tt.cfg), nil)
			if len(g.lines) != tt.lines || (g.nodes.seek != nil) != tt.seeks {
				t.Fatalf("%d links, more are sought: %v", len(g.lines), g.nodes.seek != nil)
			}
			if tt.seeks {
				ctx, cancel := context.WithCancel(t.Context())
				g.nodes.seek(ctx, func(found []discover.Target, err error) {
					if len(found) != 2 || err != nil {
						t.Errorf("found %v, %v", found, err)
					}
					g.aim(found)
					cancel()
				})
			}
			if len(g.lines) != tt.links {
				t.Errorf("%d links", len(g.lines))
			}
			for _, l := range g.lines {
				if l.Meets != (len(tt.cfg.Targets) > 1) {
					t.Errorf("%s: it may be met: %v", l.target, l.Meets)
				}
				if l.Always != tt.always || l.connect == nil || l.target == "" {
					t.Errorf("a link to %q, always: %v", l.target, l.Always)
				}
			}
		})
	}
}
