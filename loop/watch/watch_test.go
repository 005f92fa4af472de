package watch

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFilesOfADirectory checks which reports an action in a directory causes.
func TestFilesOfADirectory(t *testing.T) {
	outside := t.TempDir()
	touch(t, outside+"/other")
	for name, c := range map[string]struct {
		do   func(t *testing.T, d string)
		want []string
	}{
		"create": {
			func(t *testing.T, d string) { touch(t, d+"/new") },
			[]string{"created,closed /new"},
		},
		"create and write": {
			func(t *testing.T, d string) { must(t, os.WriteFile(d+"/new", []byte("x"), 0o644)) },
			[]string{"created,modified,closed /new"},
		},
		"write": {
			func(t *testing.T, d string) { must(t, os.WriteFile(d+"/old", []byte("x"), 0o644)) },
			[]string{"modified,closed /old"},
		},
		"truncate": {
			func(t *testing.T, d string) { must(t, os.Truncate(d+"/old", 0)) },
			[]string{"modified /old"},
		},
		"mode": {
			func(t *testing.T, d string) { must(t, os.Chmod(d+"/old", 0o600)) },
			[]string{"attrib /old"},
		},
		"times": {
			func(t *testing.T, d string) { must(t, os.Chtimes(d+"/old", time.Unix(1, 0), time.Unix(2, 0))) },
			[]string{"attrib /old"},
		},
		"delete": {
			func(t *testing.T, d string) { must(t, os.Remove(d+"/old")) },
			[]string{"deleted /old"},
		},
		"delete and create": {
			func(t *testing.T, d string) {
				must(t, os.Remove(d+"/old"))
				touch(t, d+"/old")
				must(t, os.Remove(d+"/old"))
			},
			[]string{"deleted,created,closed /old", "deleted /old"},
		},
		"rename": {
			func(t *testing.T, d string) { must(t, os.Rename(d+"/old", d+"/new")) },
			[]string{"renamed /old", "renamed /new"},
		},
		"rename in": {
			func(t *testing.T, d string) { must(t, os.Rename(outside+"/other", d+"/new")) },
			[]string{"renamed /new"},
		},
		"rename out": {
			func(t *testing.T, d string) { must(t, os.Rename(d+"/old", outside+"/gone")) },
			[]string{"renamed /old"},
		},
		"symbolic link": {
			func(t *testing.T, d string) { must(t, os.Symlink("/nowhere", d+"/new")) },
			[]string{"created /new"},
		},
		"hard link": {
			func(t *testing.T, d string) { must(t, os.Link(d+"/old", d+"/new")) },
			[]string{"created /new"},
		},
		"directory": {
			func(t *testing.T, d string) {
				mkdir(t, d+"/new")
				touch(t, d+"/new/unseen")
			},
			[]string{"created /new"},
		},
		"itself": {
			func(t *testing.T, d string) { must(t, os.Chmod(d, 0o700)) },
			[]string{"attrib "},
		},
		"read": {
			func(t *testing.T, d string) {
				_, err := os.ReadFile(d + "/old")
				must(t, err)
			},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, d := newWorld(t), t.TempDir()
			must(t, os.WriteFile(d+"/old", []byte("old"), 0o644))
			w.watch(d, Kinds(All).With(Closed), false, nil)
			w.atOnce(func() {
				c.do(t, d)
				touch(t, d+"/fence")
			})
			got := w.takeUntil("created,closed " + d + "/fence")
			for i := range got {
				got[i] = strings.Replace(got[i], d, "", 1)
			}
			w.expect(got, c.want...)
		})
	}
}

// TestOnlyWhatIsWanted checks that a watcher gets no unwanted kinds, but does get the end.
func TestOnlyWhatIsWanted(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	dir := d + "/dir"
	mkdir(t, dir)
	w.watch(dir, Kinds(0).With(Deleted), false, nil)
	touch(t, dir+"/x")
	must(t, os.Chmod(dir+"/x", 0o600))
	must(t, os.Rename(dir+"/x", dir+"/y"))
	must(t, os.Remove(dir+"/y"))
	must(t, os.Remove(dir))
	w.expect(w.takeUntil("ended"), "deleted "+dir+"/y", "deleted "+dir)
}

