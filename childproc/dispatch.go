package childproc

import (
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// dispatch turns one frame into what it asks of the manager. A frame that is not
// understood is passed over: whatever a node sends, erluv stays up.
func (m *manager) dispatch(frame []byte) {
	msg := &m.msg
	if err := dist.Parse(frame, msg); err != nil {
		m.refused++
		return
	}
	switch msg.Op {
	case dist.RegSend:
		m.toName(msg.From, msg.Name, msg.Payload)
	case dist.Send:
		m.toPid(msg.To, etf.Pid{}, msg.Payload)
	case dist.SendSender:
		m.toPid(msg.To, msg.From, msg.Payload)
	case dist.Link:
		m.linked(msg.From, msg.To)
	case dist.UnlinkID:
		m.unlinked(msg.From, msg.To)
		m.out.unlinkAck(msg.ID, msg.To, msg.From)
	case dist.Unlink:
		m.unlinked(msg.From, msg.To)
	case dist.Exit, dist.PayloadExit:
		m.linkExited(msg.From, msg.To, msg.Reason)
	case dist.Exit2, dist.PayloadExit2:
		m.exitRequested(msg.To, msg.Reason)
	case dist.MonitorP:
		m.monitored(msg.From, msg.To, msg.Name, msg.Ref)
	case dist.DemonitorP:
		m.demonitored(msg.From, msg.To, msg.Name, msg.Ref)
	case dist.MonitorPExit, dist.PayloadMonitorPExit:
		if !msg.HasName {
			m.ownerDown(msg.From, msg.To, msg.Reason)
		}
	case dist.GroupLeader, dist.UnlinkIDAck:
		// A group leader means nothing here, and nothing is ever unlinked by us.
	}
}

// toName takes a message to a registered name. What expects no answer is dropped, as
// gen_server does with what it does not expect.
func (m *manager) toName(sender etf.Pid, name etf.Atom, payload etf.Raw) {
	if p := m.byName[name]; p != nil {
		m.toProc(p, sender, payload)
		return
	}
	ask, req, ok := gen.ParseAsk(payload)
	if !ok || !gen.IsName(name) {
		return
	}
	switch {
	case len(ask.Tag) > maxTag:
		m.answer(ask, gen.TooLarge(len(ask.Tag), maxTag))
	case ask.Kind == dist.AskSystem:
		m.systemOf(name, ask, req)
	case ask.Kind != dist.AskCall:
		m.refuse(ask, req)
	case name == gen.Manager:
		m.request(callOf(ask), req)
	case name == gen.Main && gen.IsRespawn(req):
		m.out.reply(callOf(ask), gen.Error(etf.Atom("child_up")))
	case name == gen.NetKernel && gen.IsAuth(req):
		m.out.reply(callOf(ask), etf.Atom("yes"))
	default:
		m.refuse(ask, req)
	}
}

// toPid takes a message to a process of ours.
func (m *manager) toPid(to, sender etf.Pid, payload etf.Raw) {
	if p := m.find(to); p != nil {
		m.toProc(p, sender, payload)
		return
	}
	if to == m.self {
		m.toName(sender, gen.Manager, payload)
		return
	}
	m.answered(to, payload)
}

// toProc takes a message to a worker.
func (m *manager) toProc(p *proc, sender etf.Pid, payload etf.Raw) {
	ask, req, ok := gen.ParseAsk(payload)
	if !ok {
		m.portMessage(p, sender, payload)
		return
	}
	if len(ask.Tag) > maxTag {
		m.answer(ask, gen.TooLarge(len(ask.Tag), maxTag))
		return
	}
	switch ask.Kind {
	case dist.AskCall:
		m.workerCall(p, callOf(ask), req)
	case dist.AskSystem:
		m.systemOfWorker(p, ask, req)
	case dist.AskIO:
		m.ioRequest(p, ask, req)
	default:
		m.refuse(ask, req)
	}
}

func callOf(ask dist.Ask) from { return from{ask.From, ask.Tag} }

// answer answers an Ask, in the form of its protocol.
func (m *manager) answer(ask dist.Ask, answer etf.Term) {
	o := m.out
	start := len(o.buf)
	o.buf = ask.BeginAnswer(o.buf, o.self)
	o.term(answer)
	o.buf = dist.End(o.buf, start)
	o.end(start)
}

// refuse answers a request that means nothing here, in the words of its protocol.
func (m *manager) refuse(ask dist.Ask, req etf.Raw) {
	switch {
	case ask.Kind == dist.AskIO:
		m.answer(ask, gen.Error(etf.Atom("request")))
	case ask.Kind == dist.AskFile:
		m.answer(ask, gen.Error(etf.Atom("enotsup")))
	case ask.Kind == dist.AskOther && gen.IsAtom(req, reqModules):
		m.answer(ask, etf.List(nil)) // release_handler(3): no Erlang module runs here
	case len(req) > maxCall:
		m.answer(ask, gen.TooLarge(len(req), maxCall))
	default:
		m.answer(ask, gen.BadRequest(req))
	}
}

var reqModules = gen.Encode(etf.Atom("get_modules"))

// oversized answers a request whose frame was larger than maxFrame. Only the
// beginning of the frame is there, so the request itself is not looked at.
func (m *manager) oversized(head []byte, size int) {
	m.refused++
	if _, ask, ok := gen.AskIn(head); ok {
		m.answer(ask, gen.TooLarge(size, maxFrame))
	}
}
