package childproc

import (
	"slices"

	"erluv/childproc/history"
	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// proc is a process of the child, as the manager knows it: a program, a watcher of files or an
// upload.
type proc interface {
	self() *entry

	// stop stops the program, watcher or upload, gracefully or at once. The process then ends.
	stop(m *manager, now bool)
	// lost is called when the node of a client is gone. With ends set, the process must end.
	lost(m *manager, ends bool)
	// release gives back the resources of an ended process besides its entry.
	release(m *manager)
	// unanswered answers requests that have waited for the end, which came with a reason.
	unanswered(m *manager, reason etf.Raw) []answer
	// outcome is the answer to calls of stop.
	outcome() etf.Term

	// ownable returns why a process of a node cannot be the owner, or nil.
	ownable(m *manager, pid etf.Pid) error
	// disowned is called when there is a new owner.
	disowned(m *manager)

	// kind says which calls and messages the process accepts.
	kind() taken
	// setopt returns a function that sets an option other than the owner.
	setopt(m *manager, key etf.Atom, v etf.Term) (func(), error)
	// brief returns the figures that cost nothing, with about longest bytes of the command or path.
	// info returns all.
	brief(m *manager, longest int) etf.Map
	info(m *manager) etf.Map
}

// entry is the part of a process that is the same for every kind, in the manager's table.
type entry struct {
	client    *client // to which it belongs
	pid       etf.Pid
	name      *etf.Atom      // registered name; nil: none
	owner     etf.Pid        // the zero pid: none
	ownerRef  uint64         // number of the monitor on the owner; 0: none
	started   int64          // time of the start, in milliseconds of Unix time; 0: not yet
	observers peer.Observers // on the client's node; other nodes' are in client.visits
	asked     *asked         // nil: answered
	ending    *ending        // nil: no end was requested, and its program has never ended
	detached  *detachment    // nil: it ends with its owner
}

func (e *entry) self() *entry { return e }

// asked is the spawn, run or watch request, which is answered once, and what must be done before.
type asked struct {
	*waiting
	link  etf.Pid      // to be linked; the zero pid: none
	proxy *order.Proxy // until it runs
}

// ending has the state of a worker from its end or its program's first end on.
type ending struct {
	exit    workers.Exit
	reason  etf.Raw          // set from outside; nil: the program's end is the reason
	kept    *keptReason      // counted here; nil: not counted
	failing etf.Raw          // why the child stopped the program, such as a timeout; nil: it did not
	by      history.Cause    // why it was ended from outside; "": it was not
	counted *workers.Counted // resources that the program has used; nil: not read
	stops   []*waiting       // calls that wait for the end
	closed  bool             // by the port protocol
}

// ends makes the worker's ending, if there is none yet.
func (e *entry) ends() *ending {
	if e.ending == nil {
		e.ending = &ending{}
	}
	return e.ending
}

// registered returns the registered name of the worker, "" if it has none.
func (e *entry) registered() etf.Atom {
	if e.name == nil {
		return ""
	}
	return *e.name
}

// told returns the ending as far as it is known.
func (e *entry) told() ending {
	if e.ending == nil {
		return ending{}
	}
	return *e.ending
}

// answer is an answer to a caller that is sent before the signals.
type answer struct {
	*waiting
	term etf.Term
}

// answers are the answers to the calls that wait for the end.
func (e *ending) answers(term etf.Term) []answer {
	list := make([]answer, 0, len(e.stops))
	for _, to := range e.stops {
		list = append(list, answer{to, term})
	}
	return list
}

// introduce makes a process known: it sets the requested link, and the monitor on the owner.
func (m *manager) introduce(p proc) {
	if to := p.self().asked.link; to != (etf.Pid{}) {
		m.linkTo(p, to)
	}
	m.monitorOwner(p)
}

// granted answers the request for a process: it exists.
func (m *manager) granted(p proc) {
	m.replyAsked(p, gen.OK(p.self().pid))
	m.wasAsked(p)
}

// linkTo links a process of the child with one of a node.
func (m *manager) linkTo(p proc, to etf.Pid) {
	e := p.self()
	if c := m.clientOf(to, e.client); c != nil {
		c.LinkTo(c.observe(p), e.pid, to)
	}
}

// replyAsked answers the caller that requested a process.
func (m *manager) replyAsked(p proc, term etf.Term) {
	e := p.self()
	to := e.asked.to
	if c := to.client(); c != nil {
		c.Unasked(e.pid, wordOnce, func() { to.reply(term) })
		return
	}
	to.reply(term)
}

// wasAsked frees a request that was answered.
func (m *manager) wasAsked(p proc) {
	e := p.self()
	e.asked.held.Give()
	e.asked = nil
}

// monitorOwner monitors the owner, whose end also ends the process.
func (m *manager) monitorOwner(p proc) {
	e := p.self()
	if e.owner == (etf.Pid{}) || e.detached != nil || e.ownerRef != 0 {
		return
	}
	if c := m.clientOf(e.owner, e.client); c != nil {
		e.ownerRef = m.newRef()
		c.MonitorOwner(e.pid, e.owner, e.ownerRef)
	}
}

// demonitorOwner ends the monitor on the owner, if there is one.
func (m *manager) demonitorOwner(p proc) {
	e := p.self()
	if e.ownerRef == 0 {
		return
	}
	if c := m.clientOf(e.owner, e.client); c != nil {
		c.DemonitorOwner(e.pid, e.owner, e.ownerRef)
	}
	e.ownerRef = 0
}

// bury ends a process. It sends the answers, then the signals to linked processes and monitors.
func (m *manager) bury(p proc) {
	m.forget(p)
	e := p.self()
	end := e.ends()
	if end.reason == nil {
		end.reason = end.failing
	}
	answers := p.unanswered(m, end.reason)
	if end.closed {
		m.tell(e.owner, p, etf.Atom("closed"))
	}
	reason := end.reason
	if reason == nil {
		reason = exitReason(end.exit)
	}
	answers = append(answers, end.answers(p.outcome())...)
	m.bid(p, answers, reason, end.kept)
	m.demonitorOwner(p)
	m.endIfEmpty()
}

// bid sends the end of a process to the nodes: the answers, each to the node of its call, then the
// signals to observers.
func (m *manager) bid(p proc, answers []answer, reason etf.Raw, kept *keptReason) {
	for _, c := range m.clients {
		f := &peer.Farewell{Pid: p.self().pid, Observers: c.takeObservers(p), Reason: reason}
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
	for _, a := range answers { // to callers that get no signals
		a.reply(a.term)
	}
	m.dropReason(kept)
}

// belongsTo reports whether a process belongs to a client that is gone. It does if its owner is
// there, or its caller before the answer.
func (e *entry) belongsTo(c *client) bool {
	if e.owner == (etf.Pid{}) {
		return e.client == c
	}
	return c.Has(e.owner) || e.asked != nil && e.asked.to.client() == c
}

// forget takes a process out of the table.
func (m *manager) forget(p proc) {
	e := p.self()
	if _, ok := m.procs[key(e.pid)].(*program); ok {
		m.programs--
	}
	delete(m.procs, key(e.pid))
	delete(m.seen, key(e.pid))
	if c := e.client; c.left() {
		m.loop.After(0, c.reclaim)
	}
	if e.asked != nil {
		e.asked.held.Give()
	}
	e.found()
	p.release(m)
	m.slack.Happened()
	if e.name != nil {
		delete(m.byName, *e.name)
	}
}

// end ends a process gracefully. Its exit reason is the first one given, and so is its cause.
func (m *manager) end(p proc, reason etf.Raw, by history.Cause) {
	if e := p.self().ends(); e.reason == nil {
		e.kept = m.keepReason(reason)
		e.reason, e.by = e.kept.reason, by
	}
	p.stop(m, false)
}

// kill ends a process at once. Its exit reason is then always killed.
func (m *manager) kill(p proc, by history.Cause) {
	e := p.self().ends()
	m.dropReason(e.kept)
	e.reason, e.kept, e.by = gen.Killed, nil, by
	p.stop(m, true)
}
