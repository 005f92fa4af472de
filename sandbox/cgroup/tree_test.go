package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// owner is the user that the tests make trees for: nobody for root, else the test's own user.
func owner() Owner {
	if os.Geteuid() == 0 {
		return Owner{UID: 65534, GID: 65534}
	}
	return Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
}

// canCgroup reports whether this machine allows a tree. A shell tries to make a group in its own.
func canCgroup() bool {
	script := `own=$(sed -n 's/^0:://p' /proc/self/cgroup)
		for at in $(sed -n 's/^[^ ]* \(\/sys\/fs\/cgroup[^ ]*\) cgroup2 .*/\1/p' /proc/mounts); do
			d=$at$own/probe-$$
			mkdir $d && test -w $d/cgroup.kill && rmdir $d && exit 0
			rmdir $d
		done
		exit 1`
	return exec.Command("/bin/sh", "-c", script).Run() == nil
}

// newTree makes a tree. It returns nil if NewTree reports that this machine does not allow one.
func newTree(t *testing.T) *Tree {
	t.Helper()
	tree, _, err := NewTree(owner(), false)
	if !canCgroup() {
		if err == nil {
			t.Fatal("there is a tree where the shell can make no group")
		}
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tree.Remove)
	return tree
}

// sleeper starts a process in a group.
func sleeper(t *testing.T, group string) *exec.Cmd {
	t.Helper()
	fd, err := unix.Open(group, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// wasKilled waits for the end of a process and reports whether SIGKILL ended it.
func wasKilled(cmd *exec.Cmd) bool {
	_ = cmd.Wait()
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestFind(t *testing.T) {
	const (
		hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
			"39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n" +
			"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:3 - cgroup2 cgroup2 rw\n"
		pure  = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
		inner = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
		up    = "30 23 0:26 /../.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
		none  = "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
		cpu   = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
		away  = "30 23 0:26 / /mnt/cgroup rw - cgroup2 cgroup2 rw\n"
	)
	for name, c := range map[string]struct{ mounts, groups, controller, want string }{
		"hybrid":            {hybrid, "8:pids:/x\n0::/\n", "", "/sys/fs/cgroup/unified"},
		"a service":         {pure, "0::/system.slice/erluv.service\n", "", "/sys/fs/cgroup/system.slice/erluv.service"},
		"a container":       {inner, "0::/docker/abc\n", "", "/sys/fs/cgroup"},
		"within one":        {inner, "0::/docker/abc/erluv\n", "", "/sys/fs/cgroup/erluv"},
		"of another":        {inner, "0::/docker/abcd\n", "", ""},
		"above":             {inner, "0::/\n", "", ""},
		"beside":            {up, "0::/\n", "", ""},
		"the second mount":  {inner + hybrid, "0::/x\n", "", "/sys/fs/cgroup/unified/x"},
		"version 1 alone":   {none, "8:pids:/\n0::/\n", "", ""},
		"not in one":        {pure, "8:pids:/\n", "", ""},
		"mounted elsewhere": {away, "0::/\n", "", ""},
		"nothing":           {"", "", "", ""},
		"cut off":           {"30 23 0:26 - cgroup2", "0::/\n", "", ""},
		"outside":           {pure, "0::/../x\n", "", ""},
		"v1":                {hybrid, "8:pids:/x\n0::/\n", "pids", "/sys/fs/cgroup/pids/x"},
		"v1, two in one":    {cpu, "4:cpu,cpuacct:/x\n", "cpu", "/sys/fs/cgroup/cpu,cpuacct/x"},
		"v1, the other":     {cpu, "4:cpu,cpuacct:/x\n", "cpuacct", "/sys/fs/cgroup/cpu,cpuacct/x"},
		"v1, in part":       {cpu, "4:cpu,cpuacct:/x\n", "cp", ""},
		"v1, not there":     {hybrid, "8:pids:/x\n0::/\n", "memory", ""},
		"v1, not mounted":   {pure, "8:pids:/x\n0::/\n", "pids", ""},
		"v1 by name":        {hybrid, "8:pids:/a:b\n", "pids", "/sys/fs/cgroup/pids/a:b"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := find(c.mounts, c.groups, c.controller)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestTree: a tree has the right owner with any umask. Its processes end when it is emptied or
// removed.
func TestTree(t *testing.T) {
	defer unix.Umask(unix.Umask(0o777))
	tree := newTree(t)
	if tree == nil {
		return
	}
	for name, uid := range map[string]uint32{
		".": owner().UID, "cgroup.procs": owner().UID,
		"cgroup.kill": uint32(os.Geteuid()), "spawner": uint32(os.Geteuid()), "cgroup.subtree_control": uint32(os.Geteuid()),
	} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(tree.Path(), name), &st); err != nil || st.Uid != uid {
			t.Errorf("%s is of %d, %v, want %d", name, st.Uid, err, uid)
		}
		if dir := st.Mode&unix.S_IFMT == unix.S_IFDIR; dir && st.Mode&0o7777 != 0o755 {
			t.Errorf("%s has the mode %#o", name, st.Mode)
		}
	}
	for range 3 {
		deep := filepath.Join(tree.Path(), "7", "deep")
		for _, dir := range []string{filepath.Dir(deep), deep} {
			if err := unix.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			_ = unix.Chmod(dir, 0o755)
		}
		var all []*exec.Cmd
		for _, group := range []string{tree.Path(), filepath.Join(tree.Path(), "spawner"), filepath.Dir(deep), deep} {
			all = append(all, sleeper(t, group))
		}
		before := tree.SpawnerFD()
		if err := tree.Empty(); err != nil {
			t.Fatal(err)
		}
		for i, cmd := range all {
			if !wasKilled(cmd) {
				t.Errorf("process %d: %v", i, cmd.ProcessState)
			}
		}
		if exists(deep) || exists(filepath.Dir(deep)) {
			t.Error("what was made in it is left")
		}
		// The spawner has a new group, and SpawnerFD refers to it.
		var at, is unix.Stat_t
		if err := errors.Join(unix.Fstat(tree.SpawnerFD(), &at), unix.Stat(tree.Path()+"/spawner", &is)); err != nil || at.Ino != is.Ino {
			t.Errorf("descriptor %d, before %d: %v", tree.SpawnerFD(), before, err)
		}
	}
	last := sleeper(t, filepath.Join(tree.Path(), "spawner"))
	tree.Remove()
	if !wasKilled(last) || exists(tree.Path()) {
		t.Errorf("%v, and the tree is there: %v", last.ProcessState, exists(tree.Path()))
	}
	tree.Remove() // a second call does no harm
}

// TestTreeWithoutCgroups: the error says why there can be no tree.
func TestTreeWithoutCgroups(t *testing.T) {
	for name, base := range map[string]string{"a plain directory": t.TempDir(), "none": filepath.Join(t.TempDir(), "none")} {
		tree := noTree(filepath.Join(base, "erluv-0000000000000000.tree"), false)
		err := tree.make(owner())
		if err == nil || !strings.Contains(err.Error(), "cannot make the control group "+tree.dir) {
			t.Errorf("%s: %v", name, err)
		}
		if _, plain := os.Stat(base); plain == nil && !strings.Contains(err.Error(), "Linux 5.14 is needed") {
			t.Errorf("%s: %v", name, err)
		}
		tree.Remove()
		if exists(tree.dir) {
			t.Errorf("%s: %s is left", name, tree.dir)
		}
	}
}

// eachHierarchy runs a test in a group of its own, so that no other test sweeps there. It does so
// for version 2 and for hierarchies of version 1, where the machine has them. Other tests run at
// the same time and share a group, so they may sweep each other's trees.
func eachHierarchy(t *testing.T, f func(t *testing.T, base string, v1 bool)) {
	for name, controller := range map[string]string{"version 2": "", "version 1": "pids", "the freezer": freezer} {
		t.Run(name, func(t *testing.T) {
			base, err := own(controller)
			if err == nil {
				base = filepath.Join(base, "test-"+strconv.Itoa(os.Getpid()))
				err = unix.Mkdir(base, 0o755)
			}
			if err != nil {
				if controller == "" && canCgroup() {
					t.Error(err)
				}
				return
			}
			t.Cleanup(func() { eventuallyRemoved(t, base) })
			if _, err := os.Stat(base + "/cgroup.kill"); controller == "" && err != nil {
				return // Linux 5.14 is needed
			}
			f(t, base, controller != "")
		})
	}
}

// put starts a process in a group of either version.
func put(t *testing.T, group string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func makeTree(t *testing.T, base string, v1 bool) (tree *Tree, swept int) {
	t.Helper()
	tree, swept, err := treeAt(base, v1, owner())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tree.Remove)
	return tree, swept
}

// inTree returns a group in a tree that can hold processes.
func inTree(t *testing.T, tree *Tree) string {
	t.Helper()
	leaf := filepath.Join(tree.Path(), "1")
	if err := unix.Mkdir(leaf, 0o755); err != nil {
		t.Fatal(err)
	}
	return leaf
}

// leave makes a tree as a killed erluv leaves it: without a lock.
func leave(t *testing.T, base string, v1 bool) (dir string, in *exec.Cmd) {
	t.Helper()
	tree, _ := makeTree(t, base, v1)
	in = put(t, inTree(t, tree))
	tree.close()
	t.Cleanup(func() { _ = unix.Rmdir(tree.dir) })
	return tree.dir, in
}

// TestSweep: the trees of dead erluvs are emptied and removed, and nothing else.
func TestSweep(t *testing.T) {
	eachHierarchy(t, func(t *testing.T, base string, v1 bool) {
		alive, _ := makeTree(t, base, v1)
		living := put(t, inTree(t, alive))
		others := map[string]*exec.Cmd{}
		foreign := filepath.Join(base, "erluv-fedcba9876543210.tree")
		for _, name := range []string{
			"erluv-0123456789abcde.tree", "erluv-0123456789abcdef0.tree", "erluv-0123456789ABCDEF.tree",
			"erluv-0123456789abcdef", "xerluv-0123456789abcdef.tree", "erluv-0123456789abcdef.tree.d",
			filepath.Base(foreign),
			// The tree of another erluv, whose own group is the one above.
			filepath.Base(foreign) + "/erluv-0123456789abcdef.tree",
		} {
			dir := filepath.Join(base, name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { eventuallyRemoved(t, dir) })
			others[dir] = put(t, dir)
		}
		if os.Geteuid() == 0 {
			for _, name := range []string{"cgroup.procs", (&Tree{v1: v1}).lockName()} {
				if err := os.Chown(filepath.Join(foreign, name), 65534, 65534); err != nil {
					t.Fatal(err)
				}
			}
		}

		empty, _ := makeTree(t, base, v1)
		left, in := leave(t, base, v1)
		empty.close()
		// The next tree sweeps both, and leaves nothing for the one after it.
		_, swept := makeTree(t, base, v1)
		if want := map[bool]int{false: 2, true: 1}[v1]; swept != want || !wasKilled(in) || exists(left) || exists(empty.dir) {
			t.Fatalf("%d were swept; %v; it is there: %v", swept, in.ProcessState, exists(left))
		}
		if _, swept = makeTree(t, base, v1); swept != 0 {
			t.Errorf("%d more were swept", swept)
		}
		for dir, cmd := range others {
			if os.Geteuid() != 0 && strings.HasPrefix(dir, foreign) {
				continue // only another user could have made it
			}
			if !exists(dir) || dead(cmd.Process.Pid) {
				t.Errorf("%s was swept too", dir)
			}
		}
		if dead(living.Process.Pid) || !exists(alive.Path()+"/1") {
			t.Error("the tree of a living one was swept")
		}
	})
}

// TestSweepIsNotHeldUp: a program of the user cannot prevent a sweep by locks of its own. Nor can
// it prevent other erluvs from making trees.
func TestSweepIsNotHeldUp(t *testing.T) {
	if os.Geteuid() != 0 {
		return // programs run as erluv's own user, who may do anything to the trees
	}
	eachHierarchy(t, func(t *testing.T, base string, v1 bool) {
		left, in := leave(t, base, v1)
		cmd := exec.Command("/bin/sh", "-c", `for f in "$@"; do flock -sn $f true && echo $f; done`, "sh",
			left, left+"/"+(&Tree{v1: v1}).lockName())
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner().UID, Gid: owner().GID}}
		if out, _ := cmd.Output(); string(out) != left+"\n" {
			t.Errorf("the user has locked %q, and should have the directory only", out)
		}
		for _, dir := range []string{left, base} {
			fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
				t.Fatal(err)
			}
		}
		if _, swept := makeTree(t, base, v1); swept != 1 || !wasKilled(in) || exists(left) {
			t.Errorf("%d were swept", swept)
		}
	})
}

// TestSweepAtOnce: of many erluvs that start at once each gets a tree, and none mistakes another's
// tree for a left one.
func TestSweepAtOnce(t *testing.T) {
	eachHierarchy(t, func(t *testing.T, base string, v1 bool) {
		type made struct {
			tree  *Tree
			swept int
			err   error
		}
		const many = 16
		left, in := leave(t, base, v1)
		all := make(chan made)
		for range many {
			go func() {
				tree, swept, err := treeAt(base, v1, owner())
				all <- made{tree, swept, err}
			}()
		}
		sum := 0
		for range many {
			m := <-all
			if m.err != nil {
				t.Error(m.err)
				continue
			}
			sum += m.swept
			defer m.tree.Remove()
			if err := unix.Mkdir(m.tree.Path()+"/1", 0o755); err != nil {
				t.Errorf("%s was swept: %v", m.tree.Path(), err)
			}
		}
		if sum != 1 || exists(left) || !wasKilled(in) {
			t.Errorf("%d were swept, want 1; it is there: %v", sum, exists(left))
		}
	})
}

// TestTreeOfVersion1: a tree without cgroup.kill is emptied and removed too.
func TestTreeOfVersion1(t *testing.T) {
	eachHierarchy(t, func(t *testing.T, base string, v1 bool) {
		if !v1 {
			return
		}
		tree, _ := makeTree(t, base, v1)
		for range 2 {
			leaf := inTree(t, tree)
			var all []*exec.Cmd
			for range 5 {
				all = append(all, put(t, leaf), put(t, tree.Path()))
			}
			if err := tree.Empty(); err != nil {
				t.Fatal(err)
			}
			for i, cmd := range all {
				if !wasKilled(cmd) {
					t.Errorf("process %d: %v", i, cmd.ProcessState)
				}
			}
			if exists(leaf) || !exists(tree.Path()) {
				t.Errorf("the leaf is there: %v, the tree: %v", exists(leaf), exists(tree.Path()))
			}
		}
		tree.Remove()
		if exists(tree.Path()) {
			t.Error("it is left")
		}
	})
}

// dead reports whether a process has ended, reaped or not.
func dead(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	return f[0] == "Z" || f[0] == "X"
}

// eventuallyRemoved removes a group once its last process is gone.
func eventuallyRemoved(t *testing.T, dir string) {
	for end := time.Now().Add(2 * time.Minute); ; {
		err := unix.Rmdir(dir)
		if err == nil || err == unix.ENOENT {
			return
		}
		if time.Now().After(end) {
			t.Errorf("cannot remove %s: %v", dir, err)
			return
		}
	}
}
