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

// proc is a process of ours, a program or a watcher of files, as the manager knows it.
type proc interface {
	self() *entry

	// stop stops what the process stands for, gracefully or at once. The process ends then.
	stop(m *manager, now bool)
	// lost: the node of a client is gone, with ends that is the end of the process.
	lost(m *manager, ends bool)
	// release gives back what the process has beside its entry: it is over.
	release(m *manager)
	// unanswered answers a request that has waited for the end, which has come with a
	// reason.
	unanswered(m *manager, reason etf.Raw) []answer
	// outcome is the answer to calls of stop.
	outcome() etf.Term

	// ownable says why a process of a node cannot be the owner, if it cannot.
	ownable(m *manager, pid etf.Pid) error
	// disowned: the owner is another process from now on.
	disowned(m *manager)

	// kind says which calls and messages it takes.
	kind() taken
	// setopt is what is to be done to set an option beside the owner.
	setopt(m *manager, key etf.Atom, v etf.Term) (func(), error)
	// brief is what is told of the process at no cost, with a command or path of about so
	// many bytes at most; info is everything.
	brief(m *manager, longest int) etf.Map
	info(m *manager) etf.Map
}

// entry is what a process of ours has in the manager's table, of whatever kind it is.
type entry struct {
	client    *client // that it belongs to
	pid       etf.Pid
	name      *etf.Atom      // registered; nil: none
	owner     etf.Pid        // the zero pid: none
	ownerRef  uint64         // of the monitor on the owner; 0: none
	started   int64          // when it was, in milliseconds of Unix time; 0: not yet
	observers peer.Observers // on the client's node; for those of others see client.visits
	asked     *asked         // nil: answered
	ending    *ending        // nil: it was not told to end, and its program never has ended
	detached  *detachment    // nil: it ends with its owner
}

func (e *entry) self() *entry { return e }

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
	reason  etf.Raw          // given from outside; nil: how the program ends
	kept    *keptReason      // where the reason is counted; nil: nowhere
	failing etf.Raw          // why we have stopped the program: it took too long, for one; nil
	by      history.Cause    // why, when it was ended from outside; "": it was not
	counted *workers.Counted // what the program has used; nil: that was not read
	stops   []*waiting       // calls that wait for the end
	closed  bool             // by the port protocol
}

// ends is the worker's ending, from now on.
func (e *entry) ends() *ending {
	if e.ending == nil {
		e.ending = &ending{}
	}
	return e.ending
}

// registered is the name under which the worker is known; "": none.
func (e *entry) registered() etf.Atom {
	if e.name == nil {
		return ""
	}
	return *e.name
}

// told is the ending as far as it is known.
func (e *entry) told() ending {
	if e.ending == nil {
		return ending{}
	}
	return *e.ending
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

// introduce makes a process known to those who are to hear of it: links, the monitor on
// the owner.
func (m *manager) introduce(p proc) {
	if to := p.self().asked.link; to != (etf.Pid{}) {
		m.linkTo(p, to)
	}
	m.monitorOwner(p)
}

// granted answers the request for a process: it is there.
func (m *manager) granted(p proc) {
	m.replyAsked(p, gen.OK(p.self().pid))
	m.wasAsked(p)
}

// linkTo links a process of ours with one of a node.
func (m *manager) linkTo(p proc, to etf.Pid) {
	e := p.self()
	if c := m.clientOf(to, e.client); c != nil {
		c.LinkTo(c.observe(p), e.pid, to)
	}
}

// replyAsked answers who has asked for a process.
func (m *manager) replyAsked(p proc, term etf.Term) {
	e := p.self()
	to := e.asked.to
	if c := to.client(); c != nil {
		c.Unasked(e.pid, wordOnce, func() { to.reply(term) })
		return
	}
	to.reply(term)
}

// wasAsked: the request was answered, and nothing of it is needed any more.
func (m *manager) wasAsked(p proc) {
	e := p.self()
	e.asked.held.Give()
	e.asked = nil
}

// monitorOwner monitors the owner, whose end is that of the process too.
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

// bury ends a process: the answers, then the signals to those who are linked and
// who monitor.
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

// bid has the nodes told of the end of a process of ours: the answers, each where its call
// came from, then the signals to observers.
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
	for _, a := range answers { // to those that are told nothing else
		a.reply(a.term)
	}
	m.dropReason(kept)
}

// belongsTo says whether a process belongs to a client that is gone: its owner is there, or its
// caller while it has not been answered.
func (e *entry) belongsTo(c *client) bool {
	if e.owner == (etf.Pid{}) {
		return e.client == c
	}
	return c.Has(e.owner) || e.asked != nil && e.asked.to.client() == c
}

// forget takes a process out of the table.
func (m *manager) forget(p proc) {
	e := p.self()
	delete(m.procs, key(e.pid))
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

// end ends a process gracefully. The first reason that is given is the one with which it
// will end, and its cause the one that is remembered.
func (m *manager) end(p proc, reason etf.Raw, by history.Cause) {
	if e := p.self().ends(); e.reason == nil {
		e.kept = m.keepReason(reason)
		e.reason, e.by = e.kept.reason, by
	}
	p.stop(m, false)
}

// kill ends a process at once; nothing else can be its reason then.
func (m *manager) kill(p proc, by history.Cause) {
	e := p.self().ends()
	m.dropReason(e.kept)
	e.reason, e.kept, e.by = gen.Killed, nil, by
	p.stop(m, true)
}
