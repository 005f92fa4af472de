package childproc

import (
	"erluv/childproc/peer"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// Frame handles one frame of a node. It ignores a frame that it does not understand, so no frame of
// a node can end erluv.
func (c *client) Frame(frame []byte) {
	m, msg := c.m, &dist.Message{}
	if err := dist.Parse(frame, msg); err != nil {
		c.refuseFrame(err.Error(), "bytes", len(frame))
		return
	}
	if !c.isNode() {
		if !c.may(msg) {
			c.refuseFrame("this operator may only look", "op", int(msg.Op))
			return
		}
		c.audit(msg)
	}
	switch msg.Op {
	case dist.RegSend:
		m.toName(c, msg.From, msg.Name, msg.Payload)
	case dist.Send:
		m.toPid(c, msg.To, etf.Pid{}, msg.Payload)
	case dist.SendSender:
		m.toPid(c, msg.To, msg.From, msg.Payload)
	case dist.Link:
		m.linked(c, msg.From, msg.To)
	case dist.UnlinkID:
		m.unlinked(c, msg.From, msg.To)
		c.UnlinkAck(msg.ID, msg.To, msg.From)
	case dist.Unlink:
		m.unlinked(c, msg.From, msg.To)
	case dist.Exit, dist.PayloadExit:
		m.linkExited(c, msg.From, msg.To, msg.Reason)
	case dist.Exit2, dist.PayloadExit2:
		m.exitRequested(msg.To, msg.Reason)
	case dist.MonitorP:
		m.monitored(c, msg.From, msg.To, msg.Name, msg.Ref)
	case dist.DemonitorP:
		m.demonitored(c, msg.From, msg.To, msg.Name, msg.Ref)
	case dist.MonitorPExit, dist.PayloadMonitorPExit:
		if !msg.HasName {
			m.ownerDown(c, msg.From, msg.To, msg.Reason)
		}
	case dist.GroupLeader, dist.UnlinkIDAck:
		// A group leader means nothing here, and the child never unlinks.
	}
}

// toName takes a message to a registered name. It drops a message without an answer that it does
// not expect, as gen_server does.
func (m *manager) toName(c *client, sender etf.Pid, name etf.Atom, payload etf.Raw) {
	if p := m.byName[name]; p != nil {
		m.toProc(c, p, sender, payload)
		return
	}
	ask, req, ok := gen.ParseAsk(payload)
	if !ok || !gen.IsName(name) {
		return
	}
	from := c.caller(ask)
	switch {
	case len(from.Tag) > maxTag:
		from.reply(gen.TooLarge(len(from.Tag), maxTag))
	case from.Kind == dist.AskSystem && name == gen.NetKernel:
		from.reply(errNotSupported)
	case from.Kind == dist.AskSystem:
		c.system(from, m.itself(c), req)
	case from.Kind != dist.AskCall:
		from.refuse(req)
	case name == gen.Manager:
		m.request(from, req)
	case name == gen.Main && gen.IsRespawn(req):
		from.reply(gen.Error(etf.Atom("child_up")))
	case name == gen.NetKernel && gen.IsAuth(req):
		from.reply(etf.Atom("yes"))
	default:
		from.refuse(req)
	}
}

// toPid takes a message to a process of the child.
func (m *manager) toPid(c *client, to, sender etf.Pid, payload etf.Raw) {
	if p := m.find(to); p != nil {
		m.toProc(c, p, sender, payload)
		return
	}
	if to == m.self {
		m.toName(c, sender, gen.Manager, payload)
		return
	}
	c.Answered(to, payload)
}

// toProc takes a message to a worker.
func (m *manager) toProc(c *client, p proc, sender etf.Pid, payload etf.Raw) {
	ask, req, ok := gen.ParseAsk(payload)
	if !ok {
		m.portMessage(c, p, sender, payload)
		return
	}
	from := c.caller(ask)
	switch {
	case len(from.Tag) > maxTag:
		from.reply(gen.TooLarge(len(from.Tag), maxTag))
	case from.Kind == dist.AskCall:
		m.workerCall(p, from, req)
	case from.Kind == dist.AskSystem:
		c.system(from, m.worker(p), req)
	case from.Kind == dist.AskIO:
		m.ioRequest(c, p, from, req)
	default:
		from.refuse(req)
	}
}

// refuse answers an unknown request, in the form of its protocol.
func (c caller) refuse(req etf.Raw) {
	switch {
	case c.Kind == dist.AskIO:
		c.reply(gen.Error(etf.Atom("request")))
	case c.Kind == dist.AskFile:
		c.reply(gen.Error(etf.Atom("enotsup")))
	case c.Kind == dist.AskOther && gen.IsAtom(req, reqModules):
		c.reply(etf.List(nil)) // release_handler(3): no Erlang module runs here
	case len(req) > maxCall:
		c.reply(gen.TooLarge(len(req), maxCall))
	default:
		c.reply(gen.BadRequest(req))
	}
}

var reqModules = gen.Encode(etf.Atom("get_modules"))

// Oversized answers a request whose frame was larger than peer.MaxFrame. It has only the beginning
// of the frame, so it does not read the request itself.
func (c *client) Oversized(head []byte, size int) {
	c.refuseFrame("it is too large", "bytes", size)
	if _, ask, ok := gen.AskIn(head); ok {
		c.caller(ask).reply(gen.TooLarge(size, peer.MaxFrame))
	}
}
