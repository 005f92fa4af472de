package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func rootOfOurOwn() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// playVictim waits to be attacked, and ends with its input. It listens on an abstract socket, and
// prints its pid and the address of a piece of its memory.
func playVictim([]string) error {
	l, err := net.Listen("unix", abstract(os.Getpid()))
	if err != nil {
		return err
	}
	defer l.Close()
	canary := make([]byte, 64)
	fmt.Printf("%d %#x\n", os.Getpid(), uintptr(unsafe.Pointer(&canary[0])))
	_, err = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(&canary)
	return err
}

func abstract(pid int) string { return fmt.Sprintf("@intruder-victim-%d", pid) }

type target struct {
	pid     int
	address uintptr // readable, if it is known
}

func parseTarget(s string) (t target, err error) {
	pid, address, _ := strings.Cut(s, " ")
	if t.pid, err = strconv.Atoi(pid); err != nil || address == "" {
		return t, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(address), 0, 64)
	t.address = uintptr(n)
	return t, err
}

var attacks = []struct {
	name string
	do   func(target) error
}{
	{"ptrace", ptrace},
	{"seize", func(t target) error { return call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(t.pid)) }},
	{"mem", func(t target) error { return try("w", t.proc("mem")) }},
	{"maps", func(t target) error { return read(t.proc("maps")) }},
	{"environ", func(t target) error { return read(t.proc("environ")) }},
	{"pidfd_getfd", pidfdGetfd},
	{"fd links", func(t target) error { _, err := os.Readlink(t.proc("fd/0")); return err }},
	{"fd", func(t target) error { return try("r", t.proc("fd/0")) }},
	{"kill", func(t target) error { return unix.Kill(t.pid, 0) }},
	{"SIGCONT", func(t target) error { return unix.Kill(t.pid, unix.SIGCONT) }},
	{"tgkill", func(t target) error { return unix.Tgkill(t.pid, t.pid, unix.SIGCONT) }},
	{"pidfd_send_signal", pidfdSignal},
	{"core", func(t target) error {
		return unix.Prlimit(t.pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 0}, nil)
	}},
	{"process_vm_readv", func(t target) error { return vm(t, unix.ProcessVMReadv) }},
	{"process_vm_writev", func(t target) error { return vm(t, unix.ProcessVMWritev) }},
	{"kcmp", func(t target) error { return call(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(t.pid), 0, 0, 0) }},
	{"abstract socket", func(t target) error { return dial("unix", abstract(t.pid)) }},
}

// playAttack attacks each target, "PID" or "PID ADDRESS"; "own" is a victim that it starts itself.
func playAttack(args []string) error {
	for _, a := range args {
		own := a == "own"
		if own {
			v := exec.Command("/proc/self/exe", "victim")
			in, err := v.StdinPipe()
			if err != nil {
				return err
			}
			out, err := v.StdoutPipe()
			if err != nil {
				return err
			}
			if err := v.Start(); err != nil {
				return err
			}
			line := make([]byte, 100)
			n, err := out.Read(line)
			if err != nil {
				return err
			}
			a = string(line[:n])
			defer func() {
				_ = in.Close()
				_ = v.Wait()
			}()
		}
		t, err := parseTarget(a)
		if err != nil {
			return err
		}
		for _, attack := range attacks {
			say(attack.name, attack.do(t))
		}
	}
	return nil
}

func (t target) proc(name string) string { return fmt.Sprintf("/proc/%d/%s", t.pid, name) }

func read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 16))
	if err == io.EOF {
		return nil
	}
	return err
}

func ptrace(t target) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PtraceAttach(t.pid); err != nil {
		return err
	}
	if _, err := unix.Wait4(t.pid, nil, unix.WALL, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(t.pid)
}

func pidfdGetfd(t target) error {
	pidfd, err := unix.PidfdOpen(t.pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, 0, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func pidfdSignal(t target) error {
	pidfd, err := unix.PidfdOpen(t.pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	return unix.PidfdSendSignal(pidfd, unix.SIGCONT, nil, 0)
}

func vm(t target, do func(int, []unix.Iovec, []unix.RemoteIovec, uint) (int, error)) error {
	buf := make([]byte, 8)
	iov := unix.Iovec{Base: &buf[0]}
	iov.SetLen(len(buf))
	_, err := do(t.pid, []unix.Iovec{iov}, []unix.RemoteIovec{{Base: t.address, Len: len(buf)}}, 0)
	return err
}

// playLimits sets a limit of its own, and one of its parent.
func playLimits([]string) error {
	var l unix.Rlimit
	for _, p := range []struct {
		name string
		pid  int
	}{{"own", 0}, {"parent's", os.Getppid()}} {
		err := unix.Prlimit(p.pid, unix.RLIMIT_CORE, nil, &l)
		say("look at "+p.name, err)
		say("set "+p.name, unix.Prlimit(p.pid, unix.RLIMIT_CORE, &l, nil))
	}
	return nil
}
