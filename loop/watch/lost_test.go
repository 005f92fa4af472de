package watch

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// queueLength is the system's limit of waiting events.
func queueLength(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	must(t, err)
	return n
}

// flood makes more events than the kernel keeps, while the host has no room.
func (w *world) flood(dir string, during func()) {
	w.t.Helper()
	w.atOnce(func() {
		for range queueLength(w.t)/2 + 1 {
			for _, name := range []string{"/x", "/y"} { // the kernel would merge two equal events
				touch(w.t, dir+name)
				must(w.t, os.Remove(dir+name))
			}
		}
		during()
	})
}

// TestOverflow checks that each watcher gets the overflow, and that all is watched again when it
// does.
func TestOverflow(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	for _, p := range []string{"/flood", "/tree/kept/sub", "/tree/gone", "/tree/old/sub", "/flat"} {
		mkdir(t, d+p)
	}
	for _, f := range []string{"/stays", "/ends", "/moved"} {
		touch(t, d+f)
	}
	w.watch(d+"/flood", Kinds(0).With(Created), false, "flood")
	tree := w.watch(d+"/tree", Kinds(0).With(Created), true, "tree")
	w.watch(d+"/flat", Kinds(0).With(Created), false, "flat")
	w.watch(d+"/stays", All, false, "stays")
	w.watch(d+"/ends", All, false, "ends")
	w.watch(d+"/moved", All, false, "moved")
	w.flood(d+"/flood", func() {
		mkdir(t, d+"/tree/new/sub")
		must(t, os.Remove(d+"/tree/gone"))
		must(t, os.Rename(d+"/tree/old", d+"/tree/renamed"))
		must(t, os.Remove(d+"/ends"))
		must(t, os.Rename(d+"/moved", d+"/moved2"))
		touch(t, d+"/moved")
	})
	for _, line := range []string{
		"tree: overflow " + d + "/tree", "flat: overflow " + d + "/flat", "stays: overflow " + d + "/stays",
		"flood: overflow " + d + "/flood", "ends: ended", "moved: ended",
	} {
		w.until(line, func() bool { return slices.Contains(w.news, line) })
	}
	w.do(func() {
		if !slices.Contains(w.news, "ends: deleted "+d+"/ends") || !slices.Contains(w.news, "moved: deleted "+d+"/moved") {
			t.Error("nobody was told that it is gone")
		}
		for _, line := range w.news {
			if strings.HasPrefix(line, "tree: ") && line != "tree: overflow "+d+"/tree" {
				t.Errorf("told %q", line)
			}
		}
		w.news = nil
	})
	dirs := []string{"", "/kept", "/kept/sub", "/new", "/new/sub", "/renamed", "/renamed/sub"}
	for _, p := range dirs {
		touch(t, d+"/tree"+p+"/x")
		w.expect(w.takeUntil("tree: created " + d + "/tree" + p + "/x"))
	}
	w.until("what is unused is removed", func() bool { return len(w.set.unused) == 0 })
	w.do(func() {
		if tree.Watched() != len(dirs) || w.set.nodes != len(dirs)+3 || len(w.set.table) != len(dirs)+3 {
			t.Errorf("%d of the tree, %d nodes, %d watches", tree.Watched(), w.set.nodes, len(w.set.table))
		}
	})
}

// TestOverflowOfAWalk loses events while the tree is read for the first time, and again later.
func TestOverflowOfAWalk(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	mkdir(t, d+"/flood")
	mkdir(t, number(d+"/tree/%d/a", 1000)...)
	w.watch(d+"/flood", Kinds(0).With(Created), false, "flood")
	tree := w.begin(d+"/tree", Kinds(0).With(Created), true, "tree")
	overflow := "flood: overflow " + d + "/flood"
	for range 2 {
		w.flood(d+"/flood", func() {})
		w.until(overflow, func() bool { return slices.Contains(w.news, overflow) })
		w.do(func() { w.news = slices.DeleteFunc(w.news, func(s string) bool { return s == overflow }) })
	}
	w.until("all is watched", func() bool { return tree.Live() && !tree.lost && tree.Watched() == 2001 })
	touch(t, d+"/tree/999/a/x")
	line := "tree: created " + d + "/tree/999/a/x"
	w.until(line, func() bool { return slices.Contains(w.news, line) })
}

// TestManyWatchesRemoved ends a watcher of many directories. The kernel reports the end of each
// watch in the queue, which must not overflow for the other watchers.
func TestManyWatchesRemoved(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	mkdir(t, d+"/other")
	n := queueLength(t) + 2000
	for i := range n {
		must(t, os.MkdirAll(d+"/tree/"+strconv.Itoa(i/1000)+"/"+strconv.Itoa(i), 0o755))
	}
	w.watch(d+"/other", All, false, nil)
	tree := w.watch(d+"/tree", All, true, nil)
	if watched, _ := w.counts(tree); watched < n {
		t.Fatalf("%d of %d are watched", watched, n)
	}
	w.do(func() { w.set.Close(tree) })
	w.until("all are removed", func() bool { return len(w.set.unused) == 0 && w.set.position() == w.set.done() })
	w.expect(w.take(d + "/other/fence"))
	w.do(func() {
		if w.set.nodes != 1 || len(w.set.table) != 1 {
			t.Errorf("%d nodes, %d watches are left", w.set.nodes, len(w.set.table))
		}
	})
}
