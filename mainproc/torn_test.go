package mainproc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"erluv/childproc"
	"erluv/ipc"
	"erluv/mainproc/permit"
	"erluv/spawner"
	"erluv/wire/dist"

	"golang.org/x/sys/unix"
)

var kills = flag.Int("kills", 40, "at least so many children that are killed while they read and write, none of which may tear or lose a frame")

// realRoles are those of erluv itself, under the name of the file that runs.
const realRoles = "real"

func playReal(role ipc.Role) error {
	if role == ipc.RoleChild {
		return childproc.Main()
	}
	return spawner.Main()
}

// TestTorn: the child is killed at any moment while it writes frames of all sizes
// and reads such. What main recalls goes on exactly there, in both directions, and
// the next child on the same connection too: the node finds every frame whole and
// every byte of it right, and each of its calls is answered once.
func TestTorn(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), realRoles)
	if err := os.Link(exe, path); err != nil {
		t.Fatal(err)
	}
	var sum tornCounts
	const each = 20 // for one connection
	done := 0
	for ; (done < *kills || done < 20**kills && !sum.all()) && !t.Failed(); done += each {
		tornConnection(t, path, random, done/each%2 == 0, each, &sum)
	}
	t.Logf("%d killed: %d within an outgoing frame, %d within an incoming one, %d with frames not yet written, %d with frames not handled, %d while they passed over one",
		done, sum.out, sum.in, sum.waiting, sum.unhandled, sum.skipping)
	if !sum.all() {
		t.Error("some of it has not been tried")
	}
}

// longestLife of a child that serves.
const longestLife = 50 * time.Millisecond

type tornCounts struct{ out, in, waiting, unhandled, skipping int }

func (c tornCounts) all() bool { return c.out > 0 && c.in > 0 && c.waiting > 0 && c.unhandled > 0 }

func tornConnection(t *testing.T, path string, random *rand.Rand, quiet bool, n int, sum *tornCounts) {
	fd, conn := pair(t)
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	if quiet { // and slow to hear: what is written has to wait
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
	l := &link{fd: fd}
	for range n {
		r := startReal(t, path)
		err := r.hand(context.Background(), l)
		if err == nil {
			<-time.After(time.Duration(random.Int64N(int64(longestLife))))
		}
		r.child.kill()
		_ = r.child.reap()
		if !r.spawner.ended(waitBound) {
			r.spawner.kill()
			t.Error("the spawner does not end with the child")
		}
		_ = r.spawner.reap()
		if err != nil {
			t.Fatal(err)
		}
		s, err := standing(fd, r.base, r.journal)
		r.close()
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

// marker is the frame by which the node sees that main has the connection.
func marker() []byte {
	b := dist.BeginRegSend(nil, pidOf(testMain), "marker")
	return dist.End(append(b, 97, 1), 0)
}

// startReal starts real roles, and leaves them as launch does.
func startReal(t *testing.T, path string) *roles {
	t.Helper()
	reports := !ipc.PidfdsSuffice()
	r := &roles{serveWith: settings{
		child: ipc.Start{
			Controller: "erluv", ErluvVersion: "test", CookieSource: "file", User: "tester",
			MaxWorkers: 6, KillTimeoutMS: 1000, Contain: "group", Reports: reports,
		},
		spawner: ipc.StartSpawner{Path: []string{"/usr/bin", "/bin"}, Reports: reports},
	}}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	start := func(role ipc.Role, stderr uintptr) *process {
		ours, theirs, err := ipc.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		p := &process{role: role, pidfd: -1, conn: ours, buf: make([]byte, ipc.MaxPacket), heard: permit.Hearing{Who: permit.Speakers[role]}}
		p.pid, err = syscall.ForkExec(path, []string{"erluv", role.String()}, &syscall.ProcAttr{
			Files: []uintptr{null.Fd(), null.Fd(), stderr, uintptr(theirs.FD())},
			Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &p.pidfd},
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	// The spawner says that it cannot answer a child that was killed.
	r.spawner, r.child = start(ipc.RoleSpawner, null.Fd()), start(ipc.RoleChild, 2)
	for _, p := range []*process{r.spawner, r.child} {
		if m, err := p.recv(); err != nil {
			r.kill()
			t.Fatalf("the %v says %v, %v", p.role, m, err)
		}
	}
	return r
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
