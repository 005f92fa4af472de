package crew

import (
	"testing"
	"time"
)

func TestPulse(t *testing.T) {
	const (
		s = time.Second
		// In a step: what the role has done since the last one.
		answers = "answers"
		sleeps  = ""
		works   = "works"
		waits   = "waits" // for a processor or the disk, and gets none
	)
	type beats []beat
	for name, tt := range map[string]struct {
		role  []string
		steps []time.Duration // until the next check; nil: when it is due
		want  beats
	}{
		"lives":       {role: []string{answers, answers, answers}, want: beats{beatAsk, beatAsk, beatAsk}},
		"misses one":  {role: []string{sleeps, answers, sleeps, answers}, want: beats{beatAsk, beatAsk, beatAsk, beatAsk}},
		"hangs":       {role: []string{sleeps, sleeps, sleeps, sleeps, sleeps}, want: beats{beatAsk, beatAsk, beatAbort, beatKill, beatKill}},
		"comes late":  {role: []string{sleeps, answers, sleeps, sleeps, sleeps}, want: beats{beatAsk, beatAsk, beatAsk, beatAsk, beatAbort}},
		"not yet due": {role: []string{sleeps, sleeps}, steps: []time.Duration{s, s}, want: beats{beatNothing, beatAsk}},
		"main slept": {
			role: []string{sleeps, sleeps, sleeps, sleeps, sleeps}, steps: []time.Duration{2 * s, 2 * s, 60 * s, 2 * s, 2 * s},
			want: beats{beatAsk, beatAsk, beatAsk, beatAsk, beatAbort},
		},
		"is slow": {
			role: []string{works, works, works, works, answers, sleeps, sleeps},
			want: beats{beatAsk, beatAsk, beatWait, beatWait, beatWait, beatAsk, beatAsk},
		},
		"slow, then hangs": {role: []string{works, works, sleeps, sleeps, sleeps}, want: beats{beatAsk, beatAsk, beatWait, beatAbort, beatKill}},
		"starves": {
			role: []string{waits, waits, waits, waits, waits, waits, waits, answers, sleeps},
			want: beats{beatAsk, beatAsk, beatWait, beatWait, beatWait, beatWait, beatWait, beatWait, beatAsk},
		},
		"loops": {
			role: []string{works, works, works, works, works, works, works, works, works, works, works, works, works},
			want: beats{
				beatAsk, beatAsk, beatWait, beatWait, beatWait, beatWait, beatWait, beatWait, beatWait, beatWait, beatAbort, beatKill,
				beatKill,
			},
		},
	} {
		now := t0
		p := newPulse(now)
		v := vitals{worked: 1000 * s}
		for i, does := range tt.role {
			if tt.steps != nil {
				now = now.Add(tt.steps[i])
			} else {
				now = p.next
			}
			if got := p.check(now, func(threads bool) vitals { return vitals{v.worked, v.runs && threads} }); got != tt.want[i] {
				t.Errorf("%s: step %d: %v, want %v", name, i, got, tt.want[i])
			}
			v.runs = does == works || does == waits
			v.worked += beatIdle / 2 // as a role that sleeps
			if does == works {
				v.worked += beatEvery
			}
			if does == answers {
				p.heard()
			}
		}
	}
}
