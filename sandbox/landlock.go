package sandbox

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Landlock (landlock(7)) by its three system calls. The library
// github.com/landlock-lsm/go-landlock is not used: it confines all threads of the
// process that calls it, which is what nobody here wants. The stage confines the
// one thread that execs, erluv_main the one thread that starts the roles, and the
// spawner none of its own, but each program on the way from fork to exec, with a
// set of rules that was made before; the library hands none out.

// Access is what is allowed beneath a path. The bits are the kernel's,
// LANDLOCK_ACCESS_FS_.
type Access uint64

// The accesses that people name.
const (
	Read  Access = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	Exec  Access = Read | unix.LANDLOCK_ACCESS_FS_EXECUTE
	Write Access = allFiles &^ unix.LANDLOCK_ACCESS_FS_EXECUTE // and read

	readFile Access = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readDir  Access = unix.LANDLOCK_ACCESS_FS_READ_DIR
)

// What there is to allow grows with the version of Landlock, its ABI
// (landlock(7), VERSIONS). What a kernel does not know it does not forbid either.
const (
	allFiles Access = 1<<16 - 1 // as of abiDevices

	abiRename   = 2 // REFER
	abiTruncate = 3 // Linux 6.2
	abiTCP      = 4 // Linux 6.7
	abiDevices  = 5 // IOCTL_DEV
	abiScope    = 6 // Linux 6.12
)

// ofFile are the accesses that a rule may name for what is no directory.
const ofFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
	unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

// Beneath allows access to a file, or a directory and all that is in it. What
// is not there is an error, unless it is Optional.
type Beneath struct {
	Path     string
	Access   Access
	Optional bool
}

// Rules describe a domain of Landlock. What a process in it starts is in it too,
// and can only be confined further. The zero value confines nothing.
type Rules struct {
	// Scope keeps signals and connections to abstract sockets within the domain.
	// It also holds between two domains that were made from the same rules.
	Scope bool

	// Files forbids every file but those of Allow.
	Files bool
	Allow []Beneath

	// SpareGroups forbids to change control groups, wherever they are mounted: see
	// besideGroups. It is not for rules with Files.
	SpareGroups bool

	// TCP forbids to bind a port, and to connect to any but those of Connect.
	TCP     bool
	Connect []uint16
}

// ErrLandlock is the error of rules that this kernel cannot enforce.
var ErrLandlock = errors.New("this kernel's Landlock does not know it")

// landlockABI is the version of Landlock, 0 where there is none.
func landlockABI() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

// needs is the oldest ABI that enforces the rules to the letter. Files need
// abiTruncate: before it everything could be emptied.
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

// handled is what a kernel can forbid of what is done to files.
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

// Ruleset makes the rules ready for Restrict, or for landlock_restrict_self(2) by
// whoever is to be confined. The descriptor is the caller's; it is close-on-exec.
// ErrLandlock when the kernel could not hold all of the rules; an error with its
// errno when a path cannot be opened.
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
	// A kernel that knows less of the structure takes it when the rest is zero.
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

// add opens the path, whatever it is: with O_PATH nothing is waited for and
// nothing is read.
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
	// The kernel's structure is packed: 12 bytes, and it reads no more.
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

// Restrict puts the calling thread, which has no_new_privs, into a new domain of
// the rules. There is no way back.
func Restrict(ruleset int) error {
	_, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0)
	if e != 0 {
		return os.NewSyscallError("landlock_restrict_self", e)
	}
	return nil
}

// enter makes the rules and puts the calling thread under them.
func (r Rules) enter() error {
	fd, err := r.Ruleset()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return Restrict(fd)
}
