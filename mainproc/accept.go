package mainproc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"erluv/control"
	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/wire/dist"
)

// doors are the places where nodes and operators connect to erluv. They belong to the guard.
type doors struct {
	list   []link.Door
	beside []func(context.Context) // these run as long as the doors are open

	// serve accepts connections until ctx ends. It asks decide which status a node gets, and passes
	// the links to accepted. When it returns, nothing that it started is left. Nil: no node
	// connects to erluv.
	serve func(ctx context.Context, decide link.Decide, accepted func(*link.Link))
	at    []string // addresses for nodes, for people

	open    bool // until stop
	running bool // until eventShut
	cancel  context.CancelFunc
}

// admit prepares the guard to accept connections at the doors.
func (d *doors) admit(self *link.Self, cookie string, log *slog.Logger) {
	if len(d.list) == 0 {
		return
	}
	d.serve = func(ctx context.Context, decide link.Decide, accepted func(*link.Link)) {
		a := link.Acceptor{Self: self, Cookie: cookie, Log: log, Guests: ownShares().guests, Decide: decide, Accepted: accepted}
		var beside sync.WaitGroup
		for _, f := range d.beside {
			beside.Go(func() { f(ctx) })
		}
		a.Serve(ctx, d.list)
		beside.Wait()
	}
}

// unlock begins to accept connections.
func (g *guard) unlock() {
	d := &g.doors
	if d.serve == nil {
		return
	}
	var ctx context.Context
	ctx, d.cancel = context.WithCancel(context.Background())
	d.open, d.running = true, true
	go func() { // ends soon after ctx
		d.serve(ctx, func(p dist.Peer, overTLS bool) (string, error) {
			answer := make(chan answer)
			g.events <- event{kind: eventKnocked, peer: p, overTLS: overTLS, answer: answer}
			a := <-answer
			return a.status, a.why
		}, func(l *link.Link) { g.events <- event{kind: eventAccepted, link: l} })
		g.events <- event{kind: eventShut}
	}()
}

// stop stops accepting.
func (d *doors) stop() {
	d.open = false
	if d.cancel != nil {
		d.cancel()
	}
}

// close closes doors that have accepted nothing yet.
func (d *doors) close() {
	for _, door := range d.list {
		_ = door.Close()
	}
}

// decide returns the status for a node that claims this name. It has not proved the name yet. So
// the guard gives up no connection and no attempt for it before accept.
func (g *guard) decide(name string, overTLS bool) answer {
	for _, l := range g.lines {
		switch {
		case l.State == link.Connecting && l.dials() == name:
			return answer{status: dist.Simultaneous(g.name, name)}
		case l.Needs() && l.link != nil && l.link.Peer.Name == name:
			return answer{status: dist.StatusAlive}
		}
	}
	if err := g.mayEnter(name, overTLS); err != nil {
		return answer{dist.StatusNotAllowed, err}
	}
	return answer{status: dist.StatusOK}
}

// answer is the status for a node, and why, for people, if it is refused.
type answer struct {
	status string
	why    error
}

// mayEnter returns an error if a node or operator of that name may not be added.
func (g *guard) mayEnter(name string, overTLS bool) error {
	switch {
	case !g.doors.open:
		return errors.New("erluv is about to end")
	case !g.open && !isOperator(name):
		return errors.New("erluv listens for operators alone")
	case !isOperator(name):
		return g.affords(overTLS, func(l *line) bool { return l.leadsTo(name) })
	}
	operators := 0
	for _, l := range g.lines {
		if l.operator {
			operators++
		}
	}
	if most := ownShares().operators; operators >= most {
		return fmt.Errorf("%d operators are connected, and more may not be", operators)
	}
	return nil
}

// isOperator reports whether a name is one from the control socket. The doors ensure that nodes
// have no such name.
func isOperator(name string) bool { return control.CheckName(name) == nil }

