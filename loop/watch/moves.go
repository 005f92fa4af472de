package watch

import (
	"maps"
	"slices"
)

// move is a directory that has left its parent by rename(2). The kernel reports the departure, then
// the arrival if the new parent is watched, then IN_MOVE_SELF of the directory itself
// (fsnotify_move in include/linux/fsnotify.h). A directory that has not arrived by then has left
// the watched tree.
type move struct {
	n      *node
	cookie uint32
	pos    uint64 // position of the departure's event
}

// depart takes a directory out of its parent. It and all below stay watched until it is known
// whether it arrives elsewhere. If the directory was looked up under its old name after it had
// left, the lookup found another directory, or none. Then depart forgets it, and its own events
// lead to it again.
func (s *Set) depart(n *node, e *event) {
	if s.doubtful(n, s.done()) {
		s.forget(n)
		return
	}
	delete(n.parent.children, n.name)
	s.moving = append(s.moving, move{n: n, cookie: e.cookie, pos: s.done()})
}

// doubtful reports whether a directory was looked up by its path after the event at pos had entered
// the queue.
func (s *Set) doubtful(n *node, pos uint64) bool {
	return n.wd == absent || n.unread || n.looked > pos
}

// arrive puts a renamed directory into its new parent. It returns false if no such directory left.
func (s *Set) arrive(parent *node, name string, e *event) bool {
	i := slices.IndexFunc(s.moving, func(m move) bool { return m.cookie == e.cookie && m.n.w == parent.w })
	if i < 0 {
		return false
	}
	m := s.moving[i]
	s.moving = slices.Delete(s.moving, i, i+1)
	if old := parent.children[name]; old != nil {
		s.forget(old) // it was empty, and rename(2) replaced it
	}
	m.n.name = name
	parent.adopt(m.n)
	s.lookAgain(m.n, m.pos)
	return true
}

// lookAgain repeats the lookups below a directory that were made under its old path after it had
// been renamed, at pos. They found nothing, or another directory.
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

// dropMoves gives up the moves that which selects.
func (s *Set) dropMoves(which func(move) bool) {
	s.moving = slices.DeleteFunc(s.moving, func(m move) bool {
		if !which(m) {
			return false
		}
		s.release(m.n)
		return true
	})
}
