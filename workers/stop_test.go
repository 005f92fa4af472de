package workers

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSequenceWithin checks that a short time shortens each wait and omits no step.
func TestSequenceWithin(t *testing.T) {
	const s = time.Second
	steps := []Step{{Close: true}, {Wait: 2 * s}, {Signal: unix.SIGTERM}, {Wait: 6 * s}, {Signal: unix.SIGKILL}}
	for _, tc := range []struct {
		next        int
		running, in time.Duration
		want        time.Duration
		waits       []time.Duration // what is left
	}{
		{0, 0, 10 * s, 0, []time.Duration{2 * s, 6 * s}},
		{0, 0, 8 * s, 0, []time.Duration{2 * s, 6 * s}},
		{0, 0, s, 0, []time.Duration{s / 4, 3 * s / 4}},
		{2, 2 * s, s, s / 4, []time.Duration{3 * s / 4}},
		{5, 6 * s, s / 2, s / 2, nil},
		{0, 0, 0, 0, []time.Duration{0, 0}},
	} {
		q := sequence{steps: slices.Clone(steps), next: tc.next}
		got := q.within(tc.in, tc.running)
		var waits []time.Duration
		for i, st := range q.steps[tc.next:] {
			if steps[tc.next+i].Wait > 0 {
				waits = append(waits, st.Wait)
			}
		}
		if got != tc.want || !slices.Equal(waits, tc.waits) {
			t.Errorf("%+v: %v, %v", tc, got, waits)
		}
	}
}

// TestNewSequence checks that the kill timeout follows a sequence that does not end with a wait or
// SIGKILL.
func TestNewSequence(t *testing.T) {
	for _, tc := range []struct {
		steps []Step
		more  bool
	}{
		{[]Step{{Signal: unix.SIGTERM}}, true},
		{[]Step{{Wait: time.Second}, {Close: true}}, true},
		{[]Step{{Signal: unix.SIGTERM}, {Wait: time.Second}}, false},
		{[]Step{{Signal: unix.SIGTERM}, {Wait: 0}}, false},
		{[]Step{{Signal: unix.SIGKILL}}, false},
	} {
		want := slices.Clone(tc.steps)
		if tc.more {
			want = append(want, Step{Wait: 7 * time.Second})
		}
		if q := newSequence(&Spec{StopSteps: tc.steps, KillTimeout: 7 * time.Second}); !slices.Equal(q.steps, want) {
			t.Errorf("%+v: %+v, want %+v", tc.steps, q.steps, want)
		}
	}
	if newSequence(&Spec{}) != nil {
		t.Error("there is a sequence of no steps")
	}
}
