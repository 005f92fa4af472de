package crew

import (
	"errors"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Main asks each spawner whether it lives, as it asks the child. It ends a spawner that does not
// answer, with the usual consequences. So every start is answered soon, even if a process has
// stopped or frozen the spawner.
//
// A spawner with a tree of version 1 freezes programs briefly to end them, and can be killed
// meanwhile. If it is the init of a pid namespace, it ends only after all processes inside. SIGKILL
// does not reach frozen ones. So main does not wait for its end, but thaws them once it sees the
// spawner's descriptors closed. If it is not an init, endPrograms thaws them. If main itself leaves
// processes frozen, the next sweep thaws them.

// thawEvery is in milliseconds. If another program freezes a program again and again, SIGKILL
// reaches it in between.
const thawEvery = 100

// spawners calls f for each living spawner.
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

// await adds the spawners' conversations to the descriptors to poll, and thaws processes that dying
// spawners may have frozen. The timeout is poll's.
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

// heardOf handles poll's results for the conversations that await has added.
func (c *Crew) heardOf(fds []unix.PollFd) {
	c.spawners(func(p *process, _ containment) {
		if fds[0].Revents != 0 {
			c.listenTo(p)
		}
		fds = fds[1:]
	})
}

// listenTo handles a spawner's next message.
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

// beatSpawners carries out the actions of the spawners' pulses.
func (c *Crew) beatSpawners(now time.Time) {
	c.spawners(func(p *process, _ containment) {
		if p.asks(now) == beatAbort {
			c.serveWith.log.Error("a spawner does not answer: it is ended, with its programs", "os_pid", p.pid)
		}
	})
}

// asks carries out the action of the process's pulse, and returns it.
func (p *process) asks(now time.Time) beat {
	due := p.pulse.check(now, func(threads bool) vitals { return vitalsOf(p.pid, threads) })
	switch due {
	case beatAsk:
		if p.say(ipc.Beat{}) == nil { // full or closed: no answer will come either
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
