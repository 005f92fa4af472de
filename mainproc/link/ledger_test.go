package link

import (
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

var (
	testRef  = string(etf.AppendNewRef(nil, "them@h", 9, 1, 2, 3))
	testLink = ipc.Observer{Kind: ipc.ObserverLink, ID: 5, Serial: 1, PeerID: 100, PeerCreation: 9}
	testMon  = ipc.Observer{Kind: ipc.ObserverMonitor, ID: 5, Serial: 1, PeerID: 101, PeerCreation: 9, Ref: testRef}
	testName = ipc.Observer{Kind: ipc.ObserverName, Name: "erluv", PeerID: 102, PeerCreation: 9, Ref: testRef}
	testPeer = ipc.Observer{Kind: ipc.ObserverPeer, ID: 5, Serial: 1, PeerID: 103, PeerCreation: 9, Ref: testRef}
	mainName = ipc.Observer{Kind: ipc.ObserverName, Name: string(gen.Main), PeerID: 104, PeerCreation: 9, Ref: testRef}
)

func ledgerOf(t *testing.T, observers ...ipc.Observer) *ledger {
	t.Helper()
	l := newLedger(nil, 1)
	var m ipc.Ledger
	for _, w := range observers {
		m.Added = append(m.Added, w.Record())
	}
	m.Serial = 7
	if err := l.take(ipc.Append(nil, m)); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLedgerCounts: a record that was added twice stays until it was removed twice, in any order.
func TestLedgerCounts(t *testing.T) {
	l := ledgerOf(t, testLink, testMon, testLink)
	r := testLink.Record()
	for want := 1; want >= 0; want-- {
		if err := l.take(ipc.Append(nil, ipc.Ledger{Removed: []string{r}})); err != nil || l.observers[r] != want {
			t.Errorf("%d, %v; want %d", l.observers[r], err, want)
		}
	}
	if len(l.observers) != 1 || l.size != len(testMon.Record()) {
		t.Errorf("%d are left, of %d bytes", len(l.observers), l.size)
	}
}

func TestLedgerRefuses(t *testing.T) {
	for name, m := range map[string]ipc.Message{
		"another message":       ipc.Ready{},
		"no record":             ipc.Ledger{Added: []string{"junk"}},
		"what is not there":     ipc.Ledger{Removed: []string{testMon.Record()}},
		"no record, to remove":  ipc.Ledger{Removed: []string{"junk"}},
		"removed once too much": ipc.Ledger{Removed: []string{testLink.Record(), testLink.Record()}},
	} {
		if err := ledgerOf(t, testLink).take(ipc.Append(nil, m)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := ledgerOf(t).take([]byte{0xff}); err == nil {
		t.Error("junk is taken")
	}
}

// TestLedgerBounds: a child cannot fill main's memory.
func TestLedgerBounds(t *testing.T) {
	l := newLedger(nil, 1)
	w := testMon
	w.Ref = strings.Repeat("r", 1000)
	packet := ipc.Append(nil, ipc.Ledger{Added: []string{w.Record()}})
	l.size = ipc.MaxLedger - len(w.Record())
	if err := l.take(packet); err != nil {
		t.Error(err)
	}
	if err := l.take(packet); err == nil {
		t.Error("it is taken")
	}
}

// TestLedgerConversation: drain reads all that waits. After one error the ledger stays unreliable.
func TestLedgerConversation(t *testing.T) {
	buf := make([]byte, ipc.MaxPacket)
	packet := ipc.Append(nil, ipc.Ledger{Serial: 3, Ticktime: 8, Added: []string{testLink.Record()}})
	for name, tt := range map[string]struct {
		say  func(*ipc.Conn) error
		want bool
	}{
		"the end":      {func(c *ipc.Conn) error { return c.Close() }, true},
		"nothing more": {func(*ipc.Conn) error { return nil }, true},
		"junk":         {func(c *ipc.Conn) error { return c.TrySend([]byte{0xff}) }, false},
		"a descriptor": {func(c *ipc.Conn) error {
			if c.TrySend(packet, 0) != nil { // as with Linux 6.16
				return c.TrySend([]byte{0xff})
			}
			return nil
		}, false},
	} {
		l, theirs, err := ledgerPair(1)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := theirs.TrySend(packet); err != nil {
				t.Fatal(err)
			}
		}
		if err := tt.say(theirs); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := l.drain(buf, 4); (err == nil) != tt.want {
				t.Errorf("%s: %v", name, err)
			}
		}
		if l.observers[testLink.Record()] != 3 || l.serial != 3 || l.ticktime != 8 {
			t.Errorf("%s: %+v", name, l)
		}
		l.close()
		_ = theirs.Close()
	}
}

func testConnection() *Link {
	return &Link{self: &Self{}, Local: dist.Local{Name: "us@h", Creation: 4}, Peer: dist.Peer{Name: "them@h", Creation: 9}}
}

func TestFarewell(t *testing.T) {
	l := testConnection()
	ours := etf.Pid{Node: "us@h", ID: 5, Serial: 1, Creation: 4}
	for _, tt := range []struct {
		w    ipc.Observer
		want dist.Message
	}{
		{testLink, dist.Message{Op: dist.PayloadExit, From: ours}},
		{testMon, dist.Message{Op: dist.PayloadMonitorPExit, From: ours}},
		{testName, dist.Message{Op: dist.PayloadMonitorPExit, Name: "erluv", HasName: true}},
		{testPeer, dist.Message{Op: dist.DemonitorP, From: ours}},
	} {
		b := l.farewell([]byte("before"), tt.w.Record(), reasonCrashed)
		frame, n, err := dist.Next(b[6:], 1000)
		var m dist.Message
		if err == nil {
			err = dist.Parse(frame, &m)
		}
		theirs := etf.Pid{Node: "them@h", ID: tt.w.PeerID, Creation: 9}
		if err != nil || n != len(b)-6 || m.Op != tt.want.Op || m.From != tt.want.From || m.Name != tt.want.Name || m.To != theirs {
			t.Errorf("%+v: %+v, %v", tt.w, m, err)
		}
		if string(m.Ref) != tt.w.Ref || m.Op != dist.DemonitorP && string(m.Reason) != string(reasonCrashed) {
			t.Errorf("%+v: reference %q, reason %q", tt.w, m.Ref, m.Reason)
		}
	}
}

// FuzzFarewell: for any record of the child, main sends one frame that a node understands, or
// nothing.
func FuzzFarewell(f *testing.F) {
	for _, w := range []ipc.Observer{testLink, testMon, testName, testPeer} {
		f.Add(w.Record())
	}
	bad := testMon
	bad.Ref = "\x83no reference"
	f.Add(bad.Record())
	l := testConnection()
	f.Fuzz(func(t *testing.T, record string) {
		b := l.farewell(nil, record, reasonCrashed)
		if len(b) == 0 {
			return
		}
		frame, n, err := dist.Next(b, 10_000)
		var m dist.Message
		if err == nil {
			err = dist.Parse(frame, &m)
		}
		if err != nil || n != len(b) || m.To.Node != "them@h" && m.Op != dist.DemonitorP {
			t.Errorf("%q became %q: %v", record, b, err)
		}
	})
}

// TestCarry: many observers take several messages, each of which is a packet.
func TestCarry(t *testing.T) {
	var records []string
	for i := range 3000 {
		w := testName
		w.PeerID = uint32(i)
		records = append(records, w.Record())
	}
	l, copy := newLedger(nil, 0), newLedger(nil, 0)
	messages := l.carry(records)
	for _, m := range messages {
		packet := ipc.Append(nil, m)
		if len(packet) > ipc.MaxPacket {
			t.Errorf("a packet of %d bytes", len(packet))
		}
		if err := copy.take(packet); err != nil {
			t.Error(err)
		}
	}
	if len(messages) < 2 || len(l.observers) != len(records) || l.size != copy.size || len(copy.observers) != len(records) {
		t.Errorf("%d messages, %d observers of %d bytes, %d of %d", len(messages), len(l.observers), l.size, len(copy.observers), copy.size)
	}
	if b := testConnection().farewell([]byte("x"), "no record", reasonCrashed); string(b) != "x" {
		t.Errorf("%q is said for what is no record", b)
	}
}
