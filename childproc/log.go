package childproc

import (
	"strings"

	"erluv/ipc"
	"erluv/workers"
)

// This file logs the child's work. The log has no data of programs and nodes, and only the first
// word of a command. Its readers need not be trusted with more.

// refuseFrame counts a frame with an impossible request, and logs the reason with further
// arguments.
func (c *client) refuseFrame(why string, what ...any) {
	c.m.refused++
	if c.m.log.Debugs {
		c.m.log.With(what...).Debug("a frame was refused", "node", string(c.Node()), "why", why)
	}
}

// notTheirs is the reason for refusing a frame in the name of another node's process.
const notTheirs = "it is from a process of another node"

func (m *manager) logStarted(p *program) {
	if m.log.Debugs {
		m.log.Debug("a program was started", "worker", process(p.pid), "os_pid", p.w.PID(), "program", p.word(), "user", m.start.Allowed[p.user].User)
	}
}

func (m *manager) logFailed(p *program, f ipc.Refusal) {
	if m.log.Debugs {
		m.log.Debug("a program could not be started", "worker", process(p.pid), "program", p.word(), "user", m.start.Allowed[p.user].User,
			"error", f.Errno.Error(), "stage", int(f.Stage))
	}
}

func (m *manager) logEnded(p *program, e workers.Exit) {
	if !m.log.Debugs {
		return
	}
	log := m.log.With("worker", process(p.pid), "os_pid", p.w.PID(), "program", p.word())
	if e.Signal != 0 {
		log.Debug("a program was killed", "signal", int(e.Signal), "core", e.Core, "out_of_memory", e.OOM)
	} else {
		log.Debug("a program has ended", "status", e.Status)
	}
}

// word is the first word of the command.
func (p *program) word() string {
	if i := strings.IndexAny(p.cmd, "\x00 \t\n"); i >= 0 {
		return p.cmd[:i]
	}
	return p.cmd
}
