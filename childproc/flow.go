package childproc

import (
	"fmt"
	"os"
	"time"

	"erluv/loop"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/workers"
)

// With flow => auto no worker fills the node's memory, and receivers need not help. Each
// receiver has a mailbox (see mailbox.go), which counts what it is sent and decides which
// streams are read; here it meets the workers and the node.

// maxFlows is how many receivers are remembered before those are forgotten that no worker
// has any more.
const maxFlows = 1024

// receiver is a mailbox with its timer.
type receiver struct {
	mailbox
	timer *loop.Timer
}

// debtsOf are a stream's debts, one for each receiver in their order; made at first use.
func (m *manager) debtsOf(p *proc, st *stream) []*debt {
	busy := st.traffic()
	if busy.debts != nil {
		return busy.debts
	}
	for pid := range p.receivers(st) {
		r := m.flows[pid]
		if r == nil {
			m.forgetFlows()
			r = &receiver{mailbox: *newMailbox(pid, m)}
			r.ended.box = &r.mailbox
			m.flows[pid] = r
		}
		r.users++
		busy.debts = append(busy.debts, &debt{key: streamKey{p.pid, st.no}, box: &r.mailbox, p: p})
	}
	if len(busy.debts) > 1 {
		for _, d := range busy.debts {
			d.peers = busy.debts
		}
	}
	return busy.debts
}

// leaveFlows: the stream has other receivers, or is over.
func (st *stream) leaveFlows() {
	if st.busy == nil {
		return
	}
	for _, d := range st.busy.debts {
		d.box.leave(d)
	}
	st.busy.debts = nil
}

// forgetFlows makes room: receivers that no worker has any more are forgotten when there
// are twice as many as were left by the last time. So what a look at all of them costs is
// shared by as many new ones, however many are in use.
func (m *manager) forgetFlows() {
	if len(m.flows) < max(maxFlows, 2*m.flowsLeft) {
		return
	}
	for pid, r := range m.flows {
		if r.users == 0 && r.asked == askNothing {
			r.timer.Stop()
			delete(m.flows, pid)
		}
	}
	m.flowsLeft = len(m.flows)
}

// sent counts a message with n bytes of output.
func (m *manager) sent(p *proc, st *stream, n int) {
	if !p.auto {
		return
	}
	held := false
	for _, d := range m.debtsOf(p, st) {
		if d.passed {
			d.lost += n
			continue
		}
		d.box.sent(d, n)
		held = held || d.held
	}
	if held {
		m.hold(p)
	}
}

// passes says whether the stream goes on without its receiver number i.
func (p *proc) passes(st *stream, i int) bool {
	return p.auto && st.busy != nil && i < len(st.busy.debts) && st.busy.debts[i].passed
}

// counts says whether the stream's receivers are spared now. What is left of a worker
// that was told to end is delivered at once: that is no more than a pipe holds.
func (m *manager) counts(p *proc, st *stream) bool {
	return p.auto && st.busy != nil && m.phase != disconnected &&
		(p.told().reason == nil || p.w.State() != workers.Draining)
}

// flowFull says whether a stream is to wait for a receiver.
func (m *manager) flowFull(p *proc, st *stream) bool {
	if m.counts(p, st) {
		for _, d := range st.busy.debts {
			if d.held {
				return true
			}
		}
	}
	return false
}

// flowRoom is how much may be read at once: limit, or less when that is all that may be
// sent. A read of what is cut may become a message for each of its bytes.
func (m *manager) flowRoom(p *proc, st *stream, limit int) int {
	if !m.counts(p, st) {
		return limit
	}
	for _, d := range st.busy.debts {
		room := d.room()
		if !p.packet.raw() {
			room /= messageCost + 1
		}
		limit = min(limit, max(room, leastRead))
	}
	return limit
}

// leastRead is the least that is read at once.
const leastRead = 64

// letFlow delivers what a worker's flow allows now.
func (m *manager) letFlow(p *proc) {
	m.hold(p)
	p.w.Resume()
}

// clock: see post.
func (m *manager) clock() time.Duration { return m.now() }

// Drains: what is left of a worker that was told to end waits for no receiver.
func (m *manager) Drains(w *workers.Worker) { m.hold(w.Tag.(*proc)) }

// resume: see post.
func (m *manager) resume(d *debt) { m.letFlow(d.p) }

// regain tells a receiver that it was not sent everything.
func (m *manager) regain(d *debt, lost int) {
	m.tell(d.box.pid, d.p, etf.Tuple{streamTerm(d.key.no), etf.Tuple{etf.Atom("lost"), int64(lost)}})
}

// later: see post.
func (m *manager) later(b *mailbox, after time.Duration) {
	r := m.flows[b.pid]
	r.timer.Stop()
	r.timer = m.after(after, b.timer)
}

// inquire: see post.
func (m *manager) inquire(b *mailbox, what inquiry) {
	m.flows[b.pid].timer.Stop()
	if what == askContent {
		m.ask("erl_eval", "exprs", m.lookAt(b.pid), func(result etf.Term) {
			if n, costs, ok := contentOf(result); ok {
				b.content(n, costs)
			} else {
				m.unanswered(b, result)
			}
		})
		return
	}
	m.ask("erlang", "process_info", etf.List{b.pid, etf.Atom("message_queue_len")}, func(result etf.Term) {
		if result == etf.Atom("undefined") {
			b.gone()
		} else if n, ok := queueLen(result); ok {
			b.length(n)
		} else {
			m.unanswered(b, result)
		}
	})
}

// queueLen reads {message_queue_len, N}.
func queueLen(result etf.Term) (n int, ok bool) {
	t, ok := result.(etf.Tuple)
	if !ok || len(t) != 2 || t[0] != etf.Atom("message_queue_len") {
		return 0, false
	}
	long, ok := t[1].(int64)
	return int(long), ok && long >= 0 && long < 1<<40
}

// unanswered: there is no such answer, or none in time, as of a receiver that runs what
// cannot be interrupted.
func (m *manager) unanswered(b *mailbox, why etf.Term) {
	if t, ok := why.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("badrpc") && t[1] == etf.Atom("timeout") {
		b.silent()
		return
	}
	if b.asked == askLength && !m.warned {
		m.warned = true
		fmt.Fprintf(os.Stderr, "erluv: %s does not say how much waits for a receiver (rex answers %.100v): at most %d KiB are sent to each every %v\n",
			m.start.Target, why, flowBytes>>10, flowBlind)
	}
	b.refused()
}

// holder is the receiver that a stream waits for; nil: none.
func (m *manager) holder(p *proc, st *stream) *stat.Held {
	if m.counts(p, st) {
		for _, d := range st.busy.debts {
			if d.held || d.passed {
				return &stat.Held{
					By: process(d.box.pid), Bytes: int64(d.owed), Queue: d.box.before,
					Since: m.now() - d.since, Lost: int64(d.lost),
				}
			}
		}
	}
	return nil
}

// linger: see post.
func (m *manager) linger(d *debt) {
	m.remark(fmt.Sprintf("stream %v of worker %v waits since %v for %v to take messages: up to %d bytes wait there, in a queue of %d",
		streamTerm(d.key.no), process(d.key.worker), lingers, process(d.box.pid), d.owed, d.box.before))
}
