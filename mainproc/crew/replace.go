package crew

import (
	"fmt"
	"time"

	"erluv/ipc"
)

// A spawner that does not serve for shortSpawner has died at once. After maxShort of these in a row
// main starts no other one, which would die too.
const (
	shortSpawner = time.Second
	maxShort     = 5
)

// replace gives a serving child a new spawner when its own was killed or hung, and reports whether
// it has. Before that it ends all processes of the old spawner, so that the child can report their
// end. Watch calls it.
func (c *Crew) replace() bool {
	if !c.handed || !c.spawner.ws.Signaled() && !c.spawner.hung || c.child.ended(0) {
		return false
	}
	c.short++
	if time.Since(c.spawned) >= shortSpawner {
		c.short = 0
	}
	if c.short > maxShort {
		return false
	}
	log, how := c.serveWith.log, c.spawner.end
	p, err := c.another()
	if err != nil {
		log.Error("no other spawner could be started", "error", err)
		return false
	}
	c.mu.Lock()
	ending := c.ending
	if !ending {
		c.spawner.close()
		c.spawner, c.spawned = p, time.Now()
	}
	c.mu.Unlock()
	if ending {
		p.discard()
		return false
	}
	log.Warn("the spawner has ended, and its programs with it; another one was started", "how", how, "os_pid", p.pid)
	return true
}

// another starts a spawner like the last one, and connects it with the child. After an error there
// is none.
func (c *Crew) another() (*process, error) {
	if err := c.endPrograms(c.pids()...); err != nil {
		return nil, err
	}
	p, err := c.starter.start(ipc.RoleSpawner, c.id, c.by)
	if err != nil {
		return nil, err
	}
	if err = p.greet(c.id); err == nil {
		err = c.join(p, c.serveWith.spawner, ipc.Spawner{PID: uint32(p.pid)})
	}
	if err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

// join gives a spawner its settings, and informs the child. It makes the conversation between the
// two.
func (c *Crew) join(p *process, with ipc.StartSpawner, told ipc.Spawner) error {
	toSpawner, toChild, err := ipc.Pair()
	if err != nil {
		return err
	}
	defer toSpawner.Close()
	defer toChild.Close()
	if err := p.serve(with, toChild.FD()); err != nil {
		return err
	}
	if err := c.child.tell(told, toSpawner.FD()); err != nil {
		return fmt.Errorf("cannot tell the child: %w", err)
	}
	return nil
}
