package sandbox

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// start runs the test binary in a role that closes its output when it is ready, and ends with its
// input.
func start(t *testing.T, attr *syscall.SysProcAttr, args ...string) int {
	t.Helper()
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attr
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
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// TestCheckDiffers: Check finds processes that have dropped nothing, or not everything.
func TestCheckDiffers(t *testing.T) {
	want := target()
	recipe, err := json.Marshal(Recipe{Identity: want, Parent: os.Getpid(), KeepFD: 2})
	if err != nil {
		t.Fatal(err)
	}
	as := func(groups ...uint32) *syscall.SysProcAttr {
		if os.Geteuid() != 0 {
			return nil
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: want.UID, Gid: want.GID, Groups: groups}}
	}
	tests := []struct {
		name string
		pid  func(t *testing.T) int
		want string
	}{
		{"new privileges", func(t *testing.T) int { return start(t, as(), "wait") }, "NoNewPrivs is"},
		{"another program", func(t *testing.T) int {
			return start(t, nil, "drop", string(recipe), "/bin/sh", "-c", "exec >/dev/null; read line")
		}, "another program"},
		{"no child of ours", func(*testing.T) int { return os.Getpid() }, "PPid is"},
		{"no process", func(*testing.T) int { return 1 << 22 }, "no such file"},
		{"ended", ended, "it has ended"},
	}
	if os.Geteuid() == 0 {
		tests = append(tests, []struct {
			name string
			pid  func(t *testing.T) int
			want string
		}{
			{"root", func(t *testing.T) int { return start(t, nil, "wait") }, "Uid is"},
			{"one thread", func(t *testing.T) int {
				return start(t, nil, "half", strconv.Itoa(int(want.UID)))
			}, "Uid is"},
			{"bounding set", func(t *testing.T) int {
				return start(t, as(4), "drop", string(recipe), self, "wait")
			}, "CapBnd is"},
		}...)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(tt.pid(t), want, 0)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// ended returns a child that has ended and was not waited for.
func ended(t *testing.T) int {
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.Wait() })
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, p.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	return p.Pid
}

// TestCheckThread changes each field that checkThread compares.
func TestCheckThread(t *testing.T) {
	good := status{
		"State": "S (sleeping)", "PPid": strconv.Itoa(os.Getpid()),
		"Uid": "7\t7\t7\t7", "Gid": "8\t8\t8\t8", "NoNewPrivs": "1", "Groups": "", "Seccomp": "2", "Seccomp_filters": "3",
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
	}
	want := Identity{UID: 7, GID: 8}
	if err := checkThread(good, want, 3, true); err != nil {
		t.Fatal(err)
	}
	for key, bad := range map[string]string{
		"State": "Z (zombie)", "PPid": "1", "Uid": "7\t7\t0\t7", "Gid": "8\t8\t8\t0",
		"NoNewPrivs": "0", "Groups": "4", "Seccomp": "1", "Seccomp_filters": "2", "CapInh": "0000000000000001", "CapPrm": "0000000000000001",
		"CapEff": "0000000000000001", "CapBnd": "0000000000000001", "CapAmb": "0000000000000001",
	} {
		s := status{}
		for k, v := range good {
			s[k] = v
		}
		s[key] = bad
		if err := checkThread(s, want, 3, true); err == nil {
			t.Errorf("%s %q was accepted", key, bad)
		}
		delete(s, key)
		if err := checkThread(s, want, 3, true); err == nil && key != "State" {
			t.Errorf("a status without %s was accepted", key)
		}
	}
	good["CapBnd"], good["Groups"] = "000001ffffffffff", "4 27"
	if err := checkThread(good, want, 3, false); err != nil {
		t.Errorf("as an ordinary user: %v", err)
	}
}

// TestHiddenProcess: if /proc hides a role from an ordinary user, the error says what to do.
func TestHiddenProcess(t *testing.T) {
	if os.Geteuid() == 0 {
		if err := orHidden(unix.ENOENT, os.Getpid()); err != unix.ENOENT {
			t.Errorf("root: %v", err)
		}
		return
	}
	for _, err := range []error{unix.ENOENT, unix.EACCES} {
		if said := orHidden(err, os.Getpid()); !strings.Contains(said.Error(), "hidepid") {
			t.Errorf("%v: %v", err, said)
		}
	}
}
