package mainproc

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"erluv/config"
	"erluv/discover"
	"erluv/mainproc/link"
)

// nodes are the nodes that the guard's links lead to. They belong to the guard.
type nodes struct {
	seek   func(ctx context.Context, tell func([]discover.Target, error)) // nil: the lines are complete
	line   func(id uint32, t discover.Target) *line                       // makes a node's line, if all are served
	choice *choice                                                        // of the only line, if only one node is served; or nil
	once   bool                                                           // a lost connection is not made again

	over    bool // nothing more is begun
	seeking bool // until eventSought
	cancel  context.CancelFunc
	last    uint32 // the number of the last line
}

// dial makes the guard's links lead to the configured nodes.
func (g *guard) dial(cfg *config.Config, self *link.Self, relay link.StartRelay) {
	if len(cfg.Targets) == 0 && cfg.Source == (discover.Source{}) {
		return // it only listens
	}
	finder := discover.Finder{Nodes: cfg.Targets, Source: cfg.Source, Ports: cfg.Ports, Interval: cfg.DiscoverInterval}
	seeks := cfg.Source != (discover.Source{})
	life := link.Life{
		Retry: cfg.Reconnect != config.ReconnectExit,
		// Several names can be of one node.
		Meets: cfg.Listen.On() || len(cfg.Targets) > 1,
		// With several nodes erluv does not end because one is missing.
		Always: cfg.Reconnect == config.ReconnectAlways || seeks || cfg.Serve == config.ServeAll && len(cfg.Targets) > 1,
		Jitter: func(d time.Duration) time.Duration { return rand.N(d + 1) },
	}
	connect := func(id uint32, t discover.Target) func(context.Context) (*link.Link, error) {
		d := link.NewDialer(id, cfg, self, t)
		d.Log, d.Relay = g.log, relay
		return d.Connect
	}
	n := &g.nodes
	n.once = !life.Retry
	if cfg.Serve == config.ServeAll {
		n.line = func(id uint32, t discover.Target) *line {
			return &line{id: id, target: t.Node, connect: connect(id, t), overTLS: cfg.SpeaksTLS(t.Node), Life: life}
		}
	} else {
		n.choice = &choice{
			known: make(chan struct{}),
			dial: func(ctx context.Context, t discover.Target) (*link.Link, error) {
				return connect(1, t)(ctx)
			},
			// If no node accepts, the returned error has this one.
			passed: func(t discover.Target, err error) {
				g.log.Warn("the next node has its turn", "error", err, "target", t.Node)
			},
		}
		n.last = 1
		g.lines = []*line{{id: n.last, connect: n.choice.connect, choice: n.choice, overTLS: cfg.TLS, Life: life}}
	}
	if seeks {
		n.seek = func(ctx context.Context, tell func([]discover.Target, error)) {
			finder.Tell = tell
			finder.Run(ctx)
		}
		return
	}
	finder.Tell = func(targets []discover.Target, _ error) { g.aim(targets) }
	finder.Run(context.Background()) // it calls Tell once
}

// seek begins to ask for the nodes to dial.
func (g *guard) seek() {
	n := &g.nodes
	if n.seek == nil {
		return
	}
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	n.seeking = true
	go func() { // ends soon after ctx
		n.seek(ctx, func(targets []discover.Target, err error) {
			g.events <- event{kind: eventFound, targets: targets, err: err}
		})
		g.events <- event{kind: eventSought}
	}()
}

// stop ends the asking.
func (n *nodes) stop() {
	n.over = true
	if n.cancel != nil {
		n.cancel()
	}
}

// found takes the list of nodes to dial; err says why it may be incomplete.
func (g *guard) found(targets []discover.Target, err error) {
	if err != nil {
		g.log.Warn("cannot ask which nodes there are", "error", err)
	}
	if g.nodes.over {
		return
	}
	for _, l := range g.aim(targets) {
		if g.met(l) {
			l.Meet()
			continue
		}
		g.onLine(l, l.Begin())
	}
}

