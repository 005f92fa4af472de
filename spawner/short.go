package spawner

import (
	"fmt"
	"time"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// What is done when something cannot be had that nobody has asked for: descriptors,
// here or on their way to the child.

// inFlightBound is how long the child is waited for when it cannot be sent
// descriptors (unix(7), ETOOMANYREFS), since programs of the user have sent each
// other too many, for instance. Nothing is started or signalled meanwhile.
const inFlightBound = 500 * time.Millisecond

// cannotTake answers a request whose descriptors could not be received. They are
// closed: nothing was started.
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

// takeBack ends a program that the child cannot be given, with all that it has
// started. It has run for inFlightBound, which cannot be helped.
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

// reserve is a descriptor that is kept for the moment in which there is no other: a
// program that is there must be ended, whoever has opened all files (EMFILE, or
// ENFILE, of the whole machine). It stands for /dev/null; -1: it is in use.
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
	if r.fd < 0 { // it could not be had again the last time
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

// makeRoom makes room for a descriptor when the child is gone.
func (s *spawner) makeRoom() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur < limit.Max {
		limit.Cur = limit.Max // somebody has lowered it
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
		return
	}
	s.answering.Lock()
	_ = s.child.Close()
	s.answering.Unlock()
}
