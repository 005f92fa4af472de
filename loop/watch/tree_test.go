package watch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNothingIsMissed makes nested directories and fills them at once. Each entry must be reported
// exactly once.
func TestNothingIsMissed(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	w.watch(d, Kinds(0).With(Created), true, nil)
	var want []string
	var made sync.WaitGroup
	for i := range 300 {
		paths := []string{fmt.Sprintf("%s/%d", d, i)}
		for _, name := range []string{"a", "b", "c"} {
			paths = append(paths, paths[len(paths)-1]+"/"+name)
		}
		file := paths[len(paths)-1] + "/file"
		want = append(append(want, paths...), file)
		made.Go(func() {
			mkdir(t, filepath.Dir(file))
			touch(t, file)
		})
		if i%4 == 3 {
			made.Wait()
		}
	}
	made.Wait()
	w.until("all is told", func() bool { return len(w.news) >= len(want) })
	got := w.take(d + "/fence")
	for i := range want {
		want[i] = "created " + want[i]
	}
	slices.Sort(got)
	slices.Sort(want)
	w.expect(got, want...)
	touch(t, d+"/299/a/b/c/later")
	w.expect(w.take(d+"/fence2"), "created "+d+"/299/a/b/c/later")
}

// TestMkdirP does the same with a program: nothing can be faster than mkdir -p.
func TestMkdirP(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	w.watch(d, Kinds(0).With(Created), true, nil)
	script := fmt.Sprintf(`cd %s && for i in $(seq 100); do mkdir -p $i/a/b/c && : > $i/a/b/c/file; done`, d)
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := w.take(d + "/fence")
	for i := 1; i <= 100; i++ {
		at := 0
		for _, p := range []string{"", "/a", "/a/b", "/a/b/c", "/a/b/c/file"} {
			line := fmt.Sprintf("created %s/%d%s", d, i, p)
			next := slices.Index(got, line)
			if next < at || slices.Contains(got[next+1:], line) {
				t.Fatalf("%q: %d, after %d, of %q", line, next, at, got)
			}
			at = next
		}
	}
	if len(got) != 500 {
		t.Errorf("%d were told", len(got))
	}
}

// TestTenThousandFiles writes files into a tree that is still being created.
func TestTenThousandFiles(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	w.watch(d, Kinds(0).With(Created).With(Closed), true, nil)
	var made sync.WaitGroup
	for i := range 4 {
		made.Go(func() {
			for j := range 50 {
				dir := fmt.Sprintf("%s/%d/%d/x", d, i, j)
				mkdir(t, dir)
				for k := range 50 {
					touch(t, fmt.Sprintf("%s/%d", dir, k))
				}
			}
		})
	}
	made.Wait()
	touch(t, d+"/fence")
	var got []string
	w.until("the fence", func() bool {
		return slices.ContainsFunc(w.news, func(s string) bool { return strings.HasSuffix(s, "/fence") })
	})
	w.do(func() { got = w.news })
	created, closed := map[string]int{}, map[string]bool{}
	for _, line := range got {
		what, path, _ := strings.Cut(line, " ")
		if strings.Contains(what, "created") {
			created[path]++
		}
		closed[path] = closed[path] || strings.Contains(what, "closed")
	}
	files := 0
	must(t, filepath.WalkDir(d, func(path string, e os.DirEntry, err error) error {
		if path == d || err != nil {
			return err
		}
		if created[path] != 1 {
			t.Errorf("%s was created %d times", path, created[path])
		}
		if !e.IsDir() {
			if files++; !closed[path] {
				t.Errorf("%s was not closed", path)
			}
		}
		return nil
	}))
	if files != 10_001 || len(created) != 10_001+4+200+200 {
		t.Errorf("%d files, %d told", files, len(created))
	}
}

// TestTreeThatIsThere checks that an existing tree is watched but not reported.
func TestTreeThatIsThere(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	dirs := number(d+"/%d/a/b", 300)
	mkdir(t, dirs...)
	watcher := w.watch(d, All, true, nil)
	if watched, not := w.counts(watcher); watched != 901 || not != 0 || !watcher.Recursive() || watcher.Path() != d {
		t.Errorf("%d watched, %d not", watched, not)
	}
	var want []string
	for _, dir := range dirs {
		touch(t, dir+"/x")
		want = append(want, "created "+dir+"/x")
	}
	w.expect(w.take(d+"/fence"), want...)
	must(t, os.RemoveAll(d+"/7"))
	w.expect(w.take(d+"/fence2"), "deleted "+d+"/7/a/b/x", "deleted "+d+"/7/a/b", "deleted "+d+"/7/a", "deleted "+d+"/7")
	w.until("no watch is left", func() bool { return watcher.Watched() == 898 && len(w.set.table) == 898 })
}

