package childproc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"erluv/childproc/peer"
	"erluv/ipc"
	"erluv/ipc/journal"
	"erluv/loop"
	"erluv/spawner"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// TestMain runs the tests, or plays the spawner and the processes it starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == ipc.UploadRole {
		if err := spawner.Upload(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "upload:", err)
		}
		syscall.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "become" {
		if err := spawner.Exec(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "exec:", err)
		}
		syscall.Exit(1) // os.Exit waits for a second with -race
	}
	if len(os.Args) == 2 && os.Args[1] == "spawner" {
		if err := spawner.Main(); err != nil {
			fmt.Fprintln(os.Stderr, "spawner:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	testNode   = "erluv_test@localhost"
	testTarget = "node@localhost"
	patience   = 2 * time.Minute
)

// node is the other side: a node that sends frames, and main.
type node struct {
	t    *testing.T
	name etf.Atom
	conn *net.TCPConn
	up   *ipc.Conn // main's end of the conversation with the child
	book *book     // main's side of the ledger
	next uint32
	self etf.Pid
	done chan error   // the result of the child's loop
	full atomic.Bool  // no room for output after the last round
	held atomic.Int64 // the used budget after the last round
	m    *manager

	questions []etf.Pid           // questions that await skipped, by the pid to answer
	answers   map[string]etf.Term // answers that await read, by tag
}

var testLink = ipc.Link{Node: testNode, Creation: 7, Target: testTarget, TargetCreation: 9}

// testLog is the logger of a child that a test starts; nil means none.
var testLog *ipc.Logger

// testHost is the host for a child that a test starts.
var testHost ipc.Host

// startChild runs a child in this process, with a real spawner, up to Ready. It reads the child's
// first frames: up, and the questions about the ticktime and a buffer.
func startChild(t *testing.T, change func(*ipc.Start)) *node {
	t.Helper()
	return startNodes(t, change, testLink)[0]
}

// startNodes runs a child that serves several nodes.
func startNodes(t *testing.T, change func(*ipc.Start), links ...ipc.Link) (nodes []*node) {
	t.Helper()
	childEnd, spawnerEnd, err := ipc.Pair()
	must(t, err)
	mainEnd, upEnd, err := ipc.Pair()
	must(t, err)
	start := ipc.Start{
		Controller: "erluv", ErluvVersion: "test", CookieSource: "file", User: "tester", MainPID: uint32(os.Getpid()),
		MaxWorkers: 1000, KillTimeoutMS: 5000, Contain: "group", RemoteExec: true,
		Environ: []string{"LANG=C.UTF-8", "EMPTY="},
	}
	if change != nil {
		change(&start)
	}
	start.SpawnerPID = uint32(startSpawner(t, spawnerEnd, start.Reports))

	done := make(chan error, 1)
	var all []peer.Given
	for _, link := range links {
		theirs, ours := tcpPair(t)
		book, ledgerEnd := newBook(t)
		n := &node{t: t, name: etf.Atom(link.Target), conn: ours, up: mainEnd, book: book, done: done}
		n.self = n.pid()
		nodes = append(nodes, n)
		all = append(all, peer.Given{Link: link, FD: theirs, Ledger: ledgerEnd, Pages: newPages(t)})
	}
	ready := make(chan *child, 1)
	go func() {
		// The loop's own thread, which ends with it.
		runtime.LockOSThread()
		c, err := build(given{start: start, host: testHost, up: upEnd, spawner: childEnd, log: testLog, first: all[0]})
		for _, g := range all[1:] {
			if err == nil {
				var other *client
				if other, err = c.m.connect(g, nil); err == nil {
					err = other.begin()
				}
			}
		}
		if err != nil {
			c = nil
		}
		var serves []*client
		if err == nil {
			serves = slices.Collect(maps.Values(c.m.clients)) // a map without the clients that are gone
			c.loop.EachRound(func() {
				for _, n := range nodes {
					served := c.m.clients[n.name]
					n.full.Store(served != nil && !served.Roomy())
					n.held.Store(int64(c.m.held.bytes))
				}
			})
		}
		ready <- c
		if err == nil {
			err = c.loop.Run()
			for _, served := range serves {
				served.Close()
			}
			for _, served := range c.m.clients {
				served.Close()
			}
			c.loop.Close()
			_ = childEnd.Close()
			_ = upEnd.Close()
			if err == nil {
				err = c.ended
			}
		}
		done <- err
	}()
	c := <-ready
	if c == nil {
		t.Fatal(<-done)
	}
	t.Cleanup(func() {
		for _, n := range nodes {
			_ = n.conn.Close()
		}
		_ = mainEnd.Close()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("the child does not end")
		}
	})
	for _, n := range nodes {
		n.m = c.m
		n.begins()
	}
	return nodes
}

// begins reads the first frames of a child on a connection. The node answers a net_ticktime of an
// hour, longer than any test, so it never needs to tick.
func (n *node) begins() {
	n.t.Helper()
	if m := n.recv(); m.Op != dist.RegSend || m.Name != "erluv" {
		n.t.Fatalf("instead of up to the controller: %s", show(m))
	}
	for _, what := range []string{"the question for net_ticktime", "the wish for a larger buffer"} {
		if m := n.recv(); m.Op != dist.RegSend || m.Name != "rex" {
			n.t.Fatalf("instead of %s: %s", what, show(m))
		} else if strings.HasSuffix(what, "net_ticktime") {
			n.toPid(m.From, etf.Tuple{etf.Atom("rex"), int64(time.Hour / time.Second)})
		}
	}
}

// give passes the child another connection as main does, with monitors that have outlived an
// earlier child.
func (n *node) give(link ipc.Link, carried ...[]string) *node {
	n.t.Helper()
	theirs, ours := tcpPair(n.t)
	book, ledgerEnd := newBook(n.t)
	j, err := journal.New(nil, 0)
	must(n.t, err)
	link.Carried = uint32(len(carried))
	must(n.t, n.up.Send(ipc.Append(nil, link), patience, theirs, j.FD(), ledgerEnd.FD()))
	for _, records := range carried {
		must(n.t, n.up.Send(ipc.Append(nil, ipc.Ledger{Added: records}), patience))
	}
	must(n.t, errors.Join(j.Close(), unix.Close(theirs), ledgerEnd.Close()))
	other := &node{t: n.t, name: etf.Atom(link.Target), conn: ours, up: n.up, book: book, done: n.done, m: n.m}
	other.self = other.pid()
	n.t.Cleanup(func() { _ = ours.Close() })
	return other
}

// newPages returns the pages of a new journal.
func newPages(t testing.TB) *journal.Pages {
	t.Helper()
	j, err := journal.New(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := journal.Map(j.FD())
	if err != nil {
		t.Fatal(err)
	}
	_ = j.Close()
	return pages
}

// playedManager makes a manager with a client whose connection is simulated, and without a main.
func playedManager(t testing.TB, l *loop.Loop) (*manager, *client) {
	t.Helper()
	m := newManager(l, ipc.Start{Controller: "erluv", MaxWorkers: 1000}, testLink, noMain{})
	return m, connected(t, m, testLink)
}

// connected makes a manager serve another node, whose connection is simulated.
func connected(t testing.TB, m *manager, link ipc.Link) *client {
	t.Helper()
	pages := newPages(t)
	t.Cleanup(func() { _ = pages.Close() })
	c, err := m.connect(peer.Given{Link: link, FD: -1, Pages: pages}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// noMain is a main that does nothing.
type noMain struct{}

func (noMain) wantSpawner(uint8)                  {}
func (noMain) ring()                              {}
func (noMain) lost(uint32, string)                {}
func (noMain) stands(_ ipc.Standing, told func()) { told() }
func (noMain) workersGone(ipc.Cause, string)      {}

// show describes a message without all of its bytes.
func show(m dist.Message) string {
	return fmt.Sprintf("%v from %v to %v%v, %d bytes %.200q", m.Op, m.From, m.To, m.Name, len(m.Payload), m.Payload[:min(200, len(m.Payload))])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tcpPair(t *testing.T) (fd int, conn *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	raw, err := c.(*net.TCPConn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(f uintptr) { fd, err = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }))
	must(t, err)
	must(t, c.Close())
	other, err := l.Accept()
	must(t, err)
	return fd, other.(*net.TCPConn)
}

// startSpawner starts the spawner as a process. It ends with the child's end of the conversation,
// and the test waits for that.
func startSpawner(t *testing.T, toChild *ipc.Conn, reports bool) int {
	t.Helper()
	ours, theirs, err := ipc.Pair()
	must(t, err)
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"erluv", "spawner"}, &syscall.ProcAttr{
		Dir: "/", Files: []uintptr{0, 1, 2, uintptr(theirs.FD())},
	})
	must(t, err)
	_ = theirs.Close()
	t.Cleanup(func() {
		_ = ours.Close()
		var st unix.WaitStatus
		if _, err := unix.Wait4(pid, &st, 0, nil); err != nil || st != 0 {
			t.Errorf("the spawner ended with %v, %v", st, err)
		}
	})
	buf := make([]byte, ipc.MaxPacket)
	_, _, err = ours.Recv(buf, patience)
	must(t, err)
	msg := ipc.StartSpawner{Path: []string{"/usr/bin", "/bin"}, Reports: reports}
	must(t, ours.Send(ipc.Append(nil, msg), patience, toChild.FD()))
	_ = toChild.Close()
	n, _, err := ours.Recv(buf, patience)
	must(t, err)
	if got, err := ipc.Decode(buf[:n]); err != nil || got != (ipc.Ready{}) {
		t.Fatalf("the spawner said %+v, %v instead of ready", got, err)
	}
	return pid
}

// pid makes a process of the node.
func (n *node) pid() etf.Pid {
	n.next++
	return etf.Pid{Node: n.name, ID: 100 + n.next, Creation: 9}
}

func (n *node) write(frames []byte) {
	n.t.Helper()
	_, err := n.conn.Write(frames)
	must(n.t, err)
}

// frame writes a frame that begins with begin and ends with a term.
func (n *node) frame(begin []byte, payload etf.Term) {
	n.t.Helper()
	b, err := etf.AppendTerm(begin, payload)
	must(n.t, err)
	n.write(dist.End(b, 0))
}

func (n *node) toName(name etf.Atom, msg etf.Term) {
	n.t.Helper()
	n.frame(dist.BeginRegSend(nil, n.self, name), msg)
}

func (n *node) toPid(to etf.Pid, msg etf.Term) {
	n.t.Helper()
	n.frame(dist.BeginSend(nil, to), msg)
}

// recv returns the next frame, and skips ticks.
func (n *node) recv() dist.Message {
	n.t.Helper()
	m, err := n.tryRecv(patience)
	must(n.t, err)
	return m
}

func (n *node) tryRecv(within time.Duration) (dist.Message, error) {
	_ = n.conn.SetReadDeadline(time.Now().Add(within))
	for {
		var head [4]byte
		if _, err := io.ReadFull(n.conn, head[:]); err != nil {
			return dist.Message{}, err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size == 0 {
			continue
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(n.conn, frame); err != nil {
			return dist.Message{}, err
		}
		var m dist.Message
		return m, dist.Parse(frame, &m)
	}
}

// message returns the next frame, which must be a message to pid. It skips ends of monitors.
func (n *node) message(to etf.Pid) etf.Term {
	n.t.Helper()
	m := n.recv()
	for m.Op == dist.DemonitorP {
		m = n.recv()
	}
	if m.Op != dist.Send || m.To != to {
		n.t.Fatalf("instead of a message to %v: %s", to, show(m))
	}
	v, err := etf.Decode(m.Payload)
	must(n.t, err)
	return v
}

// ask sends a call. answer then reads its answer.
func (n *node) ask(send func(etf.Term), req etf.Term) etf.Raw {
	n.t.Helper()
	n.next++
	tag := etf.Raw(etf.AppendNewRef(nil, n.name, 9, n.next, 2, 3, 4, 5))
	send(etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{n.self, tag}, req})
	return tag
}

func (n *node) answer(tag etf.Raw) etf.Term {
	n.t.Helper()
	v := n.message(n.self)
	tu, ok := v.(etf.Tuple)
	if !ok || len(tu) != 2 || !bytes.Equal(tu[0].(etf.Raw), tag) {
		n.t.Fatalf("instead of an answer with the tag %x: %#v", tag, v)
	}
	return tu[1]
}

func (n *node) call(req etf.Term) etf.Term {
	n.t.Helper()
	return n.answer(n.ask(func(m etf.Term) { n.toName("erluv", m) }, req))
}

func (n *node) workerCall(w etf.Pid, req etf.Term) etf.Term {
	n.t.Helper()
	return n.answer(n.ask(func(m etf.Term) { n.toPid(w, m) }, req))
}

// spawn starts a worker without a link, and reads the monitor on its owner.
func (n *node) spawn(cmd []string, opts ...etf.Pair) etf.Pid {
	n.t.Helper()
	args := make(etf.List, len(cmd))
	for i, a := range cmd {
		args[i] = etf.Binary(a)
	}
	opts = append(opts, etf.Pair{Key: etf.Atom("link"), Value: etf.Atom("false")})
	tag := n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{etf.Atom("spawn"), args, etf.Map(opts)})
	n.monitor()
	tu, ok := n.answer(tag).(etf.Tuple)
	if !ok || len(tu) != 2 || tu[0] != etf.Atom("ok") {
		n.t.Fatalf("spawn %q: %#v", cmd, tu)
	}
	return tu[1].(etf.Pid)
}

// monitor reads the monitor on the test's process.
func (n *node) monitor() {
	n.t.Helper()
	m := n.recv()
	for m.Op == dist.DemonitorP {
		m = n.recv()
	}
	if m.Op != dist.MonitorP || m.To != n.self {
		n.t.Fatalf("instead of a monitor on the owner: %s", show(m))
	}
}

// expect compares the next message to the test's process.
func (n *node) expect(want etf.Term) {
	n.t.Helper()
	same(n.t, n.message(n.self), want)
}

func same(t *testing.T, got, want etf.Term) {
	t.Helper()
	if !bytes.Equal(gen.Encode(got), gen.Encode(want)) {
		t.Fatalf("got  %#v\nwant %#v", got, want)
	}
}

func atoms(names ...string) etf.Tuple {
	tu := make(etf.Tuple, len(names))
	for i, s := range names {
		tu[i] = etf.Atom(s)
	}
	return tu
}

// unread is how many bytes of the child were not read yet.
func (n *node) unread() (waiting int) {
	n.t.Helper()
	raw, err := n.conn.SyscallConn()
	must(n.t, err)
	must(n.t, raw.Control(func(fd uintptr) { waiting, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }))
	must(n.t, err)
	return waiting
}

// pairs makes a map with atoms as keys.
func pairs(kv ...any) etf.Map {
	m := make(etf.Map, 0, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		m = append(m, etf.Pair{Key: etf.Atom(kv[i].(string)), Value: kv[i+1]})
	}
	return m
}
