package loop

import (
	"container/heap"
	"math"
	"time"
)

// Timer is one call in the future. It belongs to the loop's thread.
type Timer struct {
	at   time.Duration
	call func()
	l    *Loop
	pos  int // in the heap; -1: not waiting
}

// After calls f after d of monotonic time, in the loop's thread, between the
// events of descriptors. Timers due together are called in the order of their
// times, those set within a call in a later round.
func (l *Loop) After(d time.Duration, f func()) *Timer {
	at := l.Now() + max(d, 0)
	if at < 0 { // beyond 292 years
		at = math.MaxInt64
	}
	t := &Timer{at: at, call: f, l: l}
	heap.Push(&l.timers, t)
	return t
}

// Stop prevents the call, if it has not been made. A nil Timer may be stopped.
func (t *Timer) Stop() {
	if t != nil && t.pos >= 0 {
		heap.Remove(&t.l.timers, t.pos)
	}
}

// timeout is the time until the first timer in whole milliseconds, rounded up. As
// epoll_wait(2) takes an int, 24 days, the loop makes a round for nothing beyond that, and
// without any timer.
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

// ring calls what is due.
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
