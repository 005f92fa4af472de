package sandbox

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Denials are the system calls that a program is denied. Their filter lists only denied calls and
// allows all others. It covers the numbers of compatArch too, so a 32-bit program runs and is
// denied the same.
type Denials struct {
	// Ordinary denies the calls that an ordinary program never makes, except the groups of calls
	// that Allow names.
	Ordinary bool
	Allow    []string

	// Fork allows clone3(2) when its unused third argument is this number. The spawner knows the
	// number, and programs do not. Zero: no exception.
	Fork uint64

	// Owned denies changes of files' owner, mode, times and extended attributes, which Landlock
	// does not cover. A file that is open for reading is enough for these, so the calls on
	// descriptors are denied too.
	Owned bool

	// Flags denies changes of files' flags, and of subvolumes, in the same way.
	Flags bool

	// Memfds denies executable memfds, because Landlock has no rule for them.
	Memfds bool

	// Net denies networks. With Connect, it allows TCP connections to the ports of Rules.Connect.
	// Landlock covers TCP alone. It misses Multipath TCP, a connection by the first sendto(2), and
	// a listen(2) without bind(2), so the filter denies these.
	Net, Connect bool
}

// denial applies an action to some calls when all its conditions hold, unless all conditions of one
// exception hold.
type denial struct {
	calls  string // names, see numbers
	do     uint32
	when   []cond
	except [][]cond
}

const (
	refused = unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)

	// namespaces are the flags of clone(2) and unshare(2) that make new namespaces.
	namespaces   = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
	unsharedTime = unix.CLONE_NEWTIME // clone(2) has a signal's number there

	// harmless are the bits of personality(2) that change only a program's view of the machine
	// (setarch(8), debuggers), and weaken no protection.
	harmless = 0x8 | 0x20000 | 0x40000 // PER_LINUX32, UNAME26, ADDR_NO_RANDOMIZE

	tioclinux = 0x541C // TIOCLINUX: the console's own way of TIOCSTI

	noExecSeal = 0x8 // MFD_NOEXEC_SEAL

	kindBits = 0xF // of a socket's type; the others are SOCK_NONBLOCK and SOCK_CLOEXEC
)

// privileged are calls that require a capability, which no program has, and obsolete calls. Their
// denial protects against bugs that the kernel may have in them.
var privileged = []denial{
	{"acct clock_settime clock_settime64 settimeofday stime reboot syslog vhangup swapon swapoff quotactl quotactl_fd", deny, nil, nil},
	{"init_module finit_module delete_module create_module query_module get_kernel_syms kexec_load kexec_file_load", deny, nil, nil},
	{"ioperm iopl vm86 vm86old open_by_handle_at lookup_dcookie", deny, nil, nil},
	{"_sysctl nfsservctl sysfs uselib ustat", deny, nil, nil},
	{"personality", deny, nil, [][]cond{is(0, 1<<32-1), without(0, (1<<32-1)&^harmless)}},
}

// groups are the groups of calls that Allow can name. Some calls are denied with ENOSYS, as on a
// kernel that lacks them: libraries can do without these.
var groups = map[string][]denial{
	"bpf":      {{"bpf", deny, nil, nil}},
	"fanotify": {{"fanotify_init", deny, nil, nil}},
	"io_uring": {{"io_uring_setup io_uring_enter io_uring_register", unmet, nil, nil}},
	"keyctl":   {{"add_key request_key keyctl", deny, nil, nil}},
	"perf":     {{"perf_event_open", deny, nil, nil}},
	"process_vm": {
		{"process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd migrate_pages move_pages", unmet, nil, nil},
	},
	"tiocsti":     {{"ioctl", deny, is(1, unix.TIOCSTI, tioclinux), nil}},
	"userfaultfd": {{"userfaultfd", deny, nil, nil}},
	"userns": {
		{"clone", deny, nil, [][]cond{without(0, namespaces)}},
		{"unshare", deny, nil, [][]cond{without(0, namespaces|unsharedTime)}},
		{"clone3", unmet, nil, nil}, // its flags lie in memory, where no filter sees them
		{"setns chroot pivot_root mount umount umount2 sethostname setdomainname", deny, nil, nil},
		{"fsopen fsconfig fsmount fspick open_tree open_tree_attr move_mount mount_setattr", deny, nil, nil},
	},
}