// TestRenamedDirectories checks that renamed directories keep their watches and have their new
// paths.
func TestRenamedDirectories(t *testing.T) {
	w, d, outside := newWorld(t), t.TempDir(), t.TempDir()
	mkdir(t, d+"/a/b/c", d+"/empty", outside+"/full/sub")
	touch(t, outside+"/full/sub/f")
	watcher := w.watch(d, All, true, nil)

	must(t, os.Rename(d+"/a", d+"/z"))
	touch(t, d+"/z/b/c/x")
	w.expect(w.take(d+"/f1"), "renamed "+d+"/a", "renamed "+d+"/z", "created "+d+"/z/b/c/x")

	// Into another directory, in place of an empty one.
	must(t, unix.Rename(d+"/z/b", d+"/empty")) // os.Rename does not
	touch(t, d+"/empty/c/y")
	w.expect(w.take(d+"/f2"), "renamed "+d+"/z/b", "renamed "+d+"/empty", "created "+d+"/empty/c/y")

	// With its children, while directories are created in them.
	must(t, os.Rename(d+"/empty", d+"/z/1"))
	mkdir(t, d+"/z/1/c/new/new")
	must(t, os.Rename(d+"/z/1", d+"/z/2"))
	touch(t, d+"/z/2/c/new/new/x")
	got := w.take(d + "/f3")
	for _, line := range []string{"renamed " + d + "/z/1", "renamed " + d + "/z/2", "created " + d + "/z/2/c/new/new/x"} {
		if !slices.Contains(got, line) {
			t.Errorf("%q was not told: %q", line, got)
		}
	}

	// From outside: its entries count as created.
	must(t, os.Rename(outside+"/full", d+"/full"))
	touch(t, d+"/full/sub/g")
	got = w.take(d + "/f4")
	slices.Sort(got)
	w.expect(got, "created "+d+"/full/sub", "created "+d+"/full/sub/f", "created "+d+"/full/sub/g", "renamed "+d+"/full")

	// To the outside: it is no longer watched.
	before, _ := w.counts(watcher)
	must(t, os.Rename(d+"/full", outside+"/gone"))
	touch(t, outside+"/gone/sub/h")
	w.expect(w.take(d+"/f5"), "renamed "+d+"/full")
	if after, _ := w.counts(watcher); after != before-2 {
		t.Errorf("%d watched, then %d", before, after)
	}
	// And back again.
	must(t, os.Rename(outside+"/gone", d+"/full"))
	got = w.take(d + "/f6")
	slices.Sort(got)
	w.expect(got, "created "+d+"/full/sub", "created "+d+"/full/sub/f", "created "+d+"/full/sub/g", "created "+d+"/full/sub/h", "renamed "+d+"/full")
	if after, _ := w.counts(watcher); after != before {
		t.Errorf("%d watched, then %d", before, after)
	}
}

// TestRenamedBeforeItIsSeen renames directories so that a lookup by path finds nothing, or another
// directory.
func TestRenamedBeforeItIsSeen(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	mkdir(t, d+"/a", d+"/c")
	watcher := w.watch(d, Kinds(0).With(Created), true, nil)
	w.atOnce(func() {
		// Nothing has the parent's name any more.
		mkdir(t, d+"/a/x/y")
		must(t, os.Rename(d+"/a", d+"/b"))
		// Another directory has the parent's name.
		mkdir(t, d+"/c/x/y")
		must(t, os.Rename(d+"/c", d+"/e"))
		mkdir(t, d+"/c/x/z")
		// Another directory has its own name, twice.
		mkdir(t, d+"/f/1")
		must(t, os.Rename(d+"/f", d+"/g"))
		mkdir(t, d+"/f/2")
		must(t, os.Rename(d+"/f", d+"/h"))
		mkdir(t, d+"/f/3")
	})
	got := w.take(d + "/fence")
	for _, p := range []string{"/b/x", "/b/x/y", "/e/x", "/e/x/y", "/c/x", "/c/x/z", "/g/1", "/h/2", "/f/3"} {
		if !slices.ContainsFunc(got, func(s string) bool {
			// Or under the path at the time of its creation.
			return s == "created "+d+p || s == "created "+d+strings.NewReplacer("/b/", "/a/", "/e/", "/c/").Replace(p)
		}) {
			t.Errorf("%s was not told: %q", p, got)
		}
	}
	dirs := 0
	must(t, filepath.WalkDir(d, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs++
			w.expect(w.take(path + "/seen"))
		}
		return err
	}))
	w.until("only what is there is watched", func() bool {
		return watcher.Watched() == dirs && w.set.nodes == dirs && len(w.set.table) == dirs && len(w.set.unused) == 0
	})
}

