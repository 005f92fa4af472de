package workers

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSenderOf checks the sender that the kernel reports, and that descriptors in a message are
// closed.
func TestSenderOf(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	if err := unix.SetsockoptInt(p[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		t.Fatal(err)
	}
	passes := unix.SetsockoptInt(p[0], unix.SOL_SOCKET, unix.SO_PASSPIDFD, 1) == nil
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	fds := make([]int, 253) // SCM_MAX_FD
	for i := range fds {
		fds[i] = pipe[1]
	}
	if err := unix.Sendmsg(p[1], []byte("x"), unix.UnixRights(fds...), nil, 0); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(pipe[1])
	var buf [8]byte
	var oob [maxControl]byte
	_, n, flags, _, err := unix.Recvmsg(p[0], buf[:], oob[:], unix.MSG_CMSG_CLOEXEC)
	if err != nil || flags&unix.MSG_CTRUNC != 0 {
		t.Fatalf("flags %#x, %v", flags, err)
	}
	from := senderOf(oob[:n])
	if from.pid != uint32(os.Getpid()) || (from.pidfd >= 0) != passes {
		t.Errorf("%+v, pidfds: %v", from, passes)
	}
	if from.pidfd >= 0 {
		_ = unix.Close(from.pidfd)
	}
	if n, err := unix.Read(pipe[0], buf[:]); n != 0 || err != nil {
		t.Errorf("the descriptors are open: %d, %v", n, err)
	}
	if got := senderOf([]byte{1, 2, 3}); got != (sender{pidfd: -1}) {
		t.Errorf("of junk: %+v", got)
	}
}

// TestDescends checks a child, a child in its own session, and unrelated processes.
func TestDescends(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, self := uint32(cmd.Process.Pid), uint32(os.Getpid())
	for name, tt := range map[string]struct {
		pid, from uint32
		want      bool
	}{
		"a child in another session": {pid, self, true},
		"its own session":            {pid, pid, true},
		"the parent":                 {self, pid, false},
		"another":                    {pid, pid + 1, false},
		"init":                       {1, self, false},
	} {
		if got := descends(tt.pid, tt.from); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if descends(pid, self) {
		t.Error("one that has ended")
	}
}
