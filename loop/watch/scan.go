package watch

import (
	"bytes"
	"encoding/binary"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// maxTold is the maximum number of names that are remembered so that none is reported twice. Beyond
// it, some files are reported twice as created.
const maxTold = 64 << 10

// lane is a queue of directories to be read, one after the other, a few entries in each turn.
type lane struct {
	line []toRead
	now  toRead // n is nil: none
	fd   int

	buf        []byte
	next, have int
}

// toRead is a directory to be read. Its node has no watcher once the directory is given up.
type toRead struct {
	n *node
	w *Watcher
}

func (l *lane) busy() bool { return l.now.n != nil || len(l.line) > 0 }

// end gives up all of them.
func (l *lane) end() {
	if l.fd >= 0 {
		_ = unix.Close(l.fd)
	}
	*l = lane{fd: -1}
}

// scan has a newly watched directory read. If the watcher is already live, the entries were created
// just now. They are reported before any other event is handled.
func (s *Set) scan(n *node) {
	if n.w.live && !n.w.lost {
		s.urgent.line = append(s.urgent.line, toRead{n, n.w})
		return
	}
	n.w.toScan++
	s.walks.line = append(s.walks.line, toRead{n, n.w})
}

// read takes the next entry from the first directory of a lane.
func (s *Set) read(l *lane) {
	if l.now.n == nil {
		l.now = l.line[0]
		if l.line = l.line[1:]; len(l.line) == 0 {
			l.line = nil
		}
		if !s.begin(l) {
			s.finish(l)
		}
		return
	}
	if l.next == l.have {
		l.next, l.have = 0, 0
		if n, err := eintr.Getdents(l.fd, l.buf); err == nil { // on an error the directory is gone
			l.have = n
		}
	}
	if l.now.n.w == nil || l.have == 0 {
		s.finish(l)
		return
	}
	s.left -= costScanned
	name, isDir := l.entry()
	if string(name) != "." && string(name) != ".." {
		s.see(l, name, isDir)
	}
}

// begin opens the next directory. It returns false if there is nothing to read.
func (s *Set) begin(l *lane) bool {
	n := l.now.n
	if n.w == nil || !n.w.recursive {
		return false
	}
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NONBLOCK
	if n.parent != nil {
		flags |= unix.O_NOFOLLOW
	}
	s.left -= costWatched
	s.path = n.appendPath(s.path[:0])
	fd, err := eintr.Open(string(s.path), flags, 0)
	n.looked, n.unread = s.position(), err != nil
	switch err {
	case nil:
		if l.fd = fd; l.buf == nil {
			l.buf = make([]byte, 4096)
		}
		return true
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP: // gone, or a file
	default:
		s.refuse(n.w, err.(unix.Errno))
	}
	return false
}

// entry returns the next entry in the buffer. Its layout is inode, offset, length, type, name
// (getdents(2)).
func (l *lane) entry() (name []byte, isDir bool) {
	e := l.buf[l.next:l.have]
	e = e[:binary.NativeEndian.Uint16(e[16:])]
	l.next += len(e)
	name, _, _ = bytes.Cut(e[19:], []byte{0})
	kind := e[18]
	if kind == unix.DT_UNKNOWN { // some file systems do not have the type
		var st unix.Stat_t
		err := eintr.Fstatat(l.fd, string(name), &st, unix.AT_SYMLINK_NOFOLLOW)
		return name, err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
	}
	return name, kind == unix.DT_DIR
}

// see handles an entry that was found.
func (s *Set) see(l *lane, name []byte, isDir bool) {
	n := l.now.n
	if l == &s.urgent {
		if !s.locate(n, name) {
			s.unwatch(n, unix.ENAMETOOLONG)
			return
		}
		if !n.wasTold(name) {
			s.report(n.w, n.w.onFinding(isDir))
			s.remember(n, name)
		}
	}
	if isDir {
		s.enter(n, string(name), false)
	}
}

// onFinding returns the kinds to report for an entry that was created before its directory was
// watched. A program may have written to and closed a file as well.
func (w *Watcher) onFinding(isDir bool) []Kind {
	switch {
	case !isDir && w.wanted.has(Closed):
		return []Kind{Created, Closed}
	case !isDir && !w.wanted.has(Created):
		return []Kind{Modified}
	}
	return []Kind{Created}
}

// finish ends reading a directory.
func (s *Set) finish(l *lane) {
	done := l.now
	if l.fd >= 0 {
		_ = unix.Close(l.fd)
	}
	l.now, l.fd, l.next, l.have = toRead{}, -1, 0, 0
	switch {
	case l == &s.urgent:
		if done.n != nil && done.n.told != nil {
			done.n.until = s.position()
			s.fresh = append(s.fresh, done.n)
			s.stale()
		}
	case done.w != nil && !done.w.over:
		if done.w.toScan--; done.w.toScan == 0 {
			s.complete(done.w)
		}
	}
}

// remember records a name that was reported without its event.
func (s *Set) remember(n *node, name []byte) {
	if s.toldSize >= maxTold {
		return
	}
	if n.told == nil {
		n.told = make(map[string]struct{})
	}
	n.told[string(name)] = struct{}{}
	s.toldSize++
}

func (n *node) wasTold(name []byte) bool {
	_, ok := n.told[string(name)]
	return ok
}

// untold forgets one name: its event has come, or the entry is gone.
func (s *Set) untold(n *node, name []byte) {
	if n.wasTold(name) {
		delete(n.told, string(name))
		s.toldSize--
	}
}

func (s *Set) untoldAll(n *node) {
	s.toldSize -= len(n.told)
	n.told = nil
}

// stale forgets the names remembered for directories whose events have all come.
func (s *Set) stale() {
	for len(s.fresh) > 0 && s.fresh[0].until <= s.done() {
		s.untoldAll(s.fresh[0])
		s.fresh[0] = nil
		if s.fresh = s.fresh[1:]; len(s.fresh) == 0 {
			s.fresh = nil
		}
	}
}
