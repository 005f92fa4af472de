package workers_test

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStoppedAndContinued checks that stops and continuations are reported in order, and not after
// the end.
func TestStoppedAndContinued(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		r := w.started(command("sleep", "1000"), "")
		want := []unix.Signal{unix.SIGSTOP, 0, unix.SIGSTOP, 0}
		for i, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGCONT, unix.SIGSTOP, unix.SIGCONT} {
			w.do(func() { _ = r.Signal(sig) })
			w.await("the change", func() bool { return len(r.jobs) > i })
		}
		w.do(func() { r.Kill() })
		w.finish(r).want("signal SIGKILL, core false")
		if !slices.Equal(r.jobs, want) {
			t.Errorf("told %v, want %v", r.jobs, want)
		}
	})
}

// TestTimeouts checks the longest run and the longest silence, each reported once. Output prolongs
// only the second.
func TestTimeouts(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		const limit = 100 * time.Millisecond
		begin := time.Now()
		sp := shell("while :; do echo; sleep 0.01; done")
		sp.Timeout, sp.IdleTimeout = 3*limit, 10*time.Second
		r := w.run(sp)
		r.want("signal SIGTERM, core false")
		if d := r.at.Sub(begin); d < 3*limit {
			t.Errorf("stopped after %v", d)
		}
		begin = time.Now()
		sp = shell("for i in 1 2 3 4 5 6; do echo; sleep 0.03; done; exec sleep 1000")
		sp.IdleTimeout = limit
		r = w.run(sp)
		r.want("signal SIGTERM, core false")
		if d := r.at.Sub(begin); d < limit {
			t.Errorf("stopped after %v", d)
		}
		sp = command("true")
		sp.Timeout, sp.IdleTimeout = time.Hour, time.Hour
		w.run(sp).want("exit 0")
	})
}
