package spawner

import (
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// local is a spawner that serves in the test's own process, with the test as the child. So its
// descriptors can be counted, and limited. It has neither control groups nor a domain. The test
// reaps its programs.
type local struct {
	t     *testing.T
	s     *spawner
	child *ipc.Conn
	done  chan error
}

// here begins one. At the end of the test it must have no process and no error.
func here(t *testing.T, change ...func(*spawner)) *local {
	t.Helper()
	mine, theirs, err := ipc.Pair()
	must(t, err)
	noLeaves, err := newLeaves("")
	must(t, err)
	l := &local{t: t, child: mine, done: make(chan error)}
	l.s = &spawner{
		child: theirs, path: []string{"/usr/bin", "/bin"}, buf: make([]byte, ipc.MaxPacket),
		log: ipc.NoLogger(), domain: -1, leaves: noLeaves, limits: &limiter{}, started: make(chan struct{}, 1),
	}
	for _, f := range change {
		f(l.s)
	}
	l.s.slack.Worth = 1 << 30
	umask := unix.Umask(0o022)
	go func() {
		runtime.LockOSThread() // without an unlock, the thread ends, and the programs with it
		_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		l.done <- l.s.serve()
	}()
	t.Cleanup(func() {
		_ = mine.Close()
		if err, ended := <-l.done; err != nil && ended {
			t.Errorf("the spawner: %v", err)
		}
		l.s.notify.close()
		_ = theirs.Close()
		unix.Umask(umask)
		for {
			if pid, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
				break
			} else if err == nil {
				t.Errorf("process %d was left", pid)
			}
		}
	})
	return l
}

// over ends the conversation and returns the spawner's error. Earlier answers can still be read.
func (l *local) over() error {
	l.t.Helper()
	must(l.t, unix.Shutdown(l.child.FD(), unix.SHUT_WR))
	err := <-l.done
	close(l.done)
	return err
}

// say sends a request with descriptors, which the test keeps.
func (l *local) say(m ipc.Message, fds ...int) {
	l.t.Helper()
	packet := ipc.Append(nil, m)
	if spawn, ok := m.(*ipc.Spawn); ok {
		short, memfd, err := ipc.PackSpawn(spawn.Seq, packet)
		must(l.t, err)
		if packet = short; memfd >= 0 {
			defer unix.Close(memfd)
			fds = append(fds, memfd)
		}
	}
	must(l.t, l.child.Send(packet, patience, fds...))
}

// hear returns the next answer.
func (l *local) hear() (ipc.Message, []int) {
	l.t.Helper()
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := l.child.Recv(buf, patience)
	must(l.t, err)
	m, err := ipc.Decode(buf[:n])
	must(l.t, err)
	return m, fds
}

// refused requires that a request gets this refusal, and no other answer.
func (l *local) refused(what string, m *ipc.Spawn, want ipc.Refusal, fds ...int) {
	l.t.Helper()
	l.say(m, fds...)
	l.wants(what, m, want)
}

// wants receives that answer.
func (l *local) wants(what string, m *ipc.Spawn, want ipc.Refusal) {
	l.t.Helper()
	got, more := l.hear()
	if got != (ipc.Spawned{Seq: m.Seq, Refusal: want}) || len(more) > 0 {
		l.t.Errorf("%s: %+v with %d descriptors, want %+v", what, got, len(more), want)
		ipc.CloseAll(more)
	}
}

// starts requests a program and requires its start.
func (l *local) starts(m *ipc.Spawn, fds ...int) (is ipc.Spawned, with ipc.Handles) {
	l.t.Helper()
	l.say(m, fds...)
	return l.started(m)
}

// started receives the answer to a start.
func (l *local) started(m *ipc.Spawn) (is ipc.Spawned, with ipc.Handles) {
	l.t.Helper()
	got, more := l.hear()
	is, ok := got.(ipc.Spawned)
	logs := 0
	for _, st := range m.Streams {
		if st.Log {
			logs++
		}
	}
	if ok {
		with, ok = ipc.HandlesOf(more, m.Terminal != nil, logs, m.Notify)
	}
	if !ok || is.Stage != ipc.StageNone || is.Seq != m.Seq {
		ipc.CloseAll(more)
		l.t.Fatalf("%q: %+v with %d descriptors", m.Args, got, len(more))
	}
	return is, with
}

