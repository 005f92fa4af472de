package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	foreign   = 0x40000000 // __X32_SYSCALL_BIT: the same calls by other numbers
)

// settingLimits is prlimit64 by the numbers of all that can be called: also by a
// program of 64 bits, with int $0x80.
var settingLimits = []struct{ arch, call uint32 }{
	{auditArch, unix.SYS_PRLIMIT64},
	{auditArch, foreign | unix.SYS_PRLIMIT64},
	{unix.AUDIT_ARCH_I386, 340},
}

// statOfArch are the calls that look at a file by its name.
var statOfArch = []line{{unix.SYS_NEWFSTATAT, allow, nil}}

// ofArch are the lines of calls that only amd64 has, or by another name.
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
