package crew

import (
	"context"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"erluv/ipc"
	"erluv/sandbox"
	"erluv/wire/etf"
)

// Crew is a pair of running roles, with the spawners of other users. It ends by Watch alone,
// which is called once, also after an error of Hand, and not before the first Hand returns.
type Crew struct {
	child, spawner *process
	id             sandbox.Identity
	serveWith      settings
	by             containment // of the programs
	inherits       bool        // what the roles leave behind becomes this process's children

	starter *starter
	handed  bool      // the child serves, or did
	spawned time.Time // when the spawner began to serve
	short   int       // spawners in a row that have died at once

	began time.Time
	sign  atomic.Int64 // of life: when the child gave the last one, after began

	others []other // by the number of the user

	mu     sync.Mutex // for spawner, while Watch may replace it, and others
	ending bool       // nothing must be started any more

	handing sync.Mutex   // one connection at a time is said
	giving  sync.Mutex   // for links
	links   []Connection // that the child has been given

	// Owned by Watch, and read when it has returned:
	hung   bool
	broken error    // how the child has broken the conversation
	why    etf.Term // how the roles have ended
	left   error    // what was left behind and cannot be ended
}

// during calls f and has kill called if ctx ends before it, so that f, which waits for
// what is killed, ends soon.
func during(ctx context.Context, kill func(), f func() error) error {
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		kill()
	})
	err := f()
	if !stop() {
		<-killed // the descriptors it uses may be closed after this
		err = context.Cause(ctx)
	}
	return err
}

func (c *Crew) during(ctx context.Context, f func() error) error { return during(ctx, c.Kill, f) }

// Connection is what the child is given: a link.Link.
type Connection interface {
	Give(send func(m ipc.Message, fds ...int) error) error
	Drain(buf []byte) error
}

// Hand gives the child a connection. With the first come the ends of the conversation
// between the two roles, and all else that they serve with, and Hand returns when they serve.
func (c *Crew) Hand(ctx context.Context, l Connection) error {
	c.giving.Lock()
	c.links = append(c.links, l)
	c.giving.Unlock()
	c.handing.Lock() // the messages of two must not mix
	defer c.handing.Unlock()
	if c.handed {
		return l.Give(c.child.tell)
	}
	toSpawner, toChild, err := ipc.Pair()
	if err != nil {
		return err
	}
	defer toSpawner.Close()
	defer toChild.Close()
	start := c.serveWith.child
	start.UID, start.GID = c.id.UID, c.id.GID
	start.MainPID, start.SpawnerPID = uint32(os.Getpid()), uint32(c.spawner.pid)
	err = c.during(ctx, func() error {
		if err := c.spawner.serve(c.serveWith.spawner, toChild.FD()); err != nil {
			return err
		}
		if err := c.child.send(start, toSpawner.FD()); err != nil {
			return err
		}
		_ = toSpawner.Close() // the child alone has it from when the node sees it
		if err := c.child.send(c.serveWith.host.told(), c.serveWith.history.goes()...); err != nil {
			return err
		}
		if err := l.Give(c.child.send); err != nil {
			return err
		}
		return c.child.ready()
	})
	c.handed, c.spawned = err == nil, time.Now()
	return err
}

// TakeBack ends what the crew has to do with a connection that was handed to it.
func (c *Crew) TakeBack(l Connection) {
	c.giving.Lock()
	defer c.giving.Unlock()
	c.links = slices.DeleteFunc(c.links, func(other Connection) bool { return other == l })
}

// drain reads what the child has told of its links.
func (c *Crew) drain() error {
	c.giving.Lock()
	defer c.giving.Unlock()
	for _, l := range c.links {
		if err := l.Drain(c.child.buf); err != nil {
			return err
		}
	}
	return nil
}

// Ask asks the child to stop. It never waits: a child that does not read is beyond asking.
func (c *Crew) Ask(reason string) error {
	return c.child.say(ipc.Stop{Reason: reason})
}

// Await tells the child to which nodes main is connecting. It never waits either.
func (c *Crew) Await(nodes []ipc.Waits) error {
	return c.child.say(ipc.Awaited{Nodes: nodes})
}

// End ends the conversations.
func (c *Crew) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	c.child.hangUp()
	c.spawner.hangUp()
	for i := range c.others {
		if p := c.others[i].p; p != nil {
			p.hangUp()
		}
	}
}

// Kill kills the processes.
func (c *Crew) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	c.child.kill()
	if c.spawner != nil {
		c.spawner.kill()
	}
	for i := range c.others {
		if p := c.others[i].p; p != nil {
			p.kill()
		}
	}
}

// Fall kills the child and ends the conversations: the spawner ends its programs.
func (c *Crew) Fall() {
	c.serveWith.host.fell()
	c.child.kill()
	c.End()
}

// Close frees what is held after Watch has returned.
func (c *Crew) Close() {
	c.child.close()
	c.spawner.close()
}

// Left says, after Watch has returned, how the roles have ended, for the controller. An
// error: something of them is left, so nothing can be gone on with.
func (c *Crew) Left() (why etf.Term, err error) { return c.why, c.left }
