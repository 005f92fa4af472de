package childproc

import (
	"erluv/childproc/order"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// class is a program that this host offers, with the number of workers that run it.
type class struct {
	*order.Class
	running int
}

// classNamed returns the class of a name, nil if there is none.
func (h *host) classNamed(name string) *class {
	for _, c := range h.classes {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Reasons why no program of a class is started.
var (
	classUnknown  = etf.Tuple{etf.Atom("class"), etf.Atom("unknown")}
	classFull     = etf.Tuple{etf.Atom("class"), etf.Atom("full")}
	classRequired = etf.Tuple{etf.Atom("class"), etf.Atom("required")}
)

// classOf returns the class that a Cmd names, with the caller's arguments. Without a class it
// returns the Cmd. A reason says why no program can be started.
func (m *manager) classOf(cmd etf.Term) (c *class, args etf.Term, reason etf.Term) {
	name, args, ok := order.ClassOf(cmd)
	if !ok {
		if m.host.given.OnlyClasses {
			return nil, nil, classRequired
		}
		return nil, cmd, nil
	}
	switch c = m.host.classNamed(name); {
	case c == nil:
		return nil, nil, classUnknown
	case c.Max > 0 && c.running >= int(c.Max):
		return nil, nil, classFull
	}
	return c, args, nil
}

// joins counts a program of a class; nil means none.
func (h *host) joins(p *program, c *class) {
	if c == nil {
		return
	}
	c.running++
	if h.members == nil {
		h.members = make(map[*program]*class)
	}
	h.members[p] = c
}

// leaves undoes joins.
func (h *host) leaves(p *program) {
	if c := h.members[p]; c != nil {
		c.running--
		delete(h.members, p)
	}
}

// classesRequest answers {classes}.
func (m *manager) classesRequest(to caller, _ args) bool {
	list := make(etf.List, 0, len(m.host.classes))
	for _, c := range m.host.classes {
		list = append(list, stat.Terms(stat.Class{
			Name: c.Name, Command: c.Command, Args: c.Class.Class.Args, User: m.start.Allowed[c.User].User,
			Max: int(c.Max), Running: c.running,
		}.Items()))
	}
	to.reply(list)
	return true
}

// closed is unready for an operator, who may start programs even if no node is served.
func (h *host) closed() etf.Term {
	state := h.state
	if state == hoLaunching || state == hoConnecting {
		state = wished[h.wish]
	}
	if state == hoReady {
		return nil
	}
	return gen.Error(etf.Tuple{etf.Atom("node_not_ready"), etf.Atom(state.String())})
}

// unready answers a request for a new worker if the host accepts none. It returns nil if it does.
func (h *host) unready() etf.Term {
	if h.state == hoReady {
		return nil
	}
	return gen.Error(etf.Tuple{etf.Atom("node_not_ready"), etf.Atom(h.state.String())})
}
