package watch

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// dirOfHelper is the directory of a helper process, and empty in the test itself.
func dirOfHelper() string { return os.Getenv("WATCH_DIR") }

// forNobody makes a directory that is writable for the user nobody.
func forNobody(t *testing.T) string {
	t.Helper()
	d := t.TempDir()
	must(t, os.Chmod(d, 0o777))
	must(t, os.Chmod(filepath.Dir(d), 0o755))
	return d
}

func asNobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// TestUnreadable checks that a directory which cannot be read is reported as not watched.
func TestUnreadable(t *testing.T) {
	d := dirOfHelper()
	if d == "" && os.Getuid() == 0 { // root can read everything
		helper(t, "TestUnreadable", forNobody(t), asNobody())
		return
	}
	w, d := newWorld(t), t.TempDir()
	touch(t, d+"/file")
	must(t, os.Chmod(d+"/file", 0o200))
	mkdir(t, d+"/tree/open")
	must(t, os.Mkdir(d+"/tree/shut", 0o300))
	w.do(func() {
		for _, path := range []string{d + "/file", d + "/tree/shut"} {
			if _, err := w.set.Watch(path, All, false, nil); err != unix.EACCES {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
	tree := w.watch(d+"/tree", All, true, nil)
	w.expect(w.take(d+"/tree/f1"), "unwatched EACCES "+d+"/tree/shut")
	must(t, os.Mkdir(d+"/tree/open/later", 0o300))
	touch(t, d+"/tree/open/later/x")
	w.expect(w.take(d+"/tree/f2"), "created "+d+"/tree/open/later", "unwatched EACCES "+d+"/tree/open/later")
	if _, not := w.counts(tree); not != 2 {
		t.Errorf("%d unwatched", not)
	}
	// The directory is readable now, and its entries were created before it was watched.
	must(t, os.Chmod(d+"/tree/open/later", 0o700))
	touch(t, d+"/tree/open/later/y")
	w.expect(w.take(d+"/tree/f3"),
		"attrib "+d+"/tree/open/later", "created "+d+"/tree/open/later/x", "created "+d+"/tree/open/later/y")
}

// TestManyUnreadable checks that maxRefused directories are reported, and all are counted.
func TestManyUnreadable(t *testing.T) {
	d := dirOfHelper()
	if d == "" && os.Getuid() == 0 {
		helper(t, "TestManyUnreadable", forNobody(t), asNobody())
		return
	}
	w, d := newWorld(t), t.TempDir()
	for _, path := range number(d+"/%d", maxRefused+50) {
		must(t, os.Mkdir(path, 0o300))
	}
	tree := w.watch(d, All, true, nil)
	got := w.take(d + "/fence")
	if _, not := w.counts(tree); len(got) != maxRefused || not != maxRefused+50 {
		t.Errorf("%d told, %d counted", len(got), not)
	}
}

// TestKernelsLimits checks the limits of instances and watches for a user. It sets them in a
// namespace (namespaces(7), /proc/sys/user).
func TestKernelsLimits(t *testing.T) {
	if dirOfHelper() == "" {
		d := t.TempDir()
		helper(t, "TestKernelsLimits", d, inNamespace())
		return
	}
	limit := func(name, n string) {
		t.Helper()
		must(t, os.WriteFile("/proc/sys/user/max_inotify_"+name, []byte(n), 0))
	}
	w, d := newWorld(t), t.TempDir()
	mkdir(t, number(d+"/tree/%d", 9)...)
	mkdir(t, d+"/other")
	limit("instances", "0")
	w.do(func() {
		if _, err := w.set.Watch(d, All, false, nil); err != unix.EMFILE {
			t.Errorf("without an instance: %v", err)
		}
	})
	limit("instances", "1")
	limit("watches", "5")
	w.begin(d+"/tree", All, true, nil)
	w.expect(w.takeUntil("failed ENOSPC"))
	w.do(func() {
		if w.set.fd >= 0 || w.set.nodes != 0 {
			t.Errorf("%d nodes are left", w.set.nodes)
		}
	})
	w.watch(d+"/other", All, false, nil)
	w.begin(d+"/tree", All, true, nil) // beside another watcher, which goes on
	w.expect(w.takeUntil("failed ENOSPC"))
	w.until("its watches are gone", func() bool { return len(w.set.unused) == 0 && w.set.nodes == 1 })
	limit("watches", "12")
	w.watch(d+"/tree", All, true, nil)
	mkdir(t, d+"/tree/8/a", d+"/tree/8/b")
	w.expect(w.take(d+"/tree/fence"),
		"created "+d+"/tree/8/a", "created "+d+"/tree/8/b", "unwatched ENOSPC "+d+"/tree/8/b")
	w.do(func() {
		if _, err := w.set.Watch(d, All, false, nil); err != unix.ENOSPC {
			t.Errorf("with all watches taken: %v", err)
		}
	})
}

// TestOwnLimit checks maxNodes, the limit of all watchers together.
func TestOwnLimit(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	mkdir(t, d+"/a")
	w.do(func() {
		w.set.nodes = maxNodes - 1
		if _, err := w.set.Watch(d, All, true, nil); err != nil {
			t.Error(err)
		}
		if _, err := w.set.Watch(d, All, false, nil); err != unix.ENOSPC {
			t.Errorf("beyond the limit: %v", err)
		}
	})
	w.expect(w.takeUntil("failed ENOSPC"))
}

// TestUnmounted checks that a watcher ends when its file system is unmounted.
func TestUnmounted(t *testing.T) {
	if dirOfHelper() == "" {
		helper(t, "TestUnmounted", t.TempDir(), inNamespace())
		return
	}
	w, d := newWorld(t), t.TempDir()
	mkdir(t, d+"/m")
	must(t, unix.Mount("none", d+"/m", "tmpfs", 0, ""))
	mkdir(t, d+"/m/sub/sub")
	w.watch(d, All, true, "above")
	w.watch(d+"/m", All, true, "root")
	w.watch(d+"/m/sub/sub", All, false, "sub")
	must(t, unix.Unmount(d+"/m", 0))
	for _, line := range []string{"root: ended", "sub: ended"} {
		w.until(line, func() bool {
			return strings.Count(strings.Join(w.news, "\n"), line) == 1
		})
	}
	touch(t, d+"/fence")
	got := w.takeUntil("above: created " + d + "/fence")
	for _, line := range got {
		if strings.HasPrefix(line, "above: ") {
			t.Errorf("told %q", line)
		}
	}
	w.do(func() {
		if w.set.nodes != 1 || len(w.set.table) != 1 {
			t.Errorf("%d nodes, %d watches", w.set.nodes, len(w.set.table))
		}
	})
}

// TestEntryOfUnknownType reads entries whose type the file system does not give.
func TestEntryOfUnknownType(t *testing.T) {
	d := t.TempDir()
	mkdir(t, d+"/dir")
	touch(t, d+"/file")
	f, err := os.Open(d)
	must(t, err)
	defer f.Close()
	l := lane{fd: int(f.Fd())}
	for _, e := range []struct {
		name string
		kind byte
		dir  bool
	}{
		{"dir", unix.DT_UNKNOWN, true},
		{"file", unix.DT_UNKNOWN, false},
		{"none", unix.DT_UNKNOWN, false},
		{"x", unix.DT_DIR, true},
		{"x", unix.DT_LNK, false},
	} {
		record := append(make([]byte, 16), 24, 0, e.kind)
		record = append(append(record, e.name...), make([]byte, 5-len(e.name))...)
		l.buf = append(record, 0xff, 0xff, 0xff) // the next one
		l.next, l.have = 0, len(l.buf)
		if name, dir := l.entry(); string(name) != e.name || dir != e.dir || l.next != 24 {
			t.Errorf("%s of type %d: %q, %v, next at %d", e.name, e.kind, name, dir, l.next)
		}
	}
}
