package childproc

import (
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// linked: a process of the node links to one of ours. What is not there, or no
// longer, answers with the exit signal noproc.
func (m *manager) linked(from, to etf.Pid) {
	if m.reachable(from) != nil {
		m.refused++ // nobody can be told of it
		return
	}
	p := m.find(to)
	if p == nil {
		if to != m.self { // the manager lives as long as the node
			m.out.exit(to, from, gen.Noproc)
		}
		return
	}
	if m.watchers >= maxWatchers {
		m.out.exit(to, from, gen.SystemLimit)
		return
	}
	m.link(p, from)
}

func (m *manager) unlinked(from, to etf.Pid) {
	if p := m.find(to); p != nil {
		m.unlink(p, from)
	}
}

// linkExited: a linked process has ended. Reason normal means nothing, any other
// ends the worker with it, unless it was the owner of a detached worker.
func (m *manager) linkExited(from, to etf.Pid, reason etf.Raw) {
	p := m.find(to)
	if p == nil || !m.unlink(p, from) {
		return
	}
	if !gen.IsAtom(reason, gen.Normal) && !(p.detached && from == p.owner) {
		m.end(p, reason)
	}
}

// exitRequested: exit(Worker, Reason). The reason kill cannot be survived; normal
// is ignored, as by any process that is not the sender.
func (m *manager) exitRequested(to etf.Pid, reason etf.Raw) {
	p := m.find(to)
	switch {
	case p == nil:
	case gen.IsAtom(reason, gen.Kill):
		m.kill(p)
	case !gen.IsAtom(reason, gen.Normal):
		m.end(p, reason)
	}
}

// ownerDown: the owner has ended, for whatever reason, normal too: the worker is
// stopped, as a port is closed with its owner.
func (m *manager) ownerDown(owner, to etf.Pid, reason etf.Raw) {
	p := m.find(to)
	if p == nil || p.ownerRef == 0 || p.owner != owner {
		return
	}
	m.ledger.remove(m.ownerWatch(p))
	p.ownerRef = 0
	m.end(p, reason)
}

// monitored: a process of the node monitors one of ours, by pid or by name.
func (m *manager) monitored(from, to etf.Pid, name etf.Atom, ref etf.Raw) {
	w, ours := m.watched(to, name)
	switch {
	case m.reachable(from) != nil:
		m.refused++
	case w == nil:
		m.out.monitorExit(to, name, from, ref, gen.Noproc)
	case m.watchers >= maxWatchers || m.ledger.size >= ledgerMax:
		m.out.monitorExit(to, name, from, ref, gen.SystemLimit)
	default:
		m.monitor(w, ours, from, name, ref)
	}
}

func (m *manager) demonitored(from, to etf.Pid, name etf.Atom, ref etf.Raw) {
	if w, ours := m.watched(to, name); w != nil {
		m.demonitor(w, ours, from, ref)
	}
}

// watched are the watchers of a process of ours, a worker or what has the names,
// and its pid.
func (m *manager) watched(to etf.Pid, name etf.Atom) (*watchers, etf.Pid) {
	p := m.byName[name]
	if name == "" {
		p = m.find(to)
	}
	switch {
	case p != nil:
		return &p.watch, p.pid
	case gen.IsName(name), name == "" && to == m.self:
		return &m.names, m.self
	}
	return nil, etf.Pid{}
}

// portMessage takes the messages that a port takes: {Owner, {command, IoData}},
// {Owner, close} and {Owner, {connect, NewOwner}}. Who sends one and is not the owner gets
// the exit signal badsig (a port sends it to its owner); anything else is dropped.
func (m *manager) portMessage(p *proc, sender etf.Pid, payload etf.Raw) {
	r := etf.NewReader(payload)
	if n, err := r.Tuple(); err != nil || n != 2 {
		return
	}
	owner, err := r.Pid()
	if err != nil {
		return
	}
	op, arg, ok := portOp(r)
	if !ok || p.run != nil {
		return
	}
	if p.owner != (etf.Pid{}) && owner != p.owner {
		if sender == (etf.Pid{}) {
			sender = owner
		}
		m.out.exit2(p.pid, sender, gen.Badsig)
		return
	}
	switch op {
	case "command":
		m.command(p, owner, arg)
	case "close":
		p.closed = true
		m.end(p, gen.Normal)
	case "connect":
		m.connect(p, owner, arg)
	}
}

// portOp reads close, {command, IoData} or {connect, Pid}.
func portOp(r etf.Reader) (op etf.Atom, arg etf.Raw, ok bool) {
	if op, err := r.Atom(); err == nil {
		return op, nil, op == "close"
	}
	if n, err := r.Tuple(); err != nil || n != 2 {
		return "", nil, false
	}
	op, err := r.Atom()
	if err != nil || op != "command" && op != "connect" {
		return "", nil, false
	}
	arg, err = r.Raw()
	return op, arg, err == nil
}

// command writes to stdin without an answer. More than may wait is refused with
// a message; to a port that would be a suspended sender. A port whose program does not
// read ends; a worker tells it, and its program goes on.
func (m *manager) command(p *proc, owner etf.Pid, arg etf.Raw) {
	data, err := ioData(arg)
	if err != nil || p.fs != nil { // which takes nothing
		m.out.exit2(p.pid, owner, gen.Badsig)
		return
	}
	data, ok := p.packet.frame(data)
	if !ok {
		m.out.exit2(p.pid, owner, gen.Badsig)
		return
	}
	switch p.w.Command(data) {
	case unix.EAGAIN:
		m.tell(owner, p, etf.Tuple{etf.Atom("stdin"), etf.Atom("full")})
	case unix.EPIPE:
		m.tellDeaf(p, owner)
	}
}

// tellDeaf tells that commands are lost, since nothing reads them: once in each run.
func (m *manager) tellDeaf(p *proc, to etf.Pid) {
	if !p.deaf && p.asked == nil {
		p.deaf = true
		m.tell(to, p, etf.Tuple{etf.Atom("stdin"), etf.Atom("epipe")})
	}
}

// connect gives the worker another owner, and tells the old one. As with this message to
// a port the old owner stays linked, and the new one is not linked; the end of the new
// one is that of the worker all the same.
func (m *manager) connect(p *proc, old etf.Pid, arg etf.Raw) {
	r := etf.NewReader(arg)
	next, err := r.Pid()
	if err != nil || m.reachable(next) != nil {
		m.out.exit2(p.pid, old, gen.Badsig)
		return
	}
	m.setOwner(p, next)
	m.tell(old, p, etf.Atom("connected"))
}

func (m *manager) setOwner(p *proc, next etf.Pid) {
	m.unwatchOwner(p)
	p.owner, p.deaf = next, false
	for i := range p.streams {
		p.streams[i].leaveFlows()
	}
	m.watchOwner(p)
}
