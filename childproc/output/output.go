package output

import (
	"erluv/childproc/order"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/workers"
)

// Output is the output of a worker's program as nodes see it. There are thousands, most of
// them silent.
type Output struct {
	streams []Stream // stdout, stderr, and further ones by descriptor
	Packet  Packet   // how output is cut
	left    int32    // with order.Counted: how many messages with output may be sent
	mode    order.Mode
	dropped bool   // output that was not asked for is given up
	Device  Device // as an I/O device
}

// Host is the process of ours that the output belongs to.
type Host interface {
	Worker() *workers.Worker
	PID() etf.Pid
	Owner() etf.Pid
	Home() *Outlet          // to the node that it belongs to
	To(pid etf.Pid) *Outlet // to the node of a process; nil: there is no connection

	Hidden() bool      // nobody has heard of it but its caller
	Ending() bool      // it was told to end
	AwaitsOwner() bool // its owner is gone, and what that would be told waits for another one

	// Share is how much of a stream is kept, in bytes, while the program is not ready.
	// False: it is.
	Share() (bytes int, unready bool)
	// Piece is how much may be read at once, in bytes, for the sake of Saw.
	Piece() int
	// Ahead is how much of a stream is read while nobody reads it, in bytes.
	Ahead() int
	// Saw looks at what has been read.
	Saw(s workers.Stream, data []byte)
	// Served: something has been delivered, perhaps.
	Served()

	Tell(to etf.Pid, what etf.Term)
	Malformed()            // the program does not keep to the packets
	GoOn(s workers.Stream) // there is room again for a stream
}

// Of is the output that an order asks for.
func Of(outs []order.Output, packet order.Packet, a order.Active) Output {
	o := Output{streams: make([]Stream, len(outs)), Packet: Packet{packet}, mode: a.Mode, left: a.Count}
	for i, out := range outs {
		o.streams[i] = Stream{no: out.FD, to: out.To, kept: out.Kept}
	}
	return o
}

// Begin: the program is started, for the first time or again.
func (o *Output) Begin() {
	for i := range o.streams {
		o.streams[i].ended, o.streams[i].told = false, false
	}
}

// Passive says whether output is for those who read.
func (o *Output) Passive() bool { return o.mode == order.Passive }

// Dropped says whether output is given up.
func (o *Output) Dropped() bool { return o.dropped }

// Delivered says whether nothing is left for somebody who reads on demand, or that waits
// for room.
func (o *Output) Delivered() bool {
	for i := range o.streams {
		if st := &o.streams[i]; st.unserved() || !o.dropped && !st.delivered() {
			return false
		}
	}
	return true
}

// Hold has the streams read or not, as somebody wants their output or not. Before
// a worker is presented nobody does.
func (o *Output) Hold(h Host) {
	share, unready := h.Share()
	ahead := h.Ahead()
	for i := range o.streams {
		st := &o.streams[i]
		wanted := o.mode != order.Passive || st.wanted()
		switch {
		case o.dropped || st.kept:
			wanted = true
		case unready && (h.Hidden() || !wanted):
			wanted = st.remainder() < share // it may wait for the line, or to be able to write
		case h.Hidden():
			wanted = false
		case o.mode != order.Passive:
			wanted = wanted && !o.flowFull(h, st) && (!o.unowned(h, st) || st.wanted() || st.remainder() < ahead)
		case !wanted:
			wanted = st.remainder() < ahead
		}
		if st.unserved() && st.busy.later != h.Home() && !o.dropped {
			wanted = false // there is room with the worker's own node, which pauses nothing
		}
		h.Worker().Hold(st.no, !wanted)
	}
}

// HoldAll has all streams read or not, whoever wants them.
func (o *Output) HoldAll(h Host, held bool) {
	for i := range o.streams {
		h.Worker().Hold(o.streams[i].no, held)
	}
}

// Activate changes how output is sent: auto, true, once, false, or a number that is
// added to what is left of one before, as with gen_tcp.
func (o *Output) Activate(h Host, a order.Active) {
	switch {
	case a.Mode != order.Counted:
		o.mode = a.Mode
	case o.mode == order.Counted:
		o.left += a.Count
	default:
		o.mode, o.left = order.Counted, a.Count
	}
	if o.mode == order.Counted && o.left <= 0 {
		o.mode = order.Passive
		h.Tell(h.Owner(), etf.Atom("passive"))
	}
}

// Activity is what was set, or what is left of it.
func (o *Output) Activity() stat.Active {
	switch o.mode {
	case order.Passive:
		return stat.Active{Word: "false"}
	case order.Once:
		return stat.Active{Word: "once"}
	case order.True:
		return stat.Active{Word: "true"}
	case order.Auto:
		return stat.Active{Word: "auto"}
	}
	return stat.Active{Count: int(o.left)}
}

// count notes that a message with output was sent.
func (o *Output) count(h Host) {
	switch o.mode {
	case order.Counted:
		if o.left--; o.left > 0 {
			return
		}
		h.Tell(h.Owner(), etf.Atom("passive"))
	case order.Once:
	default:
		return
	}
	o.mode = order.Passive
	o.Hold(h)
	if h.Ending() {
		o.Drop(h) // nobody will ask for the rest
	}
}

// Drop gives up what nobody has asked for: the worker is told to end, and nobody
// may ever ask.
func (o *Output) Drop(h Host) {
	if o.mode == order.Passive && !o.dropped {
		o.GiveUp(h)
	}
}

// GiveUp drops all output that is still to come, and what has come.
func (o *Output) GiveUp(h Host) {
	o.dropped = true
	for i := range o.streams {
		if b := o.streams[i].busy; b != nil {
			b.remainder.Clear()
		}
	}
	o.Hold(h)
	h.Worker().Resume()
}

// GiveUpRest drops what is still to come, from within Room.
func (o *Output) GiveUpRest() { o.dropped = true }

// malformed gives up what does not keep to the packets.
func (o *Output) malformed(h Host) {
	o.Drop(h)
	h.Malformed()
}
