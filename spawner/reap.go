package spawner

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"erluv/eintr"
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

// reapByKernel makes the kernel reap every child at once, orphans too (SA_NOCLDWAIT, sigaction(2)).
// There are no waits and no zombies. The child reads the exit status from the pidfd. The handler
// stays the Go runtime's. Programs do not inherit the flag, because exec resets it.
func reapByKernel() error {
	var act sigaction
	if err := rtSigaction(nil, &act); err != nil {
		return err
	}
	act.flags |= saNoCldWait
	return rtSigaction(&act, nil)
}

func rtSigaction(act, old *sigaction) error {
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD),
		uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(old.mask), 0, 0)
	if e != 0 {
		return os.NewSyscallError("rt_sigaction", e)
	}
	return nil
}

// Every exit is a SIGCHLD too, and each look walks over all children. The pause between two looks
// is jobShare times as long as the last look, at least jobPause and at most maxJobPause. So looks
// cost at most one percent of a processor, unless one takes more than 10 ms. With 4,500 children a
// look takes 0.3 ms.
const (
	jobPause    = 20 * time.Millisecond
	jobShare    = 100
	maxJobPause = time.Second
)

// watchJobs reports stopped and continued programs to erluv_child. It has begun when it returns,
// and ends with the process.
func (s *spawner) watchJobs() {
	signals := make(chan os.Signal, 1) // one waiting signal stands for any number
	signal.Notify(signals, unix.SIGCHLD)
	go func() {
		var last time.Time // the end of the last look
		pause := jobPause
		look := func() {
			took := s.look()
			last = time.Now()
			pause = min(max(jobPause, jobShare*took), maxJobPause)
		}
		for range signals {
			// Without a listener, a signal costs only its handler and wakes no thread.
			signal.Stop(signals)
			if time.Since(last) >= pause { // otherwise a look was a moment ago, and another one follows
				look()
			}
			time.Sleep(pause)
			signal.Notify(signals, unix.SIGCHLD)
			look() // for changes during the pause
		}
	}()
}

// report reaps every child process, on a thread of its own, and reports each to erluv_child. It
// serves kernels before 6.15. With thousands of children each wait makes the kernel walk over all
// of them.
func (s *spawner) report() {
	runtime.LockOSThread()
	for {
		var info unix.Siginfo
		err := eintr.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WSTOPPED|unix.WCONTINUED|unix.WNOWAIT, nil)
		if err == unix.ECHILD {
			<-s.started
		} else if err == nil {
			s.look()
		}
	}
}

// look reports to erluv_child every child process whose state has changed, and returns how long
// that took. With reapByKernel the kernel has reaped those that have ended.
func (s *spawner) look() (took time.Duration) {
	s.answering.Lock()
	defer s.answering.Unlock()
	begin := time.Now()
	for {
		var st unix.WaitStatus
		pid, err := unix.Wait4(-1, &st, unix.WNOHANG|unix.WUNTRACED|unix.WCONTINUED, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return time.Since(begin)
		}
		// The child may be gone; serve notices.
		_ = s.answer(ipc.Changed{PID: uint32(pid), Status: uint32(st)})
	}
}

// signalGroup signals the process group of a process that the spawner started. While the group has
// a member, the kernel does not reuse its number. From the leader's end on erluv_child checks the
// group all the time (workers, pollLast). It does not ask for a group that it knows to be empty. So
// a wrong process could get the signal only if all numbers were used up between two checks. A pidfd
// removes that risk, where the kernel supports it for groups (Linux 6.9).
func signalGroup(m ipc.SignalGroup, fds []int) unix.Errno {
	if len(fds) == 1 {
		err := unix.PidfdSendSignal(fds[0], unix.Signal(m.Signal), nil, ipc.PidfdSignalProcessGroup)
		if err == nil {
			return 0
		}
		if err == unix.ESRCH {
			return unix.ESRCH
		}
	}
	if m.PID <= 1 || m.PID > 1<<22 {
		return unix.ESRCH
	}
	if err := unix.Kill(-int(m.PID), unix.Signal(m.Signal)); err != nil {
		return ipc.ErrnoOf(err)
	}
	return 0
}

// endAll ends every process that the spawner started, and their descendants. When a parent ends,
// its children become the spawner's (it is their subreaper). So the spawner kills its children
// until it has none. For the init of a pid namespace the kernel does this, before it reports the
// init's end (pid_namespaces(7)).
func (s *spawner) endAll() {
	if isInit() {
		return
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		// The list can miss a process that moves from thread to thread meanwhile.
		if eintr.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD {
			return
		}
		pids, err := children()
		switch {
		case err == nil, errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
		case errors.Is(err, unix.EMFILE):
			s.makeRoom()
		default:
			return
		}
		for _, pid := range pids {
			killChild(pid)
		}
	}
}

// children lists the spawner's children (proc(5), task/TID/children). A kernel without these files
// (CONFIG_PROC_CHILDREN) is an error.
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

// killChild kills a child through a pidfd, after it has checked that the number still is a child's.
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
