package ipc

import (
	"errors"
	"fmt"
)

// Ledger is what the child tells main, on a conversation of its own, of who must
// be told if it dies: before anything that rests on it is said to the node. Main
// keeps no order: what is removed was added before, in this or an earlier message.
// Main sends it as well, to a new child after a Link: with the watches that have outlived
// the one before.
type Ledger struct {
	Serial   uint32 // new pids have this serial
	Ticktime uint32 // the node's net_ticktime in seconds; 0: not known
	Added    []string
	Removed  []string // each is a Watch.Record
}

// Drain asks main to read the ledger's conversation: enough has been said there.
type Drain struct{}

// Beat is main's question whether the child's loop goes round, and the answer.
type Beat struct{}

// WatchKind says what is due for a Watch when the child has died.
type WatchKind uint8

// The kinds of watches.
const (
	WatchLink    WatchKind = 1 // an exit signal to the peer, which is linked with the process
	WatchMonitor WatchKind = 2 // its end told to the peer, which monitors the process by its pid
	WatchName    WatchKind = 3 // the same for a monitor by name
	WatchPeer    WatchKind = 4 // the end of the monitor that the process has on the peer
)

const (
	// MaxLedger bounds the records that are in force, in bytes, MaxWatches in
	// number: twice the most workers and 2^20 links and monitors.
	MaxLedger  = 256 << 20
	MaxWatches = 4 << 20

	maxWatchName = 4 * 255 // bytes of an atom (erl_ext_dist)
	maxWatchRef  = 2 + 3 + maxWatchName + 4 + 5*4 + 1
)

// Watch is one relation between a process of the child and one of the node, the
// peer. Pids are told without the names of their nodes, which main knows.
type Watch struct {
	Kind                             WatchKind
	ID, Serial                       uint32 // of the child's process; zero with WatchName
	PeerID, PeerSerial, PeerCreation uint32
	Name                             string // WatchName
	Ref                              string // a reference as it is encoded; not with WatchLink
}

// Record is the watch in few bytes, the same for the same watch.
func (x Watch) Record() string {
	w := writer{make([]byte, 0, 32+len(x.Ref)+len(x.Name))}
	w.u8(uint8(x.Kind))
	w.u32(x.ID)
	w.u32(x.Serial)
	w.u32(x.PeerID)
	w.u32(x.PeerSerial)
	w.u32(x.PeerCreation)
	if x.Kind == WatchName {
		w.str(x.Name)
	}
	if x.Kind != WatchLink {
		w.str(x.Ref)
	}
	return string(w.b)
}

// ReadWatch reads a record, strictly: whatever it takes, Record gives back. What
// Name and Ref hold is not looked at but for their lengths.
func ReadWatch(record string) (Watch, error) {
	r := reader{b: []byte(record)}
	x := Watch{
		Kind: WatchKind(r.u8()), ID: r.u32(), Serial: r.u32(),
		PeerID: r.u32(), PeerSerial: r.u32(), PeerCreation: r.u32(),
	}
	if x.Kind == WatchName {
		x.Name = r.str()
	}
	if x.Kind != WatchLink {
		x.Ref = r.str()
	}
	switch err := r.done(); {
	case err != nil:
		return Watch{}, fmt.Errorf("%w (in a watch)", err)
	case x.Kind < WatchLink || x.Kind > WatchPeer:
		return Watch{}, fmt.Errorf("ipc: no watch has the kind %d", x.Kind)
	case x.Kind == WatchName && (x.Name == "" || len(x.Name) > maxWatchName || x.ID != 0 || x.Serial != 0):
		return Watch{}, errors.New("ipc: a watch of a name has no pid, and a name of 1 to 1020 bytes")
	case x.Kind != WatchLink && (x.Ref == "" || len(x.Ref) > maxWatchRef):
		return Watch{}, fmt.Errorf("ipc: a watch with a reference of %d bytes", len(x.Ref))
	}
	return x, nil
}
