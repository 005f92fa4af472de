package spawner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"erluv/ipc"
	"erluv/sandbox/cgroup"

	"golang.org/x/sys/unix"
)

var allLimits = ipc.Limits{Memory: 64 << 20, PIDs: 7, CPU: 150}

// TestLimitsInLeaf: in version 2 the leaf has the limits, before a program starts there. It is not
// reused.
func TestLimitsInLeaf(t *testing.T) {
	dir := t.TempDir() // like cgroupfs, except that files do not appear by themselves
	files := map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "pids.max": "7", "cpu.max": "150000 100000"}
	for _, swap := range []bool{true, false} {
		l, err := newLimiter(ipc.LimitDirs{dir, dir, dir}, dir)
		if err != nil {
			t.Fatal(err)
		}
		leafDir := t.TempDir()
		for name := range files {
			if swap || name != "memory.swap.max" {
				if err := os.WriteFile(filepath.Join(leafDir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		at := site{leaf: leaf{number: 3, fd: open(t, leafDir)}}
		if no := l.take(&allLimits, &at); no != nil || at.number != 0 || len(at.enter) > 0 || !at.inLeaf {
			t.Fatalf("%+v: %+v", no, at)
		}
		for name, want := range files {
			got, err := os.ReadFile(filepath.Join(leafDir, name))
			if name == "memory.swap.max" && !swap {
				if err == nil {
					t.Error("a file was made")
				}
			} else if err != nil || string(got) != want {
				t.Errorf("%s has %q, %v, want %q", name, got, err, want)
			}
		}
	}
}

func open(t *testing.T, dir string) int {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// TestLimitsThatCannotBe: the refusal names the missing limit, and nothing is left.
func TestLimitsThatCannotBe(t *testing.T) {
	dir, leaves := t.TempDir(), t.TempDir()
	if _, err := newLimiter(ipc.LimitDirs{filepath.Join(dir, "none")}, ""); err == nil || !strings.Contains(err.Error(), "cannot open") {
		t.Errorf("a directory that there is not: %v", err)
	}
	for name, c := range map[string]struct {
		dirs  ipc.LimitDirs
		want  ipc.Limits
		which ipc.Limit
		errno unix.Errno
	}{
		"none at all":  {ipc.LimitDirs{}, allLimits, ipc.LimitMemory, unix.ENOTSUP},
		"no processes": {ipc.LimitDirs{dir, "", dir}, allLimits, ipc.LimitPIDs, unix.ENOTSUP},
		"no processor": {ipc.LimitDirs{dir, dir, ""}, ipc.Limits{CPU: 1}, ipc.LimitCPU, unix.ENOTSUP},
		"no files":     {ipc.LimitDirs{dir, dir, dir}, ipc.Limits{PIDs: 1}, ipc.LimitPIDs, unix.ENOENT},
		"no leaf":      {ipc.LimitDirs{leaves, dir, leaves}, ipc.Limits{CPU: 1}, ipc.LimitCPU, unix.EBADF},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := newLimiter(c.dirs, leaves)
			if err != nil {
				t.Fatal(err)
			}
			at := site{leaf: leaf{fd: -1}}
			no := l.take(&c.want, &at)
			if no == nil || no.Stage != ipc.StageLimits || no.Limit != c.which || no.Errno != c.errno {
				t.Errorf("%+v, want %v, %v", no, c.which, c.errno)
			}
			if list, _ := os.ReadDir(dir); len(list) > 0 || at.number != 0 || len(l.used) > 0 {
				t.Errorf("left: %v, %+v, %v", list, at, l.used)
			}
		})
	}
}

// realLimits returns trees as main makes them.
func realLimits(t *testing.T) (ipc.LimitDirs, *limiter) {
	t.Helper()
	limits := cgroup.NewLimits(cgroup.Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}, nil)
	t.Cleanup(limits.Remove)
	dirs := ipc.LimitDirs(limits.Dirs())
	for i, dir := range dirs {
		if dir == "" && limits.Why == nil {
			t.Errorf("there is no limit %v, and nothing says why", ipc.Limit(i))
		}
	}
	l, err := newLimiter(dirs, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, d := range l.dirs {
			if d.fd >= 0 {
				_ = unix.Close(d.fd)
			}
		}
	})
	return dirs, l
}

// possible returns the limits that this machine allows.
func possible(dirs ipc.LimitDirs) (l ipc.Limits) {
	for i, to := range []func(){func() { l.Memory = 64 << 20 }, func() { l.PIDs = 7 }, func() { l.CPU = 50 }} {
		if dirs[i] != "" {
			to()
		}
	}
	return l
}

