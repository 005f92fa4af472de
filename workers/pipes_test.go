package workers

import (
	"testing"

	"golang.org/x/sys/unix"
)

func pipeSize(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n / pageSize
}

func aPipe(t *testing.T) int {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) })
	return p[0]
}

// TestPipesGrow checks that a pipe which is found full grows, at most to the size of one read.
func TestPipesGrow(t *testing.T) {
	p := pipes{budget: 1 << 14}
	fd := aPipe(t)
	size := p.made(fd)
	for n, want := range []int{16, 16, 16, 64, 64} {
		p.moved(fd, &size, 16*pageSize)
		if got := pipeSize(t, fd); got != want || int(size.pages) != want || p.used != want {
			t.Fatalf("after %d full reads it has %d pages, %+v, %+v; want %d", n+1, got, size, p, want)
		}
		if n == 1 { // a read of a pipe that was not full resets the count
			p.moved(fd, &size, 1)
			for range 2 {
				p.moved(fd, &size, 16*pageSize)
			}
		}
	}
	p.moved(fd, &size, 64*pageSize)
	if p.gone(&size); p.used != 0 {
		t.Errorf("%d pages are in use after its end", p.used)
	}
}

// TestPipesAreScarce checks that half of the pages are kept for busy pipes. The other pipes are
// small, and grow as long as there are pages.
func TestPipesAreScarce(t *testing.T) {
	p := pipes{budget: 128}
	var fds []int
	var sizes []pipe
	for n, want := range []int{16, 16, 16, 16, 1, 1} {
		fds = append(fds, aPipe(t))
		sizes = append(sizes, p.made(fds[n]))
		if got := pipeSize(t, fds[n]); got != want {
			t.Errorf("pipe %d has %d pages, want %d", n+1, got, want)
		}
	}
	p.moved(fds[4], &sizes[4], pageSize)
	if got := pipeSize(t, fds[4]); got != 16 || p.used != 81 {
		t.Errorf("a busy one has %d pages, %d in all; want 16 and 81", got, p.used)
	}
	for range fullReads {
		p.moved(fds[4], &sizes[4], 16*pageSize)
	}
	if got := pipeSize(t, fds[4]); got != 16 {
		t.Errorf("with %d of 128 pages in use one grows to %d", p.used, got)
	}
	for i := range sizes {
		p.gone(&sizes[i])
	}
	if p.used != 0 {
		t.Errorf("%d pages are in use after the end of all", p.used)
	}
}
