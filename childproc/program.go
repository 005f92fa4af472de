package childproc

import (
	"time"

	"erluv/ipc"
	"erluv/loop"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// program is a worker: a program of the operating system as a process of the node. Its
// pid stays while the program is started again. There are thousands, most of them idle:
// what few need stands behind a pointer, see layout_test.go.
type program struct {
	entry

	w       *workers.Worker // of the program that runs, or that ran last
	cmd     string          // see shorten
	streams []stream        // stdout, stderr, and further ones by descriptor
	restart *restart        // nil: never
	ready   *readiness
	run     *collector
	packet  packet // how output is cut
	active  int32  // how many messages with output may be sent, or activeTrue
	device  device // as an I/O device
	user    uint8  // number of the allowed user that the program runs as
	auto    bool   // activeTrue, as far as the receivers keep up
	once    bool   // active was once: nobody is told that it is passive again
	dropped bool   // output that was not asked for is given up
	over    bool   // the program is gone, output is still to be read
	stopped bool   // by job control
	deaf    bool   // the owner was told that commands are lost
	hidden  bool   // nobody has heard of it yet but who has asked for it
}

// awaitsProxy says whether a proxy is to be started first.
func (p *program) awaitsProxy() bool { return p.asked != nil && p.asked.proxy != nil }

// begin starts the program of a worker, for the first time or again.
func (m *manager) begin(p *program, spec *workers.Spec) {
	p.over, p.stopped, p.deaf = false, false, false
	if p.ending != nil {
		p.ending.failing = nil
	}
	if p.restart != nil {
		p.restart.begun = m.loop.Now()
	}
	for i := range p.streams {
		p.streams[i].ended, p.streams[i].told = false, false
	}
	m.beginReady(p)
	p.w = workers.New(m, m.starterOf(int(p.user)), spec, p)
	m.hold(p)
}

// Group: see workers.Host.
func (m *manager) Group(w *workers.Worker) *loop.Group { return w.Tag.(*program).client.streams }

// Started: the program runs.
func (m *manager) Started(w *workers.Worker) {
	p := w.Tag.(*program)
	p.started = time.Now().UnixMilli()
	m.slack.Happened()
	m.logStarted(p)
	if n := p.restart.restarts(); n > 0 {
		m.tell(p.owner, p, etf.Tuple{etf.Atom("restarted"), int64(w.PID()), int64(n)})
		m.awaitReady(p)
		return
	}
	m.awaitReady(p)
	switch {
	case p.ready.unheard():
		m.watchOwner(p)
	case p.awaitsProxy():
		m.startProxy(p)
	default:
		m.present(p)
	}
}

// present makes a worker known, and lets its output flow.
func (m *manager) present(p *program) {
	p.hidden = false
	m.introduce(p)
	if p.run == nil {
		m.granted(p)
	}
	m.serveAll(p)
	m.hold(p)
	p.w.Resume()
}

// Failed: nothing was started. The first time that is the answer to the request;
// later it counts as an end of the program.
func (m *manager) Failed(w *workers.Worker, f ipc.Refusal) {
	p := w.Tag.(*program)
	m.logFailed(p, f)
	if p.restart.restarts() == 0 {
		m.forget(p)
		m.neverWas(p, gen.Error(failureTerm(f)))
		m.finishIfEmpty()
		return
	}
	m.tell(p.owner, p, etf.Tuple{etf.Atom("restart_failed"), failureTerm(f)})
	if !m.again(p, true) {
		m.bury(p)
	}
}

func failureTerm(f ipc.Refusal) etf.Term {
	if f.Errno == unix.ECANCELED {
		return etf.Atom("stopping")
	}
	e := gen.Errno(f.Errno)
	if short(f) {
		return e
	}
	switch f.Stage {
	case ipc.StageDir:
		return etf.Tuple{etf.Atom("cd"), e}
	case ipc.StageStdin:
		return etf.Tuple{etf.Atom("stdin"), e}
	case ipc.StageStdout:
		return etf.Tuple{etf.Atom("stdout"), e}
	case ipc.StageStderr:
		return etf.Tuple{etf.Atom("stderr"), e}
	case ipc.StageFD:
		return etf.Tuple{int64(f.FD), e}
	case ipc.StageAttribute:
		return etf.Tuple{etf.Atom(f.Attribute.String()), e}
	case ipc.StageNotify:
		return etf.Tuple{etf.Atom("notify"), e}
	case ipc.StageLimits:
		return limitsTerm(f.Limit, f.Errno)
	case ipc.StageConfine:
		return etf.Tuple{etf.Atom("sandbox"), e}
	case ipc.StageUser:
		return userFailure(f.Errno)
	case ipc.StageTerminal:
		return etf.Tuple{etf.Atom("pty"), e}
	}
	return e
}

// TimedOut: the program has run, or was silent, for as long as it may.
func (m *manager) TimedOut(w *workers.Worker) {
	m.fault(w.Tag.(*program), gen.Timeout)
}

// fault stops a program that does not do what it should. That is the worker's exit
// reason, unless the program is started again.
func (m *manager) fault(p *program, why etf.Raw) {
	if e := p.ends(); e.failing == nil {
		e.failing = why
	}
	m.drop(p)
	m.waitNoMore(p)
	p.w.Stop()
}

// Stopped and Continued: job control.
func (m *manager) Stopped(w *workers.Worker, sig unix.Signal) {
	p := w.Tag.(*program)
	p.stopped = true
	m.tellLast(wordJob, p.owner, p, etf.Tuple{etf.Atom("stopped"), gen.Signal(sig)})
}

// Continued: see Stopped.
func (m *manager) Continued(w *workers.Worker) {
	p := w.Tag.(*program)
	p.stopped = false
	m.tellLast(wordJob, p.owner, p, etf.Atom("continued"))
}

// Gone: the program is over, and all it wrote was read from the pipes.
func (m *manager) Gone(w *workers.Worker, e workers.Exit) {
	p := w.Tag.(*program)
	p.over, p.ends().exit = true, e
	m.logEnded(p, e)
	m.readyAtEnd(p)
	m.finish(p)
}

// finish goes on when the program is over, unless somebody may still read its
// output: the last message to the owner, then the program is started again, or
// the worker ends.
func (m *manager) finish(p *program) {
	if !p.over || p.awaitsProxy() || !p.delivered() {
		return
	}
	p.over = false
	if p.run == nil {
		m.tellExit(p)
	}
	if !m.again(p, p.ending.exit != workers.Exit{} || p.ending.failing != nil) {
		m.bury(p)
	}
}

// delivered says whether nothing is left for somebody who reads on demand, or that waits
// for room.
func (p *program) delivered() bool {
	for i := range p.streams {
		if st := &p.streams[i]; st.unserved() || !p.dropped && !st.delivered() {
			return false
		}
	}
	return true
}

func (m *manager) tellExit(p *program) {
	m.tell(p.owner, p, exitTerm(p.ending.exit))
}

// release: see proc.
func (p *program) release(m *manager) {
	if p.restart != nil {
		p.restart.held.Give()
	}
	if p.ready != nil {
		p.ready.held.Give()
	}
	m.endReaders(p)
	m.unready.forget(p)
	for i := range p.streams {
		p.streams[i].leaveFlows()
	}
}

// unanswered: see proc. A run is answered when there is room, and a program that has ended
// before it was ready now.
func (p *program) unanswered(m *manager, reason etf.Raw) []answer {
	switch {
	case p.run != nil:
		c := p.asked.to.client()
		c.ran = append(c.ran, p)
		c.answerRuns()
	case p.ready.unheard() && p.asked != nil:
		return []answer{{p.asked.waiting, notReadyTerm(reason)}}
	}
	return nil
}

// outcome: see proc.
func (p *program) outcome() etf.Term { return gen.OK(exitTerm(p.told().exit)) }

// stop: see proc. It ends the pause too before the program would be started again.
func (p *program) stop(m *manager, now bool) {
	if p.unheard() {
		m.withdraw(p)
	}
	m.drop(p)
	m.waitNoMore(p)
	if m.rest(p) {
		m.bury(p)
		return
	}
	if now {
		p.w.Kill()
	} else {
		p.w.Stop()
	}
	m.letFlow(p)
	m.finish(p)
}

// lost: see proc. What is left flows: nobody is there to be spared.
func (p *program) lost(m *manager, ends bool) {
	if ends {
		p.w.StopWithin(afterLoss)
		m.end(p, gen.Noconnection)
	}
	m.letFlow(p)
}

// disowned: see proc.
func (p *program) disowned() {
	p.deaf = false
	for i := range p.streams {
		p.streams[i].leaveFlows()
	}
}

// ownable: see proc.
func (p *program) ownable(m *manager, pid etf.Pid) error { return m.reachable(pid) }
