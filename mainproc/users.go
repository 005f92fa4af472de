package mainproc

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"erluv/config"
	"erluv/ipc"
	"erluv/sandbox"
	"erluv/sandbox/cgroup"
)

// other is the spawner of another user whom programs may be run as. It is there while
// the child wants it, and its end is nobody's but its programs'. Watch owns it, but for
// p, which is changed under the lock of roles: kill uses it.
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

// usersOf are those whom the configuration allows, by their numbers. The first is the
// child's own, which is no other.
func usersOf(cfg *config.Config) (list []ipc.Allowed, others []other, err error) {
	own := ipc.Allowed{
		User: cfg.RunAs.User, UID: uint32(cfg.RunAs.UID), Home: cfg.RunAs.Home, Shell: cfg.RunAs.Shell,
		Groups: []ipc.Group{{Name: cfg.RunAs.Group, GID: uint32(cfg.RunAs.GID)}},
	}
	list, others = append(list, own), append(others, other{})
	for _, a := range cfg.Allowed {
		is := ipc.Allowed{
			User: a.User, UID: uint32(a.UID), Home: a.Home, Shell: a.Shell,
			Groups: []ipc.Group{{Name: a.Group, GID: uint32(a.GID)}},
		}
		id := sandbox.Identity{UID: is.UID, GID: uint32(a.GID), MayBeRoot: a.UID == 0 || a.GID == 0}
		for _, g := range a.Groups {
			is.Groups = append(is.Groups, ipc.Group{Name: g.Name, GID: uint32(g.GID)})
			id.Groups = append(id.Groups, uint32(g.GID))
			id.MayBeRoot = id.MayBeRoot || g.GID == 0
		}
		if !id.MayBeRoot {
			id.Keeper = sandbox.DrawKeeper(id)
		}
		list, others = append(list, is), append(others, other{user: a.User, id: id})
	}
	if size := len(ipc.Append(nil, ipc.Start{Allowed: list})); size > maxUsers {
		return nil, nil, fmt.Errorf("cannot allow so many users and groups: allow_users takes %d bytes, and %d are possible: name fewer", size, maxUsers)
	}
	return list, others, nil
}

// maxUsers bounds, in bytes, what the child is told of users: it travels in one packet
// of ipc.MaxPacket with its other settings.
const maxUsers = 16 << 10

// want starts the spawner of a user for the child, which may ask for one that is not
// there. That it cannot be started the child is told; an error is the child's.
func (r *roles) want(user uint8) error {
	if user == 0 || int(user) >= len(r.others) {
		return fmt.Errorf("the child wants a spawner for user %d of %d", user, len(r.others)-1)
	}
	o := &r.others[user]
	if o.p != nil {
		return fmt.Errorf("the child wants a spawner for user %d, and has it", user)
	}
	log := r.serveWith.log.With("user", o.user)
	if err := r.startOther(user); err != nil {
		o.short++
		log.Error("no spawner could be started", "error", err)
		return r.child.say(ipc.Spawner{User: user})
	}
	log.Info("a spawner was started", "os_pid", o.p.pid)
	return nil
}

// startOther starts a user's spawner as the first one was, and joins it to the child.
// There is none after an error.
func (r *roles) startOther(user uint8) error {
	o := &r.others[user]
	if o.short >= maxShort && time.Since(o.began) < restSpawner {
		return fmt.Errorf("the last %d have died at once: there is none for %v", o.short, restSpawner)
	}
	var err error
	if o.by, err = r.by.of(o.id); err != nil {
		return err
	}
	o.with = settings{child: r.serveWith.child, spawner: r.serveWith.spawner, log: r.serveWith.log}
	o.with.limit(o.id, nil, o.by.tree)
	o.with.contain(o.by)
	o.began = time.Now()
	p, err := r.starter.start(ipc.RoleSpawner, o.id, o.by)
	if err != nil {
		return errors.Join(err, o.remove())
	}
	if r.setOther(o, p) {
		err = p.greet(o.id)
	} else {
		err = errors.New("erluv ends")
	}
	if err == nil {
		with := o.with.spawner
		err = r.join(p, with, ipc.Spawner{User: user, PID: uint32(p.pid), Leaves: with.Leaves, Limits: with.Limits})
	}
	if err != nil {
		r.setOther(o, nil)
		p.discard()
		err = errors.Join(err, o.remove())
	}
	return err
}

// setOther changes who is killed with the roles, unless they are ending.
func (r *roles) setOther(o *other, p *process) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p != nil && r.ending {
		return false
	}
	o.p = p
	return true
}

// otherEnded: a user's spawner has ended. The child is told, when nothing is left of what
// it had started.
func (r *roles) otherEnded(user int) {
	o := &r.others[user]
	p := o.p
	_ = p.reap()
	r.setOther(o, nil)
	defer p.close()
	o.short++
	if time.Since(o.began) >= shortSpawner {
		o.short = 0
	}
	log := r.serveWith.log.With("user", o.user, "how", p.end)
	if p.ws == 0 {
		log.Info("a spawner is not needed any more")
	} else {
		log.Warn("a spawner was killed, and its programs with it")
	}
	err := o.remove()
	if r.inherits {
		err = errors.Join(err, endOrphans(o.id.UID, r.pids()...))
	}
	if err != nil {
		log.Error("something of it is left", "error", err)
		r.left = errors.Join(r.left, err)
	}
	if r.child.end == nil {
		// Full or closed: the child is about to be found hung, or has ended.
		_ = r.child.say(ipc.Spawner{User: uint8(user)})
	}
}

// othersLive says whether there is any.
func (r *roles) othersLive() bool {
	return slices.ContainsFunc(r.others, func(o other) bool { return o.p != nil })
}

// pids are the processes of the roles that live.
func (r *roles) pids() (list []int) {
	add := func(p *process) {
		if p != nil && p.end == nil {
			list = append(list, p.pid)
		}
	}
	add(r.child)
	add(r.spawner)
	for i := range r.others {
		add(r.others[i].p)
	}
	return list
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
