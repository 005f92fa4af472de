// Package slack has the runtime give memory back when a crowd is over: many programs
// were started, or much was read, and nothing follows. The heap has grown to twice of what
// was in use by then, 4 MiB at least, and would stay so.
package slack

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Pause is how long nothing may happen before memory is given back.
const Pause = time.Second

// Slack waits for the end of a crowd. Nobody waits for it: the collection runs beside
// whoever it is for. It may be used by one goroutine.
type Slack struct {
	// Worth is how many times something must have happened: 256 starts of a program
	// leave garbage of about a megabyte in the child and a quarter of that in the spawner.
	Worth int32

	// After calls f after d: time.AfterFunc, or a timer of a loop.
	After func(d time.Duration, f func())

	happened atomic.Int32
	last     atomic.Int64 // when, in nanoseconds of Unix time
	waits    atomic.Bool
}

// Timers is an After where there is no loop.
func Timers(d time.Duration, f func()) { time.AfterFunc(d, f) }

// Happened counts one start, end or reading.
func (s *Slack) Happened() {
	if s.happened.Add(1) < s.Worth {
		return
	}
	s.last.Store(time.Now().UnixNano())
	if s.waits.CompareAndSwap(false, true) {
		s.After(Pause, s.expired)
	}
}

// expired: it was time, unless something has happened meanwhile.
func (s *Slack) expired() {
	if left := Pause - time.Duration(time.Now().UnixNano()-s.last.Load()); left > 0 {
		s.After(min(left, Pause), s.expired) // the clock may have been set
		return
	}
	s.happened.Store(0)
	s.waits.Store(false)
	go debug.FreeOSMemory() // ends when it is done
}
