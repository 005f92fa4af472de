package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// intruder builds testdata/intruder once. The test's own binary is not static, and with -race it
// makes system calls of its own.
var intruder = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "intruder-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	intruderDir = dir
	path := filepath.Join(dir, "intruder")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./testdata/intruder")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

var intruderDir string // to be removed

// inStage runs the intruder in a stage. It returns the outcome of each attempt by its name.
func inStage(t *testing.T, r Recipe, args ...string) (said map[string]string, state *os.ProcessState) {
	t.Helper()
	path, err := intruder()
	if err != nil {
		t.Fatal(err)
	}
	r.Identity = target()
	recipe, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"stage", string(recipe)}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if stderr.Len() > 0 {
		t.Logf("%v: %v: %s", args, err, stderr.String())
	}
	said = map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, outcome, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if was, twice := said[name]; twice && was != outcome {
			t.Errorf("%s is %s and %s", name, was, outcome)
		}
		said[name] = outcome
	}
	return said, cmd.ProcessState
}

// sealed runs a play with the child's filter and rules.
func sealed(t *testing.T, parts Parts, play ...string) (map[string]string, *os.ProcessState) {
	t.Helper()
	r := Recipe{NoCore: true, AllFiles: true, Rules: parts.OfChild()}
	return inStage(t, r, append([]string{"sealed", strconv.Itoa(int(parts))}, play...)...)
}

// sealedRelay runs a play with the relay's filter and rules.
func sealedRelay(t *testing.T, parts Parts, play ...string) (map[string]string, *os.ProcessState) {
	t.Helper()
	return inStage(t, Recipe{NoCore: true, Rules: parts.OfRelay()}, append([]string{"sealed relay", strconv.Itoa(int(parts))}, play...)...)
}

// here returns the parts that this kernel has.
func here(t *testing.T) Parts {
	t.Helper()
	parts, _, err := Choose(Auto)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

// wantAll compares all outcomes.
func wantAll(t *testing.T, said, want map[string]string) {
	t.Helper()
	for name, outcome := range want {
		if said[name] != outcome {
			t.Errorf("%s: %q, want %q", name, said[name], outcome)
		}
	}
}

func killedBySIGSYS(s *os.ProcessState) bool {
	ws := s.Sys().(syscall.WaitStatus)
	return ws.Signaled() && ws.Signal() == unix.SIGSYS
}
