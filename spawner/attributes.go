package spawner

import (
	"strconv"
	"unsafe"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// A program's attributes are set in this file, except the umask and the session, which are part of
// the start. An attribute that takes one system call is a call of attributes: the new process makes
// it, between fork and exec. Other attributes are set by prepare, in the role become. That role
// runs in the new process too, and makes the same calls after prepare. byExec reports whether the
// role is needed.

// attributes has the calls that set a program's attributes, in their order, and the memory that
// they point to. It must not be on a stack, which can move.
type attributes struct {
	calls  []call
	limits []unix.Rlimit
	cpus   unix.CPUSet
}

// call is a system call that sets one attribute of the calling process.
type call struct {
	of   ipc.Attribute
	trap uintptr
	args [4]uintptr
}

func (s *attributes) do(of ipc.Attribute, trap uintptr, args ...uintptr) {
	c := call{of: of, trap: trap}
	copy(c.args[:], args)
	s.calls = append(s.calls, c)
}

// set composes the calls for a program's attributes.
func (s *attributes) set(a *ipc.Attributes) {
	s.calls = s.calls[:0]
	if len(a.CPUs) > 0 {
		s.cpus = cpuSet(a.CPUs)
		s.do(ipc.AttributeCPUs, unix.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(s.cpus), uintptr(unsafe.Pointer(&s.cpus)))
	}
	s.limits = make([]unix.Rlimit, len(a.Rlimits))
	for i, l := range a.Rlimits {
		s.limits[i] = unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		s.do(ipc.AttributeRlimits, unix.SYS_PRLIMIT64, 0, uintptr(l.Resource), uintptr(unsafe.Pointer(&s.limits[i])))
	}
	if a.SetNice {
		s.do(ipc.AttributeNice, unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(int(a.Nice)))
	}
}

// become makes the calls in the calling thread, which then execs. It allocates nothing unless a
// call fails.
func (s *attributes) become() *ipc.Refusal {
	for i := range s.calls {
		c := &s.calls[i]
		if _, _, e := unix.RawSyscall6(c.trap, c.args[0], c.args[1], c.args[2], c.args[3], 0, 0); e != 0 {
			return refusedAttribute(c.of, e)
		}
	}
	return nil
}

func refusedAttribute(a ipc.Attribute, e unix.Errno) *ipc.Refusal {
	return &ipc.Refusal{Stage: ipc.StageAttribute, Errno: e, Attribute: a}
}

// byExec reports whether attributes need the role become. oom_score_adj does: its file belongs to
// the new process, which must open it. Processors do too if the kernel may drop some of them, which
// setCPUs then notices.
func byExec(a *ipc.Attributes) bool {
	if a.SetOOM {
		return true
	}
	var own unix.CPUSet
	if len(a.CPUs) > 0 && unix.SchedGetaffinity(0, &own) != nil {
		return true
	}
	for _, n := range a.CPUs {
		if !own.IsSet(int(n)) {
			return true
		}
	}
	return false
}

// prepare sets those attributes of the calling process that take more than one call.
func prepare(a *ipc.Attributes) *ipc.Refusal {
	if err := setOOM(a); err != nil {
		return refusedAttribute(ipc.AttributeOOM, ipc.ErrnoOf(err))
	}
	if err := setCPUs(a.CPUs); err != nil {
		return refusedAttribute(ipc.AttributeCPUs, ipc.ErrnoOf(err))
	}
	return nil
}

func setOOM(a *ipc.Attributes) error {
	if !a.SetOOM {
		return nil
	}
	fd, err := eintr.Open("/proc/self/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = eintr.Write(fd, strconv.AppendInt(nil, int64(a.OOMScoreAdj), 10))
	return err
}

// setCPUs binds the thread to processors. Linux drops processors that do not exist, or that the
// process may not use. Here that is EINVAL.
func setCPUs(cpus []uint16) error {
	if len(cpus) == 0 {
		return nil
	}
	var got unix.CPUSet
	want := cpuSet(cpus)
	if err := unix.SchedSetaffinity(0, &want); err != nil {
		return err
	}
	if err := unix.SchedGetaffinity(0, &got); err != nil {
		return err
	}
	if got != want {
		return unix.EINVAL
	}
	return nil
}

func cpuSet(cpus []uint16) (set unix.CPUSet) {
	for _, n := range cpus {
		set.Set(int(n))
	}
	return set
}
