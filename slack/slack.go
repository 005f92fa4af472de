// Package slack makes the runtime return memory to the system after a burst of work: many programs
// started, or much read, and then nothing. By then the heap has grown to twice the memory in use,
// at least 4 MiB, and would stay so.
package slack

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Pause is how long nothing must happen before memory is returned.
const Pause = time.Second

// Slack detects the end of a burst. The garbage collection then runs in its own goroutine, and no
// caller waits for it. Only one goroutine may use a Slack.
type Slack struct {
	// Worth is how many events make a burst worth a collection. 256 starts of a program leave about
	// a megabyte of garbage in the child, and a quarter of that in the spawner.
	Worth int32

	// After calls f after d. It is Timers, or a timer of a loop.
	After func(d time.Duration, f func())

	happened atomic.Int32
	last     atomic.Int64 // time of the last event, in nanoseconds of Unix time
	waits    atomic.Bool
}

// Timers is an After for a process without a loop.
func Timers(d time.Duration, f func()) { time.AfterFunc(d, f) }

// Happened counts one event: a start, an end or a reading.
func (s *Slack) Happened() {
	if s.happened.Add(1) < s.Worth {
		return
	}
	s.last.Store(time.Now().UnixNano())
	if s.waits.CompareAndSwap(false, true) {
		s.After(Pause, s.expired)
	}
}

// expired frees memory, unless something happened within the last Pause.
func (s *Slack) expired() {
	if left := Pause - time.Duration(time.Now().UnixNano()-s.last.Load()); left > 0 {
		s.After(min(left, Pause), s.expired) // min: the clock may have been set
		return
	}
	s.happened.Store(0)
	s.waits.Store(false)
	go debug.FreeOSMemory() // the goroutine ends when this returns
}
