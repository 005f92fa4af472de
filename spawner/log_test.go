package spawner

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// rotates requests a new file and returns the answer, with the file or -1.
func (l *local) rotates(m ipc.Rotate) (int, unix.Errno) {
	l.t.Helper()
	l.say(m)
	got, fds := l.hear()
	r, ok := got.(ipc.Rotated)
	if !ok || r.Seq != m.Seq || (r.Errno == 0) != (len(fds) == 1) {
		l.t.Fatalf("%#v with %v", got, fds)
	}
	if r.Errno != 0 {
		return -1, unix.Errno(r.Errno)
	}
	return fds[0], 0
}

// holds returns the contents of the files in a directory.
func holds(t *testing.T, dir string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	all := map[string]string{}
	for _, e := range list {
		if e.Type().IsRegular() {
			b, err := os.ReadFile(dir + "/" + e.Name())
			must(t, err)
			all[e.Name()] = string(b)
		}
	}
	return all
}

// TestRotate: the file gets the first free number, and those before it move, up to the number to
// keep. If the file still exists then, it is appended to.
func TestRotate(t *testing.T) {
	type files = map[string]string
	l := here(t)
	for name, c := range map[string]struct {
		keep         uint16
		before, then files
	}{
		"the first":        {3, files{"x": "a"}, files{"x": "new", "x.1": "a"}},
		"the second":       {3, files{"x": "b", "x.1": "a"}, files{"x": "new", "x.1": "b", "x.2": "a"}},
		"the last is lost": {2, files{"x": "c", "x.1": "b", "x.2": "a"}, files{"x": "new", "x.1": "c", "x.2": "b"}},
		"one is kept":      {1, files{"x": "b", "x.1": "a"}, files{"x": "new", "x.1": "b"}},
		"none is kept":     {0, files{"x": "b", "x.1": "a"}, files{"x": "bnew", "x.1": "a"}},
		"a gap":            {4, files{"x": "c", "x.1": "b", "x.3": "a"}, files{"x": "new", "x.1": "c", "x.2": "b", "x.3": "a"}},
		"it is gone":       {4, files{"x.1": "a"}, files{"x": "new", "x.1": "a"}},
		"others":           {2, files{"x": "a", "x.10": "b", "xx": "c", "x.1.gz": "d"}, files{"x": "new", "x.1": "a", "x.10": "b", "xx": "c", "x.1.gz": "d"}},
		"ten":              {9, files{"x": "0", "x.1": "1", "x.2": "2", "x.3": "3", "x.4": "4", "x.5": "5", "x.6": "6", "x.7": "7", "x.8": "8", "x.9": "9"}, files{"x": "new", "x.1": "0", "x.2": "1", "x.3": "2", "x.4": "3", "x.5": "4", "x.6": "5", "x.7": "6", "x.8": "7", "x.9": "8"}},
	} {
		t.Run(name, func(t *testing.T) {
			top := tree(t)
			for file, text := range c.before {
				must(t, os.WriteFile(top+"/"+file, []byte(text), 0o600))
			}
			must(t, os.Mkdir(top+"/beneath", 0o700))
			must(t, os.Symlink("../x", top+"/beneath/link"))
			fd, errno := l.rotates(ipc.Rotate{Seq: 3, Dir: top + "/beneath", Path: "link", Mode: 0o666, Umask: 0o027, Keep: c.keep})
			if errno != 0 {
				t.Fatal(errno)
			}
			defer unix.Close(fd)
			for _, text := range []string{"ne", "w"} {
				_, err := unix.Seek(fd, 0, 0)
				must(t, err)
				_, err = unix.Write(fd, []byte(text))
				must(t, err)
			}
			if got := holds(t, top); !maps.Equal(got, c.then) {
				t.Errorf("%v, want %v", got, c.then)
			}
			want := os.FileMode(0o640)
			if c.keep == 0 {
				want = 0o600 // it is the old file
			}
			if st, err := os.Stat(top + "/x"); err != nil || st.Mode() != want {
				t.Errorf("%v, %v", st.Mode(), err)
			}
		})
	}
}

