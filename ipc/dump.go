package ipc

import (
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// dumpEvery is how often a process says how it stands at most.
const dumpEvery = time.Second

// DumpMost is how many lines of each of its tables a process logs.
const DumpMost = 20

// AtQuit has f called at a SIGQUIT, at which a Go program would otherwise end, one call
// after the other. A role does without stop, which has the signal ignored and waits for the
// last call.
func AtQuit(f func()) (stop func()) {
	quit := make(chan os.Signal, 1) // one that waits stands for any number
	signal.Notify(quit, unix.SIGQUIT)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends with stop, or with the process
		defer close(ended)
		for {
			select {
			case <-quit:
				f()
			case <-over:
				return
			}
			select {
			case <-time.After(dumpEvery):
			case <-over:
				return
			}
		}
	}()
	return func() {
		signal.Ignore(unix.SIGQUIT)
		close(over)
		<-ended
	}
}
