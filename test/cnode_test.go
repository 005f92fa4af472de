package e2e

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCNodeIsRefused: OTP's erl_interface cannot talk to erluv, because it accepts exit signals
// only in their old form. erluv says so.
func TestCNodeIsRefused(t *testing.T) {
	program := filepath.Join(t.TempDir(), "connect")
	if out, err := exec.Command("gcc", "-Wall", "-Werror", "-D_REENTRANT", "-o", program, "c/connect.c", "-lei", "-lpthread").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n := newNode(t, nodeOptions{})
	e := listening(t, n)
	_, host, _ := strings.Cut(e.erluv, "@")
	cmd := exec.Command(program, "c", host, cookie, e.erluv)
	cmd.Env = n.env
	var exit *exec.ExitError
	if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	e.wrote(t, "it lacks the capabilities EXIT_PAYLOAD")
}
