package childproc

import (
	"fmt"
	"os"
	"time"

	"erluv/etf"
	"erluv/loop"
	"erluv/workers"
)

// With flow => auto no worker fills the node's memory, and nobody has to help: the
// bytes that a receiver is sent are counted, from time to time the node is asked how
// many messages wait for it, and while they are too many the pipes are not read.
const (
	// After so many bytes or messages the node is asked, and while it has not
	// answered so many more are sent.
	flowBytes    = 1 << 20
	flowMessages = 8192

	// What waits for a receiver is long from here on, by its size as far as that can
	// be told from outside; and short again when it is a half of it.
	flowLong = 4 << 20

	// messageCost is what a message costs the node beside its bytes.
	messageCost = 128

	// A long queue is looked at after 1 ms, and at doubled intervals.
	flowFirst = time.Millisecond
	flowLast  = 100 * time.Millisecond

	// A node that does not answer is sent flowBytes in each of these times.
	flowBlind = 100 * time.Millisecond

	// maxFlows is how many receivers are remembered that no worker has any more.
	maxFlows = 1024
)

// backlog is what is known of one receiver.
type backlog struct {
	pid      etf.Pid
	users    int // streams that go to it
	bytes    int // sent since the node was asked last
	messages int
	size     int // of one message, on average, then
	asking   bool
	long     bool
	delay    time.Duration
	timer    *loop.Timer // to the next question, while it is long
	waiting  map[*proc]struct{}
}

// full says whether no more is to be sent now.
func (f *backlog) full() bool {
	return f.long || f.asking && (f.bytes >= flowBytes || f.messages >= flowMessages)
}

// flows are the receivers of a stream as they are counted; found at first use.
func (m *manager) flowsOf(p *proc, st *stream) []*backlog {
	busy := st.traffic()
	if busy.flows == nil {
		for pid := range p.receivers(st) {
			f := m.flows[pid]
			if f == nil {
				m.forgetFlows()
				f = &backlog{pid: pid}
				m.flows[pid] = f
			}
			f.users++
			busy.flows = append(busy.flows, f)
		}
	}
	return busy.flows
}

// leaveFlows: the stream has other receivers, or is over.
func (st *stream) leaveFlows() {
	if st.busy == nil {
		return
	}
	for _, f := range st.busy.flows {
		f.users--
	}
	st.busy.flows = nil
}

// forgetFlows makes room: receivers that no worker has any more are forgotten when
// there are many.
func (m *manager) forgetFlows() {
	if len(m.flows) < maxFlows+2*len(m.procs) {
		return
	}
	for pid, f := range m.flows {
		if f.users == 0 && !f.asking && !f.long {
			delete(m.flows, pid)
		}
	}
}

// sent counts a message with n bytes of output.
func (m *manager) sent(p *proc, st *stream, n int) {
	if !p.auto {
		return
	}
	for _, f := range m.flowsOf(p, st) {
		f.bytes += n
		f.messages++
		if f.bytes < flowBytes && f.messages < flowMessages {
			continue
		}
		if f.asking || f.long {
			m.hold(p)
		} else {
			m.askFlow(f)
		}
	}
}

// flowFull says whether a stream is to wait for a receiver. What is left of a worker
// that was told to end is delivered at once: that is no more than a pipe holds.
func (m *manager) flowFull(p *proc, st *stream) bool {
	if !p.auto || m.phase == disconnected || p.told().reason != nil && p.w.State() == workers.Draining {
		return false
	}
	full := false
	for to := range p.receivers(st) {
		if f := m.flows[to]; f != nil && f.full() {
			full = true
			if f.waiting == nil {
				f.waiting = make(map[*proc]struct{})
			}
			f.waiting[p] = struct{}{}
		}
	}
	return full
}

// askFlow asks the node how many messages wait for a receiver.
func (m *manager) askFlow(f *backlog) {
	f.size = f.bytes / max(f.messages, 1)
	f.bytes, f.messages, f.asking = 0, 0, true
	m.ask("erlang", "process_info", etf.List{f.pid, etf.Atom("message_queue_len")}, func(result etf.Term) {
		f.asking = false
		n, known := queueLen(result)
		if !known {
			m.blind(f, result)
			return
		}
		waits := n * int64(f.size+messageCost)
		f.long = waits > flowLong || f.long && waits > flowLong/2
		if f.long {
			f.delay = min(max(2*f.delay, flowFirst), flowLast)
			f.timer = m.after(f.delay, func() { m.askAgain(f) })
		} else {
			f.delay = 0
		}
		m.flowAgain(f)
	})
}

// askAgain looks at a long queue again. The size of its messages is as it was: none
// were sent since, or few.
func (m *manager) askAgain(f *backlog) {
	size := f.size
	m.askFlow(f)
	f.size = max(f.size, size)
}

// queueLen reads the answer: {message_queue_len, N}, or undefined for one that has
// ended, to whom everything can be sent.
func queueLen(result etf.Term) (n int64, ok bool) {
	if result == etf.Atom("undefined") {
		return 0, true
	}
	if t, isTuple := result.(etf.Tuple); isTuple && len(t) == 2 && t[0] == etf.Atom("message_queue_len") {
		n, ok = t[1].(int64)
	}
	return n, ok
}

// blind goes on without an answer: what was sent is to be enough for a while.
func (m *manager) blind(f *backlog, why etf.Term) {
	if !m.warned {
		m.warned = true
		fmt.Fprintf(os.Stderr, "erluv: %s does not say how much waits for a receiver (rex answers %.100v): at most %d KiB are sent to each every %v\n",
			m.start.Target, why, flowBytes>>10, flowBlind)
	}
	f.long = true
	f.timer = m.after(flowBlind, func() {
		f.long, f.bytes, f.messages = false, 0, 0
		m.flowAgain(f)
	})
	m.flowAgain(f)
}

// flowAgain has those who wait for a receiver look again.
func (m *manager) flowAgain(f *backlog) {
	waiting := f.waiting
	f.waiting = nil
	for p := range waiting {
		m.letFlow(p)
	}
	if !f.long && !f.asking && (f.bytes >= flowBytes || f.messages >= flowMessages) {
		m.askFlow(f)
	}
}

// letFlow delivers what a worker's flow allows now.
func (m *manager) letFlow(p *proc) {
	m.hold(p)
	p.w.Resume()
}
