//go:build amd64 || arm64

package spawner

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// knowsOutside is true: a new process looks up its own number outside.
const knowsOutside = true

// The spawner starts a program with its own vfork. Package syscall supports only its own steps
// between fork and exec, and Landlock is not among them. A thread could confine itself and then
// fork. But it would have to end afterwards, because no thread can leave a domain. The kernel would
// then end the program too, since PR_SET_PDEATHSIG depends on the thread.
//
// After vfork the new process runs in the spawner's memory, on its stack, while the spawner waits.
// So it can neither call nor return. It makes a list of system calls, in assembler; the last one is
// execve(2).

// step is one system call of the new process. The files fork_*.s depend on its layout.
type step struct {
	trap uintptr
	args [4]uintptr
	want uintptr // the required result; 0 is any but an error, closed is any
	got  uintptr
}

// vforkSteps calls trap, a clone with CLONE_VM and CLONE_VFORK. In the new process it makes the
// steps up to end. A step without the required result is stored in failed and ends the process. The
// call returns when the new process has executed a program, or has ended.
func vforkSteps(trap, a1, a2, a3 uintptr, first *step, end uintptr, failed *uintptr) (pid, errno uintptr)

// image is the memory that a new process needs until its exec.
type image struct {
	path, dir *byte
	args, env []*byte
	steps     []step
	failed    uintptr
	pidfd     int32
	all, none uint64 // masks of signals
	fresh     sigaction
	limit     unix.Rlimit
	given     attributes
	givenAt   int // the step that is the first call of given
	clone     cloneArgs
	outside   [maxNumber]byte // the process's number outside
}

// cloneArgs is the third version of struct clone_args (clone(2)).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls                         uint64
	setTID, setTIDSize, cgroup                    uint64
}

func (i *image) do(trap uintptr, args ...uintptr) {
	s := step{trap: trap}
	copy(s.args[:], args)
	i.steps = append(i.steps, s)
}

// forkError names the system call of the new process that failed, or the clone itself.
type forkError struct {
	trap  uintptr
	errno unix.Errno
	of    ipc.Attribute // the attribute that the call sets; 0: none
}

// fork starts a program as syscall.ForkExec does. It supports only the attributes that the spawner
// uses: Setsid, Setpgid, Setctty with descriptor 0, Pdeathsig, PidFD, UseCgroupFD. Only the new
// process takes the confinement on. All its signals have their defaults and none is blocked,
// regardless of the spawner's own.
func fork(program string, argv []string, attr *syscall.ProcAttr, c confinement) (is numbers, failed *forkError) {
	i := &image{pidfd: -1, all: ^uint64(0)}
	var err error
	if i.path, err = unix.BytePtrFromString(program); err == nil {
		i.args, err = syscall.SlicePtrFromStrings(argv)
	}
	if err == nil {
		i.env, err = syscall.SlicePtrFromStrings(attr.Env)
	}
	if err == nil {
		i.dir, err = unix.BytePtrFromString(attr.Dir)
	}
	if err != nil {
		return numbers{}, &forkError{trap: unix.SYS_EXECVE, errno: ipc.ErrnoOf(err)}
	}
	var pid int
	for again := true; again; {
		clears := !clearsNot
		i.plan(attr, c)
		i.do(unix.SYS_EXECVE, uintptr(unsafe.Pointer(i.path)), uintptr(unsafe.Pointer(&i.args[0])), uintptr(unsafe.Pointer(&i.env[0])))
		pid, failed = i.run(attr.Sys)
		older := failed != nil && failed.trap == unix.SYS_CLONE3 && clears && (failed.errno == unix.EINVAL || failed.errno == unix.ENOSYS)
		clearsNot = clearsNot || older
		again = older || failed != nil && failed.errno == unix.EINTR // the call has had no effect
	}
	runtime.KeepAlive(c)
	is = numbers{pid, pid}
	if isInit() {
		is.outside = number(i.outside[:])
	}
	return is, failed
}

