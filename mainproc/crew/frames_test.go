package crew

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/config"
	"erluv/discover"
	"erluv/ipc"
	"erluv/mainproc/link"
	"erluv/mainproc/permit"
	"erluv/sandbox"
	"erluv/test/scarce"
	"erluv/wire/dist/disttest"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

var nonsense = flag.Int("frames", 100_000, "at least so many frames of a hostile child, half of them with descriptors, which main must survive as it was")

// lanes is how many hostile children run at a time.
const lanes = 2

// TestFrames: an attacker has taken over a child, which sends nonsense to main. Its frames may be
// forbidden, too early, repeated, nearly right, or random bytes, with descriptors of all kinds.
// Main reads them with its real code. After all of it main has the memory, the descriptors and the
// privileges that it had before, and every conversation has ended. Half of the conversations are as
// on a kernel without SO_PASSRIGHTS.
func TestFrames(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	links := [lanes]*link.Link{connected(t), connected(t)}
	before := stateOf(t)
	first := heap()
	var sum [lanes]laneCounts
	results := make(chan error)
	for i := range sum {
		go func() { results <- lane(seed+uint64(i), *nonsense/lanes, links[i], &sum[i]) }() // ends by itself
	}
	for range sum {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	var all laneCounts
	for i := range sum {
		all.add(&sum[i])
	}
	t.Logf("%d frames, %d of them with descriptors, %d of these refused by the kernel; %d conversations: %d broken, %d stopped, %d ready, %d greeted and refused, %d connections kept; at most %d descriptors, %d MiB resident",
		all.said.Frames, all.said.Attached, all.said.Refused, all.talks, all.broken, all.stopped, all.ready, all.failed, all.kept, all.descriptors, all.resident>>20)
	if all.broken == 0 || all.stopped == 0 || all.ready == 0 || all.failed == 0 || all.kept == 0 || all.said.Attached < all.said.Frames/4 {
		t.Error("some of it has not been tried")
	}
	if after := stateOf(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if grown := int64(heap()) - int64(first); grown > 2<<20 {
		t.Errorf("main's memory has grown by %d bytes", grown)
	}
}

// connected returns a connection to a node, until the test ends.
func connected(t *testing.T) *link.Link {
	t.Helper()
	l, end := connect(t)
	t.Cleanup(end)
	return l
}

// connect makes a connection to a node; end ends both sides.
func connect(t *testing.T) (l *link.Link, end func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cfg := &config.Config{Node: "foo@127.0.0.1", Targets: []discover.Target{{Node: "foo@127.0.0.1"}}, Prefix: "erluv_", Host: "127.0.0.1", Cookie: "CHOCOLATE", Address: listener.Addr().String()}
	node := disttest.Node{Name: cfg.Node, Cookie: "CHOCOLATE", Creation: 77, Challenge: 4711}
	accepted := make(chan error)
	var conn net.Conn
	go func() {
		var err error
		if conn, err = listener.Accept(); err == nil {
			_, err = node.Accept(conn)
		}
		accepted <- err
	}()
	l, err = link.NewDialer(1, cfg, link.NewSelf(cfg), cfg.Targets[0]).Connect(t.Context())
	if err := errors.Join(err, <-accepted); err != nil {
		t.Fatal(err)
	}
	return l, func() {
		l.Close()
		_ = conn.Close()
	}
}

// laneCounts are the counts of one hostile child.
type laneCounts struct {
	said                                  saidCounts
	talks, broken, stopped, ready, failed int
	kept                                  int // connections that main could continue
	descriptors                           int
	resident                              int64 // bytes
}

func (c *laneCounts) add(d *laneCounts) {
	c.said.Frames += d.said.Frames
	c.said.Attached += d.said.Attached
	c.said.Refused += d.said.Refused
	c.talks += d.talks
	c.broken += d.broken
	c.stopped += d.stopped
	c.ready += d.ready
	c.failed += d.failed
	c.kept += d.kept
	c.descriptors = max(c.descriptors, d.descriptors)
	c.resident = max(c.resident, d.resident)
}

// lane makes one hostile child send the given number of frames.
func lane(seed uint64, frames int, l *link.Link, c *laneCounts) error {
	random := rand.New(rand.NewPCG(seed, 2))
	runtime.LockOSThread() // the end of the thread would kill the hostile child
	defer runtime.UnlockOSThread()
	pid, control, err := startHostile(seed)
	if err != nil {
		return err
	}
	defer func() {
		_ = control.Close()
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}()
	ended, err := endedProcess()
	if err != nil {
		return err
	}
	defer unix.Close(ended)
	buf := make([]byte, ipc.MaxPacket)
	for int(c.said.Frames) < frames {
		for range 200 {
			c.talks++
			t := turn{permit.Child, [...]permit.Phase{permit.AtHello, permit.AtStart, permit.AtWork, permit.AtWork}[random.IntN(4)]}
			if t.at != permit.AtWork && random.IntN(2) == 0 {
				t.who = permit.Spawner
			}
			if err := c.talk(t, l, random.IntN(2) == 0, pid, ended, buf, control); err != nil {
				return err
			}
		}
		n, err := scarce.Open()
		if err != nil {
			return err
		}
		c.descriptors = max(c.descriptors, n)
		var pages, resident int64
		text, _ := os.ReadFile("/proc/self/statm")
		_, _ = fmt.Sscan(string(text), &pages, &resident)
		c.resident = max(c.resident, resident*int64(os.Getpagesize()))
		if err := control.Send([]byte{0, 0}, waitBound); err != nil {
			return err
		}
		if _, _, err := control.Recv(buf, waitBound); err != nil {
			return fmt.Errorf("the hostile child does not answer: %w", err)
		}
		if _, err := binary.Decode(buf, binary.LittleEndian, &c.said); err != nil {
			return err
		}
	}
	return nil
}

// talk is one conversation with a child, as far as it may go.
func (c *laneCounts) talk(t turn, l *link.Link, old bool, pid, ended int, buf []byte, control *ipc.Conn) error {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return err
	}
	defer ours.Close()
	ours.NoDescriptors()
	if old { // as before SO_PASSRIGHTS: if the kernel has it, the test allows descriptors again
		_ = unix.SetsockoptInt(ours.FD(), unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 1)
	}
	if t.at == permit.AtWork {
		err = l.Give(func(_ ipc.Message, fds ...int) error {
			return control.Send([]byte{byte(t.who), byte(t.at)}, waitBound, theirs.FD(), fds[ipc.LinkFDs-1])
		})
	} else {
		err = control.Send([]byte{byte(t.who), byte(t.at)}, waitBound, theirs.FD(), theirs.FD())
	}
	_ = theirs.Close()
	if err != nil {
		return err
	}
	p := &process{role: ipc.RoleChild, pid: pid, pidfd: ended, conn: ours, buf: buf, heard: permit.Hearing{Who: t.who}}
	if t.who == permit.Spawner {
		p.role = ipc.RoleSpawner
	}
	p.end = errors.New("it has ended") // no test waits for it
	switch t.at {
	case permit.AtHello:
		if err := p.greet(sandbox.Identity{UID: 65533, GID: 65533}); err == nil {
			return errors.New("a hostile child was greeted")
		} else if strings.Contains(err.Error(), "must not run") {
			c.failed++
		} else {
			c.broken++
		}
	case permit.AtStart:
		if err := p.serve(ipc.Start{}); err == nil {
			c.ready++
		} else {
			c.broken++
		}
	case permit.AtWork:
		return c.work(p, l)
	}
	return nil
}

// work listens as Watch does, until the child has broken the conversation or stopped.
func (c *laneCounts) work(p *process, l *link.Link) error {
	p.heard.At, p.heard.Asked = permit.AtWork, 2
	r := &Crew{child: p, links: []Connection{l}, serveWith: settings{host: &host{}, log: slog.New(slog.DiscardHandler)}}
	var seen []Event
	poll := []unix.PollFd{{Fd: int32(p.conn.FD()), Events: unix.POLLIN}}
	for {
		if n, err := unix.Poll(poll, int(waitBound.Milliseconds())); n == 0 {
			return fmt.Errorf("the hostile child says nothing: %w", err)
		}
		if !r.listen(func(e Event) {
			if e.Kind != Lost && e.Kind != Counted { // the guard checks a link, and a number is harmless
				seen = append(seen, e)
			}
		}) {
			break
		}
	}
	switch {
	case len(seen) == 0: // an empty packet reads as the end
		c.broken++
	case len(seen) > 1:
		return fmt.Errorf("events: %v", seen)
	case seen[0].Kind == Stopped:
		c.stopped++
	case seen[0].Kind == Broken && seen[0].Err != nil && r.broken != nil:
		c.broken++
	default:
		return fmt.Errorf("event: %+v", seen[0])
	}
	// And the result for the connection.
	if k, err := l.Keep(etf.Atom("hostile"), "erluv", time.Second); err == nil {
		c.kept++
		k.Close()
	}
	return nil
}

// endedProcess returns the pidfd of a process that has ended.
func endedProcess() (int, error) {
	pidfd := -1
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{PidFD: &pidfd}})
	if err == nil {
		_, err = syscall.Wait4(pid, nil, 0, nil)
	}
	return pidfd, err
}

// heap returns the allocated memory in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// stateOf describes the state that the child must not change: descriptors, privileges of all
// threads, limits, the directory.
func stateOf(t *testing.T) string {
	t.Helper()
	n, err := scarce.Open()
	if err != nil {
		t.Fatal(err)
	}
	limits, err1 := os.ReadFile("/proc/self/limits")
	dir, err2 := os.Getwd()
	names, err3 := filepath.Glob("/proc/self/task/*/status")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	var privileges []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		var of []string
		for line := range strings.Lines(string(text)) {
			switch key, _, _ := strings.Cut(line, ":"); key {
			case "Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
				of = append(of, line)
			}
		}
		privileges = append(privileges, strings.Join(of, ""))
	}
	slices.Sort(privileges)
	return fmt.Sprintf("%d descriptors\n%s%s%s", n, strings.Join(slices.Compact(privileges), "--\n"), limits, dir)
}
