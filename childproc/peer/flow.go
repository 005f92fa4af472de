package peer

import (
	"fmt"
	"time"

	"erluv/loop"
	"erluv/wire/etf"
)

// With flow => auto, no worker fills the node's memory, and receivers need not help. Each receiver
// has a mailbox (see mailbox.go), which counts the bytes sent to it and decides which streams are
// read. This file connects the mailbox to the node, and to the host, which has the streams.

// maxFlows is how many receivers are remembered before unused ones are forgotten.
const maxFlows = 1024

// LeastRead is the least to be read of a stream at once, in bytes.
const LeastRead = 64

// flows are the receivers of one node.
type flows struct {
	all    map[etf.Pid]*receiver
	left   int      // number of receivers after the last time that some were forgotten
	look   etf.List // see lookAt
	spec   etf.Term
	warned bool // about a node that does not report the length of a queue
	paused paused
}

// paused sums up the time for which streams have waited for receivers. Two that wait for a second
// count as two seconds.
type paused struct {
	now   int // how many wait
	until time.Duration
	sum   time.Duration // sum up to until
}

func (p *paused) at(now time.Duration) time.Duration {
	p.sum += time.Duration(p.now) * (now - p.until)
	p.until = now
	return p.sum
}

// Paused is the total time for which streams have waited for receivers on the node.
func (c *Peer) Paused() time.Duration { return c.flows.paused.at(c.loop.Now()) }

// pauses is the method of post.
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

// Debt adds a debt to a receiver, for a stream of a worker. The tag belongs to the host.
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

// NoDebt is the debt of a receiver on a node that is not connected.
func NoDebt() *Debt { return &Debt{box: &mailbox{over: true}} }

// Share makes the receivers of one stream known to each other.
func Share(list []*Debt) {
	if len(list) > 1 {
		for _, d := range list {
			d.peers = list
		}
	}
}

// Leave ends a debt, because the stream is over or gets other receivers.
func (d *Debt) Leave() { d.box.leave(d) }

// Sent counts a message with n bytes of output. For a list, lines is the number of its lines.
func (d *Debt) Sent(n, lines int) {
	switch {
	case d.box.over:
	case d.passed:
		d.lost += n
	default:
		d.box.sent(d, n, lines)
	}
}

// Held reports whether the stream must wait for the receiver.
func (d *Debt) Held() bool { return d.held && !d.box.over }

// Passed reports whether the stream goes on without the receiver.
func (d *Debt) Passed() bool { return d.passed || d.box.over }

// Room is how many bytes may be read at once, if each of them may cost each in addition.
func (d *Debt) Room(each int) int { return d.room() / (each + 1) }

// Wait describes a wait of a stream for a receiver.
type Wait struct {
	Stream Stream
	By     etf.Pid       // the receiver
	Bytes  int           // the most bytes that wait for it
	Queue  int           // length of its queue in the last answer
	Since  time.Duration // for how long the stream has waited
	Lost   int           // bytes that were not sent to the receiver
}

// Wait returns the stream's wait. ok is false if it does not wait.
func (d *Debt) Wait() (Wait, bool) {
	if d.box.over || !d.held && !d.passed {
		return Wait{}, false
	}
	return Wait{d.key.no, d.box.pid, d.owed, d.box.before, d.box.post.clock() - d.since, d.lost}, true
}

// forget makes room. Unused receivers are forgotten when there are twice as many receivers as after
// the last time. So the cost of going through all is shared by as many new ones, however many are
// in use.
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

// end ends all receivers, because the node is gone. The host resumes their streams.
func (f *flows) end(now time.Duration) {
	f.paused.at(now)
	f.paused.now = 0
	for _, r := range f.all {
		r.over = true
		r.timer.Stop()
	}
	f.all = make(map[etf.Pid]*receiver)
}

// clock is the method of post.
func (c *Peer) clock() time.Duration { return c.loop.Now() }

// resume is the method of post.
func (c *Peer) resume(d *Debt) { c.host.Resume(d.tag) }

// regain reports to a receiver how many bytes it missed.
func (c *Peer) regain(d *Debt, lost int) {
	c.host.Regain(d.tag, d.box.pid, etf.Tuple{d.key.no.Term(), etf.Tuple{etf.Atom("lost"), int64(lost)}})
}

// later is the method of post.
func (c *Peer) later(b *mailbox, after time.Duration) {
	r := c.flows.all[b.pid]
	r.timer.Stop()
	r.timer = c.loop.After(after, b.timer)
}

// inquire is the method of post.
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

// unanswered is called for a useless answer, or a timeout. A receiver within uninterruptible code
// does not answer in time.
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
		c.log.Warn("the node does not report how much waits for a receiver: each gets little at a time",
			"node", string(c.node), "answer", fmt.Sprintf("%.100v", why), "bytes", FlowBytes, "each", FlowBlind)
	}
	b.refused()
}

// linger is the method of post.
func (c *Peer) linger(d *Debt) {
	c.host.Linger(d.tag, Wait{d.key.no, d.box.pid, d.owed, d.box.before, lingers, d.lost})
}

// stand is the method of post.
func (c *Peer) stand(d *Debt) {
	w := Wait{d.key.no, d.box.pid, d.owed, d.box.before, c.loop.Now() - d.since, d.lost}
	c.host.Stand(d.tag, w, d.stands)
}
