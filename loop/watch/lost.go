package watch

import (
	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// overflow: the kernel has dropped events. Nobody knows whose.
func (s *Set) overflow() {
	s.overrun = s.overrun[:0]
	for w := range s.watchers {
		s.overrun = append(s.overrun, w)
	}
}

// recover finds out where a watcher stands after events were lost: whether what it
// watches is still there, and which directories are below. That an overflow
// was is told when all of them are watched again: who then looks for himself
// misses nothing.
func (s *Set) recover(w *Watcher) {
	if w.over {
		return
	}
	s.left -= costWatched
	wd, err := eintr.InotifyAddWatch(s.fd, w.path, w.mask)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == nil && int32(wd) != w.root.wd {
		if err == nil {
			s.unused = append(s.unused, int32(wd)) // removed unless another has it
		}
		s.gone(w, Deleted)
		return
	}
	s.dropMoves(func(m move) bool { return m.n.w == w })
	for _, child := range w.root.children {
		s.release(child)
	}
	w.root.children = nil
	w.lost = true
	s.scan(w.root)
}
