package workers_test

import (
	"testing"

	"erluv/ipc"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// TestSettle checks that no request is sent before its cause is settled, and that the function of
// Settle is not called without a request.
func TestSettle(t *testing.T) {
	w, _ := newFake(t)
	var asked, settled int
	allow := false
	w.do(func() {
		w.starter.Settle(func() bool {
			asked++
			if allow {
				settled++
			}
			return allow
		})
	})
	r := w.start(&workers.Spec{Program: "x", Args: []string{"x"}})
	w.await("a round with a request", func() bool { return asked > 0 })
	for range 3 {
		w.do(func() {}) // a round
		if _, fds, err := w.tryHear(); err != ipc.ErrEmpty {
			ipc.CloseAll(fds)
			t.Fatalf("it was asked for before it was settled: %v", err)
		}
	}
	w.do(func() { allow = true })
	w.say(ipc.Spawned{Seq: w.asked().Seq, Refusal: ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.ENOENT}})
	w.finish(r)
	w.do(func() {
		if settled != 1 {
			t.Errorf("it was settled %d times for one request", settled)
		}
		settled = 0
	})
	w.do(func() {})
	w.do(func() {
		if settled != 0 {
			t.Errorf("it was settled %d times for nothing", settled)
		}
	})
	w.drop()
}
