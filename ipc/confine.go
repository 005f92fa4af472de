package ipc

// Confine confines a program beyond the confinement of all programs. The zero value confines
// nothing.
type Confine struct {
	// Files forbids all files except those beneath the paths, which are absolute.
	Files             bool
	Read, Write, Exec []string

	// Ports forbids networks, except TCP connections to these ports.
	Ports   bool
	Connect []uint16

	// Allow are the system calls that it may make beyond those of an ordinary program.
	Allow Allow

	// Scope is from the spawner to the role become: the program gets a domain for its signals and
	// abstract sockets.
	Scope bool

	// Deny is from the spawner too: the program is denied the calls that an ordinary one never
	// makes, except those of Allow. Without Deny it has inherited that filter already.
	Deny bool
}

// None reports whether nothing is confined.
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
