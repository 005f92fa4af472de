package workers

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// MaxSteps bounds a stop sequence. Its signals are questions to the spawner at worst,
// two for each, which have to fit into process.asked beside maxQuestions.
const MaxSteps = 32

// Step is one of a graceful stop: stdin is closed, a signal is sent to all that the
// program has started, or time passes.
type Step struct {
	Close  bool
	Signal unix.Signal
	Wait   time.Duration
}

// sequence is the graceful stop of a worker that has its own. The others send one signal
// and wait for the kill timeout.
type sequence struct {
	steps []Step
	next  int
}

// newSequence is what a Spec says; nil: nothing. What ends neither with a wait nor with
// SIGKILL is followed by the kill timeout.
func newSequence(sp *Spec) *sequence {
	if len(sp.StopSteps) == 0 {
		return nil
	}
	s := &sequence{steps: append([]Step(nil), sp.StopSteps...)}
	if last := s.steps[len(s.steps)-1]; last.Close || last.Signal != 0 && last.Signal != unix.SIGKILL {
		s.steps = append(s.steps, Step{Wait: sp.KillTimeout})
	}
	return s
}

// within has what is left of the sequence, and the wait that runs, take d at most, each
// wait in proportion. It returns what is left of the wait that runs.
func (s *sequence) within(d, running time.Duration) time.Duration {
	total := running
	for _, st := range s.steps[s.next:] {
		total += st.Wait
	}
	if total <= d {
		return running
	}
	part := func(t time.Duration) time.Duration {
		return time.Duration(math.Floor(float64(t) * float64(d) / float64(total)))
	}
	for i := range s.steps[s.next:] {
		s.steps[s.next+i].Wait = part(s.steps[s.next+i].Wait)
	}
	return part(running)
}

// milliseconds is a kill timeout in the form in which a worker keeps it.
func milliseconds(d time.Duration) uint32 {
	return uint32(min((d+time.Millisecond-1)/time.Millisecond, math.MaxUint32))
}

// signalAll sends a stop signal to all that the program has started. What is stopped
// takes the signal only when it continues.
func (w *Worker) signalAll(sig unix.Signal) {
	if w.groupEmpty {
		return
	}
	if w.groupEmpty = w.proc.signalGroup(sig) == unix.ESRCH; !w.groupEmpty {
		_ = w.proc.signalGroup(unix.SIGCONT)
	}
}

// hangUpAfter is how long a terminal is silent after SIGHUP before it is hung up. Shells
// end, and programs say goodbye, within a tenth of that.
const hangUpAfter = 300 * time.Millisecond

// hangUp is what the programs of a terminal are told when it is closed (termios(3)):
// interactive shells ignore SIGTERM. It comes behind the stop signal, so that programs
// which have a handler for that one begin with it.
func (w *Worker) hangUp() {
	if w.tty && !w.groupEmpty {
		w.signalAll(unix.SIGHUP)
		w.hangUpLater()
	}
}

// hangUpLater closes the terminal when nothing comes from it any more: some programs
// ignore SIGHUP as long as they can read an answer (zsh, when it asks a new user), and
// what uses its terminal from the background is stopped as often as it is continued.
// Then reads fail, and nothing that wants the terminal is stopped.
func (w *Worker) hangUpLater() {
	e, o := w.ends(), &w.out[0]
	before := o.bytes
	e.hangUp = w.starter.loop.After(hangUpAfter, func() {
		e.hangUp = nil
		if o.bytes != before || o.fd >= 0 && readable(int(o.fd)) {
			w.hangUpLater()
			return
		}
		if o.fd >= 0 {
			o.end()
		}
		w.in.abandon(unix.EPIPE)
		if !w.groupEmpty {
			_ = w.proc.signalGroup(unix.SIGCONT)
		}
	})
}

// stopStep goes on with the graceful stop up to the next wait. It says how long that is,
// or that it is time for SIGKILL.
func (w *Worker) stopStep() (wait time.Duration, kill bool) {
	s := w.stops
	if s == nil {
		w.signalAll(unix.Signal(w.killSignal))
		w.hangUp()
		return time.Duration(w.killTimeout) * time.Millisecond, false
	}
	for s.next < len(s.steps) {
		st := s.steps[s.next]
		s.next++
		switch {
		case st.Close:
			w.CloseStdin()
		case st.Signal == unix.SIGKILL:
			return 0, true
		case st.Signal != 0:
			w.signalAll(st.Signal)
		default:
			return st.Wait, false
		}
	}
	return 0, true
}

// arm has the stop go on after a while.
func (w *Worker) arm(d time.Duration) {
	e := w.ends()
	at := w.starter.loop.Now() + d
	if e.deadline != nil && e.deadlineAt <= at {
		return
	}
	e.deadline.Stop()
	e.deadlineAt = at
	e.deadline = w.starter.loop.After(d, w.waited)
}

// waited: a step of the stop is over, and something is left.
func (w *Worker) waited() {
	w.ending.deadline = nil
	if w.stops != nil && !w.groupEmpty {
		if wait, kill := w.stopStep(); !kill {
			w.arm(wait)
			return
		}
	}
	w.event(evDeadline)
}
