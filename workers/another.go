package workers

import (
	"errors"
	"io"
	"slices"

	"erluv/ipc"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

// ErrSpawnerEnded means that the spawner has ended. Main may provide another one for Replace.
// Programs to be started wait until then.
var ErrSpawnerEnded = errors.New("the spawner has ended")

// lose ends the conversation with the spawner and calls lost.
func (s *Starter) lose(err error) {
	s.hangUp()
	if errors.Is(err, io.EOF) {
		err = ErrSpawnerEnded
	}
	s.lost(err)
}

// hangUp ends the conversation with the spawner, if there is one.
func (s *Starter) hangUp() {
	if s.conn != nil {
		s.src.Remove()
		_ = s.conn.Close()
		s.conn = nil
	}
	s.dropNotes()
}

// Replace continues with another spawner. Everything that the earlier one started has ended, in any
// group. Its unanswered requests fail with EAGAIN: none of those programs runs.
func (s *Starter) Replace(conn *ipc.Conn) error {
	s.hangUp() // its end may not have been noticed yet
	s.conn = conn
	s.bereave()
	var err error
	s.src, err = s.loop.Watch(conn.FD(), loop.In, s)
	return err
}

// bereave ends the workers of a spawner that is gone.
func (s *Starter) bereave() {
	s.leaves.forget()
	before := s.byPID
	s.byPID = make(map[uint32]*Worker)
	for _, w := range before {
		w.proc.orphan()
	}
	s.giveUp()
}

// giveUp fails the unanswered requests, in their order.
func (s *Starter) giveUp() {
	for _, seq := range sorted(s.asked) {
		w := s.asked[seq]
		delete(s.asked, seq)
		s.budget.held -= w.descriptors()
		s.fail(w, ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.EAGAIN})
	}
	for _, seq := range sorted(s.rotating) {
		l := s.rotating[seq]
		delete(s.rotating, seq)
		l.rotated(-1, unix.EIO)
	}
}

func sorted[V any](m map[uint32]V) []uint32 {
	list := make([]uint32, 0, len(m))
	for seq := range m {
		list = append(list, seq)
	}
	slices.Sort(list)
	return list
}

// orphan ends a process whose spawner is gone: the process and all its descendants are gone too.
// Its pidfd may still know its exit status.
func (p *process) orphan() {
	p.orphaned, p.leaf, p.groups, p.asked, p.killing = true, 0, 0, 0, false
	if !p.alive {
		return
	}
	e, ok := exitOf(int(p.fd))
	if !ok {
		e = Exit{Signal: unix.SIGKILL}
	}
	p.w.exited(e)
}

// forget closes the files of leaves that the earlier spawner made.
func (l *leaves) forget() {
	for i := range l.events {
		if e := &l.events[i]; e.leaf != 0 {
			_ = unix.Close(e.fd)
			e.leaf = 0
		}
	}
	l.empty, l.left = nil, nil
}
