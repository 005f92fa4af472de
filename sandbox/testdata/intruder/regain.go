package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const keep = ^uintptr(0) // -1: leave this id as it is

// ids are attempts by system calls that set ids. Each runs on several threads, because each thread
// has ids of its own.
var ids = []struct {
	name string
	trap uintptr
	args []uintptr
}{
	{"setuid", unix.SYS_SETUID, []uintptr{0}},
	{"setgid", unix.SYS_SETGID, []uintptr{0}},
	{"setreuid", unix.SYS_SETREUID, []uintptr{0, 0}},
	{"setreuid real", unix.SYS_SETREUID, []uintptr{0, keep}},
	{"setregid", unix.SYS_SETREGID, []uintptr{0, 0}},
	{"setresuid", unix.SYS_SETRESUID, []uintptr{0, 0, 0}},
	{"seteuid", unix.SYS_SETRESUID, []uintptr{keep, 0, keep}},
	{"saved uid", unix.SYS_SETRESUID, []uintptr{keep, keep, 0}},
	{"setresgid", unix.SYS_SETRESGID, []uintptr{0, 0, 0}},
	{"setegid", unix.SYS_SETRESGID, []uintptr{keep, 0, keep}},
	{"setgroups", unix.SYS_SETGROUPS, []uintptr{1, uintptr(unsafe.Pointer(new(uint32)))}},
	{"no groups", unix.SYS_SETGROUPS, []uintptr{0, 0}},
	{"keepcaps and setuid", unix.SYS_SETUID, []uintptr{0}},
	{"new privileges", unix.SYS_PRCTL, []uintptr{unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0}},
	{"securebits", unix.SYS_PRCTL, []uintptr{unix.PR_SET_SECUREBITS, 1, 0, 0, 0}},
	{"ambient", unix.SYS_PRCTL, []uintptr{unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SETUID, 0, 0}},
}

// others are attempts that concern the whole process.
var others = []struct {
	name string
	do   func(args []string) error
}{
	{"setfsuid", func([]string) error { return setFS(unix.SYS_SETFSUID) }},
	{"setfsgid", func([]string) error { return setFS(unix.SYS_SETFSGID) }},
	{"capset", capset},
	{"chroot", func([]string) error { return unix.Chroot("/") }},
	{"mount", func([]string) error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") }},
	{"umount", func([]string) error { return unix.Unmount("/proc", unix.MNT_DETACH) }},
	{"pivot_root", func([]string) error { return unix.PivotRoot("/", "/") }},
	{"mknod", func([]string) error { return unix.Mknod("/tmp/intruder-kmem", unix.S_IFCHR|0o600, 1<<8|2) }},
	{"shadow", func([]string) error { return try("r", "/etc/shadow") }},
	{"passwd", func([]string) error { return try("w", "/etc/passwd") }},
	{"core_pattern", func([]string) error { return try("w", "/proc/sys/kernel/core_pattern") }},
	{"dev mem", func([]string) error { return try("r", "/dev/mem") }},
	{"root's memory", func([]string) error { return try("w", "/proc/1/mem") }},
	{"root's namespace", func([]string) error { return joinNamespace("/proc/1/ns/user") }},
	{"root's root", func([]string) error { return unix.Chdir("/proc/1/root") }},
	{"ptrace root", func([]string) error { return unix.PtraceAttach(1) }},
	{"module", func([]string) error { return unix.InitModule([]byte("x"), "") }},
	{"hostname", func([]string) error { return unix.Sethostname([]byte("intruder")) }},
	{"clock", func([]string) error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) }},
	{"uid map of another", func([]string) error { return try("w", "/proc/1/uid_map") }},
	{"set-user-id program", func(a []string) error { return becomes(a[0], "0 ") }},
	{"set-group-id program", func(a []string) error { return becomes(a[1], " 0") }},
	{"file capabilities", func(a []string) error { return capable(a[2]) }},
	{"user namespace", userNamespace},
	{"a set-user-id file of root's", suidOfRoot},
	{"nice", func([]string) error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -20) }},
	{"hard limit", func([]string) error {
		var l unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			return err
		}
		l.Max++
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
	}},
}

// playWays prints the names of all attempts.
func playWays([]string) error {
	for _, w := range ids {
		fmt.Println(w.name)
	}
	for _, w := range others {
		fmt.Println(w.name)
	}
	return nil
}

// playRegain takes three programs made by root: set-user-ID, set-group-ID, and with file
// capabilities. A fourth argument names one attempt; without it all are made.
func playRegain(args []string) error {
	wanted := func(name string) bool { return len(args) < 4 || args[3] == name }
	for i := range 4 { // threads
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and ends it
			for _, w := range ids {
				if !wanted(w.name) {
					continue
				}
				if w.name == "keepcaps and setuid" {
					_ = call(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)
				}
				say(fmt.Sprintf("%s on thread %d", w.name, i), call(w.trap, w.args...))
			}
		}()
		<-done
	}
	for _, w := range others {
		if wanted(w.name) {
			say(w.name, w.do(args))
		}
	}
	return nil
}

// setFS compares ids, because the call returns the previous id and never an error.
func setFS(trap uintptr) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _, _ = unix.RawSyscall(trap, 0, 0, 0)
	if id, _, _ := unix.RawSyscall(trap, keep, 0, 0); id == 0 {
		return nil
	}
	return unix.EPERM
}

func capset([]string) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	for c := range 41 {
		var data [2]unix.CapUserData
		data[c/32] = unix.CapUserData{Effective: 1 << (c % 32), Permitted: 1 << (c % 32), Inheritable: 1 << (c % 32)}
		if unix.Capset(&hdr, &data[0]) == nil {
			return nil
		}
	}
	return unix.EPERM
}

func joinNamespace(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, unix.CLONE_NEWUSER)
}

// becomes runs a copy of the intruder and looks for root's id among the ids that it prints.
func becomes(program, id string) error {
	out, err := exec.Command(program, "whoami").Output()
	if err != nil {
		return err
	}
	if strings.Contains(" "+strings.TrimSpace(string(out))+" ", " "+strings.TrimSpace(id)+" ") {
		return nil
	}
	return unix.EPERM
}

// capable runs a copy with the file capability cap_setuid.
func capable(program string) error {
	out, err := exec.Command(program, "call", fmt.Sprint(unix.SYS_SETUID), "0").Output()
	if err != nil {
		return err
	}
	if string(out) == "call: ok\n" {
		return nil
	}
	return unix.EPERM
}

// userNamespace: root of a user namespace has no privilege outside of it.
func userNamespace([]string) error {
	cmd := exec.Command("/proc/self/exe", "files", "r", "/etc/shadow")
	cmd.SysProcAttr = rootOfOurOwn()
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	if strings.HasSuffix(strings.TrimSpace(string(out)), ": ok") {
		return nil
	}
	return unix.EPERM
}

func suidOfRoot([]string) error {
	f, err := os.CreateTemp("", "intruder-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Chown(0, 0); err != nil {
		return err
	}
	return f.Chmod(0o4755)
}
