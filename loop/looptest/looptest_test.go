package looptest

import (
	"slices"
	"testing"
	"time"

	"erluv/loop"

	"golang.org/x/sys/unix"
)

// TestVirtualTime checks that days pass at once, but not while there are events.
func TestVirtualTime(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var at []time.Duration
	note := func() { at = append(at, l.Now()) }
	l.After(time.Hour, func() {
		note()
		l.After(24*time.Hour, func() { note(); l.Stop() })
	})
	fd, err := unix.Eventfd(7, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	told := 0
	src, err := l.Watch(fd, loop.In, hearer{func() bool {
		told++
		note()
		return told == 3
	}, fd})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Remove()
	if err := l.Run(); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{0, 0, 0, time.Hour, 25 * time.Hour}; !slices.Equal(at, want) {
		t.Errorf("called at %v, want %v", at, want)
	}
}

// hearer empties its eventfd once enough returns true.
type hearer struct {
	enough func() bool
	fd     int
}

func (h hearer) Ready(loop.Events) {
	var b [8]byte
	if h.enough() {
		_, _ = unix.Read(h.fd, b[:])
	}
}
