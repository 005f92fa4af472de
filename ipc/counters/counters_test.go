package counters

import (
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stream is an inner stream with both sides of its counters.
type stream struct {
	near, far int
	count     *Counters
	page      *Page
}

func newStream(t *testing.T) *stream {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	count, err := New()
	if err != nil {
		t.Fatal(err)
	}
	page, err := Map(count.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(ends[0])
		_ = unix.Close(ends[1])
		_ = page.Close()
		_ = count.Close()
	})
	return &stream{ends[0], ends[1], count, page}
}

const (
	enough   = 1 << 20 // bytes each way
	patience = time.Minute
)

// TestPosition: whenever the child ends, main knows to the byte what it has written and read, while
// the relay continues.
func TestPosition(t *testing.T) {
	s := newStream(t)
	var over atomic.Bool
	done := make(chan struct{})
	for _, do := range []func(int, []byte) (int, error){s.page.Read, s.page.Write} {
		go func() { // ends with over
			b := make([]byte, 3001)
			for !over.Load() {
				_, _ = do(s.far, b[:1+rand.IntN(len(b))])
				time.Sleep(time.Microsecond)
			}
			done <- struct{}{}
		}()
	}
	defer func() {
		over.Store(true)
		<-done
		<-done
	}()
	var wrote, got uint64
	begin := time.Now()
	b := make([]byte, 7001)
	for round := 0; round < 600 || wrote < enough || got < enough; round++ {
		if time.Since(begin) > patience {
			t.Fatalf("only %d and %d bytes in %v", wrote, got, patience)
		}
		for range rand.IntN(5) { // the child
			if n, err := unix.Write(s.near, b[:1+rand.IntN(len(b))]); err == nil {
				wrote += uint64(n)
			}
			if n, err := unix.Read(s.near, b[:1+rand.IntN(len(b))]); err == nil {
				got += uint64(n)
			}
		}
		written, read, err := s.count.Position(s.near, s.far) // main
		if err != nil {
			t.Fatal(err)
		}
		if written != wrote || read != got {
			t.Fatalf("round %d: written %d and read %d, not %d and %d", round, written, read, wrote, got)
		}
	}
}

// TestUnknown: an unknown position is an error, not a guess.
func TestUnknown(t *testing.T) {
	s := newStream(t)
	want := func(word string) {
		t.Helper()
		if _, _, err := s.count.Position(s.near, s.far); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v instead of %s", err, word)
		}
	}
	cellAt(s.page.mem, lineRead).seq.Add(1) // the relay was killed in a call
	want("how much was written")
	cellAt(s.page.mem, lineRead).seq.Add(1)
	cellAt(s.page.mem, lineWritten).seq.Add(1)
	want("how much was read")
	cellAt(s.page.mem, lineWritten).seq.Add(1)
	if _, err := unix.Write(s.far, []byte("not counted")); err != nil {
		t.Fatal(err)
	}
	want("counts wrongly")
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, _, err := s.count.Position(s.near, int(file.Fd())); err == nil {
		t.Error("a file is a stream")
	}
	if _, err := Map(int(file.Fd())); err == nil || !strings.Contains(err.Error(), "holds no counters") {
		t.Errorf("a file: %v", err)
	}
	if _, err := Map(-1); err == nil {
		t.Error("no descriptor")
	}
}

// TestSealed: the size of the memory cannot be changed. A change could raise SIGBUS in main.
func TestSealed(t *testing.T) {
	s := newStream(t)
	for _, n := range []int64{0, size * 2} {
		if err := unix.Ftruncate(s.count.FD(), n); err != unix.EPERM {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	s.page.NodeRead(3)
	s.page.NodeWritten(4)
	if sent, was := s.count.Node(); sent != 3 || was != 4 {
		t.Errorf("%d, %d", sent, was)
	}
	if err := s.count.Close(); err != nil || s.count.Close() != nil {
		t.Error("it does not close", err)
	}
}
