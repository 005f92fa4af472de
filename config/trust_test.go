package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	nobody   = 65534
	stranger = 4711 // not in the user database
)

// A place is a file to check, in two directories of its own.
type place struct {
	upper, lower     uint32 // modes of the directories
	mode             uint32
	owner            int // of the file; -1: the test's user
	dirOwner         int // of the upper directory
	content          string
	link             int // 1 + owner of a symbolic link to the file; 0: no link
	uid              int // the user who reads it
	config, asCookie string
}

// The matrix has owners and modes of the file and of its surroundings. Only root can give files
// away, so an ordinary user runs only the rows with its own files. These rows are enough for that
// user, because the code under test takes any uid.
func TestPermissions(t *testing.T) {
	const (
		secret = `cookie = "s3cret"`
		plain  = `prefix = "x"`
		ok     = ""
	)
	us := os.Getuid()
	good := place{upper: 0o755, lower: 0o700, mode: 0o600, owner: us, dirOwner: us, uid: us, content: secret}
	with := func(change func(*place)) place {
		p := good
		change(&p)
		return p
	}
	places := map[string]place{
		"good":      good,
		"read only": with(func(p *place) { p.mode = 0o400 }),
		"others read a cookie": with(func(p *place) {
			p.mode, p.config, p.asCookie = 0o604, "others can read it (mode 0604)", "has mode 0604"
		}),
		"the group reads a cookie": with(func(p *place) {
			p.mode, p.config, p.asCookie = 0o640, "others can read it (mode 0640)", "has mode 0640"
		}),
		"others execute a cookie": with(func(p *place) {
			p.mode, p.config, p.asCookie = 0o601, "others can read it (mode 0601)", "has mode 0601"
		}),
		"set-id":                     with(func(p *place) { p.mode, p.config, p.asCookie = 0o4600, ok, "has mode 4600" }),
		"executable":                 with(func(p *place) { p.mode, p.config, p.asCookie = 0o700, ok, "has mode 0700" }),
		"others read no cookie":      with(func(p *place) { p.mode, p.content, p.config, p.asCookie = 0o644, plain, ok, "has mode 0644" }),
		"others write no cookie":     with(func(p *place) { p.mode, p.content, p.config, p.asCookie = 0o602, plain, "others can write it", "0602" }),
		"the group writes no cookie": with(func(p *place) { p.mode, p.content, p.config, p.asCookie = 0o660, plain, "others can write it", "0660" }),
		"others write beside it": with(func(p *place) {
			p.lower, p.config, p.asCookie = 0o707, "others can write (mode 0707)", "others can write (mode 0707)"
		}),
		"the group writes beside it": with(func(p *place) {
			p.lower, p.config, p.asCookie = 0o770, "others can write (mode 0770)", "others can write (mode 0770)"
		}),
		"others write above it": with(func(p *place) {
			p.upper, p.config, p.asCookie = 0o777, "others can write (mode 0777)", "others can write (mode 0777)"
		}),
		"sticky above it":   with(func(p *place) { p.upper = 0o1777 }),
		"sticky beside it":  with(func(p *place) { p.lower = 0o1777 }),
		"a link of our own": with(func(p *place) { p.link = us + 1 }),
		"no cookie, written by others": with(func(p *place) {
			p.lower, p.content, p.config, p.asCookie = 0o777, plain, "others can write", "others can write"
		}),
	}
	if us == 0 {
		for name, p := range map[string]place{
			"somebody else's": with(func(p *place) {
				p.owner, p.config, p.asCookie = stranger, "it belongs to 4711 and not to root", "belongs to 4711, and must belong to root"
			}),
			"nobody's, read by root": with(func(p *place) {
				p.owner, p.config, p.asCookie = nobody, "it belongs to nobody", "belongs to nobody, and must belong to root"
			}),
			"in somebody's directory": with(func(p *place) {
				p.dirOwner, p.config, p.asCookie = stranger, "which belongs to 4711 and not to root", "which belongs to 4711 and not to root"
			}),
			"a link of somebody": with(func(p *place) { p.link, p.config, p.asCookie = stranger+1, "the link", "the link" }),
			"nobody's own":       with(func(p *place) { p.owner, p.dirOwner, p.uid = nobody, nobody, nobody }),
			"root's, read by nobody": with(func(p *place) {
				p.uid, p.asCookie = nobody, "belongs to root, and must belong to nobody"
			}),
			"a stranger's, read by nobody": with(func(p *place) {
				p.uid, p.owner, p.config, p.asCookie = nobody, stranger, "it belongs to 4711 and not to nobody or root", "must belong to nobody"
			}),
			"no cookie, somebody else's": with(func(p *place) {
				p.content, p.owner, p.config, p.asCookie = plain, stranger, "it belongs to 4711", "belongs to 4711"
			}),
		} {
			places[name] = p
		}
	}
	for name, p := range places {
		t.Run(name, func(t *testing.T) {
			path := p.put(t)
			_, problems, err := readFile(path, p.uid)
			if err != nil {
				t.Fatal(err)
			}
			judge(t, "configuration", problems, p.config)
			_, err = readCookie(path, []int{p.uid})
			problems = nil
			if err != nil {
				problems = []string{err.Error()}
			}
			judge(t, "cookie", problems, p.asCookie)
		})
	}
}

