package watch

import (
	"maps"
	"slices"
)

// move is a directory that has left its parent by rename(2). The kernel tells that,
// then its arrival, if that is watched, then IN_MOVE_SELF to those who watch the
// directory itself (fsnotify_move in include/linux/fsnotify.h): who has not arrived
// by then has left what is watched.
type move struct {
	n      *node
	cookie uint32
	pos    uint64 // of the event of its departure
}

// depart takes a directory out of its parent, and keeps it and all below watched
// until it is known whether it arrives elsewhere. What was found under its name
// after it had left is another directory, or none: it is found again by its own
// events.
func (s *Set) depart(n *node, e *event) {
	if s.doubtful(n, s.done()) {
		s.forget(n)
		return
	}
	delete(n.parent.children, n.name)
	s.moving = append(s.moving, move{n: n, cookie: e.cookie, pos: s.done()})
}

// doubtful says whether a directory was looked for, by its path, when the event at
// pos was in the queue already.
func (s *Set) doubtful(n *node, pos uint64) bool {
	return n.wd == absent || n.unread || n.looked > pos
}

// arrive puts a directory where it was renamed to.
func (s *Set) arrive(parent *node, name string, e *event) bool {
	i := slices.IndexFunc(s.moving, func(m move) bool { return m.cookie == e.cookie && m.n.w == parent.w })
	if i < 0 {
		return false
	}
	m := s.moving[i]
	s.moving = slices.Delete(s.moving, i, i+1)
	if old := parent.children[name]; old != nil {
		s.forget(old) // it was empty, and replaced
	}
	m.n.name = name
	parent.adopt(m.n)
	s.lookAgain(m.n, m.pos)
	return true
}

// lookAgain finds what was looked for below a directory under the path that it had
// before it was renamed, at pos, when it had been already: nothing was there, or
// another.
func (s *Set) lookAgain(n *node, pos uint64) {
	for _, child := range slices.Collect(maps.Values(n.children)) {
		if s.doubtful(child, pos) {
			s.enter(n, child.name, false)
			if n.w == nil || n.w.over {
				return
			}
			if child.w != nil && child.wd != absent {
				s.scan(child)
			}
		}
		s.lookAgain(child, pos)
	}
}

// dropMoves gives up what is under way.
func (s *Set) dropMoves(which func(move) bool) {
	s.moving = slices.DeleteFunc(s.moving, func(m move) bool {
		if !which(m) {
			return false
		}
		s.release(m.n)
		return true
	})
}
