package workers

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What was read at once and belongs into many files is copied once, not for each of them.
func TestRotationCopiesOnce(t *testing.T) {
	s := &Starter{rotating: map[uint32]*log{}}
	l := &log{o: &output{w: &Worker{starter: s}, fd: -1}, fd: -1, limit: MinLog}
	file := func() int {
		fd, err := unix.MemfdCreate("log", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	l.open(file())
	defer l.close()
	b := make([]byte, logPiece)
	l.write(b)
	first, files := &l.rest[0], 1
	if first == &b[MinLog] {
		t.Fatal("the reader's memory is kept")
	}
	// With the last file the pipe is watched again, which this worker does not have.
	for ; len(l.rest) > MinLog; files++ {
		before := l.rest
		l.rotated(file(), 0)
		if &l.rest[0] != &before[MinLog] {
			t.Fatalf("after %d files the rest was copied", files)
		}
	}
	if files != logPiece/MinLog-1 {
		t.Errorf("%d files", files)
	}
}
