package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait for an event that takes milliseconds.
const patience = 2 * time.Minute

// erluv returns the command, with a home directory and environment of its own.
func erluv(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("erluv", args...)
	home := t.TempDir()
	cmd.Dir = home
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TEST_STATE=" + home + "/state", quickExit}, env...)
	return cmd
}

// state reads the file that pretend has written.
func state(t *testing.T, cmd *exec.Cmd) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(cmd.Dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	for line := range strings.Lines(string(content)) {
		name, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = v
	}
	return values
}

// The cookie is given in both ways, and is nowhere visible once erluv is at work.
func TestCookieIsNotInSight(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := erluv(t, []string{"ERLUV_COOKIE=s3cret-env", "OTHER=stays"},
		"ping", "--cookie", "s3cret-args", "--node=a@vm", "--address", l.Addr().String(), "--config", "none")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // it fails: no node answered
	defer cmd.Process.Kill()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept() // erluv has read the configuration
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	proc := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
	for file, still := range map[string]string{"cmdline": "--node=a@vm", "environ": "OTHER=stays", "comm": "erluv"} {
		content, err := os.ReadFile(proc + file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "s3cret") {
			t.Errorf("the cookie is in %s: %q", file, content)
		}
		if !strings.Contains(string(content), still) {
			t.Errorf("%s is %q, and has no %s", file, content, still)
		}
	}
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, _ := os.Readlink(proc + "fd/" + fd.Name()); strings.Contains(target, "memfd") {
			t.Errorf("descriptor %s is still %s", fd.Name(), target)
		}
	}
}

// A descriptor that does not come from seal is refused, even with valid contents.
func TestHandoverIsChecked(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(`{"Args":{"node":"x@y"}}`); err != nil {
		t.Fatal(err)
	}
	cmd := erluv(t, nil, "ping", "--handover", "3")
	cmd.ExtraFiles = []*os.File{f}
	out, err := cmd.CombinedOutput()
	if status := exitCode(t, err); status != 2 || !strings.Contains(string(out), "is for erluv itself") {
		t.Errorf("status %d, %s", status, out)
	}
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

func TestDaemon(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := erluv(t, []string{"TEST_SERVE=up", "ERLUV_COOKIE=s3cret"}, "--detach", "--node", "a@vm")
	cmd.Stderr = log
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	got := state(t, cmd)
	daemon := hold(t, got["pid"])
	for name, want := range map[string]string{
		"sid": got["pid"], "cwd": "/", "stdin": "/dev/null", "stderr": log.Name(), "node": "a@vm", "cookie": "s3cret",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	cmdline, err := os.ReadFile("/proc/" + got["pid"] + "/cmdline")
	if err != nil || strings.Contains(string(cmdline), "s3cret") {
		t.Errorf("command line %q, %v", cmdline, err)
	}
	daemon.end(t)
}

// A daemon leaves the terminal. Otherwise its log would mix with other output, and the terminal
// would stay in use.
func TestDaemonLeavesTheTerminal(t *testing.T) {
	terminal := openTerminal(t)
	cmd := erluv(t, []string{"TEST_SERVE=up", "ERLUV_COOKIE=s3cret"}, "--detach", "--node", "a@vm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	got := state(t, cmd)
	daemon := hold(t, got["pid"])
	if got["stderr"] != "/dev/null" || got["stdin"] != "/dev/null" {
		t.Errorf("standard error is %s, standard input %s", got["stderr"], got["stdin"])
	}
	daemon.end(t)
}

// If it is interrupted before the daemon is up, neither process is left.
func TestDaemonIsInterrupted(t *testing.T) {
	cmd := erluv(t, []string{"TEST_SERVE=starts", "ERLUV_COOKIE=s3cret"}, "--detach", "--node", "a@vm", "--log-level", "info")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := stderr.Read(buf) // the log line of pretend
	if err != nil || !slices.Contains(strings.Fields(string(buf[:n])), "msg=serving") {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	daemon := hold(t, state(t, cmd)["pid"])
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	n, _ = stderr.Read(buf)
	if status := exitCode(t, cmd.Wait()); status != 1 || !strings.Contains(string(buf[:n]), "ended before it was up") {
		t.Errorf("status %d, %q", status, buf[:n])
	}
	daemon.wait(t)
}

// A process is a daemon that is not a child of the test, as a pidfd.
type process int

func hold(t *testing.T, pid string) process {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(n, 0)
	if err != nil {
		t.Fatalf("no process %s: %v", pid, err)
	}
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // after a failed test
		unix.Close(fd)
	})
	return process(fd)
}

func (p process) end(t *testing.T) {
	t.Helper()
	if err := unix.PidfdSendSignal(int(p), unix.SIGTERM, nil, 0); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
}

func (p process) wait(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("the daemon is still there: %v", err)
		}
		return
	}
}

// openTerminal returns the lower end of a pty. Its upper end is never read.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	upper, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { upper.Close() })
	if err := unix.IoctlSetPointerInt(int(upper.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(upper.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	lower, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lower.Close() })
	return lower
}
