package childproc

import (
	"runtime/debug"
	"time"

	"erluv/loop"
)

const (
	// slackWorth is how many workers must have started or ended before memory is given
	// back: the garbage of as many starts is about a megabyte.
	slackWorth = 256

	// slackPause is how long no other may start or end then. The heap grows to twice of
	// what is in use, and a crowd is started at once and then mostly left alone.
	slackPause = time.Second
)

// slack has the runtime give back what it holds for the starting of workers, and for
// those that have ended, once that has ceased. Nobody waits for it: the collection runs
// beside the loop.
type slack struct {
	changes int // workers that have started or ended since
	seen    int // of these, when the timer was set
	timer   *loop.Timer
}

// changed: a worker has started or ended.
func (m *manager) changed() {
	s := &m.slack
	if s.changes++; s.changes >= slackWorth && s.timer == nil {
		m.awaitSlack()
	}
}

func (m *manager) awaitSlack() {
	s := &m.slack
	s.seen = s.changes
	s.timer = m.after(slackPause, func() {
		if s.changes != s.seen {
			m.awaitSlack()
			return
		}
		*s = slack{}
		go debug.FreeOSMemory() // ends when it is done
	})
}
