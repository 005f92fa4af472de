package spawner

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/sandbox/cgroup"

	"golang.org/x/sys/unix"
)

// ownTree returns a tree as main makes it. It returns nil if this machine does not allow us control
// groups, as package sandbox reports.
func ownTree(t *testing.T) *cgroup.Tree {
	t.Helper()
	tree, _, err := cgroup.NewTree(cgroup.Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}, false)
	if can := exec.Command("/bin/sh", "-c", `own=$(sed -n 's/^0:://p' /proc/self/cgroup)
		for at in $(sed -n 's/^[^ ]* \(\/sys\/fs\/cgroup[^ ]*\) cgroup2 .*/\1/p' /proc/mounts); do
			d=$at$own/probe-$$
			mkdir $d && test -w $d/cgroup.kill && rmdir $d && exit 0
			rmdir $d
		done
		exit 1`).Run() == nil; can != (err == nil) {
		t.Fatalf("the shell can make a group: %v; a tree: %v", can, err)
	}
	if err != nil {
		return nil
	}
	t.Cleanup(tree.Remove)
	return tree
}

// freezerGroup makes a group in the freezer of version 1. "": the machine does not allow it.
func freezerGroup(t *testing.T) string {
	t.Helper()
	out, _ := exec.Command("/bin/sh", "-c", `own=$(sed -n 's/^[0-9]*:freezer://p' /proc/self/cgroup)
		at=$(sed -n 's/^[^ ]* \(\/sys\/fs\/cgroup[^ ]*\) cgroup [^ ]*,freezer .*/\1/p' /proc/mounts)
		test "$at" && mkdir "$at$own/erluv-test-$$" && echo "$at$own/erluv-test-$$"`).Output()
	dir := strings.TrimSpace(string(out))
	if dir != "" {
		t.Cleanup(func() {
			soon(t, "the group is removed", func() bool {
				leaves, _ := filepath.Glob(dir + "/[0-9]*")
				for _, leaf := range leaves {
					_ = os.Remove(leaf)
				}
				return os.Remove(dir) == nil
			})
		})
	}
	return dir
}

// eachLeaves runs a test with leaves of version 2 and of version 1, where the machine has them.
func eachLeaves(t *testing.T, f func(l *leaves, dir string)) {
	t.Helper()
	var dirs []string
	if tree := ownTree(t); tree != nil {
		dirs = append(dirs, tree.Path())
	}
	if dir := freezerGroup(t); dir != "" {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		l, err := newLeaves(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(l.dir) })
		f(l, dir)
	}
}

// startIn starts a program in a leaf.
func startIn(t *testing.T, f leaf, args ...string) *exec.Cmd {
	t.Helper()
	if len(f.enter) > 0 {
		procs, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(f.enter[0]))
		if err != nil {
			t.Fatal(err)
		}
		args = append([]string{"/bin/sh", "-c", `echo $$ >"$0"; exec "$@"`, procs}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: f.fd >= 0, CgroupFD: f.fd, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func taken(t *testing.T, l *leaves) leaf {
	t.Helper()
	f, err := l.take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.close(f) })
	return f
}

