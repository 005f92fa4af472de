package peer

import (
	"errors"

	"erluv/ipc"
	"erluv/loop"
	"erluv/wire/etf"
)

// ledger reports to main the links and monitors between processes of the child and of the node. If
// the child dies, main can then signal their ends. New ones are reported before any frame of the
// same round is written to the node. Removed ones are reported once main also has the frames that
// end them. The node ignores a duplicate signal, but would miss one that never came.
type ledger struct {
	loop     *loop.Loop
	conn     *ipc.Conn
	ring     func() // asks main to read
	src      loop.Source
	serial   uint32
	ticktime uint32 // seconds; 0 means unknown
	changed  bool   // serial or ticktime is new
	size     int    // bytes of all records in force
	added    []string
	removed  []string // in this round
	settled  []string // in earlier rounds
	buf      []byte
	packets  int // packets since main was asked to read
}

const (
	// ledgerPacket is how many bytes of records go into one packet. ipc.MaxPacket is far larger
	// than these and their lengths.
	ledgerPacket = 32 << 10

	// ledgerRing is after how many packets main is asked to read. The socket takes some 150 small
	// ones. Otherwise main sleeps.
	ledgerRing = 32

	// ledgerSettled is how many removals may wait for the next packet.
	ledgerSettled = 256

	// ledgerMax bounds what the node can make main remember, in bytes of records. Beyond it the
	// child refuses monitors. Main takes ipc.MaxLedger.
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

// told sends all new reports to main. It returns whether main has them all, so that the frames of
// this round may go. If the socket is full, the frames wait. The loop wakes when the socket takes
// more, and the next round tries again.
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
			return false // or main is gone, which another conversation shows
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

// wait makes the loop wake when the socket takes more. Since the loop began to watch, main may have
// read and the socket be full again. So each call asks main to read.
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

// Ready is called when main has read.
func (l *ledger) Ready(loop.Events) { l.src.Remove() }

// observerOf is the record of a relation between a process of the child and one of the node.
func observerOf(kind ipc.ObserverKind, ours, theirs etf.Pid) ipc.Observer {
	return ipc.Observer{
		Kind: kind, ID: ours.ID, Serial: ours.Serial,
		PeerID: theirs.ID, PeerSerial: theirs.Serial, PeerCreation: theirs.Creation,
	}
}

// monitorOf is the record of the node's monitor on a process of the child, or on a name.
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

// SetSerial reports to main the serial of the pids that are given out now.
func (c *Peer) SetSerial(n uint32) {
	if c.ledger.serial != n {
		c.ledger.serial, c.ledger.changed = n, true
	}
}
