package output

import (
	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/workers"
)

// With flow => auto, no worker fills a node's memory. The peer counts the bytes sent to each
// receiver and decides which streams are read. This file connects those decisions to the streams.

// debtsOf returns a stream's debts, one for each receiver in order. It makes them at first use.
func (o *Output) debtsOf(h Host, st *Stream) []*peer.Debt {
	busy := st.traffic()
	if busy.debts != nil {
		return busy.debts
	}
	for pid := range o.receivers(h, st) {
		d := peer.NoDebt()
		if c := h.To(pid); c != nil {
			d = c.Debt(pid, h.PID(), peer.Stream(st.no), h)
		}
		busy.debts = append(busy.debts, d)
	}
	peer.Share(busy.debts)
	return busy.debts
}

// leaveFlows ends the debts of a stream that is over or gets other receivers.
func (st *Stream) leaveFlows() {
	if st.busy == nil {
		return
	}
	for _, d := range st.busy.debts {
		d.Leave()
	}
	st.busy.debts = nil
}

// LeaveFlows ends the debts of all streams.
func (o *Output) LeaveFlows() {
	for i := range o.streams {
		o.streams[i].leaveFlows()
	}
}

// Disown gives all output to the owner. If there is no owner, the output has no receiver.
func (o *Output) Disown() {
	o.LeaveFlows()
	for i := range o.streams {
		o.streams[i].to = nil
	}
}

// sent counts a message with n bytes of output. For a list, lines is the number of its lines.
func (o *Output) sent(h Host, st *Stream, n, lines int) {
	if o.mode != order.Auto {
		return
	}
	held := false
	for _, d := range o.debtsOf(h, st) {
		d.Sent(n, lines)
		held = held || d.Held()
	}
	if held {
		o.Hold(h)
	}
}

// passes reports whether the stream goes on without its receiver number i.
func (o *Output) passes(st *Stream, i int) bool {
	return o.mode == order.Auto && st.busy != nil && i < len(st.busy.debts) && st.busy.debts[i].Passed()
}

// counts reports whether back-pressure applies to the stream now. The last output of a worker that
// was stopped is delivered at once: it is no more than a pipe holds.
func (o *Output) counts(h Host, st *Stream) bool {
	return o.mode == order.Auto && st.busy != nil && (!h.Ending() || h.Worker().State() != workers.Draining)
}

// flowFull reports whether a stream must wait for a receiver.
func (o *Output) flowFull(h Host, st *Stream) bool {
	if o.counts(h, st) {
		for _, d := range st.busy.debts {
			if d.Held() {
				return true
			}
		}
	}
	return false
}

// flowRoom is how many bytes may be read at once: limit, or less if less may be sent.
func (o *Output) flowRoom(h Host, st *Stream, limit int) int {
	if !o.counts(h, st) {
		return limit
	}
	for _, d := range st.busy.debts {
		limit = min(limit, max(d.Room(o.Packet.each()), peer.LeastRead))
	}
	return limit
}

// Waits returns for which receiver a stream waits. ok is false if it waits for none.
func (o *Output) Waits(h Host, s workers.Stream) (peer.Wait, bool) {
	if st := o.stream(s); o.counts(h, st) {
		for _, d := range st.busy.debts {
			if w, ok := d.Wait(); ok {
				return w, true
			}
		}
	}
	return peer.Wait{}, false
}
