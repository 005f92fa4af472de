package mainproc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"erluv/mainproc/crew"
	"erluv/wire/dist"
)

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

// TestGuardRefused: a final refusal ends the reconnecting; a taken name does not.
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

// TestGuardBounds: roles that do not end are killed in time.
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

// TestGuardCrash: a role dies. The other one ends, and the connection is kept until a new crew
// serves it.
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

// TestGuardDieTimeout: no node requests a new child, or it cannot be started.
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

// TestGuardKeepsNoMore: the connection cannot continue, or is lost while there is no child. It is
// then made anew, with a new crew.
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

// TestGuardStopsWithoutChild: an orderly stop sends the last messages.
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

// TestGuardUp: Up is called once, when the node is up.
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

// TestGuardSaysHowItStands: main logs its state on request, and continues.
func TestGuardSaysHowItStands(t *testing.T) {
	w := &fakeWorld{lines: 2}
	err := during(t, w, func(stop func(string)) {
		w.quit <- struct{}{}
		w.crews[0].says <- crew.Event{Kind: crew.Died, Err: errTest}
		synctest.Wait()
		w.quit <- struct{}{}
		w.keepers[1].says <- errTest
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
		`" crew=down links=2 goroutines=0 handing=0 error=` + errTest.Error(),
		`: a link" state=waiting goroutines=0 error="the connection was lost while there was no child: ` + errTest.Error() + `"`,
		`: a link" state=kept goroutines=1 node=us@h target=them@h`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
