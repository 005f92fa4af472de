package childproc

import (
	"erluv/ipc"
)

// hostState is where this host stands: whether new workers are started here.
type hostState uint8

// The states. The last two have one name: a node is told that workers are being stopped.
const (
	hoLaunching  hostState = iota // no node is served yet
	hoConnecting                  // no node is served any more
	hoReady                       // new workers are started, in this state alone
	hoStandby                     // no new worker is started; those that run go on
	hoStopping                    // the workers were asked to stop
	hoStopped                     // none is left
	hoLeaving                     // erluv itself is to end
)

func (s hostState) String() string {
	return [...]string{"launching", "connecting", "ready", "standby", "stopping", "stopped", "stopping"}[s]
}

// hostEvent is what changes where the host stands.
type hostEvent uint8

// The events.
const (
	heServed  hostEvent = iota // a node is served
	heAlone                    // no node is served any more
	heReady                    // asked for: ready,
	heStandby                  // standby,
	heStopped                  // stopped
	heEmpty                    // no worker is left
	heLeave                    // erluv is to end
)

// hostDeeds are what is to be done about an event.
type hostDeeds uint8

const (
	hdTell  hostDeeds = 1 << iota // tell the controllers
	hdKeep                        // tell main what was wished for
	hdDrain                       // ask all workers to stop
)

// hostLife is the state machine of the host. It does nothing itself.
type hostLife struct {
	state hostState
	wish  ipc.Wish // what was asked for last, to which the host comes back when a node is served
}

// step takes one event. False: it is a request that is not allowed in this state. Any other event
// that means nothing in a state changes nothing.
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
		h.state = hoLeaving // the controllers are told why
	case heReady, heStandby, heStopped:
		return h.set(e)
	}
	return 0, true
}

// wished is where a host stands, by what was asked for. One that is to be stopped may have workers
// of a node that is gone.
var wished = [...]hostState{ipc.WishReady: hoReady, ipc.WishStandby: hoStandby, ipc.WishStopped: hoStopping}

// set takes a request. Workers that were asked to stop do so: until the last has, no other state
// can be asked for.
func (h *hostLife) set(e hostEvent) (do hostDeeds, allowed bool) {
	wish := [...]ipc.Wish{heReady: ipc.WishReady, heStandby: ipc.WishStandby, heStopped: ipc.WishStopped}[e]
	switch h.state {
	case hoLaunching, hoLeaving:
		return 0, false
	case hoStopping:
		return 0, e == heStopped
	case hoConnecting:
		h.wish = wish
		if e == heStopped { // an operator's programs, and those that outlive their node
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
