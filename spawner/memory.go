package spawner

import (
	"runtime/debug"
	"time"
)

const (
	// slackWorth is after how many starts memory is given back: their garbage is about
	// a quarter of a megabyte.
	slackWorth = 256

	// slackPause is how much later: most often nothing is started any more then.
	slackPause = time.Second
)

// slack has the runtime give back what many starts have left. Without it the heap
// keeps the 4 MiB to which it grows before it is collected.
type slack struct {
	starts int
	timer  *time.Timer
}

// started: a program was started.
func (s *slack) started() {
	if s.starts++; s.starts < slackWorth {
		return
	}
	s.starts = 0
	if s.timer == nil {
		s.timer = time.AfterFunc(slackPause, debug.FreeOSMemory)
	} else {
		s.timer.Reset(slackPause)
	}
}
