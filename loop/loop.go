// Package loop is the event loop of erluv_child, built as libuv's is: one thread
// waits with epoll for descriptors and timers and calls what was registered for
// them. It knows nothing of processes, streams or Erlang, starts no goroutine
// and takes no lock; everything but Stop and Wake belongs to the thread that calls Run.
//
// A round is: call the round hooks, wait, tell the handlers, call the timers that
// are due. Handlers must not block and should do a bounded piece of work:
// what is left is told again in the next round, after everybody else's turn.
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
	woken   atomic.Bool // by Wake, and onWake is due
	onWake  func()
	spin    spinner
}

// Clock is the time of a loop.
type Clock interface {
	// Now is the monotonic time since the clock was made.
	Now() time.Duration

	// Wait is how long the loop may sleep until the time at.
	Wait(at time.Duration) time.Duration

	// Idle is called when a round had nothing to tell, with the time of the next timer.
	Idle(next time.Duration)
}

// monotonic is the clock of the machine.
type monotonic struct{ start time.Time }

func (m monotonic) Now() time.Duration                  { return time.Since(m.start) }
func (m monotonic) Wait(at time.Duration) time.Duration { return at - m.Now() }
func (m monotonic) Idle(time.Duration)                  {}

// New makes a loop. It holds two descriptors until Close.
func New() (*Loop, error) { return NewWith(monotonic{time.Now()}) }

// NewWith makes one with a clock of its own: see looptest.
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

// Now is the time of the loop's clock: since the loop was made.
func (l *Loop) Now() time.Duration { return l.clock.Now() }

// EachRound has f called before each wait, with everything done that the events
// before have brought about, and once more after the last round. A hook must not
// leave work to one that was registered before it: they are called in this order. After
// remove it is not called in any further round.
func (l *Loop) EachRound(f func()) (remove func()) {
	hook := &f
	l.rounds = append(l.rounds, hook)
	return func() {
		// A hook may remove another one: the round that goes on has the list as it was.
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

// Stop makes Run return after the round that is going on. It may be called from
// any goroutine, but not once Close may have been called.
func (l *Loop) Stop() {
	l.stopped.Store(true)
	l.rouse()
}

// OnWake says what Wake has called. It comes before Run.
func (l *Loop) OnWake(f func()) { l.onWake = f }

// Wake has the function of OnWake called in the loop's thread, once for calls that come
// before it. It may be called as Stop may.
func (l *Loop) Wake() {
	l.woken.Store(true)
	l.rouse()
}

// rouse ends the wait, or the next one.
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
