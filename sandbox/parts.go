package sandbox

import (
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mode says how many of the Parts are required: the key sandbox of erluv.conf(5).
type Mode string

// The modes.
const (
	Auto   Mode = "auto"   // every part that the kernel has, and never less than Seccomp
	Strict Mode = "strict" // all parts, or an error
	Off    Mode = "off"    // nothing: ids, capabilities and no_new_privs only
)

// Parts are the means, beside ids, that confine a role. A kernel may lack some. Parts that are in
// force are enforced completely, in either mode.
type Parts uint8

// The parts.
const (
	Seccomp Parts = 1 << iota // the child's system calls
	Files                     // the child's files
	TCP                       // the child's ports
	Scope                     // signals and abstract sockets: roles, and each program
)

// Has reports whether a part is in the set.
func (p Parts) Has(part Parts) bool { return p&part != 0 }

// String returns the names of the parts, separated by spaces.
func (p Parts) String() string {
	var names []string
	for i, name := range []string{"seccomp", "files", "ports", "scope"} {
		if p.Has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// A Lacking error names what this machine lacks. That stays so until the machine changes, or the
// way that erluv is started on it.
type Lacking struct{ text string }

func (l *Lacking) Error() string { return l.text }

// Choose asks the kernel for its parts, and returns the parts that will be in force and those that
// the kernel lacks. The error is a *Lacking if the kernel lacks a part that the mode requires.
func Choose(mode Mode) (parts Parts, lacks []string, err error) {
	switch mode {
	case Off:
		return 0, nil, nil
	case Auto, Strict:
	default:
		return 0, nil, fmt.Errorf("there is no sandbox %q", mode)
	}
	parts, lacks = available(landlockABI(), auditArch != 0 && seccompWorks())
	if !parts.Has(Seccomp) || mode == Strict && len(lacks) > 0 {
		what, remedy := lacks, "run a kernel that has it, or set sandbox to auto to do without"
		if mode == Auto {
			what, remedy = lacks[:1], "start erluv where it may filter system calls, or set sandbox to off to do without"
		}
		return 0, lacks, &Lacking{fmt.Sprintf("cannot confine the child and the programs as sandbox = %s asks, for this kernel has %s: %s",
			mode, strings.Join(what, ", "), remedy)}
	}
	return parts, lacks, nil
}

func available(abi int, seccomp bool) (parts Parts, lacks []string) {
	if seccomp {
		parts |= Seccomp
	} else {
		lacks = append(lacks, "no filter of system calls (seccomp)")
	}
	for _, p := range []struct {
		part Parts
		abi  int
		what string
	}{
		{Files, abiTruncate, "files (Linux 6.2)"},
		{TCP, abiTCP, "ports (Linux 6.7)"},
		{Scope, abiScope, "signals and abstract sockets (Linux 6.12)"},
	} {
		switch {
		case abi >= p.abi:
			parts |= p.part
		case abi > 0:
			lacks = append(lacks, "no Landlock for "+p.what)
		}
	}
	if abi == 0 {
		lacks = append(lacks, "no Landlock (it may have to be named in lsm= at boot)")
	}
	return parts, lacks
}

// seccompWorks asks the kernel whether it has the filter's strongest action (Linux 4.14).
func seccompWorks() bool {
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return e == 0
}

// OfChild returns the child's Landlock rules, as far as the parts go. They have no scope, because
// the child must signal programs outside its own domain. The domain that Enclose has made holds the
// child and the programs, and no signal leaves it.
func (p Parts) OfChild() Rules {
	r := Rules{Files: p.Has(Files), TCP: p.Has(TCP)}
	if r.Files {
		r.Allow = childFiles
	}
	return r
}

// OfRelay returns the rules of the relay and of the page: no files, no ports, no signals to others.
func (p Parts) OfRelay() Rules {
	r := Rules{Files: p.Has(Files), TCP: p.Has(TCP), Scope: p.Has(Scope)}
	if r.Files {
		r.Allow = relayFiles
	}
	return r
}

// relayFiles are the only files that the relay may open, all for its start. Its filter has no
// openat(2).
var relayFiles = []Beneath{
	{Path: "/proc/self/exe", Access: unix.LANDLOCK_ACCESS_FS_EXECUTE | readFile},
	{Path: "/sys/kernel/mm/transparent_hugepage", Access: readFile, Optional: true}, // the Go runtime
	{Path: "/sys/fs/cgroup", Access: readFile, Optional: true},                      // the Go runtime: how many processors
}

// childFiles are the only files that the child may open. It creates and changes none: the spawner
// opens the files of programs.
var childFiles = []Beneath{
	{Path: "/proc/self/exe", Access: unix.LANDLOCK_ACCESS_FS_EXECUTE | readFile}, // to become the role; seccomp forbids another exec
	{Path: "/", Access: readDir},      // directories that watch lists
	{Path: "/proc", Access: readFile}, // resource usage of programs
	{Path: "/sys/kernel/mm/transparent_hugepage", Access: readFile, Optional: true}, // the Go runtime
	{Path: "/sys/fs/cgroup", Access: readFile, Optional: true},                      // the Go runtime: how many processors
}

// Enclose puts the calling thread, which starts the roles, into one domain with all of them. No
// signal and no connection to an abstract socket leaves the domain. The thread stays privileged,
// but gets no_new_privs. Without Scope it does nothing.
func (p Parts) Enclose() error {
	if !p.Has(Scope) {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot set no_new_privs: %w", err)
	}
	if err := (Rules{Scope: true}).enter(); err != nil {
		return fmt.Errorf("cannot keep signals in: %w", err)
	}
	return nil
}
