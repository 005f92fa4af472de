package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"unsafe"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Identity is what a role runs as.
type Identity struct {
	UID, GID uint32
	Groups   []uint32 // supplementary, in ascending order; only root can give any

	// MayBeRoot says that UID and GID may be root's, since somebody has named root.
	// There are no capabilities all the same: what is left of root is its files.
	MayBeRoot bool

	// Keeper is the real user of the spawner: see DrawKeeper. 0: there is none.
	Keeper uint32
}

// Recipe is what Drop does.
type Recipe struct {
	Identity

	// Parent is the process that is expected to be the parent, as
	// getpid(2) gives it there; 0 for the init of a pid namespace, whose parent is
	// outside. The role is killed when the thread that started it ends.
	Parent int

	// Outlives is for a role that is not killed: it notices, once it is not stopped
	// any more, and ends what it has started before it ends.
	Outlives bool

	// KeepFD is the highest descriptor that survives the exec.
	KeepFD int

	// NoCore forbids core dumps: they would hold the memory of the role. What
	// starts other programs leaves them their limit.
	NoCore bool

	// Rules of Landlock for the role, which must let it execute the binary.
	Rules Rules

	// FilterPrograms is for what starts other programs: see programsFilter.
	FilterPrograms bool

	// AllFiles raises the soft limit of descriptors to the hard one. What starts
	// other programs must not: they inherit it, and select(2) breaks beyond
	// 1,024.
	AllFiles bool
}

// step is one part of Drop, with the words for the error when it fails.
type step struct {
	what string
	do   func(Recipe) error
}

// steps stand in the order in which they are possible: what needs a privilege
// before the privilege goes, PR_SET_PDEATHSIG after the ids because a change of
// them clears it (prctl(2)).
var steps = []step{
	{"close descriptors", closeAbove},
	{"reset the signals", resetSignals},
	{"change to the directory /", func(Recipe) error { return eintr.Chdir("/") }},
	{"set the umask", func(Recipe) error { unix.Umask(0o022); return nil }},
	{"set resource limits", setLimits},
	{"give up ids and capabilities", setIdentity},
	{"set no_new_privs", func(Recipe) error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
	{"be confined by Landlock", confine},
	{"filter system calls", filterPrograms},
	{"prove that the privileges are gone", proveUnlessKept},
	{"be bound to the life of the parent", bindToParent},
}

// Drop gives up every privilege of the calling thread, which the caller has
// locked (runtime.LockOSThread) and will turn into the role with execve(2).
// After an error the process is neither privileged nor confined: the only thing to
// do is to say so and end. Unless it MayBeRoot a recipe with root's uid is refused, and
// run by root one with root's gid.
//
// Run by an ordinary user it changes no ids, which must then be the recipe's, and
// keeps the supplementary groups, which only root can clear; everything else
// holds alike.
func Drop(r Recipe) error {
	if r.Keeper != 0 && (r.UID == 0 || r.Keeper == r.UID) {
		return fmt.Errorf("cannot drop privileges: user %d cannot keep control groups from user %d", r.Keeper, r.UID)
	}
	if !r.MayBeRoot && (r.UID == 0 || (r.GID == 0 || slices.Contains(r.Groups, 0)) && unix.Geteuid() == 0) {
		return fmt.Errorf("cannot drop privileges: uid %d, gid %d or the groups %d are root's", r.UID, r.GID, r.Groups)
	}
	for _, s := range steps {
		if err := s.do(r); err != nil {
			return fmt.Errorf("cannot %s: %w", s.what, err)
		}
	}
	return nil
}

// NotDumpable hides the memory, the descriptors and /proc/self of a role from
// other processes of the same user: no ptrace(2), no pidfd_getfd(2). Every execve
// makes a process dumpable again, so a role calls it first of all.
func NotDumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become undumpable: %w", err)
	}
	return nil
}

// closeAbove marks every descriptor above KeepFD close-on-exec, instead of
// closing them at once, because the Go runtime still holds some (Linux 5.11).
func closeAbove(r Recipe) error {
	return unix.CloseRange(uint(r.KeepFD)+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// resetSignals empties the thread's mask and sets every signal to its default:
// what is ignored stays so over an exec (execve(2)), as SIGHUP and SIGINT under
// nohup(1), and 32, a signal of the C library's own, in what make(1) starts. The Go
// runtime's handlers go with it, just before the exec; it knows nothing of 32.
func resetSignals(Recipe) error {
	var act struct { // the kernel's struct sigaction, SIG_DFL (rt_sigaction(2))
		handler, flags, restorer uintptr
		mask                     uint64
	}
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) {
			continue
		}
		_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&act)), 0, unsafe.Sizeof(act.mask), 0, 0)
		if e != 0 {
			return fmt.Errorf("signal %d: %w", sig, e)
		}
	}
	return unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
}

// setLimits sets what the recipe asks for. Left alone, the soft limit of
// descriptors is after the exec what erluv_main was started with: the Go runtime
// raises it for itself and syscall.Exec puts it back.
func setLimits(r Recipe) error {
	if r.NoCore {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
			return err
		}
	}
	if !r.AllFiles {
		return nil
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	files.Cur = files.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &files)
}

// confine enters the domain of the rules, and tries a file that none of ours allow.
func confine(r Recipe) error {
	if !r.Rules.Files && !r.Rules.TCP && !r.Rules.Scope {
		return nil
	}
	if err := r.Rules.enter(); err != nil {
		return err
	}
	if !r.Rules.Files {
		return nil
	}
	fd, err := eintr.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
		return errors.New("/dev/null can be opened in it")
	}
	if err != unix.EACCES {
		return fmt.Errorf("/dev/null: %w", err)
	}
	return nil
}

// bindToParent asks for SIGKILL when the parent's thread ends. If that has
// happened already, the signal would never come; the init of a pid namespace, which
// has parent 0 in any case, then finds that its conversation has ended, as does who
// outlives it. That one gets SIGCONT, for a process that was stopped finds nothing.
func bindToParent(r Recipe) error {
	sig := unix.SIGKILL
	if r.Outlives {
		sig = unix.SIGCONT
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(sig), 0, 0, 0); err != nil {
		return err
	}
	if pid := os.Getppid(); pid != r.Parent {
		return errors.New("the parent has ended")
	}
	return nil
}
