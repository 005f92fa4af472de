package main

import (
	"runtime"
	"sync"
)

// The Go runtime makes a thread when there is something to run and no thread idles,
// and when it cannot have one it ends the process. So whoever starts as many
// processes as the user may have (RLIMIT_NPROC), or as pids.max of the control group
// or the machine allow, would end his own erluv. But a thread that is there stays
// until the goroutine ends that is locked to it, and none of ours does. So each role
// makes at its start all that it can ever need: as many as run Go code at a time,
// those that wait in system calls or are locked, and spareThreads. What the runtime
// has for itself (sysmon, and the one that makes threads for locked ones) is there by
// then.
const (
	// maxRunning is how many threads run Go code at a time. None of the roles gains
	// by more: the child is one loop, and beside it there is the garbage collector.
	maxRunning = 2

	// spareThreads is how many may just be on their way from work to idleness, where
	// the runtime does not find them: each has left one of the maxRunning places.
	spareThreads = maxRunning

	// The threads that wait, besides the first. Of main: the one that starts
	// processes; two for signals (os/signal); standard input; a child that is watched
	// and a new one that is started, or the connection in between; the log; a file;
	// and the runtime's poller, which sleeps for timers.
	waitOfMain = 9
	// Of the child: the poller, while it starts; its loop is the first thread.
	waitOfChild = 1
	// Of the relay: the poller, and the one that listens to main.
	waitOfRelay = 2
	// Of the spawner: two for signals, the one that looks for programs that were
	// stopped, the one that reaps, the one that answers main, the one that starts
	// programs which are allowed more, and the poller.
	waitOfSpawner = 7
)

// reserveThreads makes the threads of a role, of which waiting wait.
func reserveThreads(waiting int) {
	running := min(runtime.GOMAXPROCS(0), maxRunning)
	// Set, it is not raised either when the process is given more processors.
	runtime.GOMAXPROCS(running)
	n := running + waiting + spareThreads
	var all sync.WaitGroup
	all.Add(n)
	for range n {
		go func() { // ends when all are there: locked, each has a thread
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		}()
	}
	all.Wait()
}
