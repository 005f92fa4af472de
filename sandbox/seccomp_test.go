//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSealedRuntime: the Go runtime has all calls that it needs. Every thread has the filter, later
// ones too.
func TestSealedRuntime(t *testing.T) {
	said, state := sealed(t, here(t), "exercise")
	if said["exercise"] != "ok" {
		t.Errorf("%v: %v", state, said)
	}
	said, _ = sealed(t, here(t), "threads")
	if here(t).Has(Seccomp) {
		wantAll(t, said, map[string]string{"setpriority": "EPERM"})
	}
	if said, _ := sealed(t, 0, "threads"); said["setpriority"] != "ok" {
		t.Errorf("not sealed: %v", said)
	}
}

// TestIntruders: each call that only an intruder makes ends the process.
func TestIntruders(t *testing.T) {
	if !here(t).Has(Seccomp) {
		if _, _, err := Choose(Auto); err == nil || !strings.Contains(err.Error(), "seccomp") {
			t.Errorf("without seccomp: %v", err)
		}
		return
	}
	for _, l := range append(killed(intruders), ofArch...) {
		if l.do != kill {
			continue
		}
		if said, state := sealed(t, Seccomp, "call", fmt.Sprint(l.call)); !killedBySIGSYS(state) {
			t.Errorf("system call %d: %v, %v", l.call, state, said)
		}
	}
}

// TestArguments: some calls are allowed for certain arguments only.
func TestArguments(t *testing.T) {
	if !here(t).Has(Seccomp) {
		return // TestIntruders tests kernels without filters
	}
	const dies = "SIGSYS"
	hex := func(n int) string { return fmt.Sprintf("%#x", n) }
	null := "0"
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"fork", []string{hex(unix.SYS_CLONE), hex(int(unix.SIGCHLD))}, dies},
		{"vfork", []string{hex(unix.SYS_CLONE), hex(unix.CLONE_VM | unix.CLONE_VFORK | int(unix.SIGCHLD))}, dies},
		{"a namespace", []string{hex(unix.SYS_CLONE), hex(goThread | unix.CLONE_NEWUSER)}, dies},
		{"clone3", []string{hex(unix.SYS_CLONE3), null, null}, "ENOSYS"},
		{"executable memory", []string{hex(unix.SYS_MMAP), null, "4096", hex(unix.PROT_READ | unix.PROT_EXEC), hex(unix.MAP_PRIVATE | unix.MAP_ANON), "0xffffffffffffffff", null}, dies},
		{"memory", []string{hex(unix.SYS_MMAP), null, "4096", hex(unix.PROT_READ | unix.PROT_WRITE), hex(unix.MAP_PRIVATE | unix.MAP_ANON), "0xffffffffffffffff", null}, "ok"},
		{"signal to init", []string{hex(unix.SYS_TGKILL), "1", "1", null}, "EPERM"},
		{"signal to oneself", []string{hex(unix.SYS_KILL), "self", null}, "ok"},
		{"signal to all", []string{hex(unix.SYS_KILL), "0xffffffffffffffff", null}, "EPERM"},
		{"to be dumpable", []string{hex(unix.SYS_PRCTL), hex(unix.PR_SET_DUMPABLE), "1"}, "EPERM"},
		{"not to be dumpable", []string{hex(unix.SYS_PRCTL), hex(unix.PR_SET_DUMPABLE), null}, "ok"},
		{"a long zero", []string{hex(unix.SYS_PRCTL), hex(unix.PR_SET_DUMPABLE), "0x100000000"}, "EPERM"},
		{"death signal", []string{hex(unix.SYS_PRCTL), hex(unix.PR_SET_PDEATHSIG), null}, "EPERM"},
		{"limit", []string{hex(unix.SYS_PRLIMIT64), null, hex(unix.RLIMIT_NOFILE), "0x100000000", null}, "EPERM"},
		{"look at a limit", []string{hex(unix.SYS_PRLIMIT64), null, hex(unix.RLIMIT_NOFILE), null, null}, "ok"},
		{"terminal input", []string{hex(unix.SYS_IOCTL), null, hex(unix.TIOCSTI), null}, "EPERM"},
		{"the same, wide", []string{hex(unix.SYS_IOCTL), null, fmt.Sprintf("%#x", 1<<40|unix.TIOCSTI), null}, "EPERM"},
		{"a file to read", []string{hex(unix.SYS_OPENAT), null, null, null}, "EFAULT"},
		{"a file to write", []string{hex(unix.SYS_OPENAT), null, null, hex(unix.O_WRONLY)}, "EPERM"},
		{"a terminal", []string{hex(unix.SYS_OPENAT), null, null, hex(unix.O_RDWR | unix.O_NOCTTY)}, "EPERM"},
		{"a new file", []string{hex(unix.SYS_OPENAT), null, null, hex(unix.O_CREAT)}, "EPERM"},
		{"unlock a terminal", []string{hex(unix.SYS_IOCTL), null, hex(unix.TIOCSPTLCK), null}, "EPERM"},
		{"owner of a descriptor", []string{hex(unix.SYS_FCNTL), null, hex(unix.F_SETOWN), "1"}, "EPERM"},
		{"size of a pipe", []string{hex(unix.SYS_FCNTL), null, hex(unix.F_SETPIPE_SZ), "4096"}, "EBADF"},
		{"flags of a descriptor", []string{hex(unix.SYS_FCNTL), null, hex(unix.F_GETFD), null}, "ok"},
		{"renice", []string{hex(unix.SYS_SETPRIORITY), null, null, null}, "EPERM"},
		{"no such call", []string{"0x3ffff"}, "EPERM"},
	} {
		said, state := sealed(t, Seccomp, append([]string{"call"}, tt.args...)...)
		got := said["call"]
		if killedBySIGSYS(state) {
			got = dies
		}
		if got != tt.want {
			t.Errorf("%s: %q, %v; want %s", tt.name, got, state, tt.want)
		}
	}
	if foreign != 0 {
		call := fmt.Sprint(foreign | unix.SYS_GETPID)
		if said, state := sealed(t, Seccomp, "call", call); !killedBySIGSYS(state) {
			t.Errorf("a call by other numbers: %v, %v", state, said)
		}
	}
}

