package childproc

import (
	"os"
	"strings"
	"time"

	"erluv/childproc/history"
	"erluv/childproc/order"
	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/ipc"
	"erluv/loop"
	"erluv/slack"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// phase is a phase in the manager's life.
type phase uint8

const (
	serving      phase = iota // requests are accepted
	stopping                  // no new workers; the running ones are being ended
	disconnected              // the node is gone; the workers are being ended
	over                      // no worker is left
)

func (p phase) String() string {
	return [...]string{"running", "stopping", "disconnected", "over"}[p]
}

// afterLoss is how long workers may take to end gracefully once the node is gone.
const afterLoss = 500 * time.Millisecond

// slackWorth is how many workers must start or end before memory is given back. So many starts
// leave about a megabyte of garbage.
const slackWorth = 256

// mainRole is what the manager asks of main.
type mainRole interface {
	wantSpawner(user uint8)             // provide a spawner for another user
	ring()                              // read the ledgers
	lost(id uint32, why string)         // one of several connections has ended
	stands(s ipc.Standing, told func()) // keep s for the next child; told is called once main will
	workersGone(cause ipc.Cause, why string)
}

// manager owns the table of workers and takes every decision about them.
type manager struct {
	start       ipc.Start
	name        etf.Atom // name of the child's node
	creation    uint32
	self        etf.Pid // the manager's own pid
	log         *ipc.Logger
	main        mainRole
	loop        *loop.Loop
	clients     map[etf.Atom]*client // connected clients, by name
	host        host
	starter     *workers.Starter
	others      map[int]*workers.Starter // Starters of other users, by number
	otherPIDs   map[int]uint32           // process ids of their spawners
	killTimeout time.Duration
	environ     map[string]string
	since       time.Time

	phase      phase
	asked      bool    // it was asked to stop; this holds even if the connection ends meanwhile
	reason     string  // why it stops, for operators
	exitReason etf.Raw // exit reason of the manager
	procs      map[uint64]proc
	programs   int // how many of procs are programs
	byName     map[etf.Atom]proc
	ids        ids
	nextPid    uint32
	nextRef    uint64
	held       held
	awaited    []ipc.Waits // nodes to which main is connecting
	lastKept   *keptReason // a reason that other workers may share
	collected  collected
	uploads    uploads
	history    *history.History
	counting   counting
	logs       logs
	unready    unready
	refused    uint64 // frames that were not understood
	totals     totals
	seen       map[uint64]*seen // programs that figures has measured
	turns      *output.Turns
	slack      slack.Slack // counts starts and ends of workers
}

// newManager makes a manager. The first connection gives the name of the child's node.
func newManager(l *loop.Loop, start ipc.Start, first ipc.Link, main mainRole) *manager {
	if len(start.Allowed) == 0 {
		start.Allowed = []ipc.Allowed{{User: start.User, UID: start.UID, Groups: []ipc.Group{{GID: start.GID}}}}
	}
	m := &manager{
		start:       start,
		name:        etf.Atom(first.Node),
		creation:    first.Creation,
		main:        main,
		log:         ipc.NoLogger(),
		loop:        l,
		clients:     make(map[etf.Atom]*client),
		killTimeout: time.Duration(start.KillTimeoutMS) * time.Millisecond,
		environ:     make(map[string]string),
		since:       time.Now(),
		procs:       make(map[uint64]proc),
		byName:      make(map[etf.Atom]proc),
		turns:       output.NewTurns(),
		others:      make(map[int]*workers.Starter),
		otherPIDs:   make(map[int]uint32),
		history:     history.New(0, -1),
		logs:        newLogs(int(start.LogRing), int(start.LogRingTotal)),
	}
	for _, e := range start.Environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			m.environ[name] = value
		}
	}
	m.slack.Worth, m.slack.After = slackWorth, func(d time.Duration, f func()) { m.loop.After(d, f) }
	m.nextPid = first.Serial << gen.IDBits
	m.self = m.newPid()
	return m
}

// newPid returns an unused pid. It reports each new serial to main, so that the next child begins
// with another.
func (m *manager) newPid() etf.Pid {
	for {
		m.nextPid++
		n := m.nextPid % gen.Numbers
		for _, c := range m.clients {
			c.SetSerial(m.serial())
		}
		pid := gen.PidOf(m.name, m.creation, n)
		if _, taken := m.procs[key(pid)]; !taken && !m.asks(pid) && pid != m.self && n != 0 && n != gen.NumberOfMain {
			return pid
		}
	}
}

