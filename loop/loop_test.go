package loop

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStopFromAnotherGoroutine(t *testing.T) {
	for range 200 {
		l := newLoop(t)
		running := make(chan struct{})
		l.After(0, func() { close(running) })
		done := make(chan error, 1)
		go func() { done <- l.Run() }() // ends by Stop, below
		<-running
		l.Stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func TestStopBeforeRun(t *testing.T) {
	l := newLoop(t)
	l.Stop()
	l.Stop()
	rounds := 0
	l.EachRound(func() { rounds++ })
	run(t, l)
	if rounds != 1 {
		t.Errorf("%d rounds, want the hooks once", rounds)
	}
}

// TestStopWithin stops the loop in a handler. The rest of the round still takes place, with its
// hooks.
func TestStopWithin(t *testing.T) {
	l := newLoop(t)
	var got []string
	for _, name := range []string{"a", "b"} {
		_, w := pipe(t)
		watch(t, l, w, Out, func(Events) { got = append(got, name); l.Stop() })
	}
	l.After(0, func() { got = append(got, "timer") })
	l.EachRound(func() { got = append(got, "hook") })
	run(t, l)
	slices.Sort(got[1:3])
	if want := []string{"hook", "a", "b", "timer", "hook"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestHooksBeforeTheFirstWait checks that the loop does not wait for work that a hook left in the
// first round.
func TestHooksBeforeTheFirstWait(t *testing.T) {
	l := newLoop(t)
	var order []int
	l.EachRound(func() { order = append(order, 1) })
	l.EachRound(func() {
		order = append(order, 2)
		if len(order) == 2 {
			l.After(0, l.Stop)
		}
	})
	run(t, l)
	if want := []int{1, 2, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("hooks %v, want %v", order, want)
	}
}

// TestInterruptedWait checks that the loop goes on when signals interrupt epoll_wait(2).
func TestInterruptedWait(t *testing.T) {
	l := newLoop(t)
	tid := make(chan int)
	var again func()
	again = func() { l.After(5*time.Millisecond, again) }
	l.After(0, func() { tid <- unix.Gettid(); again() })
	done := make(chan error, 1)
	go func() { done <- l.Run() }() // ends by Stop, below
	loopThread := <-tid
	for range 1000 {
		// Go's preemption uses SIGURG, so the runtime ignores it.
		if err := unix.Tgkill(unix.Getpid(), loopThread, unix.SIGURG); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	l.Stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestNowIsMonotonic(t *testing.T) {
	l := newLoop(t)
	last := l.Now()
	for range 1000 {
		if now := l.Now(); now < last || now > time.Hour {
			t.Fatalf("%v after %v", now, last)
		} else {
			last = now
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	l := newLoop(b)
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	n := 0
	s := watch(b, l, fd, In, func(Events) { n++ })
	b.ReportAllocs()
	for b.Loop() {
		round(b, l)
	}
	if n != b.N {
		b.Errorf("%d events in %d rounds", n, b.N)
	}
	s.Remove()
}

// TestWake checks that the loop's thread makes one call for many calls of Wake, and goes on.
func TestWake(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	calls := make(chan struct{}, 10_000)
	l.OnWake(func() { calls <- struct{}{} })
	ended := make(chan error)
	for range 100 { // before it runs: one call
		l.Wake()
	}
	go func() { ended <- l.Run() }()
	for range 100 {
		<-calls
		if len(calls) > 0 {
			t.Fatal("it is called more often than it was woken")
		}
		l.Wake()
	}
	<-calls
	l.Stop()
	if err := <-ended; err != nil || len(calls) > 0 {
		t.Errorf("%v, %d calls by Stop", err, len(calls))
	}
}

// TestRemoveHook checks that a removed hook is not called again, and that the others are.
func TestRemoveHook(t *testing.T) {
	l := newLoop(t)
	var order []int
	var remove [3]func()
	for i := range remove {
		remove[i] = l.EachRound(func() {
			order = append(order, i)
			if i == 1 {
				remove[0]()
				remove[1]()
				l.After(0, l.Stop)
			}
		})
	}
	run(t, l)
	if want := []int{0, 1, 2, 2}; !slices.Equal(order, want) {
		t.Errorf("hooks %v, want %v", order, want)
	}
}