// TestFilterOfPrograms: a program can set its own limits, and no other process's.
func TestFilterOfPrograms(t *testing.T) {
	want := map[string]string{"look at own": "ok", "set own": "ok", "set parent's": "EPERM"}
	said, _ := inStage(t, Recipe{FilterPrograms: here(t).Has(Seccomp)}, "limits")
	if target().UID == 65534 || here(t).Has(Seccomp) { // otherwise the parent is the same user
		wantAll(t, said, want)
	}
}

// TestAssemble: some tables make no filter.
func TestAssemble(t *testing.T) {
	many := make([]uint64, 300)
	for _, table := range [][]line{
		{{1, allow, nil}, {2, allow, nil}, {1, kill, nil}},
		{{1, allow, is(0, many...)}},
		{{1, allow, []cond{{0, 1<<64 - 1, []uint64{1, 1 << 32}}}}},
	} {
		if p, err := assemble(table, deny); err == nil {
			t.Errorf("%v is a filter of %d instructions", table, len(p))
		}
	}
}

// TestTable: a line that can never be reached is a mistake.
func TestTable(t *testing.T) {
	for _, table := range [][]line{childTable(1), relayTable(1)} {
		last := map[uintptr]bool{} // calls with an unconditional line
		for _, l := range table {
			if last[l.call] {
				t.Errorf("system call %d has a line behind one without conditions", l.call)
			}
			last[l.call] = l.when == nil
		}
	}
}

