package spawner

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct sigaction (rt_sigaction(2)).
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const saNoCldWait = 2

// reapByKernel has the kernel reap every child at once (SA_NOCLDWAIT,
// sigaction(2)), orphans that the spawner inherits among them: no wait(2), no
// zombie, no SIGCHLD handler. The exit status is read from the pidfd, by the
// child. The flag is not inherited by the programs: exec resets it.
func reapByKernel() error {
	act := sigaction{flags: saNoCldWait} // SIG_DFL
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD),
		uintptr(unsafe.Pointer(&act)), 0, unsafe.Sizeof(act.mask), 0, 0)
	if e != 0 {
		return os.NewSyscallError("rt_sigaction", e)
	}
	return nil
}

// report reaps every child in its own thread and tells the child of each. It
// serves kernels before 6.15; with thousands of children each wait costs the
// kernel a walk over all of them.
func (s *spawner) report() {
	runtime.LockOSThread()
	var out []byte
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == unix.ECHILD {
			<-s.started
			continue
		}
		if err != nil {
			continue // EINTR
		}
		s.answering.Lock()
		var st unix.WaitStatus
		pid, err := unix.Wait4(-1, &st, unix.WNOHANG, nil)
		if err == nil && pid > 0 {
			out = ipc.Append(out[:0], ipc.Exited{PID: uint32(pid), Status: uint32(st)})
			// The child may be gone; serve notices.
			_ = s.child.Send(out, 0)
		}
		s.answering.Unlock()
	}
}

// signalGroup signals the process group of a process that the spawner started.
// While the group has a member the kernel does not give its number to another
// process. The child does not ask for a group any more once it knows it to be
// empty, and it looks at it all the time (workers, pollLast) from the leader's end
// on, so that what is left of the risk needs all numbers to be used up within
// that time.
func signalGroup(m ipc.SignalGroup) unix.Errno {
	if m.PID <= 1 || m.PID > 1<<22 {
		return unix.ESRCH
	}
	if err := unix.Kill(-int(m.PID), unix.Signal(m.Signal)); err != nil {
		return errnoOf(err)
	}
	return 0
}

// endAll ends every process that the spawner started, and what those started:
// when a parent ends, its children become the spawner's (it is their subreaper),
// so it kills its children until it has none.
func (s *spawner) endAll() {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		pids, err := children()
		if err != nil || len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			killChild(pid)
		}
	}
}

// children lists the spawner's children (proc(5), task/TID/children). A kernel
// without these files (CONFIG_PROC_CHILDREN) is an error.
func children() ([]int, error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, t := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + t.Name() + "/children")
		if err != nil {
			if _, gone := os.Stat("/proc/self/task/" + t.Name()); gone != nil {
				continue // the thread has ended
			}
			return nil, err
		}
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}

// killChild kills a child through a pidfd, once it is sure that the number
// still is a child's.
func killChild(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return
	}
	// The command, in parentheses, may hold anything; state and parent follow.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 2 || f[1] != strconv.Itoa(os.Getpid()) {
		return
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}
