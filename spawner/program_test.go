package spawner

import (
	"os"
	"path/filepath"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

func TestLookUp(t *testing.T) {
	top := t.TempDir()
	dir := func(name string, files map[string]os.FileMode) string {
		d := filepath.Join(top, name)
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		for f, mode := range files {
			if err := os.WriteFile(filepath.Join(d, f), nil, mode); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	a := dir("a", map[string]os.FileMode{"both": 0o755, "plain": 0o644, "later": 0o644})
	b := dir("b", map[string]os.FileMode{"both": 0o755, "later": 0o755, "only": 0o755})
	if err := os.Mkdir(filepath.Join(a, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("only", filepath.Join(b, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(a, "folder"), filepath.Join(b, "up")); err != nil {
		t.Fatal(err)
	}
	s := &spawner{path: []string{top + "/none", a, b}}
	for program, want := range map[string]struct {
		path  string
		errno unix.Errno
	}{
		"both":      {a + "/both", 0},
		"later":     {b + "/later", 0},
		"only":      {b + "/only", 0},
		"link":      {b + "/link", 0},
		"plain":     {"", unix.EACCES},
		"folder":    {"", unix.EACCES},
		"nowhere":   {"", unix.ENOENT},
		"":          {"", unix.ENOENT},
		"./any":     {"./any", 0},
		"/no/where": {"/no/where", 0},
		"..":        {"", unix.EACCES},
	} {
		path, errno := s.lookUp(&ipc.Spawn{Program: program}, nil)
		if path != want.path || errno != want.errno {
			t.Errorf("%q: %q %s, want %q %s", program, path, unix.ErrnoName(errno), want.path, unix.ErrnoName(want.errno))
		}
	}
	if path, errno := (&spawner{}).lookUp(&ipc.Spawn{Program: "true"}, nil); path != "" || errno != unix.ENOENT {
		t.Errorf("without a path: %q %v", path, errno)
	}
	for _, tt := range []struct{ path, env, want string }{
		{a + ":" + b, "PATH=" + b, a + "/both"},
		{"", "PATH=" + b + ":" + a, b + "/both"},
		{"", "OTHER=" + b, a + "/both"},
		{"none:", "", b + "/both"}, // the empty one is the program's directory
		{"../" + filepath.Base(a), "", b + "/../" + filepath.Base(a) + "/both"},
		{"up/..", "", b + "/up/../both"}, // beneath the target of the link up
		{top, "PATH=" + a, ""},
		{"", "PATH=", b + "/both"},
	} {
		path, _ := s.lookUp(&ipc.Spawn{Program: "both", Path: tt.path, Dir: b}, []string{"X=1", tt.env})
		if path != tt.want {
			t.Errorf("path %q, %q: %q, want %q", tt.path, tt.env, path, tt.want)
		}
	}
}

func TestChildren(t *testing.T) {
	before, err := children()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	after, err := children()
	if err != nil || len(after) != len(before)+1 {
		t.Errorf("%v, %v before: %v", after, before, err)
	}
	killChild(os.Getppid()) // is not a child
	killChild(p.Pid)
	if st, err := p.Wait(); err != nil || st.String() != "signal: killed" {
		t.Errorf("%v, %v", st, err)
	}
	killChild(p.Pid) // does not exist
}
