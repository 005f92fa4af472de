package childproc

import (
	"math/rand/v2"
	"time"

	"erluv/childproc/history"
	"erluv/childproc/order"
	"erluv/loop"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// restart decides about starting a program again. It has no clock and starts
// nothing.
type restart struct {
	order.Restart

	spec    *workers.Spec
	held    part            // for the spec
	begun   time.Duration   // when the program was started last, of the loop's time
	pause   *loop.Timer     // until it is started again
	count   int             // restarts so far, of all
	recent  []time.Duration // when the last ones were, at most most of them
	doubled int             // since the program was stable last
	asked   bool            // by a call: it is started again, whatever its end was
}

// wanted says whether an end is one after which to start again.
func (r *restart) wanted(failed bool) bool {
	return r.When == order.Permanent || r.When == order.Transient && failed
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

// decide has it known whether a program that is over, or could not be started again, is
// started again. What the owner is told is what.
func (p *program) decide(m *manager, failed bool, what etf.Term) {
	delay, ok := p.again(m, failed)
	if !ok {
		p.step(m, evLast, what)
		return
	}
	p.step(m, evAgain, what)
	p.restart.pause = m.loop.After(delay, func() { p.step(m, evWaited, nil) })
}

// again says after which delay a program is started again, if its policy says so.
func (p *program) again(m *manager, failed bool) (delay time.Duration, ok bool) {
	r := p.restart
	if p.life.told || m.phase != serving || r == nil {
		return 0, false
	}
	if r.asked {
		r.asked = false
		r.count++
		return 0, true
	}
	if !r.wanted(failed) {
		return 0, false
	}
	now := m.loop.Now()
	if delay, ok = r.next(now, now-r.begun, jitter); !ok {
		p.ends().reason = reasonIntensity
		m.history.Amend(p.pid.ID, p.pid.Serial, history.Intensity)
	}
	return delay, ok
}

// restartCall has a program started again that would be when it fails. It ends as with stop, at
// once if it is a pause that it waits for, and is no failure that max_restarts counts.
func (p *program) restartCall(m *manager, to caller, _ args) bool {
	switch {
	case p.restart == nil:
		to.reply(gen.Error(etf.Atom("temporary")))
		return true
	case p.life.told || m.phase != serving:
		to.reply(gen.Error(etf.Atom("stopping")))
		return true
	}
	to.reply(etf.Atom("ok"))
	switch p.life.state {
	case stStarting, stDue, stRestarting: // it is being started
	case stPaused:
		p.restart.pause.Stop()
		p.step(m, evWaited, nil)
	default:
		p.restart.asked = true
		p.w.Stop()
	}
	return true
}

// hasWords says whether a worker has words that wait for room.
func (p *program) hasWords(m *manager) bool {
	for _, c := range m.clients {
		if c.HasWords(p.pid) {
			return true
		}
	}
	return false
}

// heard: words of a worker are said.
func (p *program) heard(m *manager) {
	if p.life.state == stDue && !p.hasWords(m) && !p.awaitsOwner() {
		p.step(m, evHeard, nil)
	}
}

// restarts is how often the program was started again.
func (p *program) restarts() int {
	if p.restart == nil {
		return 0
	}
	return p.restart.count
}
