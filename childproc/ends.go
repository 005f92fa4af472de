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

// Why programs have ended: the history of this node. The history itself is a room of its own; here
// it learns what happens.

const (
	// countedAfter is how long a program must have run for what it has used to be counted at its
	// end, and mostCounted how many are in a second: it takes some 20 µs each.
	countedAfter = time.Second
	mostCounted  = 100
)

// counting bounds how often counters of control groups are read at ends.
type counting struct {
	second int64
	n      int
}

// noteRun notes that a program runs.
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

// noteUse reads what a program has used, once nothing of it runs any more.
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

// noteEnd notes the end of a program. Of a run that has succeeded its caller has been told all.
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

// cause is why a program has ended.
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

// stoppedBy is the cause of what a process, or an operator, has asked for.
func (c *client) stoppedBy(cause history.Cause) history.Cause {
	if c != nil && !c.isNode() {
		return history.Operator
	}
	return cause
}

// ended is what is told of an end.
func (m *manager) ended(e *history.Entry) stat.Ended {
	s := stat.Ended{
		Worker: process(etf.Pid{Node: m.name, ID: e.ID, Serial: e.Serial, Creation: e.Creation}),
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

// What is told of the log with an end: so many lines, and bytes of them.
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
