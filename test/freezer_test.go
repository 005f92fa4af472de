package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// inVersion1 is true in the tests that TestVersion1 runs.
var inVersion1 = os.Getenv("ERLUV_TEST_V1") != ""

// version1 runs a command on a machine whose only control groups are the freezer of version 1. The
// command is in a group of its own that belongs to $OWNER. The status is 3 if the freezer cannot be
// mounted.
const version1 = `
	d=/sys/fs/cgroup/freezer/erluv-e2e-$$
	mount --make-rprivate / && mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/freezer &&
		mount -t cgroup -o freezer none /sys/fs/cgroup/freezer && mkdir $d || exit 3
	chown -R $OWNER $d && echo $$ >$d/cgroup.procs || exit 3
	"$@"
	status=$?
	echo $$ >/sys/fs/cgroup/freezer/cgroup.procs
	find $d -depth -type d -exec rmdir {} + || status=4 # it has nobody
	exit $status`

// TestVersion1 runs tests of containment where erluv sees only control groups of version 1.
//
//erluv:users
func TestVersion1(t *testing.T) {
	if inVersion1 {
		return
	}
	tests := []string{
		"TestContained", "TestReach", "TestFrozen", "TestStaleTree", "TestUsersSignals", "TestUsersSpawner",
		"TestChaosBomb", "TestChaosRoles", "TestChaosChild", "TestPrograms", "TestSetsid",
	}
	cmd := exec.Command("unshare", "-m", "sh", "-c", version1, "sh", os.Args[0],
		"-test.run", "^("+strings.Join(tests, "|")+")$", "-test.v", "-test.timeout", "280s")
	cmd.Env = append(os.Environ(), "ERLUV_TEST_V1=1", "ERLUV_BIN="+executable, fmt.Sprintf("OWNER=%d:%d", os.Getuid(), os.Getgid()))
	if ordinary {
		cmd.Env = append(cmd.Env, fmt.Sprintf("OWNER=%d:%d", workerID, groupID))
	}
	out, err := cmd.CombinedOutput()
	if cannot := cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 3 || bytes.HasPrefix(out, []byte("unshare:")); !cannot {
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFrozen")) {
			t.Errorf("%v\n%s", err, out)
		}
		for _, line := range bytes.Split(out, []byte("\n")) {
			if bytes.Contains(line, []byte("_test.go:")) {
				t.Logf("%s", line)
			}
		}
		return
	}
	// A plain mount fails as well, so the machine has no freezer. Without such rights erluv goes on
	// with the means that there are, and logs it.
	if exec.Command("unshare", "-m", "mount", "-t", "cgroup", "-o", "freezer", "none", t.TempDir()).Run() == nil {
		t.Fatalf("the freezer can be had: %v\n%s", err, out)
	}
	t.Logf("no freezer: %v, %s", err, out)
	newErluv(t, newNode(t, nodeOptions{})).expect(t, ways()["auto"], "e2e:call(E, {info, contained})")
}

// frozen freezes the leaf of a process, like a spawner that is killed before it can thaw it.
func frozen(t *testing.T, base string, pid int) {
	t.Helper()
	files, _ := filepath.Glob(base + "/erluv-*.tree/[0-9]*/cgroup.procs")
	i := slices.IndexFunc(files, func(file string) bool {
		text, _ := os.ReadFile(file)
		return slices.Contains(strings.Fields(string(text)), strconv.Itoa(pid))
	})
	if i < 0 {
		t.Fatalf("process %d is in none of %q", pid, files)
	}
	file, state, looks, want := "freezer.state", "FROZEN", "freezer.state", "FROZEN"
	if !inVersion1 {
		file, state, looks, want = "cgroup.freeze", "1", "cgroup.events", "frozen 1"
	}
	leaf := filepath.Dir(files[i])
	if err := os.WriteFile(leaf+"/"+file, []byte(state), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are frozen", func() bool {
		text, _ := os.ReadFile(leaf + "/" + looks)
		return strings.Contains(string(text), want)
	})
}

// TestFrozen: roles are killed while programs are frozen, for any reason. If a role that knows of
// them is left, the programs end at once, otherwise when the next erluv starts there. A frozen
// worker can be ended.
//
//erluv:users
func TestFrozen(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, _ string) {
		if contain == "group" {
			return
		}
		base := ownGroup(t)
		if base == "" {
			return // tests of an ordinary user cannot make a group
		}
		n := newNode(t, nodeOptions{noise: true})
		begin := func(t *testing.T, opts string) (e *erluv, s session, inside []process) {
			e = within(t, n, base, "--contain", contain, "--kill-timeout", "100ms", "--reconnect", "exit")
			s = e.session(t)
			s.eval(t, `process_flag(trap_exit, true), W = e2e:start(E, Cmd, `+opts+`), ok = e2e:ready(W)`, bind{"Cmd": daemon + "echo ready; exec cat"})
			r := e.roles(t)
			eventually(t, "its daemon", func() bool {
				inside = insiders(r.spawner)
				return len(inside) == 2 && len(daemons(inside)) == 1
			})
			frozen(t, base, inside[0].pid)
			return e, s, inside
		}
		for name, end := range map[string]string{"kill": "exit(W, kill)", "stop": "{ok, _} = e2e:call(W, stop)", "exit": "exit(W, enough)"} {
			t.Run(name, func(t *testing.T) {
				_, s, inside := begin(t, "#{oom_score_adj => 900}") // the role become sets it
				s.eval(t, end+", receive {'EXIT', W, _} -> ok after 120000 -> error(no_exit) end")
				if err := endOf(inside); err != nil {
					t.Error(err)
				}
			})
		}
		for _, victims := range [][]string{{"spawner"}, {"child"}, {"main"}, {"child", "spawner"}, {"main", "child", "spawner"}} {
			t.Run(strings.Join(victims, " "), func(t *testing.T) {
				e, s, inside := begin(t, "#{}")
				e.fails = true
				r := e.roles(t)
				for _, victim := range victims {
					_ = syscall.Kill(r.each()[victim], syscall.SIGKILL)
				}
				if len(victims) == 3 {
					e.exits(t, endTime)
					within(t, n, base, "--contain", contain)
				} else {
					s.eval(t, "receive {'EXIT', W, _} -> ok after 120000 -> error(no_exit) end")
				}
				if err := endOf(inside); err != nil {
					t.Error(err)
				}
			})
		}
	})
}