// owned are the calls that Denials.Owned denies.
var owned = []denial{
	{"chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 lchown lchown32 fchownat", deny, nil, nil},
	{"utime utimes futimesat utimensat utimensat_time64", deny, nil, nil},
	{"setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat", deny, nil, nil},
}

// flags are the calls that Denials.Flags denies. The first requests of ioctl(2) are
// FS_IOC_SETFLAGS, FS_IOC_SETVERSION and EXT4_IOC_SETVERSION, each also in the form of compatArch,
// and FS_IOC_FSSETXATTR. The others make, remove and change subvolumes of btrfs. Landlock does not
// cover them, and a directory that is open for reading is enough for them.
var flags = []denial{
	{"file_setattr", deny, nil, nil},
	{"ioctl", deny, is(1, 0x40086602, 0x40046602, 0x40087602, 0x40047602, 0x40086604, 0x40046604, 0x401C5820), nil},
	{"ioctl", deny, is(1, 0x50009401, 0x5000940E, 0x5000940F, 0x50009417, 0x50009418, 0x5000943F, 0x4008941A, 0xC0C89425), nil},
}

var memfds = []denial{{"memfd_create", deny, nil, [][]cond{{{1, noExecSeal, []uint64{noExecSeal}}}}}}

// networks are the calls that Denials.Net denies. Unix sockets stay allowed. io_uring is denied
// elsewhere, since it makes sockets without socket(2). The arguments of socketcall(2) lie in
// memory, so all of it is denied.
func networks(connect bool) []denial {
	sockets := [][]cond{is(0, unix.AF_UNIX)}
	list := []denial{{"socketcall", refused, nil, nil}}
	if connect {
		sockets = append(sockets, []cond{
			{0, 1<<32 - 1, []uint64{unix.AF_INET, unix.AF_INET6}},
			{1, kindBits, []uint64{unix.SOCK_STREAM}},
			{2, 1<<32 - 1, []uint64{0, unix.IPPROTO_TCP}},
		})
		list = append(list, denial{"listen", refused, nil, nil},
			denial{"sendto sendmmsg", deny, nil, [][]cond{without(3, unix.MSG_FASTOPEN)}},
			denial{"sendmsg", deny, nil, [][]cond{without(2, unix.MSG_FASTOPEN)}})
	}
	return append(list, denial{"socket", refused, nil, sockets})
}

// list returns all denials.
func (d Denials) list() ([]denial, error) {
	var list []denial
	for _, name := range d.Allow {
		if groups[name] == nil {
			return nil, fmt.Errorf("there are no system calls called %q to allow", name)
		}
	}
	if d.Ordinary {
		list = append(list, privileged...)
		for name, group := range groups {
			if !slices.Contains(d.Allow, name) {
				list = append(list, group...)
			}
		}
	}
	if d.Owned {
		list = append(list, owned...)
	}
	if d.Flags {
		list = append(list, flags...)
	}
	if d.Memfds {
		list = append(list, memfds...)
	}
	if d.Net {
		list = append(list, networks(d.Connect)...)
	}
	if d.Owned || d.Flags || d.Net {
		list = append(list, groups["io_uring"]...) // it does what the others forbid
	}
	return list, nil
}

// Filter makes the filter. It fails with ENOSYS on an architecture without numbers, and for a name
// in Allow that is not a group.
func (d Denials) Filter() (*unix.SockFprog, error) {
	if auditArch == 0 {
		return nil, errArch
	}
	list, err := d.list()
	if err != nil {
		return nil, err
	}
	native, err := d.rules(list, func(n number) uint32 { return n.native })
	if err != nil {
		return nil, err
	}
	compat, err := d.rules(list, func(n number) uint32 { return n.compat })
	if err != nil {
		return nil, err
	}
	var p program
	p.add(opLoad, dataArch, 0, 0)
	p.add(opEqual, auditArch, 1, 0)
	native = append(foreigners(), native...)
	p = append(p, jump(len(native)))
	p = append(p, native...)
	p.add(opEqual, compatArch, 1, 0)
	p.add(opReturn, unmet, 0, 0)
	p.add(opLoad, dataCall, 0, 0)
	p = append(p, compat...)
	if len(p) > 4096 { // BPF_MAXINSNS
		return nil, fmt.Errorf("a filter of %d instructions", len(p))
	}
	return p.kernels(), nil
}

