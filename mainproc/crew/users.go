package crew

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"erluv/ipc"
	"erluv/sandbox"
	"erluv/sandbox/cgroup"
)

// other is the spawner of another allowed user. It lives as long as the child wants it. Its end
// affects only its own programs. Watch owns it, except p: that is changed under the lock of the
// Crew, because Kill uses it.
type other struct {
	user string
	id   sandbox.Identity
	p    *process    // nil: none
	by   containment // of its programs, with a tree of their own
	with settings    // its settings, and the groups for limits

	began time.Time
	short int // spawners in a row that died at once
}

// restSpawner is how long a user has no spawner after maxShort of them have died at once.
const restSpawner = 30 * time.Second

// want starts the spawner of a user for the child, which may request only a missing one. A failed
// start is reported to the child. A returned error means that the child has broken the
// conversation.
func (c *Crew) want(user uint8) error {
	if user == 0 || int(user) >= len(c.others) {
		return fmt.Errorf("the child wants a spawner for user %d of %d", user, len(c.others)-1)
	}
	o := &c.others[user]
	if o.p != nil {
		return fmt.Errorf("the child wants a spawner for user %d, and has it", user)
	}
	log := c.serveWith.log.With("user", o.user)
	if err := c.startOther(user); err != nil {
		o.short++
		log.Error("no spawner could be started", "error", err)
		return c.child.say(ipc.Spawner{User: user})
	}
	log.Info("a spawner was started", "os_pid", o.p.pid)
	return nil
}

// startOther starts a user's spawner like the first one, and connects it with the child. After an
// error there is none.
func (c *Crew) startOther(user uint8) error {
	o := &c.others[user]
	if o.short >= maxShort && time.Since(o.began) < restSpawner {
		return fmt.Errorf("the last %d have died at once: there is none for %v", o.short, restSpawner)
	}
	var err error
	if o.by, err = c.by.of(o.id); err != nil {
		return err
	}
	o.with = settings{child: c.serveWith.child, spawner: c.serveWith.spawner, log: c.serveWith.log}
	o.with.limit(o.id, nil, o.by.tree)
	o.with.contain(o.by)
	o.began = time.Now()
	p, err := c.starter.start(ipc.RoleSpawner, o.id, o.by)
	if err != nil {
		return errors.Join(err, o.remove())
	}
	if p.log != nil {
		p.log = p.log.With("user", o.user)
	}
	if c.setOther(o, p) {
		err = p.greet(o.id)
	} else {
		err = errors.New("erluv ends")
	}
	if err == nil {
		with := o.with.spawner
		err = c.join(p, with, ipc.Spawner{User: user, PID: uint32(p.pid), Leaves: with.Leaves, Limits: with.Limits})
	}
	if err != nil {
		c.setOther(o, nil)
		p.discard()
		err = errors.Join(err, o.remove())
	}
	return err
}

// setOther changes the process that Kill kills with the roles, unless they are ending.
func (c *Crew) setOther(o *other, p *process) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p != nil && c.ending {
		return false
	}
	o.p = p
	return true
}

// otherEnded handles the end of a user's spawner. It ends all that is left of its programs, and
// then informs the child.
func (c *Crew) otherEnded(user int) {
	o := &c.others[user]
	p := o.p
	_ = p.reap()
	c.setOther(o, nil)
	defer p.close()
	o.short++
	if time.Since(o.began) >= shortSpawner {
		o.short = 0
	}
	log := c.serveWith.log.With("user", o.user, "how", p.end)
	if p.ws == 0 {
		log.Info("a spawner is not needed any more")
	} else {
		log.Warn("a spawner was killed, and its programs with it")
	}
	err := o.remove()
	if c.inherits {
		err = errors.Join(err, endOrphans(o.id.UID, c.spared(c.pids()...)))
	}
	if err != nil {
		log.Error("something of it is left", "error", err)
		c.left = errors.Join(c.left, err)
	}
	if c.child.end == nil {
		// Full or closed: the child is about to be found hung, or has ended.
		_ = c.child.say(ipc.Spawner{User: uint8(user)})
	}
}

// othersLive reports whether there is any such spawner.
func (c *Crew) othersLive() bool {
	return slices.ContainsFunc(c.others, func(o other) bool { return o.p != nil })
}

// pids returns the processes of the living roles.
func (c *Crew) pids() (list []int) {
	add := func(p *process) {
		if p != nil && p.end == nil {
			list = append(list, p.pid)
		}
	}
	add(c.child)
	add(c.spawner)
	for i := range c.others {
		add(c.others[i].p)
	}
	return list
}

// spared returns a function that reports whether a child of main is not a program: one of these
// roles, or a relay.
func (c *Crew) spared(roles ...int) func(pid int) bool {
	return func(pid int) bool { return slices.Contains(roles, pid) || c.starter.isRelay(pid) }
}

// of returns the same containment for the programs of another user.
func (c containment) of(id sandbox.Identity) (containment, error) {
	if c.tree == nil {
		return c, nil
	}
	var err error
	c.tree, _, err = cgroup.NewTree(ownerOf(id), !c.few)
	c.freezes = err == nil && c.tree.Freezes()
	return c, err
}

// remove ends the remaining processes in the control groups of its programs, and removes the
// groups.
func (o *other) remove() error {
	err := o.with.limits.Empty()
	o.with.limits.Remove()
	if o.by.tree != nil {
		err = errors.Join(err, o.by.tree.Empty())
		o.by.tree.Remove()
	}
	return err
}
