package spawner

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// slackWorth is after how many starts memory is given back: their garbage is about
	// a quarter of a megabyte.
	slackWorth = 256

	// slackPause is how long nothing may be started then.
	slackPause = time.Second
)

// slack has the runtime give back what many starts have left, when they have ceased.
// Without it the heap keeps the 4 MiB to which it grows before it is collected.
type slack struct {
	starts atomic.Int32
	timer  *time.Timer
}

// started: a program was started.
func (s *slack) started() {
	if s.starts.Add(1) < slackWorth {
		return
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(slackPause, s.giveBack)
	} else {
		s.timer.Reset(slackPause)
	}
}

func (s *slack) giveBack() {
	s.starts.Store(0)
	debug.FreeOSMemory()
}
