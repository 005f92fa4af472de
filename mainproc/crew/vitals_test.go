package crew

import (
	"testing"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// TestVitals: the vitals of processes that work, sleep, are stopped, and have ended.
func TestVitals(t *testing.T) {
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(waitBound); !ok(); {
			if time.Now().After(end) {
				t.Fatalf("not seen within 30 s: %s", what)
			}
		}
	}
	busy := shell(t, ipc.RoleChild, "while :; do :; done")
	until("work", func() bool { return workedOf(busy.pid) > 50*time.Millisecond })
	until("a thread that runs", func() bool { return vitalsOf(busy.pid, true).runs })
	busy.signal(unix.SIGSTOP)
	until("a stop", func() bool { return !vitalsOf(busy.pid, true).runs })
	if before := vitalsOf(busy.pid, true); vitalsOf(busy.pid, true) != before {
		t.Errorf("a stopped process goes on from %+v", before)
	}
	asleep := shell(t, ipc.RoleChild, "exec sleep 1000")
	until("sleep", func() bool { return !vitalsOf(asleep.pid, true).runs })
	asleep.kill()
	_ = asleep.reap()
	if v := vitalsOf(asleep.pid, true); v != (vitals{}) {
		t.Errorf("of a process that has ended: %+v", v)
	}
}

// TestSlowIsNoHang: a pulse examines in its own time a child that works without an answer and is
// then stopped.
func TestSlowIsNoHang(t *testing.T) {
	r := &Crew{child: shell(t, ipc.RoleChild, "while :; do :; done"), spawner: shell(t, ipc.RoleSpawner, "exec sleep 1000"), began: time.Now()}
	now := t0
	p := newPulse(now)
	next := func() beat {
		now = p.next
		return p.check(now, func(threads bool) vitals { return vitalsOf(r.child.pid, threads) })
	}
	for i := range 100 {
		want := beatAsk
		if i >= beatsMissed {
			want = beatWait
		}
		if got := next(); got != want {
			t.Fatalf("look %d at a child that works: %v, want %v", i, got, want)
		}
	}
	r.began = r.began.Add(-time.Hour) // the last sign of life is old
	if r.Answers() {
		t.Error("it answers")
	}
	r.beat(beatWait)
	if !r.Answers() {
		t.Error("work is no sign of life to a service manager")
	}
	r.child.signal(unix.SIGSTOP)
	for b := next(); b != beatAbort; b = next() {
		if b != beatWait { // until it has stopped
			t.Fatalf("%v of a child that is stopped", b)
		}
	}
}
