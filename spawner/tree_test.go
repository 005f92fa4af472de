package spawner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// likeTree returns leaves in a plain directory. As in a tree of version 2, leaves are made, opened
// and removed there. The test must make the files of a leaf.
func likeTree(t *testing.T) (*leaves, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := newReserve()
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(r.fd) })
	return &leaves{dir: open(t, dir), spent: make(map[uint32]bool), reserve: r}, dir
}

// put writes a file of a leaf.
func put(t *testing.T, dir string, n uint32, file, text string) string {
	t.Helper()
	path := filepath.Join(dir, name(n), file)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// TestFreshLeaf: a leaf for limits serves one program only, and free leaves stay free.
func TestFreshLeaf(t *testing.T) {
	l, dir := likeTree(t)
	a, b := taken(t, l), taken(t, l)
	l.give(a.number)
	fresh, err := l.takeFresh()
	must(t, err)
	l.close(fresh)
	if fresh.number == a.number || fresh.number == b.number || !slices.Equal(l.free, []uint32{a.number}) || !l.spent[fresh.number] {
		t.Fatalf("%+v after %+v and %+v, free: %v, spent: %v", fresh, a, b, l.free, l.spent)
	}
	l.give(fresh.number)
	if again := taken(t, l); again.number != a.number || slices.Contains(l.free, fresh.number) || !l.untidy() {
		t.Errorf("%+v, free: %v", again, l.free)
	}
	l.tidy(1)
	if isThere(dir, fresh.number) || l.untidy() {
		t.Error("it is not removed")
	}
}

// TestLeafVersion2: what the spawner writes to a leaf's files, and reads from them.
func TestLeafVersion2(t *testing.T) {
	l, dir := likeTree(t)
	f := taken(t, l)
	s := &spawner{leaves: l}
	ask := func(sig unix.Signal) unix.Errno {
		return s.signal(ipc.SignalGroup{PID: 1 << 21, Signal: uint32(sig), Leaf: f.number}, nil)
	}
	for text, want := range map[string]unix.Errno{"populated 1\nfrozen 0\n": 0, "populated 0\nfrozen 0\n": unix.ESRCH} {
		put(t, dir, f.number, "cgroup.events", text)
		if got := ask(0); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	put(t, dir, f.number, "cgroup.events", "populated 1\n")
	if got := ask(unix.SIGKILL); got != unix.ENOENT || l.spent[f.number] {
		t.Errorf("a kill without the file: %v, spent: %v", got, l.spent)
	}
	if got := ask(unix.SIGTERM); got != unix.ENOENT {
		t.Errorf("a signal without the file: %v", got)
	}
	kill := put(t, dir, f.number, "cgroup.kill", "")
	if got := ask(unix.SIGKILL); got != 0 || !l.spent[f.number] {
		t.Errorf("a kill: %v, spent: %v", got, l.spent)
	}
	if b, err := os.ReadFile(kill); err != nil || string(b) != "1" {
		t.Errorf("it was told %q, %v", b, err)
	}
	// A process there is signalled, unless it is in the group. Ended processes, and lines that name
	// none, are skipped.
	stays, goes := startIn(t, leaf{fd: -1}, "sleep", "1000"), startIn(t, leaf{fd: -1}, "sleep", "1000")
	put(t, dir, f.number, "cgroup.procs", fmt.Sprintf("%d\n%d\n%d\n0\nx\n", stays.Process.Pid, goes.Process.Pid, 1<<22))
	before := descriptors(t)
	must(t, l.signalOthers(f.number, stays.Process.Pid, unix.SIGTERM))
	_ = goes.Wait()
	if ws := goes.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != unix.SIGTERM || gone(uint32(stays.Process.Pid)) {
		t.Errorf("%v; the group is gone: %v", goes.ProcessState, gone(uint32(stays.Process.Pid)))
	}
	must(t, l.signalOthers(f.number, stays.Process.Pid, unix.SIGTERM)) // reaches no process
	noneLeft(t, "signals", before)
}

// TestChmodOfLeaf: a program whose user owns its control group can change modes there. The spawner
// can still start others and end that program.
func TestChmodOfLeaf(t *testing.T) {
	l, dir := likeTree(t)
	f := taken(t, l)
	files := map[string]os.FileMode{"cgroup.kill": 0o200, "cgroup.procs": 0o644, "cgroup.events": 0o444}
	spoil := func() {
		for file := range files {
			must(t, os.Chmod(put(t, dir, f.number, file, ""), 0))
		}
		must(t, os.WriteFile(dir+"/cgroup.procs", nil, 0))
		must(t, os.Chmod(filepath.Join(dir, name(f.number)), 0))
		must(t, os.Chmod(dir, 0))
	}
	spoil()
	if os.Geteuid() == 0 { // modes do not restrict root
		l.repair(f.number)
	} else if errno := l.kill(f.number); errno != 0 {
		t.Errorf("a kill: %v", errno)
	}
	for file, mode := range files {
		if st, err := os.Stat(filepath.Join(dir, name(f.number), file)); err != nil || st.Mode() != mode {
			t.Errorf("%s: %v, %v", file, st.Mode(), err)
		}
	}
	for at, mode := range map[string]os.FileMode{"": 0o755 | os.ModeDir, name(f.number): 0o755 | os.ModeDir, "cgroup.procs": 0o644} {
		if st, err := os.Stat(filepath.Join(dir, at)); err != nil || st.Mode() != mode {
			t.Errorf("%q: %v, %v", at, st.Mode(), err)
		}
	}
	must(t, os.Chmod(dir, 0))
	delete(l.spent, f.number)
	l.give(f.number)
	if again := taken(t, l); again.number != f.number {
		t.Errorf("%+v instead of %d", again, f.number)
	}
}

// TestNoLeaves: without leaves, messages about leaves do no harm, even without descriptors.
func TestNoLeaves(t *testing.T) {
	l := here(t)
	before := descriptors(t)
	withRoom(t, 0, func() {
		for _, sig := range []unix.Signal{0, unix.SIGTERM, unix.SIGKILL} {
			if errno := l.signals(ipc.SignalGroup{PID: 1 << 21, Signal: uint32(sig), Leaf: 5}); errno != unix.ESRCH {
				t.Errorf("signal %d to a leaf that is none: %v", sig, errno)
			}
		}
	})
	l.settled()
	noneLeft(t, "signals", before)
	if is := descriptors(t)[0]; is != before[0] {
		t.Errorf("descriptor 0 is %q, it was %q", is, before[0])
	}
}
