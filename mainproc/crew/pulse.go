package crew

import "time"

const (
	// beatEvery is the time between two questions whether a role's loop goes
	// round. It is long, since each wakes two idle processes.
	beatEvery = 2 * time.Second

	// beatsMissed is how many in a row may be without an answer when the next is
	// due: a role that hangs is noticed in 4 to 6 s.
	beatsMissed = 2

	// beatIdle is how much processor time between two looks is none. A program that
	// waits for good has less: the Go runtime looks after itself from time to time.
	beatIdle = beatEvery / 100

	// workBound is how much processor time a role may have without an answer. The
	// longest round takes tenths of a second, and seconds where each page fault is slow:
	// what works for so long is in an endless loop.
	workBound = 20 * time.Second

	// abortGrace is how long a role that hangs has to write where it does: Go's
	// runtime does so at SIGABRT.
	abortGrace = time.Second
)

// pulse decides when to ask a role whether it lives, and when it does not. A slow
// machine is no hang: a role that has had processor time since the last look is at work,
// and one that waits for a processor or for the disk is not to blame. pulse has no clock
// and does nothing.
type pulse struct {
	next    time.Time // when check is due
	missed  int       // questions since the last sign of life
	aborted bool

	answered time.Duration // processor time at the last question after an answer
	looked   time.Duration // the same at the last look
}

func newPulse(now time.Time) pulse { return pulse{next: now.Add(beatEvery)} }

// untilNext is how long it is, in milliseconds, until check is due.
func (p *pulse) untilNext() int { return int(max(0, time.Until(p.next)).Milliseconds()) + 1 }

// heard notes a sign of life.
func (p *pulse) heard() { p.missed = 0 }

// beat is what is due.
type beat uint8

const (
	beatNothing beat = iota
	beatAsk
	beatWait // no answer, but the role is at work, or would be
	beatAbort
	beatKill
)

// check says what is due now; look looks at the role. When main itself was kept from
// asking, by SIGSTOP or a machine that slept, the role was perhaps as well: it counts
// anew.
func (p *pulse) check(now time.Time, look func() vitals) beat {
	late := now.Sub(p.next)
	if late < 0 {
		return beatNothing
	}
	p.next = now.Add(beatEvery)
	if p.aborted {
		return beatKill
	}
	if late >= beatEvery {
		p.missed = 0
	}
	v := look()
	slow := p.works(v)
	if p.looked = v.worked; p.missed == 0 {
		p.answered = v.worked
	}
	switch {
	case p.missed < beatsMissed:
		p.missed++
		return beatAsk
	case slow:
		return beatWait
	}
	p.aborted = true
	p.next = now.Add(abortGrace)
	return beatAbort
}

// works says whether a role that does not answer may still do so.
func (p *pulse) works(v vitals) bool {
	return v.worked-p.answered < workBound && (v.runs || v.worked-p.looked >= beatIdle)
}
