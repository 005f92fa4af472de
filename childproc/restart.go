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

// restart decides whether and when a program is started again. It has no clock and starts no
// program.
type restart struct {
	order.Restart

	spec    *workers.Spec
	held    part            // for the spec
	begun   time.Duration   // loop time of the last start
	pause   *loop.Timer     // until it is started again
	count   int             // all restarts so far
	recent  []time.Duration // loop times of the last restarts, at most Most
	doubled int             // restarts since the program was last stable
	asked   bool            // by a call: it is started again after any end
}

// wanted reports whether to start again after this end.
func (r *restart) wanted(failed bool) bool {
	return r.When == order.Permanent || r.When == order.Transient && failed
}

// next returns the delay before the next restart. The current time is now, and the program ran for
// lived. After too many restarts, ok is false. The longest delay doubles with each restart, and is
// the first again once the program has run for the whole window. The delay is a random part of it,
// so that many programs that ended together do not start together (full jitter).
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

// jitter returns a random part of d.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }

// decide decides whether a program that has ended, or could not be restarted, is started again. The
// term what is the message to the owner.
func (p *program) decide(m *manager, failed bool, what etf.Term) {
	delay, ok := p.again(m, failed)
	if !ok {
		p.step(m, evLast, what)
		return
	}
	p.step(m, evAgain, what)
	p.restart.pause = m.loop.After(delay, func() { p.step(m, evWaited, nil) })
}

// again returns the delay before a program is started again, if its policy says so.
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

// restartCall starts a program again that has a restart policy. The program ends as by stop, or its
// pause ends at once. The restart does not count for max_restarts.
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

// hasWords reports whether words of a worker wait for room.
func (p *program) hasWords(m *manager) bool {
	for _, c := range m.clients {
		if c.HasWords(p.pid) {
			return true
		}
	}
	return false
}

// heard is called when words of a worker were sent.
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
