package link

import (
	"context"
	"errors"
	"testing"
)

// Of a crowd and of those from other addresses each address has its turn, whether the crowd was
// there first, or one of it comes again as soon as it was in.
func TestTurns(t *testing.T) {
	var q turns
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

// Those that leave while they wait, or when their turn has just come, are in nobody's way.
func TestTurnsLeft(t *testing.T) {
	var q turns
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
