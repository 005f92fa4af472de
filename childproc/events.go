package childproc

import (
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// Events of flow control are for controllers that ask for them: a library that has telemetry. Other
// controllers get none, so their mailboxes have no needless messages.

const (
	// eventText bounds the command in an event, in bytes.
	eventText = 200

	// eventsWaiting is how many bytes may wait for a node when an event is still sent. All streams
	// of 10,000 programs may stop and go on at one moment.
	eventsWaiting = 1 << 20
)

// eventsRequest answers {events, Kinds}: further events for the controller of the caller's node.
func (m *manager) eventsRequest(to caller, a args) bool {
	kinds, ok := a.list[0].(etf.List)
	if !ok || len(kinds) > 1 || len(kinds) == 1 && kinds[0] != etf.Atom("flow") {
		return false
	}
	c := to.client()
	if c == nil || !c.isNode() {
		to.reply(gen.Error(etf.Atom("not_allowed"))) // it has no controller
		return true
	}
	c.flow = len(kinds) == 1
	to.reply(etf.Atom("ok"))
	return true
}

// Stand is the method of peer.Host.
func (c *client) Stand(tag any, w peer.Wait, waits bool) {
	if !c.flow || c.Waiting() > eventsWaiting {
		return
	}
	p := tag.(*program)
	cmd := etf.List{}
	for _, a := range arguments(p.cmd, eventText) {
		cmd = append(cmd, text(a))
	}
	told := etf.Map{
		{Key: etf.Atom("worker"), Value: p.pid},
		{Key: etf.Atom("cmd"), Value: cmd},
		{Key: etf.Atom("stream"), Value: w.Stream.Term()},
		{Key: etf.Atom("receiver"), Value: w.By},
		{Key: etf.Atom("paused"), Value: w.Since.Milliseconds()},
	}
	if name := p.registered(); name != "" {
		told = append(told, etf.Pair{Key: etf.Atom("name"), Value: name})
	}
	what := etf.Atom("resumed")
	if waits {
		what = "paused"
	}
	c.m.eventTo(c, etf.Tuple{etf.Atom("flow"), what, told})
}
