package crew

import "time"

const (
	// beatEvery is the time between two questions whether a role's loop runs. It is long, because
	// each question wakes two idle processes.
	beatEvery = 2 * time.Second

	// beatsMissed is how many questions in a row may lack an answer when the next is due. So a role
	// that hangs is noticed in 4 to 6 s.
	beatsMissed = 2

	// beatIdle is the processor time between two looks up to which a role counts as idle. A program
	// that waits for ever has less: the Go runtime does some housekeeping now and then.
	beatIdle = beatEvery / 100

	// workBound is how much processor time a role may use without an answer. The longest round
	// takes tenths of a second, or seconds if each page fault is slow. A role that works for longer
	// is in an endless loop.
	workBound = 20 * time.Second

	// abortGrace is how long a role that hangs has to write its stacks, as Go's runtime does at
	// SIGABRT.
	abortGrace = time.Second
)

// pulse decides when to ask a role whether it lives, and whether it hangs. A role without an answer
// may only be slow. It is at work if it has used processor time since the last look, or if it waits
// for a processor or the disk. A pulse has no clock and does nothing.
type pulse struct {
	next    time.Time // when check is due
	missed  int       // questions since the last sign of life
	aborted bool

	answered time.Duration // processor time at the last question after an answer
	looked   time.Duration // the same at the last look
}

func newPulse(now time.Time) pulse { return pulse{next: now.Add(beatEvery)} }

// untilNext returns the time until check is due, in milliseconds.
func (p *pulse) untilNext() int { return int(max(0, time.Until(p.next)).Milliseconds()) + 1 }

// heard notes a sign of life.
func (p *pulse) heard() { p.missed = 0 }

// beat is an action that is due.
type beat uint8

const (
	beatNothing beat = iota
	beatAsk
	beatWait // no answer, but the role is at work, or would be
	beatAbort
	beatKill
)

// check returns the action that is due now. The function look examines the role, and its threads
// only if they may decide. Main itself may have been stopped, by SIGSTOP or a sleeping machine. The
// role then perhaps was too, so its missed answers count from zero again.
func (p *pulse) check(now time.Time, look func(threads bool) vitals) beat {
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
	silent := p.missed >= beatsMissed
	v := look(silent)
	slow := silent && p.works(v)
	if p.looked = v.worked; p.missed == 0 {
		p.answered = v.worked
	}
	switch {
	case !silent:
		p.missed++
		return beatAsk
	case slow:
		return beatWait
	}
	p.aborted = true
	p.next = now.Add(abortGrace)
	return beatAbort
}

// works reports whether a role without an answer may still give one.
func (p *pulse) works(v vitals) bool {
	return v.worked-p.answered < workBound && (v.runs || v.worked-p.looked >= beatIdle)
}
