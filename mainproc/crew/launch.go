package crew

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"erluv/ipc"
	"erluv/sandbox"
	"erluv/sandbox/cgroup"

	"golang.org/x/sys/unix"
)

// settings are the settings of the roles, except the connection.
type settings struct {
	child   ipc.Start
	host    *host // of all crews, one after the other
	history history
	spawner ipc.StartSpawner
	others  []other       // without a process
	ways    []containment // to contain programs, the strongest first
	tree    *cgroup.Tree  // that of these ways, if one has it
	limits  cgroup.Limits
	id      sandbox.Identity // of the programs
	log     *slog.Logger
}

// Settings are the settings of crews.
type Settings struct {
	Identity sandbox.Identity // of child, spawner and programs
	Parts    sandbox.Parts    // the confinement of the roles
	Contain  string           // the configuration's word for the containment of programs
	Child    ipc.Start        // from the configuration
	Spawner  ipc.StartSpawner // the same
	Host     ipc.Host         // the same
	Users    []User           // by their numbers in Child.Allowed
	Inherits bool             // orphans of roles become this process's children
	Log      *slog.Logger
}

// User is a user that programs may run as. The first one is the child's own user, and has no name.
type User struct {
	Name string
	ID   sandbox.Identity
}

// Launcher starts crews, one after the other.
type Launcher struct {
	with     settings
	starter  *starter
	relays   *Relays
	inherits bool
}

// NewLauncher prepares everything that crews need. That also ends leftover processes of an earlier
// erluv.
func NewLauncher(s Settings) (*Launcher, error) {
	l := &Launcher{with: settings{child: s.Child, spawner: s.Spawner, host: &host{is: s.Host}, log: s.Log}, inherits: s.Inherits}
	for _, u := range s.Users {
		l.with.others = append(l.with.others, other{user: u.Name, id: u.ID})
	}
	if l.inherits {
		if err := inherit(); err != nil {
			return nil, err
		}
	}
	ways, tree, err := waysOf(s.Contain, s.Identity, s.Log)
	if err != nil {
		return nil, err
	}
	l.with.limit(s.Identity, ways, tree)
	if l.starter, err = newStarter(s.Parts); err != nil {
		l.with.remove()
		return nil, err
	}
	l.starter.log = s.Log
	if l.with.history, err = newHistory(s.Child.History); err != nil {
		s.Log.Warn("a crash of erluv_child will lose the record of ended programs", "error", err)
	}
	l.relays = newRelays(l.starter, false, s.Identity)
	return l, nil
}

// Relays returns the means to start the relays of connections.
func (l *Launcher) Relays() *Relays { return l.relays }

// Close ends the starting of crews and relays. No crew may be left, and each relay must be closed.
func (l *Launcher) Close() {
	l.relays.Close()
	l.starter.close()
	l.with.remove()
	l.with.history.close()
}

// Launch starts a crew and verifies that it has dropped its privileges.
func (l *Launcher) Launch(ctx context.Context) (*Crew, error) {
	c, err := launch(ctx, l.starter, l.with.id, l.with)
	if err != nil {
		return nil, err
	}
	l.with.ways = c.serveWith.ways // ways that can never work are not tried again, nor reported again
	c.inherits = l.inherits
	return c, nil
}

// launch starts both roles, so that they start at the same time, and greets them. It starts the
// spawner in the first way that works.
func launch(ctx context.Context, s *starter, id sandbox.Identity, with settings) (*Crew, error) {
	c := &Crew{id: id, serveWith: with, starter: s, began: time.Now(), others: slices.Clone(with.others)}
	var err error
	if c.child, err = s.start(ipc.RoleChild, c.childID(), containment{}); err != nil {
		return nil, err
	}
	for i, by := range with.ways {
		err = c.startSpawner(ctx, s, by)
		if err != nil && by.name != containGroup {
			err = fmt.Errorf("cannot contain programs by %q: %w", by.name, err)
		}
		if err == nil || ctx.Err() != nil || i == len(with.ways)-1 {
			break
		}
		level := slog.LevelWarn
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) { // as in a container, where it can never work
			level = slog.LevelInfo
			c.serveWith.ways = slices.DeleteFunc(slices.Clone(c.serveWith.ways), func(way containment) bool { return way == by })
		}
		with.log.Log(ctx, level, "a weaker containment is tried", "error", err)
	}
	if err != nil {
		c.child.discard()
		return nil, err
	}
	if err = c.serveWith.holds(); err != nil {
		c.spawner.discard()
		c.child.discard()
		return nil, err
	}
	if err = c.during(ctx, func() error { return c.child.greet(c.childID()) }); err != nil {
		c.spawner.discard()
		c.child.discard()
		return nil, err
	}
	return c, nil
}

// childID returns the child's identity. The child has no keeper, because it does not use control
// groups.
func (c *Crew) childID() sandbox.Identity {
	id := c.id
	id.Keeper = 0
	return id
}

// startSpawner starts the spawner and greets it. After an error there is none.
func (c *Crew) startSpawner(ctx context.Context, s *starter, by containment) error {
	var err error
	if c.spawner, err = s.start(ipc.RoleSpawner, c.id, by); err != nil {
		return err
	}
	if err = c.during(ctx, func() error { return c.spawner.greet(c.id) }); err != nil {
		c.spawner.discard()
		return err
	}
	c.by = by
	c.serveWith.contain(by)
	return nil
}
