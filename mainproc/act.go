package mainproc

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/mainproc/permit"
	"erluv/wire/etf"
)

// onTeam carries out the decisions of the crew's machine.
func (g *guard) onTeam(d crew.Do) {
	t := &g.team
	if d&crew.DoLaunch != 0 {
		t.ctx, t.cancel = context.WithCancel(context.Background())
		t.running++
		ctx := t.ctx
		go func() { // ends soon after ctx
			r, err := g.world.launch(ctx)
			g.events <- event{kind: eventLaunched, roles: r, err: err}
		}()
	}
	if d&crew.DoServe != 0 {
		g.watch()
		g.rose, g.awaited, g.counted = true, nil, 0
		if g.up != nil {
			g.up()
			g.up = nil
		}
	}
	if d&crew.DoAsk != 0 {
		if err := t.roles.Ask(cmp.Or(g.reason, "no connection is left")); err != nil {
			g.log.Error("cannot ask the child to stop", "error", err)
			d |= crew.DoKill
		}
	}
	if d&(crew.DoLeave|crew.DoDrop) != 0 && !g.dials() {
		g.why = cmp.Or(g.why, t.Err) // no link has this error
	}
	if d&crew.DoLeave != 0 {
		g.leave(t.Err)
	}
	if d&crew.DoRefuse != 0 && g.open && !g.rose {
		g.why = t.Err
		g.leave(t.Err)
	}
	for _, l := range g.lines {
		has := l.State == link.Handing || l.State == link.Served
		if d&crew.DoDrop != 0 && has || d&crew.DoRefuse != 0 && l.Needs() {
			err := t.Err
			if has {
				err = l.link.Ended(err)
			}
			g.onLine(l, l.Lost(err))
		}
		if d&crew.DoTell != 0 && l.keeper != nil {
			l.keeper.Order(link.Order{Kind: link.OrderDown, Reason: etf.Tuple{etf.Atom("start"), etf.Binary(permit.Printable(t.Err.Error()))}})
		}
	}
	if d&crew.DoEnd != 0 {
		t.cancel()
		if t.roles != nil {
			t.roles.End()
		}
	}
	if d&crew.DoKill != 0 && t.roles != nil {
		t.roles.Kill()
	}
	if d&crew.DoFall != 0 {
		t.roles.Fall()
	}
	if d&crew.DoArm != 0 {
		t.due = time.Now().Add(t.Delay)
	}
}

// watch watches the roles until they have ended.
func (g *guard) watch() {
	g.team.watched = true
	g.team.running++
	r := g.team.roles
	go func() { // ends with the roles
		r.Watch(func(e crew.Event) { g.events <- event{kind: eventSaid, said: e} })
		g.events <- event{kind: eventWatched}
	}()
}

// leave ends all links; err is the reason, or nil for an orderly end.
func (g *guard) leave(err error) {
	g.nodes.stop()
	g.doors.stop()
	g.open, g.stays = false, false
	for _, l := range g.lines {
		g.onLine(l, l.Leave(err))
	}
}

// onLine carries out the decisions of a link's machine.
func (g *guard) onLine(l *line, d link.Do) {
	if d&link.DoConnect != 0 {
		ctx, cancel := context.WithCancel(context.Background())
		l.cancel = cancel
		connect := l.connect
		if err := g.affords(l.overTLS, func(other *line) bool { return other == l }); err != nil {
			connect = func(context.Context) (*link.Link, error) {
				return nil, fmt.Errorf("cannot connect to %s: %w", l.target, err)
			}
		}
		g.report(l, func() event {
			c, err := connect(ctx) // ends soon after ctx
			return event{kind: eventConnected, link: c, err: err}
		})
	}
	if d&link.DoHand != 0 {
		g.team.Handed()
		g.team.handing++
		ctx, r, c := g.team.ctx, g.team.roles, l.link
		g.report(l, func() event { return event{kind: eventHanded, err: r.Hand(ctx, c)} })
	}
	if d&link.DoKeep != 0 {
		g.keep(l)
	}
	if d&link.DoRelease != 0 {
		l.keeper.Order(link.Order{Kind: link.OrderRelease})
	}
	if d&link.DoLeave != 0 && l.keeper != nil {
		l.keeper.Order(link.Order{Kind: link.OrderLeave, Reason: lastWords(l.Err)})
	}
	if d&link.DoEnd != 0 {
		l.cancel()
		if l.keeper != nil {
			l.keeper.Order(link.Order{Kind: link.OrderQuit})
		}
		if l.running == 0 { // at once, so that the node notices
			g.close(l)
		}
	}
	if d&link.DoShut != 0 {
		l.link.Shut()
	}
	if d&link.DoArm != 0 {
		l.due = time.Now().Add(l.Delay)
	}
}

// report runs f on a separate goroutine, which ends with the event.
func (g *guard) report(l *line, f func() event) {
	l.running++
	go func() {
		e := f()
		e.line = l
		g.events <- e
	}()
}

// keep keeps a connection in place of the crew that has ended.
func (g *guard) keep(l *line) {
	k, err := keeper(nil), g.team.left
	if err == nil {
		k, err = g.world.keep(l.link, g.team.why)
	}
	if err != nil {
		g.onLine(l, l.Lost(fmt.Errorf("%w; cannot go on with its connection: %w", g.team.Err, err)))
		return
	}
	l.keeper = k
	g.report(l, func() event {
		return event{kind: eventKept, err: k.Serve(func() { g.events <- event{kind: eventRespawn} })}
	})
}

// lastWords returns the reason why our node leaves.
func lastWords(err error) etf.Term {
	if err != nil {
		return etf.Atom("die_timeout")
	}
	return etf.Atom("shutdown")
}

// close closes a connection that the roles no longer use.
func (g *guard) close(l *line) {
	if l.link != nil {
		if g.team.roles != nil {
			g.team.roles.TakeBack(l.link)
		}
		l.lost = l.link.Peer.Name
		l.link.Close()
		l.link = nil
	}
}