// accept takes a connection from a node, which has proved the cookie. From now on it is the node's
// only one.
func (g *guard) accept(c *link.Link) {
	if err := g.mayEnter(c.Peer.Name, c.Local.TLS); err != nil { // others have come since decide
		g.log.Warn("a connection was refused", "node", c.Peer.Name, "error", err)
		c.Close()
		return
	}
	for _, l := range g.lines {
		if l.leadsTo(c.Peer.Name) {
			if l.link != nil {
				g.log.Info("node connects again", "node", c.Peer.Name)
			}
			g.onLine(l, l.Replaced())
		}
	}
	g.nodes.last++
	c.ID = g.nodes.last
	l := &line{id: c.ID, target: c.Peer.Name, link: c, overTLS: c.Local.TLS, operator: isOperator(c.Peer.Name), cancel: func() {}}
	l.Accepted()
	g.lines = append(g.lines, l)
	if l.operator {
		g.log.Debug("an operator has connected", "operator", c.Peer.Name, "by", c.Operator())
	}
}

// dials returns the node that the line is connecting to.
func (l *line) dials() string {
	if l.choice != nil {
		return l.choice.dialling()
	}
	return l.target
}

// leadsTo reports whether the line leads to that node, or may.
func (l *line) leadsTo(name string) bool {
	switch {
	case l.link != nil:
		return l.link.Peer.Name == name
	case l.choice != nil:
		return l.choice.has(name)
	}
	return l.target == name
}

// preceded reports whether an older connection of the node has not ended yet.
func (g *guard) preceded(l *line) bool {
	for _, other := range g.lines {
		if other == l {
			return false
		}
		if other.link != nil && other.link.Peer.Name == l.link.Peer.Name {
			return true
		}
	}
	return false
}

// met reports whether a node that the line leads to has connected to erluv.
func (g *guard) met(l *line) bool {
	return slices.ContainsFunc(g.lines, func(other *line) bool {
		return other.Passive && other.State != link.Ended && l.leadsTo(other.target)
	})
}

// meetings informs the links about nodes that have connected to erluv, which are not dialled.
func (g *guard) meetings() {
	for _, l := range g.lines {
		switch {
		case l.State == link.Waiting && g.met(l):
			g.onLine(l, l.Replaced())
		case l.State == link.Met && !g.met(l):
			g.onLine(l, l.Parted())
		}
	}
}

// dismiss drops the links of nodes that had connected to erluv and have left. It ends erluv when
// all links that erluv itself makes have ended.
func (g *guard) dismiss() {
	g.lines = slices.DeleteFunc(g.lines, func(l *line) bool {
		switch {
		case !l.Passive || l.State != link.Ended:
			return false
		case l.operator:
			g.log.Debug("an operator has left", "operator", l.target, "why", l.Err)
			return true
		case l.Err != nil:
			g.log.Info("node gone", "node", l.target, "why", l.Err)
		default:
			g.log.Info("node gone", "node", l.target)
		}
		return true
	})
	if g.doors.open && g.dials() && g.dialledEnded() && !g.nodes.seeking {
		g.reason = "no node is left to dial"
		g.onTeam(g.team.Stop())
		g.leave(nil)
	}
}

// dials reports whether erluv connects to nodes.
func (g *guard) dials() bool {
	return slices.ContainsFunc(g.lines, func(l *line) bool { return !l.Passive })
}

// waits says, for people, where nodes can connect.
func (g *guard) waits() string { return "listening at " + strings.Join(g.doors.at, ", ") }

// stood reports that erluv is up if it dials no node and the crew waits for its first connection.
func (g *guard) stood() {
	if g.team.State == crew.Standby && g.open && !slices.ContainsFunc(g.lines, func(l *line) bool { return !l.operator }) {
		g.log.Info("waiting for nodes", "node", g.name, "at", strings.Join(g.doors.at, ", "))
		g.told.up(g.condition())
		if g.up != nil {
			g.up()
			g.up = nil
		}
	}
}