// aim makes the links lead to these nodes, and returns the links to begin. A connection to a node
// that is no longer listed continues until it is lost: a name server's answer is no reason to end
// it.
func (g *guard) aim(targets []discover.Target) (fresh []*line) {
	n := &g.nodes
	if n.choice != nil {
		n.choice.set(targets)
		g.lines[0].target = namesOf(targets)
		return nil
	}
	for _, l := range g.lines {
		if !l.Passive && !slices.ContainsFunc(targets, func(t discover.Target) bool { return t.Node == l.target }) {
			g.onLine(l, l.Retire())
		}
	}
	g.lines = slices.DeleteFunc(g.lines, func(l *line) bool { return l.Over() })
	for _, t := range targets {
		i := slices.IndexFunc(g.lines, func(l *line) bool { return !l.Passive && l.target == t.Node })
		if i < 0 {
			n.last++
			l := n.line(n.last, t)
			g.lines, fresh = append(g.lines, l), append(fresh, l)
			continue
		}
		l := g.lines[i]
		l.connect = n.line(l.id, t).connect // its address may have changed
		l.Recall()
	}
	return fresh
}

func namesOf(targets []discover.Target) string {
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.Node
	}
	return strings.Join(names, ", ")
}

// choice connects to the first of several nodes that accepts. When that connection is lost, the
// next node has its turn.
type choice struct {
	dial   func(context.Context, discover.Target) (*link.Link, error)
	passed func(discover.Target, error) // called for each node that refused before one accepted

	mu      sync.Mutex
	targets []discover.Target
	known   chan struct{} // closed once there are targets
	last    string        // the node that has accepted last
	now     string        // the node that is being dialled; "": none
}

// set replaces the list of nodes.
func (c *choice) set(targets []discover.Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.targets) == 0 && len(targets) > 0 {
		close(c.known)
	}
	if len(c.targets) > 0 && len(targets) == 0 {
		c.known = make(chan struct{})
	}
	c.targets = targets
}

// turns returns the nodes in the order of the attempts, beginning behind the one that has accepted
// last.
func (c *choice) turns() []discover.Target {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := 1 + slices.IndexFunc(c.targets, func(t discover.Target) bool { return t.Node == c.last })
	return slices.Concat(c.targets[i:], c.targets[:i])
}

// has reports whether a node is in the list.
func (c *choice) has(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.targets, func(t discover.Target) bool { return t.Node == node })
}

func (c *choice) dials(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = node
}

// dialling returns the node that is being dialled, or "".
func (c *choice) dialling() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *choice) connect(ctx context.Context) (*link.Link, error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	select {
	case <-known:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	var refused []error
	turns := c.turns()
	for _, t := range turns {
		c.dials(t.Node)
		l, err := c.dial(ctx, t)
		c.dials("")
		if err == nil {
			c.mu.Lock()
			c.last = t.Node
			c.mu.Unlock()
			for i, err := range refused {
				c.passed(turns[i], err)
			}
			return l, nil
		}
		if refused = append(refused, err); ctx.Err() != nil {
			break
		}
	}
	return nil, joined(refused)
}

// joined joins these errors in one line. The result is final only if all of them are. It is an
// IsMeeting error if one of them is: that state ends soon.
func joined(list []error) error {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	texts := make([]string, len(list))
	for i, err := range list {
		texts[i] = err.Error()
	}
	all := errors.New(strings.Join(texts, "; "))
	if i := slices.IndexFunc(list, link.IsMeeting); i >= 0 {
		return as{all, list[i]}
	}
	if slices.ContainsFunc(list, func(err error) bool { return !link.IsFinal(err) }) {
		return all
	}
	return as{all, list[0]}
}

// as is an error with the status of another one.
type as struct {
	error
	status error
}

func (a as) Unwrap() error { return a.status }

// known asks once for the nodes to dial.
func known(ctx context.Context, cfg *config.Config) (targets []discover.Target, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := discover.Finder{Nodes: cfg.Targets, Source: cfg.Source, Ports: cfg.Ports, Interval: time.Hour}
	asked := 0
	f.Tell = func(found []discover.Target, e error) {
		// With a list and a source, the list comes first, alone.
		if asked++; asked > 1 || len(cfg.Targets) == 0 || e != nil {
			cancel()
		}
		targets, err = found, e
	}
	f.Run(ctx)
	if err == nil && len(targets) == 0 {
		err = context.Cause(ctx)
	}
	if len(targets) > 0 {
		err = nil
	}
	return targets, err
}
