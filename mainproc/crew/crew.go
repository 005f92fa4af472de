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

// Crew is a running child and spawner, with the spawners of other users. Only Watch waits for its
// end and reaps it. Watch is called once, also after an error of Hand, and not before the first
// Hand returns.
type Crew struct {
	child, spawner *process
	id             sandbox.Identity
	serveWith      settings
	by             containment // of the programs
	inherits       bool        // orphans of the roles become this process's children

	starter *starter
	handed  bool      // the child serves, or did
	spawned time.Time // when the spawner began to serve
	short   int       // spawners in a row that died at once

	began time.Time
	sign  atomic.Int64 // the child's last sign of life, as a duration from began on

	others []other // by the number of the user

	mu     sync.Mutex // for others, and for spawner, while Watch may replace it
	ending bool       // nothing more may be started

	handing sync.Mutex   // held while a connection is handed over
	giving  sync.Mutex   // for links
	links   []Connection // those that the child has got

	// Owned by Watch, and read once it has returned:
	hung   bool
	broken error    // how the child broke the conversation
	why    etf.Term // how the roles have ended
	left   error    // why processes are left that cannot be ended

	counted, reported uint32 // the number of programs that the child has, and the last reported one
}

// during calls f. If ctx ends before f, it calls kill, so that f, which waits for the killed
// process, ends soon.
func during(ctx context.Context, kill func(), f func() error) error {
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		kill()
	})
	err := f()
	if !stop() {
		<-killed // after this the caller may close descriptors that kill uses
		err = context.Cause(ctx)
	}
	return err
}

func (c *Crew) during(ctx context.Context, f func() error) error { return during(ctx, c.Kill, f) }

// Connection is a connection for the child: a link.Link.
type Connection interface {
	Give(send func(m ipc.Message, fds ...int) error) error
	Drain(buf []byte) error
}

// Hand gives the child a connection. With the first one the roles also get their settings and the
// ends of the conversation between them. Hand then returns when both serve.
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
		_ = toSpawner.Close() // from now on only the child has it
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

// TakeBack makes the crew forget a connection that was handed to it.
func (c *Crew) TakeBack(l Connection) {
	c.giving.Lock()
	defer c.giving.Unlock()
	c.links = slices.DeleteFunc(c.links, func(other Connection) bool { return other == l })
}

// drain reads the child's reports about its links.
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

// Ask asks the child to stop. It never waits: if a child does not read, the message cannot be sent.
func (c *Crew) Ask(reason string) error {
	return c.child.say(ipc.Stop{Reason: reason})
}

// Await sends the child the list of nodes that main is connecting to. It never waits either.
func (c *Crew) Await(nodes []ipc.Waits) error {
	return c.child.say(ipc.Awaited{Nodes: nodes})
}

// End closes the conversations.
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

// Kill kills all processes of the crew.
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

// Fall kills the child and closes the conversations, so that the spawner ends its programs.
func (c *Crew) Fall() {
	c.serveWith.host.fell()
	c.child.kill()
	c.End()
}

// Close frees the crew's resources once Watch has returned.
func (c *Crew) Close() {
	c.child.close()
	c.spawner.close()
}

// Left returns how the roles have ended, for the controller, once Watch has returned. An error
// means that processes are left, so connections cannot continue.
func (c *Crew) Left() (why etf.Term, err error) { return c.why, c.left }
