package sandbox

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Landlock (landlock(7)), by its three system calls. The library
// github.com/landlock-lsm/go-landlock confines all threads of the calling process, which is wrong
// for every caller here. The stage confines the one thread that execs. erluv_main confines the one
// thread that starts the roles. The spawner confines no thread of its own, but each program between
// fork and exec. For that it uses rules that it made before, and the library does not hand these
// out.

// Access is the set of accesses that are allowed beneath a path. The bits are the kernel's
// LANDLOCK_ACCESS_FS_ constants.
type Access uint64

// The accesses that users name.
const (
	Read  Access = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	Exec  Access = Read | unix.LANDLOCK_ACCESS_FS_EXECUTE
	Write Access = allFiles &^ unix.LANDLOCK_ACCESS_FS_EXECUTE // and read

	readFile Access = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readDir  Access = unix.LANDLOCK_ACCESS_FS_READ_DIR
)

// Each version of Landlock, its ABI, can forbid more (landlock(7), VERSIONS). A kernel does not
// forbid an access that it does not know.
const (
	allFiles Access = 1<<16 - 1 // as of abiDevices

	abiRename   = 2 // REFER
	abiTruncate = 3 // Linux 6.2
	abiTCP      = 4 // Linux 6.7
	abiDevices  = 5 // IOCTL_DEV
	abiScope    = 6 // Linux 6.12
)

// ofFile are the accesses that a rule may have for a path that is not a directory.
const ofFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
	unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

// Beneath allows access to a file, or to a directory and everything in it. A missing path is an
// error, unless it is Optional.
type Beneath struct {
	Path     string
	Access   Access
	Optional bool
}

// Rules describe a domain of Landlock. A process inherits the domain of its parent, and can only be
// confined further. The zero value confines nothing.
type Rules struct {
	// Scope keeps signals and connections to abstract sockets within the domain. Two domains made
	// from the same rules are also separate from each other.
	Scope bool

	// Files forbids every file except those of Allow.
	Files bool
	Allow []Beneath

	// SpareGroups forbids changes of control groups, wherever they are mounted: see besideGroups.
	// It cannot be combined with Files.
	SpareGroups bool

	// TCP forbids to bind a port, and to connect to any port except those of Connect.
	TCP     bool
	Connect []uint16
}

// ErrLandlock is the error for rules that this kernel cannot enforce.
var ErrLandlock = errors.New("this kernel's Landlock does not know it")

// landlockABI returns the version of Landlock, 0 if there is none.
func landlockABI() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

// needs returns the oldest ABI that enforces the rules completely. Files needs abiTruncate, because
// older kernels let every file be emptied.
func (r Rules) needs() int {
	switch {
	case r.Scope:
		return abiScope
	case r.TCP:
		return abiTCP
	case r.Files:
		return abiTruncate
	case r.SpareGroups:
		return abiRename
	}
	return 1
}

// handled returns the accesses to files that a kernel can forbid.
func handled(abi int) Access {
	all := allFiles
	if abi < abiDevices {
		all &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi < abiTruncate {
		all &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi < abiRename {
		all &^= unix.LANDLOCK_ACCESS_FS_REFER
	}
	return all
}

// Ruleset prepares the rules for Restrict, or for landlock_restrict_self(2) in a new process. The
// caller owns the descriptor, which is close-on-exec. The error is ErrLandlock if the kernel cannot
// enforce all rules, and has an errno if a path cannot be opened.
func (r Rules) Ruleset() (int, error) {
	abi := landlockABI()
	if abi < r.needs() {
		return -1, fmt.Errorf("%w: it has version %d, and %d is needed", ErrLandlock, abi, r.needs())
	}
	var attr unix.LandlockRulesetAttr
	if r.Scope {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL | unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	if r.Files {
		attr.Handled_access_fs = uint64(handled(abi))
	}
	if r.SpareGroups {
		var err error
		if r.Allow, err = besideGroups(uint32(unix.Geteuid())); err != nil {
			return -1, err
		}
		attr.Handled_access_fs = uint64(changes & handled(abi))
	}
	if r.TCP {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	// An older kernel accepts the larger structure if the rest is zero.
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if e != 0 {
		return -1, fmt.Errorf("cannot make a set of rules: %w", e)
	}
	if err := r.fill(int(fd), abi); err != nil {
		_ = unix.Close(int(fd))
		return -1, err
	}
	return int(fd), nil
}

func (r Rules) fill(ruleset, abi int) error {
	access := handled(abi)
	if r.SpareGroups {
		access &= changes
	}
	for _, b := range r.Allow {
		err := b.add(ruleset, access)
		if b.Optional && errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot allow %s: %w", b.Path, err)
		}
	}
	for _, port := range r.Connect {
		attr := struct{ access, port uint64 }{unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, uint64(port)}
		if err := addRule(ruleset, rulePort, unsafe.Pointer(&attr)); err != nil {
			return fmt.Errorf("cannot allow port %d: %w", port, err)
		}
	}
	return nil
}

const rulePort = 2 // LANDLOCK_RULE_NET_PORT

// add opens the path with O_PATH: that reads nothing and waits for nothing, for every type of file.
func (b Beneath) add(ruleset int, handled Access) error {
	fd, err := eintr.Open(b.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := eintr.Fstat(fd, &st); err != nil {
		return err
	}
	access := b.Access & handled
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= ofFile
	}
	// The kernel's structure is packed: it reads 12 bytes.
	attr := unix.LandlockPathBeneathAttr{Allowed_access: uint64(access), Parent_fd: int32(fd)}
	return addRule(ruleset, unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&attr))
}

func addRule(ruleset int, kind uintptr, attr unsafe.Pointer) error {
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), kind, uintptr(attr), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// Restrict puts the calling thread, which has no_new_privs, into a new domain of the rules, for
// good.
func Restrict(ruleset int) error {
	_, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0)
	if e != 0 {
		return os.NewSyscallError("landlock_restrict_self", e)
	}
	return nil
}

// enter makes the rules and restricts the calling thread by them.
func (r Rules) enter() error {
	fd, err := r.Ruleset()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return Restrict(fd)
}
