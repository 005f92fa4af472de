package spawner

import (
	"fmt"
	"runtime"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// stuckBeats is how many questions of main, two seconds apart, may come within one and
// the same request before the spawner gives no answer. A request may take execTimeout;
// what takes longer does not end.
const stuckBeats = 8

// bind has the kernel send the process a signal when main ends (prctl(2),
// PR_SET_PDEATHSIG), and answers main's questions whether the spawner lives, until main is
// gone. Both take a thread of their own: the kernel's promise goes by the thread, and a
// change of ids, which the thread that serves makes all the time, ends it. The
// goroutine ends with the process.
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

// answerMain answers as long as requests end.
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

// endSignal is what the kernel sends when main ends. The init of a pid namespace can be
// killed at once, for everything in there ends with it, unless something is frozen by the
// freezer of version 1: SIGKILL would not reach that. Everybody else ends the programs
// when the child is gone, for which it must not be stopped.
func (s *spawner) endSignal() unix.Signal {
	if isInit() && !s.leaves.v1 {
		return unix.SIGKILL
	}
	return unix.SIGCONT
}
