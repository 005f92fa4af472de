package workers

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// MaxSteps is the maximum number of steps of a stop sequence. Each signal may cost two requests to
// the spawner, which must fit into process.asked beside maxQuestions.
const MaxSteps = 32

// Step is one step of a graceful stop. It closes stdin, sends a signal to the program and all its
// descendants, or waits.
type Step struct {
	Close  bool
	Signal unix.Signal
	Wait   time.Duration
}

// sequence is the graceful stop of a worker with its own steps. Other workers send one signal and
// wait for the kill timeout.
type sequence struct {
	steps []Step
	next  int
}

// newSequence makes the sequence of a Spec, nil if it has none. If the last step is neither a wait
// nor SIGKILL, the kill timeout follows it.
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

// within shortens the current wait and the remaining ones in proportion, so that they take at most
// d. It returns the rest of the current wait.
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

// milliseconds converts a kill timeout to the form that a worker keeps.
func milliseconds(d time.Duration) uint32 {
	return uint32(min((d+time.Millisecond-1)/time.Millisecond, math.MaxUint32))
}

// signalAll sends a stop signal to the program and all its descendants. Stopped processes handle
// the signal only when they continue, so SIGCONT follows.
func (w *Worker) signalAll(sig unix.Signal) {
	if w.groupEmpty {
		return
	}
	if w.groupEmpty = w.proc.signalGroup(sig) == unix.ESRCH; !w.groupEmpty {
		_ = w.proc.signalGroup(unix.SIGCONT)
	}
}

// hangUpAfter is how long a terminal must be silent after SIGHUP before it is closed. Shells end,
// and programs write their last words, within a tenth of that.
const hangUpAfter = 300 * time.Millisecond

// hangUp sends SIGHUP to the programs of a terminal, as closing it would (termios(3)): interactive
// shells ignore SIGTERM. SIGHUP follows the stop signal, so that a program with a handler for the
// stop signal runs that one first.
func (w *Worker) hangUp() {
	if w.tty && !w.groupEmpty {
		w.signalAll(unix.SIGHUP)
		w.hangUpLater()
	}
}

// hangUpLater closes the terminal once it has been silent for hangUpAfter. Some programs ignore
// SIGHUP while they can read an answer, as zsh does when it asks a new user. Processes that use the
// terminal from the background are stopped again each time they continue. After the close, reads
// fail, and the kernel no longer stops such processes.
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

// stopStep continues the graceful stop up to the next wait, and returns its duration. kill reports
// that it is time for SIGKILL.
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

// arm has the stop continue after d.
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

// waited is called when a wait of the stop has passed.
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
