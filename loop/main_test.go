package loop

import (
	"os"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLoop makes a loop and closes it at the end of the test. No descriptor of the loop or the test
// may remain then.
func newLoop(t testing.TB) *Loop {
	t.Helper()
	before := descriptors(t)
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
	return l
}

func newGroup(t testing.TB, l *Loop) *Group {
	t.Helper()
	g, err := l.NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func descriptors(t testing.TB) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// pipe makes a non-blocking pipe, which is closed before the loop.
func pipe(t testing.TB) (r, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(p[0])
		_ = unix.Close(p[1])
	})
	return p[0], p[1]
}

func put(t testing.TB, fd int, s string) {
	t.Helper()
	if n, err := unix.Write(fd, []byte(s)); n != len(s) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
}

func take(fd int) string {
	var b [64]byte
	n, _ := unix.Read(fd, b[:])
	return string(b[:max(n, 0)])
}

// call is a Handler.
type call func(Events)

func (c call) Ready(ev Events) { c(ev) }

// watcher is the method that Loop and Group share.
type watcher interface {
	Watch(fd int, want Events, h Handler) (Source, error)
}

func watch(t testing.TB, p watcher, fd int, want Events, f func(Events)) *Source {
	t.Helper()
	s, err := p.Watch(fd, want, call(f))
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// round makes one round without waiting.
func round(t testing.TB, l *Loop) {
	t.Helper()
	if err := l.wait(0); err != nil {
		t.Fatal(err)
	}
	l.tell()
	l.ring()
}

func run(t testing.TB, l *Loop) {
	t.Helper()
	if err := l.Run(); err != nil {
		t.Fatal(err)
	}
}
