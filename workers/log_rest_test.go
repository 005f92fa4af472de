package workers

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestRotationCopiesOnce checks that a large read which fills many files is copied once, not for
// each file.
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
	// At the last file, the log watches the pipe again, which this worker lacks.
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
