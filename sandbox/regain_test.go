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

// TestRegain tries forty ways to regain root, or a part of it. Those by system calls run on each of
// several threads. It tries them as a program without filter and rules, as the spawner and its
// programs, and as the child, where many end the process.
func TestRegain(t *testing.T) {
	path, err := intruder()
	if err != nil {
		t.Fatal(err)
	}
	// Files made by root would make others root. Files made by an ordinary user are that user's,
	// and are tried all the same.
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
	ways, _ := inStage(t, Recipe{}, "ways")
	if len(ways) < 40 {
		t.Fatalf("%d ways", len(ways))
	}
	regain := append([]string{"regain"}, made...)
	const fromThreads = 3 * 16 // the same on three more threads
	for role, r := range map[string]Recipe{"a program": {}, "the spawner": {FilterPrograms: here(t).Has(Seccomp)}} {
		said, state := inStage(t, r, regain...)
		if !state.Success() || len(said) != len(ways)+fromThreads {
			t.Fatalf("%s: %v, %d ways, of %d", role, state, len(said), len(ways))
		}
		for name, outcome := range said {
			if outcome == "ok" {
				t.Errorf("%s: %s succeeded", role, name)
			}
		}
	}
	ended := 0
	for way := range ways {
		said, state := sealed(t, here(t), append(regain, way)...)
		if killedBySIGSYS(state) {
			ended++
		} else if len(said) == 0 || !state.Success() {
			t.Errorf("the child: %s has not been tried: %v", way, state)
		}
		for name, outcome := range said {
			if outcome == "ok" {
				t.Errorf("the child: %s succeeded", name)
			}
		}
	}
	if here(t).Has(Seccomp) && ended < 20 {
		t.Errorf("only %d of %d ways end the child", ended, len(ways))
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 || fs.Flags&unix.ST_NOSUID != 0 {
		return
	}
	// The ways work: without no_new_privs the files give the ids that they promise.
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
