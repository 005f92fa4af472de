package childproc

import (
	"erluv/childproc/history"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// linked handles a link from a process of a node to one of the child. If there is no such process,
// the answer is the exit signal noproc.
func (m *manager) linked(c *client, from, to etf.Pid) {
	if !c.Has(from) {
		c.refuseFrame(notTheirs, "op", "LINK", "from", process(from)) // no process could get the signal
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

// linkExited handles the end of a linked process. The worker ends too, unless the reason is normal,
// or the process is the owner of a detached worker.
func (m *manager) linkExited(c *client, from, to etf.Pid, reason etf.Raw) {
	if !m.unlinked(c, from, to) {
		return
	}
	p := m.find(to)
	if e := p.self(); !gen.IsAtom(reason, gen.Normal) && !(e.detached != nil && from == e.owner) {
		m.end(p, reason, history.ExitSignal)
	}
}

// exitRequested handles exit(Worker, Reason). A worker cannot survive kill. It ignores normal, as
// every process ignores that of another.
func (m *manager) exitRequested(to etf.Pid, reason etf.Raw) {
	p := m.find(to)
	switch {
	case p == nil:
	case gen.IsAtom(reason, gen.Kill):
		m.kill(p, history.ExitSignal)
	case !gen.IsAtom(reason, gen.Normal):
		m.end(p, reason, history.ExitSignal)
	}
}

// ownerDown handles the end of the owner, for any reason, normal too. It stops the worker, as a
// port is closed with its owner.
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
	m.end(p, reason, history.Owner)
}

// monitored handles a monitor by a process of a node on one of the child, by pid or by name.
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

// known returns a process of the child that can be observed, and its pid. For the names of the
// child itself, p is nil.
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

// setOwner gives a process another owner, even if the old owner's node is gone. The caller then
// calls disowned, which may send the new owner the end of the process.
func (m *manager) setOwner(p proc, next etf.Pid) {
	m.demonitorOwner(p)
	p.self().found()
	p.self().owner = next
	m.monitorOwner(p)
}
