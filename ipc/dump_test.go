package ipc

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAtQuit: a flood of signals causes one call, and those that come during it one more.
func TestAtQuit(t *testing.T) {
	calls := make(chan time.Time, 100)
	stop := AtQuit(func() { calls <- time.Now() })
	kill := func() {
		for range 100 {
			if err := unix.Kill(os.Getpid(), unix.SIGQUIT); err != nil {
				t.Fatal(err)
			}
		}
	}
	kill()
	first := <-calls
	kill()
	if d := (<-calls).Sub(first); d < dumpEvery*9/10 {
		t.Errorf("the next comes after %v", d)
	}
	stop()
	for len(calls) > 0 {
		<-calls
	}
	_ = unix.Kill(os.Getpid(), unix.SIGQUIT) // must not end the process
	if len(calls) > 0 {
		t.Errorf("%d further calls", len(calls))
	}
}
