package childproc

import (
	"errors"
	"os"
	"strings"
	"time"

	"erluv/childproc/order"
	"erluv/ipc"
	"erluv/loop"
	"erluv/loop/watch"
	"erluv/slack"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
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

// slackWorth is how many workers must have started or ended before memory is given back:
// the garbage of as many starts is about a megabyte.
const slackWorth = 256

// manager owns the table of workers and takes every decision about them.
type manager struct {
	start       served
	self        etf.Pid // the manager's own
	out         *outbox
	ledger      *ledger
	starter     *workers.Starter
	others      map[int]*workers.Starter // of other users, by their number
	otherPIDs   map[int]uint32           // of their spawners
	want        func(user uint8)         // asks main for one
	remark      func(text string)        // has main log it, at debug
	streams     *loop.Group              // paused while there is no room for output
	files       *watch.Set
	ticktime    func(time.Duration)
	done        func(ipc.Cause, string) // no worker is left
	now         func() time.Duration    // monotonic
	after       func(time.Duration, func()) *loop.Timer
	killTimeout time.Duration
	environ     map[string]string
	since       time.Time

	phase      phase
	asked      bool    // to stop, which the end of the connection does not call off
	reason     string  // why it stops, for people
	exitReason etf.Raw // with which the manager ends
	procs      map[uint64]*proc
	byName     map[etf.Atom]*proc
	questions  map[uint64]*question // by the pid that is to be answered
	flows      map[etf.Pid]*receiver
	flowsLeft  int      // of them, when some were forgotten
	look       etf.List // see lookAt
	lookSpec   etf.Term
	warned     bool // of a node that does not tell how long a queue is
	nextPid    uint32
	nextRef    uint64
	watchers   int // links and monitors, of all
	farewells  farewells
	held       held
	lastKept   *keptReason // a reason that others may end for as well
	names      watchers
	stalled    []*workers.Worker // draining, waiting for room
	ran        []*proc           // runs that are over, waiting for room for the answer
	collected  collected
	unready    unready
	unserved   []unserved // waiting for room for what has been read
	msg        dist.Message
	stateForm  stateForm
	stateCalls []answer // that wait for it
	refused    uint64   // frames that were not understood
	frame      delivery
	turns      turns
	scratch    []byte      // what is read when it does not go straight into a message
	slack      slack.Slack // of starts and ends of workers
}

func newManager(start served) *manager {
	if len(start.Allowed) == 0 {
		start.Allowed = []ipc.Allowed{{User: start.User, UID: start.UID, Groups: []ipc.Group{{GID: start.GID}}}}
	}
	m := &manager{
		start:       start,
		killTimeout: time.Duration(start.KillTimeoutMS) * time.Millisecond,
		environ:     make(map[string]string),
		since:       time.Now(),
		procs:       make(map[uint64]*proc),
		byName:      make(map[etf.Atom]*proc),
		questions:   make(map[uint64]*question),
		flows:       make(map[etf.Pid]*receiver),
		farewells:   farewells{words: make(map[uint64]*farewell)},
		scratch:     make([]byte, scratchSize),
		remark:      func(string) {},
		others:      make(map[int]*workers.Starter),
		otherPIDs:   make(map[int]uint32),
	}
	for _, e := range start.Environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			m.environ[name] = value
		}
	}
	m.slack.Worth, m.slack.After = slackWorth, func(d time.Duration, f func()) { m.after(d, f) }
	m.ledger = &ledger{serial: start.Serial, changed: true}
	m.nextPid = start.Serial << gen.IDBits
	m.self = m.newPid()
	return m
}

