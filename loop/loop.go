// Package loop is the event loop of erluv_child, built like libuv's. One thread waits with epoll
// for descriptors and timers, and calls the handlers and functions that were registered for them.
// The package knows nothing of processes, streams or Erlang. It starts no goroutine and takes no
// lock. Only the thread that calls Run may use a loop, except for Stop and Wake.
//
// A round calls the round hooks, waits, calls the handlers, and calls the timers that are due.
// Handlers must not block, and should do a bounded amount of work. An event that still holds comes
// again in the next round, after the other descriptors had their turns.
//
//	loop.go    the loop: its rounds, hooks, Stop and Wake
//	poller.go  descriptors and their handlers, by epoll
//	group.go   descriptors that can be paused together
//	timer.go   timers
//	wait.go    how the loop waits: it may spin before it sleeps
package loop

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Loop is one event loop.
type Loop struct {
	*Poller
	clock   Clock
	timers  timers
	rounds  []*func()
	wake    int // eventfd
	wakeSrc Source
	groups  []*Group
	stopped atomic.Bool
	woken   atomic.Bool // set by Wake until onWake is called
	onWake  func()
	spin    spinner
}

// Clock is the time of a loop.
type Clock interface {
	// Now is the monotonic time since the clock was made.
	Now() time.Duration

	// Wait is how long the loop may sleep until the time at.
	Wait(at time.Duration) time.Duration

	// Idle is called after a round without events, with the time of the next timer.
	Idle(next time.Duration)
}

// monotonic is the clock of the machine.
type monotonic struct{ start time.Time }

func (m monotonic) Now() time.Duration                  { return time.Since(m.start) }
func (m monotonic) Wait(at time.Duration) time.Duration { return at - m.Now() }
func (m monotonic) Idle(time.Duration)                  {}

// New makes a loop. It holds two descriptors until Close.
func New() (*Loop, error) { return NewWith(monotonic{time.Now()}) }

// NewWith makes a loop with another clock: see looptest.
func NewWith(c Clock) (*Loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &Loop{Poller: p, clock: c, spin: newSpinner()}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(p.fd)
		return nil, fmt.Errorf("cannot make an eventfd: %w", err)
	}
	if l.wakeSrc, err = l.Watch(l.wake, In, wakeUp{l}); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Close frees the loop's descriptors, after Run has returned.
func (l *Loop) Close() {
	for _, g := range l.groups {
		_ = unix.Close(g.fd)
	}
	_ = unix.Close(l.wake)
	_ = unix.Close(l.fd)
}

// Now returns the time of the loop's clock, the time since the loop was made.
func (l *Loop) Now() time.Duration { return l.clock.Now() }

// EachRound registers f to be called before each wait, when all events before it have been handled,
// and once more after the last round. Hooks run in the order of their registration, so a hook must
// not leave work to an earlier one. After remove, no further round calls f.
func (l *Loop) EachRound(f func()) (remove func()) {
	hook := &f
	l.rounds = append(l.rounds, hook)
	return func() {
		// A hook may remove another one. The current round keeps the list as it was.
		l.rounds = slices.DeleteFunc(slices.Clone(l.rounds), func(h *func()) bool { return h == hook })
	}
}

// Run runs the loop in the calling goroutine until Stop, or until waiting fails.
func (l *Loop) Run() error {
	for {
		for _, f := range l.rounds {
			(*f)()
		}
		if l.stopped.Load() {
			return nil
		}
		if err := l.rest(l.timeout()); err != nil {
			return err
		}
		if l.have == 0 && len(l.timers) > 0 {
			l.clock.Idle(l.timers[0].at)
		}
		l.tell()
		l.ring()
	}
}

// Stop makes Run return after the current round. Any goroutine may call it, but not once Close may
// have been called.
func (l *Loop) Stop() {
	l.stopped.Store(true)
	l.rouse()
}

// OnWake sets the function that Wake causes to be called. It must be called before Run.
func (l *Loop) OnWake(f func()) { l.onWake = f }

// Wake has the loop's thread call the function of OnWake, once for all calls of Wake until then.
// The rules of Stop apply.
func (l *Loop) Wake() {
	l.woken.Store(true)
	l.rouse()
}

// rouse ends the current wait, or the next one.
func (l *Loop) rouse() {
	var one [8]byte
	one[0] = 1
	_, _ = eintr.Write(l.wake, one[:])
}

// wakeUp empties the eventfd after a Stop or a Wake.
type wakeUp struct{ l *Loop }

func (w wakeUp) Ready(Events) {
	var b [8]byte
	_, _ = eintr.Read(w.l.wake, b[:])
	if w.l.woken.Swap(false) && w.l.onWake != nil {
		w.l.onWake()
	}
}
