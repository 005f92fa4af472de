package peer

import (
	"fmt"
	"time"

	"erluv/loop"
	"erluv/wire/etf"
)

// With flow => auto no worker fills the node's memory, and receivers need not help. Each
// receiver has a mailbox (see mailbox.go), which counts what it is sent and decides which
// streams are read; here it meets the node, and the host, which has the streams.

// maxFlows is how many receivers are remembered before those are forgotten that no worker
// has any more.
const maxFlows = 1024

// LeastRead is the least that is read of a stream at once, in bytes.
const LeastRead = 64

// flows are the receivers of one node.
type flows struct {
	all    map[etf.Pid]*receiver
	left   int      // of them, when some were forgotten
	look   etf.List // see lookAt
	spec   etf.Term
	warned bool // of a node that does not tell how long a queue is
	paused paused
}

// paused is how long streams have waited for receivers, added up: two that wait for a second are
// two seconds.
type paused struct {
	now   int // how many wait
	until time.Duration
	sum   time.Duration // up to then
}

func (p *paused) at(now time.Duration) time.Duration {
	p.sum += time.Duration(p.now) * (now - p.until)
	p.until = now
	return p.sum
}

// Paused is how long streams have waited for receivers on the node, added up.
func (c *Peer) Paused() time.Duration { return c.flows.paused.at(c.loop.Now()) }

// pauses: see post.
func (c *Peer) pauses(on bool) {
	c.flows.paused.at(c.loop.Now())
	if on {
		c.flows.paused.now++
	} else {
		c.flows.paused.now--
	}
}

// receiver is a mailbox with its timer.
type receiver struct {
	mailbox
	timer *loop.Timer
}

// Debt is one more of a receiver, for a stream of a worker. The tag is the host's.
func (c *Peer) Debt(to, worker etf.Pid, s Stream, tag any) *Debt {
	r := c.flows.all[to]
	if r == nil {
		c.flows.forget()
		r = &receiver{mailbox: *newMailbox(to, c)}
		r.ended.box = &r.mailbox
		c.flows.all[to] = r
	}
	r.users++
	return &Debt{key: streamKey{worker, s}, box: &r.mailbox, tag: tag}
}

// NoDebt is that of a receiver on a node to which there is no connection.
func NoDebt() *Debt { return &Debt{box: &mailbox{over: true}} }

// Share has the receivers of one stream know of each other.
func Share(list []*Debt) {
	if len(list) > 1 {
		for _, d := range list {
			d.peers = list
		}
	}
}

// Leave ends a debt: the stream has other receivers, or is over.
func (d *Debt) Leave() { d.box.leave(d) }

// Sent counts a message with n bytes of output.
func (d *Debt) Sent(n, lines int) {
	switch {
	case d.box.over:
	case d.passed:
		d.lost += n
	default:
		d.box.sent(d, n, lines)
	}
}

// Held says whether the stream is to wait for the receiver.
func (d *Debt) Held() bool { return d.held && !d.box.over }

// Passed says whether it goes on without the receiver.
func (d *Debt) Passed() bool { return d.passed || d.box.over }

// Room is how much may be read at once, when each byte of it may cost so many more.
func (d *Debt) Room(each int) int { return d.room() / (each + 1) }

// Wait is what a stream waits for.
type Wait struct {
	Stream Stream
	By     etf.Pid       // the receiver
	Bytes  int           // that wait for it at most
	Queue  int           // the length of its queue when the node was asked last
	Since  time.Duration // how long ago it began
	Lost   int           // bytes that the receiver was not sent
}

// Wait says what the stream waits for, and whether it does.
func (d *Debt) Wait() (Wait, bool) {
	if d.box.over || !d.held && !d.passed {
		return Wait{}, false
	}
	return Wait{d.key.no, d.box.pid, d.owed, d.box.before, d.box.post.clock() - d.since, d.lost}, true
}

// forget makes room: receivers that no worker has any more are forgotten when there are
// twice as many as were left by the last time. So what a look at all of them costs is
// shared by as many new ones, however many are in use.
func (f *flows) forget() {
	if len(f.all) < max(maxFlows, 2*f.left) {
		return
	}
	for pid, r := range f.all {
		if r.users == 0 && r.asked == askNothing {
			r.timer.Stop()
			delete(f.all, pid)
		}
	}
	f.left = len(f.all)
}

// end lets all streams go on: there is no such node any more. The host resumes them.
func (f *flows) end(now time.Duration) {
	f.paused.at(now)
	f.paused.now = 0
	for _, r := range f.all {
		r.over = true
		r.timer.Stop()
	}
	f.all = make(map[etf.Pid]*receiver)
}

// clock: see post.
func (c *Peer) clock() time.Duration { return c.loop.Now() }

// resume: see post.
func (c *Peer) resume(d *Debt) { c.host.Resume(d.tag) }

// regain tells a receiver that it was not sent everything.
func (c *Peer) regain(d *Debt, lost int) {
	c.host.Regain(d.tag, d.box.pid, etf.Tuple{d.key.no.Term(), etf.Tuple{etf.Atom("lost"), int64(lost)}})
}

// later: see post.
func (c *Peer) later(b *mailbox, after time.Duration) {
	r := c.flows.all[b.pid]
	r.timer.Stop()
	r.timer = c.loop.After(after, b.timer)
}

// inquire: see post.
func (c *Peer) inquire(b *mailbox, what inquiry) {
	c.flows.all[b.pid].timer.Stop()
	if what == askContent {
		c.Ask("erl_eval", "exprs", c.lookAt(b.pid), func(result etf.Term) {
			if n, costs, ok := contentOf(result); ok {
				b.content(n, costs)
			} else {
				c.unanswered(b, result)
			}
		})
		return
	}
	c.Ask("erlang", "process_info", etf.List{b.pid, etf.Atom("message_queue_len")}, func(result etf.Term) {
		if result == etf.Atom("undefined") {
			b.gone()
		} else if n, ok := queueLen(result); ok {
			b.length(n)
		} else {
			c.unanswered(b, result)
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
func (c *Peer) unanswered(b *mailbox, why etf.Term) {
	if b.over {
		return
	}
	if t, ok := why.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("badrpc") && t[1] == etf.Atom("timeout") {
		b.silent()
		return
	}
	if b.asked == askLength && !c.flows.warned {
		c.flows.warned = true
		c.log.Warn("the node does not say how much waits for a receiver: little is sent to each at a time",
			"node", string(c.node), "answer", fmt.Sprintf("%.100v", why), "bytes", FlowBytes, "each", FlowBlind)
	}
	b.refused()
}

// linger: see post.
func (c *Peer) linger(d *Debt) {
	c.host.Linger(d.tag, Wait{d.key.no, d.box.pid, d.owed, d.box.before, lingers, d.lost})
}

// stand: see post.
func (c *Peer) stand(d *Debt) {
	w := Wait{d.key.no, d.box.pid, d.owed, d.box.before, c.loop.Now() - d.since, d.lost}
	c.host.Stand(d.tag, w, d.stands)
}
