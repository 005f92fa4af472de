package link

import (
	"errors"
	"fmt"
	"io"

	"erluv/ipc"
	"erluv/mainproc/permit"
	"erluv/slack"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

// ledger has the links and monitors between the child's processes and those of the node, as the
// child has reported them. Main must inform their observers when the child dies. The child is
// exposed to the node and to its programs, so main does not trust it. A false report achieves no
// more than the child itself could while it lived: it could send any frame to the node. Reports are
// bounded, and checked before they become frames.
type ledger struct {
	conn      *ipc.Conn      // main's end; the child has the other
	heard     permit.Hearing // of conn
	observers map[string]int // by record: how often it was added
	size      int            // bytes of records, at most ipc.MaxLedger
	serial    uint32         // of the child's pids
	ticktime  uint32         // net_ticktime in seconds; 0: unknown
	err       error          // not nil: the ledger is unreliable
	slack     *slack.Slack   // of readings; separate, as its timer outlives the ledger
}

func newLedger(conn *ipc.Conn, serial uint32) *ledger {
	return &ledger{slack: &slack.Slack{Worth: 1, After: slack.Timers}, conn: conn, heard: permit.Hearing{Who: permit.Ledger, At: permit.AtWork}, observers: make(map[string]int), serial: serial}
}

// drainAtOnce is how many packets are read while the child lives, which could write without end. It
// is somewhat more than the socket holds, so that a child that waits for room gets it.
const drainAtOnce = 1000

// drain reads waiting messages, at most packets of them, into buf of ipc.MaxPacket bytes. It never
// waits.
func (l *ledger) drain(buf []byte, packets int) error {
	for ; l.err == nil && packets > 0; packets-- {
		n, _, err := l.conn.TryRecv(buf)
		switch {
		case errors.Is(err, ipc.ErrEmpty), errors.Is(err, io.EOF):
			return nil
		case err != nil:
			l.err = fmt.Errorf("cannot read the child's ledger: %w", err)
		default:
			l.err = l.take(buf[:n])
		}
	}
	return l.err
}

// take handles one message.
func (l *ledger) take(packet []byte) error {
	msg, err := l.heard.Hear(packet)
	if err != nil {
		return err
	}
	m := msg.(ipc.Ledger) // all other messages are not permitted
	l.serial, l.ticktime = m.Serial, m.Ticktime
	for _, record := range m.Added {
		if _, err := ipc.ReadObserver(record); err != nil {
			return fmt.Errorf("the child's ledger is not understood: %w", err)
		}
		if len(l.observers) >= ipc.MaxObservers || l.size+len(record) > ipc.MaxLedger {
			return fmt.Errorf("the child's ledger has more than %d entries or %d bytes", ipc.MaxObservers, ipc.MaxLedger)
		}
		l.observers[record]++
		l.size += len(record)
	}
	for _, record := range m.Removed {
		switch l.observers[record] {
		case 0:
			return errors.New("the child's ledger removes what is not there")
		case 1:
			delete(l.observers, record)
		default:
			l.observers[record]--
		}
		l.size -= len(record)
	}
	return nil
}

// carry begins the ledger of a child with observers from before it, and returns the messages that
// inform the child of them.
func (l *ledger) carry(records []string) (list []ipc.Message) {
	const packet = 32 << 10 // bytes of records; with their lengths far below ipc.MaxPacket
	for len(records) > 0 {
		n := 0
		for size := 0; n < len(records) && size < packet; n++ {
			l.observers[records[n]]++
			l.size += len(records[n])
			size += len(records[n])
		}
		list = append(list, ipc.Ledger{Added: records[:n]})
		records = records[n:]
	}
	return list
}

// close closes the conversation; the records stay.
func (l *ledger) close() { _ = l.conn.Close() }

// farewell appends a frame for an observer of one of our processes, which has ended for the reason.
// Depending on the record it informs the node's process, or removes our monitor on it. A record
// without a valid frame is skipped: the child has harmed only itself.
func (l *Link) farewell(b []byte, record string, reason etf.Raw) []byte {
	w, err := ipc.ReadObserver(record)
	if err != nil {
		return b
	}
	ours := l.pid(w.ID, w.Serial)
	theirs := etf.Pid{Node: etf.Atom(l.Peer.Name), ID: w.PeerID, Serial: w.PeerSerial, Creation: w.PeerCreation}
	start, ref := len(b), etf.Raw(w.Ref)
	switch w.Kind {
	case ipc.ObserverLink:
		b = dist.AppendExit(b, ours, theirs, reason)
	case ipc.ObserverMonitor:
		b = dist.AppendMonitorExit(b, ours, theirs, ref, reason)
	case ipc.ObserverName:
		b = dist.AppendMonitorExitName(b, etf.Atom(w.Name), theirs, ref, reason)
	case ipc.ObserverPeer:
		b = dist.AppendDemonitor(b, ours, theirs, ref)
	}
	var m dist.Message
	if dist.Parse(b[start+dist.HeaderSize:], &m) != nil {
		return b[:start]
	}
	return b
}

// pid returns the pid of a process of this incarnation of our node.
func (l *Link) pid(id, serial uint32) etf.Pid {
	return etf.Pid{Node: etf.Atom(l.Local.Name), ID: id, Serial: serial, Creation: l.Local.Creation}
}

// ledgerPair returns a ledger and the child's end of its conversation.
func ledgerPair(serial uint32) (l *ledger, theirs *ipc.Conn, err error) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return nil, nil, err
	}
	ours.NoDescriptors()
	return newLedger(ours, serial), theirs, nil
}
