package ipc

import (
	"errors"
	"fmt"
)

// Ledger reports which processes must learn of the child's death. The child sends it to main on a
// separate conversation, before it sends the node anything that depends on it. Order within a
// message does not matter: removed records were added before, in this or an earlier message. Main
// also sends it to a new child after a Link, with the observers that have outlived the previous
// child.
type Ledger struct {
	Serial   uint32 // new pids have this serial
	Ticktime uint32 // the node's net_ticktime in seconds; 0: unknown
	Added    []string
	Removed  []string // each is an Observer.Record
}

// Drain asks main to read the ledger's conversation, because much waits there.
type Drain struct{}

// Beat is main's question whether the child's loop runs, and the answer.
type Beat struct{}

// ObserverKind says what an Observer gets when the child has died.
type ObserverKind uint8

// The kinds of observers.
const (
	ObserverLink    ObserverKind = 1 // an exit signal to the peer, which is linked with the process
	ObserverMonitor ObserverKind = 2 // a monitor's notification to the peer, which monitors the process by its pid
	ObserverName    ObserverKind = 3 // the same for a monitor by name
	ObserverPeer    ObserverKind = 4 // the removal of the monitor that the process has on the peer
)

const (
	// MaxLedger bounds the valid records in bytes, and MaxObservers in number. The latter is twice
	// the most workers and 2^20 links and monitors.
	MaxLedger    = 256 << 20
	MaxObservers = 4 << 20

	maxObserverName = 4 * 255 // bytes of an atom (erl_ext_dist)
	maxObserverRef  = 2 + 3 + maxObserverName + 4 + 5*4 + 1
)

// Observer is one relation between a process of the child and one of the node, the peer. Its pids
// lack the names of their nodes, which main knows.
type Observer struct {
	Kind                             ObserverKind
	ID, Serial                       uint32 // of the child's process; zero with ObserverName
	PeerID, PeerSerial, PeerCreation uint32
	Name                             string // ObserverName
	Ref                              string // a reference as it is encoded; not with ObserverLink
}

// Record encodes the observer compactly. Equal observers have equal records.
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

// ReadObserver decodes a record strictly: Record returns the same bytes again. It checks only the
// lengths of Name and Ref.
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
