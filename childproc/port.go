package childproc

import (
	"erluv/childproc/history"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// Code that drives a port can drive a process of the child, which accepts the messages of a port.

// portMessages are the messages in {Owner, Message}. A function returns false for badsig.
var portMessages = table[func(m *manager, p proc, owner etf.Pid, a args) bool]{
	{"command", 1, byWorker | unbuilt, (*manager).command, "{command, IoData}"},
	{"close", 0, byWorker | byWatcher, (*manager).closePort, "close"},
	{"connect", 1, byWorker | byWatcher | unbuilt, (*manager).handOn, "{connect, NewOwner}"},
}

// portMessage takes {Owner, Message}. A sender that is not the owner gets the exit signal badsig,
// which a port sends to its owner. Other messages are dropped.
func (m *manager) portMessage(c *client, p proc, sender etf.Pid, payload etf.Raw) {
	r := etf.NewReader(payload)
	if n, err := r.Tuple(); err != nil || n != 2 {
		return
	}
	owner, err := r.Pid()
	if err != nil {
		return
	}
	name, arity, a, ok := headOf(r.Rest())
	row := portMessages.find(name, arity)
	if !ok || row == nil || p.kind() == byRun {
		return
	}
	if arity > 0 {
		if a.raw, ok = a.only(); !ok {
			return
		}
	}
	e := p.self()
	if e.owner != (etf.Pid{}) && owner != e.owner {
		if sender == (etf.Pid{}) {
			sender = owner
		}
		c.Exit2(e.pid, sender, gen.Badsig)
		return
	}
	if !row.taken.has(p.kind()) || !row.do(m, p, owner, a) {
		c.Exit2(e.pid, owner, gen.Badsig)
	}
}

func (m *manager) closePort(p proc, _ etf.Pid, _ args) bool {
	p.self().ends().closed = true
	m.end(p, gen.Normal, history.Stop)
	return true
}

// command writes to stdin without an answer. If too many bytes wait, it refuses the command with a
// message, where a port would suspend the sender. If the program does not read, a port would end; a
// worker sends a message, and its program goes on.
func (m *manager) command(to proc, owner etf.Pid, a args) bool {
	p := to.(*program)
	data, err := ioData(a.raw)
	if err != nil {
		return false
	}
	data, ok := p.out.Packet.Frame(data)
	if !ok {
		return false
	}
	switch p.w.Command(data) {
	case unix.EAGAIN:
		m.tell(owner, p, etf.Tuple{etf.Atom("stdin"), etf.Atom("full")})
	case unix.EPIPE:
		m.tellDeaf(p, owner)
	}
	return true
}

// tellDeaf reports, once in each run, that commands are lost because the program has closed its
// stdin.
func (m *manager) tellDeaf(p *program, to etf.Pid) {
	if !p.deaf && p.asked == nil {
		p.deaf = true
		m.tell(to, p, etf.Tuple{etf.Atom("stdin"), etf.Atom("epipe")})
	}
}

// handOn gives the worker another owner, and reports that to the old one. As with this message to a
// port, the old owner stays linked, and the new one is not linked. The worker still ends with its
// new owner. If there is no owner, or its node is gone, any process can pass as the old one.
func (m *manager) handOn(p proc, old etf.Pid, a args) bool {
	r := etf.NewReader(a.raw)
	next, err := r.Pid()
	if err != nil || p.ownable(m, next) != nil {
		return false
	}
	m.setOwner(p, next)
	m.tell(old, p, etf.Atom("connected"))
	p.disowned(m)
	return true
}
