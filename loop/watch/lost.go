package watch

import (
	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// overflow is called when the kernel has dropped events. Their watchers are unknown, so all must
// recover.
func (s *Set) overflow() {
	s.overrun = s.overrun[:0]
	for w := range s.watchers {
		s.overrun = append(s.overrun, w)
	}
}

// recover finds out whether the file or directory of a watcher still exists after events were lost,
// and which directories are below it. The host gets Overflow once all of them are watched again. A
// process that then reads the directories misses nothing.
func (s *Set) recover(w *Watcher) {
	if w.over {
		return
	}
	s.left -= costWatched
	wd, err := eintr.InotifyAddWatch(s.fd, w.path, w.mask)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == nil && int32(wd) != w.root.wd {
		if err == nil {
			s.unused = append(s.unused, int32(wd)) // removed unless another watcher uses it
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