func judge(t *testing.T, what string, problems []string, want string) {
	t.Helper()
	all := strings.Join(problems, "\n")
	switch {
	case want == "" && all != "":
		t.Errorf("%s: refused: %s", what, all)
	case want != "" && !strings.Contains(all, want):
		t.Errorf("%s: %q, want %q", what, all, want)
	}
	if strings.Contains(all, "s3cret") {
		t.Errorf("%s: the cookie is in %q", what, all)
	}
}

// put makes the place and returns the path to the file or the link.
func (p place) put(t *testing.T) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	upper := filepath.Join(t.TempDir(), "upper")
	lower := filepath.Join(upper, "lower")
	must(os.MkdirAll(lower, 0o700))
	path := filepath.Join(lower, "file")
	must(os.WriteFile(path, []byte(p.content), 0o600))
	if p.link != 0 {
		link := filepath.Join(lower, "link")
		must(os.Symlink("../lower/./file", link))
		must(os.Lchown(link, p.link-1, -1))
	}
	must(os.Chown(path, p.owner, -1))
	must(unix.Chmod(path, p.mode))
	must(os.Chown(upper, p.dirOwner, -1))
	must(unix.Chmod(lower, p.lower))
	must(unix.Chmod(upper, p.upper))
	if p.link != 0 {
		return filepath.Join(lower, "link")
	}
	return path
}

// A file that is not regular is refused at once. Opening a FIFO would wait for a writer.
func TestNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		fifo: "is no regular file", "/dev/zero": "is no regular file", link: "/dev/zero is no regular file", dir: "is no regular file",
		"/": "is a directory",
	} {
		_, err := openTrusted(path, os.Getuid())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	link := func(name, target string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link("up", "..")
	back := link("back", filepath.Join("up", filepath.Base(dir), "file"))
	f, err := openTrusted(back, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := openTrusted(link("loop", "loop"), os.Getuid()); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop: %v, want ELOOP", err)
	}
	if _, err := openTrusted(link("nowhere", "/no/such"), os.Getuid()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("to nowhere: %v, want fs.ErrNotExist", err)
	}
}

// No descriptor is left open on any path through the code.
func TestNoDescriptorIsLeft(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	path := place{upper: 0o755, lower: 0o700, mode: 0o600, owner: -1, dirOwner: -1, link: 0}.put(t)
	before := count()
	for _, path := range []string{path, "/", "/dev/null", path + "/x", path + "x", "/proc/self/exe/x"} {
		if f, err := openTrusted(path, os.Getuid()); err == nil {
			f.Close()
		}
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
