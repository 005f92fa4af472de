package ipc

// Confine is what a program is confined by, beside what all are. The zero value is
// nothing.
type Confine struct {
	// Files forbids every file but those beneath the paths, which are absolute.
	Files             bool
	Read, Write, Exec []string

	// Ports forbids networks, but for connections by TCP to these ports.
	Ports   bool
	Connect []uint16

	// Allow are system calls that it may make beside those of an ordinary program.
	Allow Allow

	// Scope is the spawner's own word to the role become: the program gets a domain for
	// its signals and abstract sockets.
	Scope bool

	// Deny is the same: the program is denied what an ordinary one never calls, but for
	// Allow. Without it the process that becomes the program has been denied that already.
	Deny bool
}

// None says whether nothing is confined.
func (c *Confine) None() bool { return !c.Files && !c.Ports && !c.Scope && c.Allow == 0 }

func (c *Confine) write(w *writer) {
	w.bool(c.Files)
	w.strs(c.Read)
	w.strs(c.Write)
	w.strs(c.Exec)
	w.bool(c.Ports)
	w.u16(uint16(len(c.Connect)))
	for _, p := range c.Connect {
		w.u16(p)
	}
	w.u16(uint16(c.Allow))
	w.bool(c.Scope)
	w.bool(c.Deny)
}

func readConfine(r *reader) Confine {
	c := Confine{Files: r.bool(), Read: r.strs(), Write: r.strs(), Exec: r.strs(), Ports: r.bool()}
	for n := int(r.u16()); n > 0 && r.err == nil; n-- {
		c.Connect = append(c.Connect, r.u16())
	}
	c.Allow = Allow(r.u16())
	c.Scope, c.Deny = r.bool(), r.bool()
	return c
}