// newPid gives a pid that no process of ours has. Main is told of each new serial,
// so that a child after this one begins with another.
func (m *manager) newPid() etf.Pid {
	for {
		m.nextPid++
		n := m.nextPid % gen.Numbers
		if serial := n >> gen.IDBits; serial != m.ledger.serial {
			m.ledger.serial, m.ledger.changed = serial, true
		}
		pid := gen.PidOf(etf.Atom(m.start.Node), m.start.Creation, n)
		_, asks := m.questions[key(pid)]
		if _, taken := m.procs[key(pid)]; !taken && !asks && pid != m.self && n != 0 && n != gen.NumberOfMain {
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
	if len(req) > order.MaxRequest {
		m.out.reply(to, gen.TooLarge(len(req), order.MaxRequest))
		return
	}
	if reason, ok := stopRequest(req); ok {
		m.out.reply(to, etf.Atom("ok"))
		m.stop(reason, "the node asked for it")
		return
	}
	t, err := decode(req)
	switch {
	case errors.Is(err, etf.ErrTooMany):
		m.out.reply(to, gen.Error(etf.Tuple{etf.Atom("too_many_elements"), int64(maxElements)}))
		return
	case err != nil:
		m.out.reply(to, gen.BadRequest(req))
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
	m.out.reply(to, gen.BadRequest(req))
}

func (m *manager) tupleRequest(to from, r etf.Tuple) bool {
	if len(r) == 0 {
		return false
	}
	name, _ := r[0].(etf.Atom)
	switch {
	case (name == "spawn" || name == "run") && len(r) == 3:
		m.spawn(to, r[1], r[2], name == "run")
	case name == "watch" && len(r) == 3:
		m.watch(to, r[1], r[2])
	case name == "info" && len(r) == 2:
		m.out.reply(to, m.infoOf(r[1]))
	case name == "set" && len(r) == 3:
		m.out.reply(to, gen.Error(etf.Atom("read_only")))
	default:
		return false
	}
	return true
}

// spawn starts a worker, or says why not. The answer comes when the spawner has
// answered.
func (m *manager) spawn(to from, cmd, opts etf.Term, run bool) {
	if m.phase != serving {
		m.out.reply(to, gen.Error(etf.Atom("stopping")))
		return
	}
	read := order.Spawn
	if run {
		read = order.Run
	}
	o, bad := read(m.outside(to.pid), cmd, opts)
	if bad != nil {
		m.out.reply(to, gen.Error(bad.Term()))
		return
	}
	if reason := o.RunAs(m.start.Allowed); reason != nil {
		m.out.reply(to, gen.Error(reason))
		return
	}
	if m.starterOf(o.User).Crowded(len(o.Input)) {
		m.out.reply(to, errorHeld)
		return
	}
	if m.starterOf(o.User).Full() {
		m.out.reply(to, gen.Error(userFailure(unix.EAGAIN)))
		return
	}
	p := m.admit(to, &o.Process, o.Cost())
	if p == nil {
		return
	}
	p.take(o)
	if run {
		p.run = newCollector(o.MaxOutput)
	}
	m.begin(p, &o.Spec)
	if o.Input != nil {
		// The program may end without having read it all.
		_ = p.w.Write(o.Input, nil)
		p.w.CloseStdin()
	}
}

// outside is what a request of a process depends on.
func (m *manager) outside(caller etf.Pid) order.Outside {
	return order.Outside{Caller: caller, Reachable: m.reachable, Environ: m.environ, KillTimeout: m.killTimeout}
}

// take has the worker be what an order asks for. Of the order itself nothing is kept but
// its Spec: it can be large.
func (p *proc) take(o *order.Order) {
	p.user, p.cmd, p.asked.proxy = uint8(o.User), shorten(o.Spec.Args), o.Proxy
	if o.Restart.When != order.Temporary {
		p.restart = &restart{Restart: o.Restart, spec: &o.Spec, cost: o.SpecCost()}
		p.asked.cost -= p.restart.cost
	}
	p.streams = make([]stream, len(o.Outputs))
	for i, out := range o.Outputs {
		p.streams[i] = stream{no: out.FD, to: out.To}
	}
	p.packet, p.active, p.once, p.auto = packet{o.Packet}, o.Active.Mode, o.Active.Once, o.Active.Auto
	if o.Active.Count > 0 {
		p.active = o.Active.Count
	}
	if o.Ready.By != 0 {
		p.ready = &readiness{Ready: o.Ready}
		p.asked.cost -= o.Ready.Cost
	}
	p.hidden = o.Proxy != nil || p.ready.unheard()
}

// admit gives what is asked for its place in the table, or answers why not. Until the
// answer it costs so many bytes beside the call.
func (m *manager) admit(to from, o *order.Process, cost int) *proc {
	if len(m.procs) >= int(m.start.MaxWorkers) {
		m.out.reply(to, gen.Error(etf.Atom("max_workers")))
		return nil
	}
	if other := m.byName[o.Name]; other != nil {
		m.out.reply(to, gen.Error(etf.Tuple{etf.Atom("already_registered"), other.pid}))
		return nil
	}
	cost += to.cost()
	if !m.held.take(cost) {
		m.out.reply(to, errorHeld)
		return nil
	}
	p := &proc{pid: m.newPid(), name: o.Name, owner: o.Owner, detached: o.Detached, asked: &asked{from: to.keep(), cost: cost}}
	if o.Link {
		// With owner none it is the caller that is linked: a supervisor.
		if p.asked.link = o.Owner; o.Owner == (etf.Pid{}) {
			p.asked.link = to.pid
		}
	}
	m.procs[key(p.pid)] = p
	if p.name != "" {
		m.byName[p.name] = p
	}
	return p
}

// stop begins the orderly end: no new workers, those that run are ended with the
// reason, and when none is left the connection is closed.
func (m *manager) stop(reason etf.Raw, why string) {
	if m.phase != serving {
		return
	}
	m.phase, m.reason, m.exitReason = stopping, why, m.keepReason(reason).reason // to the end
	m.asked = true
	m.event(etf.Tuple{etf.Atom("stopping"), m.exitReason})
	for _, p := range m.all() {
		m.end(p, m.exitReason)
	}
	m.finishIfEmpty()
}

// disconnected: the node is gone. Nobody is left to tell anything.
func (m *manager) disconnected(why string) {
	if m.phase == over || m.phase == disconnected {
		return
	}
	m.phase, m.reason, m.exitReason = disconnected, why, gen.Noconnection
	m.forgetFarewells()
	m.roomAgain()
	for _, p := range m.all() {
		if p.fs == nil {
			p.w.StopWithin(afterLoss)
		}
		m.end(p, gen.Noconnection)
		if p.fs == nil {
			m.letFlow(p) // nobody is there to be spared
		}
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
	cause := ipc.CauseDisconnected
	if m.asked {
		cause = ipc.CauseAsked
	}
	m.phase = over
	m.bid(&farewell{pid: m.self, watch: m.names, reason: m.exitReason})
	m.names = watchers{}
	m.done(cause, m.reason)
}

// event sends the controller an event of the node.
func (m *manager) event(e etf.Term) {
	m.out.regSend(m.self, etf.Atom(m.start.Controller), etf.Tuple{etf.Atom("erluv"), etf.Atom(m.start.Node), e})
}

// up tells the controller that the node serves, or serves again.
func (m *manager) up() {
	if m.start.Respawned {
		m.event(etf.Tuple{etf.Atom("child_up"), int64(os.Getpid())})
		return
	}
	m.event(etf.Tuple{etf.Atom("up"), m.info()})
}
