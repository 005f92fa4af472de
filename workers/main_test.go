package workers_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"erluv/spawner"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// prog is the path of the static helper program, testdata/prog.
var prog string

// TestMain runs the tests, or plays the spawner. The short programs are a static binary, because a
// test binary takes long to start.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "become" {
		if err := spawner.Exec(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "exec:", err)
		}
		syscall.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "spawner" {
		syscall.Exit(playSpawner()) // os.Exit waits for a second with -race
	}
	dir, err := os.MkdirTemp("", "erluv-workers-")
	if err != nil {
		fail(err)
	}
	_ = os.Chmod(dir, 0o755)
	prog = filepath.Join(dir, "prog")
	build := exec.Command("go", "build", "-o", prog, "./testdata/prog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fail(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		_ = os.RemoveAll(dir)
		os.Exit(status)
	}))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// playSpawner runs the role, as after its stage. At its end it may hold one descriptor more than at
// the beginning: the conversation with the child.
func playSpawner() int {
	before, err := heldBySelf()
	if err == nil {
		err = unix.CloseRange(4, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	}
	if err == nil {
		err = spawner.Main()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "spawner:", err)
		return 1
	}
	after, err := heldBySelf()
	if err != nil || len(after) != len(before)+1 {
		fmt.Fprintf(os.Stderr, "spawner: descriptors at first %v, at last %v, %v\n", before, after, err)
		return 1
	}
	return 0
}

func heldBySelf() ([]string, error) {
	list, err := os.ReadDir("/proc/self/fd")
	var links []string
	for _, d := range list {
		link, err := os.Readlink("/proc/self/fd/" + d.Name())
		if err == nil && !strings.HasPrefix(link, "anon_inode:[event") { // the runtime's
			links = append(links, link)
		}
	}
	return links, err
}
