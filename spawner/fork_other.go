//go:build !amd64 && !arm64

package spawner

import (
	"syscall"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// forkError says which system call of the new process failed.
type forkError struct {
	trap  uintptr
	errno unix.Errno
	of    ipc.Attribute // none here
}

// knowsOutside: nothing is done between fork and exec.
const knowsOutside = false

// needsExec: package syscall gives a process no attributes, and has it enter no control
// group of version 1.
func needsExec(a *ipc.Attributes, enter []int) bool {
	given.set(a)
	return len(given.calls) > 0 || byExec(a) || len(enter) > 0
}

// fork starts a program by package syscall, which can neither confine it nor have it enter
// control groups of version 1: the role become can.
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
