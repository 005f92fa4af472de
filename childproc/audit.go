package childproc

import (
	"slices"
	"strings"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// looks are the requests and calls that change nothing.
var looks = []etf.Atom{"info", "workers", "classes", "figures", "is_auth", "get_state", "get_status", "log"}

// may reports whether an operator may send a message. An operator that needs few rights says so by
// its name in the handshake. So if its process is broken into later, the intruder has no more
// rights.
func (c *client) may(msg *dist.Message) bool {
	tends := gen.Tends(c.Node())
	if !tends && !gen.Looks(c.Node()) {
		return true
	}
	switch msg.Op {
	case dist.MonitorP, dist.DemonitorP:
		return true
	case dist.Send, dist.SendSender, dist.RegSend:
	default:
		return false
	}
	ask, req, ok := gen.ParseAsk(msg.Payload)
	if !ok || len(ask.Tag) > maxTag {
		return false
	}
	name, arity, _, ok := headOf(req)
	if ok && ask.Kind == dist.AskCall && (slices.Contains(looks, name) || tends && arity == 0 && (name == "stop" || name == "restart")) {
		return true
	}
	c.caller(ask).reply(gen.Error(etf.Atom("not_allowed")))
	return false
}

// starters are the requests that start a program. The log has the program.
var starters = []etf.Atom{reqExec, reqSpawn, reqRun}

// audit logs the acts of an operator. It logs neither looks nor what an operator does with its own
// programs. Of an act it logs only the name and atoms, and the program that is started: the log
// must not have other data.
func (c *client) audit(msg *dist.Message) {
	act, whom := "", etf.Pid{}
	switch msg.Op {
	case dist.Send, dist.SendSender:
		if c.Asks(msg.To) {
			return // an answer
		}
		act, whom = actOf(msg.Payload), msg.To
	case dist.RegSend:
		act = actOf(msg.Payload)
	case dist.Exit2, dist.PayloadExit2:
		act, whom = "exit", msg.To
	}
	if act == "" {
		return
	}
	log := c.m.log.With("act", act, "by", c.link.Operator)
	p := c.m.find(whom)
	if p == nil && whom != (etf.Pid{}) && whom != c.m.self || p != nil && c.Has(p.self().owner) {
		return // the process is gone, or the operator's own
	}
	if p != nil {
		log = log.With("worker", process(whom))
	} else if msg.Name != "" {
		log = log.With("process", string(msg.Name))
	}
	log.Info("an operator acts")
}

// actOf returns the act of a message, "" if it changes nothing.
func actOf(payload etf.Raw) string {
	ask, req, ok := gen.ParseAsk(payload)
	if !ok {
		return "message"
	}
	name, _, a, ok := headOf(req)
	switch {
	case slices.Contains(looks, name):
		return ""
	case slices.Contains(starters, name):
		return string(name) + " " + programOf(a.raw)
	case !ok:
		return "request"
	case ask.Kind == dist.AskIO || ask.Kind == dist.AskFile:
		return "io " + string(name)
	}
	words := []string{string(name)}
	for r := etf.NewReader(a.raw); len(words) <= maxActWords; {
		word, err := r.Atom()
		if err != nil {
			break
		}
		words = append(words, string(word))
	}
	if len(words) == 2 && words[1] == "get" { // a request for the state or labels
		return ""
	}
	return strings.Join(words, " ")
}

// programOf returns the program of a Cmd without its arguments. For a shell command it returns no
// words of the command, because any may be an argument.
func programOf(cmd etf.Raw) string {
	r := etf.NewReader(cmd)
	if n, err := r.List(); err != nil || n == 0 {
		return "by a shell or a class"
	}
	program, err := r.Term()
	if text, ok := etf.Text(program); ok && err == nil {
		return cutShort(text, maxAudited)
	}
	return "something that is no program"
}

// maxAudited is how many bytes of a program's path are logged.
const maxAudited = 256

// auditNode logs an exec that came from a node: an exec is always an operator's act. Other requests
// of commands look like those of the node's programs, which are too many for the log.
func (m *manager) auditNode(to caller, cmd etf.Raw) {
	if c := to.client(); c != nil && c.isNode() {
		m.log.Info("an operator acts", "act", "exec "+programOf(cmd), "by", string(to.node()))
	}
}

// maxActWords is how many atoms of a request are logged besides its name. {signal, group, sigterm}
// has two.
const maxActWords = 2