// plan appends all steps except the exec. Descriptors of the spawner are close-on-exec, except
// those that the attributes name.
func (i *image) plan(attr *syscall.ProcAttr, c confinement) {
	i.steps = i.steps[:0]
	sys := attr.Sys
	if isInit() {
		i.do(unix.SYS_READLINKAT, outerProc, uintptr(unsafe.Pointer(&linkSelf[0])), uintptr(unsafe.Pointer(&i.outside)), maxNumber)
	}
	if own := ownIDs(); own.kept() { // it clears PR_SET_PDEATHSIG, so it comes before
		user := uintptr(own.user)
		i.do(unix.SYS_SETRESUID, user, user, user)
	}
	if sys.Setsid {
		i.do(unix.SYS_SETSID)
	}
	if sys.Setpgid {
		i.do(unix.SYS_SETPGID, 0, 0)
	}
	// A handler of the spawner must not run in the new process, so the handlers go before the mask
	// does.
	signals := ignored()
	if clearsNot {
		signals = allSignals
	}
	for _, sig := range signals {
		i.do(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&i.fresh)), 0, unsafe.Sizeof(i.none))
	}
	i.do(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&i.none)), 0, unsafe.Sizeof(i.none))
	i.do(unix.SYS_CHDIR, uintptr(unsafe.Pointer(i.dir)))
	if sys.Pdeathsig != 0 && !isInit() { // the kernel lets no process outlive the init
		i.do(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(sys.Pdeathsig))
		i.do(unix.SYS_GETPPID)
		i.steps[len(i.steps)-1].want = uintptr(os.Getpid()) // otherwise it ends by itself
	}
	// These descriptors have numbers that the program's table may reuse.
	for _, fd := range c.enter {
		i.do(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&itself[0])), 1)
	}
	if c.spare > 0 {
		i.do(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(c.spare), 0)
	}
	if c.rules >= 0 {
		i.do(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(c.rules), 0)
	}
	i.files(attr.Files)
	if sys.Setctty {
		i.do(unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 1)
	}
	i.limit = inheritedFiles()
	i.do(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&i.limit)))
	if c.attributes != nil {
		i.given.set(c.attributes)
		i.givenAt = len(i.steps)
		for _, call := range i.given.calls {
			i.do(call.trap, call.args[:]...)
		}
	}
	if c.filter != nil {
		i.do(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(c.filter)))
	}
}

// needsExec reports whether a program needs the role become. To enter control groups does not
// require it.
func needsExec(a *ipc.Attributes, _ []int) bool { return byExec(a) }

// clearsNot says that CLONE_CLEAR_SIGHAND is missing (before Linux 5.5), or that a filter denies
// clone3(2). Then each signal is reset by its own call, which takes as long as everything else.
// Only fork's caller uses the variable.
var clearsNot bool

// allSignals are the signals that can have a handler.
var allSignals = func() (all []uintptr) {
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig != uintptr(unix.SIGKILL) && sig != uintptr(unix.SIGSTOP) {
			all = append(all, sig)
		}
	}
	return all
}()

// ignored are the signals that CLONE_CLEAR_SIGHAND does not reset. The spawner was started with
// them ignored, and the Go runtime does not use them.
var ignored = sync.OnceValue(findIgnored)

func findIgnored() (list []uintptr) {
	for _, sig := range allSignals {
		var act sigaction
		_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&act)), unsafe.Sizeof(act.mask), 0, 0)
		if e == 0 && act.handler == sigIgnore {
			list = append(list, sig)
		}
	}
	return list
}

const sigIgnore = 1

var linkSelf = []byte("self\x00")

// inheritedFiles is the limit of descriptors that the spawner was started with. The Go runtime has
// raised it for itself. It restores the limit before an exec of its own, even one that fails
// (syscall.Exec).
var inheritedFiles = sync.OnceValue(func() (l unix.Rlimit) {
	var raised unix.Rlimit
	limit := func(new, old *unix.Rlimit) {
		unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(new)), uintptr(unsafe.Pointer(old)), 0, 0)
	}
	limit(nil, &raised)
	_ = syscall.Exec("", []string{""}, nil)
	limit(&raised, &l)
	return l
})

