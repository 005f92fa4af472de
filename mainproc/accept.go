package mainproc

import (
	"context"
	"slices"
	"strings"

	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/wire/dist"
)

// maxAccepted is how many connections that nodes have made there may be. Each costs main four
// descriptors and the child two, and a journal.
const maxAccepted = 1000

// doors is where nodes connect by themselves. It belongs to the guard.
type doors struct {
	// serve accepts until ctx ends, asks which status a node is answered, and hands over the links. It
	// returns when nothing of what it has begun is left. Nil: no node connects by itself.
	serve func(ctx context.Context, decide func(dist.Peer) string, accepted func(*link.Link))
	at    []string // for people

	running bool // until eventShut
	cancel  context.CancelFunc
}

// unlock begins to accept connections.
func (g *guard) unlock() {
	d := &g.doors
	if d.serve == nil {
		return
	}
	var ctx context.Context
	ctx, d.cancel = context.WithCancel(context.Background())
	d.running = true
	go func() { // ends soon after ctx
		d.serve(ctx, func(p dist.Peer) string {
			answer := make(chan string)
			g.events <- event{kind: eventKnocked, peer: p, answer: answer}
			return <-answer
		}, func(l *link.Link) { g.events <- event{kind: eventAccepted, link: l} })
		g.events <- event{kind: eventShut}
	}()
}

// stop ends the accepting.
func (d *doors) stop() {
	if d.cancel != nil {
		d.cancel()
	}
}

// decide is what a node is answered that says it has this name; nothing has proved that. So no
// connection and no attempt of ours is given up for it before accept.
func (g *guard) decide(name string) string {
	accepted := 0
	for _, l := range g.lines {
		switch {
		case l.State == link.Connecting && l.dials() == name:
			return dist.Simultaneous(g.name, name)
		case l.Needs() && l.link != nil && l.link.Peer.Name == name:
			return dist.StatusAlive
		case l.Passive:
			accepted++
		}
	}
	if !g.open || accepted >= maxAccepted {
		return dist.StatusNotAllowed
	}
	return dist.StatusOK
}

// accept takes a connection that a node has made, which has proved the cookie. It is the only one
// of that node from now on.
func (g *guard) accept(c *link.Link) {
	if !g.open {
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
	l := &line{id: c.ID, target: c.Peer.Name, link: c, cancel: func() {}}
	l.Accepted()
	g.lines = append(g.lines, l)
}

// dials is the node that is being connected to.
func (l *line) dials() string {
	if l.choice != nil {
		return l.choice.dialling()
	}
	return l.target
}

// leadsTo says whether the link is one to that node, or will be.
func (l *line) leadsTo(name string) bool {
	switch {
	case l.link != nil:
		return l.link.Peer.Name == name
	case l.choice != nil:
		return l.choice.has(name)
	}
	return l.target == name
}

// preceded says whether an older connection of the node has still to end.
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

// met says whether a node that the link leads to has made a connection by itself.
func (g *guard) met(l *line) bool {
	return slices.ContainsFunc(g.lines, func(other *line) bool {
		return other.Passive && other.State != link.Ended && l.leadsTo(other.target)
	})
}

// meetings has the links see which nodes have made connections by themselves: those are not dialled.
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

// dismiss drops the links whose nodes have made them and left, and ends erluv when those that
// it makes itself have ended.
func (g *guard) dismiss() {
	gone := func(l *line) bool { return l.Passive && l.State == link.Ended }
	for _, l := range g.lines {
		if gone(l) {
			if l.Err != nil {
				g.log.Info("node gone", "node", l.target, "why", l.Err)
			} else {
				g.log.Info("node gone", "node", l.target)
			}
		}
	}
	before := len(g.lines)
	g.lines = slices.DeleteFunc(g.lines, gone)
	if served := g.served(); !g.open || len(g.lines) == before {
	} else if served != "" {
		g.told.status("serving %s", served)
	} else {
		g.told.status("%s", g.waits())
	}
	if g.open && g.dials() && g.dialledEnded() && !g.nodes.seeking {
		g.reason = "no node is left to dial"
		g.onTeam(g.team.Stop())
		g.leave(nil)
	}
}

// dials says whether there are nodes that erluv connects to by itself.
func (g *guard) dials() bool {
	return slices.ContainsFunc(g.lines, func(l *line) bool { return !l.Passive })
}

// waits says in words where nodes can connect.
func (g *guard) waits() string { return "listening at " + strings.Join(g.doors.at, ", ") }

// stood: a crew waits for its first connection. If erluv dials no node, it is up with that.
func (g *guard) stood() {
	if g.team.State == crew.Standby && g.open && len(g.lines) == 0 {
		g.log.Info("waiting for nodes", "node", g.name, "at", strings.Join(g.doors.at, ", "))
		g.told.up("%s", g.waits())
		if g.up != nil {
			g.up()
			g.up = nil
		}
	}
}
