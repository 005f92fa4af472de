package crew

import (
	"errors"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Main asks each spawner whether it lives, as it asks the child. One that does not answer
// is ended, and what follows is what follows any end of a spawner: so no start is without
// an answer for long, whoever has stopped or frozen the spawner.
//
// A spawner with a tree of version 1 freezes programs for a moment, to end them, and can
// be killed in it. As the init of a pid namespace it ends after all in there, whom
// SIGKILL does not reach before they are thawed: so main does not wait for its end with
// that, but has them thawed as soon as it has lost its descriptors. What a spawner
// that is no init has left frozen endPrograms thaws, and what main itself has, the next
// one that sweeps.

// thawEvery is in milliseconds: a program that its like freezes again and again gets
// its SIGKILL in between.
const thawEvery = 100

// spawners gives each spawner that lives.
func (c *Crew) spawners(f func(p *process, by containment)) {
	look := func(p *process, by containment) {
		if p != nil && p.end == nil {
			f(p, by)
		}
	}
	look(c.spawner, c.by)
	for i := range c.others {
		look(c.others[i].p, c.others[i].by)
	}
}

// await adds the spawners' conversations to what is polled, and thaws what dying ones
// may have frozen. The timeout is poll's.
func (c *Crew) await(fds []unix.PollFd, timeout int) ([]unix.PollFd, int) {
	soonest := func(ms int) {
		if timeout < 0 || timeout > ms {
			timeout = ms
		}
	}
	c.spawners(func(p *process, by containment) {
		fd := int32(p.conn.FD())
		if p.dying {
			fd = -1
			if by.freezes {
				by.tree.Thaw()
				soonest(thawEvery)
			}
		}
		soonest(p.pulse.untilNext())
		fds = append(fds, unix.PollFd{Fd: fd, Events: unix.POLLIN})
	})
	return fds, timeout
}

// heardOf takes what poll has found of the conversations that await has added.
func (c *Crew) heardOf(fds []unix.PollFd) {
	c.spawners(func(p *process, _ containment) {
		if fds[0].Revents != 0 {
			c.listenTo(p)
		}
		fds = fds[1:]
	})
}

// listenTo takes a spawner's next message.
func (c *Crew) listenTo(p *process) {
	n, _, err := p.conn.TryRecv(p.buf)
	if errors.Is(err, ipc.ErrEmpty) {
		return
	}
	if err != nil {
		p.dying = true
		return
	}
	if _, err = p.heard.Hear(p.buf[:n]); err != nil {
		c.serveWith.log.Error("a spawner cannot be relied on any more and is ended", "os_pid", p.pid, "error", err)
		p.kill()
		return
	}
	p.pulse.heard()
}

// beatSpawners does what the spawners' pulses find due.
func (c *Crew) beatSpawners(now time.Time) {
	c.spawners(func(p *process, _ containment) {
		if p.asks(now) == beatAbort {
			c.serveWith.log.Error("a spawner does not answer: it is ended, with its programs", "os_pid", p.pid)
		}
	})
}

// asks does what the process's pulse finds due, and says what it was.
func (p *process) asks(now time.Time) beat {
	due := p.pulse.check(now, func() vitals { return vitalsOf(p.pid) })
	switch due {
	case beatAsk:
		if p.say(ipc.Beat{}) == nil { // full or closed: there will be no answer either
			p.heard.Asked++
		}
	case beatAbort:
		p.hung = true
		p.signal(unix.SIGABRT)
	case beatKill:
		p.kill()
	}
	return due
}
