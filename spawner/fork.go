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

// knowsOutside: a new process looks up its own number.
const knowsOutside = true

// A program is started by a vfork of our own. Package syscall has nothing to be
// done between its fork and the exec that it does not know, and it does not know
// Landlock; a thread that is confined before it forks would have to end after it,
// for there is no way out of a domain, and with it the kernel would end the program
// (PR_SET_PDEATHSIG goes by the thread).
//
// With vfork the new process runs in our memory, on our stack, while we wait, so it
// can neither call nor return. It does a list of system calls, in assembler, the
// last of which is execve(2).

// step is one system call of the new process; fork_*.s knows the offsets.
type step struct {
	trap uintptr
	args [4]uintptr
	want uintptr // the result it must have; 0: any but an error
	got  uintptr
}

// vforkSteps calls trap, which is a clone with CLONE_VM and CLONE_VFORK, and in the
// new process the steps up to end; a step that does not give what is wanted is put
// into failed and ends it. It returns when the new process has executed a program, or
// ended.
func vforkSteps(trap, a1, a2, a3 uintptr, first *step, end uintptr, failed *uintptr) (pid, errno uintptr)

// image is what a new process needs of our memory until its exec.
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
	givenAt   int // the step that is its first call
	clone     cloneArgs
	outside   [maxNumber]byte // the process's number there
}

// cloneArgs is struct clone_args in its third version (clone(2)).
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

// forkError says which system call of the new process failed, or that there is none.
type forkError struct {
	trap  uintptr
	errno unix.Errno
	of    ipc.Attribute // that it was to set; 0: none
}

// fork starts a program as syscall.ForkExec does. Of the attributes it knows those
// that the spawner has a use for: Setsid, Setpgid, Setctty with descriptor 0,
// Pdeathsig, PidFD, UseCgroupFD. The new process, and nobody else, takes the
// confinement on, and all of its signals are as a program expects them, whatever they
// are here.
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
		again = older || failed != nil && failed.errno == unix.EINTR // nothing was begun that would show
	}
	runtime.KeepAlive(c)
	is = numbers{pid, pid}
	if isInit() {
		is.outside = number(i.outside[:])
	}
	return is, failed
}

// plan appends all steps but the last. What is inherited from us is close-on-exec, but
// for what the attributes name.
func (i *image) plan(attr *syscall.ProcAttr, c confinement) {
	i.steps = i.steps[:0]
	sys := attr.Sys
	if isInit() {
		i.do(unix.SYS_READLINKAT, outerProc, uintptr(unsafe.Pointer(&linkSelf[0])), uintptr(unsafe.Pointer(&i.outside)), maxNumber)
	}
	if own := ownIDs(); own.kept() { // it clears what PR_SET_PDEATHSIG sets, so it comes before
		user := uintptr(own.user)
		i.do(unix.SYS_SETRESUID, user, user, user)
	}
	if sys.Setsid {
		i.do(unix.SYS_SETSID)
	}
	if sys.Setpgid {
		i.do(unix.SYS_SETPGID, 0, 0)
	}
	// A handler of ours must not run there, so none is left when the mask goes.
	signals := ignored()
	if clearsNot {
		signals = allSignals
	}
	for _, sig := range signals {
		i.do(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&i.fresh)), 0, unsafe.Sizeof(i.none))
	}
	i.do(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&i.none)), 0, unsafe.Sizeof(i.none))
	i.do(unix.SYS_CHDIR, uintptr(unsafe.Pointer(i.dir)))
	if sys.Pdeathsig != 0 && !isInit() { // whose end the kernel lets nobody outlive
		i.do(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(sys.Pdeathsig))
		i.do(unix.SYS_GETPPID)
		i.steps[len(i.steps)-1].want = uintptr(os.Getpid()) // else it ends by itself
	}
	// These descriptors have numbers that the program's table may use.
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

// needsExec says whether a program takes the role become. Control groups are entered without
// it.
func needsExec(a *ipc.Attributes, _ []int) bool { return byExec(a) }

// clearsNot says that the kernel has no CLONE_CLEAR_SIGHAND (before Linux 5.5), or no
// clone3(2) for us (filters of system calls): then each signal is reset for itself,
// which takes as long as all the rest. Only fork's caller uses it.
var clearsNot bool

// allSignals are those that can have a handler.
var allSignals = func() (all []uintptr) {
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig != uintptr(unix.SIGKILL) && sig != uintptr(unix.SIGSTOP) {
			all = append(all, sig)
		}
	}
	return all
}()

// ignored are those that CLONE_CLEAR_SIGHAND leaves as they are: we were started with
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

// inheritedFiles is the limit of descriptors that the spawner was started with. The Go
// runtime has raised it for itself, and puts it back before an exec of its own, also
// one that fails (syscall.Exec).
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

// files makes the table of descriptors, in two passes: first those that stand in
// the way of others move out of it.
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
		case closed: // what we have there is close-on-exec, if anything is
			i.do(unix.SYS_FCNTL, uintptr(to), unix.F_SETFD, unix.FD_CLOEXEC)
			i.steps[len(i.steps)-1].want = closed
		case uintptr(to):
			i.do(unix.SYS_FCNTL, f, unix.F_SETFD, 0)
		default:
			i.do(unix.SYS_DUP3, f, uintptr(to), 0)
		}
	}
}

// run forks. No signal is handled meanwhile: a handler would run on the stack that
// the two share.
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
	if sys.UseCgroupFD { // whose permission is looked for with our ids (clone(2))
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
	failed := &forkError{trap: s.trap, errno: unix.ESRCH} // our end has been noticed
	if got := int64(s.got); got < 0 && got >= -4095 {
		failed.errno = unix.Errno(-got)
	}
	if n := at - i.givenAt; n >= 0 && n < len(i.given.calls) {
		failed.of = i.given.calls[n].of
	}
	return failed
}

// reapFailed waits for a process that has never been a program.
func reapFailed(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return
		}
	}
}

// setMask sets the signal mask of the thread and returns what it was.
func setMask(mask uint64) (old uint64) {
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&mask)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(mask), 0, 0)
	return old
}
