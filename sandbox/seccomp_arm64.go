package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	foreign   = 0 // there is no second set of numbers
)

// settingLimits is prlimit64 by the numbers of all that can be called.
var settingLimits = []struct{ arch, call uint32 }{
	{auditArch, unix.SYS_PRLIMIT64},
	{unix.AUDIT_ARCH_ARM, 369},
}

// statOfArch are the calls that look at a file by its name.
var statOfArch = []line{{unix.SYS_FSTATAT, allow, nil}}

// ofArch are the lines of calls that only arm64 has, or by another name.
var ofArch = []line{
	{unix.SYS_KEXEC_FILE_LOAD, kill, nil},
}
