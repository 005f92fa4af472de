package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// foreign is a case of somebody else's test suite, under its name there:
// libuv's test-spawn.c, Go's os/exec, CPython's test_subprocess.py. What a case
// asks for is asked for in our own words. doc/testing.md has the whole list.
type foreign struct{ name, want, source string }

// cases evaluates each in a process of its own.
func (e *erluv) cases(t *testing.T, list []foreign, binds ...bind) {
	t.Helper()
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) { e.expect(t, c.want, c.source, binds...) })
	}
}

// stocked is a directory where a worker may write, with some files in it.
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

// holds compares what is in a file.
func holds(t *testing.T, path, want string) {
	t.Helper()
	if text, err := os.ReadFile(path); err != nil || string(text) != want {
		t.Errorf("%s holds %q, %v; want %q", path, text, err, want)
	}
}
