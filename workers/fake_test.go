package workers_test

import (
	"fmt"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// hear returns the next request to the spawner that the test plays.
func (w *world) hear() (ipc.Message, []int) {
	w.t.Helper()
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := w.fake.Recv(buf, patience)
	if err != nil {
		w.t.Fatal(err)
	}
	msg, err := ipc.Decode(buf[:n])
	if err != nil {
		w.t.Fatal(err)
	}
	return msg, fds
}

// asked returns the next request, which must be for a start.
func (w *world) asked() *ipc.Spawn {
	w.t.Helper()
	msg, fds := w.hear()
	ipc.CloseAll(fds)
	sp, ok := msg.(*ipc.Spawn)
	if !ok {
		w.t.Fatalf("asked for %#v", msg)
	}
	return sp
}

func (w *world) say(m ipc.Message, fds ...int) {
	w.t.Helper()
	if err := w.fake.Send(ipc.Append(nil, m), patience, fds...); err != nil {
		w.t.Fatal(err)
	}
}

// none is a descriptor in place of a pidfd. Where the spawner reports, the child does not use the
// pidfd.
func none(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// answer reports that the next requested program has been started.
func (w *world) answer(pid, pidfd int) {
	w.t.Helper()
	w.say(ipc.Spawned{Seq: w.asked().Seq, PID: uint32(pid), OSPID: uint32(pid)}, pidfd)
}

// newFake makes a world in which the test is a spawner that reports exits.
func newFake(t *testing.T) (w *world, pidfd int) {
	t.Helper()
	pidfd = none(t)
	return newWorldWith(t, options{fake: true, reports: true}), pidfd
}

func TestNoMoreThanASpawnerCanTake(t *testing.T) {
	w, pidfd := newFake(t)
	const n = 100
	var runs [n]*run
	for i := range runs {
		runs[i] = w.start(command("true", fmt.Sprint(i)))
	}
	var waiting []*ipc.Spawn
	answered, most := 0, 0
	for over := 0; over < n; {
		w.do(func() {
			for over = 0; over < n && runs[over].over(); over++ {
			}
		})
		msg, fds, err := w.tryHear()
		ipc.CloseAll(fds)
		switch m := msg.(type) {
		case *ipc.Spawn:
			if want := fmt.Sprint(answered + len(waiting)); m.Args[1] != want {
				t.Errorf("asked for %s, it is the turn of %s", m.Args[1], want)
			}
			waiting = append(waiting, m)
			most = max(most, len(waiting))
		case ipc.SignalGroup:
			w.say(ipc.GroupSignalled{PID: m.PID, Errno: uint32(unix.ESRCH)})
		default:
			if err != ipc.ErrEmpty {
				t.Fatal(err)
			}
			if len(waiting) > 0 {
				w.say(ipc.Spawned{Seq: waiting[0].Seq, PID: uint32(10_000 + answered), OSPID: uint32(10_000 + answered)}, pidfd)
				w.say(ipc.Changed{PID: uint32(10_000 + answered), Status: uint32(answered) << 8})
				waiting = waiting[1:]
				answered++
			}
		}
	}
	for i, r := range runs {
		r.want(fmt.Sprintf("exit %d", i))
	}
	if most != 32 {
		t.Errorf("%d were asked for at once, want 32", most)
	}
	w.drop()
}

func (w *world) tryHear() (ipc.Message, []int, error) {
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := w.fake.TryRecv(buf)
	if err != nil {
		return nil, nil, err
	}
	msg, err := ipc.Decode(buf[:n])
	return msg, fds, err
}

// drop answers the remaining requests until there are none.
func (w *world) drop() {
	w.t.Helper()
	for {
		w.do(func() {})
		msg, fds, err := w.tryHear()
		if err != nil {
			return
		}
		ipc.CloseAll(fds)
		w.say(ipc.GroupSignalled{PID: msg.(ipc.SignalGroup).PID, Errno: uint32(unix.ESRCH)})
	}
}

// TestQuestionsAreBounded checks that few signals are under way, however often a signal is sent.
func TestQuestionsAreBounded(t *testing.T) {
	w, pidfd := newFake(t)
	r := w.start(command("sleep", "1000"))
	w.answer(4242, pidfd)
	w.await("the start", func() bool { return r.started })
	w.do(func() {
		again := 0
		for range 1000 {
			switch err := r.SignalGroup(unix.SIGUSR1); err {
			case nil:
			case unix.EAGAIN:
				again++
			default:
				t.Error(err)
			}
			r.Stop()
			r.Kill()
		}
		if again < 900 {
			t.Errorf("%d of 1000 signals were refused", again)
		}
	})
	kills, all := 0, 0
	for {
		msg, _, err := w.tryHear()
		if err != nil {
			break
		}
		if all++; msg.(ipc.SignalGroup).Signal == uint32(unix.SIGKILL) {
			kills++
		}
	}
	if kills != 1 || all > 20 {
		t.Errorf("%d signals were asked for, %d of them SIGKILL", all, kills)
	}
	for range all {
		w.say(ipc.GroupSignalled{PID: 4242})
	}
	// A process that was forked just before is killed again, until the group is empty.
	w.say(ipc.Changed{PID: 4242, Status: 9})
	for range 3 {
		msg, _ := w.hear()
		for msg.(ipc.SignalGroup).Signal != uint32(unix.SIGKILL) {
			w.say(ipc.GroupSignalled{PID: 4242})
			msg, _ = w.hear()
		}
		w.say(ipc.GroupSignalled{PID: 4242})
	}
	msg, _ := w.hear()
	w.say(ipc.GroupSignalled{PID: msg.(ipc.SignalGroup).PID, Errno: uint32(unix.ESRCH)})
	w.finish(r).want("signal SIGKILL, core false")
	w.drop()
}

// TestANumberIsUsedAgain gives a process id to another program while the earlier worker of that id
// still delivers. The end that is then reported must be the second program's.
func TestANumberIsUsedAgain(t *testing.T) {
	w, pidfd := newFake(t)
	w.do(func() { w.host.room = func(*run, workers.Stream) []byte { w.group.Pause(); return nil } })
	first := w.start(command("true"))
	msg, fds := w.hear()
	if _, err := unix.Write(fds[1], []byte("words")); err != nil {
		t.Fatal(err)
	}
	ipc.CloseAll(fds)
	w.say(ipc.Spawned{Seq: msg.(*ipc.Spawn).Seq, PID: 77, OSPID: 77}, pidfd)
	w.say(ipc.Changed{PID: 77, Status: 1 << 8})
	w.await("the start", func() bool { return first.started })
	w.drop()
	w.await("draining", func() bool { return first.State() == workers.Draining })

	second := w.start(command("true"))
	w.answer(77, pidfd)
	w.await("the start", func() bool { return second.started })
	w.do(func() { w.host.room = nil; w.group.Resume(); first.Resume() })
	w.finish(first).want("exit 1")
	if first.stdout() != "words" {
		t.Errorf("wrote %q", first.stdout())
	}
	w.say(ipc.GroupSignalled{PID: 77}) // meant for the first
	w.say(ipc.Changed{PID: 77, Status: 2 << 8})
	w.await("the end", func() bool { return second.State() > workers.Running })
	for over := false; !over; w.do(func() { over = second.over() }) {
		w.drop()
	}
	second.want("exit 2")
	// The end of a process that the child did not request is an orphan's.
	w.say(ipc.Changed{PID: 77})
	w.say(ipc.GroupSignalled{PID: 77})
	w.do(func() {
		if len(w.lost) > 0 {
			t.Error(w.lost)
		}
	})
}

// TestAFullSocket checks that requests and signals wait in line while the socket is full, and that
// all of them arrive in the end.
func TestAFullSocket(t *testing.T) {
	w, pidfd := newFake(t)
	const n = 40
	var runs [n]*run
	w.do(func() {
		for i := range runs {
			r := &run{host: w.host}
			sp := command("true", fmt.Sprint(i), strings.Repeat("x", 60_000))
			r.Worker = workers.New(w.host, w.starter, sp, r)
			runs[i] = r
		}
	})
	for i := range runs {
		sp := w.asked()
		if sp.Args[1] != fmt.Sprint(i) {
			t.Fatalf("request %d is %s", i, sp.Args[1])
		}
		w.say(ipc.Spawned{Seq: sp.Seq, PID: uint32(1000 + i), OSPID: uint32(1000 + i)}, pidfd)
	}
	w.await("all starts", func() bool { return runs[n-1].started })
	const each = 16
	w.do(func() {
		for range each {
			for _, r := range runs {
				if err := r.SignalGroup(unix.SIGUSR1); err != nil {
					t.Error(err)
				}
			}
		}
	})
	seen := map[uint32]int{}
	for range n * each {
		msg, _ := w.hear()
		m := msg.(ipc.SignalGroup)
		seen[m.PID]++
		w.say(ipc.GroupSignalled{PID: m.PID})
	}
	for i := range runs {
		if seen[uint32(1000+i)] != each {
			t.Errorf("program %d: %d signals of %d", i, seen[uint32(1000+i)], each)
		}
		w.say(ipc.Changed{PID: uint32(1000 + i)})
	}
	for over := 0; over < n; {
		w.drop()
		w.do(func() {
			over = 0
			for _, r := range runs {
				if r.over() {
					over++
				}
			}
		})
	}
	w.drop()
}

// TestASpawnerThatMakesNoSense checks that a spawner with a wrong message counts as lost, and that
// its descriptors are closed.
func TestASpawnerThatMakesNoSense(t *testing.T) {
	for name, say := range map[string]func(w *world, seq uint32, fd int){
		"junk": func(w *world, _ uint32, fd int) {
			_ = w.fake.Send([]byte{255, 1, 2}, patience, fd)
		},
		"no answer":       func(w *world, _ uint32, fd int) { w.say(ipc.Ready{}, fd) },
		"unknown request": func(w *world, seq uint32, fd int) { w.say(ipc.Spawned{Seq: seq + 1, PID: 5, OSPID: 5}, fd) },
		"no pidfd":        func(w *world, seq uint32, _ int) { w.say(ipc.Spawned{Seq: seq, PID: 5, OSPID: 5}) },
		"two pidfds":      func(w *world, seq uint32, fd int) { w.say(ipc.Spawned{Seq: seq, PID: 5, OSPID: 5}, fd, fd) },
		"a pidfd of none": func(w *world, seq uint32, fd int) {
			w.say(ipc.Spawned{Seq: seq, Refusal: ipc.Refusal{Stage: ipc.StageDir, Errno: 2}}, fd)
		},
		"too long": func(w *world, _ uint32, _ int) { w.say(ipc.Failed{Text: strings.Repeat("x", 10_000)}) },
		"the end":  func(w *world, _ uint32, _ int) { _ = w.fake.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			fd := none(t)
			w := newWorldWith(t, options{fake: true, reports: true, unclean: true})
			r := w.start(command("cat"))
			say(w, w.asked().Seq, fd)
			w.await("lost", func() bool { return len(w.lost) > 0 })
			w.do(func() {
				if r.started || len(w.lost) != 1 {
					t.Errorf("started: %v; lost %v", r.started, w.lost)
				}
			})
		})
	}
}
