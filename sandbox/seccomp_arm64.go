package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	foreign   = 0 // there is no second set of numbers
)

// settingLimits are all numbers of prlimit64.
var settingLimits = []struct{ arch, call uint32 }{
	{auditArch, unix.SYS_PRLIMIT64},
	{unix.AUDIT_ARCH_ARM, 369},
}

// statOfArch are the calls that examine a file by name.
var statOfArch = []line{{unix.SYS_FSTATAT, allow, nil}}

// ofArch are the lines for calls that only arm64 has, or that have another name here.
var ofArch = []line{
	{unix.SYS_KEXEC_FILE_LOAD, kill, nil},
}
