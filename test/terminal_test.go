package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A terminal runs one of our commands, as a terminal emulator runs a shell.
type terminal struct {
	upper, lower *os.File
	before       unix.Termios
	out          buffer
	cmd          *exec.Cmd
	ended        chan struct{} // closed when the command has been waited for
}

// onTerminal starts a command at a terminal of that size, in a session of its own.
func onTerminal(t *testing.T, rows, cols uint16, program string, args ...string) *terminal {
	t.Helper()
	upper, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upper.Close() })
	fd := int(upper.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	lower, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lower.Close() })
	if credential != nil {
		if err := lower.Chown(int(credential.Uid), int(credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	x := &terminal{upper: upper, lower: lower, ended: make(chan struct{})}
	x.size(t, rows, cols)
	x.before = x.modes(t)
	x.cmd = exec.Command(program, args...)
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = lower, lower, lower
	x.cmd.Env, x.cmd.Dir = []string{"TERM=vt100", "ERL_EPMD_PORT=" + epmd.port}, "/"
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the terminal
		buf := make([]byte, 4096)
		for {
			n, err := x.upper.Read(buf)
			if err != nil {
				return
			}
			_, _ = x.out.Write(buf[:n])
		}
	}()
	go func() { // ends with the command
		_ = x.cmd.Wait()
		close(x.ended)
	}()
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill() // if it is still there
		<-x.ended
		if t.Failed() {
			t.Logf("the terminal has:\n%s", x.out.String())
		}
	})
	return x
}

func (x *terminal) modes(t *testing.T) unix.Termios {
	t.Helper()
	now, err := unix.IoctlGetTermios(int(x.lower.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *now
}

// isRaw waits until the terminal is in raw mode, or again in its first mode.
func (x *terminal) isRaw(t *testing.T, raw bool) {
	t.Helper()
	if !until(startTime, func() bool { return (x.modes(t) != x.before) == raw }) {
		t.Fatalf("it is raw: %v", !raw)
	}
}

func (x *terminal) size(t *testing.T, rows, cols uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(x.upper.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		t.Fatal(err)
	}
}

// shows waits until the terminal shows a text.
func (x *terminal) shows(t *testing.T, text string) {
	t.Helper()
	if !until(startTime, func() bool { return strings.Contains(x.out.String(), text) }) {
		t.Fatalf("it does not show %q", text)
	}
}

func (x *terminal) types(t *testing.T, keys string) {
	t.Helper()
	if _, err := x.upper.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// ends waits for the command. It must end with this status and leave the terminal as it was.
func (x *terminal) ends(t *testing.T, status int) {
	t.Helper()
	if !until(startTime, func() bool {
		select {
		case <-x.ended:
			return true
		default:
			return false
		}
	}) {
		t.Fatal("the command does not end")
	}
	if got := x.cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("the command ends with status %d, not %d", got, status)
	}
	if x.modes(t) != x.before {
		t.Error("the terminal is not restored")
	}
}
