package childproc

import (
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// book is main's side of the ledger.
type book struct {
	mu      sync.Mutex // a test that holds it keeps the child waiting
	watches map[ipc.Observer]int
	serial  uint32
	ticks   uint32
	theirs  int // a copy of the child's end
	err     error
}

// fill leaves no room for the child.
func (b *book) fill(t *testing.T) {
	t.Helper()
	empty := ipc.Append(nil, ipc.Ledger{Serial: b.serial, Ticktime: b.ticks})
	for {
		err := unix.Sendto(b.theirs, empty, unix.MSG_DONTWAIT, nil)
		if err == unix.EAGAIN {
			return
		}
		must(t, err)
	}
}

// newBook makes a book that reads until the child's end is closed.
func newBook(t *testing.T) (b *book, theirs *ipc.Conn) {
	t.Helper()
	ours, theirs, err := ipc.Pair()
	must(t, err)
	b = &book{watches: make(map[ipc.Observer]int)}
	b.theirs, err = unix.FcntlInt(uintptr(theirs.FD()), unix.F_DUPFD_CLOEXEC, 0)
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, ipc.MaxPacket)
		for {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(ours.FD()), Events: unix.POLLIN}}, -1)
			b.mu.Lock()
			n, _, err := ours.TryRecv(buf)
			if err == nil {
				b.take(buf[:n])
			}
			b.mu.Unlock()
			if errors.Is(err, io.EOF) {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = theirs.Close() // of a child that was never built
		_ = unix.Close(b.theirs)
		<-done
		_ = ours.Close()
		if b.err != nil {
			t.Errorf("the ledger: %v", b.err)
		}
	})
	return b, theirs
}

func (b *book) take(p []byte) {
	msg, err := ipc.Decode(p)
	if err != nil {
		b.err = err
		return
	}
	m := msg.(ipc.Ledger)
	b.serial, b.ticks = m.Serial, m.Ticktime
	for _, r := range m.Added {
		w, err := ipc.ReadObserver(r)
		if err != nil {
			b.err = err
		}
		b.watches[w]++
	}
	for _, r := range m.Removed {
		w, err := ipc.ReadObserver(r)
		if err != nil {
			b.err = err
		}
		if b.watches[w]--; b.watches[w] == 0 {
			delete(b.watches, w)
		}
		if b.watches[w] < 0 {
			b.err = errors.New("removed before it was added")
		}
	}
}

// known returns the observers that were reported to main.
func (n *node) known() []ipc.Observer {
	n.book.mu.Lock()
	defer n.book.mu.Unlock()
	return slices.Collect(maps.Keys(n.book.watches))
}

// knows waits until main knows an observer, or no longer knows it.
func (n *node) knows(want bool, w ipc.Observer) {
	n.t.Helper()
	for end := time.Now().Add(patience); slices.Contains(n.known(), w) != want; {
		if time.Now().After(end) {
			n.t.Fatalf("%+v is known: %v; known are %+v", w, !want, n.known())
		}
		if !want {
			n.push()
		}
		n.call(etf.Atom("info")) // a round of the loop
	}
}

// ownersMonitor waits until main knows a monitor on an owner at the node. Main gets it on another
// descriptor than the node, so sooner or later.
func (n *node) ownersMonitor() ipc.Observer {
	n.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); n.call(etf.Atom("info")) {
		known := n.known()
		if i := slices.IndexFunc(known, func(o ipc.Observer) bool { return o.Kind == ipc.ObserverPeer }); i >= 0 {
			return known[i]
		}
	}
	n.t.Fatalf("no monitor on an owner is known, but %+v", n.known())
	panic("unreachable")
}

// push causes a report of removals, which go with the next addition.
func (n *node) push() {
	n.t.Helper()
	n.next++
	n.write(monitorName(n.self, "erluv", etf.AppendNewRef(nil, n.name, 9, n.next, 1, 1)))
}

