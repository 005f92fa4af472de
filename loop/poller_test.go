package loop

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadyIsToldForAsLongAsItHolds(t *testing.T) {
	l := newLoop(t)
	r, w := pipe(t)
	var told []Events
	watch(t, l, r, In, func(ev Events) { told = append(told, ev) })
	round(t, l)
	if len(told) != 0 {
		t.Fatalf("told %v of an empty pipe", told)
	}
	put(t, w, "x")
	round(t, l)
	round(t, l)
	if len(told) != 2 || told[0] != In || told[1] != In {
		t.Fatalf("told %v, want In twice", told)
	}
	take(r)
	round(t, l)
	if len(told) != 2 {
		t.Fatalf("told %v of an empty pipe", told[2:])
	}
}

func TestHupComesUnasked(t *testing.T) {
	l := newLoop(t)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	var told Events
	s := watch(t, l, p[0], 0, func(ev Events) { told |= ev })
	put(t, p[1], "x")
	round(t, l)
	if told != 0 {
		t.Fatalf("told %#x, and nothing was wanted", told)
	}
	_ = unix.Close(p[1])
	round(t, l)
	if told&Hup == 0 || told&In != 0 {
		t.Fatalf("told %#x, want Hup", told)
	}
	s.Remove()
}

func TestWant(t *testing.T) {
	l := newLoop(t)
	r, w := pipe(t)
	put(t, w, "x")
	var told []Events
	in := watch(t, l, r, 0, func(ev Events) { told = append(told, ev) })
	out := watch(t, l, w, 0, func(ev Events) { told = append(told, ev) })
	for i, step := range []struct {
		in, out Events
		want    Events
	}{{0, 0, 0}, {In, 0, In}, {0, Out, Out}, {In, Out, In | Out}, {0, 0, 0}} {
		in.Want(step.in)
		out.Want(step.out)
		told = told[:0]
		round(t, l)
		var got Events
		for _, ev := range told {
			got |= ev
		}
		if got != step.want {
			t.Errorf("step %d: told %#x, want %#x", i, got, step.want)
		}
	}
}

// TestRemoveWithinABatch has two sources ready in one batch, of which the first removes the second.
// The removed source must get no event, nor may the new owner of its slot get the old one's.
func TestRemoveWithinABatch(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		l := newLoop(t)
		ra, wa := pipe(t)
		rb, wb := pipe(t)
		rc, wc := pipe(t)
		var a, b, c *Source
		told := map[string]int{}
		first := func(name string, other **Source) func(Events) {
			return func(Events) {
				told[name]++
				(*other).Remove()
				if reuse && c == nil {
					c = watch(t, l, rc, In, func(Events) { told["c"]++; take(rc) })
				}
			}
		}
		a = watch(t, l, ra, In, first("a", &b))
		b = watch(t, l, rb, In, first("b", &a))
		put(t, wa, "x")
		put(t, wb, "x")
		round(t, l)
		if told["a"]+told["b"] != 1 || told["c"] != 0 {
			t.Fatalf("reuse %v: told %v, want one of a and b", reuse, told)
		}
		if !reuse {
			continue
		}
		if a.Active() == b.Active() {
			t.Fatalf("both are active or none is")
		}
		put(t, wc, "x")
		a.Remove()
		b.Remove()
		round(t, l)
		if told["c"] != 1 {
			t.Fatalf("told %v, want c once", told)
		}
	}
}

// TestRemoveAndWatchAgainWithin has a source remove itself within its own handler and come back on
// the same descriptor and slot.
func TestRemoveAndWatchAgainWithin(t *testing.T) {
	l := newLoop(t)
	r, w := pipe(t)
	put(t, w, "x")
	var src *Source
	n := 0
	var handler func(Events)
	handler = func(Events) {
		n++
		src.Remove()
		src.Remove() // does nothing
		src.Want(Out)
		if src.Active() {
			t.Error("active after Remove")
		}
		src = watch(t, l, r, In, handler)
	}
	src = watch(t, l, r, In, handler)
	for range 10 {
		round(t, l)
	}
	if n != 10 {
		t.Errorf("told %d times in 10 rounds", n)
	}
	if len(l.slots) != 2 { // the wake-up and this one
		t.Errorf("%d slots for 2 sources", len(l.slots))
	}
}

// TestTableGrowsWithin watches more descriptors within a handler, so that the table of slots grows
// during the call.
func TestTableGrowsWithin(t *testing.T) {
	l := newLoop(t)
	r, w := pipe(t)
	put(t, w, "x")
	told := 0
	src := watch(t, l, r, In, func(Events) {
		take(r)
		for range 500 {
			var p [2]int
			if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Close(p[0]); _ = unix.Close(p[1]) })
			watch(t, l, p[1], Out, func(Events) { told++ })
		}
	})
	round(t, l)
	src.Remove()
	for range 10 {
		round(t, l)
	}
	if want := 10 * batch; told != want {
		t.Errorf("told %d in 10 rounds of 500 ready, want %d", told, want)
	}
}

func TestWatchRefuses(t *testing.T) {
	l := newLoop(t)
	if _, err := l.Watch(-1, In, call(func(Events) {})); err == nil {
		t.Error("a descriptor that is none is watched")
	}
	r, _ := pipe(t)
	s := watch(t, l, r, In, func(Events) {})
	if _, err := l.Watch(r, In, call(func(Events) {})); err == nil {
		t.Error("a descriptor is watched twice")
	}
	if !s.Active() {
		t.Error("the first source is not active")
	}
	slots := len(l.slots)
	for range 100 {
		_, _ = l.Watch(-1, In, call(func(Events) {}))
	}
	if len(l.slots) > slots {
		t.Errorf("%d slots after failures, %d before", len(l.slots), slots)
	}
}

// TestEverybodysTurn checks that each of many ready descriptors has its turn within as many rounds
// as there are batches.
func TestEverybodysTurn(t *testing.T) {
	l := newLoop(t)
	const n = 300
	var told [n]int
	for i := range n {
		_, w := pipe(t)
		watch(t, l, w, Out, func(Events) { told[i]++ })
	}
	for range 10 * (n/batch + 1) {
		round(t, l)
	}
	for i, k := range told {
		if k < 8 {
			t.Errorf("descriptor %d had %d turns in %d passes", i, k, 10)
		}
	}
}
