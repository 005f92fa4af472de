package spawner

import (
	"fmt"
	"runtime"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// stuckBeats is how many questions of main, two seconds apart, the spawner may get within one
// request before it stops answering. A request may take execTimeout. A longer one is taken to be
// stuck.
const stuckBeats = 8

// bind makes the kernel send the process a signal when main ends (prctl(2), PR_SET_PDEATHSIG). It
// also answers main's questions whether the spawner lives, until main ends. One separate thread
// does both. The kernel's setting belongs to a thread, and a change of ids cancels it. The serving
// thread changes its ids all the time. The goroutine ends with the process.
func (s *spawner) bind(up *ipc.Conn, sig unix.Signal) error {
	bound := make(chan error)
	go func() {
		runtime.LockOSThread()
		bound <- unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(sig), 0, 0, 0)
		s.answerMain(up)
	}()
	if err := <-bound; err != nil {
		return fmt.Errorf("cannot be bound to the life of main: %w", err)
	}
	return nil
}

// answerMain answers as long as requests come to an end.
func (s *spawner) answerMain(up *ipc.Conn) {
	<-s.ready
	buf := make([]byte, ipc.MaxPacket)
	last, same := s.rounds.Load(), 0
	for {
		n, fds, err := up.Recv(buf, 0)
		ipc.CloseAll(fds)
		if err != nil {
			return // the child has ended with main, and serve notices
		}
		if m, err := ipc.Decode(buf[:n]); err != nil || m != (ipc.Beat{}) {
			continue
		}
		now := s.rounds.Load()
		if same++; now != last || now%2 == 0 { // it is even between two requests
			last, same = now, 0
		}
		if same < stuckBeats {
			_ = up.TrySend(ipc.Append(nil, ipc.Beat{}))
		}
		s.log.Flush()
	}
}

// endSignal is the signal that the kernel sends when main ends. The init of a pid namespace gets
// SIGKILL, since everything inside ends with it. With the freezer of version 1 it does not, because
// SIGKILL does not reach frozen processes. Any other spawner ends its programs itself when the
// child is gone. SIGCONT makes sure that it is not stopped then.
func (s *spawner) endSignal() unix.Signal {
	if isInit() && !s.leaves.v1 {
		return unix.SIGKILL
	}
	return unix.SIGCONT
}
