package crew

import (
	"log/slog"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/mainproc/permit"
	"erluv/sandbox/cgroup"

	"golang.org/x/sys/unix"
)

// TestThaw: the conversations of spawners are polled. While a spawner has closed its own but not
// ended, main thaws its tree again and again. TestFrozen shows with a real one that frozen
// processes end.
func TestThaw(t *testing.T) {
	freezes := containment{tree: &cgroup.Tree{}, freezes: true} // without a directory
	spawner := func() (p *process, theirs *ipc.Conn) {
		ours, theirs, err := ipc.Pair()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
		return &process{conn: ours, buf: make([]byte, ipc.MaxPacket), pulse: newPulse(time.Now().Add(time.Hour))}, theirs
	}
	first, end := spawner()
	second, _ := spawner()
	plain, _ := spawner()
	over, _ := spawner()
	over.end = unix.ESRCH
	r := &Crew{spawner: first, by: freezes, others: []other{{}, {p: plain}, {p: over, by: freezes}, {p: second, by: freezes}}}

	poll := func(timeout, want int, fds ...int) {
		t.Helper()
		list, got := r.await([]unix.PollFd{{Fd: -1}}, timeout)
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
		r.heardOf(list[1:])
	}
	poll(5000, 5000, first.conn.FD(), plain.conn.FD(), second.conn.FD())
	_ = end.Close()
	poll(5000, 5000, first.conn.FD(), plain.conn.FD(), second.conn.FD())
	if !first.dying || second.dying {
		t.Fatalf("the first is dying: %t; the second: %t", first.dying, second.dying)
	}
	poll(-1, thawEvery, -1, plain.conn.FD(), second.conn.FD())
	poll(5000, thawEvery, -1, plain.conn.FD(), second.conn.FD())
	poll(10, 10, -1, plain.conn.FD(), second.conn.FD())
}

// TestBeatSpawners: a spawner is asked, and its answer is a sign of life. A spawner that is silent,
// or sends a forbidden message, is ended.
func TestBeatSpawners(t *testing.T) {
	begin := time.Now()
	start := func(line string) (p *process, theirs *ipc.Conn) {
		ours, theirs, err := ipc.Pair()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
		p = shell(t, ipc.RoleSpawner, line)
		p.conn, p.buf, p.pulse = ours, make([]byte, ipc.MaxPacket), newPulse(begin)
		p.heard = permit.Hearing{Who: permit.Spawner, At: permit.AtWork}
		return p, theirs
	}
	answers, its := start("exec sleep 1000")
	silent, _ := start("exec sleep 1000")
	wrong, says := start("exec sleep 1000")
	r := &Crew{spawner: answers, others: []other{{}, {p: silent}, {p: wrong}}}
	r.serveWith.log = slog.New(slog.DiscardHandler)
	buf := make([]byte, ipc.MaxPacket)
	now := begin
	for end := time.Now().Add(waitBound); !silent.hung && time.Now().Before(end); { // the shell is at work at first
		now = now.Add(beatEvery)
		r.beatSpawners(now)
		for n, _, err := its.TryRecv(buf); err == nil; n, _, err = its.TryRecv(buf) {
			if m, err := ipc.Decode(buf[:n]); err != nil || m != (ipc.Beat{}) {
				t.Fatalf("it is asked %v, %v", m, err)
			}
			if err := its.TrySend(ipc.Append(nil, ipc.Beat{})); err != nil {
				t.Fatal(err)
			}
			r.listenTo(answers)
		}
	}
	if !silent.hung || !silent.ended(waitBound) {
		t.Error("one that is silent lives on")
	}
	if answers.hung || answers.heard.Asked != 0 || answers.ended(0) {
		t.Errorf("one that answers: hung %t, %d are without an answer", answers.hung, answers.heard.Asked)
	}
	if err := says.TrySend(ipc.Append(nil, ipc.Ready{})); err != nil {
		t.Fatal(err)
	}
	r.listenTo(wrong)
	if !wrong.ended(waitBound) {
		t.Error("one that says what it must not lives on")
	}
}
