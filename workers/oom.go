package workers

import (
	"strconv"
	"strings"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// limited are the control groups of the programs with a limit of memory: where it is
// seen that the kernel has killed one for want of it.
type limited struct {
	dir  int    // -1: there are none
	file string // of each group
	leaf bool   // they are the leaves
}

// UseLimits says where the spawner was told to make groups for programs with limits: see
// ipc.StartSpawner. It is called before the first program is started by that spawner.
func (s *Starter) UseLimits(dirs ipc.LimitDirs, leaves string) (err error) {
	path := dirs[ipc.LimitMemory]
	l := &s.limited
	if l.dir >= 0 {
		_ = unix.Close(l.dir)
		l.dir = -1
	}
	if path == "" {
		return nil
	}
	l.leaf, l.file = path == leaves, "memory.oom_control"
	if l.leaf {
		l.file = "memory.events"
	}
	l.dir, err = eintr.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// outOfMemory says whether it was the kernel that has killed the program, for want of
// memory in its group: it has killed there, and we have not.
func (w *Worker) outOfMemory(e Exit) bool {
	p, l := &w.proc, &w.starter.limited
	if e.Signal != unix.SIGKILL || !p.limited || l.dir < 0 || w.life.state != Running && w.life.state != Stopping {
		return false
	}
	group := p.groups
	if l.leaf {
		group = p.leaf
	}
	fd, err := eintr.Openat(l.dir, strconv.FormatUint(uint64(group), 10)+"/"+l.file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var text [512]byte
	n, err := eintr.Read(fd, text[:])
	return err == nil && killsIn(string(text[:n])) > 0
}

// killsIn is the count of the line `oom_kill` of memory.events or memory.oom_control.
func killsIn(text string) (n uint64) {
	for line := range strings.Lines(text) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ = strconv.ParseUint(strings.TrimSpace(count), 10, 64)
		}
	}
	return n
}

// releaseGroups gives back the groups of a worker with limits that is over: the spawner
// removes them.
func (s *Starter) releaseGroups(n uint32) {
	if n != 0 {
		s.tell(ipc.Release{Limited: []uint32{n}})
	}
}
