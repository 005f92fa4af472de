package mainproc

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"erluv/config"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// withDescriptors calls f while so many descriptors more can be opened.
func withDescriptors(t *testing.T, n int, f func() error) error {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []int
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil { // not the directory's own
			open = append(open, fd)
		}
	}
	limit := 0 // the first number that cannot be had, with n free ones below it
	for ; n > 0 || slices.Contains(open, limit); limit++ {
		if !slices.Contains(open, limit) {
			n--
		}
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	scarce := was
	scarce.Cur = uint64(limit)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &scarce); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
	}()
	return f()
}

// TestScarceDescriptors: whatever main cannot have for want of descriptors, it says so,
// and has no more of them than before. Room crew tries the rest of it.
func TestScarceDescriptors(t *testing.T) {
	cfg := newNode(t).config()
	log := slog.New(slog.DiscardHandler)
	for name, f := range map[string]func(t *testing.T, limited func(func() error) error) error{
		"standard input": func(t *testing.T, limited func(func() error) error) error {
			var p [2]int
			if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			defer ipc.CloseAll(p[:])
			return limited(func() error {
				in, err := watchInput(p[0], func() {})
				in.stop()
				return err
			})
		},
		"all of it": func(_ *testing.T, limited func(func() error) error) error {
			cfg := *cfg
			cfg.Address, cfg.Contain, cfg.Sandbox = "127.0.0.1:1", "group", config.SandboxAuto
			return limited(func() error {
				err := Run(t.Context(), &cfg, log, Options{})
				if err != nil && strings.Contains(err.Error(), "nothing listens") {
					return nil // it has come as far as that
				}
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			const most = 40
			before, err := entries()
			if err != nil {
				t.Fatal(err)
			}
			for n := range most {
				err := f(t, func(g func() error) error { return withDescriptors(t, n, g) })
				after, no := entries()
				if no != nil || after != before {
					t.Errorf("with %d: %d descriptors before, %d after (%v)", n, before, after, err)
				}
				if err == nil {
					return
				}
				if !errors.Is(err, unix.EMFILE) || strings.Contains(err.Error(), "\n") {
					t.Errorf("with %d: %v", n, err)
				}
				t.Logf("%d: %v", n, err)
			}
			t.Errorf("%d are not enough", most)
		})
	}
	if left := children(t); left != "" {
		t.Errorf("processes left: %s", left)
	}
}

func entries() (int, error) {
	list, err := os.ReadDir("/proc/self/fd")
	return len(list), err
}
