package workers

import (
	"bytes"
	"fmt"
	"strconv"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// leaves are the control groups in which the programs are, each with all that it has
// started (spawner/leaves.go). The spawner makes them, and sends what is asked for;
// whether one is empty is seen here, at the end of each program.
type leaves struct {
	dir   int  // -1: there are none
	v1    bool // of version 1 (cgroups(7)), where nothing but the members can be looked at
	buf   [256]byte
	empty []uint32 // to be released
	left  []uint32 // the same, with processes that were left alone

	// events are open files cgroup.events: reading one again costs a tenth of opening
	// it, and leaves are used again and again. Each leaf has one place.
	events [openEvents]struct {
		leaf uint32 // 0: none
		fd   int
	}
}

// openEvents is how many files stay open, of leaves that were looked at: as many as
// are in use when programs are started and end one after the other.
const openEvents = 2 * releaseAt

// releaseAt is how many leaves are collected until the spawner is told.
const releaseAt = 32

// UseLeaves says where the spawner was told to make a control group for each
// program: see ipc.StartSpawner. It is called before the first program is started, and
// lets go of the directory that was used before; "" is none.
func (s *Starter) UseLeaves(dir string) error {
	if s.leaves.dir >= 0 {
		_ = unix.Close(s.leaves.dir)
		s.leaves.dir = -1
	}
	if dir == "" {
		return nil
	}
	var err error
	if s.leaves.dir, err = eintr.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("cannot open %s: %w", dir, err)
	}
	s.leaves.v1 = false
	fd, err := s.leaves.open("")
	if err == unix.ENOENT {
		s.leaves.v1 = true
		fd, err = s.leaves.open("")
	}
	if err != nil {
		return fmt.Errorf("cannot see who is in %s: %w", dir, err)
	}
	return unix.Close(fd)
}

// open opens the file of a leaf (cgroups(7)) that tells whether it is empty.
func (l *leaves) open(leaf string) (int, error) {
	file := "cgroup.events"
	if l.v1 {
		file = "cgroup.procs"
	}
	return eintr.Openat(l.dir, leaf+file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// isEmpty says whether nobody is in a leaf. What cannot be looked at now, for want of
// a descriptor, counts as not empty: it is looked at again.
func (l *leaves) isEmpty(n uint32) bool {
	if l.v1 {
		return l.hasNobody(n)
	}
	e := &l.events[n%openEvents]
	if e.leaf != n {
		fd, err := l.open(strconv.FormatUint(uint64(n), 10) + "/")
		if err != nil {
			return err == unix.ENOENT
		}
		if e.leaf != 0 {
			_ = unix.Close(e.fd)
		}
		e.leaf, e.fd = n, fd
	}
	k, err := eintr.Pread(e.fd, l.buf[:], 0)
	return err == unix.ENODEV || err == nil && bytes.Contains(l.buf[:k], []byte("populated 0"))
}

// hasNobody is isEmpty for version 1. A file that was read can give the same a second
// time, so none stays open.
func (l *leaves) hasNobody(n uint32) bool {
	fd, err := l.open(strconv.FormatUint(uint64(n), 10) + "/")
	if err != nil {
		return err == unix.ENOENT
	}
	defer unix.Close(fd)
	k, err := eintr.Pread(fd, l.buf[:], 0)
	return err == unix.ENODEV || err == nil && k == 0
}

// releaseLeaf gives back the leaf of a worker that is over.
func (s *Starter) releaseLeaf(w *Worker) {
	l, n := &s.leaves, w.proc.leaf
	if n == 0 {
		return
	}
	w.proc.leaf = 0
	if w.groupEmpty || l.isEmpty(n) {
		l.empty = append(l.empty, n)
		s.tellLeaves()
	} else {
		s.leave(n)
	}
}

// leave gives back a leaf that may not be empty.
func (s *Starter) leave(n uint32) {
	if n != 0 {
		s.leaves.left = append(s.leaves.left, n)
		s.tellLeaves()
	}
}

func (s *Starter) tellLeaves() {
	l := &s.leaves
	if len(l.empty)+len(l.left) < releaseAt {
		return
	}
	s.tell(ipc.Release{Empty: l.empty, Left: l.left})
	l.empty, l.left = l.empty[:0], l.left[:0]
}
