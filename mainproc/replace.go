package mainproc

import (
	"fmt"
	"time"

	"erluv/ipc"
)

// A spawner that does not serve for shortSpawner has died at once; after maxShort of
// them in a row there is no other, for it would do so again.
const (
	shortSpawner = time.Second
	maxShort     = 5
)

// replace gives a child that serves another spawner, when its own was killed or hung, and
// says whether it has one. Before that everything that the old one had started is
// ended, so that the child can tell of it. Watch calls it.
func (r *roles) replace() bool {
	if !r.handed || !r.spawner.ws.Signaled() && !r.spawner.hung || r.child.ended(0) {
		return false
	}
	r.short++
	if time.Since(r.spawned) >= shortSpawner {
		r.short = 0
	}
	if r.short > maxShort {
		return false
	}
	log, how := r.serveWith.log, r.spawner.end
	p, err := r.another()
	if err != nil {
		log.Error("no other spawner could be started", "error", err)
		return false
	}
	r.mu.Lock()
	ending := r.ending
	if !ending {
		r.spawner.close()
		r.spawner, r.spawned = p, time.Now()
	}
	r.mu.Unlock()
	if ending {
		p.discard()
		return false
	}
	log.Warn("the spawner has ended, and its programs with it; another one was started", "how", how, "os_pid", p.pid)
	return true
}

// another starts a spawner as the last one was, and joins it to the child. There is
// none after an error.
func (r *roles) another() (*process, error) {
	if err := r.endPrograms(r.pids()...); err != nil {
		return nil, err
	}
	p, err := r.starter.start(ipc.RoleSpawner, r.id, r.by)
	if err != nil {
		return nil, err
	}
	if err = p.greet(r.id); err == nil {
		err = r.join(p, r.serveWith.spawner, ipc.Spawner{PID: uint32(p.pid)})
	}
	if err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

// join gives a spawner what it serves with, and the child the word of it, with the ends
// of a conversation between the two.
func (r *roles) join(p *process, with ipc.StartSpawner, told ipc.Spawner) error {
	toSpawner, toChild, err := ipc.Pair()
	if err != nil {
		return err
	}
	defer toSpawner.Close()
	defer toChild.Close()
	if err := p.serve(with, toChild.FD()); err != nil {
		return err
	}
	if err := r.child.tell(told, toSpawner.FD()); err != nil {
		return fmt.Errorf("cannot tell the child: %w", err)
	}
	return nil
}
