//go:build amd64 || arm64

package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// The system calls of the child and the relay. They come from traces of all suites (HACKING.md,
// "The child's system calls") and the sources of the Go runtime. Calls that are not in the table
// are denied with EPERM: a newer Go runtime may try a call and do without it. Calls that only an
// intruder makes end the process, so that erluv_main notices.

const (
	// goThread are the flags with which the Go runtime makes a thread (runtime/os_linux.go,
	// cloneFlags). goThreadTLS is the flag that it may add.
	goThread    = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
	goThreadTLS = unix.CLONE_SETTLS

	// changing are the flags of openat(2) that can make, empty or write a file.
	changing = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY

	// pidfdInfoBits are the bits of PIDFD_GET_INFO without its size, which grows.
	pidfdInfoBits = 0xFFFF
	pidfdInfo     = 0xFF0B
)

// runtimeTable has the calls that the Go runtime and package os make in any role, and those that
// end the process. The process is pid.
func runtimeTable(pid uint64) []line {
	table := []line{
		// Threads of the Go runtime.
		{unix.SYS_CLONE, allow, exactly(0, goThread, goThreadTLS)},
		{unix.SYS_CLONE, kill, nil},              // a fork
		{unix.SYS_CLONE3, unmet, nil},            // its flags lie in memory, where no filter sees them
		{unix.SYS_FUTEX, allow, nil},             // locks, and sleep of idle threads
		{unix.SYS_NANOSLEEP, allow, nil},         // sysmon
		{unix.SYS_SCHED_YIELD, allow, nil},       // spinning, full pipes
		{unix.SYS_SCHED_GETAFFINITY, allow, nil}, // GOMAXPROCS is looked at again and again
		{unix.SYS_GETTID, allow, nil},            //
		{unix.SYS_GETPID, allow, nil},            //
		{unix.SYS_EXIT, allow, nil},              // of a thread
		{unix.SYS_EXIT_GROUP, allow, nil},        // of the process
		{unix.SYS_RESTART_SYSCALL, allow, nil},   // the kernel's own, after SIGCONT
		{unix.SYS_CLOCK_GETTIME, allow, nil},     // where the vDSO cannot
		{unix.SYS_GETRANDOM, allow, nil},         // hashes of maps

		// Memory: never executable, so no code but the binary's.
		{unix.SYS_MMAP, allow, without(2, unix.PROT_EXEC)},
		{unix.SYS_MMAP, kill, nil},
		{unix.SYS_MUNMAP, allow, nil},
		{unix.SYS_MADVISE, allow, nil}, // memory given back, the journal's too
		{unix.SYS_MINCORE, allow, nil}, // looks for the page size
		{unix.SYS_MPROTECT, kill, nil}, //
		{unix.SYS_MREMAP, kill, nil},   //
		{unix.SYS_PKEY_MPROTECT, kill, nil},

		// Signals. The runtime interrupts its own threads.
		{unix.SYS_RT_SIGACTION, allow, nil},
		{unix.SYS_RT_SIGPROCMASK, allow, nil},
		{unix.SYS_RT_SIGRETURN, allow, nil},
		{unix.SYS_SIGALTSTACK, allow, nil},
		{unix.SYS_TGKILL, allow, is(0, pid)},
		{unix.SYS_KILL, allow, is(0, pid)}, // a crash, after its stack dump

		// Waiting.
		{unix.SYS_EPOLL_CREATE1, allow, nil},
		{unix.SYS_EPOLL_CTL, allow, nil},
		{unix.SYS_EPOLL_PWAIT, allow, nil},
		{unix.SYS_PPOLL, allow, nil},
		{unix.SYS_EVENTFD2, allow, nil},

		// Open descriptors: streams, conversations, shared memory.
		{unix.SYS_READ, allow, nil},
		{unix.SYS_WRITE, allow, nil},
		{unix.SYS_PREAD64, allow, nil},
		{unix.SYS_CLOSE, allow, nil},
		{unix.SYS_RECVMSG, allow, nil},
		{unix.SYS_SENDMSG, allow, nil},
		{unix.SYS_SHUTDOWN, allow, nil},
		{unix.SYS_GETSOCKOPT, allow, nil},
		{unix.SYS_FSTAT, allow, nil},

		// The process.
		{unix.SYS_PRLIMIT64, allow, isNull(2)}, // only to look
		{unix.SYS_GETRLIMIT, allow, nil},
		{unix.SYS_PRCTL, allow, is(0, unix.PR_GET_DUMPABLE, unix.PR_GET_NO_NEW_PRIVS, unix.PR_GET_SECCOMP, unix.PR_SET_NAME, unix.PR_SET_VMA)},
		{unix.SYS_PRCTL, allow, append(is(0, unix.PR_SET_DUMPABLE), isNull(1)...)}, // and no way back
	}
	return append(append(table, ofArch...), killed(intruders)...)
}

