package peer

import (
	"time"

	"erluv/loop"
	"erluv/wire/etf"
)

// rexTimeout is the longest wait for an answer of the node's rex.
const rexTimeout = 10 * time.Second

// maxQuestions is the maximum number of questions under way to rex. Each has a pid of the child.
const maxQuestions = 10_000

// question is an unanswered call of a function of the node.
type question struct {
	done  func(result etf.Term)
	timer *loop.Timer
}

// Ask has the node call a function through rex, and calls done with the result. If there is no
// result, or the node does not answer, done gets {badrpc, Reason}. An answer names only the pid it
// is for, so each question has its own pid. Ask never calls done before it returns.
func (c *Peer) Ask(module, function etf.Atom, args etf.List, done func(result etf.Term)) {
	if len(c.questions) >= maxQuestions {
		c.loop.After(0, func() { done(etf.Tuple{etf.Atom("badrpc"), etf.Atom("system_limit")}) })
		return
	}
	pid := c.host.NewPid()
	c.questions[key(pid)] = &question{done: done}
	call := etf.Tuple{etf.Atom("call"), module, function, args, etf.Atom("user")}
	if !c.Unasked(pid, Once, func() { c.RegSend(pid, "rex", etf.Tuple{pid, call}) }) {
		c.posed(pid)
	}
}

// posed starts the timeout of a question, which is on its way.
func (c *Peer) posed(pid etf.Pid) {
	q := c.questions[key(pid)]
	if q == nil {
		return
	}
	q.timer = c.loop.After(rexTimeout, func() {
		delete(c.questions, key(pid))
		q.done(etf.Tuple{etf.Atom("badrpc"), etf.Atom("timeout")})
	})
}

// Answered takes {rex, Result}.
func (c *Peer) Answered(to etf.Pid, payload etf.Raw) {
	q, ok := c.questions[key(to)]
	if !ok {
		return
	}
	r := etf.NewReader(payload)
	if n, err := r.Tuple(); err != nil || n != 2 {
		return
	}
	if a, err := r.Atom(); err != nil || a != "rex" {
		return
	}
	result, err := Decode(r.Rest())
	if err != nil {
		result = etf.Tuple{etf.Atom("badrpc"), etf.Atom("too_large")}
	}
	q.timer.Stop()
	delete(c.questions, key(to))
	q.done(result)
}

// Learn asks the node for its ticktime, and for a larger buffer.
func (c *Peer) Learn() {
	c.askTicktime()
	c.askBuffer()
}

// askTicktime asks the node for its net_ticktime. A hidden node may not know it, and the node drops
// a hidden node that is silent for so long.
func (c *Peer) askTicktime() {
	c.Ask("net_kernel", "get_net_ticktime", nil, func(result etf.Term) {
		if tu, ok := result.(etf.Tuple); ok && len(tu) == 2 && tu[0] == etf.Atom("ongoing_change_to") {
			result = tu[1]
		}
		if s, ok := result.(int64); ok && s > 0 && s < 1<<31 {
			c.setTicktime(time.Duration(s) * time.Second)
		}
	})
}

// nodeBuffer is how many bytes the node is asked to read from the connection at once (inet(3),
// buffer). With the inet driver's 1,460 it makes a system call for every few small messages.
const nodeBuffer = 256 << 10

// askBuffer asks for that buffer. A node that refuses is served all the same.
func (c *Peer) askBuffer() {
	opts := etf.List{etf.Tuple{etf.Atom("buffer"), int64(nodeBuffer)}}
	c.Ask("net_kernel", "setopts", etf.List{c.Self.Node, opts}, func(etf.Term) {})
}

// Asks reports whether a question with this pid waits for its answer.
func (c *Peer) Asks(pid etf.Pid) bool {
	_, ok := c.questions[key(pid)]
	return ok
}

func key(p etf.Pid) uint64 { return uint64(p.Serial)<<32 | uint64(p.ID) }
