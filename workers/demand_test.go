package workers_test

import (
	"errors"
	"io"
	"os/exec"
	"testing"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// others is a world in which the test plays main and the spawner of another user.
type others struct {
	*world
	wants int // how often a spawner was requested
}

// newOthers makes such a world. At its end the Starter of the child's own user is in place again.
func newOthers(t *testing.T, idle time.Duration) *others {
	w, _ := newFake(t)
	o := &others{world: w}
	own, fake := w.starter, w.fake
	w.do(func() { w.starter = own.ForUser(func() { o.wants++ }, idle) })
	t.Cleanup(func() { // before that of w
		w.do(func() {
			w.starter.Gone()
			if !w.starter.Idle() {
				t.Error("the starter of the other user still holds something")
			}
			w.starter = own
		})
		if w.fake != fake {
			_ = w.fake.Close()
			w.fake = fake
		}
	})
	return o
}

// wanted waits for the nth request of a spawner.
func (o *others) wanted(n int) {
	o.t.Helper()
	o.await("a spawner is wanted", func() bool { return o.wants >= n })
	if o.wants != n {
		o.t.Fatalf("it is wanted for the %dth time, want %d", o.wants, n)
	}
}

func (o *others) join() {
	o.t.Helper()
	ours, theirs, err := ipc.Pair()
	if err != nil {
		o.t.Fatal(err)
	}
	o.fake = theirs
	o.do(func() { o.starter.Join(ours, "", ipc.LimitDirs{}) })
}

// left waits for the end of the conversation with the spawner.
func (o *others) left() {
	o.t.Helper()
	for {
		_, fds, err := o.fake.Recv(make([]byte, ipc.MaxPacket), patience)
		ipc.CloseAll(fds)
		if errors.Is(err, io.EOF) {
			_ = o.fake.Close()
			return
		}
		if err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *others) gone() { o.do(o.starter.Gone) }

// TestWantedAndIdle checks that one request of a spawner serves all waiting workers. When the
// spawner has been idle for a while it is dismissed, and the next worker waits for another.
func TestWantedAndIdle(t *testing.T) {
	o := newOthers(t, 20*time.Millisecond)
	a, b := o.start(command("true")), o.start(command("true"))
	o.wanted(1)
	o.join()
	for pid := range 2 {
		o.answer(100+pid, none(t))
	}
	for pid, r := range []*run{a, b} {
		o.say(ipc.Changed{PID: uint32(100 + pid)})
		o.lookFor(r)
	}
	o.left()
	c := o.start(command("true"))
	o.do(func() {}) // a round
	o.wanted(1)
	o.gone()
	o.wanted(2)
	o.join()
	o.answer(200, none(t))
	o.say(ipc.Changed{PID: 200, Status: 3 << 8})
	o.finishAs(c, "exit 3")
}

// lookFor answers the checks of the group until a worker is over.
func (o *others) lookFor(r *run) {
	o.t.Helper()
	for over := false; !over; o.do(func() { over = r.over() }) {
		msg, fds, err := o.tryHear()
		if err == ipc.ErrEmpty {
			continue
		}
		m, ok := msg.(ipc.SignalGroup)
		if !ok || len(fds) != 1 {
			o.t.Fatalf("%#v with %d descriptors, %v", msg, len(fds), err)
		}
		ipc.CloseAll(fds)
		o.say(ipc.GroupSignalled{PID: m.PID, Errno: uint32(unix.ESRCH)})
	}
}

func (o *others) finishAs(r *run, want string) {
	o.t.Helper()
	o.lookFor(r)
	o.finish(r).want(want)
}

// TestNotToBeHad checks that a spawner which cannot be made fails the waiting workers and no
// others. So does a spawner that ends before it answers.
func TestNotToBeHad(t *testing.T) {
	o := newOthers(t, time.Hour)
	want := ipc.Refusal{Stage: ipc.StageUser, Errno: unix.EAGAIN}
	a := o.start(command("true"))
	o.wanted(1)
	o.gone()
	o.await("its failure", a.over)
	b := o.start(command("true"))
	o.wanted(2)
	o.join()
	ipc.CloseAll(func() []int { _, fds := o.hear(); return fds }())
	c := o.start(command("true"))
	_ = o.fake.Close()
	o.gone()
	o.await("their failures", func() bool { return b.over() && c.over() })
	o.do(func() {
		if a.failure != want || b.failure.Errno != unix.EAGAIN || c.failure.Errno != unix.EAGAIN {
			t.Errorf("%+v, %+v, %+v", a.failure, b.failure, c.failure)
		}
	})
}

// TestSignalsOfOthers checks that signals to a process or its group go to the spawner, with the
// pidfd.
func TestSignalsOfOthers(t *testing.T) {
	o := newOthers(t, time.Hour)
	r := o.start(command("sleep", "1000"))
	o.wanted(1)
	o.join()
	pid, pidfd := sleeper(t)
	o.answer(pid, pidfd)
	o.await("its start", func() bool { return r.started })
	for sig, send := range map[unix.Signal]func(unix.Signal) error{unix.SIGUSR1: r.Signal, unix.SIGUSR2: r.SignalGroup} {
		o.do(func() {
			if err := send(sig); err != nil {
				t.Error(err)
			}
		})
		msg, fds := o.hear()
		if want := (ipc.SignalGroup{PID: uint32(pid), Signal: uint32(sig), Only: sig == unix.SIGUSR1}); msg != want || len(fds) != 1 {
			t.Errorf("%#v with %d descriptors, want %#v", msg, len(fds), want)
		}
		if len(fds) == 1 {
			if err := unix.PidfdSendSignal(fds[0], 0, nil, 0); err != nil {
				t.Errorf("no pidfd of it: %v", err)
			}
		}
		ipc.CloseAll(fds)
		o.say(ipc.GroupSignalled{PID: uint32(pid)})
	}
	o.say(ipc.Changed{PID: uint32(pid), Status: uint32(unix.SIGKILL)})
	o.finishAs(r, "signal SIGKILL, core false")
}

// sleeper starts a process and returns its pid and a pidfd.
func sleeper(t *testing.T) (pid, pidfd int) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = unix.Close(pidfd)
	})
	return cmd.Process.Pid, pidfd
}
