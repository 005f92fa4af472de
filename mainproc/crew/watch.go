package crew

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"erluv/ipc"
	"erluv/mainproc/permit"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// Event is something that has happened to a crew.
type Event struct {
	Kind EventKind
	Err  error
	Link uint32 // of Lost

	Programs uint32 // of Counted
}

// EventKind is the kind of an Event.
type EventKind uint8

// The kinds of events.
const (
	Stopped EventKind = iota // the child has stopped; Err: how the connection was lost, or nil
	Lost                     // Err: how one of several connections was lost, Link
	Broken                   // Err: the child has broken the conversation
	Died                     // Err: how a role has ended
	Counted                  // Programs: how many the child has
)

// Watch reports the child's messages and the roles' ends, and returns when all have been reaped. It
// waits in one poll(2) for all of them. So it takes one thread, which sleeps while the node is
// served, except for the questions whether the roles live.
func (c *Crew) Watch(report func(Event)) {
	fds := []unix.PollFd{
		{Fd: int32(c.child.conn.FD()), Events: unix.POLLIN},
		{Fd: int32(c.child.pidfd), Events: unix.POLLIN},
		{Fd: int32(c.spawner.pidfd), Events: unix.POLLIN},
	}
	p := newPulse(time.Now())
	c.sign.Store(int64(time.Since(c.began)))
	for fds[1].Fd >= 0 || fds[2].Fd >= 0 || c.othersLive() { // poll ignores negative descriptors
		fds = c.pollOthers(fds[:3])
		timeout := -1
		if fds[1].Fd >= 0 {
			timeout = p.untilNext()
		}
		ends := len(fds)
		fds, timeout = c.await(fds, timeout)
		if _, err := unix.Poll(fds, timeout); err != nil {
			// More descriptors than a lowered limit are EINVAL, even if they are few (poll(2)).
			if err == unix.EINTR || err == unix.EINVAL && raiseFiles() {
				continue
			}
			panic(fmt.Sprintf("poll: %v", err)) // bad memory: impossible
		}
		c.heardOf(fds[ends:])
		c.othersEnded(fds[3:ends])
		if fds[0].Revents != 0 {
			p.heard()
			c.sign.Store(int64(time.Since(c.began)))
			if !c.listen(report) {
				fds[0].Fd = -1
			}
		}
		gone := c.ended(fds[1].Revents != 0, fds[2].Revents != 0)
		if fds[0].Fd >= 0 && slices.Contains(gone, c.child) {
			c.hearOut(report)
			fds[0].Fd = -1
		}
		for _, p := range gone {
			raiseFiles()
			if p == c.spawner && c.child.end == nil && c.replace() {
				fds[2].Fd = int32(c.spawner.pidfd)
				continue
			}
			c.note(p)
			report(Event{Kind: Died, Err: p.end})
		}
		if c.child.end != nil {
			fds[1].Fd, fds[1].Revents = -1, 0
		} else {
			c.beat(p.check(time.Now(), func(threads bool) vitals { return vitalsOf(c.child.pid, threads) }))
		}
		if c.spawner.end != nil {
			fds[2].Fd, fds[2].Revents = -1, 0
		}
		c.beatSpawners(time.Now())
	}
	c.left = errors.Join(c.left, c.endPrograms())
}

// pollOthers adds the pidfds of the other spawners in their order, -1 for a missing one.
func (c *Crew) pollOthers(fds []unix.PollFd) []unix.PollFd {
	for i := range c.others {
		fd := unix.PollFd{Fd: -1, Events: unix.POLLIN}
		if p := c.others[i].p; p != nil {
			fd.Fd = int32(p.pidfd)
		}
		fds = append(fds, fd)
	}
	return fds
}

// othersEnded handles those that have ended.
func (c *Crew) othersEnded(fds []unix.PollFd) {
	for i := range fds {
		if fds[i].Revents != 0 {
			raiseFiles()
			c.otherEnded(i)
		}
	}
}

// Answers reports, during Watch, whether the child gives signs of life. Without them Watch is about
// to find it hung, or Watch itself is stuck.
func (c *Crew) Answers() bool {
	return time.Since(c.began)-time.Duration(c.sign.Load()) < (beatsMissed+1)*beatEvery
}

// endPrograms ends all processes that an ended spawner may have left, and waits for their end. The
// roles have been reaped, except those that are spared.
func (c *Crew) endPrograms(spare ...int) error {
	var err error
	if c.by.tree != nil {
		err = c.by.tree.Empty()
	}
	err = errors.Join(err, c.serveWith.limits.Empty())
	if c.inherits {
		err = errors.Join(err, endOrphans(c.id.UID, c.spared(spare...)))
	}
	return err
}

