package childproc

import (
	"strconv"
	"strings"

	"erluv/childproc/history"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// System messages (sys(3)) come from OTP's tools, which know nothing of programs. They can ask a
// process of the child for its state, and end it. Messages that would change how an Erlang process
// works (suspend, replace_state, change_code, debug) are answered with an error.

var errNotSupported = gen.Error(etf.Atom("not_supported"))

// systemRequests are the system messages that the child knows.
var systemRequests = table[func(c *client, to caller, of subject, a args) bool]{
	{"terminate", 1, always | unbuilt, (*client).terminate, "{terminate, Reason}"},
	{"get_state", 0, always, (*client).getState, "get_state"},
	{"get_status", 0, always, (*client).getStatus, "get_status"},
}

// subject is the process that a system message is for.
type subject struct {
	pid  etf.Pid
	info func() etf.Term // returns nil if the process has ended
	end  func(reason etf.Raw)
}

// worker is a process of the child as a subject.
func (m *manager) worker(p proc) subject {
	pid := p.self().pid
	info := func() etf.Term {
		if m.find(pid) == nil {
			return nil
		}
		return p.info(m)
	}
	return subject{pid, info, func(reason etf.Raw) { m.end(p, reason, history.Stop) }}
}

// itself is the manager as a subject, under any of its names. Main guards the node, so an end of
// main is also the end of the node.
func (m *manager) itself(c *client) subject {
	info := func() etf.Term { return m.info(c.Node()) }
	return subject{m.self, info, func(reason etf.Raw) { m.stop(reason, "the node asked for it") }}
}

// system answers a system message.
func (c *client) system(to caller, of subject, req etf.Raw) {
	name, arity, a, ok := headOf(req)
	row := systemRequests.find(name, arity)
	if !ok || row == nil || !row.do(c, to, of, a) {
		to.reply(errNotSupported)
	}
}

func (c *client) terminate(to caller, of subject, a args) bool {
	reason, ok := a.only()
	if ok {
		to.reply(etf.Atom("ok")) // before the end, which may come at once
		of.end(reason)
	}
	return ok
}

func (c *client) getStatus(to caller, of subject, _ args) bool {
	to.reply(statusTerm(of.pid, of.info()))
	return true
}

// statusTerm is the result of sys:get_status/1, with the last element as gen_server's. The parent
// is the process itself, as for a process without one.
func statusTerm(self etf.Pid, info etf.Term) etf.Term {
	running := etf.Atom("running")
	data := func(key string, v etf.Term) etf.Term {
		return etf.Tuple{etf.Atom("data"), etf.List{etf.Tuple{etf.String(key), v}}}
	}
	misc := etf.List{
		etf.Tuple{etf.Atom("header"), etf.String("Status for an erluv process")},
		data("Status", running),
		data("State", info),
	}
	return etf.Tuple{
		etf.Atom("status"), self,
		etf.Tuple{etf.Atom("module"), etf.Atom("erluv")},
		etf.List{etf.List(nil), running, self, etf.List(nil), misc},
	}
}

// stateForm is the form that the node's sys:get_state/1 expects of an answer.
type stateForm uint8

const (
	stateUnknown stateForm = iota
	stateBare              // State
	stateWrapped           // {ok, State}
)

// stateCall is a get_state that waits until the form is known.
type stateCall struct {
	*waiting
	info func() etf.Term
}

// getState answers get_state. OTP 26.1 changed the form that sys expects (OTP-18633). The request
// does not show the release of its sender, so the child asks the node at the first one. Once is
// enough for a client: a node changes its release only by a restart, and then it is another client.
func (c *client) getState(to caller, of subject, _ args) bool {
	if c.stateForm != stateUnknown {
		if state := c.formed(of.info()); state != nil {
			to.reply(state)
		}
		return true
	}
	w := c.m.keep(to, 0)
	if w == nil {
		return true
	}
	if c.stateCalls = append(c.stateCalls, stateCall{w, of.info}); len(c.stateCalls) > 1 {
		return true
	}
	c.Ask("application", "get_key", etf.List{etf.Atom("stdlib"), etf.Atom("vsn")}, func(result etf.Term) {
		c.stateForm = stateFormOf(result)
		calls := c.stateCalls
		c.stateCalls = nil
		for _, call := range calls {
			call.late(func() etf.Term { return c.formed(call.info()) })
		}
	})
	return true
}

// formed is a state in the form that sys expects. It is nil if the process has ended, which the
// caller's monitor reports.
func (c *client) formed(state etf.Term) etf.Term {
	if state == nil || c.stateForm == stateBare {
		return state
	}
	return gen.OK(state)
}

// stateFormOf reads {ok, Version} of the application stdlib. OTP 26.1 has version 5.1.
func stateFormOf(version etf.Term) stateForm {
	t, ok := version.(etf.Tuple)
	if !ok || len(t) != 2 || t[0] != etf.Atom("ok") {
		return stateWrapped
	}
	text, _ := etf.Text(t[1])
	first, rest, _ := strings.Cut(text, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	minor, _ := strconv.Atoi(second)
	if err == nil && (major < 5 || major == 5 && minor < 1) {
		return stateBare
	}
	return stateWrapped
}
