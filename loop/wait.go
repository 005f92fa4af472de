package loop

import (
	"runtime"
	"time"
)

// spinTime is how long the loop asks again and again whether something has happened
// before it sleeps. To sleep and be woken costs 10 to 20 µs, more on a virtual
// machine whose processor is halted; in a conversation, a line to a program and its
// answer to the node, that is paid twice in each direction. The time is what the other
// side of a conversation needs, with such a wake of its own in it.
//
// A loop that spins takes a processor from others. So it does only where the last
// waits were short, not while somebody else has use for the processor, and
// never where there is but one.
const spinTime = 100 * time.Microsecond

// spinner knows whether spinning is worth while.
type spinner struct {
	points int
	off    bool
}

const (
	spinFrom = 6  // points from which on it spins: after so many short waits
	spinMost = 12 // more are not kept, so that it stops soon
	spinLost = 3  // what a long wait costs

	// crowded is a time between two looks in which another process was on our
	// processor: spinning took it away from one that had work. When it was not to
	// give us something to do, nothing is spun for the next spinRest short waits.
	crowded  = 15 * time.Microsecond
	spinRest = 50
)

func newSpinner() spinner { return spinner{off: runtime.NumCPU() < 2} }

// spins says whether to spin in this wait.
func (s *spinner) spins() bool { return s.points >= spinFrom && !s.off }

// waited notes how long a wait was.
func (s *spinner) waited(d time.Duration) {
	if d <= spinTime {
		s.points = min(s.points+1, spinMost)
	} else {
		s.points = max(s.points-spinLost, min(s.points, 0))
	}
}

// displaced notes that spinning was in somebody's way.
func (s *spinner) displaced() { s.points = -spinRest }

// rest waits for something to tell, for at most ms milliseconds.
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

// look spins for something to tell.
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
