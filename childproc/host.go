package childproc

import (
	"erluv/ipc"
)

// hostState is the state of this host. It decides whether new workers are started here.
type hostState uint8

// The states. hoStopping and hoLeaving have one name: to a node, workers are being stopped.
const (
	hoLaunching  hostState = iota // no node has been served yet
	hoConnecting                  // the last node is gone
	hoReady                       // only in this state new workers are started
	hoStandby                     // no new worker is started; running ones go on
	hoStopping                    // the workers were asked to stop
	hoStopped                     // no worker is left
	hoLeaving                     // erluv itself must end
)

func (s hostState) String() string {
	return [...]string{"launching", "connecting", "ready", "standby", "stopping", "stopped", "stopping"}[s]
}

// hostEvent is an event in the life of the host.
type hostEvent uint8

// The events.
const (
	heServed  hostEvent = iota // a node is served
	heAlone                    // the last node is gone
	heReady                    // requested: ready
	heStandby                  // requested: standby
	heStopped                  // requested: stopped
	heEmpty                    // no worker is left
	heLeave                    // erluv must end
)

// hostDeeds is a set of actions.
type hostDeeds uint8

const (
	hdTell  hostDeeds = 1 << iota // report the state to the controllers
	hdKeep                        // report the requested state to main
	hdDrain                       // ask all workers to stop
)

// hostLife is the state machine of the host. It does nothing itself.
type hostLife struct {
	state hostState
	wish  ipc.Wish // the last requested state, which applies again when a node is served
}

// step takes one event. allowed is false for a request that is not allowed in this state. Another
// event without a meaning in a state changes nothing.
func (h *hostLife) step(e hostEvent) (do hostDeeds, allowed bool) {
	switch e {
	case heServed:
		if h.state == hoLaunching || h.state == hoConnecting {
			h.state = wished[h.wish]
		}
	case heAlone:
		if h.state != hoLeaving {
			h.state = hoConnecting
		}
	case heEmpty:
		if h.state == hoStopping {
			h.state = hoStopped
			return hdTell, true
		}
	case heLeave:
		h.state = hoLeaving // another event tells the controllers why
	case heReady, heStandby, heStopped:
		return h.set(e)
	}
	return 0, true
}

// wished maps a requested state to the host's state. A host that must be stopped may have workers
// of a node that is gone.
var wished = [...]hostState{ipc.WishReady: hoReady, ipc.WishStandby: hoStandby, ipc.WishStopped: hoStopping}

// set takes a request. Workers that were asked to stop will end, so no other state is allowed
// before the last has.
func (h *hostLife) set(e hostEvent) (do hostDeeds, allowed bool) {
	wish := [...]ipc.Wish{heReady: ipc.WishReady, heStandby: ipc.WishStandby, heStopped: ipc.WishStopped}[e]
	switch h.state {
	case hoLaunching, hoLeaving:
		return 0, false
	case hoStopping:
		return 0, e == heStopped
	case hoConnecting:
		h.wish = wish
		if e == heStopped { // for operators' programs, and those that outlive their node
			do = hdDrain
		}
		return do | hdKeep, true
	}
	if e == heStopped && h.state == hoStopped || wished[wish] == h.state {
		return 0, true
	}
	h.wish, h.state = wish, wished[wish]
	if e == heStopped {
		do = hdDrain
	}
	return do | hdKeep | hdTell, true
}