// serial is the serial of the pids that are given out now.
func (m *manager) serial() uint32 { return m.nextPid % gen.Numbers >> gen.IDBits }

// asks reports whether an unanswered question has the pid.
func (m *manager) asks(pid etf.Pid) bool {
	for _, c := range m.clients {
		if c.Asks(pid) {
			return true
		}
	}
	return false
}

func key(p etf.Pid) uint64 { return uint64(p.Serial)<<32 | uint64(p.ID) }

// find returns the process with a pid of this incarnation of the node, nil if there is none.
func (m *manager) find(pid etf.Pid) proc {
	if p := m.procs[key(pid)]; p != nil && p.self().pid == pid {
		return p
	}
	return nil
}

// newRef returns the number of a new reference.
func (m *manager) newRef() uint64 {
	m.nextRef++
	return m.nextRef
}

// spawn starts a worker, or answers why not. If it starts one, the answer comes with the spawner's.
func (m *manager) spawn(to caller, cmd, opts etf.Term, by etf.Atom) {
	read, run := order.Spawn, by == reqRun
	if run {
		read = order.Run
	}
	class, cmd, reason := m.classOf(cmd)
	if reason != nil {
		to.reply(gen.Error(reason))
		return
	}
	out := m.outside(to.From)
	if class != nil {
		out.Class = class.Class
	}
	if by == reqExec {
		out.Search = strings.Join(m.start.Path, ":")
	}
	o, bad := read(out, cmd, opts)
	if bad != nil {
		to.reply(gen.Error(bad.Term()))
		return
	}
	if reason := o.RunAs(m.start.Allowed); reason != nil {
		to.reply(gen.Error(reason))
		return
	}
	if m.starterOf(o.User).Crowded(len(o.Input)) {
		to.reply(errorHeld)
		return
	}
	if m.starterOf(o.User).Full() {
		to.reply(gen.Error(userFailure(unix.EAGAIN)))
		return
	}
	if other := m.ids.programs[o.ID]; other != nil {
		to.reply(gen.Error(etf.Tuple{etf.Atom("already_started"), other.pid}))
		return
	}
	p := &program{}
	if !m.admit(p, to, &o.Process, o.Cost()) {
		return
	}
	p.take(o)
	m.logs.keep(p, o.Keep)
	m.host.joins(p, class)
	m.ids.give(p, o.ID)
	if run {
		p.run = newCollector(o.MaxOutput)
	}
	p.begin(m, &o.Spec)
	if o.Input != nil {
		// The program may end without reading all of it.
		_ = p.w.Write(o.Input, nil)
		p.w.CloseStdin()
	}
}

// outside returns the surroundings on which an order depends.
func (m *manager) outside(caller etf.Pid) order.Outside {
	return order.Outside{
		Caller: caller, Reachable: m.reachable, Environ: m.environ, KillTimeout: m.killTimeout, Image: m.imageOf,
		Limits: m.host.given.Limits, MaxKillTimeout: time.Duration(m.host.given.MaxKillTimeoutMS) * time.Millisecond,
	}
}

// take sets up the worker as an order describes. It keeps only the Spec of an order, which can be
// large.
func (p *program) take(o *order.Order) {
	p.user, p.cmd, p.asked.proxy = uint8(o.User), shorten(o.Spec.Args), o.Proxy
	if o.Restart.When != order.Temporary {
		p.restart = &restart{Restart: o.Restart, spec: &o.Spec, held: p.asked.held.split(o.SpecCost())}
	}
	p.out = output.Of(o.Outputs, o.Packet, o.Active)
	if o.Ready.By != 0 {
		p.ready = &readiness{Ready: o.Ready, held: p.asked.held.split(o.Ready.Cost)}
	}
	p.life.quiet, p.life.paired = p.ready != nil && !p.ready.Message, o.Proxy != nil
}

