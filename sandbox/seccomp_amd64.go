package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	foreign   = 0x40000000 // __X32_SYSCALL_BIT: a second set of numbers for the same calls
)

// settingLimits are all numbers of prlimit64. A 64-bit program can use the 32-bit number too, with
// int $0x80.
var settingLimits = []struct{ arch, call uint32 }{
	{auditArch, unix.SYS_PRLIMIT64},
	{auditArch, foreign | unix.SYS_PRLIMIT64},
	{unix.AUDIT_ARCH_I386, 340},
}

// statOfArch are the calls that examine a file by name.
var statOfArch = []line{{unix.SYS_NEWFSTATAT, allow, nil}}

// ofArch are the lines for calls that only amd64 has, or that have another name here.
var ofArch = []line{
	{unix.SYS_EPOLL_WAIT, allow, nil},
	{unix.SYS_POLL, allow, nil},
	{unix.SYS_FORK, kill, nil},
	{unix.SYS_VFORK, kill, nil},
	{unix.SYS_MODIFY_LDT, kill, nil},
	{unix.SYS_IOPL, kill, nil},
	{unix.SYS_IOPERM, kill, nil},
	{unix.SYS_KEXEC_FILE_LOAD, kill, nil},
}
