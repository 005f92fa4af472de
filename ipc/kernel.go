package ipc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// PidfdsSuffice says whether the running kernel's pidfds tell the exit status of
// a process that is no child of the asker (PIDFD_GET_INFO with PIDFD_INFO_EXIT,
// Linux 6.15) and signal its process group (PIDFD_SIGNAL_PROCESS_GROUP, 6.9).
// Where they do not, the spawner does both on request.
func PidfdsSuffice() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	return releaseAtLeast(unix.ByteSliceToString(u.Release[:]), 6, 15)
}

// releaseAtLeast compares a release such as "6.1.0-18-amd64".
func releaseAtLeast(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}
