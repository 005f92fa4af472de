package workers

import (
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// limited has the directories of the controllers in which the spawner makes a control group for
// each program with limits. If the directory is also that of the leaves, the groups are of version
// 2.
type limited struct {
	dirs   ipc.LimitDirs
	leaves string
}

// UseLimits sets where the spawner makes groups for programs with limits: see ipc.StartSpawner. It
// must be called before that spawner starts its first program.
func (s *Starter) UseLimits(dirs ipc.LimitDirs, leaves string) { s.limited = limited{dirs, leaves} }

// outOfMemory reports whether the kernel killed the program because its group ran out of memory.
// That is so if the kernel has killed in the group, and the child has not.
func (w *Worker) outOfMemory(e Exit) bool {
	if e.Signal != unix.SIGKILL || !w.proc.limited || w.life.state != Running && w.life.state != Stopping {
		return false
	}
	return line(w.groupFile(ipc.LimitMemory, "memory.oom_control", "memory.events"), "oom_kill") > 0
}

// groupFile returns the content of a file of the worker's group. The file has one name in version 1
// of cgroups(7) and another in version 2.
func (w *Worker) groupFile(controller ipc.Limit, v1, v2 string) string {
	l, p := &w.starter.limited, &w.proc
	dir, group, name := l.dirs[controller], p.groups, v1
	if dir != "" && dir == l.leaves {
		group, name = p.leaf, v2
	}
	return textOf(dir, group, name)
}

// releaseGroups gives back the groups of an ended worker with limits. The spawner removes them.
func (s *Starter) releaseGroups(n uint32) {
	if n != 0 {
		s.tell(ipc.Release{Limited: []uint32{n}})
	}
}
