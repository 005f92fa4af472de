//go:build !amd64 && !arm64

package spawner

import (
	"syscall"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// forkError names the system call of the new process that failed.
type forkError struct {
	trap  uintptr
	errno unix.Errno
	of    ipc.Attribute // none here
}

// knowsOutside is false: a new process makes no calls between fork and exec.
const knowsOutside = false

// needsExec reports whether a program needs the role become. Package syscall sets no attributes,
// and enters no control groups of version 1.
func needsExec(a *ipc.Attributes, enter []int) bool {
	given.set(a)
	return len(given.calls) > 0 || byExec(a) || len(enter) > 0
}

// fork starts a program by package syscall. The role become must confine it and enter control
// groups of version 1, because package syscall does neither.
func fork(program string, argv []string, attr *syscall.ProcAttr, c confinement) (is numbers, failed *forkError) {
	if c.rules >= 0 || c.filter != nil || len(c.enter) > 0 {
		return numbers{}, &forkError{trap: unix.SYS_LANDLOCK_RESTRICT_SELF, errno: unix.ENOSYS}
	}
	pid, err := syscall.ForkExec(program, argv, attr)
	if err != nil {
		return numbers{}, &forkError{trap: unix.SYS_EXECVE, errno: ipc.ErrnoOf(err)}
	}
	return numbers{pid, pid}, nil
}
