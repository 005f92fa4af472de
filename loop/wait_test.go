package loop

import (
	"testing"
	"time"
)

const (
	short = spinTime / 2
	long  = 2 * spinTime
)

func waits(s *spinner, n int, d time.Duration) {
	for range n {
		s.waited(d)
	}
}

func TestSpinsInAConversationOnly(t *testing.T) {
	var s spinner
	if s.spins() {
		t.Error("it spins before anything was waited for")
	}
	waits(&s, spinFrom-1, short)
	if s.spins() {
		t.Errorf("it spins after %d short waits", spinFrom-1)
	}
	waits(&s, 1000, short)
	if !s.spins() {
		t.Error("it does not spin after many short waits")
	}
	waits(&s, 3, long)
	if s.spins() {
		t.Error("it spins after three long waits")
	}
	waits(&s, 1000, long)
	waits(&s, spinFrom, short)
	if !s.spins() {
		t.Error("many long waits are not forgotten")
	}
}

func TestDisplacedSpinnerRests(t *testing.T) {
	var s spinner
	waits(&s, spinMost, short)
	s.displaced()
	waits(&s, spinRest, short)
	if s.spins() {
		t.Errorf("it spins %d short waits after it was displaced", spinRest)
	}
	waits(&s, spinFrom, short)
	if !s.spins() {
		t.Error("it never spins again")
	}
	s.displaced()
	waits(&s, 1000, long)
	if s.points != -spinRest {
		t.Errorf("long waits have made %d points of %d", s.points, -spinRest)
	}
}

func TestOneProcessorNeverSpins(t *testing.T) {
	s := spinner{off: true}
	waits(&s, 1000, short)
	if s.spins() {
		t.Error("it spins")
	}
}

// TestToldWhileSpinning checks that events which come while the loop spins are handed out like any
// others.
func TestToldWhileSpinning(t *testing.T) {
	l := newLoop(t)
	l.spin = spinner{points: spinMost}
	r, w := pipe(t)
	told := 0
	watch(t, l, r, In, func(Events) { told++; take(r) })
	if err := l.rest(1); err != nil || l.have != 0 {
		t.Fatalf("%d events of an empty pipe, %v", l.have, err)
	}
	put(t, w, "x")
	if err := l.rest(-1); err != nil {
		t.Fatal(err)
	}
	l.tell()
	if told != 1 {
		t.Errorf("told %d times, want once", told)
	}
}
