package workers

import (
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// A program is busy (ETXTBSY, execve(2)) while any process has its file open for writing. The
// process that wrote it may have closed the file long ago. But if another of its threads has forked
// meanwhile, the new process holds a copy of the descriptor until its own exec. So the start is
// tried again, at doubled intervals, for 255 ms in all. After that, some process really keeps the
// file open.
const (
	busyFirst = time.Millisecond
	busyTries = 8
)

// later starts a busy program again a little later. The worker holds no descriptors meanwhile.
// later returns false if f is another failure, or after busyTries attempts.
func (s *Starter) later(w *Worker, f ipc.Refusal) bool {
	if f.Stage != ipc.StageProgram || f.Errno != unix.ETXTBSY || w.tries == busyTries {
		return false
	}
	w.undo()
	s.loop.After(busyFirst<<w.tries, func() { s.enqueue(w) })
	w.tries++
	return true
}

// undo closes the pipes of a program that was not started. Bytes to be written to it stay.
func (w *Worker) undo() {
	for in := range w.inputs {
		in.close()
	}
	for o := range w.outputs {
		o.close()
	}
}
