package childproc

import (
	"erluv/childproc/history"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// Code that drives a port drives a process of ours: it takes the messages that a port takes.

// portMessages are those behind {Owner, Message}. What is false is badsig.
var portMessages = table[func(m *manager, p proc, owner etf.Pid, a args) bool]{
	{"command", 1, byWorker | unbuilt, (*manager).command, "{command, IoData}"},
	{"close", 0, byWorker | byWatcher, (*manager).closePort, "close"},
	{"connect", 1, byWorker | byWatcher | unbuilt, (*manager).handOn, "{connect, NewOwner}"},
}

// portMessage takes {Owner, Message}. Who sends one and is not the owner gets
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

// command writes to stdin without an answer. More than may wait is refused with
// a message; to a port that would be a suspended sender. A port whose program does not
// read ends; a worker tells it, and its program goes on.
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

// tellDeaf tells that commands are lost, since nothing reads them: once in each run.
func (m *manager) tellDeaf(p *program, to etf.Pid) {
	if !p.deaf && p.asked == nil {
		p.deaf = true
		m.tell(to, p, etf.Tuple{etf.Atom("stdin"), etf.Atom("epipe")})
	}
}

// handOn gives the worker another owner, and tells the old one. As with this message to
// a port the old owner stays linked, and the new one is not linked; the end of the new
// one is that of the worker all the same. Without an owner, or with one whose node is gone,
// anybody can be the old one.
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
