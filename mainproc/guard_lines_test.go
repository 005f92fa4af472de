package mainproc

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"erluv/mainproc/crew"
	"erluv/mainproc/link"
)

// TestGuardCrashOfTwo: a crash is reported on each link. Each is taken over, and handed to the next
// child.
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

// TestGuardDieTimeoutOfTwo: the last messages are sent on each link.
func TestGuardDieTimeoutOfTwo(t *testing.T) {
	w := &fakeWorld{lines: 2}
	err := during(t, w, func(func(string)) { w.crash() })
	if ExitStatus(err) != statusDied {
		t.Error(err)
	}
	w.wantSorted(t, "0s connected", "0s connected 2", "0s fall", "0s keep", "0s keep 2", "5s leave", "5s leave 2")
}

// TestGuardLosesOneOfTwo: one link is lost while there is no child, and the other is kept until
// there is one. The lost one is made anew, and kept too.
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

// TestGuardOneOfTwoIsLost: the child reports the end of one connection. That one is closed at once
// and made anew alone. The child continues with the other one and gets the new one.
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

// TestGuardTellsWhatIsAwaited: each child gets once the list of nodes without a connection, and the
// reasons.
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

// TestGuardLosesUnknown: a child that reports the end of a connection that it never had is not
// trusted.
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

// TestGuardOneEnds: a link that cannot be made ends, and the other continues.
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

// TestGuardWaitsForTheRest: a lost connection is closed at once, and made anew only after all of
// its crew is gone.
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

// TestGuardLosesTheFirst: a child stops for lack of a connection. A link that is still being made
// does not end, and gets the next child.
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

// TestGuardRefusedByChild: a child that refuses a connection is ended. Another one is tried later
// if a link was up before.
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
	err = during(t, w, func(stop func(string)) { // after a crash it is another failed start
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

// wantSorted is wantLog for links in any order.
func (w *fakeWorld) wantSorted(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(w.log)
	slices.Sort(want)
	wantLog(t, w, want...)
}
