package workers

import (
	"bytes"
	"fmt"
	"strconv"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// leaves are the control groups of the programs. Each holds a program and all its descendants
// (spawner/leaves.go). The spawner makes the leaves and signals their members. The child checks
// itself whether a leaf is empty, at the end of each program.
type leaves struct {
	dir   int  // -1: there are no leaves
	v1    bool // of version 1 (cgroups(7)), which can only list the members
	buf   [256]byte
	empty []uint32 // empty leaves to be released
	left  []uint32 // leaves to be released whose processes were left alone

	// events has open files cgroup.events. To read one again costs a tenth of opening it, and
	// leaves are reused. Each leaf has one place.
	events [openEvents]struct {
		leaf uint32 // 0: none
		fd   int
	}
}

// openEvents is how many of these files stay open: as many as are in use when programs start and
// end one after the other.
const openEvents = 2 * releaseAt

// releaseAt is how many leaves are collected before one message releases them.
const releaseAt = 32

// UseLeaves sets the directory in which the spawner makes a control group for each program: see
// ipc.StartSpawner. It closes the directory used before. With "" there are no leaves. It must be
// called before the spawner starts its first program.
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
		return fmt.Errorf("cannot see the members of %s: %w", dir, err)
	}
	return unix.Close(fd)
}

// open opens the file of a leaf that shows whether it is empty (cgroups(7)).
func (l *leaves) open(leaf string) (int, error) {
	file := "cgroup.events"
	if l.v1 {
		file = "cgroup.procs"
	}
	return eintr.Openat(l.dir, leaf+file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// isEmpty reports whether a leaf has no members. If the check fails for lack of a descriptor, the
// leaf counts as not empty, and is checked again later.
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

// hasNobody is isEmpty for version 1. A file that was read once may return the same content again,
// so it does not stay open.
func (l *leaves) hasNobody(n uint32) bool {
	fd, err := l.open(strconv.FormatUint(uint64(n), 10) + "/")
	if err != nil {
		return err == unix.ENOENT
	}
	defer unix.Close(fd)
	k, err := eintr.Pread(fd, l.buf[:], 0)
	return err == unix.ENODEV || err == nil && k == 0
}

// releaseLeaf gives back the leaf of an ended worker.
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
