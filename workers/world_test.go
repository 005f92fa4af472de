package workers_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/loop"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// patience bounds every wait for something that must happen.
const patience = 2 * time.Minute

// bothModes runs f twice: with a spawner that reports exits, as on old kernels, and with pidfds if
// the running kernel's suffice.
func bothModes(t *testing.T, f func(t *testing.T, reports bool)) {
	t.Run("reports", func(t *testing.T) { f(t, true) })
	if ipc.PidfdsSuffice() {
		t.Run("pidfds", func(t *testing.T) { f(t, false) })
	}
}

// world is a loop in its own goroutine, a spawner process, and a starter between them.
type world struct {
	t       testing.TB
	loop    *loop.Loop
	group   *loop.Group
	starter *workers.Starter
	host    *host

	spawner *exec.Cmd
	stderr  bytes.Buffer
	up      *ipc.Conn // main's end
	conn    *ipc.Conn // the child's end
	fake    *ipc.Conn // the other end, if the test plays the spawner
	lost    []error
	closed  bool

	mu      sync.Mutex
	queue   []func()
	wake    int
	waiters []waiter
	done    chan error
	before  int // descriptors
}

type waiter struct {
	cond func() bool
	ch   chan struct{}
}

type options struct {
	reports bool
	maxFDs  int      // 0 means plenty
	wrapper []string // runs the spawner
	unclean bool     // the test ends the spawner itself, or leaves processes to it
	fake    bool     // the test plays the spawner
}

func newWorld(t testing.TB, reports bool) *world { return newWorldWith(t, options{reports: reports}) }

