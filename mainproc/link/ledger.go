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

// ledger is what the child has told of the links and monitors between its processes
// and those of the node: whom main has to tell when the child dies. The child is the
// one that is exposed to the node and to its programs, so nothing it says is
// believed beyond what it could do itself while it lived, which is to send any frame
// to the node. What it says is bounded, and checked before it becomes a frame.
type ledger struct {
	conn      *ipc.Conn      // main's end; the child has the other
	heard     permit.Hearing // of it
	observers map[string]int // by record: how often it was added
	size      int            // bytes of records, ipc.MaxLedger at most
	serial    uint32         // of the child's pids
	ticktime  uint32         // net_ticktime in seconds; 0: not known
	err       error          // from then on it is not to be relied on
	slack     *slack.Slack   // of readings; apart, as its timer outlives the ledger
}

func newLedger(conn *ipc.Conn, serial uint32) *ledger {
	return &ledger{slack: &slack.Slack{Worth: 1, After: slack.Timers}, conn: conn, heard: permit.Hearing{Who: permit.Ledger, At: permit.AtWork}, observers: make(map[string]int), serial: serial}
}

// drainAtOnce is how many packets are read while the child lives, who could write on
// and on: some more than the socket holds, so that one who waits for room gets it.
const drainAtOnce = 1000

// drain reads what waits, as many packets at most, into buf of ipc.MaxPacket bytes. It
// never waits.
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

// take takes one message.
func (l *ledger) take(packet []byte) error {
	msg, err := l.heard.Hear(packet)
	if err != nil {
		return err
	}
	m := msg.(ipc.Ledger) // or it would not have been permitted
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

// carry begins the ledger of a child with observers that were there before it, and
// gives the messages that tell the child of them.
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

// close gives the conversation up; what was said stays.
func (l *ledger) close() { _ = l.conn.Close() }

// farewell appends the frame that tells the end of one of our processes, for a
// reason, to a process of the node that observes it, or ends our monitor on that one.
// A record that makes no valid frame is passed over: the child has harmed itself.
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

// pid is a process of this incarnation of our node.
func (l *Link) pid(id, serial uint32) etf.Pid {
	return etf.Pid{Node: etf.Atom(l.Local.Name), ID: id, Serial: serial, Creation: l.Local.Creation}
}

// ledgerPair gives a ledger and the child's end of its conversation.
func ledgerPair(serial uint32) (l *ledger, theirs *ipc.Conn, err error) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return nil, nil, err
	}
	ours.NoDescriptors()
	return newLedger(ours, serial), theirs, nil
}
