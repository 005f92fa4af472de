package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInterrupted: bench shows its progress, and leaves no program behind after an interrupt. The
// test does not read its output after that, because a leftover program would hold the pipe.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir, ".", "../../cmd/erluv")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	built, binary := dir+"/bench", dir+"/erluv"
	mark := "TEST_INTERRUPTED=" + built
	cmd := exec.Command(built, "-rounds", "1", "-erluv", binary, "c")
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), mark)
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.HasSuffix(lines.Text(), ": c, round 1") {
		t.Log(lines.Text())
	}
	for len(marked(mark)) < 100 { // open_port's programs come first
		var ended unix.Siginfo
		if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &ended, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || ended.Signo != 0 {
			t.Fatalf("it has ended (%v)", err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ends with %v, want status 1", err)
	}
	if left := marked(mark); len(left) > 0 {
		t.Errorf("%d processes are left: %.300q", len(left), left)
	}
}

// marked returns the command lines of processes with a variable in their environment.
func marked(variable string) (list []string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		if environ, err := os.ReadFile(file); err == nil && strings.Contains(string(environ), variable) {
			line, _ := os.ReadFile(filepath.Dir(file) + "/cmdline")
			list = append(list, string(line))
		}
	}
	return list
}
