package childproc

import (
	"time"

	"erluv/childproc/history"
	"erluv/childproc/ring"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// This file tells package history why programs have ended.

const (
	// A program must have run for countedAfter for its use of resources to be read at its end. At
	// most mostCounted are read in a second, because each takes some 20 µs.
	countedAfter = time.Second
	mostCounted  = 100
)

// counting bounds how often counters of control groups are read at ends.
type counting struct {
	second int64
	n      int
}

// noteRun records that a program runs.
func (m *manager) noteRun(p *program) {
	if m.history.On() {
		m.history.Runs(key(p.pid), m.entryOf(p))
	}
}

func (m *manager) entryOf(p *program) *history.Entry {
	return &history.Entry{
		ID: p.pid.ID, Serial: p.pid.Serial, Creation: p.pid.Creation, Name: string(p.registered()), Command: p.cmd,
		User: m.start.Allowed[p.user].User, OSPID: p.w.PID(), Started: p.startedAt(), Restarts: p.restarts(),
		Kept: m.logs.of[p] != nil, CPU: -1, MemoryPeak: -1,
	}
}

// noteUse reads the resources that a program has used, once none of its processes runs any more.
func (m *manager) noteUse(p *program) {
	now := time.Now()
	if !m.history.On() || now.Sub(p.startedAt()) < countedAfter {
		return
	}
	if second := now.Unix(); second != m.counting.second {
		m.counting = counting{second: second}
	}
	if m.counting.n++; m.counting.n <= mostCounted {
		counted := p.w.Counted()
		p.ends().counted = &counted
	}
}

// noteEnd records the end of a program. A run that succeeded is not recorded, since its caller has
// the whole result.
func (m *manager) noteEnd(p *program, exit workers.Exit) {
	cause := p.cause(exit)
	if p.run != nil && exit == (workers.Exit{}) && cause == history.Exited {
		m.history.Forget(key(p.pid))
		return
	}
	if !m.history.On() {
		return
	}
	e := m.entryOf(p)
	e.Ended, e.Cause, e.Exit = time.Now(), cause, exit
	if counted := p.ending.counted; counted != nil {
		e.MemoryPeak = counted.MemoryPeak
		if counted.CPU >= 0 {
			e.CPU = time.Duration(counted.CPU) * time.Millisecond
		}
		p.ending.counted = nil
	}
	if e.Log = m.logs.of[p]; e.Log != nil {
		e.LogEnd = e.Log.End()
	}
	m.history.Ends(key(p.pid), e)
}

// cause returns the reason why a program has ended.
func (p *program) cause(exit workers.Exit) history.Cause {
	end := p.told()
	switch {
	case end.by != "":
		return end.by
	case p.run != nil && (p.run.full || p.run.crowded):
		return history.Output
	case gen.IsAtom(end.failing, gen.Timeout):
		return history.Timeout
	case gen.IsAtom(end.failing, reasonWatchdog):
		return history.Watchdog
	case end.failing != nil:
		return history.NotReady
	case exit.OOM:
		return history.OOM
	}
	return history.Exited
}

// stoppedBy returns the cause of an end that a process of a node, or an operator, has requested.
func (c *client) stoppedBy(cause history.Cause) history.Cause {
	if c != nil && !c.isNode() {
		return history.Operator
	}
	return cause
}

// ended describes an end for info.
func (m *manager) ended(e *history.Entry) stat.Ended {
	s := stat.Ended{
		Worker: process(m.pidOf(e)),
		Name:   e.Name, Command: arguments(e.Command, listedText/max(m.history.Len(), 1)), User: e.User, PID: e.OSPID, Started: e.Started, Ended: e.Ended,
		Cause: string(e.Cause), Restarts: e.Restarts, CPU: e.CPU, MemoryPeak: e.MemoryPeak,
	}
	if e.Cause != history.ChildCrashed {
		s.Exit = statExit(e.Exit)
	}
	if e.Log != nil {
		pieces, _, _ := e.Log.Read(ring.Query{Before: e.LogEnd, Lines: lastLines})
		for _, p := range pieces {
			s.Last += string(p.Data)
		}
		s.Last = s.Last[max(0, len(s.Last)-lastBytes):]
	}
	return s
}

func statExit(e workers.Exit) *stat.Exit {
	s := &stat.Exit{Status: e.Status}
	switch sig := gen.Signal(e.Signal).(type) {
	case etf.Atom:
		s.Signal = stat.Word(sig)
	case int64:
		if sig != 0 {
			s.Signal = sig
		}
	}
	switch {
	case e.OOM:
		s.How = "oom"
	case e.Core:
		s.How = "core"
	}
	return s
}

// The most lines and bytes of the log that the description of an end has.
const (
	lastLines = 10
	lastBytes = 2 << 10
)

// historyTerm is what {info, history} answers.
func (m *manager) historyTerm() etf.Term {
	list := make(etf.List, 0, m.history.Len())
	for e := range m.history.All {
		s := m.ended(e)
		list = append(list, stat.Terms(s.Items()))
	}
	return list
}
