package loop

import (
	"runtime"
	"time"
)

// spinTime is how long the loop polls for events before it sleeps. To sleep and be woken costs 10
// to 20 µs, and more on a virtual machine with a halted processor. A line from a node to a program
// pays that cost twice, and so does the answer. In such a conversation the other side answers
// within about spinTime, its own wake-up included.
//
// A spinning loop takes a processor from others. So the loop spins only after several short waits,
// and not while another process needs the processor. On a machine with one processor it never
// spins.
const spinTime = 100 * time.Microsecond

// spinner decides whether spinning is worthwhile.
type spinner struct {
	points int
	off    bool
}

const (
	spinFrom = 6  // points from which on the loop spins: that many short waits
	spinMost = 12 // the most points, so that the loop stops spinning soon
	spinLost = 3  // how many points a long wait costs

	// crowded is a gap between two polls so long that another process must have run on this
	// processor. Spinning took the processor from it. If it has not caused an event for the loop,
	// the loop does not spin for the next spinRest short waits.
	crowded  = 15 * time.Microsecond
	spinRest = 50
)

func newSpinner() spinner { return spinner{off: runtime.NumCPU() < 2} }

// spins reports whether to spin in this wait.
func (s *spinner) spins() bool { return s.points >= spinFrom && !s.off }

// waited takes the duration of a wait into account.
func (s *spinner) waited(d time.Duration) {
	if d <= spinTime {
		s.points = min(s.points+1, spinMost)
	} else {
		s.points = max(s.points-spinLost, min(s.points, 0))
	}
}

// displaced records that spinning kept the processor from another process.
func (s *spinner) displaced() { s.points = -spinRest }

// rest waits for events, for at most ms milliseconds.
func (l *Loop) rest(ms int) error {
	if ms == 0 {
		return l.wait(ms)
	}
	start := time.Now()
	if l.spin.spins() {
		if err := l.look(start); err != nil || l.have > 0 {
			l.spin.waited(0)
			return err
		}
	}
	err := l.wait(ms)
	l.spin.waited(time.Since(start))
	return err
}

// look spins until there are events, for at most spinTime.
func (l *Loop) look(start time.Time) error {
	displaced := false
	for last := start; last.Sub(start) < spinTime; {
		if err := l.wait(0); err != nil || l.have > 0 {
			return err
		}
		if displaced {
			l.spin.displaced()
			return nil
		}
		now := time.Now()
		displaced = now.Sub(last) > crowded
		last = now
	}
	return nil
}
