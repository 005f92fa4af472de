package ipc

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PidfdsSuffice reports whether the kernel's pidfds can do two things. They must tell the exit
// status of another process's child (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15). They must
// also signal a process group (PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9). Otherwise the spawner does
// both for the child.
//
// It tries both calls too, because systems such as gVisor report a release that does not match
// their abilities.
func PidfdsSuffice() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil || !releaseAtLeast(unix.ByteSliceToString(u.Release[:]), 6, 15) {
		return false
	}
	self, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(self)
	var info [64]byte // struct pidfd_info, of its first size, with an empty mask
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(self), PidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	err = unix.PidfdSendSignal(self, 0, nil, PidfdSignalProcessGroup)
	return e == 0 && !errors.Is(err, unix.EINVAL)
}

// Constants of linux/pidfd.h, see pidfd_send_signal(2).
const (
	// PidfdGetInfo is PIDFD_GET_INFO with the first version of its struct (Linux 6.13).
	PidfdGetInfo = 0xC040FF0B

	// PidfdSignalProcessGroup is PIDFD_SIGNAL_PROCESS_GROUP (Linux 6.9). The kernel uses the
	// leader's identity, not its number. So after the leader's end the signal reaches the right
	// group, or none.
	PidfdSignalProcessGroup = 1 << 2
)

// releaseAtLeast compares a release such as "6.1.0-18-amd64".
func releaseAtLeast(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}
