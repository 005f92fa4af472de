package spawner

import (
	"errors"
	"fmt"
	"unsafe"

	"erluv/ipc"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// confinement applies to a new process just before its exec. It has the rules of a Landlock domain,
// unless rules is -1, and a system call filter, unless that is nil. It has the control groups that
// the process enters, by their files cgroup.procs, which the caller owns. Before all that the
// process sets attributes, unless that is nil.
type confinement struct {
	enter      []int
	rules      int
	spare      int // see type spare; 0: none
	filter     *unix.SockFprog
	attributes *ipc.Attributes
}

var unconfined = confinement{rules: -1}

func (c confinement) close() {
	if c.rules >= 0 {
		_ = unix.Close(c.rules)
	}
}

// confine prepares the requested confinement; the caller closes it. The paths are opened as the
// worker's user. The error wraps ENOTSUP if the kernel's Landlock cannot enforce it.
func confine(c *ipc.Confine) (confinement, error) {
	if c.None() {
		return unconfined, nil
	}
	made := unconfined
	var err error
	if made.filter, err = filterOf(c); err != nil {
		return unconfined, err
	}
	if !c.Files && !c.Ports && !c.Scope {
		return made, nil
	}
	r := sandbox.Rules{Scope: c.Scope, Files: c.Files, TCP: c.Ports, Connect: c.Connect}
	for _, list := range []struct {
		paths  []string
		access sandbox.Access
	}{{c.Read, sandbox.Read}, {c.Write, sandbox.Write}, {c.Exec, sandbox.Exec}} {
		for _, path := range list.paths {
			r.Allow = append(r.Allow, sandbox.Beneath{Path: path, Access: list.access})
		}
	}
	if made.rules, err = r.Ruleset(); errors.Is(err, sandbox.ErrLandlock) {
		err = fmt.Errorf("%w: %w", err, unix.ENOTSUP)
	}
	return made, err
}

// become applies the rules and the filter to the calling thread, which then execs. It allocates
// nothing.
func (c confinement) become() unix.Errno {
	if c.rules >= 0 {
		if _, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(c.rules), 0, 0); e != 0 {
			return e
		}
	}
	if c.filter != nil {
		_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(c.filter)))
		return e
	}
	return 0
}

// itself is what a process writes to a file cgroup.procs to enter the group (cgroups(7)).
var itself = []byte("0")

// enter moves the process into a control group.
func enter(fd int) unix.Errno {
	e := unix.EINTR
	for e == unix.EINTR {
		_, _, e = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&itself[0])), 1)
	}
	return e
}
