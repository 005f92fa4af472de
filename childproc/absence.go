package childproc

import (
	"time"

	"erluv/childproc/history"
	"erluv/childproc/peer"
	"erluv/loop"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// With on_disconnect = keep, a detached program outlives the node of its owner. Until it has
// another owner, or until lost_after has passed, messages for the owner wait where they are. The
// program blocks in its write, as on any full pipe. A program that ends keeps its exit status until
// then.

// detachment is the state of a process that may outlive its owner.
type detachment struct {
	absence *absence // of the owner; nil: it is present, as far as known
}

// absence is what remains of an owner whose node is gone.
type absence struct {
	owner etf.Pid // the zero pid: there was no owner
	since time.Time
	until time.Time
	timer *loop.Timer
}

// lose keeps a process whose owner's node is gone, if it is to be kept. If other processes of that
// node are linked to it, it ends with them. lose reports whether it kept the process.
func (m *manager) lose(p proc, observers *peer.Observers) bool {
	e := p.self()
	prog, ok := p.(*program)
	if m.start.LostAfterMS == 0 || m.phase != serving || !ok || e.detached == nil || e.asked != nil || prog.life.told || observers.LinkedBut(e.owner) {
		return false
	}
	after := time.Duration(m.start.LostAfterMS) * time.Millisecond
	now := time.Now()
	a := &absence{owner: e.owner, since: now, until: now.Add(after)}
	a.timer = m.loop.After(after, func() {
		m.log.Info("a worker is ended: it has no new owner since its owner's node has gone", "worker", process(e.pid), "after", after)
		m.end(p, gen.Noconnection, history.Node)
	})
	e.detached.absence = a
	return true
}

// absence returns the owner's absence, nil if there is none.
func (e *entry) absence() *absence {
	if e.detached == nil {
		return nil
	}
	return e.detached.absence
}

// disown removes an owner whose node is gone. No process of a later incarnation of the node can be
// the owner.
func disown(p proc) {
	e := p.self()
	e.owner, e.ownerRef = etf.Pid{}, 0
	if prog, ok := p.(*program); ok {
		prog.out.LeaveFlows() // there is one fewer
	}
}

// found ends an absence: there is an owner again, or the process has ended.
func (e *entry) found() {
	if a := e.absence(); a != nil {
		a.timer.Stop()
		e.detached.absence = nil
	}
}

// awaitsOwner reports whether messages for the owner wait for another one.
func (p *program) awaitsOwner() bool {
	a := p.absence()
	return a != nil && a.owner != (etf.Pid{}) && !p.life.told
}

// lostOwner describes an absence for info.
func (e *entry) lostOwner() *stat.Lost {
	a := e.absence()
	if a == nil {
		return nil
	}
	return &stat.Lost{Owner: process(a.owner), Since: a.since, Until: a.until}
}