// answered waits until an answer can be read.
func (l *local) answered() {
	l.t.Helper()
	p := []unix.PollFd{{Fd: int32(l.child.FD()), Events: unix.POLLIN}}
	if err := eintr.Do(func() error { _, err := unix.Poll(p, int(patience.Milliseconds())); return err }); err != nil || p[0].Revents != unix.POLLIN {
		l.t.Fatalf("no answer: %v", err)
	}
}

// notifies makes the spawner create the directory of the notify sockets.
func (l *local) notifies() {
	l.t.Helper()
	m := changed(func(m *ipc.Spawn) { m.Notify = true }, "true")
	is, with := l.starts(m)
	l.ends(is)
	ipc.CloseAll(with.List())
	l.say(ipc.Forget{Seq: m.Seq})
}

// ends waits for the end of a program.
func (l *local) ends(is ipc.Spawned) (st unix.WaitStatus) {
	l.t.Helper()
	if pid, err := unix.Wait4(int(is.PID), &st, 0, nil); pid != int(is.PID) || err != nil {
		l.t.Fatalf("process %d: %v", is.PID, err)
	}
	return st
}

// reaped reaps until there is no process.
func (l *local) reaped() {
	for err := error(nil); err != unix.ECHILD; {
		_, err = unix.Wait4(-1, nil, 0, nil)
	}
}

// says runs a program to its end and returns its output and errors.
func (l *local) says(m *ipc.Spawn) string {
	l.t.Helper()
	r, w := pipe(l.t)
	m.Streams[1] = ipc.Stream{FD: 1, Source: ipc.SourceFD}
	m.Streams[2] = ipc.Stream{FD: 2, Source: ipc.SourceDup, Dup: 1}
	is, with := l.starts(m, int(w.Fd()))
	w.Close()
	defer ipc.CloseAll(with.List())
	text := all(l.t, r)
	l.ends(is)
	return strings.TrimSuffix(text, "\n")
}

// all reads until the last writer has closed the pipe.
func all(t *testing.T, r *os.File) string {
	t.Helper()
	must(t, r.SetReadDeadline(time.Now().Add(patience)))
	text, err := io.ReadAll(r)
	must(t, err)
	return string(text)
}

// settled waits until all earlier requests are served, and their descriptors closed.
func (l *local) settled() {
	l.t.Helper()
	l.say(ipc.SignalGroup{PID: 1})
	if m, _ := l.hear(); m != (ipc.GroupSignalled{PID: 1, Errno: uint32(unix.ESRCH)}) {
		l.t.Fatalf("%#v", m)
	}
}

// look examines the spawner's state between two requests.
func (l *local) look(f func(s *spawner)) {
	l.t.Helper()
	l.settled()
	l.s.answering.Lock()
	defer l.s.answering.Unlock()
	f(l.s)
}

// sockets returns the names in the directory of the notify sockets.
func (l *local) sockets() (names []string) {
	l.t.Helper()
	l.look(func(s *spawner) {
		list, err := os.ReadDir(s.notify.dir)
		must(l.t, err)
		for _, e := range list {
			names = append(names, e.Name())
		}
	})
	return names
}

// keeps requires that f leaves no descriptor behind.
func (l *local) keeps(what string, f func()) {
	l.t.Helper()
	l.settled()
	before := descriptors(l.t)
	f()
	l.settled()
	noneLeft(l.t, what, before)
}

// noneLeft requires that there is no new descriptor. One may be missing: the runtime closes files
// that a test no longer uses.
func noneLeft(t *testing.T, what string, before map[int]string) {
	t.Helper()
	for fd, is := range descriptors(t) {
		if before[fd] != is {
			t.Errorf("%s: descriptor %d is left, %s; before: %v", what, fd, is, before)
		}
	}
}

// descriptors returns those of this process, with their files.
func descriptors(t *testing.T) map[int]string {
	t.Helper()
	dir, err := os.Open("/proc/self/fd")
	must(t, err)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	must(t, err)
	all := map[int]string{}
	for _, name := range names {
		if n, _ := strconv.Atoi(name); n != int(dir.Fd()) {
			all[n], _ = os.Readlink("/proc/self/fd/" + name)
		}
	}
	return all
}

// withRoom calls f while exactly room descriptors can be opened.
func withRoom(t *testing.T, room int, f func()) {
	t.Helper()
	used := descriptors(t)
	end := 0
	for ; room >= 0; end++ {
		if used[end] == "" {
			room--
		}
	}
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(end - 1), Max: old.Max}))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) }()
	f()
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// changed returns a request for a program, with a change.
func changed(change func(m *ipc.Spawn), args ...string) *ipc.Spawn {
	m := program(args...)
	change(m)
	return m
}