// TestRenamedDuringTheWalk renames directories while the tree is read for the first time.
func TestRenamedDuringTheWalk(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	for i := range 20 {
		mkdir(t, number(fmt.Sprintf("%s/a%d/b/%%d/c", d, i), 10)...)
	}
	watcher := w.begin(d, Kinds(0).With(Created), true, nil)
	for range 3 {
		for i := range 20 {
			from := fmt.Sprintf("%s/a%d", d, i)
			must(t, os.Rename(from+"/b", d+"/moving"))
			must(t, os.Rename(from, from+"x"))
			mkdir(t, from)
			must(t, os.Rename(d+"/moving", from+"/b"))
			must(t, os.Remove(from+"x"))
		}
	}
	w.until("all is watched", watcher.Live)
	w.take(d + "/fence")
	dirs := 0
	must(t, filepath.WalkDir(d, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs++
			w.expect(w.take(path + "/seen"))
		}
		return err
	}))
	w.until("only what is there is watched", func() bool { return watcher.Watched() == dirs && w.set.nodes == dirs })
}

// TestDirectoriesComeAndGo makes, renames and removes directories at random. Those that exist in
// the end must be watched under their paths.
func TestDirectoriesComeAndGo(t *testing.T) {
	w, d, outside := newWorld(t), t.TempDir(), t.TempDir()
	watcher := w.watch(d, All, true, nil)
	var doing sync.WaitGroup
	for i := range 3 {
		doing.Go(func() {
			mine := fmt.Sprintf("%s/%d", d, i)
			for j := range 200 {
				mkdir(t, mine+"/a/b")
				touch(t, mine+"/a/b/x")
				switch j % 4 {
				case 0:
					must(t, os.RemoveAll(mine+"/a"))
				case 1:
					must(t, os.Rename(mine, mine+"x"))
					must(t, os.Rename(mine+"x", mine))
				case 2:
					away := fmt.Sprintf("%s/%d-%d", outside, i, j)
					must(t, os.Rename(mine+"/a", away))
					mkdir(t, mine+"/a")
				case 3:
					must(t, os.RemoveAll(mine+"/a/c"))
					must(t, os.Rename(mine+"/a/b", mine+"/a/c"))
				}
			}
		})
	}
	doing.Wait()
	w.take(d + "/fence")
	w.until("the past is forgotten", func() bool { return len(w.set.moving) == 0 && len(w.set.fresh) == 0 && len(w.set.unused) == 0 })
	dirs := 0
	must(t, filepath.WalkDir(d, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs++
			fence := path + "/seen"
			w.expect(w.take(fence))
		}
		return err
	}))
	w.do(func() {
		if watcher.Watched() != dirs || w.set.nodes != dirs || len(w.set.table) != dirs {
			t.Errorf("%d directories, %d watched, %d nodes, %d watches", dirs, watcher.Watched(), w.set.nodes, len(w.set.table))
		}
	})
}

// TestTooDeep makes paths by renaming that are longer than any program can use.
func TestTooDeep(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	name := strings.Repeat("n", 250)
	deep := d + "/a" + strings.Repeat("/"+name, 15)
	mkdir(t, deep, d+"/b/"+name+"/"+name+"/c")
	w.watch(d, All, true, nil)
	f, err := os.Open(d + "/b/" + name + "/" + name + "/c")
	must(t, err)
	defer f.Close()
	must(t, os.Rename(d+"/b", deep+"/b"))
	w.expect(w.take(d+"/f1"), "renamed "+d+"/b", "renamed "+deep+"/b")
	fd, err := unix.Openat(int(f.Fd()), "x", unix.O_CREAT|unix.O_CLOEXEC, 0o644)
	must(t, err)
	must(t, unix.Close(fd))
	w.expect(w.take(d+"/f2"), "unwatched ENAMETOOLONG "+d)
	fd, err = unix.Openat(int(f.Fd()), "y", unix.O_CREAT|unix.O_CLOEXEC, 0o644)
	must(t, err)
	must(t, unix.Close(fd))
	w.expect(w.take(d + "/f3"))
}

// TestWhatIsFound fills a directory before it can be watched. Each watcher must get the kinds that
// it wants.
func TestWhatIsFound(t *testing.T) {
	for _, c := range []struct {
		wanted Kinds
		want   []string
	}{
		{All, []string{"created /new", "created /new/file", "created /new/sub"}},
		{Kinds(0).With(Created).With(Closed), []string{"created /new", "created /new/sub", "created,closed /new/file"}},
		{Kinds(0).With(Closed), []string{"closed /new/file"}},
		{Kinds(0).With(Modified), []string{"modified /new/file"}},
		{Kinds(0).With(Deleted), nil},
	} {
		w, d := newWorld(t), t.TempDir()
		w.watch(d, Kinds(0).With(Created), false, "fence")
		w.watch(d, c.wanted, true, nil)
		w.atOnce(func() {
			mkdir(t, d+"/new/sub")
			touch(t, d+"/new/file")
		})
		must(t, os.Mkdir(d+"/end", 0o700))
		got := w.takeUntil("fence: created " + d + "/end")
		got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "fence: ") || strings.HasSuffix(s, "/end") })
		for i := range got {
			got[i] = strings.Replace(got[i], d, "", 1)
		}
		slices.Sort(got)
		w.expect(got, c.want...)
	}
}
