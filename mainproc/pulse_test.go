package mainproc

import (
	"testing"
	"time"
)

func TestPulse(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		answers []bool          // whether the child answers the question
		steps   []time.Duration // until the next check; nil: when it is due
		want    []beat
	}{
		"lives":       {answers: []bool{true, true, true}, want: []beat{beatAsk, beatAsk, beatAsk}},
		"misses one":  {answers: []bool{false, true, false, true}, want: []beat{beatAsk, beatAsk, beatAsk, beatAsk}},
		"hangs":       {answers: []bool{false, false, false, false, false}, want: []beat{beatAsk, beatAsk, beatAbort, beatKill, beatKill}},
		"comes late":  {answers: []bool{false, true, false, false, false}, want: []beat{beatAsk, beatAsk, beatAsk, beatAsk, beatAbort}},
		"not yet due": {answers: []bool{false, false}, steps: []time.Duration{s, s}, want: []beat{beatNothing, beatAsk}},
		"main slept": {
			answers: []bool{false, false, false, false, false}, steps: []time.Duration{2 * s, 2 * s, 60 * s, 2 * s, 2 * s},
			want: []beat{beatAsk, beatAsk, beatAsk, beatAsk, beatAbort},
		},
	} {
		now := t0
		p := newPulse(now)
		for i, answers := range tt.answers {
			if tt.steps != nil {
				now = now.Add(tt.steps[i])
			} else {
				now = p.next
			}
			if got := p.check(now); got != tt.want[i] {
				t.Errorf("%s: step %d: %v, want %v", name, i, got, tt.want[i])
			}
			if answers {
				p.heard()
			}
		}
	}
}
