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

// client is a node that is served: the peer, and what waits here for room there. A process
// of ours belongs to one, that of its owner when it was started, or without an owner that of
// its caller. The manager has those that are connected; the peer of one that is not any more
// drops what is sent.
type client struct {
	output.Outlet
	m         *manager
	id        uint32     // main's number of the connection
	procs     int        // processes that belong to it
	respawned bool       // another child has served it before
	link      ipc.Link   // what main says of it, for people
	files     *watch.Set // its watchers

	flow bool // its controller wants to know which streams wait for receivers

	ran []*program // runs that are over, waiting for room for the answer

	names      peer.Observers             // of the names of ours, and of the manager
	visits     map[uint64]*peer.Observers // of processes that belong to another client, by pid
	stateForm  stateForm
	stateCalls []stateCall // that wait for it
}

// connect makes a client of a connection that main has made.
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
		m.turn(heServed, func() {}) // the controller is told by up
	}
	m.clients[node] = c
	return c, nil
}

// isNode is false for an operator, for whom a host need not be ready, and is not.
func (c *client) isNode() bool { return c.link.Operator == "" }

// begin begins to serve a client, and tells its controller. An operator is no node: it has none,
// and nothing to learn from.
func (c *client) begin() error {
	if err := c.Serve(); err != nil || !c.isNode() {
		return err
	}
	c.m.up(c)
	c.Learn()
	return nil
}

// targetOf is the node that is served, for a caller: its own; "": it has none, as an operator.
func (m *manager) targetOf(to caller) etf.Atom {
	if c := to.client(); c != nil && !c.isNode() {
		return ""
	}
	return to.node()
}

// clientOf is the client that a process of a node belongs to; nil: there is no connection
// to it. Nearly always it is that of the process of ours, near.
func (m *manager) clientOf(pid etf.Pid, near *client) *client {
	if near != nil && near.Has(pid) && !near.Dead() {
		return near
	}
	return m.clients[pid.Node]
}

// reachable refuses pids of nodes to which there is no connection.
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

// left: a process ends that belonged to the client. It says whether that was the last one of
// a client that is gone.
func (c *client) left() bool {
	c.procs--
	return c.procs == 0 && c.Dead()
}

// reclaim frees what a client that is gone has for its processes, when none of them is left:
// some are another node's by now, and go on.
func (c *client) reclaim() {
	if c.procs == 0 && !c.Streams.Close() {
		c.m.loop.After(reclaimRetry, c.reclaim)
	}
}

// reclaimRetry is when it is tried again, while a stream of a process that has ended is open.
const reclaimRetry = time.Second

// observers are those of a process of ours on the client's node; nil: there are none.
func (c *client) observers(p proc) *peer.Observers {
	e := p.self()
	if e.client == c {
		return &e.observers
	}
	return c.visits[key(e.pid)]
}

// observe is observers, and makes room for some.
func (c *client) observe(p proc) *peer.Observers {
	if o := c.observers(p); o != nil {
		return o
	}
	o := &peer.Observers{}
	c.visits[key(p.self().pid)] = o
	return o
}

// takeObservers returns the observers of a process of ours, which the client forgets.
func (c *client) takeObservers(p proc) (o peer.Observers) {
	if known := c.observers(p); known != nil {
		o = *known
		*known = peer.Observers{}
		delete(c.visits, key(p.self().pid))
	}
	return o
}

// settled has main know what has been handled of all clients, before programs are started
// by it: a request that main answers with child_down has started nothing.
func (m *manager) settled() bool {
	all := true
	for _, c := range m.clients {
		all = c.Record() && all
	}
	return all
}

// The rest of peer.Host; Frame and Oversized are in dispatch.go.

// RoomAgain lets answers and output flow again after there was no room. What has been
// read comes before what is still in the pipes.
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

// Lost: see peer.Host.
func (c *client) Lost(err error) { c.m.lost(c, err.Error()) }

// Said: see peer.Host.
func (c *client) Said(pid etf.Pid) {
	if p, ok := c.m.find(pid).(*program); ok {
		p.heard(c.m)
	}
}

// NewPid: see peer.Host.
func (c *client) NewPid() etf.Pid { return c.m.newPid() }

// Ring: see peer.Host.
func (c *client) Ring() { c.m.main.ring() }

// Resume: see peer.Host. The tag is the worker.
func (c *client) Resume(tag any) { tag.(*program).goOn(c.m) }

// Regain: see peer.Host.
func (c *client) Regain(tag any, to etf.Pid, what etf.Term) { c.m.tell(to, tag.(*program), what) }

// Linger: see peer.Host.
func (c *client) Linger(tag any, w peer.Wait) {
	if c.m.log.Debugs {
		c.m.log.Debug("a stream waits for a receiver to take messages", "stream", w.Stream.Term(), "worker", process(tag.(*program).pid),
			"receiver", process(w.By), "since", w.Since, "bytes", w.Bytes, "queue", w.Queue)
	}
}
