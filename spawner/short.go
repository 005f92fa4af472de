package spawner

import (
	"fmt"
	"time"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// The spawner copes when descriptors run out, here or on their way to the child.

// inFlightBound is how long the spawner waits when it cannot send descriptors to the child
// (unix(7), ETOOMANYREFS). Programs of the same user may have sent each other too many, for
// instance. Nothing is started or signalled meanwhile.
const inFlightBound = 500 * time.Millisecond

// cannotTake answers a request whose descriptors could not be received. They are closed, and
// nothing is started.
func (s *spawner) cannotTake(p []byte) error {
	msg, err := ipc.Decode(p)
	if err != nil {
		return err
	}
	s.answering.Lock()
	defer s.answering.Unlock()
	answer := ipc.Spawned{Refusal: ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.EMFILE}}
	switch m := msg.(type) {
	case *ipc.Spawn:
		answer.Seq = m.Seq
	case ipc.SpawnInMemfd:
		answer.Seq = m.Seq
	default:
		return fmt.Errorf("the child sent descriptors with %T", msg)
	}
	return s.answer(answer)
}

// takeBack ends a program whose descriptors could not be sent to the child, and its descendants.
// The program has run for inFlightBound, which is unavoidable.
func (s *spawner) takeBack(m *ipc.Spawn, pid, pidfd int, at *site) {
	if m.Notify {
		s.notify.forget(m.Seq)
	}
	if unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, ipc.PidfdSignalProcessGroup) == unix.EINVAL {
		_ = signalGroup(ipc.SignalGroup{PID: uint32(pid), Signal: uint32(unix.SIGKILL)}, nil)
	}
	if leaf := at.leaf.number; leaf != 0 {
		_ = s.leaves.kill(leaf)
		s.leaves.left = append(s.leaves.left, leaf)
	}
	s.limits.undo(at)
}

// reserve is a descriptor that is kept for moments without any other (EMFILE, or ENFILE for the
// whole machine). The spawner must be able to end running programs even if another process has
// opened all files. The descriptor is /dev/null; -1: it is in use.
type reserve struct{ fd int }

func newReserve() (reserve, error) {
	fd, err := eintr.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return reserve{-1}, fmt.Errorf("cannot keep a descriptor in reserve: %w", err)
	}
	return reserve{fd}, nil
}

// openat is openat(2), for a descriptor that the caller closes soon.
func (r *reserve) openat(dir int, path string, flags int) (int, error) {
	if r.fd < 0 { // the last attempt to renew it failed
		*r, _ = newReserve()
	}
	fd, err := eintr.Openat(dir, path, flags|unix.O_CLOEXEC, 0)
	if (err == unix.EMFILE || err == unix.ENFILE) && r.fd >= 0 {
		_ = unix.Close(r.fd)
		r.fd = -1
		fd, err = eintr.Openat(dir, path, flags|unix.O_CLOEXEC, 0)
	}
	return fd, err
}

// makeRoom makes room for a descriptor once the child is gone.
func (s *spawner) makeRoom() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur < limit.Max {
		limit.Cur = limit.Max // another process has lowered it
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
		return
	}
	s.answering.Lock()
	_ = s.child.Close()
	s.answering.Unlock()
}
