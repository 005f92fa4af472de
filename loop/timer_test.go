package loop

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestTimersInOrder(t *testing.T) {
	l := newLoop(t)
	rng := rand.New(rand.NewPCG(1, 2))
	type due struct {
		id int
		at time.Duration
	}
	var want, got []due
	for id := range 500 {
		d := time.Duration(rng.IntN(5000)) * time.Microsecond
		var tm *Timer
		tm = l.After(d, func() {
			if now := l.Now(); now < tm.at {
				t.Errorf("timer %d is called %v early", id, tm.at-now)
			}
			got = append(got, due{id, tm.at})
		})
		if rng.IntN(3) == 0 {
			tm.Stop()
			tm.Stop()
		} else {
			want = append(want, due{id, tm.at})
		}
	}
	l.After(6*time.Millisecond, l.Stop)
	run(t, l)
	slices.SortStableFunc(want, func(a, b due) int { return int(a.at - b.at) })
	if !slices.Equal(got, want) {
		t.Errorf("%d calls, want %d, in the order of their times", len(got), len(want))
	}
	if len(l.timers) != 0 {
		t.Errorf("%d timers left", len(l.timers))
	}
}

// TestTimersFromWithin has a call stop itself and others that are due with it, and set new ones.
func TestTimersFromWithin(t *testing.T) {
	l := newLoop(t)
	var b, c *Timer
	var got []string
	a := l.After(1, func() {
		got = append(got, "a")
		b.Stop()
		l.After(0, func() { got = append(got, "d"); l.Stop() })
	})
	b = l.After(2, func() { got = append(got, "b") })
	c = l.After(3, func() { got = append(got, "c"); c.Stop() })
	run(t, l)
	if want := []string{"a", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	a.Stop()
	var none *Timer
	none.Stop()
}

// TestTimerThatGoesOnAndOn checks that a timer which always sets itself again lets descriptors have
// their turn.
func TestTimerThatGoesOnAndOn(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Hour} {
		l := newLoop(t)
		_, w := pipe(t)
		rings, told := 0, 0
		var again func()
		again = func() { rings++; l.After(d, again) }
		again()
		watch(t, l, w, Out, func(Events) {
			if told++; told == 10 {
				l.Stop()
			}
		})
		run(t, l)
		if rings < 2 || told != 10 {
			t.Errorf("%d rings, %d events", rings, told)
		}
	}
}

func TestTimeout(t *testing.T) {
	for _, c := range []struct {
		after    time.Duration
		min, max int
	}{
		{-time.Second, 0, 0},
		{0, 0, 0},
		{time.Second, 990, 1000},
		{time.Second + 1, 991, 1001},
		{24 * time.Hour, 86_399_990, 86_400_000},
		{30 * 24 * time.Hour, math.MaxInt32, math.MaxInt32},
		{math.MaxInt64, math.MaxInt32, math.MaxInt32},
	} {
		l := newLoop(t)
		if got := l.timeout(); got != math.MaxInt32 {
			t.Fatalf("without a timer: %d", got)
		}
		tm := l.After(c.after, func() {})
		if got := l.timeout(); got < c.min || got > c.max {
			t.Errorf("after %v: waits for %d ms, want %d to %d", c.after, got, c.min, c.max)
		}
		tm.Stop()
		if got := l.timeout(); got != math.MaxInt32 {
			t.Errorf("after Stop: %d", got)
		}
	}
}

func BenchmarkTimer(b *testing.B) {
	l := newLoop(b)
	for i := range 10_000 {
		l.After(time.Hour+time.Duration(i), func() {})
	}
	b.ReportAllocs()
	for b.Loop() {
		l.After(time.Minute, func() {}).Stop()
	}
}