// TestRelayIsConfined: filter and Landlock allow the relay less than the child.
func TestRelayIsConfined(t *testing.T) {
	parts := here(t)
	if parts.Has(Seccomp) {
		said, _ := sealedRelay(t, parts, "threads")
		wantAll(t, said, map[string]string{"setpriority": "EPERM"})
		for _, call := range []uintptr{
			unix.SYS_OPENAT, unix.SYS_GETDENTS64, unix.SYS_PIPE2, unix.SYS_MEMFD_CREATE, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_FCHMOD,
			unix.SYS_IOCTL, unix.SYS_INOTIFY_INIT1, unix.SYS_PWRITE64, unix.SYS_SETSOCKOPT, unix.SYS_DUP3, unix.SYS_SENDTO,
		} {
			if said, state := sealedRelay(t, parts, "call", fmt.Sprint(call)); said["call"] != "EPERM" {
				t.Errorf("system call %d: %v, %v", call, state, said)
			}
		}
		for _, call := range intruders {
			if said, state := sealedRelay(t, parts, "call", fmt.Sprint(call)); !killedBySIGSYS(state) {
				t.Errorf("system call %d: %v, %v", call, state, said)
			}
		}
	}
	if parts &^= Seccomp; parts.Has(Files) {
		said, _ := sealedRelay(t, parts, "files", "r", "/etc/passwd", "r", "/proc/self/stat", "d", "/", "w", "/dev/null", "x", "/bin/true")
		wantAll(t, said, map[string]string{"r passwd": "EACCES", "r stat": "EACCES", "d /": "EACCES", "w null": "EACCES", "x true": "EACCES"})
	}
	if parts.Has(TCP) {
		said, _ := sealedRelay(t, parts, "net", "127.0.0.1:1")
		wantAll(t, said, map[string]string{"tcp": "EACCES", "bind": "EACCES"})
	}
}

// TestDeniedGroups: the child's table allows no call of the forbidden groups.
func TestDeniedGroups(t *testing.T) {
	if !here(t).Has(Seccomp) {
		return // TestIntruders tests kernels without filters
	}
	for group, calls := range map[string][][]uintptr{
		"forks":           {{unix.SYS_CLONE, uintptr(unix.SIGCHLD)}, {unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_VFORK | uintptr(unix.SIGCHLD)}},
		"executes":        {{unix.SYS_EXECVE}, {unix.SYS_EXECVEAT}},
		"makes sockets":   {{unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM}, {unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM}, {unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM}, {unix.SYS_CONNECT}, {unix.SYS_BIND}, {unix.SYS_LISTEN}, {unix.SYS_ACCEPT}, {unix.SYS_ACCEPT4}},
		"traces":          {{unix.SYS_PTRACE, unix.PTRACE_TRACEME}, {unix.SYS_PROCESS_VM_READV}, {unix.SYS_PROCESS_VM_WRITEV}, {unix.SYS_KCMP}},
		"mounts":          {{unix.SYS_MOUNT}, {unix.SYS_UMOUNT2}, {unix.SYS_MOVE_MOUNT}, {unix.SYS_FSOPEN}, {unix.SYS_FSMOUNT}, {unix.SYS_OPEN_TREE}, {unix.SYS_PIVOT_ROOT}, {unix.SYS_CHROOT}},
		"uses io_uring":   {{unix.SYS_IO_URING_SETUP}, {unix.SYS_IO_URING_ENTER}, {unix.SYS_IO_URING_REGISTER}},
		"has namespaces":  {{unix.SYS_UNSHARE, unix.CLONE_NEWUSER}, {unix.SYS_SETNS}, {unix.SYS_CLONE, goThread | unix.CLONE_NEWNET}},
		"takes from":      {{unix.SYS_PIDFD_OPEN, 1}, {unix.SYS_PIDFD_GETFD}},
		"sets ids":        {{unix.SYS_SETRESUID}, {unix.SYS_SETRESGID}, {unix.SYS_SETGROUPS}, {unix.SYS_CAPSET}},
		"has its code":    {{unix.SYS_MPROTECT}, {unix.SYS_MMAP, 0, 4096, unix.PROT_EXEC, unix.MAP_PRIVATE | unix.MAP_ANON}},
		"reaches wide":    {{unix.SYS_BPF}, {unix.SYS_PERF_EVENT_OPEN}, {unix.SYS_USERFAULTFD}, {unix.SYS_KEYCTL}, {unix.SYS_KEXEC_LOAD}, {unix.SYS_FINIT_MODULE}},
		"filters further": {{unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER}},
	} {
		for _, call := range calls {
			var args []string
			for _, a := range call {
				args = append(args, fmt.Sprint(a))
			}
			if said, state := sealed(t, Seccomp, append([]string{"call"}, args...)...); !killedBySIGSYS(state) {
				t.Errorf("the child %s by system call %d: %v, %v", group, call[0], state, said)
			}
		}
	}
}
