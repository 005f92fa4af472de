package workers

import (
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// A program is busy (ETXTBSY, execve(2)) as long as somebody has its file open for
// writing. Who has written it may have closed it long ago: a process that another
// thread of theirs forked meanwhile holds a copy until its own exec. So it is
// tried again, at doubled intervals, 255 ms in all; then it is somebody who keeps
// the file open.
const (
	busyFirst = time.Millisecond
	busyTries = 8
)

// later has a program that was busy started a little later. It holds nothing
// meanwhile. False: f is another failure, or it has been too often.
func (s *Starter) later(w *Worker, f ipc.Refusal) bool {
	if f.Stage != ipc.StageProgram || f.Errno != unix.ETXTBSY || w.tries == busyTries {
		return false
	}
	w.undo()
	s.loop.After(busyFirst<<w.tries, func() { s.enqueue(w) })
	w.tries++
	return true
}

// undo closes the pipes of a program that was not started. What was to be written
// to it stays.
func (w *Worker) undo() {
	for in := range w.inputs {
		in.close()
	}
	for o := range w.outputs {
		o.close()
	}
}
