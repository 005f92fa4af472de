package childproc

import (
	"time"

	"erluv/loop"
	"erluv/wire/etf"
)

// rexTimeout bounds the wait for an answer of the node's rex.
const rexTimeout = 10 * time.Second

// maxQuestions is how many may be under way to rex; each is a pid of ours.
const maxQuestions = 10_000

// question is a call of a function of the node that has not been answered.
type question struct {
	done  func(result etf.Term)
	timer *loop.Timer
}

// ask has the node call a function, through rex, and done called with the result:
// {badrpc, Reason} when there is none, also when the node does not answer. The
// answer names nothing but whom it is for, so each question has a pid of its own. The
// result never comes within the call.
func (m *manager) ask(module, function etf.Atom, args etf.List, done func(result etf.Term)) {
	if len(m.questions) >= maxQuestions {
		m.after(0, func() { done(etf.Tuple{etf.Atom("badrpc"), etf.Atom("system_limit")}) })
		return
	}
	pid := m.newPid()
	m.questions[key(pid)] = &question{done: done}
	call := etf.Tuple{etf.Atom("call"), module, function, args, etf.Atom("user")}
	if !m.unasked(pid, wordOnce, func() { m.out.regSend(pid, "rex", etf.Tuple{pid, call}) }) {
		m.posed(pid)
	}
}

// posed: a question is on its way.
func (m *manager) posed(pid etf.Pid) {
	q := m.questions[key(pid)]
	if q == nil {
		return
	}
	q.timer = m.after(rexTimeout, func() {
		delete(m.questions, key(pid))
		q.done(etf.Tuple{etf.Atom("badrpc"), etf.Atom("timeout")})
	})
}

// answered takes {rex, Result}.
func (m *manager) answered(to etf.Pid, payload etf.Raw) {
	q, ok := m.questions[key(to)]
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
	result, err := decode(r.Rest())
	if err != nil {
		result = etf.Tuple{etf.Atom("badrpc"), etf.Atom("too_large")}
	}
	q.timer.Stop()
	delete(m.questions, key(to))
	q.done(result)
}

// askTicktime asks the node for its net_ticktime: a hidden node may not know it,
// and is dropped if it is silent for so long.
func (m *manager) askTicktime() {
	m.ask("net_kernel", "get_net_ticktime", nil, func(result etf.Term) {
		if tu, ok := result.(etf.Tuple); ok && len(tu) == 2 && tu[0] == etf.Atom("ongoing_change_to") {
			result = tu[1]
		}
		if s, ok := result.(int64); ok && s > 0 && s < 1<<31 {
			m.ticktime(time.Duration(s) * time.Second)
		}
	})
}

// nodeBuffer is what the node is asked to read from the connection at once, in bytes
// (inet(3), buffer). With the 1,460 of the inet driver it takes a system call for
// every few small messages.
const nodeBuffer = 256 << 10

// askBuffer asks for it. A node that refuses is served all the same.
func (m *manager) askBuffer() {
	opts := etf.List{etf.Tuple{etf.Atom("buffer"), int64(nodeBuffer)}}
	m.ask("net_kernel", "setopts", etf.List{etf.Atom(m.start.Node), opts}, func(etf.Term) {})
}
