package childproc

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/ipc"
	"erluv/loop/watch"
	"erluv/wire/etf"
)

// client is a node that is served: its peer, and the state that waits here for room there. A
// process of the child belongs to one client: that of its owner at the start or, without an owner,
// of its caller. The manager has the connected clients. The peer of a disconnected one drops
// frames.
type client struct {
	output.Outlet
	m         *manager
	id        uint32     // main's number for the connection
	procs     int        // processes that belong to it
	respawned bool       // an earlier child served it
	link      ipc.Link   // main's description, for operators
	files     *watch.Set // its watchers of files

	flow bool // its controller wants to know which streams wait for receivers

	ran []*program // ended runs that wait for room to be answered

	names      peer.Observers             // observers of the child's own names, and of the manager
	visits     map[uint64]*peer.Observers // observers of processes that belong to another client, by pid
	stateForm  stateForm
	stateCalls []stateCall // calls that wait for stateForm
}

// connect makes a client of a connection from main.
func (m *manager) connect(g peer.Given, carried []string) (*client, error) {
	node := etf.Atom(g.Link.Target)
	if m.clients[node] != nil {
		return nil, fmt.Errorf("main gives a second connection to %s", node)
	}
	c := &client{m: m, id: g.Link.ID, respawned: g.Link.Respawned, link: g.Link, visits: make(map[uint64]*peer.Observers)}
	var err error
	if c.Streams, err = m.loop.NewGroup(); err != nil {
		return nil, err
	}
	if c.Peer, err = peer.New(m.loop, g, m.self, m.serial(), c, m.log); err != nil {
		return nil, err
	}
	if err := c.Adopt(&c.names, carried); err != nil {
		return nil, err
	}
	c.files = watch.NewSet(m.loop, c.Streams, fileHost{c})
	if c.isNode() {
		m.turn(heServed, func() {}) // up tells the controller
	}
	m.clients[node] = c
	return c, nil
}

// isNode is false for an operator: the host need not be ready for one.
func (c *client) isNode() bool { return c.link.Operator == "" }

// begin begins to serve a client, and reports it to the client's controller. An operator is no
// node, so it has no controller, and no settings to learn.
func (c *client) begin() error {
	if err := c.Serve(); err != nil || !c.isNode() {
		return err
	}
	c.m.up(c)
	c.Learn()
	return nil
}

// targetOf returns the node that is served, as a caller sees it: its own, or "" for an operator.
func (m *manager) targetOf(to caller) etf.Atom {
	if c := to.client(); c != nil && !c.isNode() {
		return ""
	}
	return to.node()
}

// clientOf returns the client of a process's node, nil if that node is not connected. It is nearly
// always near, the client of the child's process.
func (m *manager) clientOf(pid etf.Pid, near *client) *client {
	if near != nil && near.Has(pid) && !near.Dead() {
		return near
	}
	return m.clients[pid.Node]
}

// reachable returns an error for pids of nodes that are not connected.
func (m *manager) reachable(pid etf.Pid) error {
	if m.clients[pid.Node] != nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(m.clients))
	if len(names) == 1 {
		return fmt.Errorf("must be a process of %s, the node that is served", names[0])
	}
	return fmt.Errorf("must be a process of a node that is served: %v", names)
}

// left counts a process of the client that ended. It reports whether that was the last one of a
// client that is gone.
func (c *client) left() bool {
	c.procs--
	return c.procs == 0 && c.Dead()
}

// reclaim frees the watched group of a client that is gone, once no process belongs to it. Until
// then, some may go on with an owner on another node.
func (c *client) reclaim() {
	if c.procs == 0 && !c.Streams.Close() {
		c.m.loop.After(reclaimRetry, c.reclaim)
	}
}

// reclaimRetry is the time between two attempts, while a stream of an ended process is still open.
const reclaimRetry = time.Second

// observers returns the observers of a process of the child on the client's node, nil if there are
// none.
func (c *client) observers(p proc) *peer.Observers {
	e := p.self()
	if e.client == c {
		return &e.observers
	}
	return c.visits[key(e.pid)]
}

// observe is observers, but makes room if there is none.
func (c *client) observe(p proc) *peer.Observers {
	if o := c.observers(p); o != nil {
		return o
	}
	o := &peer.Observers{}
	c.visits[key(p.self().pid)] = o
	return o
}

// takeObservers returns the observers of a process of the child. The client forgets them.
func (c *client) takeObservers(p proc) (o peer.Observers) {
	if known := c.observers(p); known != nil {
		o = *known
		*known = peer.Observers{}
		delete(c.visits, key(p.self().pid))
	}
	return o
}

// settled reports to main what all clients have handled, before it lets programs start. So a
// request that main answers with child_down has started no program.
func (m *manager) settled() bool {
	all := true
	for _, c := range m.clients {
		all = c.Record() && all
	}
	return all
}

// The remaining methods of peer.Host. Frame and Oversized are in dispatch.go.

// RoomAgain lets answers and output go on when there is room again. Bytes that were read come
// before those in the pipes.
func (c *client) RoomAgain() {
	c.answerRuns()
	c.FarewellTurn()
	if !c.ServeAgain() {
		return
	}
	c.Streams.Resume()
	c.files.Resume()
	c.Unstall()
}

// Lost is the method of peer.Host.
func (c *client) Lost(err error) { c.m.lost(c, err.Error()) }

// Said is the method of peer.Host.
func (c *client) Said(pid etf.Pid) {
	if p, ok := c.m.find(pid).(*program); ok {
		p.heard(c.m)
	}
}

// NewPid is the method of peer.Host.
func (c *client) NewPid() etf.Pid { return c.m.newPid() }

// Ring is the method of peer.Host.
func (c *client) Ring() { c.m.main.ring() }

// Resume is the method of peer.Host. The tag is the worker.
func (c *client) Resume(tag any) { tag.(*program).goOn(c.m) }

// Regain is the method of peer.Host.
func (c *client) Regain(tag any, to etf.Pid, what etf.Term) { c.m.tell(to, tag.(*program), what) }

// Linger is the method of peer.Host.
func (c *client) Linger(tag any, w peer.Wait) {
	if c.m.log.Debugs {
		c.m.log.Debug("a stream waits for a receiver to take messages", "stream", w.Stream.Term(), "worker", process(tag.(*program).pid),
			"receiver", process(w.By), "since", w.Since, "bytes", w.Bytes, "queue", w.Queue)
	}
}
