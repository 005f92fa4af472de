package childproc

import (
	"errors"

	"erluv/ipc"
	"erluv/loop"
	"erluv/wire/etf"
)

// ledger tells main of the links and monitors between our processes and those of
// the node, so that main can tell their ends if the child dies. What is new is told
// before anything of the same round is written to the node; what is gone only once
// the frames that say so are main's too, for a signal that comes twice does no harm
// and one that never comes does.
type ledger struct {
	loop     *loop.Loop
	conn     *ipc.Conn
	ring     func() // asks main to read
	src      loop.Source
	serial   uint32
	ticktime uint32 // seconds; 0: not known
	changed  bool   // one of the two
	size     int    // bytes of all that is in force
	added    []string
	removed  []string // in this round
	settled  []string // in rounds before
	buf      []byte
	packets  int // since main was asked to read
}

const (
	// ledgerPacket is how many bytes of records go into one packet; ipc.MaxPacket
	// is more by far than this and the lengths.
	ledgerPacket = 32 << 10

	// ledgerRing is after how many packets main is asked to read. The socket takes
	// some 150 small ones; main sleeps as long as it can.
	ledgerRing = 32

	// ledgerSettled is how many removals may wait for something to go with.
	ledgerSettled = 256

	// ledgerMax bounds what the node can make main remember, in bytes of records:
	// beyond it monitors are refused. Main takes ipc.MaxLedger.
	ledgerMax = ipc.MaxLedger * 3 / 4
)

func (l *ledger) add(w ipc.Watch) {
	r := w.Record()
	l.added = append(l.added, r)
	l.size += len(r)
}

func (l *ledger) remove(w ipc.Watch) {
	r := w.Record()
	l.removed = append(l.removed, r)
	l.size -= len(r)
}

// told tells main what there is to tell and says whether main has been told all,
// so that the frames of this round may go. When the socket is full they wait: what
// watches it wakes the loop, and the next round tries again.
func (l *ledger) told() bool {
	for l.changed || len(l.added) > 0 || len(l.settled) >= ledgerSettled {
		m := ipc.Ledger{Serial: l.serial, Ticktime: l.ticktime}
		size := 0
		m.Added, l.added = split(l.added, &size)
		m.Removed, l.settled = split(l.settled, &size)
		l.buf = ipc.Append(l.buf[:0], m)
		if err := l.conn.TrySend(l.buf); err != nil {
			l.added, l.settled = join(m.Added, l.added), join(m.Removed, l.settled)
			if errors.Is(err, ipc.ErrFull) {
				l.wait()
			}
			return false // or main is gone, which the loop is told elsewhere
		}
		l.changed = false
		if l.packets++; l.packets >= ledgerRing {
			l.packets = 0
			l.ring()
		}
	}
	l.settled = append(l.settled, l.removed...)
	l.removed = l.removed[:0]
	if len(l.added) == 0 && cap(l.added) > ledgerSettled {
		l.added = nil
	}
	return true
}

// split takes as many records as a packet has room for.
func split(list []string, size *int) (head, tail []string) {
	for i := range list {
		if *size += len(list[i]) + 4; *size > ledgerPacket {
			return list[:i:i], list[i:]
		}
	}
	return list, nil
}

func join(head, tail []string) []string {
	if len(tail) == 0 {
		return head
	}
	return append(head, tail...)
}

// wait has the loop woken when the socket takes more. Main may have read since the
// loop began to watch, and the socket be full again: it is asked for each time.
func (l *ledger) wait() {
	if l.packets > 0 {
		l.packets = 0
		l.ring()
	}
	if l.src.Active() {
		return
	}
	src, err := l.loop.Watch(l.conn.FD(), loop.Out, l)
	if err != nil {
		panic(err) // out of kernel memory: main takes over
	}
	l.src = src
}

// Ready: main has read.
func (l *ledger) Ready(loop.Events) { l.src.Remove() }

// watchOf is what main is told of a relation between ours and theirs.
func watchOf(kind ipc.WatchKind, ours, theirs etf.Pid) ipc.Watch {
	return ipc.Watch{
		Kind: kind, ID: ours.ID, Serial: ours.Serial,
		PeerID: theirs.ID, PeerSerial: theirs.Serial, PeerCreation: theirs.Creation,
	}
}

// monitorOf is a monitor of theirs on the process ours, or on a name.
func monitorOf(ours etf.Pid, name etf.Atom, theirs etf.Pid, ref string) ipc.Watch {
	if name == "" {
		w := watchOf(ipc.WatchMonitor, ours, theirs)
		w.Ref = ref
		return w
	}
	w := watchOf(ipc.WatchName, etf.Pid{}, theirs)
	w.Name, w.Ref = string(name), ref
	return w
}

// link and the methods below change who watches a process of ours, count it, and
// have main know. They say whether something has changed.
func (m *manager) link(p *proc, pid etf.Pid) bool {
	if !p.watch.link(pid) {
		return false
	}
	m.watchers++
	m.ledger.add(watchOf(ipc.WatchLink, p.pid, pid))
	return true
}

func (m *manager) unlink(p *proc, pid etf.Pid) bool {
	if m.reachable(pid) != nil || !p.watch.unlink(pid) {
		return false
	}
	m.watchers--
	m.ledger.remove(watchOf(ipc.WatchLink, p.pid, pid))
	return true
}

func (m *manager) monitor(w *watchers, ours, from etf.Pid, name etf.Atom, ref etf.Raw) {
	if w.monitor(from, name, ref) {
		m.watchers++
		m.ledger.add(monitorOf(ours, name, from, string(ref)))
	}
}

func (m *manager) demonitor(w *watchers, ours, from etf.Pid, ref etf.Raw) {
	if m.reachable(from) != nil {
		return
	}
	if name, ok := w.demonitor(from, ref); ok {
		m.watchers--
		m.ledger.remove(monitorOf(ours, name, from, string(ref)))
	}
}

// ownerWatch is the monitor of a worker on its owner.
func (m *manager) ownerWatch(p *proc) ipc.Watch {
	w := watchOf(ipc.WatchPeer, p.pid, p.owner)
	w.Ref = string(m.ref(p.ownerRef))
	return w
}

// adopt takes over monitors of names that were there before this child.
func (m *manager) adopt(records []string) error {
	for _, r := range records {
		w, err := ipc.ReadWatch(r)
		if err != nil {
			return err
		}
		if w.Kind != ipc.WatchName {
			return errors.New("main says of a process of ours that it was there before us")
		}
		from := etf.Pid{Node: etf.Atom(m.start.Target), ID: w.PeerID, Serial: w.PeerSerial, Creation: w.PeerCreation}
		if m.names.monitor(from, etf.Atom(w.Name), etf.Raw(w.Ref)) {
			m.watchers++
			m.ledger.size += len(r) // which main knows
		}
	}
	return nil
}
