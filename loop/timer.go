package loop

import (
	"container/heap"
	"math"
	"time"
)

// Timer is one future call. It belongs to the loop's thread.
type Timer struct {
	at   time.Duration
	call func()
	l    *Loop
	pos  int // in the heap; -1: not waiting
}

// After calls f after d of monotonic time, in the loop's thread, after the handlers of a round.
// Timers that are due together are called in the order of their times. A timer that is set within a
// call waits for a later round.
func (l *Loop) After(d time.Duration, f func()) *Timer {
	at := l.Now() + max(d, 0)
	if at < 0 { // beyond 292 years
		at = math.MaxInt64
	}
	t := &Timer{at: at, call: f, l: l}
	heap.Push(&l.timers, t)
	return t
}

// Stop prevents the call, unless it has been made. A nil Timer may be stopped.
func (t *Timer) Stop() {
	if t != nil && t.pos >= 0 {
		heap.Remove(&t.l.timers, t.pos)
	}
}

// timeout is the time until the first timer in whole milliseconds, rounded up. epoll_wait(2) takes
// an int, at most 24 days. Without a timer, or for a later one, the loop then makes a round for
// nothing.
func (l *Loop) timeout() int {
	at := time.Duration(math.MaxInt64)
	if len(l.timers) > 0 {
		at = l.timers[0].at
	}
	d := l.clock.Wait(at)
	if d <= 0 {
		return 0
	}
	return int(min((d-1)/time.Millisecond+1, math.MaxInt32))
}

// ring calls the timers that are due.
func (l *Loop) ring() {
	if len(l.timers) == 0 {
		return
	}
	for now := l.Now(); len(l.timers) > 0 && l.timers[0].at <= now; {
		t := heap.Pop(&l.timers).(*Timer)
		t.call()
	}
}

// timers is a heap by time (container/heap).
type timers []*Timer

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at < h[j].at }

func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *timers) Push(x any) {
	t := x.(*Timer)
	t.pos = len(*h)
	*h = append(*h, t)
}

func (h *timers) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.pos = -1
	return t
}
