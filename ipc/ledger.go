package ipc

import (
	"errors"
	"fmt"
)

// Ledger is what the child tells main, on a conversation of its own, of who must
// be told if it dies: before anything that rests on it is said to the node. Main
// keeps no order: what is removed was added before, in this or an earlier message.
// Main sends it as well, to a new child after a Link: with the observers that have outlived
// the one before.
type Ledger struct {
	Serial   uint32 // new pids have this serial
	Ticktime uint32 // the node's net_ticktime in seconds; 0: not known
	Added    []string
	Removed  []string // each is an Observer.Record
}

// Drain asks main to read the ledger's conversation: enough has been said there.
type Drain struct{}

// Beat is main's question whether the child's loop goes round, and the answer.
type Beat struct{}

// ObserverKind says what is due for an Observer when the child has died.
type ObserverKind uint8

// The kinds of observers.
const (
	ObserverLink    ObserverKind = 1 // an exit signal to the peer, which is linked with the process
	ObserverMonitor ObserverKind = 2 // its end told to the peer, which monitors the process by its pid
	ObserverName    ObserverKind = 3 // the same for a monitor by name
	ObserverPeer    ObserverKind = 4 // the end of the monitor that the process has on the peer
)

const (
	// MaxLedger bounds the records that are in force, in bytes, MaxObservers in
	// number: twice the most workers and 2^20 links and monitors.
	MaxLedger    = 256 << 20
	MaxObservers = 4 << 20

	maxObserverName = 4 * 255 // bytes of an atom (erl_ext_dist)
	maxObserverRef  = 2 + 3 + maxObserverName + 4 + 5*4 + 1
)

// Observer is one relation between a process of the child and one of the node, the
// peer. Pids are told without the names of their nodes, which main knows.
type Observer struct {
	Kind                             ObserverKind
	ID, Serial                       uint32 // of the child's process; zero with ObserverName
	PeerID, PeerSerial, PeerCreation uint32
	Name                             string // ObserverName
	Ref                              string // a reference as it is encoded; not with ObserverLink
}

// Record is the observer in few bytes, the same for the same one.
func (x Observer) Record() string {
	w := writer{make([]byte, 0, 32+len(x.Ref)+len(x.Name))}
	w.u8(uint8(x.Kind))
	w.u32(x.ID)
	w.u32(x.Serial)
	w.u32(x.PeerID)
	w.u32(x.PeerSerial)
	w.u32(x.PeerCreation)
	if x.Kind == ObserverName {
		w.str(x.Name)
	}
	if x.Kind != ObserverLink {
		w.str(x.Ref)
	}
	return string(w.b)
}

// ReadObserver reads a record, strictly: whatever it takes, Record gives back. What
// Name and Ref hold is not looked at but for their lengths.
func ReadObserver(record string) (Observer, error) {
	r := reader{b: []byte(record)}
	x := Observer{
		Kind: ObserverKind(r.u8()), ID: r.u32(), Serial: r.u32(),
		PeerID: r.u32(), PeerSerial: r.u32(), PeerCreation: r.u32(),
	}
	if x.Kind == ObserverName {
		x.Name = r.str()
	}
	if x.Kind != ObserverLink {
		x.Ref = r.str()
	}
	switch err := r.done(); {
	case err != nil:
		return Observer{}, fmt.Errorf("%w (in an observer)", err)
	case x.Kind < ObserverLink || x.Kind > ObserverPeer:
		return Observer{}, fmt.Errorf("ipc: no observer has the kind %d", x.Kind)
	case x.Kind == ObserverName && (x.Name == "" || len(x.Name) > maxObserverName || x.ID != 0 || x.Serial != 0):
		return Observer{}, errors.New("ipc: an observer of a name has no pid, and a name of 1 to 1020 bytes")
	case x.Kind != ObserverLink && (x.Ref == "" || len(x.Ref) > maxObserverRef):
		return Observer{}, fmt.Errorf("ipc: an observer with a reference of %d bytes", len(x.Ref))
	}
	return x, nil
}
