package watch

import (
	"maps"
	"slices"
	"time"

	"erluv/loop"
)

// moveTime is within which a rename's second half follows the first: the kernel
// queues them one after the other, but others in between, and the thread that
// does it may lose its processor there.
const moveTime = 100 * time.Millisecond

// move is a directory that was renamed and has not arrived yet. It may never, if
// it has left what is watched.
type move struct {
	n      *node
	cookie uint32
	pos    uint64 // of the event of its departure
	timer  *loop.Timer
	due    bool
	until  uint64 // when due: where its arrival must have been told before
}

// depart takes a directory out of its parent, and keeps it and all below watched
// until it is known whether it arrives elsewhere.
func (s *Set) depart(n *node, e *event) {
	delete(n.parent.children, n.name)
	m := &move{n: n, cookie: e.cookie, pos: s.done()}
	m.timer = s.loop.After(moveTime, func() {
		m.due, m.until = true, s.position()
		s.goOn()
	})
	s.moving = append(s.moving, m)
}

// arrive puts a directory where it was renamed to.
func (s *Set) arrive(parent *node, name string, e *event) bool {
	i := slices.IndexFunc(s.moving, func(m *move) bool { return m.cookie == e.cookie && m.n.w == parent.w })
	if i < 0 {
		return false
	}
	m := s.moving[i]
	m.timer.Stop()
	s.moving = slices.Delete(s.moving, i, i+1)
	if old := parent.children[name]; old != nil {
		s.forget(old) // it was empty, and replaced
	}
	m.n.name = name
	parent.adopt(m.n)
	s.lookAgain(m.n, m.pos)
	return true
}

// lookAgain finds what was looked for below a directory when that had been renamed
// already, at pos, and its event had not been handled: under its old path there was
// nothing, or another.
func (s *Set) lookAgain(n *node, pos uint64) {
	if n.wd == absent || n.unread || n.looked > pos {
		s.enter(n.parent, n.name, false)
		if n.w == nil || n.w.over { // replaced by what is there
			return
		}
		if n.wd != absent {
			s.scan(n)
		}
	}
	for _, child := range slices.Collect(maps.Values(n.children)) {
		s.lookAgain(child, pos)
	}
}

// movesDue says whether a directory is known not to arrive any more.
func (s *Set) movesDue() bool {
	return slices.ContainsFunc(s.moving, func(m *move) bool { return m.due && m.until <= s.done() })
}

func (s *Set) endMoves() {
	s.moving = slices.DeleteFunc(s.moving, func(m *move) bool {
		if !m.due || m.until > s.done() {
			return false
		}
		s.release(m.n)
		return true
	})
}

// dropMoves gives up what a watcher has under way.
func (s *Set) dropMoves(w *Watcher) {
	s.moving = slices.DeleteFunc(s.moving, func(m *move) bool {
		if m.n.w != w {
			return false
		}
		m.timer.Stop()
		s.release(m.n)
		return true
	})
}
