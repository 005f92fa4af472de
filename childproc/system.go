package childproc

import (
	"strconv"
	"strings"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// System messages (sys(3)) of OTP's tools, which know nothing of programs: a process of
// ours can be asked how it is, and ended. What would change how an Erlang process works
// (suspend, replace_state, change_code, debug) is answered with an error.

var (
	errNotSupported = gen.Error(etf.Atom("not_supported"))

	reqGetState  = gen.Encode(etf.Atom("get_state"))
	reqGetStatus = gen.Encode(etf.Atom("get_status"))
)

// systemOfWorker answers a system message to a worker or a watcher of files.
func (m *manager) systemOfWorker(c *client, p proc, ask dist.Ask, req etf.Raw) {
	if reason, ok := terminateOf(req); ok {
		c.Answer(ask, etf.Atom("ok")) // before the end, which may come at once
		m.end(p, reason)
		return
	}
	pid := p.self().pid
	c.system(ask, req, pid, func() etf.Term {
		if m.find(pid) == nil {
			return nil
		}
		return p.info(m)
	})
}

// systemOf answers one to a registered name. The end of main, which guards the node, is
// that of the node too.
func (m *manager) systemOf(c *client, name etf.Atom, ask dist.Ask, req etf.Raw) {
	if name == gen.NetKernel {
		c.Answer(ask, errNotSupported)
		return
	}
	if reason, ok := terminateOf(req); ok {
		c.Answer(ask, etf.Atom("ok"))
		m.stop(reason, "the node asked for it")
		return
	}
	c.system(ask, req, m.self, func() etf.Term { return m.info(c.Node()) })
}

// system answers what is not terminate. The process may have ended when info is called
// later, and info is nil then.
func (c *client) system(ask dist.Ask, req etf.Raw, self etf.Pid, info func() etf.Term) {
	switch {
	case gen.IsAtom(req, reqGetState):
		c.answerState(ask, info)
	case gen.IsAtom(req, reqGetStatus):
		c.Answer(ask, statusTerm(self, info()))
	default:
		c.Answer(ask, errNotSupported)
	}
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

// terminateOf is the reason of {terminate, Reason}.
func terminateOf(req etf.Raw) (etf.Raw, bool) { return gen.Second("terminate", req) }

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

// answerState answers get_state. What sys takes has changed with OTP 26.1 (OTP-18633),
// and nothing in the request tells by which release it was made, so the node is asked
// with the first one. Once is enough for a
// client: its release changes only when it starts again, and then it is another.
func (c *client) answerState(ask dist.Ask, info func() etf.Term) {
	if c.stateForm != stateUnknown {
		if state := c.formed(info()); state != nil {
			c.Answer(ask, state)
		}
		return
	}
	w := c.m.keep(c.caller(ask), 0)
	if w == nil {
		return
	}
	if c.stateCalls = append(c.stateCalls, stateCall{w, info}); len(c.stateCalls) > 1 {
		return
	}
	c.Ask("application", "get_key", etf.List{etf.Atom("stdlib"), etf.Atom("vsn")}, func(result etf.Term) {
		c.stateForm = stateFormOf(result)
		calls := c.stateCalls
		c.stateCalls = nil
		for _, call := range calls {
			call.late(func() etf.Term { return c.formed(call.info()) })
		}
	})
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
