package workers

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoPage checks that a lack of memory for output is not taken for the end of the stream.
func TestNoPage(t *testing.T) {
	page, err := unix.Mmap(-1, 0, pageSize, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(page) }()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) }()
	if _, err := unix.Write(p[1], []byte("output")); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("it goes on")
		}
	}()
	n, err := readInto(page, p[0])
	t.Errorf("%d, %v", n, err)
}
