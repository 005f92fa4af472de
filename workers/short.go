package workers

import (
	"errors"
	"fmt"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// This file handles shortages that a caller cannot foresee. The child may lack places in epoll, or
// descriptors for itself or on their way to the spawner.

const (
	// watchPause is the time between two attempts to watch a pipe that cannot be watched now
	// (epoll_ctl(2), ENOSPC, ENOMEM).
	watchPause = 10 * time.Millisecond

	// A program waits for its start for crowdedFor while too many descriptors are on their way
	// (ipc.ErrInFlight). Between two attempts it waits for crowdedPause.
	crowdedFor   = time.Second
	crowdedPause = 10 * time.Millisecond
)

// watch watches all descriptors of a program.
func (w *Worker) watch() error {
	err := errors.Join(w.proc.watch(), w.notify.watch())
	for o := range w.outputs {
		if err == nil {
			err = o.watch()
		}
	}
	return err
}

// cannotWatch ends a program that was started but cannot be watched. Once no process of it is left,
// it counts as one that was not started.
func (w *Worker) cannotWatch(err error) {
	w.starter.unwatched[w] = ipc.Refusal{Stage: ipc.StageProgram, Errno: ipc.ErrnoOf(err)}
	w.proc.src.Remove()
	w.notify.close()
	w.notify = nil
	w.undo()
	w.event(evUnwatched)
}

// mustWatch watches the pipe of a running program, and tries again until it succeeds.
func (o *output) mustWatch() {
	if o.later || o.watch() == nil {
		return
	}
	o.later = true
	o.w.starter.loop.After(watchPause, func() {
		o.later = false
		o.mustWatch()
	})
}

// descriptorLimit is the current limit of descriptors for the process.
func descriptorLimit() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0 // impossible
	}
	return int(min(limit.Cur, 1<<30))
}

// crowded reports whether a request that failed with err is to be tried again. Other processes of
// the user may have sent each other descriptors that they do not receive. No event reports when
// there are fewer of them.
func (s *Starter) crowded(err error) bool {
	if !errors.Is(err, ipc.ErrInFlight) {
		return false
	}
	now := s.loop.Now()
	switch {
	case s.patience == 0 || now > s.patience+crowdedFor: // the first failure for a while
		s.patience = now + crowdedFor
	case now >= s.patience:
		return false
	}
	s.again = s.loop.After(crowdedPause, func() { s.again = nil }) // ask runs after it
	return true
}

// cannotTake handles an answer whose descriptors could not be received, and were closed.
func (s *Starter) cannotTake(p []byte) error {
	msg, err := ipc.Decode(p)
	if err != nil {
		return err
	}
	switch m := msg.(type) {
	case ipc.Rotated:
		return s.rotated(ipc.Rotated{Seq: m.Seq, Errno: uint32(unix.EMFILE)}, nil)
	case ipc.Spawned:
		w := s.asked[m.Seq]
		if w == nil || m.Stage != ipc.StageNone {
			break
		}
		delete(s.asked, m.Seq)
		s.budget.held -= w.descriptors()
		if w.notices {
			s.forget(m.Seq)
		}
		s.tell(ipc.SignalGroup{PID: m.PID, Signal: uint32(unix.SIGKILL), Leaf: m.Leaf})
		s.leave(m.Leaf)
		s.releaseGroups(m.Limited)
		s.fail(w, ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.EMFILE})
		return nil
	}
	return fmt.Errorf("the spawner sent descriptors with %#v", msg)
}
