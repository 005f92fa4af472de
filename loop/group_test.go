package loop

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestPausedGroupIsSilent(t *testing.T) {
	l := newLoop(t)
	g := newGroup(t, l)
	r, w := pipe(t)
	told := 0
	watch(t, g, r, In, func(Events) { told++ })
	put(t, w, "x")
	g.Pause()
	g.Pause()
	if !g.Paused() {
		t.Error("not paused")
	}
	// The handler does not get Hup either, which epoll reports even if not requested.
	_ = unix.Shutdown(w, unix.SHUT_RDWR)
	for range 3 {
		round(t, l)
	}
	if told != 0 {
		t.Fatalf("told %d times while paused", told)
	}
	// The paused group costs no round, because the loop sees no event.
	if n, err := unix.EpollWait(l.fd, l.buf[:], 0); n != 0 || err != nil {
		t.Fatalf("a paused group wakes the loop: %d, %v", n, err)
	}
	g.Resume()
	g.Resume()
	round(t, l)
	if told != 1 {
		t.Fatalf("told %d times after Resume, want 1", told)
	}
}

// TestPauseBeforeTheGroupsTurn has a handler outside the group pause it, in the batch in which the
// group is ready.
func TestPauseBeforeTheGroupsTurn(t *testing.T) {
	for range 20 { // either may come first in the batch
		l := newLoop(t)
		g := newGroup(t, l)
		r, w := pipe(t)
		r2, w2 := pipe(t)
		paused, after := false, 0
		watch(t, l, r, In, func(Events) { take(r); g.Pause(); paused = true })
		watch(t, g, r2, In, func(Events) {
			if paused {
				after++
			}
		})
		put(t, w2, "x")
		put(t, w, "x")
		round(t, l)
		round(t, l)
		if after != 0 {
			t.Fatal("told after Pause")
		}
		g.Resume()
		paused = false
		got := 0
		watch(t, g, w2, Out, func(Events) { got++ })
		round(t, l)
		if got == 0 {
			t.Fatal("not told after Resume")
		}
	}
}

// TestNobodyStarvesBehindPauses has 200 descriptors that are always ready, and room for three at a
// time. Each must get as many turns as the others.
func TestNobodyStarvesBehindPauses(t *testing.T) {
	l := newLoop(t)
	g := newGroup(t, l)
	const n, each = 200, 3
	var told [n]int
	room := each
	for i := range n {
		_, w := pipe(t)
		watch(t, g, w, Out, func(Events) {
			if room == 0 {
				t.Fatal("told while paused")
			}
			told[i]++
			if room--; room == 0 {
				g.Pause()
			}
		})
	}
	const turns = 20
	for made := 0; made < n*turns; made += each - room {
		g.Resume()
		room = each
		round(t, l)
		if room == each {
			t.Fatal("nobody had a turn in a round")
		}
	}
	for i, k := range told {
		if k < turns-2 || k > turns+2 {
			t.Errorf("descriptor %d had %d turns, the mean is %d", i, k, turns)
		}
	}
}

// TestRemovedBehindAPause removes sources that wait for their turn behind a pause. Their events
// must reach neither them nor the new owners of their slots.
func TestRemovedBehindAPause(t *testing.T) {
	l := newLoop(t)
	g := newGroup(t, l)
	const n = 10
	var src [n]*Source
	told := 0
	for i := range n {
		_, w := pipe(t)
		src[i] = watch(t, g, w, Out, func(Events) { told++; g.Pause() })
	}
	round(t, l)
	if told != 1 || g.have-g.next != n-1 {
		t.Fatalf("told %d, %d left over", told, g.have-g.next)
	}
	idle := 0
	for i := range n {
		src[i].Remove()
		r, _ := pipe(t)
		watch(t, g, r, In, func(Events) { idle++ })
	}
	g.Resume()
	round(t, l)
	if told != 1 || idle != 0 {
		t.Fatalf("told %d removed and %d idle sources", told-1, idle)
	}
}

// TestPauseAndResumeWithin pauses and resumes within each handler. No source may lose or double a
// turn.
func TestPauseAndResumeWithin(t *testing.T) {
	l := newLoop(t)
	g := newGroup(t, l)
	const n = 100
	var told [n]int
	for i := range n {
		_, w := pipe(t)
		watch(t, g, w, Out, func(Events) { told[i]++; g.Pause(); g.Resume() })
	}
	for range n/batch + 1 {
		round(t, l)
	}
	for i, k := range told {
		if k < 1 || k > 2 {
			t.Errorf("descriptor %d was told %d times in %d batches", i, k, n/batch+1)
		}
	}
}

// TestAGroupHasOneTurn checks that a group counts as one of the loop's descriptors. However many
// descriptors it has, the others wait for only one batch.
func TestAGroupHasOneTurn(t *testing.T) {
	l := newLoop(t)
	g := newGroup(t, l)
	n := 0
	for range 5 * batch {
		_, w := pipe(t)
		watch(t, g, w, Out, func(Events) { n++ })
	}
	_, w := pipe(t)
	other := 0
	watch(t, l, w, Out, func(Events) { other++ })
	for range 5 {
		round(t, l)
	}
	if n != 5*batch || other != 5 {
		t.Errorf("in 5 rounds the group's were told %d times, the other %d; want %d and 5", n, other, 5*batch)
	}
}

// TestCloseGroup checks that Close frees a group only when none of its descriptors is watched.
func TestCloseGroup(t *testing.T) {
	l := newLoop(t)
	g, err := l.NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	r, _ := pipe(t)
	src, err := g.Watch(r, In, nil)
	if err != nil {
		t.Fatal(err)
	}
	if g.Close() {
		t.Error("closed with a descriptor that is watched")
	}
	src.Remove()
	if !g.Close() || len(l.groups) != 0 {
		t.Errorf("it stays, of %d groups", len(l.groups))
	}
}
