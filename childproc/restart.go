package childproc

import (
	"fmt"
	"math/rand/v2"
	"time"

	"erluv/loop"
	"erluv/wire/etf"
	"erluv/workers"
)

// restartWhen says after which ends a program is started again.
type restartWhen uint8

const (
	restartNever    restartWhen = iota // temporary
	restartFailures                    // transient: not after the exit status 0
	restartAlways                      // permanent
)

// restart decides about starting a program again. It has no clock and starts
// nothing; nil never does.
type restart struct {
	when     restartWhen
	most     int // more restarts within the window: the worker gives up
	window   time.Duration
	from, to time.Duration // the longest delay: of the first, and of any

	spec    *workers.Spec
	cost    int             // of the spec, of the budget; see held
	begun   time.Duration   // when the program was started last, of the loop's time
	resting *loop.Timer     // until it is started again
	due     bool            // it is, when the worker's words are said
	count   int             // restarts so far, of all
	recent  []time.Duration // when the last ones were, at most most of them
	doubled int             // since the program was stable last
}

// defaultRestart is what an option that is not given means.
var defaultRestart = restart{most: 5, window: 10 * time.Second, from: 100 * time.Millisecond, to: 30 * time.Second}

// wanted says whether an end is one after which to start again.
func (r *restart) wanted(failed bool) bool {
	return r != nil && (r.when == restartAlways || r.when == restartFailures && failed)
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
	for len(r.recent) > 0 && now-r.recent[0] > r.window {
		r.recent = r.recent[1:]
	}
	if len(r.recent) >= r.most {
		return 0, false
	}
	r.recent = append(r.recent, now)
	r.count++
	if lived >= r.window {
		r.doubled = 0
	}
	longest := r.to
	if r.doubled < 32 && r.from<<r.doubled < r.to && r.from<<r.doubled > 0 {
		longest = r.from << r.doubled
	}
	r.doubled++
	return random(longest), true
}

// jitter is a random part of d.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }

// again starts a worker's program again, if its policy says so. False: it is
// over.
func (m *manager) again(p *proc, failed bool) bool {
	if p.told().reason != nil || m.phase != serving || !p.restart.wanted(failed) {
		return false
	}
	now := m.now()
	r := p.restart
	delay, ok := r.next(now, now-r.begun, jitter)
	if !ok {
		p.ends().reason = reasonIntensity
		return false
	}
	r.resting = m.after(delay, func() {
		if r.due = m.hasWords(p.pid); !r.due {
			m.beginAgain(p)
		}
	})
	return true
}

// heard: the words of a worker are said.
func (m *manager) heard(p *proc) {
	if p.rests() && p.restart.due {
		m.beginAgain(p)
	}
}

func (m *manager) beginAgain(p *proc) {
	p.restart.resting, p.restart.due = nil, false
	m.begin(p, p.restart.spec)
}

// rests says whether the worker is in a pause before a restart.
func (p *proc) rests() bool { return p.restart != nil && p.restart.resting != nil }

// rest ends a pause before a restart: the worker is to end.
func (m *manager) rest(p *proc) bool {
	if !p.rests() {
		return false
	}
	p.restart.resting.Stop()
	p.restart.resting, p.restart.due = nil, false
	return true
}

func optRestart(to *restartWhen, v etf.Term) error {
	switch v {
	case etf.Atom("temporary"):
		*to = restartNever
	case etf.Atom("transient"):
		*to = restartFailures
	case etf.Atom("permanent"):
		*to = restartAlways
	default:
		return fmt.Errorf("must be temporary, transient or permanent")
	}
	return nil
}

// maxRestarts bounds how many restarts are remembered for a worker.
const maxRestarts = 1000

// optMaxRestarts takes {N, Milliseconds}.
func optMaxRestarts(r *restart, v etf.Term) error {
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 {
		n, ok := t[0].(int64)
		if ok && n >= 0 && n <= maxRestarts && optMillis(&r.window, t[1]) == nil {
			r.most = int(n)
			return nil
		}
	}
	return fmt.Errorf("must be {N, Milliseconds}, N up to %d", maxRestarts)
}

// optBackoff takes {From, To} in milliseconds.
func optBackoff(r *restart, v etf.Term) error {
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 {
		if optMillis(&r.from, t[0]) == nil && optMillis(&r.to, t[1]) == nil && r.from <= r.to {
			return nil
		}
	}
	return fmt.Errorf("must be {From, To} in milliseconds, From not above To")
}
