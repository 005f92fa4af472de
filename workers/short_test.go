package workers_test

import (
	"os"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// limitFiles sets RLIMIT_NOFILE of this process until the test ends or restore is called.
func limitFiles(t *testing.T, n uint64) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	set := func(l unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			t.Fatal(err)
		}
	}
	low := old
	low.Cur = n
	set(low)
	restored := false
	restore = func() {
		if !restored {
			restored = true
			set(old)
		}
	}
	t.Cleanup(restore)
	return restore
}

func filesLimit(t *testing.T) int {
	t.Helper()
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return int(l.Cur)
}

// TestNoRoomForAnswers requests more programs than there is room for descriptors. Exactly those
// whose descriptors the child cannot receive must end.
func TestNoRoomForAnswers(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorldWith(t, options{reports: reports, maxFDs: filesLimit(t)})
		resident := w.started(command("cat"), "")
		restore := limitFiles(t, limitFor(t, 31))
		var runs [20]*run
		w.do(func() {
			for i := range runs {
				runs[i] = &run{host: w.host}
				sp := command("sleep", "1000")
				sp.Notify = i%4 == 3
				runs[i].Worker = workers.New(w.host, w.starter, sp, runs[i])
			}
		})
		started := 0
		for _, r := range runs {
			w.await("an answer", func() bool { return r.started || r.over() })
			w.do(func() {
				if r.started {
					started++
				} else if got := r.String(); got != "failed 1 EMFILE" {
					t.Error(got)
				}
			})
		}
		restore()
		if started == 0 || started > 7 {
			t.Errorf("%d of %d were started", started, len(runs))
		}
		w.do(func() {
			if len(w.lost) > 0 || resident.over() {
				t.Errorf("lost %v, the other is %s", w.lost, resident)
			}
			for _, r := range runs {
				r.Kill()
			}
			resident.CloseStdin()
		})
		for _, r := range runs {
			w.finish(r)
		}
		w.finish(resident).want("exit 0")
		w.run(command("true")).want("exit 0") // and no other process is left: see close
	})
}

// TestCannotWatch checks that a program which was started and cannot be watched is ended. It counts
// as one that was not started, and no other is harmed.
func TestCannotWatch(t *testing.T) {
	w, pidfd := newFake(t)
	other := w.start(command("cat"))
	w.answer(1, pidfd)
	w.await("the start", func() bool { return other.started })

	// Epoll cannot watch a regular file (epoll_ctl(2), EPERM).
	file, err := unix.Open(t.TempDir()+"/file", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	sp := command("sleep", "1000")
	sp.Notify = true
	r := w.start(sp)
	w.do(func() { _ = r.Write([]byte("words"), "token") })
	asked := w.asked()
	w.say(ipc.Spawned{Seq: asked.Seq, PID: 2, OSPID: 2}, pidfd, file)
	if msg, _ := w.hear(); msg != (ipc.Forget{Seq: asked.Seq}) {
		t.Fatalf("asked for %#v", msg)
	}
	// It is killed until its group is empty.
	for _, e := range []unix.Errno{0, 0, unix.ESRCH} {
		msg, _ := w.hear()
		if msg != (ipc.SignalGroup{PID: 2, Signal: uint32(unix.SIGKILL)}) {
			t.Fatalf("asked for %#v", msg)
		}
		if e == 0 {
			w.do(func() {
				if r.over() {
					t.Errorf("over too early: %s", r)
				}
			})
		}
		w.say(ipc.GroupSignalled{PID: 2, Errno: uint32(e)})
	}
	w.finish(r).want("failed 1 EPERM")
	w.do(func() {
		if len(r.wrote) != 1 || r.wrote[0].err != unix.EPIPE {
			t.Errorf("the write was answered by %v", r.wrote)
		}
		if len(w.lost) > 0 || other.over() {
			t.Errorf("lost %v, the other is %s", w.lost, other)
		}
		other.Kill()
	})
	w.say(ipc.Changed{PID: 1, Status: 9})
	for over := false; !over; w.do(func() { over = other.over() }) {
		w.drop()
	}
	w.drop()
}

// TestTooManyOnTheirWay checks that a program waits for a while, without load, while too many
// descriptors of the user are on their way. Then it fails. When there are fewer, starts succeed
// again.
func TestTooManyOnTheirWay(t *testing.T) {
	w := newWorldWith(t, options{fake: true, reports: true, maxFDs: filesLimit(t)})
	pidfd := none(t)
	rounds := 0
	w.do(func() {
		w.loop.EachRound(func() { rounds++ })
		// The limit does not apply to processes that may raise it (unix(7)).
		if os.Getuid() == 0 {
			ordinary(t)
		}
	})
	const limit = 300
	restore := limitFiles(t, limit)
	a, b, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	var fds [ipc.MaxFDs]int
	for i := range fds {
		fds[i] = pidfd
	}
	for sent := 0; sent <= limit; sent += len(fds) {
		if err := a.TrySend([]byte("x"), fds[:]...); err != nil {
			t.Fatal(err)
		}
	}
	before := 0
	w.do(func() { before = rounds })
	start := time.Now()
	w.run(command("cat")).want("failed 1 ETOOMANYREFS")
	if took := time.Since(start); took < 900*time.Millisecond {
		t.Errorf("given up after %v", took)
	}
	w.do(func() {
		if n := rounds - before; n > 250 {
			t.Errorf("%d rounds", n)
		}
	})
	waiting := w.start(command("cat")) // one after the other, because it may fail at once
	_ = a.Close()
	_ = b.Close()
	restore()
	for range 2 {
		w.await("an end of the waiting", func() bool { return waiting.over() || w.starter.Asked() > 0 })
		if waiting.failed {
			waiting.want("failed 1 ETOOMANYREFS")
			waiting = w.start(command("cat"))
		}
	}
	w.answer(7, pidfd)
	w.await("the start", func() bool { return waiting.started })
	w.do(waiting.Kill)
	w.say(ipc.Changed{PID: 7, Status: 9})
	for over := false; !over; w.do(func() { over = waiting.over() }) {
		w.drop()
	}
	w.drop()
}

// ordinary drops the calling thread's capabilities.
func ordinary(t *testing.T) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&hdr, &none[0]); err != nil {
		t.Error(err)
	}
}