// beat carries out the action of a pulse.
func (c *Crew) beat(b beat) {
	switch b {
	case beatAsk:
		// Full or closed: no answer will come either.
		if c.child.say(ipc.Beat{}) == nil {
			c.child.heard.Asked++
		}
		if c.inherits {
			reapOrphans(c.spared(c.pids()...))
		}
	case beatWait:
		c.sign.Store(int64(time.Since(c.began)))
	case beatAbort:
		c.hung = true
		c.child.signal(unix.SIGABRT)
	case beatKill:
		c.child.kill()
	}
}

// note keeps how the first role has ended.
func (c *Crew) note(p *process) {
	switch {
	case c.why != nil:
	case c.hung:
		c.why = etf.Atom("hung")
	case c.broken != nil:
		c.why = etf.Tuple{etf.Atom("broken"), etf.Binary(permit.Printable(c.broken.Error()))}
	case p == c.spawner:
		c.why = etf.Tuple{etf.Atom("spawner"), p.exit()}
	default:
		c.why = p.exit()
	}
}

// ended reaps the roles that have ended. In the list, the role that ended by itself comes before
// the one that followed it, even if the other one was reaped first.
func (c *Crew) ended(child, spawner bool) (list []*process) {
	// moment is how long to wait for the other role's end. A process closes its descriptors before
	// its end can be seen. So on a busy machine the role that ended first may be seen last.
	const moment = 2 * time.Second
	if child {
		_ = c.child.reap()
		spawner = spawner || c.spawner.end == nil && !c.child.ws.Signaled() && c.spawner.ended(moment)
	}
	if spawner {
		_ = c.spawner.reap()
		child = child || c.child.end == nil && c.spawner.ws == 0 && c.child.ended(moment)
	}
	if child {
		_ = c.child.reap()
		list = append(list, c.child)
	}
	if spawner {
		list = append(list, c.spawner)
	}
	if len(list) == 2 && c.spawner.ws != 0 && !c.child.ws.Signaled() {
		list[0], list[1] = list[1], list[0]
	}
	return list
}

// hearOut reports the child's last messages, which main has not read yet. The Stopped of a
// requested end comes behind all others.
func (c *Crew) hearOut(report func(Event)) {
	fds := []unix.PollFd{{Fd: int32(c.child.conn.FD()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err != unix.EINTR && (n <= 0 || !c.listen(report)) {
			return
		}
	}
}

// listen reports the child's next message, and returns whether there may be another.
func (c *Crew) listen(report func(Event)) bool {
	n, _, err := c.child.conn.TryRecv(c.child.buf)
	switch {
	case errors.Is(err, ipc.ErrEmpty):
		return true
	case errors.Is(err, io.EOF):
		if !c.child.ended(exitBound) { // otherwise its end is the event
			c.breaks(report, errors.New("the child has closed its conversation, and lives on"))
		}
		return false
	case err != nil:
		c.breaks(report, fmt.Errorf("cannot listen to the child: %w", err))
		return false
	}
	m, err := c.child.heard.Hear(c.child.buf[:n])
	switch m := m.(type) {
	case ipc.WantSpawner:
		err = c.want(m.User)
	case ipc.Drain:
		err = c.drain()
	case ipc.Counted:
		c.counted = m.Programs
	case ipc.Beat:
		if c.counted != c.reported {
			c.reported = c.counted
			report(Event{Kind: Counted, Programs: c.counted})
		}
	case ipc.Standing:
		c.serveWith.host.stands(m)
	case ipc.Lost:
		report(Event{Kind: Lost, Err: lostTo(m.Text), Link: m.ID})
	case ipc.Stopped:
		report(Event{Kind: Stopped, Err: lost(m)})
		return false
	}
	if err != nil {
		c.breaks(report, err)
	}
	return err == nil
}

// breaks reports that main cannot rely on the child's messages any more.
func (c *Crew) breaks(report func(Event), err error) {
	c.broken = err
	report(Event{Kind: Broken, Err: err})
}

// lost returns why the child has stopped, or nil if it was asked to.
func lost(m ipc.Stopped) error {
	if m.Cause == ipc.CauseAsked {
		return nil
	}
	return lostTo(m.Text)
}

func lostTo(text string) error {
	return fmt.Errorf("the connection was lost: %s", permit.Printable(text))
}
