package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	foreign   = 0 // there is no second set of numbers
)

// ofArch are the lines of calls that only arm64 has, or by another name.
var ofArch = []line{
	{unix.SYS_FSTATAT, allow, nil}, // kinds of files that are watched
	{unix.SYS_KEXEC_FILE_LOAD, kill, nil},
}
