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

// A control group of version 1 has no cgroup.kill. Who is in it is killed one by one,
// and if there are those who fork faster than that, they are frozen meanwhile
// (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst). SIGKILL waits until
// what is frozen is thawed: so whoever kills thaws, before or after, also what another
// has frozen, who was killed before he could thaw it, or a program of its own group.

const (
	freezer      = "freezer" // the controller
	freezerState = "freezer.state"

	// freezeBound is how long those in a group may take to be frozen. What waits for a
	// broken disk takes longer.
	freezeBound = 100 * time.Millisecond

	// membersAtOnce is how many processes are killed at a time: it takes descriptors.
	membersAtOnce = 256
)

// Open opens a file of a control group, by its name and the flags of openat(2).
type Open func(file string, flags int) (fd int, err error)

// Kill sends SIGKILL to all who are in a group of version 1, and not to those in
// groups within it, and has it thawed. Who was just being forked can be left; the group
// is empty a little later, or it is called again.
func Kill(open Open) error {
	grows, err := killMembers(open)
	if err == nil && grows {
		freeze(open)
		_, err = killMembers(open)
	}
	Thaw(open)
	return err
}

// Members are the processes in a group, as the caller counts them.
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

// killMembers sends SIGKILL to the processes in a group, each by a pidfd that was open
// before a second look found its number there. It says whether there were others by
// then.
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

// freeze freezes a group, if it is one of the freezer, and waits until nobody there
// runs any more.
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

// Thaw has those in a group go on, if it is one of the freezer. Some hostile program of
// the group's user can freeze it again.
func Thaw(open Open) {
	if fd, err := open(freezerState, unix.O_WRONLY); err == nil {
		_, _ = eintr.Write(fd, []byte("THAWED"))
		_ = unix.Close(fd)
	}
}

// in opens files of a group by its directory.
func in(dir string) Open {
	return func(file string, flags int) (int, error) {
		return eintr.Open(dir+"/"+file, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
}

// Freezes says whether what is in the tree can be frozen.
func (t *Tree) Freezes() bool { return t.v1 }

// Thaw has all who are in the tree go on, and so end, if SIGKILL has been sent to them.
func (t *Tree) Thaw() {
	for _, dir := range append(t.groups(), t.dir) {
		Thaw(in(dir))
	}
}
