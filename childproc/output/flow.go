package output

import (
	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/workers"
)

// With flow => auto no worker fills a node's memory. The peer counts what each receiver is
// sent and decides which streams are read; here that meets the streams.

// debtsOf are a stream's debts, one for each receiver in their order; made at first use.
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

// leaveFlows: the stream has other receivers, or is over.
func (st *Stream) leaveFlows() {
	if st.busy == nil {
		return
	}
	for _, d := range st.busy.debts {
		d.Leave()
	}
	st.busy.debts = nil
}

// LeaveFlows: the receivers are others, or the output is over.
func (o *Output) LeaveFlows() {
	for i := range o.streams {
		o.streams[i].leaveFlows()
	}
}

// Disown: all output is for the owner, that is for nobody when there is none.
func (o *Output) Disown() {
	o.LeaveFlows()
	for i := range o.streams {
		o.streams[i].to = nil
	}
}

// sent counts a message with n bytes of output, in a list of so many lines if it is one.
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

// passes says whether the stream goes on without its receiver number i.
func (o *Output) passes(st *Stream, i int) bool {
	return o.mode == order.Auto && st.busy != nil && i < len(st.busy.debts) && st.busy.debts[i].Passed()
}

// counts says whether the stream's receivers are spared now. What is left of a worker
// that was told to end is delivered at once: that is no more than a pipe holds.
func (o *Output) counts(h Host, st *Stream) bool {
	return o.mode == order.Auto && st.busy != nil && (!h.Ending() || h.Worker().State() != workers.Draining)
}

// flowFull says whether a stream is to wait for a receiver.
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

// flowRoom is how much may be read at once: limit, or less when that is all that may be
// sent.
func (o *Output) flowRoom(h Host, st *Stream, limit int) int {
	if !o.counts(h, st) {
		return limit
	}
	for _, d := range st.busy.debts {
		limit = min(limit, max(d.Room(o.Packet.each()), peer.LeastRead))
	}
	return limit
}

// Waits says for which receiver a stream waits, if it does.
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
