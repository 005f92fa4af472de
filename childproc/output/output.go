package output

import (
	"erluv/childproc/order"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/workers"
)

// Output is the output of a worker's program as nodes see it. There are thousands, and most are
// silent.
type Output struct {
	streams []Stream // stdout, stderr, and further ones by descriptor
	Packet  Packet   // how output is cut
	left    int32    // with order.Counted: how many more messages with output may be sent
	mode    order.Mode
	dropped bool   // output that was not requested is given up
	Device  Device // as an I/O device
}

// Host is the process of erluv to which the output belongs.
type Host interface {
	Worker() *workers.Worker
	PID() etf.Pid
	Owner() etf.Pid
	Home() *Outlet          // of the node that the process belongs to
	To(pid etf.Pid) *Outlet // of the node of a process; nil: there is no connection

	Hidden() bool      // only its caller knows of it
	Ending() bool      // it was asked to end
	AwaitsOwner() bool // its owner is gone, and messages for the owner wait for the next one

	// Share returns how many bytes of a stream are kept while the program is not ready. unready is
	// false if the program is ready.
	Share() (bytes int, unready bool)
	// Piece returns the most bytes to be read at once, for the sake of Saw.
	Piece() int
	// Ahead returns how many bytes of a stream are read before a call requests them.
	Ahead() int
	// Saw inspects bytes that were read.
	Saw(s workers.Stream, data []byte)
	// Served reports that output may have been delivered.
	Served()

	Tell(to etf.Pid, what etf.Term)
	Malformed()            // the program violates the packet format
	GoOn(s workers.Stream) // a stream has room again
}

// Of makes the output that an order describes.
func Of(outs []order.Output, packet order.Packet, a order.Active) Output {
	o := Output{streams: make([]Stream, len(outs)), Packet: Packet{packet}, mode: a.Mode, left: a.Count}
	for i, out := range outs {
		o.streams[i] = Stream{no: out.FD, to: out.To, kept: out.Kept}
	}
	return o
}

// Begin prepares for a start of the program, the first or another.
func (o *Output) Begin() {
	for i := range o.streams {
		o.streams[i].ended, o.streams[i].told = false, false
	}
}

// Passive reports whether output goes to calls on demand.
func (o *Output) Passive() bool { return o.mode == order.Passive }

// Dropped reports whether output is given up.
func (o *Output) Dropped() bool { return o.dropped }

// Delivered reports whether no output is left for calls that read on demand, and no stream waits
// for room.
func (o *Output) Delivered() bool {
	for i := range o.streams {
		if st := &o.streams[i]; st.unserved() || !o.dropped && !st.delivered() {
			return false
		}
	}
	return true
}

// Hold has each stream read, or held if its output is not wanted now. No output of a worker is
// wanted before its caller knows of it.
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
			wanted = st.remainder() < share // it may wait for its line, or to be able to write
		case h.Hidden():
			wanted = false
		case o.mode != order.Passive:
			wanted = wanted && !o.flowFull(h, st) && (!o.unowned(h, st) || st.wanted() || st.remainder() < ahead)
		case !wanted:
			wanted = st.remainder() < ahead
		}
		if st.unserved() && st.busy.later != h.Home() && !o.dropped {
			wanted = false // its own node has room, and so does not pause it
		}
		h.Worker().Hold(st.no, !wanted)
	}
}

// HoldAll holds or releases all streams, whether wanted or not.
func (o *Output) HoldAll(h Host, held bool) {
	for i := range o.streams {
		h.Worker().Hold(o.streams[i].no, held)
	}
}

// Activate changes how output is sent: auto, true, once, false, or a number. As with gen_tcp, a
// number is added to the remainder of an earlier one.
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

// Activity is the current setting, with the remainder of a number.
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

// count counts a message with output.
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
		o.Drop(h) // the remainder will not be requested
	}
}

// Drop gives up output that was not requested. The worker is being stopped, and calls may never
// request it.
func (o *Output) Drop(h Host) {
	if o.mode == order.Passive && !o.dropped {
		o.GiveUp(h)
	}
}

// GiveUp drops all further output, and output that was read.
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

// GiveUpRest drops all further output, from within Room.
func (o *Output) GiveUpRest() { o.dropped = true }

// malformed gives up output that violates the packet format.
func (o *Output) malformed(h Host) {
	o.Drop(h)
	h.Malformed()
}
