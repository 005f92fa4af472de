package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRegain: thirty and more ways to get root, or a part of it, back, those by system
// calls on each of several threads. The program has what the spawner's programs have,
// with no filter and no rules to help.
func TestRegain(t *testing.T) {
	path, err := intruder()
	if err != nil {
		t.Fatal(err)
	}
	// Made by root they would make others root; made by an ordinary user they are
	// that user's, and tried all the same.
	made := []string{"set-user-id", "set-group-id", "capable"}
	for i, name := range made {
		made[i] = filepath.Join(filepath.Dir(path), name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(made[i], text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(made[0], 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(made[1], 0o755|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		// VFS_CAP_REVISION_2 with the effective bit, cap_setuid (capabilities(7)).
		caps := make([]byte, 20)
		caps[0], caps[3], caps[4] = 1, 2, 1<<unix.CAP_SETUID
		if err := unix.Setxattr(made[2], "security.capability", caps, 0); err != nil {
			t.Fatal(err)
		}
	}
	said, state := inStage(t, Recipe{}, append([]string{"regain"}, made...)...)
	if !state.Success() || len(said) < 30 {
		t.Fatalf("%v, %d ways", state, len(said))
	}
	for name, outcome := range said {
		if outcome == "ok" {
			t.Errorf("%s succeeded", name)
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 || fs.Flags&unix.ST_NOSUID != 0 {
		return
	}
	// The ways are ways: without no_new_privs the files do what they look like.
	for _, tt := range [][]string{
		{"65534 0 0 65534 65534 65534", made[0], "whoami"},
		{"65534 65534 65534 65534 0 0", made[1], "whoami"},
		{"call: ok", made[2], "call", strconv.Itoa(unix.SYS_SETUID), "0"},
	} {
		if got := asNobody(t, tt[1:]...); got != tt[0] {
			t.Errorf("%v by an ordinary user: %q, want %q", tt[1:], got, tt[0])
		}
	}
}

func asNobody(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
