package ipc

// Allow is a set of groups of system calls that a program may make although an ordinary
// one never does.
type Allow uint16

// allows are the names of the groups, each at the place of its bit. Package sandbox knows
// the calls.
var allows = []string{"bpf", "fanotify", "io_uring", "keyctl", "perf", "process_vm", "tiocsti", "userfaultfd", "userns"}

// AllowIOUring is of importance to a sandbox: io_uring does what the filters forbid.
const AllowIOUring Allow = 1 << 2

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
