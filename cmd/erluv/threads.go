package main

import (
	"runtime"
	"sync"
)

// The Go runtime makes a thread if there is work and no idle thread. If it cannot, it ends the
// process. The number of processes is bounded by RLIMIT_NPROC, by pids.max of the control group,
// and by the machine. So a user who starts as many processes as possible would end their own erluv.
//
// A thread ends only with a goroutine that is locked to it, and no such goroutine of erluv ends. So
// each role makes at its start all threads that it can ever need. These are the threads that run Go
// code at a time, those that wait in system calls or are locked, and spareThreads more. The
// runtime's own threads exist by then: sysmon, and the one that makes threads for locked ones.
const (
	// maxRunning is how many threads run Go code at a time. No role gains from more: the child is
	// one loop, beside the garbage collector.
	maxRunning = 2

	// spareThreads is how many threads may be between work and idleness, where the runtime does not
	// find them. Each of them has left one of the maxRunning places.
	spareThreads = maxRunning

	// The threads that wait, besides the first one. Main has these: the one that starts processes,
	// and two for signals (os/signal). One reads standard input. Two are for a watched child and a
	// new one that starts, or for the connection in between. The others are for the log, a file,
	// and the runtime's poller, which sleeps for timers.
	waitOfMain = 9
	// The child has two threads for signals, and the poller, during its start. Its loop is the first
	// thread.
	waitOfChild = 3
	// The relay has two for signals, the poller, and the thread that listens to main.
	waitOfRelay = 4
	// The spawner has two threads for signals, and one that finds stopped programs. One reaps, one
	// answers main, and one starts programs that are allowed more. The last is the poller.
	waitOfSpawner = 7
)

// reserveThreads makes the threads of a role. The argument waiting is the number of those that wait.
func reserveThreads(waiting int) {
	running := min(runtime.GOMAXPROCS(0), maxRunning)
	// Once it is set, the runtime does not raise it when the process gets more processors.
	runtime.GOMAXPROCS(running)
	n := running + waiting + spareThreads
	var all sync.WaitGroup
	all.Add(n)
	for range n {
		go func() { // ends when all are there: each is locked to a thread
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		}()
	}
	all.Wait()
}
