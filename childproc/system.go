package childproc

import (
	"strconv"
	"strings"

	"erluv/childproc/history"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// System messages (sys(3)) of OTP's tools, which know nothing of programs: a process of
// ours can be asked how it is, and ended. What would change how an Erlang process works
// (suspend, replace_state, change_code, debug) is answered with an error.

var errNotSupported = gen.Error(etf.Atom("not_supported"))

// systemRequests are those that are understood.
var systemRequests = table[func(c *client, to caller, of subject, a args) bool]{
	{"terminate", 1, always | unbuilt, (*client).terminate, "{terminate, Reason}"},
	{"get_state", 0, always, (*client).getState, "get_state"},
	{"get_status", 0, always, (*client).getStatus, "get_status"},
}

// subject is what a system message is about.
type subject struct {
	pid  etf.Pid
	info func() etf.Term // nil: it has ended
	end  func(reason etf.Raw)
}

// worker is a process of ours as a subject.
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

// itself is the manager as one, by any of its names. The end of main, which guards the node, is
// that of the node too.
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

// statusTerm is what sys:get_status/1 returns, with the last element as gen_server has
// it. The parent is the process itself, as that of a process without one.
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

// stateForm is the form in which sys:get_state/1 of the node expects an answer.
type stateForm uint8

const (
	stateUnknown stateForm = iota
	stateBare              // State
	stateWrapped           // {ok, State}
)

// stateCall is a get_state that waits for the form.
type stateCall struct {
	*waiting
	info func() etf.Term
}

// getState answers get_state. What sys takes has changed with OTP 26.1 (OTP-18633),
// and nothing in the request tells by which release it was made, so the node is asked
// with the first one. Once is enough for a
// client: its release changes only when it starts again, and then it is another.
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

// formed is a state as sys takes it; nil: the process has ended, which the monitor of the
// caller tells.
func (c *client) formed(state etf.Term) etf.Term {
	if state == nil || c.stateForm == stateBare {
		return state
	}
	return gen.OK(state)
}

// stateFormOf reads {ok, Version} of the application stdlib: 5.1 is that of OTP 26.1.
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
