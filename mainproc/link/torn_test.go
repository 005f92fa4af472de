package link

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/wire/dist"

	"golang.org/x/sys/unix"
)

var kills = flag.Int("kills", 40, "at least so many children that are killed while they read and write, none of which may tear or lose a frame")

// TestTorn: the child is killed at any moment while it writes and reads frames of all sizes. Main
// continues exactly there, in both directions, and so does the next child on the same connection.
// The node finds every frame whole and every byte right, and each of its calls is answered once.
func TestTorn(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var sum tornCounts
	const each = 20 // for one connection
	done := 0
	for ; (done < *kills || done < 20**kills && !sum.all()) && !t.Failed(); done += each {
		tornConnection(t, random, done/each%2 == 0, each, &sum)
	}
	t.Logf("%d killed: %d within an outgoing frame, %d within an incoming one, %d with frames not yet written, %d with frames not handled, %d while they passed over one",
		done, sum.out, sum.in, sum.waiting, sum.unhandled, sum.skipping)
	if !sum.all() {
		t.Error("some of it has not been tried")
	}
}

// longestLife is the longest life of a child that serves.
const longestLife = 50 * time.Millisecond

type tornCounts struct{ out, in, waiting, unhandled, skipping int }

func (c tornCounts) all() bool { return c.out > 0 && c.in > 0 && c.waiting > 0 && c.unhandled > 0 }

func tornConnection(t *testing.T, random *rand.Rand, quiet bool, n int, sum *tornCounts) {
	fd, conn := pair(t)
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	if quiet { // it also reads slowly, so that output has to wait
		if err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 32<<10), conn.SetReadBuffer(32<<10)); err != nil {
			t.Fatal(err)
		}
	}
	node := newTalker(conn, random.Uint64(), quiet)
	first := positioned(t, fd)
	node.start()
	defer func() {
		for _, err := range node.stop() {
			t.Error(err)
		}
	}()
	l := &Link{transport: plain{fd}, self: &Self{}}
	for range n {
		child, spawner := serve(t, l)
		<-time.After(time.Duration(random.Int64N(int64(longestLife))))
		child.kill(t)
		spawner.ends(t)
		s, _, err := l.remains()
		if err != nil {
			t.Fatal(err)
		}
		now := positioned(t, fd)
		written, read := now.written-first.written, now.read-first.read

		handled := read - uint64(len(s.In)) + uint64(s.Skip)
		if !node.sentWhole(handled) {
			t.Fatalf("%d bytes were read, %d of them not handled, %d more to be skipped: that is within a frame", read, len(s.In), s.Skip)
		}
		if !slices.Equal(s.In, node.sent(read-uint64(len(s.In)), read)) {
			t.Fatalf("what was read from %d to %d is not what was sent", read-uint64(len(s.In)), read)
		}
		if err := writeAll(fd, append(s.Out, marker()...)); err != nil {
			t.Fatal(err)
		}
		got, err := node.marked()
		if err != nil {
			t.Fatalf("%v (after %d bytes, %d more)", err, written, len(s.Out))
		}
		if calls := node.callsBefore(handled); got.answered != calls {
			t.Fatalf("%d calls were handled, %d answered", calls, got.answered)
		}
		if _, whole := slices.BinarySearch(got.ends, written); !whole {
			sum.out++
		}
		if !node.sentWhole(read) {
			sum.in++
		}
		if len(s.Out) > 0 {
			sum.waiting++
		}
		if len(s.In) > 0 {
			sum.unhandled++
		}
		if s.Skip > 0 {
			sum.skipping++
		}
		l.in, l.skip = s.In, s.Skip
	}
}

// marker is the frame by which the node knows that main has the connection.
func marker() []byte {
	b := dist.BeginRegSend(nil, pidOf(testMain), "marker")
	return dist.End(append(b, 97, 1), 0)
}

// role is a real role, without a stage.
type role struct {
	cmd  *exec.Cmd
	conn *ipc.Conn // main's end of the conversation
}

func startRole(t *testing.T, name string, stderr io.Writer) *role {
	t.Helper()
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(uintptr(theirs.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	end := os.NewFile(uintptr(fd), "conversation")
	defer end.Close()
	r := &role{cmd: exec.Command("/proc/self/exe", name), conn: ours}
	r.cmd.Env, r.cmd.Stderr, r.cmd.ExtraFiles = []string{}, stderr, []*os.File{end}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.hears(t, ipc.KindHello)
	return r
}

func (r *role) hears(t *testing.T, want ipc.Kind) {
	t.Helper()
	buf := make([]byte, ipc.MaxPacket)
	n, _, err := r.conn.Recv(buf, waitBound)
	if err != nil || ipc.Kind(buf[0]) != want {
		_ = r.cmd.Process.Kill()
		t.Fatalf("%v says %q, %v", r.cmd.Args, buf[:n], err)
	}
}

func (r *role) send(m ipc.Message, fds ...int) error {
	return r.conn.Send(ipc.Append(nil, m), waitBound, fds...)
}

func (r *role) kill(t *testing.T) {
	t.Helper()
	_ = r.cmd.Process.Kill()
	r.ends(t)
}

func (r *role) ends(t *testing.T) {
	t.Helper()
	late := time.AfterFunc(waitBound, func() {
		t.Errorf("%v does not end", r.cmd.Args)
		_ = r.cmd.Process.Kill()
	})
	_ = r.cmd.Wait()
	late.Stop()
	_ = r.conn.Close()
}

// serve makes a child serve the connection, with a spawner.
func serve(t *testing.T, l *Link) (child, spawner *role) {
	t.Helper()
	// The spawner will report that it cannot answer a killed child.
	spawner, child = startRole(t, "spawner", nil), startRole(t, "child", os.Stderr)
	toSpawner, toChild, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer toSpawner.Close()
	defer toChild.Close()
	reports := !ipc.PidfdsSuffice()
	err = errors.Join(
		spawner.send(ipc.StartSpawner{Path: []string{"/usr/bin", "/bin"}, Reports: reports}, toChild.FD()),
		child.send(ipc.Start{
			Controller: "erluv", ErluvVersion: "test", CookieSource: "file", User: "tester",
			MaxWorkers: 6, KillTimeoutMS: 1000, Contain: "group", Reports: reports,
			SpawnerPID: uint32(spawner.cmd.Process.Pid),
		}, toSpawner.FD()),
		child.send(ipc.Host{Disks: []string{"/"}}),
		l.Give(child.send),
	)
	if err != nil {
		t.Fatal(err)
	}
	spawner.hears(t, ipc.KindReady)
	child.hears(t, ipc.KindReady)
	return child, spawner
}

// writeAll writes to a descriptor that does not block.
func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if n > 0 {
			b = b[n:]
		}
		switch {
		case err == unix.EAGAIN:
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			if n, err := unix.Poll(p, int(waitBound.Milliseconds())); n == 0 || err != nil && err != unix.EINTR {
				return fmt.Errorf("no room to write in: %w", errors.Join(err, os.ErrDeadlineExceeded))
			}
		case err != nil:
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}