// newWorldWith makes a world. At the end of the test nothing of it may remain.
func newWorldWith(t testing.TB, o options) *world {
	t.Helper()
	w := &world{t: t, done: make(chan error, 1), before: descriptors(t)}
	var err error
	if o.fake {
		if w.conn, w.fake, err = ipc.Pair(); err != nil {
			t.Fatal(err)
		}
	} else {
		w.startSpawner(o)
	}
	if w.loop, err = loop.New(); err != nil {
		t.Fatal(err)
	}
	if w.group, err = w.loop.NewGroup(); err != nil {
		t.Fatal(err)
	}
	if o.maxFDs == 0 {
		o.maxFDs = 10_000
	}
	w.starter, err = workers.NewStarter(w.loop, w.conn, o.reports, o.maxFDs, func(err error) { w.lost = append(w.lost, err) })
	if err != nil {
		t.Fatal(err)
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	if _, err := w.loop.Watch(w.wake, loop.In, w); err != nil {
		t.Fatal(err)
	}
	w.host = newHost(w)
	w.loop.EachRound(w.look)
	go func() { // ends by Stop in close, which waits
		runtime.LockOSThread()
		w.done <- w.loop.Run()
	}()
	t.Cleanup(func() { w.close(o) })
	return w
}

func (w *world) startSpawner(o options) {
	t := w.t
	t.Helper()
	up, down, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(uintptr(down.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(append([]string(nil), o.wrapper...), self, "spawner")
	w.spawner = exec.Command(args[0], args[1:]...)
	w.spawner.Env = []string{}
	w.spawner.Stderr = &w.stderr
	f := os.NewFile(uintptr(fd), "socket")
	w.spawner.ExtraFiles = []*os.File{f}
	if err := w.spawner.Start(); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	_ = down.Close()
	w.up, w.conn = up, mine
	hello := w.told().(ipc.Hello)
	if want := (ipc.Hello{Version: ipc.Version, Role: ipc.RoleSpawner, PID: uint32(w.spawner.Process.Pid)}); hello != want {
		t.Fatalf("%+v, want %+v", hello, want)
	}
	start := ipc.StartSpawner{Path: []string{"/nonexistent", "/usr/local/bin", "/usr/bin", "/bin"}, Reports: o.reports}
	if err := up.Send(ipc.Append(nil, start), patience, theirs.FD()); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	if msg := w.told(); msg != (ipc.Ready{}) {
		t.Fatalf("%#v, want Ready", msg)
	}
}

// told returns the spawner's next message to main.
func (w *world) told() ipc.Message {
	w.t.Helper()
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := w.up.Recv(buf, patience)
	if err != nil {
		w.t.Fatalf("the spawner does not speak: %v; %s", err, w.stderr.String())
	}
	ipc.CloseAll(fds)
	msg, err := ipc.Decode(buf[:n])
	if err != nil {
		w.t.Fatal(err)
	}
	return msg
}

// close ends the loop and the spawner, and checks that both are gone.
func (w *world) close(o options) {
	t := w.t
	if w.closed {
		return
	}
	w.closed = true
	w.do(func() {
		if !o.unclean && !w.starter.Idle() {
			t.Error("the starter still holds something")
		}
	})
	if !o.unclean && !o.fake {
		// Processes that left the group may be about to end, but zombies would stay.
		w.alarm("the spawner has no process left", func() bool { return len(w.children()) == 0 })
	}
	w.loop.Stop()
	if err := <-w.done; err != nil {
		t.Error(err)
	}
	_ = w.conn.Close()
	if o.fake {
		_ = w.fake.Close()
	} else {
		err := w.spawner.Wait()
		if !o.unclean && (err != nil || w.stderr.Len() > 0) {
			t.Errorf("the spawner: %v; %s", err, w.stderr.String())
		}
		_ = w.up.Close()
	}
	w.loop.Close()
	_ = unix.Close(w.wake)
	if after := descriptors(t); !o.unclean && after != w.before {
		t.Errorf("%d descriptors before, %d after", w.before, after)
	}
}

// children are the processes of the spawner, zombies too.
func (w *world) children() []int {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", w.spawner.Process.Pid))
	var pids []int
	for _, task := range tasks {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", w.spawner.Process.Pid, task.Name()))
		for f := range strings.FieldsSeq(string(b)) {
			pid, _ := strconv.Atoi(f)
			pids = append(pids, pid)
		}
	}
	return pids
}

// Ready calls the posted functions in the loop's thread.
func (w *world) Ready(loop.Events) {
	var b [8]byte
	_, _ = unix.Read(w.wake, b[:])
	w.mu.Lock()
	queue := w.queue
	w.queue = nil
	w.mu.Unlock()
	for _, f := range queue {
		f()
	}
}

// look ends the waits whose conditions hold.
func (w *world) look() {
	rest := w.waiters[:0]
	for _, wt := range w.waiters {
		if wt.cond() {
			close(wt.ch)
		} else {
			rest = append(rest, wt)
		}
	}
	clear(w.waiters[len(rest):])
	w.waiters = rest
}

func (w *world) post(f func()) {
	w.mu.Lock()
	w.queue = append(w.queue, f)
	w.mu.Unlock()
	_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// do calls f in the loop's thread and waits until it has returned.
func (w *world) do(f func()) {
	w.t.Helper()
	ch := make(chan struct{})
	w.post(func() { defer close(ch); f() })
	w.wait(ch, "the loop")
}

// await waits until cond, called in the loop's thread, returns true.
func (w *world) await(what string, cond func() bool) {
	w.t.Helper()
	ch := make(chan struct{})
	w.post(func() { w.waiters = append(w.waiters, waiter{cond, ch}) })
	w.wait(ch, what)
}

func (w *world) wait(ch chan struct{}, what string) {
	w.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ch:
	case <-timer.C:
		stack := make([]byte, 1<<20)
		w.t.Fatalf("waited in vain for: %s\n%s", what, stack[:runtime.Stack(stack, true)])
	}
}

// alarm calls cond from time to time, for conditions that no event reports.
func (w *world) alarm(what string, cond func() bool) {
	w.t.Helper()
	stop := false
	var again func()
	again = func() {
		if !stop {
			w.loop.After(2*time.Millisecond, again)
		}
	}
	w.do(again)
	w.await(what, cond)
	w.do(func() { stop = true })
}

func descriptors(t testing.TB) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// status returns /proc/pid/status, empty if there is no such process.
func status(pid int) map[string]string {
	m := map[string]string{}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(line, ":")
		m[k] = strings.TrimSpace(v)
	}
	return m
}

// gone reports whether the process has ended. Its parent may not have reaped it yet.
func gone(pid int) bool {
	s := status(pid)["State"]
	return s == "" || s[0] == 'Z' || s[0] == 'X'
}

// inGroup returns the processes of a group, zombies too.
func inGroup(pgid int) []int {
	list, _ := os.ReadDir("/proc")
	var pids []int
	for _, d := range list {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		b, _ := os.ReadFile("/proc/" + d.Name() + "/stat")
		// pid (command) state ppid pgrp session ...
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) > 2 && f[2] == strconv.Itoa(pgid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
