package childproc

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"erluv/ipc"
	"erluv/wire/etf"
)

// dump logs the state of the child: counts, and the first rows of each table.
func (m *manager) dump() {
	m.log.Always("how the child stands", "phase", m.phase.String(), "uptime", time.Since(m.since).Round(time.Second),
		"workers", len(m.procs), "names", len(m.byName), "links_and_monitors", m.observed(), "held_bytes", m.held.bytes,
		"unready_bytes", m.unready.bytes, "uploads", m.uploads.open, "memory_bytes", m.uploads.memory.Bytes(), "refused_frames", m.refused, "last_serial", m.serial())
	for i, name := range slices.Sorted(maps.Keys(m.clients)) {
		if i == ipc.DumpMost {
			break
		}
		m.clients[name].dump(name)
	}
	m.dumpStarter(0)
	for i, user := range slices.Sorted(maps.Keys(m.others)) {
		if i == ipc.DumpMost {
			break
		}
		m.dumpStarter(user)
	}
	list := slices.SortedFunc(maps.Values(m.procs), func(a, b proc) int {
		x, y := a.self(), b.self()
		return cmp.Or(cmp.Compare(x.started, y.started), cmp.Compare(key(x.pid), key(y.pid)))
	})
	for _, p := range list[:min(len(list), ipc.DumpMost)] {
		m.dumpWorker(p)
	}
	if left := len(list) - ipc.DumpMost; left > 0 {
		m.log.Always("how the child stands: more workers", "count", left)
	}
}

func (c *client) dump(name etf.Atom) {
	stalled, unserved := c.Waits()
	args := []any{
		"node", string(name), "paused", c.Streams.Paused(), "stalled", stalled, "runs_to_answer", len(c.ran),
		"streams_to_serve", unserved, "respawned", c.respawned,
	}
	c.m.log.Always("how the child stands: a node", append(args, c.Standing()...)...)
}

func (m *manager) dumpStarter(user int) {
	s := m.starterOf(user)
	if s == nil { // no program can be started, as in a test
		return
	}
	m.log.Always("how the child stands: a spawner", append([]any{"user", m.start.Allowed[user].User}, s.Standing()...)...)
}

// dumpWorker logs a line about a process. The oldest come first.
func (m *manager) dumpWorker(p proc) {
	e := p.self()
	args := []any{"worker", process(e.pid), "owner", process(e.owner), "detached", e.detached != nil, "asked", e.asked != nil}
	switch is := p.(type) {
	case *program:
		args = append(args, "os_pid", is.w.PID(), "program", is.word(), "state", is.state(), "user", m.start.Allowed[is.user].User, "restarts", is.restarts())
	case *incoming:
		args = append(args, "os_pid", is.osPID(), "program", "none: a file comes in", "state", is.life.State.String(), "bytes", is.taken)
	default:
		args = append(args, "program", "none: files are watched")
	}
	m.log.Always("how the child stands: a worker", args...)
}
