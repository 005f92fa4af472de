package watch

import (
	"slices"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// node is a file or directory that is watched for one watcher. It may share the kernel's watch with
// nodes of others.
type node struct {
	w        *Watcher // nil: no longer watched
	parent   *node    // nil: the path given to Watch
	name     string   // in the parent
	wd       int32    // absent: it was not found under its path
	seen     uint64   // position in the queue up to which its watcher was served
	children map[string]*node

	// looked is the end of the queue when the path was last used. A rename whose event is before
	// that may have given the path to another file.
	looked uint64
	unread bool // it was gone when it was to be read

	// told has the names that were reported when the directory was read. Events of the same files
	// may still be in the queue, up to until.
	told  map[string]struct{}
	until uint64
}

// absent is the watch descriptor of a directory that was not found. The reason is an event in the
// queue: it is gone, or a directory above it was renamed.
const absent = -1

// appendPath appends the node's path.
func (n *node) appendPath(b []byte) []byte {
	if n.parent == nil {
		return append(b, n.w.path...)
	}
	return appendName(n.parent.appendPath(b), n.name)
}

func appendName[S ~string | ~[]byte](b []byte, name S) []byte {
	if len(b) == 0 || b[len(b)-1] != '/' { // only the root itself
		b = append(b, '/')
	}
	return append(b, name...)
}

// locate sets s.path to an entry of a directory. It returns false if the path is longer than any
// program can use (PATH_MAX), which renaming can cause.
func (s *Set) locate(n *node, name []byte) bool {
	s.path = appendName(n.appendPath(s.path[:0]), name)
	return len(s.path) < unix.PathMax
}

// watch makes the kernel watch the path for n.
func (s *Set) watch(n *node, path string) error {
	if s.nodes >= maxNodes {
		return unix.ENOSPC
	}
	mask := n.w.mask
	if n.parent != nil {
		mask |= unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
	}
	s.left -= costWatched
	wd, err := eintr.InotifyAddWatch(s.fd, path, mask)
	n.looked = s.position()
	if err != nil {
		return err
	}
	n.wd = int32(wd)
	if n.parent != nil {
		if old := n.parent.children[n.name]; old != nil && old.wd == n.wd {
			return unix.EEXIST
		}
	}
	others := s.table[n.wd]
	if len(others) > 0 && n.looked > 0 {
		// Events in the queue happened earlier. But the kernel may merge the next event into the
		// last one.
		n.seen = n.looked - 1
	}
	s.table[n.wd] = append(others, n)
	s.nodes++
	n.w.nodes++
	return nil
}

// enter watches a directory that was seen in another, and has it read. It does nothing if the
// directory is already watched. It reports errors unless quiet is set.
func (s *Set) enter(parent *node, name string, quiet bool) {
	w := parent.w
	if !s.locate(parent, []byte(name)) {
		s.refuse(w, unix.ENAMETOOLONG)
		return
	}
	old := parent.children[name]
	n := &node{w: w, parent: parent, name: name}
	switch err := s.watch(n, string(s.path)); err {
	case nil:
		if old != nil {
			s.forget(old)
		}
		parent.adopt(n)
		s.scan(n)
	case unix.EEXIST:
		old.looked = n.looked
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		if old != nil {
			old.looked = n.looked
			return
		}
		n.wd = absent
		parent.adopt(n)
	default:
		if !quiet {
			s.refuse(w, err.(unix.Errno))
		}
	}
}

func (n *node) adopt(child *node) {
	if n.children == nil {
		n.children = make(map[string]*node)
	}
	n.children[child.name] = child
	child.parent = n
}

// follow handles an event about a directory in a watched one.
func (s *Set) follow(n *node, name string, e *event) {
	child := n.children[name]
	switch {
	case e.mask&unix.IN_MOVED_TO != 0:
		if !s.arrive(n, name, e) {
			s.enter(n, name, false)
		}
	case e.mask&unix.IN_CREATE != 0:
		s.enter(n, name, false)
	case e.mask&unix.IN_ATTRIB != 0 && (child == nil || child.wd == absent):
		s.enter(n, name, true) // it may be readable now
	case child == nil:
	case e.mask&unix.IN_MOVED_FROM != 0:
		s.depart(child, e)
	case e.mask&unix.IN_DELETE != 0:
		s.forget(child)
	}
}

// unwatch gives up a directory, and reports it.
func (s *Set) unwatch(n *node, err unix.Errno) {
	w := n.w
	s.path = n.appendPath(s.path[:0])
	if len(s.path) >= unix.PathMax {
		s.path = append(s.path[:0], w.path...)
	}
	s.forget(n)
	s.refuse(w, err)
}

// forget ends watching a directory and all below it.
func (s *Set) forget(n *node) {
	if n.w != nil && n.parent != nil && n.parent.children[n.name] == n {
		delete(n.parent.children, n.name)
	}
	s.release(n)
}

func (s *Set) release(n *node) {
	if n.w == nil {
		return
	}
	for _, child := range n.children {
		s.release(child)
	}
	s.untoldAll(n)
	if n.wd != absent {
		nodes := s.table[n.wd]
		if i := slices.Index(nodes, n); i >= 0 {
			nodes = slices.Delete(nodes, i, i+1)
		}
		if s.table[n.wd] = nodes; len(nodes) == 0 {
			delete(s.table, n.wd)
			s.unused = append(s.unused, n.wd)
		}
		s.nodes--
		n.w.nodes--
	}
	n.w, n.children = nil, nil
}

// remove removes one unused watch. The kernel queues an event for each, so they are removed in
// turns: all at once would overflow the queue.
func (s *Set) remove() {
	last := len(s.unused) - 1
	wd := s.unused[last]
	if s.unused = s.unused[:last]; last == 0 {
		s.unused = nil
	}
	if _, used := s.table[wd]; !used {
		s.left -= costWatched
		// EINVAL: it is gone, with the file it watched. The kernel does not soon reuse descriptors
		// (idr_alloc_cyclic in fs/notify/inotify/inotify_user.c).
		_, _ = unix.InotifyRmWatch(s.fd, uint32(wd))
	}
}
