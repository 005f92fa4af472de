package peer

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

func (l *ledger) add(w ipc.Observer) {
	r := w.Record()
	l.added = append(l.added, r)
	l.size += len(r)
}

func (l *ledger) remove(w ipc.Observer) {
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

// observerOf is what main is told of a relation between ours and theirs.
func observerOf(kind ipc.ObserverKind, ours, theirs etf.Pid) ipc.Observer {
	return ipc.Observer{
		Kind: kind, ID: ours.ID, Serial: ours.Serial,
		PeerID: theirs.ID, PeerSerial: theirs.Serial, PeerCreation: theirs.Creation,
	}
}

// monitorOf is a monitor of theirs on the process ours, or on a name.
func monitorOf(ours etf.Pid, name etf.Atom, theirs etf.Pid, ref string) ipc.Observer {
	if name == "" {
		w := observerOf(ipc.ObserverMonitor, ours, theirs)
		w.Ref = ref
		return w
	}
	w := observerOf(ipc.ObserverName, etf.Pid{}, theirs)
	w.Name, w.Ref = string(name), ref
	return w
}

// SetSerial has main know the serial of the pids that are given now.
func (c *Peer) SetSerial(n uint32) {
	if c.ledger.serial != n {
		c.ledger.serial, c.ledger.changed = n, true
	}
}