// foreigners loads the call's number, and answers ENOSYS to numbers of the architecture's second
// set.
func foreigners() (p program) {
	p.add(opLoad, dataCall, 0, 0)
	if foreign != 0 {
		p.add(opAbove, foreign, 0, 1)
		p.add(opReturn, unmet, 0, 0)
	}
	return p
}

// number is a call's number in both architectures.
type number struct{ native, compat uint32 }

// rule is the code for one call.
type rule struct {
	call uint32
	code program
}

// rules makes the code for the calls of one architecture, after the number is loaded.
func (d Denials) rules(list []denial, of func(number) uint32) (program, error) {
	// A call of several denials passes only if each of them lets it pass.
	type one struct {
		name string
		by   []denial
	}
	byCall := make(map[uint32]*one)
	for _, l := range list {
		for name := range strings.FieldsSeq(l.calls) {
			call := of(numbers[name])
			if call == 0 {
				continue
			}
			if byCall[call] == nil {
				byCall[call] = &one{name: name}
			}
			byCall[call].by = append(byCall[call].by, l)
		}
	}
	var rules []rule
	for call, o := range byCall {
		r := rule{call: call}
		for _, l := range o.by {
			if err := r.add(l, d.exceptions(o.name, l)); err != nil {
				return nil, fmt.Errorf("%s: %w", o.name, err)
			}
		}
		r.code.add(opReturn, allow, 0, 0)
		rules = append(rules, r)
	}
	slices.SortFunc(rules, func(a, b rule) int { return cmp.Compare(a.call, b.call) })
	return search(rules)
}

func (d Denials) exceptions(name string, l denial) [][]cond {
	if name == "clone3" && d.Fork != 0 {
		return append(slices.Clone(l.except), []cond{{2, 1<<64 - 1, []uint64{d.Fork}}})
	}
	return l.except
}

// add appends a denial. Its code continues behind itself when the call passes.
func (r *rule) add(l denial, except [][]cond) error {
	var code program
	var passes []int // jumps to the end, in place of the return of a line
	for _, when := range except {
		if err := code.line(line{when: when}); err != nil {
			return err
		}
		passes = append(passes, len(code)-1)
	}
	if err := code.line(line{do: l.do, when: l.when}); err != nil {
		return err
	}
	for _, at := range passes {
		code[at] = jump(len(code) - 1 - at)
	}
	r.code = append(r.code, code...)
	return nil
}

// search finds the rule of the loaded number by bisection. A program pays for each comparison of
// each call, and the kernel for all of them when it installs a filter.
func search(rules []rule) (p program, err error) {
	const few = 3
	if len(rules) > few {
		half := len(rules) / 2
		below, err := search(rules[:half])
		if err != nil {
			return nil, err
		}
		above, err := search(rules[half:])
		if err != nil {
			return nil, err
		}
		p.add(opAbove, rules[half].call, 0, 1)
		p = append(p, jump(len(below)))
		return append(append(p, below...), above...), nil
	}
	for _, r := range rules {
		if len(r.code) > 255 {
			return nil, fmt.Errorf("system call %d has too many conditions", r.call)
		}
		p.add(opEqual, r.call, 0, uint8(len(r.code)))
		p = append(p, r.code...)
	}
	p.add(opReturn, allow, 0, 0)
	return p, nil
}

// Deny gives the filter to the calling thread and all processes that it starts.
func Deny(filter *unix.SockFprog) error {
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(filter)))
	runtime.KeepAlive(filter)
	if e != 0 {
		return fmt.Errorf("cannot filter the system calls of programs: %w", e)
	}
	return nil
}
