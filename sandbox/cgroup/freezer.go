package cgroup

import (
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// A control group of version 1 has no cgroup.kill. Its processes are killed one by one. If some
// fork faster than that, the group is frozen meanwhile
// (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst). SIGKILL takes effect only once a
// frozen process is thawed. So each caller that kills also thaws. Another caller may have frozen
// the group and been killed before it thawed. A program may also have frozen its own group.

const (
	freezer      = "freezer" // the controller
	freezerState = "freezer.state"

	// freezeBound is how long the processes of a group may take to freeze. A process that waits for
	// a broken disk takes longer.
	freezeBound = 100 * time.Millisecond

	// membersAtOnce is how many processes are killed at a time: each takes a descriptor.
	membersAtOnce = 256
)

// Open opens a file of a control group, by its name and the flags of openat(2).
type Open func(file string, flags int) (fd int, err error)

// Kill sends SIGKILL to all processes in a group of version 1, but not to those in groups within
// it, and thaws the group. A process that is just being forked can escape. The caller then finds
// the group not empty and calls Kill again.
func Kill(open Open) error {
	grows, err := killMembers(open)
	if err == nil && grows {
		freeze(open)
		_, err = killMembers(open)
	}
	Thaw(open)
	return err
}

// Members returns the processes in a group, as numbers of the caller's pid namespace.
func Members(open Open) (pids []int, err error) {
	fd, err := open("cgroup.procs", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "cgroup.procs")
	defer f.Close()
	text, err := io.ReadAll(f)
	for field := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// killMembers sends SIGKILL to the processes in a group. It opens a pidfd for each, looks again,
// and kills only those whose numbers are still there: so no reused number is hit. It reports
// whether the second look found new processes.
func killMembers(open Open) (grows bool, err error) {
	pids, err := Members(open)
	slices.Sort(pids)
	for some := range slices.Chunk(pids, membersAtOnce) {
		fds := make(map[int]int)
		for _, pid := range some {
			if fd, err := unix.PidfdOpen(pid, 0); err == nil {
				fds[pid] = fd
			}
		}
		now, no := Members(open)
		err = errors.Join(err, no)
		for _, pid := range now {
			if fd, ok := fds[pid]; ok {
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			} else if _, known := slices.BinarySearch(pids, pid); !known {
				grows = true
			}
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
	return grows, err
}

// freeze freezes a group, if the freezer has it, and waits up to freezeBound until no process there
// runs.
func freeze(open Open) {
	fd, err := open(freezerState, unix.O_RDWR)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if _, err := eintr.Write(fd, []byte("FROZEN")); err != nil {
		return
	}
	for end := time.Now().Add(freezeBound); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		var state [16]byte
		if n, err := eintr.Pread(fd, state[:], 0); err != nil || strings.HasPrefix(string(state[:n]), "FROZEN") {
			return
		}
	}
}

// Thaw thaws a group, if the freezer has it. A hostile program of the group's user can freeze it
// again.
func Thaw(open Open) {
	if fd, err := open(freezerState, unix.O_WRONLY); err == nil {
		_, _ = eintr.Write(fd, []byte("THAWED"))
		_ = unix.Close(fd)
	}
}

// in returns an Open for the group's directory.
func in(dir string) Open {
	return func(file string, flags int) (int, error) {
		return eintr.Open(dir+"/"+file, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
}

// Freezes reports whether the processes in the tree can be frozen.
func (t *Tree) Freezes() bool { return t.v1 }

// Thaw thaws all groups of the tree. Processes that were sent SIGKILL then end.
func (t *Tree) Thaw() {
	for _, dir := range append(t.groups(), t.dir) {
		Thaw(in(dir))
	}
}