func soon(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func isThere(dir string, n uint32) bool {
	_, err := os.Stat(filepath.Join(dir, name(n)))
	return err == nil
}

// TestLeavesThatCannotBe: the spawner does not begin with leaves in which it could not start
// programs.
func TestLeavesThatCannotBe(t *testing.T) {
	l, err := newLeaves("")
	if err != nil {
		t.Fatal(err)
	}
	if f, err := l.take(); err != nil || f.number != 0 || f.fd != -1 {
		t.Errorf("%+v, %v where there are none", f, err)
	}
	l.give(0)
	for dir, want := range map[string]string{
		filepath.Join(t.TempDir(), "none"): "cannot open",
		t.TempDir():                        "cannot start programs in a control group",
		"/proc/self":                       "cannot make a control group",
	} {
		if _, err := newLeaves(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
}

// TestLeafAgain: a leaf that was given back is reused. A leaf that exists already, was removed, or
// was killed in, is not.
func TestLeafAgain(t *testing.T) {
	eachLeaves(t, func(l *leaves, dir string) {
		a, b := taken(t, l), taken(t, l)
		if a.number != 1 || b.number != 2 || !isThere(dir, 1) || !isThere(dir, 2) {
			t.Fatalf("%+v, %+v", a, b)
		}
		l.give(a.number)
		if again := taken(t, l); again.number != a.number {
			t.Errorf("%+v instead of %d", again, a.number)
		}
		l.give(a.number)
		if err := os.Remove(filepath.Join(dir, name(a.number))); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "3"), 0o755); err != nil {
			t.Fatal(err)
		}
		c := taken(t, l)
		if c.number != 4 {
			t.Errorf("%+v, and 1 was removed, 2 is taken, 3 is another's", c)
		}
		cmd := startIn(t, c, "sleep", "1000")
		soon(t, "it is in there", func() bool { return !l.empty(c.number) })
		if errno := l.kill(c.number); errno != 0 {
			t.Fatal(errno)
		}
		_ = cmd.Wait()
		l.give(c.number)
		if l.v1 {
			if again := taken(t, l); again.number != c.number {
				t.Errorf("%+v instead of %d", again, c.number)
			}
			return
		}
		for range 3 {
			if again := taken(t, l); again.number == c.number {
				t.Error("a leaf in which was killed is used again")
			}
		}
		l.tidy(1)
		if isThere(dir, c.number) || len(l.spent) != 0 || l.untidy() {
			t.Errorf("a leaf in which was killed is kept; spent: %v", l.spent)
		}
	})
}

// TestFreeLeaves: an idle spawner keeps at most maxFree empty leaves.
func TestFreeLeaves(t *testing.T) {
	eachLeaves(t, func(l *leaves, dir string) {
		var all []uint32
		for range 3 {
			all = append(all, taken(t, l).number)
		}
		l.free = make([]uint32, maxFree-2)
		l.release(ipc.Release{Empty: all[:2]})
		if l.untidy() || l.rest(true) != 0 {
			t.Errorf("%d leaves are too many", len(l.free))
		}
		l.free = slices.Concat(all[:2], make([]uint32, maxFree-2))
		l.release(ipc.Release{Empty: all[2:]})
		if !l.untidy() || l.rest(false) != tidyAfter || l.rest(true) != tidyPause {
			t.Errorf("%d leaves are not too many", len(l.free))
		}
		l.tidy(tidyAtOnce)
		if len(l.free) != maxFree || isThere(dir, all[0]) || !isThere(dir, all[1]) || !isThere(dir, all[2]) {
			t.Errorf("%d are kept", len(l.free))
		}
	})
}

// TestOverLeaves: leaves that cannot be reused do not pile up in a spawner that is never idle.
func TestOverLeaves(t *testing.T) {
	eachLeaves(t, func(l *leaves, dir string) {
		f := taken(t, l)
		l.over = append(l.over, f.number)
		for n := uint32(1 << 20); len(l.over) < maxOver; n++ {
			l.over = append(l.over, n)
		}
		for n := uint32(1 << 30); n < 1<<30+100; n++ {
			l.spent[n] = true
			l.give(n)
		}
		if len(l.over) > maxOver || isThere(dir, f.number) {
			t.Errorf("%d wait to be removed", len(l.over))
		}
	})
}

// TestLeavesLeftAlone: a leaf with remaining processes is reused once these have ended, and not
// before.
func TestLeavesLeftAlone(t *testing.T) {
	eachLeaves(t, func(l *leaves, _ string) {
		f := taken(t, l)
		cmd := startIn(t, f, "sleep", "1000")
		soon(t, "it is in there", func() bool { return !l.empty(f.number) })
		l.release(ipc.Release{Left: []uint32{f.number}})
		for range 3 {
			if other := taken(t, l); other.number == f.number {
				t.Fatal("a leaf with a process in it is used again")
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		soon(t, "used again", func() bool { return taken(t, l).number == f.number })
		if len(l.left) > 0 {
			t.Errorf("left: %v", l.left)
		}
	})
}

// TestSignalOthers: a signal reaches only those processes of the leaf that are not in the group, in
// other sessions too.
func TestSignalOthers(t *testing.T) {
	eachLeaves(t, func(l *leaves, _ string) {
		f, other := taken(t, l), taken(t, l)
		leader := startIn(t, f, "/bin/sh", "-c", "setsid sleep 1000 & setsid sleep 1000 & sleep 1000 & wait; exec sleep 1000")
		outside := startIn(t, other, "sleep", "1000")
		away := func() (pids []int) {
			all, err := l.members(f.number)
			if err != nil {
				t.Fatal(err)
			}
			for _, pid := range all {
				if g, err := unix.Getpgid(pid); err == nil && g != leader.Process.Pid {
					pids = append(pids, pid)
				}
			}
			return pids
		}
		// Two have left the group, and two have not.
		soon(t, "four processes", func() bool {
			all, _ := l.members(f.number)
			return len(all) == 4 && len(away()) == 2
		})
		before, _ := l.members(f.number)
		if err := l.signalOthers(f.number, leader.Process.Pid, unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		soon(t, "they end", func() bool { return len(away()) == 0 })
		now, _ := l.members(f.number)
		if len(now) != len(before)-2 || !slices.Contains(now, leader.Process.Pid) {
			t.Errorf("%v, before %v", now, before)
		}
		if gone(uint32(outside.Process.Pid)) || l.empty(f.number) {
			t.Error("a signal has reached others")
		}
		if errno := l.kill(f.number); errno != 0 {
			t.Fatal(errno)
		}
		soon(t, "empty", func() bool { return l.empty(f.number) })
		if gone(uint32(outside.Process.Pid)) {
			t.Error("another leaf was killed")
		}
	})
}

// TestSignalLeaf: the effects of a SignalGroup with a leaf.
func TestSignalLeaf(t *testing.T) {
	eachLeaves(t, func(l *leaves, _ string) {
		s := &spawner{leaves: l}
		f := taken(t, l)
		ask := func(sig unix.Signal) unix.Errno {
			return s.signal(ipc.SignalGroup{PID: 1 << 22, Signal: uint32(sig), Leaf: f.number}, nil)
		}
		for _, sig := range []unix.Signal{0, unix.SIGTERM, unix.SIGKILL} {
			if errno := ask(sig); errno != unix.ESRCH {
				t.Errorf("signal %d to an empty leaf: %v", sig, errno)
			}
		}
		for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
			cmd := startIn(t, f, "sleep", "1000")
			soon(t, "somebody is there", func() bool { return ask(0) == 0 })
			if errno := ask(sig); errno != 0 {
				t.Errorf("signal %d: %v", sig, errno)
			}
			_ = cmd.Wait()
			if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != sig {
				t.Errorf("signal %d: %v", sig, cmd.ProcessState)
			}
			soon(t, "empty", func() bool { return ask(0) == unix.ESRCH })
		}
		if errno := (&spawner{leaves: l}).signal(ipc.SignalGroup{PID: 1 << 22, Leaf: 1 << 30}, nil); errno != unix.ESRCH {
			t.Errorf("a leaf that there is not: %v", errno)
		}
		if errno := l.kill(1 << 30); errno != unix.ENOENT {
			t.Errorf("a kill in it: %v", errno)
		}
	})
}

// TestManyMembers: the list of a leaf's processes is read completely.
func TestManyMembers(t *testing.T) {
	eachLeaves(t, func(l *leaves, _ string) {
		f := taken(t, l)
		const many = 1100 // more than a page of numbers
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := startIn(t, f, "/bin/sh", "-c", "i=1; while [ $i -lt "+strconv.Itoa(many)+` ]; do read x <"$0" & i=$((i+1)); done; >"$0.all"; wait`, fifo)
		soon(t, "all are there", func() bool {
			_, err := os.Stat(fifo + ".all")
			return err == nil
		})
		if pids, err := l.members(f.number); err != nil || len(pids) != many {
			t.Errorf("%d members, %v; want %d", len(pids), err, many)
		}
		if errno := l.kill(f.number); errno != 0 {
			t.Fatal(errno)
		}
		if err := cmd.Wait(); err == nil || errors.Is(err, exec.ErrNotFound) {
			t.Error(err)
		}
		soon(t, "empty", func() bool { return l.empty(f.number) })
	})
}

// TestLeafOfAProgram: a program is in the leaf that its Spawned names. If it cannot be started, the
// leaf is free again.
func TestLeafOfAProgram(t *testing.T) {
	tree := ownTree(t)
	if tree == nil {
		return
	}
	bothModes(t, func(t *testing.T, reports bool) {
		p := servingWith(t, ipc.StartSpawner{Reports: reports, Leaves: tree.Path()})
		in := func(s ipc.Spawned) string {
			b, _ := os.ReadFile("/proc/" + strconv.Itoa(int(s.PID)) + "/cgroup")
			return string(b)
		}
		a := p.spawned(program("sleep", "1000"))
		if want := filepath.Join(filepath.Base(tree.Path()), name(a.Leaf)); a.Leaf == 0 || !strings.Contains(in(a), want) {
			t.Errorf("leaf %d, in %s", a.Leaf, in(a))
		}
		no := p.spawned(program("/nonexistent"))
		b := p.spawned(program("sleep", "1000"))
		if no.Stage != ipc.StageProgram || no.Leaf != 0 || b.Leaf != a.Leaf+1 {
			t.Errorf("a failure: %+v, then leaf %d after %d", no, b.Leaf, a.Leaf)
		}
		if err := tree.Empty(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestFrozenLeaf: a frozen leaf can be killed, and reused. The spawner thaws it at its end.
func TestFrozenLeaf(t *testing.T) {
	eachLeaves(t, func(l *leaves, dir string) {
		if !l.v1 {
			return
		}
		freeze := func(f leaf) {
			state := filepath.Join(dir, name(f.number), "freezer.state")
			if err := os.WriteFile(state, []byte("FROZEN"), 0); err != nil {
				t.Fatal(err)
			}
			soon(t, "frozen", func() bool {
				text, _ := os.ReadFile(state)
				return string(text) == "FROZEN\n"
			})
		}
		for _, end := range []func(f leaf, cmd *exec.Cmd){
			func(f leaf, _ *exec.Cmd) {
				if errno := l.kill(f.number); errno != 0 {
					t.Error(errno)
				}
			},
			func(_ leaf, cmd *exec.Cmd) {
				_ = cmd.Process.Kill()
				l.thaw()
			},
		} {
			f := taken(t, l)
			cmd := startIn(t, f, "sleep", "1000")
			soon(t, "it is in there", func() bool { return !l.empty(f.number) })
			freeze(f)
			end(f, cmd)
			_ = cmd.Wait()
			soon(t, "empty", func() bool { return l.empty(f.number) })
			freeze(f)
			l.give(f.number)
			again := taken(t, l)
			text, _ := l.read(again.number, "freezer.state")
			if again.number != f.number || text != "THAWED\n" {
				t.Errorf("%d after %d is %s", again.number, f.number, text)
			}
		}
	})
}

// TestProgramInVersion1: a program is in its leaf, and a kill there reaches processes that have
// left its session.
func TestProgramInVersion1(t *testing.T) {
	bothModes(t, inVersion1)
}

func inVersion1(t *testing.T, reports bool) {
	dir := freezerGroup(t)
	if dir == "" {
		return
	}
	p := servingWith(t, ipc.StartSpawner{Reports: reports, Leaves: dir})
	a := p.spawned(program("setsid", "-f", "sleep", "1000"))
	if a.Stage != ipc.StageNone {
		t.Fatalf("%+v", a)
	}
	members := func() []string {
		text, err := os.ReadFile(filepath.Join(dir, name(a.Leaf), "cgroup.procs"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(text))
	}
	soon(t, "it is in its leaf, and nobody else", func() bool { return len(members()) == 1 })
	p.say(p.child, ipc.SignalGroup{PID: a.PID, Signal: uint32(unix.SIGKILL), Leaf: a.Leaf})
	soon(t, "it is gone", func() bool { return len(members()) == 0 })
}
