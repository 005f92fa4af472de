package eintr_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// With EINTR_DIR set, the test binary runs under strace(1) and makes each call.
func TestMain(m *testing.M) {
	if dir := os.Getenv("EINTR_DIR"); dir != "" {
		runtime.LockOSThread()
		for _, c := range calls(dir) {
			if err := c.make(); err != nil {
				fmt.Printf("%s: %v\n", c.name, err)
			}
		}
		fmt.Println("done")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type call struct {
	name string // of the system call
	make func() error
}

// calls returns the calls in the order in which they must be made. The directory dir is empty.
func calls(dir string) []call {
	file, other, sub := filepath.Join(dir, "file"), filepath.Join(dir, "other"), filepath.Join(dir, "sub")
	fd, at := -1, -1
	var st unix.Stat_t
	buf := make([]byte, 4096)
	is := func(n int, err error) error {
		if err == nil && n < 0 {
			return errors.New("nothing")
		}
		return err
	}
	return []call{
		{"openat", func() (err error) { fd, err = eintr.Open(file, unix.O_CREAT|unix.O_RDWR, 0o600); return err }},
		{"openat", func() (err error) {
			at, err = eintr.Openat(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			return err
		}},
		{"write", func() error { return is(eintr.Write(fd, []byte("text"))) }},
		{"pwrite64", func() error { return is(eintr.Pwrite(fd, []byte("text"), 4)) }},
		{"read", func() error { return is(eintr.Read(fd, buf)) }},
		{"pread64", func() error { return is(eintr.Pread(fd, buf, 0)) }},
		{"getdents64", func() error { return is(eintr.Getdents(at, buf)) }},
		{"fstat", func() error { return eintr.Fstat(fd, &st) }},
		{"newfstatat", func() error { return eintr.Fstatat(at, "file", &st, 0) }},
		{"newfstatat", func() error { return eintr.Stat(file, &st) }},
		{"newfstatat", func() error { return eintr.Lstat(file, &st) }},
		{"ftruncate", func() error { return eintr.Ftruncate(fd, 1) }},
		{"flock", func() error { return eintr.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }},
		{"fchmod", func() error { return eintr.Fchmod(fd, 0o640) }},
		{"fchmodat", func() error { return eintr.Chmod(file, 0o600) }},
		{"fchmodat", func() error { return eintr.Fchmodat(at, "file", 0o640, 0) }},
		{"fchownat", func() error { return eintr.Fchownat(at, "file", os.Getuid(), os.Getgid(), 0) }},
		{"mkdirat", func() error { return eintr.Mkdir(sub, 0o755) }},
		{"unlinkat", func() error { return eintr.Rmdir(sub) }},
		{"mkdirat", func() error { return eintr.Mkdirat(at, "sub", 0o755) }},
		{"unlinkat", func() error { return eintr.Unlinkat(at, "sub", unix.AT_REMOVEDIR) }},
		{"renameat", func() error { return eintr.Renameat(at, "file", at, "other") }},
		{"unlinkat", func() error { return eintr.Unlink(other) }},
		{"dup3", func() error { return eintr.Dup3(fd, at, unix.O_CLOEXEC) }},
		{"chdir", func() error { return eintr.Chdir(dir) }},
		{"do", func() error { return eintr.Do(func() error { _, err := unix.Poll(nil, 0); return err }) }},
	}
}

// TestRepeated makes each call while strace interrupts every second one, on all threads.
func TestRepeated(t *testing.T) {
	dir := t.TempDir()
	set := "openat,write,pwrite64,read,pread64,getdents64,fstat,newfstatat,ftruncate,flock,fchmod,fchmodat,fchownat,mkdirat,unlinkat,renameat,dup3,chdir,poll,ppoll"
	// A static copy of the test binary runs. A binary built with -race has the dynamic loader,
	// which gives up when strace interrupts its own calls.
	self := filepath.Join(dir, "self")
	build := exec.Command("go", "test", "-c", "-o", self, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command("strace", "-f", "-qq", "-o", filepath.Join(dir, "trace"), "-e", "trace="+set,
		"-e", "inject="+set+":error=EINTR:when=1+2", self)
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "EINTR_DIR="+work)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "done\n") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v: %s", err, out)
	}
	trace, err := os.ReadFile(filepath.Join(dir, "trace"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls(work) {
		if c.name != "do" && !strings.Contains(string(trace), " "+c.name+"(") {
			t.Errorf("%s was not made", c.name)
		}
	}
	if n := strings.Count(string(trace), "(INJECTED)"); n < 20 {
		t.Errorf("%d calls were interrupted", n)
	}
}
