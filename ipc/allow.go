package ipc

// Allow is a set of groups of system calls that a program may make although programs are
// denied them otherwise.
type Allow uint16

// allows are the names of the groups, each at the place of its bit. Package sandbox knows
// the calls.
var allows = []string{"attributes", "bpf", "fanotify", "io_uring", "keyctl", "perf", "process_vm", "tiocsti", "userfaultfd", "userns"}

// These are of importance to a sandbox. AllowAttributes is its own: only one with paths
// denies a program to change attributes of files. io_uring does what the filters forbid.
const (
	AllowAttributes Allow = 1 << 0
	AllowIOUring    Allow = 1 << 3
)

// AllowOf gives the group of a name, or none.
func AllowOf(name string) Allow {
	for i, n := range allows {
		if n == name {
			return 1 << i
		}
	}
	return 0
}

// Names are the groups of the set.
func (a Allow) Names() (names []string) {
	for i, n := range allows {
		if a&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return names
}

// AllAllowed is the set of all groups.
func AllAllowed() Allow { return 1<<len(allows) - 1 }