// TestRotateRefused: a failed rotation is answered with the error, and no file is lost.
func TestRotateRefused(t *testing.T) {
	top := tree(t)
	long := strings.Repeat("y", 255)
	must(t, os.MkdirAll(top+"/dir.1/full", 0o755))
	must(t, os.Mkdir(top+"/folder", 0o755))
	must(t, os.Mkdir(top+"/closed", 0o755))
	must(t, unix.Mkfifo(top+"/fifo", 0o600))
	must(t, os.Symlink("loop", top+"/loop"))
	for _, file := range []string{"dir", "x", "closed/x", long} {
		must(t, os.WriteFile(top+"/"+file, []byte(file), 0o600))
	}
	must(t, os.Chmod(top+"/closed", 0o555))
	t.Cleanup(func() { must(t, os.Chmod(top+"/closed", 0o755)) })
	type refused struct {
		dir, path string
		keep      uint16
		errno     unix.Errno
	}
	all := map[string]refused{
		"no directory":             {"/no/such", "x", 1, unix.ENOENT},
		"a file for it":            {top + "/x", "x", 1, unix.ENOTDIR},
		"no path":                  {top, "", 1, unix.ENOENT},
		"a directory":              {top, "folder", 0, unix.EISDIR},
		"beneath a file":           {top, "x/y", 1, unix.ENOTDIR},
		"a loop":                   {top, "loop", 1, unix.ELOOP},
		"a long name":              {top, strings.Repeat("x", 256), 1, unix.ENAMETOOLONG},
		"its number is long":       {top, long, 1, unix.ENAMETOOLONG},
		"a long path":              {top, strings.Repeat("./", 2048), 1, unix.ENAMETOOLONG},
		"a FIFO":                   {top, "fifo", 0, unix.ENXIO},
		"a device":                 {top, "/dev/null", 0, unix.EINVAL},
		"a directory in its place": {top, "dir", 1, unix.EISDIR},
	}
	if os.Geteuid() != 0 {
		all["a closed directory"] = refused{top, "closed/x", 1, unix.EACCES}
		all["another's"] = refused{"/etc", "passwd", 0, unix.EACCES}
	}
	before := holds(t, top)
	l := here(t)
	l.keeps("refusals", func() {
		for name, c := range all {
			for range 50 {
				if _, errno := l.rotates(ipc.Rotate{Seq: 4, Dir: c.dir, Path: c.path, Mode: 0o600, Keep: c.keep}); errno != c.errno {
					t.Fatalf("%s: %v, want %v", name, errno, c.errno)
				}
			}
		}
	})
	if after := holds(t, top); !maps.Equal(before, after) {
		t.Errorf("%v, before %v", after, before)
	}
	if b, err := os.ReadFile(top + "/closed/x"); err != nil || string(b) != "closed/x" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestLogs: the files of streams with Log come in the order of the streams, with the right mode.
// Existing files are appended to.
func TestLogs(t *testing.T) {
	l := here(t)
	top := tree(t)
	must(t, os.WriteFile(top+"/two", []byte("old "), 0o644))
	null := none(t)
	m := program("true")
	m.Dir, m.Attributes.Umask = top, 0o077
	for i, name := range []string{"one", "two", "three"} {
		st := ipc.Stream{FD: uint8(i + 1), Source: ipc.SourceFD, Log: true, Path: name, Mode: 0o666}
		m.Streams = append(m.Streams[:i+1], st)
	}
	is, with := l.starts(m, null, null, null)
	l.ends(is)
	defer ipc.CloseAll(with.List())
	for i, fd := range with.Logs {
		_, err := unix.Write(fd, []byte(strconv.Itoa(i)))
		must(t, err)
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&(unix.O_APPEND|unix.O_ACCMODE) != unix.O_APPEND|unix.O_WRONLY {
			t.Errorf("flags %o, %v", flags, err)
		}
	}
	if got := fmt.Sprint(holds(t, top)); got != "map[one:0 three:2 two:old 1]" {
		t.Error(got)
	}
	if st, err := os.Stat(top + "/one"); err != nil || st.Mode() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// TestFileThatCannotBeHandedOver: the child gets an error if too many descriptors are on their way
// to it.
func TestFileThatCannotBeHandedOver(t *testing.T) {
	top := tree(t)
	must(t, os.Chmod(top, 0o777))
	var as *syscall.Credential
	if os.Getuid() == 0 { // the limit does not apply to root
		as = &syscall.Credential{Uid: 61_235, Gid: 61_235}
	}
	const limit = 30
	p := beginAs(t, as, strconv.Itoa(limit))
	p.serve(ipc.StartSpawner{Reports: !ipc.PidfdsSuffice()})
	const n = limit + 2
	for range n {
		p.say(p.child, ipc.Rotate{Dir: top, Path: "x", Mode: 0o600})
	}
	soon(t, "all are answered", func() bool {
		waiting, err := unix.IoctlGetInt(p.child.FD(), unix.TIOCINQ)
		must(t, err)
		return waiting == n*len(ipc.Append(nil, ipc.Rotated{}))
	})
	for i := range n {
		m, fds := p.hear(p.child)
		want, files := ipc.Rotated{}, 1
		if i > limit {
			want, files = ipc.Rotated{Errno: uint32(unix.ETOOMANYREFS)}, 0
		}
		if m != want || len(fds) != files {
			t.Errorf("%d: %#v with %v", i, m, fds)
		}
	}
}
