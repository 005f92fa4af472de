package childproc

import (
	"math/rand/v2"
	"time"

	"erluv/childproc/order"
	"erluv/loop"
	"erluv/workers"
)

// restart decides about starting a program again. It has no clock and starts
// nothing; nil never does.
type restart struct {
	order.Restart

	spec    *workers.Spec
	held    part            // for the spec
	begun   time.Duration   // when the program was started last, of the loop's time
	resting *loop.Timer     // until it is started again
	due     bool            // it is, when the worker's words are said
	count   int             // restarts so far, of all
	recent  []time.Duration // when the last ones were, at most most of them
	doubled int             // since the program was stable last
}

// wanted says whether an end is one after which to start again.
func (r *restart) wanted(failed bool) bool {
	return r != nil && (r.When == order.Permanent || r.When == order.Transient && failed)
}

// restarts is how often the program was started again.
func (r *restart) restarts() int {
	if r == nil {
		return 0
	}
	return r.count
}

// next says after which delay to start the program again, at the time now, when
// it has run for the time lived, or that it has been too often. The longest delay
// doubles with each restart, and begins again when the program has run for the
// whole window; a random part of it is taken, so that many programs which ended
// together do not start together (full jitter).
func (r *restart) next(now, lived time.Duration, random func(time.Duration) time.Duration) (delay time.Duration, ok bool) {
	for len(r.recent) > 0 && now-r.recent[0] > r.Window {
		r.recent = r.recent[1:]
	}
	if len(r.recent) >= r.Most {
		return 0, false
	}
	r.recent = append(r.recent, now)
	r.count++
	if lived >= r.Window {
		r.doubled = 0
	}
	longest := r.To
	if r.doubled < 32 && r.From<<r.doubled < r.To && r.From<<r.doubled > 0 {
		longest = r.From << r.doubled
	}
	r.doubled++
	return random(longest), true
}

// jitter is a random part of d.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }

// again starts a worker's program again, if its policy says so. False: it is
// over.
func (m *manager) again(p *program, failed bool) bool {
	if p.told().reason != nil || m.phase != serving || !p.restart.wanted(failed) {
		return false
	}
	now := m.loop.Now()
	r := p.restart
	delay, ok := r.next(now, now-r.begun, jitter)
	if !ok {
		p.ends().reason = reasonIntensity
		return false
	}
	r.resting = m.loop.After(delay, func() {
		if r.due = m.hasWords(p); !r.due {
			m.beginAgain(p)
		}
	})
	return true
}

// hasWords says whether a worker has words that wait for room.
func (m *manager) hasWords(p *program) bool {
	for _, c := range m.clients {
		if c.HasWords(p.pid) {
			return true
		}
	}
	return false
}

// heard: words of a worker are said.
func (m *manager) heard(p *program) {
	if p.rests() && p.restart.due && !m.hasWords(p) {
		m.beginAgain(p)
	}
}

func (m *manager) beginAgain(p *program) {
	p.restart.resting, p.restart.due = nil, false
	m.begin(p, p.restart.spec)
}

// rests says whether the worker is in a pause before a restart.
func (p *program) rests() bool { return p.restart != nil && p.restart.resting != nil }

// rest ends a pause before a restart: the worker is to end.
func (m *manager) rest(p *program) bool {
	if !p.rests() {
		return false
	}
	p.restart.resting.Stop()
	p.restart.resting, p.restart.due = nil, false
	return true
}
