package childproc

import (
	"time"

	"erluv/childproc/history"
	"erluv/childproc/output"
	"erluv/ipc"
	"erluv/loop"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// program is a worker: an operating-system program as a process of the node. Its pid stays when the
// program is started again. There are thousands, most of them idle. So fields that few need are
// behind a pointer, see layout_test.go.
type program struct {
	entry

	w       *workers.Worker // of the current run, or the last one
	cmd     string          // see shorten
	restart *restart        // nil: it is never restarted
	ready   *readiness      // nil: there is nothing to wait for
	run     *collector      // nil: its output is delivered
	out     output.Output
	user    uint8 // index of the allowed user that the program runs as
	life    life

	// These are no states of the life, because each can come and go in several of them.
	stopped bool // by job control; only info shows it
	deaf    bool // the owner knows that commands are lost
}

// kind is the method of proc.
func (p *program) kind() taken {
	if p.run != nil {
		return byRun
	}
	return byWorker
}

// begin starts the program of a worker, the first time or again.
func (p *program) begin(m *manager, spec *workers.Spec) {
	p.stopped, p.deaf = false, false
	if p.ending != nil {
		p.ending.failing = nil
	}
	if p.restart != nil {
		p.restart.begun = m.loop.Now()
	}
	p.out.Begin()
	p.beginReady(m)
	p.w = workers.New(m, m.starterOf(int(p.user)), spec, p)
	p.hold()
}

// Group is the method of workers.Host.
func (m *manager) Group(w *workers.Worker) *loop.Group { return w.Tag.(*program).client.Streams }

// step takes a program through an event and its consequences. The term what is the message to the
// owner, or the caller's error.
func (p *program) step(m *manager, e event, what etf.Term) {
	todo := p.life.step(e)
	if todo&doDecline != 0 {
		m.decline(p, gen.Error(what))
	}
	if todo&doWithdraw != 0 {
		p.withdraw(m)
	}
	if todo&doOwn != 0 {
		m.monitorOwner(p)
	}
	if todo&doPair != 0 {
		p.startProxy(m)
	}
	if todo&doPresent != 0 {
		p.present(m)
	}
	if todo&doTell != 0 && p.run == nil {
		m.tell(p.owner, p, what)
	}
	if todo&doReady != 0 {
		m.tell(p.owner, p, etf.Atom("ready"))
	}
	if todo&(doStop|doKill) != 0 {
		p.halt(m, todo&doKill != 0)
	}
	if todo&doUnpause != 0 {
		p.restart.pause.Stop()
	}
	if todo&doHear != 0 {
		p.heard(m)
	}
	if todo&doBegin != 0 {
		p.begin(m, p.restart.spec)
	}
	if todo&doBury != 0 {
		m.bury(p)
	}
	if todo&doGoOn != 0 {
		p.goOn(m)
	}
}

// halt stops or kills the program. It gives up output that was not requested, and ends a run's wait
// for memory.
func (p *program) halt(m *manager, now bool) {
	p.out.Drop(p)
	p.waitNoMore(m)
	if now {
		p.w.Kill()
	} else {
		p.w.Stop()
	}
}

// goOn is the one order in which a program's output goes on after any event. It serves the given
// streams with bytes that were read, and reads or holds pipes. It reads the rest of an ended
// program, and if that was all, the life goes on.
func (p *program) goOn(m *manager, served ...workers.Stream) {
	for _, s := range served {
		p.out.Serve(p, s)
	}
	p.hold()
	p.w.Resume()
	if p.life.state == stDraining && p.delivered() {
		e := p.ending
		p.decide(m, e.exit != workers.Exit{} || e.failing != nil, exitTerm(e.exit))
	}
}

// goOnAll is goOn with all streams.
func (p *program) goOnAll(m *manager) {
	p.out.ServeAll(p)
	p.goOn(m)
}

// present makes a worker known, and delivers output that was read.
func (p *program) present(m *manager) {
	m.introduce(p)
	if p.run == nil {
		m.granted(p)
	}
	p.out.ServeAll(p)
	if p.ready != nil {
		p.tellStatus(m)
	}
}

// Started is called when the program runs.
func (m *manager) Started(w *workers.Worker) {
	p := w.Tag.(*program)
	p.started = time.Now().UnixMilli()
	m.slack.Happened()
	m.totals.started++
	m.logStarted(p)
	m.noteRun(p)
	p.awaitReady(m)
	var what etf.Term
	if n := p.restarts(); n > 0 {
		what = etf.Tuple{etf.Atom("restarted"), int64(w.PID()), int64(n)}
	}
	p.step(m, evStarted, what)
}

// Failed is called when no program was started. The first time, that is the answer to the request.
// Later it counts as an end of the program.
func (m *manager) Failed(w *workers.Worker, f ipc.Refusal) {
	p := w.Tag.(*program)
	m.logFailed(p, f)
	m.totals.ended[endNotStarted]++
	if p.life.state == stStarting {
		p.step(m, evRefused, failureTerm(f))
		return
	}
	p.decide(m, true, etf.Tuple{etf.Atom("restart_failed"), failureTerm(f)})
}

// TimedOut is called when the program has run or was silent for as long as it may.
func (m *manager) TimedOut(w *workers.Worker) {
	w.Tag.(*program).fault(m, gen.Timeout)
}

// fault stops a program that violates an option. why becomes the worker's exit reason, unless the
// program is started again.
func (p *program) fault(m *manager, why etf.Raw) {
	if e := p.ends(); e.failing == nil {
		e.failing = why
	}
	p.step(m, evFault, nil)
}

// Stopped and Continued report job control.
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

// Gone is called when the program has ended, and all its output was read from the pipes.
func (m *manager) Gone(w *workers.Worker, e workers.Exit) {
	p := w.Tag.(*program)
	m.logEnded(p, e)
	m.countEnd(p, e)
	p.ends().exit = e
	m.noteEnd(p, e)
	if p.ready != nil {
		p.readyAtEnd(m)
	}
	p.step(m, evOver, nil)
}

// delivered reports whether no output is left that waits for a reader, for room, or for an owner.
func (p *program) delivered() bool { return !p.awaitsOwner() && p.out.Delivered() }

// release is the method of proc.
func (p *program) release(m *manager) {
	if p.restart != nil {
		p.restart.held.Give()
	}
	if p.ready != nil {
		p.ready.held.Give()
	}
	m.host.leaves(p)
	m.ids.forget(p)
	m.closeLog(p)
	p.out.EndReaders(p)
	m.unready.forget(p)
	p.out.LeaveFlows()
}

// unanswered is the method of proc. The caller of a run gets its answer when there is room. The
// caller of a program that ended before it was ready gets it now.
func (p *program) unanswered(m *manager, reason etf.Raw) []answer {
	switch {
	case p.run != nil:
		c := p.asked.to.near(&p.entry)
		c.ran = append(c.ran, p)
		c.answerRuns()
	case p.life.quiet && p.asked != nil:
		return []answer{{p.asked.waiting, notReadyTerm(reason)}}
	}
	return nil
}

// outcome is the method of proc.
func (p *program) outcome() etf.Term { return gen.OK(exitTerm(p.told().exit)) }

// stop is the method of proc.
func (p *program) stop(m *manager, now bool) {
	if now {
		p.step(m, evKill, nil)
	} else {
		p.step(m, evEnd, nil)
	}
}

// lost is the method of proc. The remaining output goes on, since its receiver is gone.
func (p *program) lost(m *manager, ends bool) {
	if ends {
		p.w.StopWithin(afterLoss)
		m.end(p, gen.Noconnection, history.Node)
	}
	p.goOn(m)
}

// disowned is the method of proc. Output that waited for an owner goes on.
func (p *program) disowned(m *manager) {
	p.deaf = false
	p.out.LeaveFlows()
	p.heard(m)
	p.goOnAll(m)
}

// ownable is the method of proc.
func (p *program) ownable(m *manager, pid etf.Pid) error { return m.reachable(pid) }