// TestGroups: groups have their limits from the beginning, with any umask. They skip existing
// groups, and are removed when they are released and have no process.
func TestGroups(t *testing.T) {
	dirs, l := realLimits(t)
	want := possible(dirs)
	if want.None() {
		return
	}
	defer unix.Umask(unix.Umask(0o777))
	for _, dir := range dirs {
		if dir != "" {
			_ = os.Mkdir(filepath.Join(dir, "1"), 0o755)
		}
	}
	there := func(n uint32) (some int) {
		for _, dir := range dirs {
			if dir != "" && isThere(dir, n) {
				some++
			}
		}
		return some
	}
	all := there(1)
	at := site{leaf: leaf{fd: -1}}
	if no := l.take(&want, &at); no != nil {
		t.Fatalf("%+v", no)
	}
	if at.number != 2 || there(2) != all || len(at.enter) == 0 || at.inLeaf {
		t.Fatalf("%+v, there are %d of %d", at, there(2), all)
	}
	for i, c := range map[ipc.Limit][2]string{
		ipc.LimitMemory: {"memory.limit_in_bytes", "67108864"},
		ipc.LimitPIDs:   {"pids.max", "7"},
		ipc.LimitCPU:    {"cpu.cfs_quota_us", "50000"},
	} {
		if dirs[i] == "" {
			continue
		}
		got, err := os.ReadFile(filepath.Join(dirs[i], "2", c[0]))
		if err != nil || strings.TrimSpace(string(got)) != c[1] {
			t.Errorf("%s has %q, %v", c[0], got, err)
		}
	}
	cmd := startIn(t, leaf{fd: -1}, "sleep", "1000")
	for _, fd := range at.enter {
		if _, err := unix.Write(fd, []byte(fmt.Sprint(cmd.Process.Pid))); err != nil {
			t.Fatal(err)
		}
	}
	l.release([]uint32{2})
	if there(2) != all || !slices.Equal(l.used, []uint32{2}) {
		t.Errorf("with a process in it %d are left, %v", there(2), l.used)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	at.close()
	soon(t, "it is removed", func() bool {
		l.release(nil)
		return len(l.used) == 0
	})
	if there(2) != 0 || there(1) != all {
		t.Errorf("%d are left, and %d of others", there(2), there(1))
	}
}

// TestLimitedProgram: a program enters its groups before its exec. A program that cannot be started
// leaves no groups.
func TestLimitedProgram(t *testing.T) {
	dirs, _ := realLimits(t)
	want := possible(dirs)
	bothModes(t, func(t *testing.T, reports bool) {
		p := servingWith(t, ipc.StartSpawner{Reports: reports, Limits: dirs, Few: true})
		if dirs != (ipc.LimitDirs{}) && want.None() {
			t.Fatal(dirs)
		}
		asked := program("sleep", "1000")
		asked.Attributes.Limits = want
		a, plain := p.spawned(asked), p.spawned(program("sleep", "1000"))
		if (a.Limited != 0) == want.None() || plain.Limited != 0 || a.Leaf != 0 {
			t.Errorf("%+v, without limits %+v", a, plain)
		}
		in := func(pid uint32) int {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
			return strings.Count(string(b), ".tree/"+name(a.Limited)+"\n")
		}
		made := 0
		for _, dir := range slices.Compact(slices.Sorted(slices.Values(dirs[:]))) {
			if dir != "" && isThere(dir, a.Limited) {
				made++
			}
		}
		if in(a.PID) != made || in(plain.PID) != 0 {
			t.Errorf("it is in %d of %d groups, one without limits in %d", in(a.PID), made, in(plain.PID))
		}
		bad := program("/nonexistent")
		bad.Attributes.Limits = want
		if no := p.spawned(bad); no.Stage != ipc.StageProgram || no.Errno != unix.ENOENT || no.Limited != 0 {
			t.Errorf("%+v", no)
		}
		_ = syscall.Kill(int(a.PID), syscall.SIGKILL)
		_ = syscall.Kill(int(plain.PID), syscall.SIGKILL)
		soon(t, "its groups are gone", func() bool {
			p.say(p.child, ipc.Release{Limited: []uint32{a.Limited}})
			for _, dir := range dirs {
				if list, _ := filepath.Glob(dir + "/[0-9]*"); dir != "" && len(list) > 0 {
					return false
				}
			}
			return true
		})
	})
}
