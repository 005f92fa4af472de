package link

import (
	"context"
	"errors"
	"testing"
)

// TestTurns: each address has its turn beside a crowd at another one. That holds whether the crowd
// was there first, or its members come again as soon as they were in.
func TestTurns(t *testing.T) {
	q := turns{most: 100}
	var order string
	names := make(map[*turn]string)
	comes := func(from string) { w := q.add(from); names[w] = from }
	for _, from := range []string{"crowd", "crowd", "crowd", "a", "a", "b"} {
		comes(from)
	}
	for q.holder != nil {
		if name := names[q.holder]; name == "crowd" && len(order) < 40 {
			comes(name)
			order += "crowd "
		} else {
			order += name + " "
		}
		q.pass()
	}
	if want := "crowd a b crowd a crowd crowd crowd crowd crowd crowd crowd "; order != want {
		t.Errorf("they came in as\n%s, want\n%s", order, want)
	}
}

// TestTurnsLeft: guests that leave while they wait, or when their turn has just come, hold up no
// others.
func TestTurnsLeft(t *testing.T) {
	q := turns{most: 1}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errTest)
	first := q.add("a")
	if err := q.take(gone, "b"); !errors.Is(err, errTest) || len(q.waiting) != 0 || q.holder != first {
		t.Errorf("%v, %d wait", err, len(q.waiting))
	}
	w := q.add("b")
	q.pass()
	if q.remove(w) || q.holder != w {
		t.Error("who is in still waits")
	}
	q.pass()
	if q.holder != nil {
		t.Error("somebody is in, of nobody")
	}
	if err := q.take(t.Context(), "c"); err != nil {
		t.Error(err)
	}
}

// TestTurnsCrowded: with too many waiting guests, the oldest one leaves from the address that has
// the most.
func TestTurnsCrowded(t *testing.T) {
	q := turns{most: 3}
	q.add("in")
	left := func(w *turn) bool {
		select {
		case <-w.gone:
			return true
		default:
			return false
		}
	}
	one, first, second := q.add("one"), q.add("crowd"), q.add("crowd")
	q.add("crowd")
	if left(one) || !left(first) || left(second) || len(q.waiting) != 3 {
		t.Errorf("of one, and two of a crowd, these left: %v, %v, %v", left(one), left(first), left(second))
	}
	pushed := make(chan error, 1)
	q.most = 4
	go func() { pushed <- q.take(t.Context(), "crowd") }() // received below
	for waiting := 0; waiting < 4; {
		q.mu.Lock()
		waiting = len(q.waiting)
		q.mu.Unlock()
	}
	for range 3 {
		q.add("crowd")
	}
	if err := <-pushed; !errors.Is(err, errCrowded) {
		t.Error(err)
	}
}
