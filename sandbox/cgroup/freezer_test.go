package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// eachFreezer runs a test in each hierarchy of version 1 with the freezer.
func eachFreezer(t *testing.T, f func(t *testing.T, base string)) {
	eachHierarchy(t, func(t *testing.T, base string, v1 bool) {
		if v1 && exists(filepath.Join(base, freezerState)) {
			f(t, base)
		}
	})
}

func stateOf(t *testing.T, group string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(group, freezerState))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestFrozenTree: frozen processes end when their tree is emptied or swept. They also end when the
// tree is thawed after SIGKILL.
func TestFrozenTree(t *testing.T) {
	eachFreezer(t, func(t *testing.T, base string) {
		begin := func() (*Tree, *exec.Cmd) {
			tree, _ := makeTree(t, base, true)
			deep := filepath.Join(inTree(t, tree), "deep")
			if err := unix.Mkdir(deep, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := put(t, deep)
			freeze(in(deep))
			if got := stateOf(t, deep); got != "FROZEN" {
				t.Fatalf("it is %s", got)
			}
			return tree, cmd
		}
		tree, cmd := begin()
		if err := tree.Empty(); err != nil || !wasKilled(cmd) {
			t.Errorf("emptied: %v, %v", err, cmd.ProcessState)
		}
		tree.Remove()

		tree, cmd = begin()
		if !tree.Freezes() {
			t.Error("it does not say that it freezes")
		}
		_ = cmd.Process.Kill()
		tree.Thaw()
		if !wasKilled(cmd) {
			t.Errorf("thawed: %v", cmd.ProcessState)
		}
		tree.Remove()

		tree, cmd = begin()
		tree.close()
		if _, swept := makeTree(t, base, true); swept != 1 || !wasKilled(cmd) || exists(tree.dir) {
			t.Errorf("%d were swept: %v", swept, cmd.ProcessState)
		}
	})
}

// TestKill: processes that fork all the time, each into a new session, are ended all the same. The
// group is not left frozen, and processes in a group within it are not touched.
func TestKill(t *testing.T) {
	eachFreezer(t, func(t *testing.T, base string) {
		tree, _ := makeTree(t, base, true)
		leaf := inTree(t, tree)
		within := filepath.Join(leaf, "within")
		if err := unix.Mkdir(within, 0o755); err != nil {
			t.Fatal(err)
		}
		other := put(t, within)
		// Each process starts the next and ends: most are gone before a look finds them.
		cmd := exec.Command("/bin/sh", "-c", `echo $$ >"$0/cgroup.procs"
			next='setsid /bin/sh -c "$0" "$0" & exit'
			for i in 1 2 3 4; do setsid /bin/sh -c "$next" "$next" & done
			exec sleep 1000`, leaf)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
		for end := time.Now().Add(2 * time.Minute); len(members(t, leaf)) < 4; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("there are no four processes")
			}
		}
		end := time.Now().Add(2 * time.Minute)
		for {
			if err := Kill(in(leaf)); err != nil {
				t.Fatal(err)
			}
			if len(members(t, leaf)) == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("there are %d processes", len(members(t, leaf)))
			}
		}
		if got := stateOf(t, leaf); got != "THAWED" || dead(other.Process.Pid) {
			t.Errorf("the group is %s, the other process is gone: %v", got, dead(other.Process.Pid))
		}
	})
}

// TestKillNewcomer: if a process comes between the two looks, the group is frozen and that process
// is killed too. Otherwise the group is not frozen.
func TestKillNewcomer(t *testing.T) {
	eachFreezer(t, func(t *testing.T, base string) {
		tree, _ := makeTree(t, base, true)
		leaf := inTree(t, tree)
		for _, comes := range []bool{false, true} {
			all := []*exec.Cmd{put(t, leaf)}
			looks, frozen := 0, false
			err := Kill(func(file string, flags int) (int, error) {
				if file == freezerState && flags == unix.O_RDWR {
					frozen = true
				} else if file == "cgroup.procs" {
					if looks++; looks == 2 && comes {
						all = append(all, put(t, leaf))
					}
				}
				return in(leaf)(file, flags)
			})
			if err != nil || frozen != comes {
				t.Errorf("somebody comes: %v; they were frozen: %v, %v", comes, frozen, err)
			}
			for i, cmd := range all {
				if !wasKilled(cmd) {
					t.Errorf("process %d: %v", i, cmd.ProcessState)
				}
			}
		}
	})
}

func members(t *testing.T, group string) []int {
	t.Helper()
	pids, err := Members(in(group))
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// TestKillNobody: a missing group is an error, and not thawed.
func TestKillNobody(t *testing.T) {
	if err := Kill(in(filepath.Join(t.TempDir(), "none"))); err != unix.ENOENT && !strings.Contains(err.Error(), unix.ENOENT.Error()) {
		t.Error(err)
	}
}
