package childproc

import (
	"erluv/childproc/peer"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// Frame turns one frame into what it asks of the manager. A frame that is not understood
// is passed over: whatever a node sends, erluv stays up.
func (c *client) Frame(frame []byte) {
	m, msg := c.m, &dist.Message{}
	if err := dist.Parse(frame, msg); err != nil {
		c.refuseFrame(err.Error(), "bytes", len(frame))
		return
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
		// A group leader means nothing here, and nothing is ever unlinked by us.
	}
}

// toName takes a message to a registered name. What expects no answer is dropped, as
// gen_server does with what it does not expect.
func (m *manager) toName(c *client, sender etf.Pid, name etf.Atom, payload etf.Raw) {
	if p := m.byName[name]; p != nil {
		m.toProc(c, p, sender, payload)
		return
	}
	ask, req, ok := gen.ParseAsk(payload)
	if !ok || !gen.IsName(name) {
		return
	}
	switch {
	case len(ask.Tag) > maxTag:
		c.Answer(ask, gen.TooLarge(len(ask.Tag), maxTag))
	case ask.Kind == dist.AskSystem && name == gen.NetKernel:
		c.Answer(ask, errNotSupported)
	case ask.Kind == dist.AskSystem:
		c.system(c.caller(ask), m.itself(c), req)
	case ask.Kind != dist.AskCall:
		c.refuse(ask, req)
	case name == gen.Manager:
		m.request(c.caller(ask), req)
	case name == gen.Main && gen.IsRespawn(req):
		c.Answer(ask, gen.Error(etf.Atom("child_up")))
	case name == gen.NetKernel && gen.IsAuth(req):
		c.Answer(ask, etf.Atom("yes"))
	default:
		c.refuse(ask, req)
	}
}

// toPid takes a message to a process of ours.
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
	if len(ask.Tag) > maxTag {
		c.Answer(ask, gen.TooLarge(len(ask.Tag), maxTag))
		return
	}
	switch ask.Kind {
	case dist.AskCall:
		m.workerCall(p, c.caller(ask), req)
	case dist.AskSystem:
		c.system(c.caller(ask), m.worker(p), req)
	case dist.AskIO:
		m.ioRequest(c, p, ask, req)
	default:
		c.refuse(ask, req)
	}
}

// refuse answers a request that means nothing here, in the words of its protocol.
func (c *client) refuse(ask dist.Ask, req etf.Raw) {
	switch {
	case ask.Kind == dist.AskIO:
		c.Answer(ask, gen.Error(etf.Atom("request")))
	case ask.Kind == dist.AskFile:
		c.Answer(ask, gen.Error(etf.Atom("enotsup")))
	case ask.Kind == dist.AskOther && gen.IsAtom(req, reqModules):
		c.Answer(ask, etf.List(nil)) // release_handler(3): no Erlang module runs here
	case len(req) > maxCall:
		c.Answer(ask, gen.TooLarge(len(req), maxCall))
	default:
		c.Answer(ask, gen.BadRequest(req))
	}
}

var reqModules = gen.Encode(etf.Atom("get_modules"))

// Oversized answers a request whose frame was larger than peer.MaxFrame. Only the
// beginning of the frame is there, so the request itself is not looked at.
func (c *client) Oversized(head []byte, size int) {
	c.refuseFrame("it is too large", "bytes", size)
	if _, ask, ok := gen.AskIn(head); ok {
		c.Answer(ask, gen.TooLarge(size, peer.MaxFrame))
	}
}
