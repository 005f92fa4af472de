// Package scarce runs code while only few descriptors can be opened, for tests of code that runs
// out of them.
package scarce

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// most is a number of descriptors that is enough for every call.
const most = 40

// Try calls f with no free descriptor, with one, with two and so on, until it succeeds. Each error
// must say in one line that there was none, and nothing may stay open. F passes the limited code to
// limited.
func Try(t *testing.T, f func(limited func(func() error) error) error) {
	t.Helper()
	before, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	for n := range most {
		err := f(func(g func() error) error { return With(t, n, g) })
		after, no := Open()
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
}

// Open returns how many descriptors are open, including the one that counts them.
func Open() (int, error) {
	list, err := os.ReadDir("/proc/self/fd")
	return len(list), err
}

// With calls f while only n more descriptors can be opened.
func With(t *testing.T, n int, f func() error) error {
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
	limit := 0 // the first number that cannot be opened, with n free ones below it
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
