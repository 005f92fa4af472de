package spawner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// tree makes a directory for one test that every user may enter.
func tree(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	for _, d := range []string{top, filepath.Dir(top)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// output opens a path, relative to dir, as a stream, writes to it and closes it.
func output(t *testing.T, dir string, st ipc.Stream) error {
	t.Helper()
	at, errno := openDir(dir)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer unix.Close(at)
	st.Source, st.Write, st.Mode, st.FD = ipc.SourceFile, true, 0o600, 1
	fd, err := openStream(st, at)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("%s: flags %o, %v", st.Path, flags, err)
	}
	_, err = unix.Write(fd, []byte("new"))
	return err
}

func TestOutputFollowsPaths(t *testing.T) {
	top := tree(t)
	must(t, os.MkdirAll(top+"/a/b", 0o755))
	must(t, os.Symlink("a", top+"/down"))
	must(t, os.Symlink("../b/./..", top+"/a/b/up"))
	must(t, os.Symlink(top+"/a//b", top+"/absolute"))
	must(t, os.Symlink("down/b/", top+"/slash"))
	must(t, os.Symlink("absolute/through", top+"/file"))
	must(t, os.Symlink("loop", top+"/loop"))
	must(t, os.WriteFile(top+"/plain", nil, 0o600))
	long := strings.Repeat("./", 1000)
	for path, want := range map[string]string{
		"x":                      "x",
		top + "/x":               "x",
		"//" + top + "//x":       "x",
		"a/b/x":                  "a/b/x",
		"down//b/x":              "a/b/x",
		"a/b/up/x":               "a/x",
		"a/../down/../x":         "x",
		"absolute/up/../a/b/./x": "a/b/x",
		"slash/x":                "a/b/x",
		"file":                   "a/b/through",
		long + "x":               "x",
	} {
		file := filepath.Join(top, want)
		if err := output(t, top, ipc.Stream{Path: path}); err != nil {
			t.Errorf("%.50s: %v", path, err)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != "new" {
			t.Errorf("%.50s: %q, %v in %s", path, b, err, want)
		}
		_ = os.Remove(file)
	}
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	pipe := fmt.Sprintf("/proc/self/fd/%d", w.Fd())
	for path, want := range map[string]unix.Errno{
		"":                       unix.ENOENT,
		"/":                      unix.EISDIR,
		".":                      unix.EISDIR,
		"a":                      unix.EISDIR,
		"a/":                     unix.EISDIR,
		"new/":                   unix.ENOENT,
		"..":                     unix.EISDIR,
		"slash":                  unix.EISDIR,
		"loop":                   unix.ELOOP,
		"no/such":                unix.ENOENT,
		"plain/x":                unix.ENOTDIR,
		strings.Repeat("x", 300): unix.ENAMETOOLONG,
		pipe:                     unix.ENOENT, // the link's text is not a path
	} {
		if err := output(t, top, ipc.Stream{Path: path}); err != want {
			t.Errorf("%.50q: %v, want %v", path, err, want)
		}
	}
}

func TestOutputTruncatesOrAppends(t *testing.T) {
	top := tree(t)
	for _, c := range []struct {
		add  bool
		want string
	}{{false, "new"}, {true, "oldnew"}} {
		must(t, os.WriteFile(top+"/x", []byte("old"), 0o640))
		must(t, output(t, top, ipc.Stream{Path: "x", Append: c.add}))
		if b, _ := os.ReadFile(top + "/x"); string(b) != c.want {
			t.Errorf("append %v: %q", c.add, b)
		}
	}
	// A file that is not regular is not truncated, and the spawner never waits for it.
	must(t, output(t, top, ipc.Stream{Path: "/dev/null"}))
	must(t, unix.Mkfifo(top+"/fifo", 0o600))
	if err := output(t, top, ipc.Stream{Path: "fifo"}); err != unix.ENXIO {
		t.Errorf("a FIFO that nobody reads: %v", err)
	}
}

// TestOutputThatOthersHavePlaced: links and files of other users are refused. Only root can make
// them.
func TestOutputThatOthersHavePlaced(t *testing.T) {
	if os.Geteuid() != 0 {
		// An ordinary user finds links of root, and may follow these.
		p, err := find(unix.AT_FDCWD, "/proc/self/net/x")
		must(t, err)
		p.close()
		return
	}
	const other, third = 4001, 4002
	top := tree(t)
	must(t, os.WriteFile(top+"/target", []byte("old"), 0o666))
	must(t, os.Mkdir(top+"/real", 0o777))
	dirs := map[string]struct {
		mode  os.FileMode
		owner int
	}{
		"sticky":      {0o777 | os.ModeSticky, 0},
		"theirs":      {0o777 | os.ModeSticky, other},
		"group":       {0o775 | os.ModeSticky, 0},
		"closed":      {0o755 | os.ModeSticky, 0},
		"open to all": {0o777, 0},
	}
	for d, c := range dirs {
		must(t, os.Mkdir(top+"/"+d, 0o755))
		for name, owner := range map[string]int{"mine": 0, "others": other, "thirds": third} {
			link := top + "/" + d + "/link-" + name
			must(t, os.Symlink("../target", link))
			must(t, os.Lchown(link, owner, owner))
			must(t, os.Symlink("../real", link+"-dir"))
			must(t, os.Lchown(link+"-dir", owner, owner))
			must(t, os.WriteFile(top+"/"+d+"/file-"+name, nil, 0o666))
			must(t, os.Chown(top+"/"+d+"/file-"+name, owner, owner))
		}
		must(t, os.WriteFile(top+"/"+d+"/first-name", nil, 0o666))
		must(t, os.Link(top+"/"+d+"/first-name", top+"/"+d+"/second-name"))
		must(t, os.Chown(top+"/"+d, c.owner, c.owner))
		must(t, os.Chmod(top+"/"+d, c.mode))
	}
	open := descriptors(t)
	for path, allowed := range map[string]bool{
		"sticky/link-mine": true, "sticky/link-others": false, "open to all/link-others": false, "closed/link-others": false,
		"theirs/link-others":     false, // a link of the directory's owner is refused too
		"sticky/link-mine-dir/x": true, "sticky/link-others-dir/x": false,
		"sticky/file-mine": true, "sticky/file-others": false, "sticky/new": true,
		"theirs/file-others": true, "theirs/file-thirds": false, "theirs/file-mine": true,
		"group/file-others": false, "closed/file-others": true, "open to all/file-others": true,
		"sticky/second-name": false, "open to all/second-name": true,
	} {
		before, _ := os.ReadFile(top + "/" + path)
		err := output(t, top, ipc.Stream{Path: path})
		if allowed && err != nil || !allowed && err != unix.EACCES {
			t.Errorf("%s: %v, allowed: %v", path, err, allowed)
		}
		if after, _ := os.ReadFile(top + "/" + path); !allowed && string(after) != string(before) {
			t.Errorf("%s holds %q, held %q", path, after, before)
		}
	}
	noneLeft(t, "refused files", open)
}
