package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Seal is the first act of the child. It makes the process undumpable. With Seccomp, it then limits
// all threads to the system calls of the table (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC). The stage
// cannot do this, because its last call, execve(2), is one that the child must not have. No hostile
// input has reached the process by then, and main checks every thread before it hands anything
// over.
func (p Parts) Seal() error { return p.seal(childTable) }

// SealRelay does the same for the relay, whose table is shorter.
func (p Parts) SealRelay() error { return p.seal(relayTable) }

// SealPage does the same for the page.
func (p Parts) SealPage() error { return p.seal(pageTable) }

func (p Parts) seal(table func(pid uint64) []line) error {
	if err := NotDumpable(); err != nil {
		return err
	}
	if !p.Has(Seccomp) {
		return nil
	}
	filter, err := assemble(table(uint64(unix.Getpid())), deny)
	if err != nil {
		return fmt.Errorf("cannot make the filter of system calls: %w", err)
	}
	return filter.install()
}

// install gives the filter to all threads, which must have no_new_privs.
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

// programsFilter is the spawner's filter, which all programs inherit. Programs run as the same user
// as the child. That is enough for prlimit(2) on the child, and a limit of processor time would
// kill it. Landlock does not cover the call. So the filter refuses it for other processes with
// EPERM, by each of its numbers.
func programsFilter() (program, error) {
	var p program
	for _, c := range settingLimits {
		var block program
		for _, l := range []line{{do: allow, when: is(0, 0)}, {do: allow, when: isNull(2)}, {do: deny}} {
			if err := block.line(l); err != nil {
				return nil, err
			}
		}
		p.add(opLoad, dataArch, 0, 0)
		p.add(opEqual, c.arch, 0, uint8(len(block)+2))
		p.add(opLoad, dataCall, 0, 0)
		p.add(opEqual, c.call, 0, uint8(len(block)))
		p = append(p, block...)
	}
	p.add(opReturn, allow, 0, 0)
	return p, nil
}

// filterPrograms gives the programs' filter to the calling thread.
func filterPrograms(r Recipe) error {
	if !r.FilterPrograms {
		return nil
	}
	p, err := programsFilter()
	if err != nil {
		return err
	}
	return Deny(p.kernels())
}

// kernels returns the filter as seccomp(2) expects it.
func (p program) kernels() *unix.SockFprog {
	return &unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
}

var errArch = fmt.Errorf("there are no filters of system calls for this architecture: %w", unix.ENOSYS)
