package childproc

import (
	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/stat"
	"erluv/workers"
)

// With flow => auto no worker fills a node's memory. The peer counts what each receiver is
// sent and decides which streams are read; here that meets the workers.

// debtsOf are a stream's debts, one for each receiver in their order; made at first use.
func (m *manager) debtsOf(p *program, st *stream) []*peer.Debt {
	busy := st.traffic()
	if busy.debts != nil {
		return busy.debts
	}
	for pid := range p.receivers(st) {
		d := peer.NoDebt()
		if c := m.clientOf(pid, p.client); c != nil {
			d = c.Debt(pid, p.pid, peer.Stream(st.no), p)
		}
		busy.debts = append(busy.debts, d)
	}
	peer.Share(busy.debts)
	return busy.debts
}

// leaveFlows: the stream has other receivers, or is over.
func (st *stream) leaveFlows() {
	if st.busy == nil {
		return
	}
	for _, d := range st.busy.debts {
		d.Leave()
	}
	st.busy.debts = nil
}

// sent counts a message with n bytes of output.
func (m *manager) sent(p *program, st *stream, n int) {
	if p.mode != order.Auto {
		return
	}
	held := false
	for _, d := range m.debtsOf(p, st) {
		d.Sent(n)
		held = held || d.Held()
	}
	if held {
		m.hold(p)
	}
}

// passes says whether the stream goes on without its receiver number i.
func (p *program) passes(st *stream, i int) bool {
	return p.mode == order.Auto && st.busy != nil && i < len(st.busy.debts) && st.busy.debts[i].Passed()
}

// counts says whether the stream's receivers are spared now. What is left of a worker
// that was told to end is delivered at once: that is no more than a pipe holds.
func (m *manager) counts(p *program, st *stream) bool {
	return p.mode == order.Auto && st.busy != nil && (!p.life.told || p.w.State() != workers.Draining)
}

// flowFull says whether a stream is to wait for a receiver.
func (m *manager) flowFull(p *program, st *stream) bool {
	if m.counts(p, st) {
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
func (m *manager) flowRoom(p *program, st *stream, limit int) int {
	if !m.counts(p, st) {
		return limit
	}
	for _, d := range st.busy.debts {
		limit = min(limit, max(d.Room(!p.packet.Raw()), peer.LeastRead))
	}
	return limit
}

// Drains: what is left of a worker that was told to end waits for no receiver.
func (m *manager) Drains(w *workers.Worker) { m.hold(w.Tag.(*program)) }

// holder is the receiver that a stream waits for; nil: none.
func (m *manager) holder(p *program, st *stream) *stat.Held {
	if m.counts(p, st) {
		for _, d := range st.busy.debts {
			if w, ok := d.Wait(); ok {
				return &stat.Held{By: process(w.By), Bytes: int64(w.Bytes), Queue: w.Queue, Since: w.Since, Lost: int64(w.Lost)}
			}
		}
	}
	return nil
}
