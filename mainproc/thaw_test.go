package mainproc

import (
	"testing"

	"erluv/ipc"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// TestThaw: the conversations of spawners that freeze are polled, and while one that has
// lost its own has not ended main comes back again and again. That what is frozen ends is
// seen by TestFrozen, with a real one.
func TestThaw(t *testing.T) {
	freezes := containment{tree: &sandbox.Tree{}, freezes: true} // which is nowhere
	spawner := func() (p *process, theirs *ipc.Conn) {
		ours, theirs, err := ipc.Pair()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
		return &process{conn: ours}, theirs
	}
	first, end := spawner()
	second, _ := spawner()
	plain, _ := spawner()
	over, _ := spawner()
	over.end = unix.ESRCH
	r := &roles{spawner: first, by: freezes, others: []other{{}, {p: plain}, {p: over, by: freezes}, {p: second, by: freezes}}}

	poll := func(timeout, want int, fds ...int) {
		t.Helper()
		list, got := r.thaw([]unix.PollFd{{Fd: -1}}, timeout)
		if got != want || len(list) != 1+len(fds) {
			t.Fatalf("%d ms and %d descriptors, want %d and %d", got, len(list), want, 1+len(fds))
		}
		for i, fd := range fds {
			if int(list[1+i].Fd) != fd {
				t.Errorf("descriptor %d is polled, want %d", list[1+i].Fd, fd)
			}
		}
		if _, err := unix.Poll(list, 0); err != nil {
			t.Fatal(err)
		}
		r.dying(list[1:])
	}
	poll(5000, 5000, first.conn.FD(), second.conn.FD())
	_ = end.Close()
	poll(-1, -1, first.conn.FD(), second.conn.FD())
	if !first.dying || second.dying {
		t.Fatalf("the first is dying: %t; the second: %t", first.dying, second.dying)
	}
	poll(-1, thawEvery, -1, second.conn.FD())
	poll(5000, thawEvery, -1, second.conn.FD())
	poll(10, 10, -1, second.conn.FD())
}
