package childproc

import (
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// linked: a process of a node links to one of ours. What is not there, or no longer,
// answers with the exit signal noproc.
func (m *manager) linked(c *client, from, to etf.Pid) {
	if !c.Has(from) {
		c.refuseFrame(notTheirs, "op", "LINK", "from", process(from)) // nobody can be told of it
		return
	}
	p := m.find(to)
	if p == nil {
		if to != m.self { // the manager lives as long as the node
			c.Exit(to, from, gen.Noproc)
		}
		return
	}
	if m.observed() >= peer.MaxObservers {
		c.Exit(to, from, gen.SystemLimit)
		return
	}
	c.Link(c.observe(p), to, from)
}

func (m *manager) unlinked(c *client, from, to etf.Pid) bool {
	p := m.find(to)
	if p == nil {
		return false
	}
	o := c.observers(p)
	return o != nil && c.Unlink(o, to, from)
}

// linkExited: a linked process has ended. Reason normal means nothing, any other
// ends the worker with it, unless it was the owner of a detached worker.
func (m *manager) linkExited(c *client, from, to etf.Pid, reason etf.Raw) {
	if !m.unlinked(c, from, to) {
		return
	}
	p := m.find(to)
	if e := p.self(); !gen.IsAtom(reason, gen.Normal) && !(e.detached && from == e.owner) {
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
func (m *manager) ownerDown(c *client, owner, to etf.Pid, reason etf.Raw) {
	p := m.find(to)
	if p == nil {
		return
	}
	e := p.self()
	if e.ownerRef == 0 || e.owner != owner || !c.Has(owner) {
		return
	}
	c.OwnerGone(e.pid, owner, e.ownerRef)
	e.ownerRef = 0
	m.end(p, reason)
}

// monitored: a process of a node monitors one of ours, by pid or by name.
func (m *manager) monitored(c *client, from, to etf.Pid, name etf.Atom, ref etf.Raw) {
	p, ours, ok := m.known(to, name)
	switch {
	case !c.Has(from):
		c.refuseFrame(notTheirs, "op", "MONITOR_P", "from", process(from))
	case !ok:
		c.MonitorExit(to, name, from, ref, gen.Noproc)
	case m.observed() >= peer.MaxObservers || c.LedgerFull():
		c.MonitorExit(to, name, from, ref, gen.SystemLimit)
	case p == nil:
		c.Monitor(&c.names, ours, from, name, ref)
	default:
		c.Monitor(c.observe(p), ours, from, name, ref)
	}
}

func (m *manager) demonitored(c *client, from, to etf.Pid, name etf.Atom, ref etf.Raw) {
	p, ours, ok := m.known(to, name)
	if !ok {
		return
	}
	o := &c.names
	if p != nil {
		o = c.observers(p)
	}
	if o != nil {
		c.Demonitor(o, ours, from, ref)
	}
}

// known finds a process of ours that can be observed, and its pid; what has the names is
// nil.
func (m *manager) known(to etf.Pid, name etf.Atom) (p proc, ours etf.Pid, ok bool) {
	p = m.byName[name]
	if name == "" {
		p = m.find(to)
	}
	if p != nil {
		return p, p.self().pid, true
	}
	return nil, m.self, gen.IsName(name) || name == "" && to == m.self
}

// portMessage takes the messages that a port takes: {Owner, {command, IoData}},
// {Owner, close} and {Owner, {connect, NewOwner}}. Who sends one and is not the owner gets
// the exit signal badsig (a port sends it to its owner); anything else is dropped.
func (m *manager) portMessage(c *client, p proc, sender etf.Pid, payload etf.Raw) {
	r := etf.NewReader(payload)
	if n, err := r.Tuple(); err != nil || n != 2 {
		return
	}
	owner, err := r.Pid()
	if err != nil {
		return
	}
	op, arg, ok := portOp(r)
	if !ok {
		return
	}
	if r, isProgram := p.(*program); isProgram && r.run != nil {
		return // nobody has it yet
	}
	e := p.self()
	if e.owner != (etf.Pid{}) && owner != e.owner {
		if sender == (etf.Pid{}) {
			sender = owner
		}
		c.Exit2(e.pid, sender, gen.Badsig)
		return
	}
	switch op {
	case "command":
		p.command(m, c, owner, arg)
	case "close":
		e.ends().closed = true
		m.end(p, gen.Normal)
	case "connect":
		m.handOn(c, p, owner, arg)
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
func (p *program) command(m *manager, c *client, owner etf.Pid, arg etf.Raw) {
	data, err := ioData(arg)
	if err != nil {
		c.Exit2(p.pid, owner, gen.Badsig)
		return
	}
	data, ok := p.packet.frame(data)
	if !ok {
		c.Exit2(p.pid, owner, gen.Badsig)
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
func (m *manager) tellDeaf(p *program, to etf.Pid) {
	if !p.deaf && p.asked == nil {
		p.deaf = true
		m.tell(to, p, etf.Tuple{etf.Atom("stdin"), etf.Atom("epipe")})
	}
}

// handOn gives the worker another owner, and tells the old one. As with this message to
// a port the old owner stays linked, and the new one is not linked; the end of the new
// one is that of the worker all the same.
func (m *manager) handOn(c *client, p proc, old etf.Pid, arg etf.Raw) {
	r := etf.NewReader(arg)
	next, err := r.Pid()
	if err != nil || p.ownable(m, next) != nil {
		c.Exit2(p.self().pid, old, gen.Badsig)
		return
	}
	m.setOwner(p, next)
	m.tell(old, p, etf.Atom("connected"))
}

func (m *manager) setOwner(p proc, next etf.Pid) {
	m.demonitorOwner(p)
	p.self().owner = next
	p.disowned()
	m.monitorOwner(p)
}
