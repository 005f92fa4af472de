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

// other is the spawner of another user whom programs may be run as. It is there while
// the child wants it, and its end is nobody's but its programs'. Watch owns it, but for
// p, which is changed under the lock of the Crew: Kill uses it.
type other struct {
	user string
	id   sandbox.Identity
	p    *process    // nil: there is none
	by   containment // of its programs, with a tree of their own
	with settings    // what it serves with, and the groups for limits

	began time.Time
	short int // of them in a row have died at once
}

// restSpawner is how long there is no spawner for a user after maxShort of them have
// died at once.
const restSpawner = 30 * time.Second

// want starts the spawner of a user for the child, which may ask for one that is not
// there. That it cannot be started the child is told; an error is the child's.
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

// startOther starts a user's spawner as the first one was, and joins it to the child.
// There is none after an error.
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

// setOther changes who is killed with the roles, unless they are ending.
func (c *Crew) setOther(o *other, p *process) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p != nil && c.ending {
		return false
	}
	o.p = p
	return true
}

// otherEnded: a user's spawner has ended. The child is told, when nothing is left of what
// it had started.
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

// othersLive says whether there is any.
func (c *Crew) othersLive() bool {
	return slices.ContainsFunc(c.others, func(o other) bool { return o.p != nil })
}

// pids are the processes of the roles that live.
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

// spared says which children of main are no programs: these roles, and the relays.
func (c *Crew) spared(roles ...int) func(pid int) bool {
	return func(pid int) bool { return slices.Contains(roles, pid) || c.starter.isRelay(pid) }
}

// of is the same containment for the programs of another user.
func (c containment) of(id sandbox.Identity) (containment, error) {
	if c.tree == nil {
		return c, nil
	}
	var err error
	c.tree, _, err = cgroup.NewTree(ownerOf(id), !c.few)
	c.freezes = err == nil && c.tree.Freezes()
	return c, err
}

// remove ends what is left in the control groups of its programs, and removes them.
func (o *other) remove() error {
	err := o.with.limits.Empty()
	o.with.limits.Remove()
	if o.by.tree != nil {
		err = errors.Join(err, o.by.tree.Empty())
		o.by.tree.Remove()
	}
	return err
}
