package workers

import (
	"testing"

	"erluv/loop"
	"erluv/loop/looptest"

	"golang.org/x/sys/unix"
)

// grouped is a host that has only a group.
type grouped struct {
	Host
	group *loop.Group
}

func (h grouped) Group(*Worker) *loop.Group { return h.group }

// TestWatchedLater checks that the pipe of a running program is watched as soon as possible, and
// loses no byte until then. At first its number belongs to a file, which cannot be watched.
func TestWatchedLater(t *testing.T) {
	l, err := looptest.New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	group, err := l.NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	w := &Worker{host: grouped{group: group}, starter: &Starter{loop: l, budget: new(budget)}, life: life{state: Running}}
	w.in.init(w, Stdin)
	w.out[0].init(w, Stdout, StreamSpec{}, &Spec{})
	file := func() int {
		fd, err := unix.Open(t.TempDir()+"/file", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	var in, out [2]int
	for _, p := range [][]int{in[:], out[:]} {
		if err := unix.Pipe2(p, unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		for _, fd := range []int{in[0], in[1], out[0], out[1]} {
			_ = unix.Close(fd)
		}
	}()
	w.in.fd, w.out[0].fd = int32(file()), int32(file())
	becomes := func(fd int32, pipe int) {
		if err := unix.Dup3(pipe, int(fd), unix.O_CLOEXEC); err != nil {
			t.Error(err)
		}
	}
	rounds := 0
	l.EachRound(func() {
		switch rounds++; rounds {
		case 1:
			w.in.queue = &queue{pieces: []piece{{data: make([]byte, 1<<20)}}, bytes: 1 << 20}
			w.in.watch()
			w.in.watch()
			w.out[0].mustWatch()
			w.out[0].mustWatch()
			// Bytes that the pipe does not take need a place in epoll.
			becomes(w.in.fd, in[1])
		case 3:
			if w.out[0].src.Active() || w.out[0].fd < 0 {
				t.Error("output is watched, or given up")
			}
			becomes(w.out[0].fd, out[0])
		case 6:
			if w.in.queue == nil || !w.in.queue.src.Active() || !w.out[0].src.Active() || w.in.bytes == 0 {
				t.Error("not watched")
			}
			w.in.abandon(nil)
			w.out[0].close()
			l.Stop()
		}
	})
	if err := l.Run(); err != nil {
		t.Fatal(err)
	}
}
