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

// Identity is the user and the groups of a role.
type Identity struct {
	UID, GID uint32
	Groups   []uint32 // supplementary, in ascending order; only root can set them

	// MayBeRoot allows root's UID and GID, because the configuration names root. The role has no
	// capabilities all the same, only root's access to files.
	MayBeRoot bool

	// Keeper is the real user of the spawner: see DrawKeeper. 0: none.
	Keeper uint32
}

// Recipe describes a role for Drop.
type Recipe struct {
	Identity

	// Parent is the expected parent, as getpid(2) returns it there; 0 for the init of a pid
	// namespace, whose parent is outside. The kernel kills the role when the thread that started it
	// ends.
	Parent int

	// Outlives is for a role that the kernel must not kill then. The role gets SIGCONT instead,
	// notices the end, and ends its programs before itself.
	Outlives bool

	// KeepFD is the highest descriptor that survives the exec.
	KeepFD int

	// NoCore forbids core dumps, which would hold the role's memory. A role that starts programs
	// must not set it, because programs inherit the limit.
	NoCore bool

	// Rules are the role's Landlock rules. They must allow it to execute the binary.
	Rules Rules

	// FilterPrograms is for a role that starts programs: see programsFilter.
	FilterPrograms bool

	// AllFiles raises the soft limit of descriptors to the hard one. A role that starts programs
	// must not set it: they inherit the limit, and select(2) breaks beyond 1,024.
	AllFiles bool
}

// step is one part of Drop; the error message contains what.
type step struct {
	what string
	do   func(Recipe) error
}

// steps are in the only possible order. A step that needs a privilege comes before the privilege
// goes. PR_SET_PDEATHSIG comes after the ids, because a change of ids clears it (prctl(2)).
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

// Drop gives up every privilege of the calling thread. The caller has locked the thread
// (runtime.LockOSThread) and then turns it into the role with execve(2). After an error the process
// is neither privileged nor confined. It must report the error and end. Without MayBeRoot, Drop
// refuses a recipe with root's uid, and, when run by root, one with root's gid.
//
// Run by an ordinary user, Drop changes no ids, which must be the recipe's already. It keeps the
// supplementary groups, because only root can clear them. All other steps are the same.
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

// NotDumpable hides a role's memory, descriptors and /proc/self from other processes of the same
// user: they can use neither ptrace(2) nor pidfd_getfd(2). Every execve makes a process dumpable
// again, so a role calls NotDumpable first.
func NotDumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become undumpable: %w", err)
	}
	return nil
}

// closeAbove marks every descriptor above KeepFD close-on-exec (Linux 5.11). It does not close them
// at once, because the Go runtime still uses some.
func closeAbove(r Recipe) error {
	return unix.CloseRange(uint(r.KeepFD)+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// resetSignals empties the thread's mask and sets every signal to its default. An ignored signal
// stays ignored over an exec (execve(2)). Examples are SIGHUP and SIGINT under nohup(1), and the C
// library's own signal 32 under make(1), which the Go runtime does not know. This also removes the
// Go runtime's handlers, just before the exec.
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

// setLimits sets the limits of the recipe. Otherwise the soft limit of descriptors after the exec
// is the one that erluv_main was started with. The Go runtime raises it for itself, and
// syscall.Exec restores it.
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

// confine enters the domain of the rules, and tries a file that no role's rules allow.
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

// bindToParent requests SIGKILL for the end of the parent's thread. A role that outlives it gets
// SIGCONT: the role must notice the end of its conversation, and a stopped process notices nothing.
// If the parent has ended already, the signal never comes, so that is an error here. The init of a
// pid namespace always sees parent 0, and notices the end of its conversation instead.
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
