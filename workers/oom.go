package workers

import (
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// limited are the control groups of the programs with limits: directories of the
// controllers, in which there is a group for each program. Those that are the leaves are
// of version 2.
type limited struct {
	dirs   ipc.LimitDirs
	leaves string
}

// UseLimits says where the spawner was told to make groups for programs with limits: see
// ipc.StartSpawner. It is called before the first program is started by that spawner.
func (s *Starter) UseLimits(dirs ipc.LimitDirs, leaves string) { s.limited = limited{dirs, leaves} }

// outOfMemory says whether it was the kernel that has killed the program, for want of
// memory in its group: it has killed there, and we have not.
func (w *Worker) outOfMemory(e Exit) bool {
	if e.Signal != unix.SIGKILL || !w.proc.limited || w.life.state != Running && w.life.state != Stopping {
		return false
	}
	return line(w.groupFile(ipc.LimitMemory, "memory.oom_control", "memory.events"), "oom_kill") > 0
}

// groupFile is what the file of the worker's group says, which has one name in version 1
// of cgroups(7), and another in version 2.
func (w *Worker) groupFile(controller ipc.Limit, v1, v2 string) string {
	l, p := &w.starter.limited, &w.proc
	dir, group, name := l.dirs[controller], p.groups, v1
	if dir != "" && dir == l.leaves {
		group, name = p.leaf, v2
	}
	return textOf(dir, group, name)
}

// releaseGroups gives back the groups of a worker with limits that is over: the spawner
// removes them.
func (s *Starter) releaseGroups(n uint32) {
	if n != 0 {
		s.tell(ipc.Release{Limited: []uint32{n}})
	}
}