func TestLedgerOfAWorker(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"})
	owner := n.ownersMonitor()
	if owner.ID != w.ID || owner.PeerID != n.self.ID || owner.PeerCreation != 9 || owner.Ref == "" {
		t.Fatalf("the monitor on the owner: %+v", owner)
	}
	friend := n.pid()
	ref := etf.AppendNewRef(nil, testTarget, 9, 1, 2, 3)
	link := observerOf(ipc.ObserverLink, w, friend)
	byPid := monitorOf(w, "", friend, string(ref))
	byName := monitorOf(w, "erluv", friend, string(ref))

	n.write(dist.AppendLink(nil, friend, w))
	n.knows(true, link)
	n.write(dist.AppendUnlinkID(nil, 1, friend, w))
	if m := n.recv(); m.Op != dist.UnlinkIDAck {
		t.Fatal(show(m))
	}
	n.knows(false, link)
	n.write(dist.AppendMonitor(nil, friend, w, ref))
	n.knows(true, byPid)
	n.write(dist.AppendDemonitor(nil, friend, w, ref))
	n.knows(false, byPid)
	n.write(monitorName(friend, "erluv", ref))
	n.knows(true, byName)

	// In one round, a removal must not undo a later addition.
	n.write(slices.Concat(dist.AppendLink(nil, friend, w), dist.AppendUnlinkID(nil, 2, friend, w), dist.AppendLink(nil, friend, w)))
	n.recv()
	n.push()
	n.knows(true, link)

	n.write(dist.AppendExit2(nil, n.self, w, gen.Kill))
	for m := n.recv(); m.Op != dist.DemonitorP; m = n.recv() {
	}
	n.knows(false, link)
	n.knows(false, owner)
	n.knows(true, byName)
}

// monitorName returns the frame of a monitor by name, which the child never sends.
func monitorName(from etf.Pid, name etf.Atom, ref etf.Raw) []byte {
	b := []byte{0, 0, 0, 0, 112, 131}
	b = etf.AppendInt(etf.AppendTupleHeader(b, 4), int64(dist.MonitorP))
	return dist.End(append(etf.AppendAtom(etf.AppendPid(b, from), name), ref...), 0)
}

// TestLedgerFirst checks that the node gets no frame while main cannot get a report, and all frames
// afterwards.
func TestLedgerFirst(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"})
	n.call(etf.Atom("info"))
	n.book.mu.Lock()
	n.book.fill(t)
	ref := etf.AppendNewRef(nil, testTarget, 9, 1, 7, 7)
	n.write(dist.AppendMonitor(nil, n.self, w, ref))
	tag := n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Atom("info"))
	if m, err := n.tryRecv(100 * time.Millisecond); err == nil {
		t.Errorf("the node is told %s", show(m))
	}
	n.book.mu.Unlock()
	n.answer(tag)
	n.knows(true, monitorOf(w, "", n.self, string(ref)))
}

// TestStrangers checks that signals in the name of another node's processes are refused.
func TestStrangers(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"})
	stranger := etf.Pid{Node: "other@host", ID: 1, Creation: 1}
	n.write(dist.AppendLink(nil, stranger, w))
	n.write(dist.AppendMonitor(nil, stranger, w, etf.AppendNewRef(nil, "other@host", 1, 1, 1, 1)))
	n.call(etf.Atom("info"))
	for _, k := range n.known() {
		if k.PeerID == 1 {
			t.Errorf("%+v", k)
		}
	}
}

// observerOf and monitorOf return the records of a process of the child and one of the node.
func observerOf(kind ipc.ObserverKind, ours, theirs etf.Pid) ipc.Observer {
	return ipc.Observer{
		Kind: kind, ID: ours.ID, Serial: ours.Serial,
		PeerID: theirs.ID, PeerSerial: theirs.Serial, PeerCreation: theirs.Creation,
	}
}

func monitorOf(ours etf.Pid, name etf.Atom, theirs etf.Pid, ref string) ipc.Observer {
	kind := ipc.ObserverMonitor
	if name != "" {
		kind, ours = ipc.ObserverName, etf.Pid{}
	}
	w := observerOf(kind, ours, theirs)
	w.Name, w.Ref = string(name), ref
	return w
}