// admit gives a requested process its place in the table. Until the request is answered, it holds
// cost bytes of the budget besides the call. If admit refuses the process, it answers why and
// returns false.
func (m *manager) admit(p proc, to caller, o *order.Process, cost int) bool {
	if len(m.procs) >= int(m.start.MaxWorkers) {
		to.reply(gen.Error(etf.Atom("max_workers")))
		return false
	}
	if other := m.byName[o.Name]; other != nil {
		to.reply(gen.Error(etf.Tuple{etf.Atom("already_registered"), other.self().pid}))
		return false
	}
	home := to.client()
	if c := m.clientOf(o.Owner, home); c != nil {
		home = c
	}
	if home == nil {
		to.reply(gen.Error(gen.Noconnection)) // its output would have no place to wait for room
		return false
	}
	w := m.keep(to, cost)
	if w == nil {
		return false
	}
	e := p.self()
	*e = entry{client: home, pid: m.newPid(), owner: o.Owner, asked: &asked{waiting: w}}
	if o.Detached {
		e.detached = &detachment{}
	}
	if o.Link {
		// With owner none, the caller is linked: it is a supervisor.
		if e.asked.link = o.Owner; o.Owner == (etf.Pid{}) {
			e.asked.link = to.From
		}
	}
	m.procs[key(e.pid)] = p
	if _, ok := p.(*program); ok {
		m.programs++
	}
	home.procs++
	if name := o.Name; name != "" {
		e.name, m.byName[name] = &name, p
	}
	return true
}

// stop begins the orderly end. There are no new workers, the running ones are ended with the
// reason, and when none is left, the connections are closed.
func (m *manager) stop(reason etf.Raw, why string) {
	if m.phase != serving {
		return
	}
	m.phase, m.reason, m.exitReason = stopping, why, m.keepReason(reason).reason // to the end
	m.asked = true
	m.turn(heLeave, func() {})
	m.event(etf.Tuple{etf.Atom("stopping"), m.exitReason})
	for _, p := range m.all() {
		m.end(p, m.exitReason, history.Stopping)
	}
	m.endIfEmpty()
}

// lost is called when a client's node is gone. Links to its processes break, and workers whose
// owner was there end. With the last client all workers end, unless the child stays. Other nodes
// notice nothing.
func (m *manager) lost(c *client, why string) {
	delete(m.clients, c.Node())
	m.totals.paused += c.Paused()
	if c.isNode() && !m.servesNodes() {
		m.turn(heAlone, func() {})
	}
	if len(m.clients) == 0 && m.phase != over && !m.start.Stays {
		m.phase, m.reason, m.exitReason = disconnected, why, gen.Noconnection
	}
	c.RoomAgain()
	kept := 0
	for _, p := range m.all() {
		observers := c.takeObservers(p)
		ends := p.self().belongsTo(c)
		if ends && m.lose(p, &observers) {
			kept++
			ends = false
		} else {
			ends = ends || m.phase == disconnected || observers.Linked()
		}
		if c.Has(p.self().owner) {
			disown(p)
		}
		p.lost(m, ends)
	}
	if kept > 0 {
		m.log.Info("workers outlive their owners' node", "node", string(c.Node()), "workers", kept,
			"for", time.Duration(m.start.LostAfterMS)*time.Millisecond)
	}
	if m.phase != disconnected {
		m.main.lost(c.id, why)
	}
	m.loop.After(0, func() { // one of its frames may be in use
		c.Close()
		c.reclaim()
	})
	m.endIfEmpty()
}

// servesNodes reports whether a node is connected, and not only operators.
func (m *manager) servesNodes() bool {
	for _, c := range m.clients {
		if c.isNode() {
			return true
		}
	}
	return false
}

func (m *manager) all() []proc {
	list := make([]proc, 0, len(m.procs))
	for _, p := range m.procs {
		list = append(list, p)
	}
	return list
}

func (m *manager) endIfEmpty() {
	m.drainedIfEmpty()
	if m.phase == serving || m.phase == over || len(m.procs) > 0 {
		return
	}
	cause := ipc.CauseDisconnected
	if m.asked {
		cause = ipc.CauseAsked
	}
	m.phase = over
	for _, c := range m.clients {
		c.Bid(&peer.Farewell{Pid: m.self, Observers: c.names, Reason: m.exitReason})
		c.names = peer.Observers{}
	}
	m.main.workersGone(cause, m.reason)
}

// event sends an event to all controllers.
func (m *manager) event(e etf.Term) {
	for _, c := range m.clients {
		m.eventTo(c, e)
	}
}

func (m *manager) eventTo(c *client, e etf.Term) {
	c.RegSend(m.self, etf.Atom(m.start.Controller), etf.Tuple{etf.Atom("erluv"), m.name, e})
}

// up reports to a client's controller that the child serves, or serves again.
func (m *manager) up(c *client) {
	if c.respawned {
		m.eventTo(c, etf.Tuple{etf.Atom("child_up"), int64(os.Getpid())})
		return
	}
	m.eventTo(c, etf.Tuple{etf.Atom("up"), m.info(c.Node())})
}

// observed is how many links and monitors of the child's processes there are.
func (m *manager) observed() (n int) {
	for _, c := range m.clients {
		n += c.Observed()
	}
	return n
}
