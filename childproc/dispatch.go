package childproc

import (
	"erluv/dist"
	"erluv/etf"
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

// Names that are registered on the node.
const (
	nameManager   etf.Atom = "erluv"
	nameMain      etf.Atom = "erluv_main"
	nameNetKernel etf.Atom = "net_kernel"
)

// isName says whether a process of ours is registered under the name.
func isName(name etf.Atom) bool {
	return name == nameManager || name == nameMain || name == nameNetKernel
}

// toName takes a message to a registered name. What is no call is dropped, as
// gen_server does with what it does not expect.
func (m *manager) toName(sender etf.Pid, name etf.Atom, payload etf.Raw) {
	if p := m.byName[name]; p != nil {
		m.toProc(p, sender, payload)
		return
	}
	to, req, ok := parseCall(payload)
	if !ok {
		return
	}
	switch name {
	case nameManager:
		if len(payload) > maxRequest {
			m.out.reply(to, tooLarge(len(payload), maxRequest))
			return
		}
		m.request(to, req)
	case nameNetKernel:
		// net_adm:ping/1 asks {is_auth, Node}.
		r := etf.NewReader(req)
		if n, err := r.Tuple(); err == nil && n == 2 {
			if a, err := r.Atom(); err == nil && a == "is_auth" {
				m.out.reply(to, etf.Atom("yes"))
				return
			}
		}
		m.out.reply(to, badRequest(req))
	case nameMain:
		r := etf.NewReader(req)
		if a, err := r.Atom(); err == nil && a == "respawn" {
			m.out.reply(to, errorTerm(etf.Atom("child_up")))
			return
		}
		m.out.reply(to, badRequest(req))
	}
}

// toPid takes a message to a process of ours.
func (m *manager) toPid(to, sender etf.Pid, payload etf.Raw) {
	if p := m.find(to); p != nil {
		m.toProc(p, sender, payload)
		return
	}
	m.answered(to, payload)
}

// toProc takes a message to a worker.
func (m *manager) toProc(p *proc, sender etf.Pid, payload etf.Raw) {
	if call, req, ok := parseCall(payload); ok {
		m.workerCall(p, call, req)
		return
	}
	if m.ioRequest(p, payload) {
		return
	}
	m.portMessage(p, sender, payload)
}

// parseCall takes {'$gen_call', {Pid, Tag}, Request} apart.
func parseCall(payload etf.Raw) (to from, req etf.Raw, ok bool) {
	r := etf.NewReader(payload)
	if n, err := r.Tuple(); err != nil || n != 3 {
		return from{}, nil, false
	}
	if a, err := r.Atom(); err != nil || a != "$gen_call" {
		return from{}, nil, false
	}
	if n, err := r.Tuple(); err != nil || n != 2 {
		return from{}, nil, false
	}
	var err error
	if to.pid, err = r.Pid(); err != nil {
		return from{}, nil, false
	}
	if to.tag, err = r.Raw(); err != nil {
		return from{}, nil, false
	}
	if req, err = r.Raw(); err != nil {
		return from{}, nil, false
	}
	return to, req, true
}

// oversized answers a call whose frame was larger than maxFrame. Only the
// beginning of the frame is there, so the request itself is not looked at.
func (m *manager) oversized(head []byte, size int) {
	m.refused++
	// 112, control message, 131, payload: the control message is complete in
	// the head, and so are pid and tag of the payload.
	if len(head) < 2 || head[0] != 112 || head[1] != 131 {
		return
	}
	r := etf.NewReader(head[2:])
	if _, err := r.Raw(); err != nil {
		return
	}
	rest := r.Rest()
	if len(rest) == 0 || rest[0] != 131 {
		return
	}
	r = etf.NewReader(rest[1:])
	if n, err := r.Tuple(); err != nil || n != 3 {
		return
	}
	if a, err := r.Atom(); err != nil || a != "$gen_call" {
		return
	}
	if n, err := r.Tuple(); err != nil || n != 2 {
		return
	}
	pid, err := r.Pid()
	if err != nil {
		return
	}
	tag, err := r.Raw()
	if err != nil {
		return
	}
	m.out.reply(from{pid, tag}, tooLarge(size, maxFrame))
}

func tooLarge(size, limit int) etf.Term {
	return errorTerm(etf.Tuple{etf.Atom("too_large"), int64(size), int64(limit)})
}
