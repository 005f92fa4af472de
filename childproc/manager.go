package childproc

import (
	"time"

	"erluv/dist"
	"erluv/etf"
	"erluv/ipc"
	"erluv/loop"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// phase is where the manager stands.
type phase uint8

const (
	serving      phase = iota // requests are taken
	stopping                  // no new workers; those that run are ending
	disconnected              // the node is gone; the workers are ending
	over                      // no worker is left
)

func (p phase) String() string {
	return [...]string{"running", "stopping", "disconnected", "over"}[p]
}

// afterLoss is how long workers have to end gracefully once the node is gone.
const afterLoss = 500 * time.Millisecond

// manager owns the table of workers and takes every decision about them.
type manager struct {
	start       ipc.Start
	self        etf.Pid // the manager's own
	out         *outbox
	starter     *workers.Starter
	streams     *loop.Group // paused while there is no room for output
	ticktime    func(time.Duration)
	done        func(ipc.Cause, string) // no worker is left
	killTimeout time.Duration
	environ     map[string]string
	since       time.Time

	phase    phase
	reason   string // why it stops, for people
	procs    map[uint64]*proc
	nextPid  uint32
	nextRef  uint64
	watchers int // links and monitors, of all
	names    watchers
	stalled  []*workers.Worker // draining, waiting for room
	msg      dist.Message
	refused  uint64 // frames that were not understood
	frame    delivery
	scratch  []byte // what is read when it does not go straight into a message
}

// proc is a worker as a process of the node.
type proc struct {
	w        *workers.Worker
	pid      etf.Pid
	cmd      []string // shortened
	started  time.Time
	owner    etf.Pid // the zero pid: none
	ownerRef uint64  // of the monitor on the owner; 0: none
	detached bool
	link     etf.Pid   // to be linked when it has started
	streams  [2]stream // stdout and stderr
	packet   packet    // how they are cut
	active   int       // how many messages with output may be sent, or activeTrue
	once     bool      // active was once: nobody is told that it is passive again
	dropped  bool      // output that was not asked for is given up
	over     bool      // the worker is gone, output is still to be read
	exit     workers.Exit
	watch    watchers
	asked    from    // the spawn or run request; answered once
	reason   etf.Raw // given from outside; nil: how the program ends
	stops    []from  // calls that wait for the end
	closed   bool    // by the port protocol
	run      *collector
}

func newManager(start ipc.Start) *manager {
	m := &manager{
		start:       start,
		killTimeout: time.Duration(start.KillTimeoutMS) * time.Millisecond,
		environ:     make(map[string]string),
		since:       time.Now(),
		procs:       make(map[uint64]*proc),
		scratch:     make([]byte, scratchSize),
	}
	for _, e := range start.Environ {
		if name, value, ok := cut(e); ok {
			m.environ[name] = value
		}
	}
	m.self = m.newPid()
	return m
}

// Pids: 15 bits of id and 13 of serial, as every release of OTP takes them.
const (
	pidIDBits     = 15
	pidSerialBits = 13
)

// newPid gives a pid that no process of ours has.
func (m *manager) newPid() etf.Pid {
	for {
		m.nextPid++
		n := m.nextPid & (1<<(pidIDBits+pidSerialBits) - 1)
		pid := etf.Pid{
			Node: etf.Atom(m.start.Node), Creation: m.start.Creation,
			ID: n & (1<<pidIDBits - 1), Serial: n >> pidIDBits,
		}
		if _, taken := m.procs[key(pid)]; !taken && pid != m.self && n != 0 {
			return pid
		}
	}
}

func key(p etf.Pid) uint64 { return uint64(p.Serial)<<32 | uint64(p.ID) }

// find is the process with a pid, of this incarnation of the node.
func (m *manager) find(pid etf.Pid) *proc {
	if p := m.procs[key(pid)]; p != nil && p.pid == pid {
		return p
	}
	return nil
}

// newRef gives a reference of our own.
func (m *manager) newRef() uint64 {
	m.nextRef++
	return m.nextRef
}

func (m *manager) ref(n uint64) etf.Raw {
	return etf.AppendNewRef(nil, etf.Atom(m.start.Node), m.start.Creation, uint32(n)&0x3ffff, uint32(n>>18), 0)
}

// request takes one call to the manager.
func (m *manager) request(to from, req etf.Raw) {
	t, err := etf.Decode(req)
	if err != nil {
		m.out.reply(to, badRequest(req))
		return
	}
	switch r := t.(type) {
	case etf.Atom:
		switch r {
		case "info":
			m.out.reply(to, m.info())
			return
		case "workers":
			m.out.reply(to, m.list())
			return
		}
	case etf.Tuple:
		if m.tupleRequest(to, r) {
			return
		}
	}
	m.out.reply(to, badRequest(req))
}

func (m *manager) tupleRequest(to from, r etf.Tuple) bool {
	if len(r) == 0 {
		return false
	}
	name, _ := r[0].(etf.Atom)
	switch {
	case (name == "spawn" || name == "run") && len(r) == 3:
		m.spawn(to, r[1], r[2], name == "run")
	case name == "info" && len(r) == 2:
		m.out.reply(to, m.infoOf(r[1]))
	case name == "set" && len(r) == 3:
		m.out.reply(to, errorTerm(etf.Atom("read_only")))
	case name == "stop" && len(r) == 2:
		m.out.reply(to, etf.Atom("ok"))
		m.stop(raw(r[1]), "the node asked for it")
	default:
		return false
	}
	return true
}

// spawn starts a worker, or says why not. The answer comes when the spawner has
// answered.
func (m *manager) spawn(to from, cmd, opts etf.Term, run bool) {
	if m.phase != serving {
		m.out.reply(to, errorTerm(etf.Atom("stopping")))
		return
	}
	o, bad := m.orderOf(to.pid, cmd, opts, run)
	if bad != nil {
		m.out.reply(to, bad.term())
		return
	}
	if len(m.procs) >= int(m.start.MaxWorkers) {
		m.out.reply(to, errorTerm(etf.Atom("max_workers")))
		return
	}
	p := &proc{
		pid: m.newPid(), cmd: shorten(o.spec.Args), owner: o.owner, detached: o.detached,
		streams: o.streams, packet: o.packet, active: o.active.mode, once: o.active.once, asked: to.keep(),
	}
	if o.active.count > 0 {
		p.active = o.active.count
	}
	if o.link {
		// With owner none it is the caller that is linked: a supervisor.
		if p.link = o.owner; p.link == (etf.Pid{}) {
			p.link = to.pid
		}
	}
	if run {
		p.run = newCollector(o.maxOutput)
	}
	m.procs[key(p.pid)] = p
	p.w = workers.New(m, m.starter, &o.spec, p)
	p.hold(workers.Stdout)
	p.hold(workers.Stderr)
	if o.input != nil {
		// The program may end without having read it all.
		_ = p.w.Write(o.input, nil)
		p.w.CloseStdin()
	}
}

// Started: the program runs. The links are there before the caller is told.
func (m *manager) Started(w *workers.Worker) {
	p := w.Tag.(*proc)
	p.started = time.Now()
	if p.link != (etf.Pid{}) {
		p.watch.link(p.link)
		m.watchers++
		m.out.link(p.pid, p.link)
	}
	m.watchOwner(p)
	if p.run == nil {
		m.out.reply(p.asked, okTerm(p.pid))
		p.asked = from{}
	}
}

// watchOwner monitors the owner, whose end is the worker's.
func (m *manager) watchOwner(p *proc) {
	if p.owner == (etf.Pid{}) || p.detached {
		return
	}
	p.ownerRef = m.newRef()
	m.out.monitor(p.pid, p.owner, m.ref(p.ownerRef))
}

// Failed: nothing was started.
func (m *manager) Failed(w *workers.Worker, f workers.Failure) {
	p := w.Tag.(*proc)
	delete(m.procs, key(p.pid))
	m.out.reply(p.asked, errorTerm(m.failure(f)))
	m.finishIfEmpty()
}

func (m *manager) failure(f workers.Failure) etf.Term {
	if f.Errno == unix.ECANCELED {
		return etf.Atom("stopping")
	}
	e := errnoTerm(f.Errno)
	switch f.Stage {
	case ipc.StageDir:
		return etf.Tuple{etf.Atom("cd"), e}
	case ipc.StageStdin:
		return etf.Tuple{etf.Atom("stdin"), e}
	case ipc.StageStdout:
		return etf.Tuple{etf.Atom("stdout"), e}
	case ipc.StageStderr:
		return etf.Tuple{etf.Atom("stderr"), e}
	}
	return e
}

// Gone: the worker is over, all it wrote was delivered: the last message to the
// owner, the answers, then the signals to those linked and monitoring.
func (m *manager) Gone(w *workers.Worker, e workers.Exit) {
	p := w.Tag.(*proc)
	p.over, p.exit = true, e
	m.finish(p)
}

// finish ends a worker that is over, unless somebody may still read its output.
func (m *manager) finish(p *proc) {
	if !p.over || !p.dropped && m.phase != disconnected && !(p.streams[0].delivered() && p.streams[1].delivered()) {
		return
	}
	e := p.exit
	if m.procs[key(p.pid)] != p {
		return // it has ended already
	}
	delete(m.procs, key(p.pid))
	if p.run != nil {
		m.out.reply(p.asked, p.run.result(e))
	} else if p.owner != (etf.Pid{}) {
		m.out.send(p.owner, etf.Tuple{p.pid, exitTerm(e)})
		if p.closed {
			m.out.send(p.owner, etf.Tuple{p.pid, etf.Atom("closed")})
		}
	}
	for _, f := range p.stops {
		m.out.reply(f, okTerm(exitTerm(e)))
	}
	reason := p.reason
	if reason == nil {
		reason = exitReason(e)
	}
	m.watchers -= p.watch.size()
	p.watch.tell(m.out, p.pid, "", reason)
	if p.ownerRef != 0 {
		m.out.demonitor(p.pid, p.owner, m.ref(p.ownerRef))
	}
	m.finishIfEmpty()
}

// end stops a worker gracefully. The first reason that is given is the one with
// which it will end.
func (m *manager) end(p *proc, reason etf.Raw) {
	if p.reason == nil {
		p.reason = append(etf.Raw(nil), reason...)
	}
	m.drop(p)
	p.w.Stop()
	m.finish(p)
}

// kill ends a worker at once; nothing else can be its reason then.
func (m *manager) kill(p *proc) {
	p.reason = reasonKilled
	m.drop(p)
	p.w.Kill()
	m.finish(p)
}

// stop begins the orderly end: no new workers, those that run are ended with the
// reason, and when none is left the connection is closed.
func (m *manager) stop(reason etf.Raw, why string) {
	if m.phase != serving {
		return
	}
	m.phase, m.reason = stopping, why
	m.event(etf.Tuple{etf.Atom("stopping"), reason})
	for _, p := range m.all() {
		m.end(p, reason)
	}
	m.finishIfEmpty()
}

// disconnected: the node is gone. Nobody is left to tell anything.
func (m *manager) disconnected(why string) {
	if m.phase == over || m.phase == disconnected {
		return
	}
	m.phase, m.reason = disconnected, why
	m.roomAgain()
	for _, p := range m.all() {
		m.drop(p)
		p.w.StopWithin(afterLoss)
		m.finish(p)
	}
	m.finishIfEmpty()
}

func (m *manager) all() []*proc {
	list := make([]*proc, 0, len(m.procs))
	for _, p := range m.procs {
		list = append(list, p)
	}
	return list
}

func (m *manager) finishIfEmpty() {
	if m.phase == serving || m.phase == over || len(m.procs) > 0 {
		return
	}
	cause := ipc.CauseAsked
	if m.phase == disconnected {
		cause = ipc.CauseDisconnected
	}
	m.phase = over
	for _, name := range []etf.Atom{nameManager, nameMain, nameNetKernel} {
		m.names.tell(m.out, etf.Pid{}, name, reasonShutdown)
	}
	m.done(cause, m.reason)
}

// event sends the controller an event of the node.
func (m *manager) event(e etf.Term) {
	m.out.regSend(m.self, etf.Atom(m.start.Controller), etf.Tuple{etf.Atom("erluv"), etf.Atom(m.start.Node), e})
}

// up tells the controller that the node serves.
func (m *manager) up() { m.event(etf.Tuple{etf.Atom("up"), m.info()}) }
