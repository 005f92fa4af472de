package mainproc

import "erluv/ipc"

// dump logs main's state: the crew, and the first of the links.
func (g *guard) dump() {
	t := &g.team
	args := []any{"crew", t.State.String(), "links", len(g.lines), "goroutines", t.running, "handing", t.handing}
	if t.roles != nil {
		args = append(args, t.roles.Standing()...)
	}
	if t.Err != nil {
		args = append(args, "error", t.Err)
	}
	ipc.Always(g.log, "how main stands", args...)
	for _, l := range g.lines[:min(len(g.lines), ipc.DumpMost)] {
		args := []any{"state", l.State.String(), "goroutines", l.running}
		if l.link != nil {
			args = append(args, "node", l.link.Local.Name, "target", l.link.Peer.Name)
		}
		if l.Err != nil {
			args = append(args, "error", l.Err)
		}
		ipc.Always(g.log, "how main stands: a link", args...)
	}
}
