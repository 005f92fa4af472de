package mainproc

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"erluv/config"

	"golang.org/x/sys/unix"
)

// command starts the binary as erluv with the configuration, under another name, which tells how
// its roles misbehave.
func command(t *testing.T, name, role string, cfg *config.Config) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Link(exe, path); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, role, string(text))
	cmd.WaitDelay = waitBound
	return cmd
}

// TestRolesFail: a role that cannot serve, or must not, ends erluv, with its own error if it has
// one.
func TestRolesFail(t *testing.T) {
	for name, want := range map[string]string{
		"child-exits":                "the child (process %) has ended with status 9",
		"spawner-exits":              "the spawner (process %) has ended with status 9",
		"child-panics":               "the child (process %) has ended with status 2",
		"child-is-silent":            "the child did not answer within 20s",
		"child-has-another-version":  "version 5",
		"spawner-has-another-pid":    "process 9,",
		"child-fails":                "the child cannot serve: for a reason?[2J",
		"spawner-fails":              "the spawner cannot serve: for a reason",
		"spawner-fails-late":         "the spawner cannot serve: later",
		"child-says-something-else":  "the child sent a forbidden message before it is greeted (kind 4, 1 bytes)",
		"spawner-sends-a-descriptor": "descriptor", // from main if the kernel lets it pass, else from the spawner
		"child-leaves":               "the child (process %) has ended with status 0",
		"undropped":                  "must not run",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			cmd := command(t, name, "main", n.config())
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("%v: %s", err, out)
			}
			before, after, _ := strings.Cut(want, "%")
			if s := string(out); !strings.Contains(s, before) || !strings.Contains(s, after) {
				t.Errorf("%q, want %q", s, want)
			}
		})
	}
}

// TestBinaryForRootOnly: the roles' user may not execute the binary.
func TestBinaryForRootOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		return // a user that may start main may start the roles
	}
	n := newNode(t)
	cmd := command(t, "rootonly", "main", n.config())
	text, err := os.ReadFile(cmd.Path)
	if err == nil {
		err = os.Remove(cmd.Path)
	}
	if err == nil {
		err = os.WriteFile(cmd.Path, text, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if want := "cannot run " + cmd.Path + " as uid 65534"; cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), want) {
		t.Errorf("%v, %q; want %q", err, out, want)
	}
}

// TestInputEnds: the end of a pipe at standard input is an orderly stop; earlier input is not.
func TestInputEnds(t *testing.T) {
	n := newNode(t)
	cmd := command(t, "input", "main", n.config())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	up := make([]byte, 3)
	if _, err := io.ReadFull(stdout, up); err != nil || string(up) != "up\n" {
		t.Fatalf("%q, %v", up, err)
	}
	if _, err := stdin.Write(make([]byte, 100_000)); err != nil {
		t.Error(err)
	}
	p, _ := n.served(t)
	stdin.Close()
	if line := p.line(t); line != "stop: standard input has ended" {
		t.Errorf("the child was told %q", line)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestSIGTERM: main runs as a process of its own.
func TestSIGTERM(t *testing.T) {
	n := newNode(t)
	cmd := command(t, "term", "main", n.config())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, _ := n.served(t)
	start := time.Now()
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ends(t)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("gone after %v", time.Since(start))
}

// TestMainKilled: the roles do not outlive main.
func TestMainKilled(t *testing.T) {
	n := newNode(t)
	cmd := command(t, "killed", "main", n.config())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, got := n.served(t)
	var fds []unix.PollFd
	for _, pid := range []int{got.PID, int(got.Start.SpawnerPID)} {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	p.ends(t)
	for i := range fds {
		if n, err := unix.Poll(fds[i:i+1], int(waitBound.Milliseconds())); n != 1 {
			t.Errorf("role %d lives: %v", i, err)
		}
	}
}

// TestQuiet: main does not run while the node is served, however busy the node is.
func TestQuiet(t *testing.T) {
	n := newNode(t)
	cmd := command(t, "quiet", "main", n.config())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, _ := n.served(t)
	before := switches(t, cmd.Process.Pid)
	for range 1000 {
		p.tell(t, "m")
		p.line(t)
	}
	if got := switches(t, cmd.Process.Pid) - before; got > 100 {
		t.Errorf("main was woken %d times", got)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// switches counts how often the threads of a process have gone to sleep.
func switches(t *testing.T, pid int) (sum int) {
	t.Helper()
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
		var n int
		if _, err := fmt.Sscan(rest, &n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// TestNoSuchSandbox: an unknown word is an error.
func TestNoSuchSandbox(t *testing.T) {
	cfg := newNode(t).config()
	cfg.Sandbox = "Strict"
	if err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler), Options{}); err == nil || !strings.Contains(err.Error(), `no sandbox "Strict"`) {
		t.Errorf("%v", err)
	}
	if err := pinged(t, cfg); err == nil || !strings.Contains(err.Error(), `no sandbox "Strict"`) {
		t.Errorf("ping: %v", err)
	}
}
