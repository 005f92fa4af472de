package workers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// TestOutOfMemory checks that a death counts as the kernel's if the kernel has killed in the
// program's group, and the child has not sent SIGKILL.
func TestOutOfMemory(t *testing.T) {
	const (
		v1  = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"
		v2  = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 1\noom_group_kill 0\n"
		no1 = "oom_kill_disable 1\nunder_oom 1\noom_kill 0\n"
		no2 = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 0\noom_group_kill 2\n"
	)
	killed := Exit{Signal: unix.SIGKILL}
	for name, c := range map[string]struct {
		text    string
		v2      bool
		limited bool
		state   State
		exit    Exit
		want    bool
	}{
		"version 1":             {v1, false, true, Running, killed, true},
		"version 2":             {v2, true, true, Running, killed, true},
		"while it is stopped":   {v1, false, true, Stopping, killed, true},
		"nobody, version 1":     {no1, false, true, Running, killed, false},
		"nobody, version 2":     {no2, true, true, Running, killed, false},
		"by us":                 {v1, false, true, Killing, killed, false},
		"another signal":        {v1, false, true, Running, Exit{Signal: unix.SIGTERM}, false},
		"a status":              {v1, false, true, Running, Exit{Status: 137}, false},
		"without a limit":       {v1, false, false, Running, killed, false},
		"something else":        {"oom_kill\noom_kill x\n", false, true, Running, killed, false},
		"nothing":               {"", false, true, Running, killed, false},
		"more than the file is": {strings.Repeat("x 1\n", 1000), true, true, Running, killed, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			dirs, leaves, file := ipc.LimitDirs{dir, "", ""}, "", "5/memory.oom_control"
			if c.v2 {
				leaves, file = dir, "7/memory.events"
			}
			s := &Starter{}
			s.UseLimits(dirs, leaves)
			w := &Worker{starter: s, life: life{state: c.state}, proc: process{groups: 5, leaf: 7, limited: c.limited}}
			if w.outOfMemory(c.exit) {
				t.Error("by a file that there is not")
			}
			file = filepath.Join(dir, file)
			if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := w.outOfMemory(c.exit); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
