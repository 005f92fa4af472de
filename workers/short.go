package workers

import (
	"errors"
	"fmt"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// What is done when something cannot be had that nobody has asked for: places in
// epoll, descriptors, here or on their way to the spawner.

const (
	// watchPause is the time between two attempts to watch a pipe that cannot be
	// watched now (epoll_ctl(2), ENOSPC, ENOMEM).
	watchPause = 10 * time.Millisecond

	// crowdedFor is how long a program waits to be started while too many descriptors
	// are on their way (ipc.ErrInFlight), crowdedPause the time between two attempts.
	crowdedFor   = time.Second
	crowdedPause = 10 * time.Millisecond
)

// watch has everything watched that a program comes with.
func (w *Worker) watch() error {
	err := errors.Join(w.proc.watch(), w.notify.watch())
	for o := range w.outputs {
		if err == nil {
			err = o.watch()
		}
	}
	return err
}

// cannotWatch ends a program that has been started and cannot be watched. It counts
// as one that was not, once nothing of it is left.
func (w *Worker) cannotWatch(err error) {
	w.starter.unwatched[w] = ipc.Refusal{Stage: ipc.StageProgram, Errno: ipc.ErrnoOf(err)}
	w.proc.src.Remove()
	w.notify.close()
	w.notify = nil
	w.undo()
	w.event(evUnwatched)
}

// mustWatch watches a pipe of a program that runs, sooner or later.
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

// descriptorLimit is how many descriptors the process may have at present.
func descriptorLimit() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0 // which cannot be
	}
	return int(min(limit.Cur, 1<<30))
}

// crowded says whether a request that ended so is to be tried again: others of the
// user may have sent each other what they do not receive. Nothing tells when there
// is less of it.
func (s *Starter) crowded(err error) bool {
	if !errors.Is(err, ipc.ErrInFlight) {
		return false
	}
	now := s.loop.Now()
	switch {
	case s.patience == 0 || now > s.patience+crowdedFor: // it is the first for a while
		s.patience = now + crowdedFor
	case now >= s.patience:
		return false
	}
	s.again = s.loop.After(crowdedPause, func() { s.again = nil }) // ask is called after it
	return true
}

// cannotTake takes an answer whose descriptors could not be received, and were
// closed.
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