// TestEnds checks the reports when the watched file goes.
func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, path string)
		want []string
	}{
		"deleted":  {func(t *testing.T, p string) { must(t, os.Remove(p)) }, []string{"attrib /f", "deleted /f"}},
		"renamed":  {func(t *testing.T, p string) { must(t, os.Rename(p, p+"2")) }, []string{"renamed /f"}},
		"replaced": {func(t *testing.T, p string) { touch(t, p+"2"); must(t, os.Rename(p+"2", p)) }, []string{"attrib /f", "deleted /f"}},
		"written and deleted": {
			func(t *testing.T, p string) {
				must(t, os.WriteFile(p, []byte("x"), 0o644))
				must(t, os.Remove(p))
			},
			[]string{"modified,attrib /f", "deleted /f"},
		},
	} {
		t.Run("file "+name, func(t *testing.T) {
			w, d := newWorld(t), t.TempDir()
			touch(t, d+"/f")
			watcher := w.watch(d+"/f", All, false, nil)
			w.atOnce(func() { c.do(t, d+"/f") })
			got := w.takeUntil("ended")
			for i := range got {
				got[i] = strings.Replace(got[i], d, "", 1)
			}
			w.expect(got, c.want...)
			w.do(func() { w.set.Close(watcher) }) // does nothing
		})
	}
	for _, recursive := range []bool{false, true} {
		w, d := newWorld(t), t.TempDir()
		dir := d + "/dir"
		mkdir(t, dir)
		w.watch(dir, All, recursive, nil)
		must(t, os.Remove(dir))
		w.expect(w.takeUntil("ended"), "deleted "+dir)
		mkdir(t, dir, dir+"/sub")
		w.watch(dir+"///", All, recursive, nil)
		touch(t, dir+"/x")
		must(t, os.Rename(dir, dir+"2"))
		w.expect(w.takeUntil("ended"), "created "+dir+"/x", "renamed "+dir)
	}
}

// TestDeletedButOpen checks that a deleted file which is still open does not count as gone.
func TestDeletedButOpen(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	f, err := os.Create(d + "/f")
	must(t, err)
	w.watch(d, All, false, "dir")
	w.watch(d+"/f", All, false, "file")
	must(t, os.Remove(d+"/f"))
	touch(t, d+"/fence")
	w.expect(w.takeUntil("dir: created "+d+"/fence"), "file: attrib "+d+"/f", "dir: deleted "+d+"/f")
	must(t, f.Close())
	w.expect(w.takeUntil("file: ended"), "file: deleted "+d+"/f")
}

func TestCannotWatch(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	touch(t, d+"/f")
	must(t, os.Symlink(d+"/nowhere", d+"/dangling"))
	must(t, os.Symlink(d+"/loop", d+"/loop"))
	for path, want := range map[string]error{
		d + "/none":                        unix.ENOENT,
		d + "/f/x":                         unix.ENOTDIR,
		d + "/dangling":                    unix.ENOENT,
		d + "/loop":                        unix.ELOOP,
		d + "/" + strings.Repeat("x", 256): unix.ENAMETOOLONG,
	} {
		w.do(func() {
			if _, err := w.set.Watch(path, All, true, nil); err != want {
				t.Errorf("%.40s: %v, want %v", path, err, want)
			}
			if w.set.fd >= 0 {
				t.Errorf("%.40s: an inotify instance is left", path)
			}
		})
	}
}

// TestLinkIsFollowed checks that a link can be watched, under its own path.
func TestLinkIsFollowed(t *testing.T) {
	for _, recursive := range []bool{false, true} {
		w, d := newWorld(t), t.TempDir()
		mkdir(t, d+"/real/sub", d+"/other")
		must(t, os.Symlink(d+"/real", d+"/link"))
		must(t, os.Symlink(d+"/other", d+"/real/away"))
		w.watch(d+"/link", All, recursive, nil)
		touch(t, d+"/other/x") // behind a link below the watched directory
		touch(t, d+"/real/sub/y")
		touch(t, d+"/real/fence")
		var want []string
		if recursive {
			want = append(want, "created "+d+"/link/sub/y")
		}
		w.expect(w.takeUntil("created "+d+"/link/fence"), want...)
	}
}

