package ipc

// Allow is a set of groups of system calls that a program may make. Other programs are denied them.
type Allow uint16

// allows are the names of the groups, in the order of their bits. Package sandbox has the calls of
// each.
var allows = []string{"attributes", "bpf", "fanotify", "io_uring", "keyctl", "perf", "process_vm", "tiocsti", "userfaultfd", "userns"}

// Sandboxes treat these differently. Only a sandbox with paths denies a program changes of files'
// attributes, and AllowAttributes permits them. io_uring can do everything that the filters forbid.
const (
	AllowAttributes Allow = 1 << 0
	AllowIOUring    Allow = 1 << 3
)

// AllowOf returns the group of a name, or 0.
func AllowOf(name string) Allow {
	for i, n := range allows {
		if n == name {
			return 1 << i
		}
	}
	return 0
}

// Names returns the names of the groups in the set.
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
