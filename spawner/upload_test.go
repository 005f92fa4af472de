package spawner

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// uploaded runs an upload with all of in as its input, and returns the answers.
func uploaded(t *testing.T, u *ipc.Upload, in ...[]byte) (answers []ipc.UploadAnswer) {
	t.Helper()
	var out bytes.Buffer
	receive(u, bytes.NewReader(slices.Concat(in...)), &out)
	for out.Len() > 0 {
		var one [ipc.UploadAnswerSize]byte
		if n, _ := out.Read(one[:]); n != len(one) {
			t.Fatalf("an answer of %d bytes", n)
		}
		answers = append(answers, ipc.ReadUploadAnswer(one))
	}
	return answers
}

// errnos returns the errors of all answers.
func errnos(answers []ipc.UploadAnswer) (list []unix.Errno) {
	for _, a := range answers {
		list = append(list, a.Errno)
	}
	return list
}

func chunk(text string) []byte { return ipc.AppendChunk(nil, []byte(text)) }

func commit(of string) []byte {
	sum := sha256.Sum256([]byte(of))
	return ipc.AppendCommit(nil, &sum)
}

func namesIn(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestUpload: the answers to an upload's input, and the resulting file.
func TestUpload(t *testing.T) {
	long := strings.Repeat("0123456789", 60_000) // several pieces
	for name, c := range map[string]struct {
		u      ipc.Upload
		in     [][]byte
		errnos []unix.Errno
		text   string // "": there is no file
	}{
		"whole":              {ipc.Upload{Path: "f", Mode: 0o604, Size: -1}, [][]byte{chunk(long), chunk(""), chunk("x"), commit(long + "x")}, []unix.Errno{0, 0, 0, 0, 0}, long + "x"},
		"no sum":             {ipc.Upload{Path: "f", Mode: 0o604, Size: -1}, [][]byte{chunk("x"), ipc.AppendCommit(nil, nil)}, []unix.Errno{0, 0, 0}, "x"},
		"of a known size":    {ipc.Upload{Path: "f", Mode: 0o604, Size: 1}, [][]byte{chunk("x"), commit("x")}, []unix.Errno{0, 0, 0}, "x"},
		"in new places":      {ipc.Upload{Path: "a/b/f", Mode: 0o604, Mkdir: true, Size: -1}, [][]byte{chunk("x"), commit("x")}, []unix.Errno{0, 0, 0}, "x"},
		"of another size":    {ipc.Upload{Path: "f", Mode: 0o604, Size: 2}, [][]byte{chunk("x"), commit("x")}, []unix.Errno{0, 0, unix.EINVAL}, ""},
		"of another sum":     {ipc.Upload{Path: "f", Mode: 0o604, Size: -1}, [][]byte{chunk("x"), commit("y"), commit("x")}, []unix.Errno{0, 0, unix.EBADMSG}, ""},
		"no commit":          {ipc.Upload{Path: "f", Mode: 0o604, Size: -1}, [][]byte{chunk("x")}, []unix.Errno{0, 0}, ""},
		"half a chunk":       {ipc.Upload{Path: "f", Mode: 0o604, Size: -1}, [][]byte{chunk("xyz")[:6]}, []unix.Errno{0}, ""},
		"half a head":        {ipc.Upload{Path: "f", Mode: 0o604, Size: -1}, [][]byte{chunk("xyz")[:2]}, []unix.Errno{0}, ""},
		"half a commit":      {ipc.Upload{Path: "f", Mode: 0o604, Size: -1}, [][]byte{chunk("x"), commit("x")[:20]}, []unix.Errno{0, 0}, ""},
		"a chunk too large":  {ipc.Upload{Path: "f", Mode: 0o604, Size: -1}, [][]byte{{0xfe, 0xff, 0xff, 0xff}}, []unix.Errno{0}, ""},
		"a name of uploads":  {ipc.Upload{Path: partPrefix + "0123456789abcdef", Mode: 0o604, Size: -1}, nil, []unix.Errno{unix.EINVAL}, ""},
		"nearly such a name": {ipc.Upload{Path: "z" + partPrefix + "0123456789abcdef", Mode: 0o604, Size: -1}, [][]byte{chunk("x"), commit("x")}, []unix.Errno{0, 0, 0}, "x"},
		"no directory":       {ipc.Upload{Path: "a/f", Mode: 0o604, Size: -1}, nil, []unix.Errno{unix.ENOENT}, ""},
		"a slash behind":     {ipc.Upload{Path: "a/", Mode: 0o604, Mkdir: true, Size: -1}, nil, []unix.Errno{unix.EISDIR}, ""},
	} {
		for _, before := range []string{"", "before"} {
			t.Run(name+"/"+before, func(t *testing.T) {
				dir := t.TempDir()
				file := filepath.Join(dir, c.u.Path)
				if before != "" {
					if c.u.Path != "f" {
						return
					}
					if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				u := c.u
				u.Path = dir + "/" + c.u.Path
				answers := uploaded(t, &u, c.in...)
				if got := errnos(answers); !slices.Equal(got, c.errnos) {
					t.Errorf("answered %v, not %v", got, c.errnos)
				}
				want := c.text
				if want == "" {
					want = before
				} else if last := answers[len(answers)-1]; last.Sum != sha256.Sum256([]byte(want)) {
					t.Errorf("the sum is said to be %x", last.Sum)
				}
				got, err := os.ReadFile(file)
				if string(got) != want {
					t.Errorf("there are %d bytes (%v), not %d", len(got), err, len(want))
				}
				if st, err := os.Stat(file); c.text != "" && (err != nil || st.Mode() != 0o604) {
					t.Errorf("%v, %v", st, err)
				}
				if strings.HasPrefix(namesIn(t, dir), partPrefix) {
					t.Errorf("left is %s", namesIn(t, dir))
				}
			})
		}
	}
}

// TestUploadOfThatName: where a file needs a name from the beginning, it has a temporary one, which
// is gone at the end. Leftovers of others are removed, and files that are being written are not.
func TestUploadOfThatName(t *testing.T) {
	dir := t.TempDir()
	at, err := find(unix.AT_FDCWD, dir+"/f")
	if err != nil {
		t.Fatal(err)
	}
	p := &part{at: at, fd: -1}
	if err := p.openNamed(); err != nil {
		t.Fatal(err)
	}
	if err := p.write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	const old, other = partPrefix + "0123456789abcdef", partPrefix + "mine"
	for _, name := range []string{old, other} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, partPrefix+"dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	at.sweep()
	want := []string{p.name, partPrefix + "dir", other}
	slices.Sort(want)
	if got := namesIn(t, dir); got != strings.Join(want, " ") {
		t.Errorf("there is %s, not %s", got, want)
	}
	if err := p.commit(&ipc.Upload{Mode: 0o640, Size: -1}, nil, [sha256.Size]byte{}); err != nil {
		t.Fatal(err)
	}
	p.discard()
	if got, err := os.ReadFile(filepath.Join(dir, "f")); string(got) != "abc" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if at, err = find(unix.AT_FDCWD, dir+"/f"); err != nil {
		t.Fatal(err)
	}
	p = &part{at: at, fd: -1}
	if err := p.openNamed(); err != nil {
		t.Fatal(err)
	}
	p.discard()
	if got := namesIn(t, dir); got != partPrefix+"dir "+other+" f" {
		t.Errorf("there is %s", got)
	}
}

// TestSweptAsItBegins: an upload notices if another upload sweeps its file before it is locked.
func TestSweptAsItBegins(t *testing.T) {
	at, err := find(unix.AT_FDCWD, t.TempDir()+"/f")
	if err != nil {
		t.Fatal(err)
	}
	p := &part{at: at, fd: -1}
	for what, c := range map[string]struct {
		sweep func()
		want  bool
	}{
		"left alone": {func() {}, false},
		"swept":      {at.sweep, true},
		"looked at": {func() {
			fd, err := eintr.Openat(at.dir, p.name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				t.Cleanup(func() { unix.Close(fd) })
				err = eintr.Flock(fd, unix.LOCK_EX)
			}
			if err != nil {
				t.Error(err)
			}
		}, true},
	} {
		if err := p.create(); err != nil {
			t.Fatal(err)
		}
		c.sweep()
		if swept, err := p.swept(); swept != c.want || err != nil {
			t.Errorf("%s: %v, %v", what, swept, err)
		}
		unix.Close(p.fd)
	}
	p.fd, p.name = -1, ""
	p.discard()
}

// TestUploadInPlaceOf: an upload replaces a regular file, and nothing else. It follows links as for
// output.
func TestUploadInPlaceOf(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"dir":  func(p string) error { return os.Mkdir(p, 0o700) },
		"fifo": func(p string) error { return unix.Mkfifo(p, 0o600) },
		"link": func(p string) error { return os.Symlink(filepath.Join(dir, "target"), p) },
	} {
		if err := make(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]unix.Errno{"dir": unix.EISDIR, "fifo": unix.EEXIST, "link": 0} {
		answers := uploaded(t, &ipc.Upload{Path: filepath.Join(dir, name), Mode: 0o600, Size: -1}, chunk("x"), commit("x"))
		if got := errnos(answers); got[0] != want {
			t.Errorf("%s: %v, not %v", name, got, want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "target")); string(got) != "x" || err != nil {
		t.Errorf("behind the link is %q, %v", got, err)
	}
}

// TestUploadIsNobodys: the role reports an error if the spawner has not started it.
func TestUploadIsNobodys(t *testing.T) {
	for _, args := range [][]string{nil, {"644", "false", "-1", "/tmp/x"}} {
		if err := Upload(args); err == nil || !strings.Contains(err.Error(), "that erluv itself starts") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