// TestTwoOfOne has two watchers of one directory, which share the kernel's watch. Each must get its
// events, and none from before it watched.
func TestTwoOfOne(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	first := w.watch(d, Kinds(0).With(Created), false, "a")
	w.do(func() { w.full = true })
	touch(t, d+"/before")
	touch(t, d+"/last")
	must(t, os.Chmod(d+"/last", 0o600)) // not wanted yet, so not in the queue
	second := w.begin(d, All, false, "b")
	w.do(func() {
		w.full = false
		w.set.Resume()
	})
	w.until("watching", second.Live)
	touch(t, d+"/fence")
	got := w.takeUntil("b: created " + d + "/fence")
	// Both get the last event in the queue, because the kernel merges an equal next event into it.
	w.expect(got, "a: created "+d+"/before", "a: created "+d+"/last", "b: watching", "a: created "+d+"/fence")
	w.do(func() { w.set.Close(first) })
	w.atOnce(func() {
		touch(t, d+"/x")
		must(t, os.Chmod(d+"/x", 0o600))
		touch(t, d+"/fence2")
	})
	w.expect(w.takeUntil("b: created "+d+"/fence2"), "b: created,attrib "+d+"/x")
	w.do(func() {
		if w.set.nodes != 1 || len(w.set.table) != 1 {
			t.Errorf("%d nodes, %d watches", w.set.nodes, len(w.set.table))
		}
	})
}

// TestManyOfOne has more watchers of one directory than there is room for at once. Each must get
// exactly one report.
func TestManyOfOne(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	const many = 300
	names := number("%03d", many)
	for _, name := range names {
		w.watch(d, All, false, name)
	}
	left := 7
	w.do(func() { w.set.host = &narrow{w, &left} })
	touch(t, d+"/x")
	touch(t, d+"/y")
	w.until("all are told", func() bool {
		if left == 0 {
			left = 7
			w.set.Resume()
		}
		return len(w.news) == 2*many
	})
	w.do(func() {
		for _, name := range names {
			for _, file := range []string{"/x", "/y"} {
				if !slices.Contains(w.news, name+": created "+d+file) {
					t.Errorf("%s was not told of %s", name, file)
				}
			}
		}
	})
}

// narrow is a host with room for a few messages at a time.
type narrow struct {
	*world
	left *int
}

func (h *narrow) Room() bool { return *h.left > 0 }

func (h *narrow) Changed(w *Watcher, what []Kind, path []byte) {
	*h.left--
	h.world.Changed(w, what, path)
}

// TestNothingIsReadWithoutRoom checks that events wait in the kernel's queue, which merges them.
func TestNothingIsReadWithoutRoom(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	f, err := os.Create(d + "/f")
	must(t, err)
	w.watch(d, All, false, nil)
	w.do(func() { w.full = true })
	for range 100_000 {
		_, err := f.WriteAt([]byte("x"), 0)
		must(t, err)
	}
	must(t, f.Close())
	w.until("room is asked for", func() bool { return w.asked })
	w.do(func() {
		if len(w.news) > 0 || w.set.have > 0 {
			t.Errorf("told %q, %d bytes read", w.news, w.set.have)
		}
		if n := w.set.position(); n != unix.SizeofInotifyEvent+16 {
			t.Errorf("%d bytes are queued", n)
		}
		w.full = false
		w.set.Resume()
	})
	w.expect(w.take(d+"/fence"), "modified "+d+"/f")
}

// TestGoneBeforeItIsWatched removes a directory that existed when Watch was called.
func TestGoneBeforeItIsWatched(t *testing.T) {
	w, d := newWorld(t), t.TempDir()
	mkdir(t, d+"/dir/sub")
	w.atOnce(func() {
		w.begin(d+"/dir", All, true, nil)
		must(t, os.RemoveAll(d+"/dir"))
	})
	w.expect(w.takeUntil("failed ENOENT"))
}