// childTable is the table of the child, the process pid.
func childTable(pid uint64) []line {
	return append(append([]line{
		{unix.SYS_PIDFD_SEND_SIGNAL, allow, nil}, // programs; Landlock's scope protects all others
		{unix.SYS_PWRITE64, allow, nil},
		{unix.SYS_PIPE2, allow, nil},        // of programs
		{unix.SYS_MEMFD_CREATE, allow, nil}, // requests larger than a packet, programs in memory
		{unix.SYS_FTRUNCATE, allow, nil},    //
		{unix.SYS_FALLOCATE, allow, nil},    // memory of the journal given back
		// fchmod lets a program of another user reopen its pipe. The child could change its own
		// files by a program in any case.
		{unix.SYS_FCHMOD, allow, is(1, 0o666)},
		{unix.SYS_FCNTL, allow, is(1, unix.F_GETFL, unix.F_SETFL, unix.F_GETFD, unix.F_SETFD, unix.F_DUPFD_CLOEXEC, unix.F_SETPIPE_SZ,
			unix.F_ADD_SEALS)}, // the last makes a program in memory unchangeable
		{unix.SYS_IOCTL, allow, is(1, unix.TIOCINQ, unix.TIOCSWINSZ, unix.TCGETS)},
		{unix.SYS_IOCTL, allow, []cond{{1, pidfdInfoBits, []uint64{pidfdInfo}}}}, // exit statuses

		// Files: /proc of programs, directories that are watched.
		{unix.SYS_OPENAT, allow, without(2, changing)},
		{unix.SYS_GETDENTS64, allow, nil},
		{unix.SYS_INOTIFY_INIT1, allow, nil},
		{unix.SYS_INOTIFY_ADD_WATCH, allow, nil},
		{unix.SYS_INOTIFY_RM_WATCH, allow, nil},

		{unix.SYS_CAPGET, allow, nil}, // info
		{unix.SYS_STATFS, allow, nil}, // the space of file systems; it opens nothing
	}, statOfArch...), runtimeTable(pid)...)
}

// relayTable is the table of the relay, the process pid: it opens no file, signals no other
// process, and makes no socket.
func relayTable(pid uint64) []line {
	return append([]line{
		{unix.SYS_FCNTL, allow, is(1, unix.F_GETFL, unix.F_SETFL, unix.F_GETFD, unix.F_SETFD)},
	}, runtimeTable(pid)...)
}

// pageTable is the table of the page, the process pid. Of network calls it has only those that
// accept and serve connections of a socket that listens already.
func pageTable(pid uint64) []line {
	return append([]line{
		{unix.SYS_FCNTL, allow, is(1, unix.F_GETFL, unix.F_SETFL, unix.F_GETFD, unix.F_SETFD, unix.F_DUPFD_CLOEXEC)},
		{unix.SYS_ACCEPT4, allow, nil},
		{unix.SYS_GETSOCKNAME, allow, nil},
		{unix.SYS_GETPEERNAME, allow, nil},
		{unix.SYS_SETSOCKOPT, allow, nil},
	}, slices.DeleteFunc(runtimeTable(pid), func(l line) bool { return l.call == unix.SYS_ACCEPT4 })...)
}

func killed(calls []uintptr) (lines []line) {
	for _, call := range calls {
		lines = append(lines, line{call, kill, nil})
	}
	return lines
}

// intruders are the calls that end the process. Each would be the next step of an attacker that has
// taken the process over.
var intruders = []uintptr{
	// other programs
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	// new connections
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4,
	// other processes: their memory, their descriptors
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE,
	unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	// system calls past the filter
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_SECCOMP,
	// other views of the machine
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
	unix.SYS_MOUNT_SETATTR, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
	// other ids and privileges
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET, unix.SYS_PERSONALITY,
	// the kernel's wide surface
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG,
}