// files makes the table of descriptors in two passes. The first moves descriptors out of the way of
// others.
func (i *image) files(files []uintptr) {
	next := uintptr(len(files))
	for _, f := range files {
		if f != closed {
			next = max(next, f+1)
		}
	}
	from := append([]uintptr(nil), files...)
	for to, f := range from {
		if f != closed && f < uintptr(to) {
			i.do(unix.SYS_DUP3, f, next, unix.O_CLOEXEC)
			from[to], next = next, next+1
		}
	}
	for to, f := range from {
		switch f {
		case closed: // our own descriptor there, if any, is close-on-exec
			i.do(unix.SYS_FCNTL, uintptr(to), unix.F_SETFD, unix.FD_CLOEXEC)
			i.steps[len(i.steps)-1].want = closed
		case uintptr(to):
			i.do(unix.SYS_FCNTL, f, unix.F_SETFD, 0)
		default:
			i.do(unix.SYS_DUP3, f, uintptr(to), 0)
		}
	}
}

// run forks. No signal is handled meanwhile: a handler would run on the stack that both processes
// share.
func (i *image) run(sys *syscall.SysProcAttr) (int, *forkError) {
	const flags = unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PIDFD
	trap, a1, a2, a3 := uintptr(unix.SYS_CLONE), uintptr(flags|unix.SIGCHLD), uintptr(0), uintptr(unsafe.Pointer(&i.pidfd))
	if sys.UseCgroupFD || !clearsNot {
		i.clone = cloneArgs{flags: flags, exitSignal: uint64(unix.SIGCHLD), pidfd: uint64(uintptr(unsafe.Pointer(&i.pidfd)))}
		if sys.UseCgroupFD {
			i.clone.flags, i.clone.cgroup = i.clone.flags|unix.CLONE_INTO_CGROUP, uint64(sys.CgroupFD)
		}
		if !clearsNot {
			i.clone.flags |= unix.CLONE_CLEAR_SIGHAND
		}
		trap, a1, a2, a3 = unix.SYS_CLONE3, uintptr(unsafe.Pointer(&i.clone)), unsafe.Sizeof(i.clone), forkWord
	}
	first := &i.steps[0]
	end := uintptr(unsafe.Pointer(first)) + uintptr(len(i.steps))*unsafe.Sizeof(*first)

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.ForkLock.Lock()
	back := func() {}
	if sys.UseCgroupFD { // the kernel checks permission with our ids (clone(2))
		back = asKeeper()
	}
	mask := setMask(i.all)
	pid, errno := vforkSteps(trap, a1, a2, a3, first, end, &i.failed)
	setMask(mask)
	back()
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, &forkError{trap: trap, errno: unix.Errno(errno)}
	}
	failed := i.failedStep()
	runtime.KeepAlive(i)
	if failed != nil {
		reapFailed(int(pid))
		_ = unix.Close(int(i.pidfd))
		return 0, failed
	}
	*sys.PidFD = int(i.pidfd)
	return int(pid), nil
}

func (i *image) failedStep() *forkError {
	if i.failed == 0 {
		return nil
	}
	at := int((i.failed - uintptr(unsafe.Pointer(&i.steps[0]))) / unsafe.Sizeof(i.steps[0]))
	s := i.steps[at]
	failed := &forkError{trap: s.trap, errno: unix.ESRCH} // it noticed the spawner's end
	if got := int64(s.got); got < 0 && got >= -4095 {
		failed.errno = unix.Errno(-got)
	}
	if n := at - i.givenAt; n >= 0 && n < len(i.given.calls) {
		failed.of = i.given.calls[n].of
	}
	return failed
}

// reapFailed waits for a process that never became a program.
func reapFailed(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return
		}
	}
}

// setMask sets the signal mask of the thread and returns the previous one.
func setMask(mask uint64) (old uint64) {
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&mask)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(mask), 0, 0)
	return old
}
