package childproc

import (
	"slices"
	"time"

	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/ipc"
	"erluv/loop"
	"erluv/loop/watch"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// proc is a worker as a process of the node. Its pid stays while its program is
// started again. There are thousands, most of them idle: what few need stands behind a
// pointer, see layout_test.go.
type proc struct {
	client    *client         // that it belongs to
	w         *workers.Worker // of the program that runs, or that ran last
	fs        *watch.Watcher  // instead of a program: see fsevents.go
	pid       etf.Pid
	name      *etf.Atom      // registered; nil: none
	owner     etf.Pid        // the zero pid: none
	ownerRef  uint64         // of the monitor on the owner; 0: none
	cmd       string         // see shorten
	started   int64          // when the program was, in milliseconds of Unix time; 0: not yet
	streams   []stream       // stdout, stderr, and further ones by descriptor
	observers peer.Observers // on the client's node; for those of others see client.visits
	asked     *asked         // nil: answered
	ending    *ending        // nil: it was not told to end, and its program never has ended
	restart   *restart       // nil: never
	ready     *readiness
	run       *collector
	packet    packet // how output is cut
	active    int32  // how many messages with output may be sent, or activeTrue
	device    device // as an I/O device
	user      uint8  // number of the allowed user that the program runs as
	detached  bool
	auto      bool // activeTrue, as far as the receivers keep up
	once      bool // active was once: nobody is told that it is passive again
	dropped   bool // output that was not asked for is given up
	over      bool // the program is gone, output is still to be read
	stopped   bool // by job control
	closed    bool // by the port protocol
	deaf      bool // the owner was told that commands are lost
	hidden    bool // nobody has heard of it yet but who has asked for it
}

// asked is the spawn, run or watch request, which is answered once, and what is to be
// done before.
type asked struct {
	*waiting
	link  etf.Pid      // to be linked; the zero pid: nobody
	proxy *order.Proxy // until it runs
}

// ending is what is known of the end of a worker, or of its program.
type ending struct {
	exit    workers.Exit
	reason  etf.Raw     // given from outside; nil: how the program ends
	kept    *keptReason // where the reason is counted; nil: nowhere
	failing etf.Raw     // why we have stopped the program: it took too long, for one; nil
	stops   []*waiting  // calls that wait for the end
}

// ends is the worker's ending, from now on.
func (p *proc) ends() *ending {
	if p.ending == nil {
		p.ending = &ending{}
	}
	return p.ending
}

// registered is the name under which the worker is known; "": none.
func (p *proc) registered() etf.Atom {
	if p.name == nil {
		return ""
	}
	return *p.name
}

// told is the ending as far as it is known.
func (p *proc) told() ending {
	if p.ending == nil {
		return ending{}
	}
	return *p.ending
}

// answer is the answer to a caller that is said before other things.
type answer struct {
	*waiting
	term etf.Term
}

// answers are those to the calls that wait for the end.
func (e *ending) answers(term etf.Term) []answer {
	list := make([]answer, 0, len(e.stops))
	for _, to := range e.stops {
		list = append(list, answer{to, term})
	}
	return list
}

// awaitsProxy says whether a proxy is to be started first.
func (p *proc) awaitsProxy() bool { return p.asked != nil && p.asked.proxy != nil }

// begin starts the program of a worker, for the first time or again.
func (m *manager) begin(p *proc, spec *workers.Spec) {
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
func (m *manager) Group(w *workers.Worker) *loop.Group { return w.Tag.(*proc).client.streams }

// Started: the program runs.
func (m *manager) Started(w *workers.Worker) {
	p := w.Tag.(*proc)
	p.started = time.Now().UnixMilli()
	m.slack.Happened()
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

// introduce makes a worker known: links, the monitor on the owner, the answer.
func (m *manager) introduce(p *proc) {
	if to := p.asked.link; to != (etf.Pid{}) {
		m.linkTo(p, to)
	}
	m.watchOwner(p)
	if p.run == nil {
		m.replyAsked(p, gen.OK(p.pid))
		m.wasAsked(p)
	}
}

// linkTo links a worker with a process of a node.
func (m *manager) linkTo(p *proc, to etf.Pid) {
	if c := m.clientOf(to, p.client); c != nil {
		c.LinkTo(c.observe(p), p.pid, to)
	}
}

// replyAsked answers who has asked for a worker.
func (m *manager) replyAsked(p *proc, term etf.Term) {
	to := p.asked.to
	if c := to.client(); c != nil {
		c.Unasked(p.pid, wordOnce, func() { to.reply(term) })
		return
	}
	to.reply(term)
}

// wasAsked: the request was answered, and nothing of it is needed any more.
func (m *manager) wasAsked(p *proc) {
	p.asked.held.Give()
	p.asked = nil
}

// present makes a worker known, and lets its output flow.
func (m *manager) present(p *proc) {
	p.hidden = false
	m.introduce(p)
	m.serveAll(p)
	m.hold(p)
	p.w.Resume()
}

// watchOwner monitors the owner, whose end is the worker's.
func (m *manager) watchOwner(p *proc) {
	if p.owner == (etf.Pid{}) || p.detached || p.ownerRef != 0 {
		return
	}
	if c := m.clientOf(p.owner, p.client); c != nil {
		p.ownerRef = m.newRef()
		c.MonitorOwner(p.pid, p.owner, p.ownerRef)
	}
}

// unwatchOwner ends the monitor on the owner, if there is one.
func (m *manager) unwatchOwner(p *proc) {
	if p.ownerRef == 0 {
		return
	}
	if c := m.clientOf(p.owner, p.client); c != nil {
		c.DemonitorOwner(p.pid, p.owner, p.ownerRef)
	}
	p.ownerRef = 0
}

// Failed: nothing was started. The first time that is the answer to the request;
// later it counts as an end of the program.
func (m *manager) Failed(w *workers.Worker, f ipc.Refusal) {
	p := w.Tag.(*proc)
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
	m.fault(w.Tag.(*proc), gen.Timeout)
}

// fault stops a program that does not do what it should. That is the worker's exit
// reason, unless the program is started again.
func (m *manager) fault(p *proc, why etf.Raw) {
	if e := p.ends(); e.failing == nil {
		e.failing = why
	}
	m.drop(p)
	m.waitNoMore(p)
	p.w.Stop()
}

// Stopped and Continued: job control.
func (m *manager) Stopped(w *workers.Worker, sig unix.Signal) {
	p := w.Tag.(*proc)
	p.stopped = true
	m.tellLast(wordJob, p.owner, p, etf.Tuple{etf.Atom("stopped"), gen.Signal(sig)})
}

// Continued: see Stopped.
func (m *manager) Continued(w *workers.Worker) {
	p := w.Tag.(*proc)
	p.stopped = false
	m.tellLast(wordJob, p.owner, p, etf.Atom("continued"))
}

// Gone: the program is over, and all it wrote was read from the pipes.
func (m *manager) Gone(w *workers.Worker, e workers.Exit) {
	p := w.Tag.(*proc)
	p.over, p.ends().exit = true, e
	m.readyAtEnd(p)
	m.finish(p)
}

// finish goes on when the program is over, unless somebody may still read its
// output: the last message to the owner, then the program is started again, or
// the worker ends.
func (m *manager) finish(p *proc) {
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
func (p *proc) delivered() bool {
	for i := range p.streams {
		if st := &p.streams[i]; st.unserved() || !p.dropped && !st.delivered() {
			return false
		}
	}
	return true
}

func (m *manager) tellExit(p *proc) {
	m.tell(p.owner, p, exitTerm(p.ending.exit))
}

// bury ends a worker: the answers, then the signals to those who are linked and
// who monitor.
func (m *manager) bury(p *proc) {
	m.forget(p)
	e := p.ends()
	if e.reason == nil {
		e.reason = e.failing
	}
	var answers []answer
	if p.run != nil {
		c := p.asked.to.client()
		c.ran = append(c.ran, p)
		c.answerRuns()
	} else if p.ready.unheard() && p.asked != nil {
		answers = []answer{{p.asked.waiting, notReadyTerm(e.reason)}}
	} else if p.closed {
		m.tell(p.owner, p, etf.Atom("closed"))
	}
	var stopped etf.Term = etf.Atom("ok")
	if p.fs == nil {
		stopped = gen.OK(exitTerm(e.exit))
	}
	reason := e.reason
	if reason == nil {
		reason = exitReason(e.exit)
	}
	answers = append(answers, e.answers(stopped)...)
	m.bid(p, answers, reason, e.kept)
	m.unwatchOwner(p)
	m.finishIfEmpty()
}

// bid has the nodes told of the end of a process of ours: the answers, each where its call
// came from, then the signals to observers.
func (m *manager) bid(p *proc, answers []answer, reason etf.Raw, kept *keptReason) {
	for _, c := range m.clients {
		f := &peer.Farewell{Pid: p.pid, Observers: c.takeObservers(p), Reason: reason}
		answers = slices.DeleteFunc(answers, func(a answer) bool {
			if a.to.client() != c {
				return false
			}
			f.Answers = append(f.Answers, a.waiting.answer(a.term))
			return true
		})
		if f.Observers.Empty() && f.Answers == nil {
			continue
		}
		if kept != nil {
			kept.users++
			f.Over = func() { m.dropReason(kept) }
		}
		c.Bid(f)
	}
	for _, a := range answers { // to those that are told nothing else
		a.reply(a.term)
	}
	m.dropReason(kept)
}

// belongsTo says whether a process belongs to a client that is gone: its owner is there, or its
// caller while it has not been answered.
func (p *proc) belongsTo(c *client) bool {
	if p.owner == (etf.Pid{}) {
		return p.client == c
	}
	return c.Has(p.owner) || p.asked != nil && p.asked.to.client() == c
}

func (m *manager) forget(p *proc) {
	delete(m.procs, key(p.pid))
	if p.asked != nil {
		p.asked.held.Give()
	}
	if p.restart != nil {
		p.restart.held.Give()
	}
	if p.ready != nil {
		p.ready.held.Give()
	}
	m.endReaders(p)
	m.unready.forget(p)
	m.slack.Happened()
	if p.name != nil {
		delete(m.byName, *p.name)
	}
	for i := range p.streams {
		p.streams[i].leaveFlows()
	}
}

// end stops a worker gracefully. The first reason that is given is the one with
// which it will end.
func (m *manager) end(p *proc, reason etf.Raw) {
	if e := p.ends(); e.reason == nil {
		e.kept = m.keepReason(reason)
		e.reason = e.kept.reason
	}
	m.finishOff(p, (*workers.Worker).Stop)
}

// kill ends a worker at once; nothing else can be its reason then.
func (m *manager) kill(p *proc) {
	e := p.ends()
	m.dropReason(e.kept)
	e.reason, e.kept = gen.Killed, nil
	m.finishOff(p, (*workers.Worker).Kill)
}

// finishOff ends the program, or the pause before it would be started again.
func (m *manager) finishOff(p *proc, stop func(*workers.Worker)) {
	if p.fs != nil {
		m.endWatch(p)
		return
	}
	if p.unheard() {
		m.withdraw(p)
	}
	m.drop(p)
	m.waitNoMore(p)
	if m.rest(p) {
		m.bury(p)
		return
	}
	stop(p.w)
	m.letFlow(p)
	m.finish(p)
}
