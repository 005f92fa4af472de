package mainproc

import "time"

const (
	// beatEvery is the time between two questions whether the child's loop goes
	// round. It is long, since each wakes two idle processes.
	beatEvery = 2 * time.Second

	// beatsMissed is how many in a row may be without an answer when the next is
	// due: a child that hangs is noticed in 4 to 6 s.
	beatsMissed = 2

	// abortGrace is how long a child that hangs has to write where it does: Go's
	// runtime does so at SIGABRT.
	abortGrace = time.Second
)

// pulse decides when to ask a child whether it lives, and when it does not. It has
// no clock and does nothing.
type pulse struct {
	next    time.Time // when check is due
	missed  int       // questions since the last sign of life
	aborted bool
}

func newPulse(now time.Time) pulse { return pulse{next: now.Add(beatEvery)} }

// heard notes a sign of life.
func (p *pulse) heard() { p.missed = 0 }

// beat is what is due.
type beat uint8

const (
	beatNothing beat = iota
	beatAsk
	beatAbort
	beatKill
)

// check says what is due now. When main itself was kept from asking, by SIGSTOP or a
// machine that slept, the child was perhaps as well: it counts anew.
func (p *pulse) check(now time.Time) beat {
	late := now.Sub(p.next)
	switch {
	case late < 0:
		return beatNothing
	case p.aborted:
		p.next = now.Add(beatEvery)
		return beatKill
	case late >= beatEvery:
		p.missed = 0
	case p.missed >= beatsMissed:
		p.aborted = true
		p.next = now.Add(abortGrace)
		return beatAbort
	}
	p.missed++
	p.next = now.Add(beatEvery)
	return beatAsk
}
