package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCgoRefuses: a binary that was built with cgo starts nothing, and says how to build another
// one. The test needs a C compiler.
func TestCgoRefuses(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "erluv")
	build := func(cgo string) error {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("CGO_ENABLED=%s: %v\n%s", cgo, err, out)
		}
		return err
	}
	if _, err := exec.LookPath("gcc"); err == nil {
		if err := build("1"); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"version"}, {"run", "--node=a@b"}, {"child", "0"}, {"stage", "child", "1", "1", "1", "0"}} {
			out, err := exec.Command(binary, args...).CombinedOutput()
			if err == nil || string(out) != "erluv: this binary was built with cgo, and is not static: build it with CGO_ENABLED=0, as make does\n" {
				t.Errorf("%q: %v, %q", args, err, out)
			}
		}
	}
	if err := build("0"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "erluv ") {
		t.Errorf("without cgo: %v, %q", err, out)
	}
}
