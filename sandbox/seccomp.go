package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Seal is the first thing that the child does: it makes the process undumpable
// and, when the parts have it, allows all of its threads the system calls of the
// table alone (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC). It is not done in the stage, as
// all else is, because the stage's last call, execve(2), is one that the child must
// not have. Nothing hostile has reached the process by then, and main looks at every
// thread before it hands anything over.
func (p Parts) Seal() error {
	if err := NotDumpable(); err != nil {
		return err
	}
	if !p.Has(Seccomp) {
		return nil
	}
	filter, err := assemble(childTable(uint64(unix.Getpid())), deny)
	if err != nil {
		return fmt.Errorf("cannot make the filter of system calls: %w", err)
	}
	return filter.install()
}

// install gives the filter to all threads, of which each has no_new_privs.
func (p program) install() error {
	prog := p.kernels()
	tid, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(prog)))
	runtime.KeepAlive(prog)
	if e != 0 {
		return fmt.Errorf("cannot filter the system calls: %w", e)
	}
	if tid != 0 {
		return fmt.Errorf("cannot filter the system calls: thread %d has another filter", tid)
	}
	return nil
}

// kernels is the filter as seccomp(2) takes it.
func (p program) kernels() *unix.SockFprog {
	return &unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
}

// Networks is a filter for a program that is to have no network, or with connect no
// more than the connections that Rules.Connect allows. Landlock knows TCP alone, and
// of that neither Multipath TCP, nor a connection by the first sendto(2), nor a
// listen(2) without bind(2).
func Networks(connect bool) (*unix.SockFprog, error) {
	if auditArch == 0 {
		return nil, errArch
	}
	p, err := assemble(networkTable(connect), allow)
	if err != nil {
		return nil, err
	}
	return p.kernels(), nil
}

var errArch = fmt.Errorf("there are no filters of system calls for this architecture: %w", unix.ENOSYS)
