package ipc

import (
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// dumpEvery is the shortest time between two dumps of a process.
const dumpEvery = time.Second

// DumpMost is how many lines of each of its tables a process logs.
const DumpMost = 20

// AtQuit calls f at each SIGQUIT, which would otherwise end a Go program; calls never overlap.
// Roles do not need stop. It makes the process ignore the signal, and waits for the last call.
func AtQuit(f func()) (stop func()) {
	quit := make(chan os.Signal, 1) // one waiting signal stands for any number
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
