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

// With on_disconnect = keep a detached program outlives the node of its owner. Until it has
// another owner, or lost_after has passed, what the owner would be told waits where it is: the
// program blocks in its write, as on any full pipe, and a program that ends stays as it has
// ended.

// detachment is what a process has that outlives its owner.
type detachment struct {
	absence *absence // of the owner; nil: it is there, as far as is known
}

// absence is what there is of an owner whose node is gone.
type absence struct {
	owner etf.Pid // the zero pid: there was none
	since time.Time
	until time.Time
	timer *loop.Timer
}

// lose keeps a process whose owner's node is gone, if it is to be kept. others are linked to it
// there beside the owner: their end is that of the process.
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
		m.log.Info("a worker is ended: nobody has taken it over since its owner's node is gone", "worker", process(e.pid), "after", after)
		m.end(p, gen.Noconnection, history.Node)
	})
	e.detached.absence = a
	return true
}

// absence is that of the owner; nil: there is none.
func (e *entry) absence() *absence {
	if e.detached == nil {
		return nil
	}
	return e.detached.absence
}

// disown: the owner's node is gone. No process of another incarnation of it is the owner.
func disown(p proc) {
	e := p.self()
	e.owner, e.ownerRef = etf.Pid{}, 0
	if prog, ok := p.(*program); ok {
		prog.out.LeaveFlows() // there is one fewer
	}
}

// found: there is an owner again, or the process has ended.
func (e *entry) found() {
	if a := e.absence(); a != nil {
		a.timer.Stop()
		e.detached.absence = nil
	}
}

// awaitsOwner says whether what the owner would be told waits for another one.
func (p *program) awaitsOwner() bool {
	a := p.absence()
	return a != nil && a.owner != (etf.Pid{}) && !p.life.told
}

// lostOwner is what people are told of an absence.
func (e *entry) lostOwner() *stat.Lost {
	a := e.absence()
	if a == nil {
		return nil
	}
	return &stat.Lost{Owner: process(a.owner), Since: a.since, Until: a.until}
}
