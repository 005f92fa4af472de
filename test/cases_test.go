package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// foreign is a case from another test suite, under its name there: libuv's test-spawn.c, Go's
// os/exec, CPython's test_subprocess.py. The sources here are our own. doc/testing.md has the whole
// list.
type foreign struct{ name, want, source string }

// cases evaluates each case in a process of its own.
func (e *erluv) cases(t *testing.T, list []foreign, binds ...bind) {
	t.Helper()
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) { e.expect(t, c.want, c.source, binds...) })
	}
}

// stocked makes a directory where a worker may write, with some files in it.
func stocked(t *testing.T, files map[string]string) string {
	t.Helper()
	path := shelf(t, 0o777)
	for name, text := range files {
		file := filepath.Join(path, name)
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// holds compares the contents of a file.
func holds(t *testing.T, path, want string) {
	t.Helper()
	if text, err := os.ReadFile(path); err != nil || string(text) != want {
		t.Errorf("%s holds %q, %v; want %q", path, text, err, want)
	}
}

// The tests that doc/testing.md names exist, and doc/testing.md has each case that is tested under
// its name.
func TestListOfCases(t *testing.T) {
	text, err := os.ReadFile("../doc/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../*/*_test.go")
	if err != nil || len(files) < 50 {
		t.Fatal(files, err)
	}
	var all strings.Builder
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(source)
		switch filepath.Base(file) {
		case "libuv_test.go", "osexec_test.go", "cpython_test.go":
			cases := regexp.MustCompile(`\t{?"([a-zA-Z_0-9]*(?:Test|test|spawn|kill|arg|env)\w*)"[,:]`).FindAllSubmatch(source, -1)
			if len(cases) < 10 {
				t.Errorf("%s has %d cases", file, len(cases))
			}
			for _, c := range cases {
				if !regexp.MustCompile(`\b` + string(c[1]) + `\b`).Match(text) {
					t.Errorf("%s is not in doc/testing.md", c[1])
				}
			}
		}
	}
	for _, name := range regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1) {
		if !strings.Contains(all.String(), "func "+string(name[1])+"(") {
			t.Errorf("there is no %s", name[1])
		}
	}
}
