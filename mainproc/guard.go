package mainproc

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/mainproc/permit"
	"erluv/wire/etf"
)

// world is what a guard acts on; a test has one without processes.
type world interface {
	// Connect connects to the node and shakes hands.
	Connect(context.Context) (*link.Link, error)
	// launch starts child and spawner and sees to it that they have dropped.
	launch(context.Context) (roles, error)
	// keep goes on with the connection in place of a crew that has ended, which is why.
	keep(*link.Link, etf.Term) (keeper, error)
}

// keeper serves the connection while there is no child: a link.Caretaker.
type keeper interface {
	Serve(respawn func()) error
	Order(link.Order)
	Close()
}

// roles are a pair of running ones: a crew.Crew.
type roles interface {
	Hand(context.Context, crew.Connection) error
	Answers() bool
	Watch(report func(crew.Event))
	Ask(reason string) error
	Fall()
	Left() (etf.Term, error)
	End()
	Kill()
	Close()
}

// event is something that has happened; the fields are those of its kind.
type event struct {
	kind eventKind
	err  error
	link *link.Link
	crew roles
}

type eventKind uint8

const (
	eventConnected eventKind = iota // link
	eventLaunched                   // crew
	eventReady
	eventFailed  // err: of connect, launch or hand
	eventStopped // err: how the connection was lost, or nil
	eventBroken  // err: the child has broken the conversation
	eventDied    // err: how a role ended
	eventWatched // watch has returned
	eventRespawn // somebody wants a new child
	eventKept    // err: a keeper has returned
)

// said are the kinds of what a crew reports.
var said = map[crew.EventKind]eventKind{crew.Stopped: eventStopped, crew.Broken: eventBroken, crew.Died: eventDied}

// guard runs a machine: one goroutine owns both and what they hold; all others
// report to it and end before it does.
type guard struct {
	machine
	world world
	log   *slog.Logger
	up    func()
	told  *service // how it goes; nil: nobody is

	events  chan event // unbuffered: the owner is never away for long
	timer   *time.Timer
	ctx     context.Context // of this incarnation
	cancel  context.CancelFunc
	running int // goroutines that have yet to report
	handing bool
	watched bool // watch was called
	link    *link.Link
	crew    roles
	why     etf.Term // the last crew has ended
	leftErr error
	keeper  keeper
	leaving bool   // the keeper is saying the last words
	reason  string // for the child's stop
}

// run lives until the machine has ended, and returns why, or nil for an orderly
// end, which somebody wants when ctx ends.
func (g *guard) run(ctx context.Context) error {
	stop := ctx.Done()
	g.events = make(chan event)
	g.timer = time.NewTimer(time.Hour)
	g.timer.Stop()
	g.act(g.begin())
	for g.state != ended {
		before := g.state
		select {
		case <-stop:
			stop = nil
			g.reason = context.Cause(ctx).Error()
			g.log.Info("stopping", "reason", g.reason)
			g.told.leaving("stopping: " + g.reason)
			g.act(g.stop())
		case <-g.timer.C:
			g.act(g.expired())
		case <-g.told.due():
			// Whatever else goes on has bounds of its own.
			g.told.sign(g.state != serving || g.crew.Answers())
		case e := <-g.events:
			g.act(g.take(e))
		}
		for (g.state == stopping || g.state == falling) && g.settle() {
		}
		if g.state != before {
			g.note()
		}
	}
	g.timer.Stop()
	return g.err
}

// take gives an event to the machine.
func (g *guard) take(e event) do {
	switch e.kind {
	case eventConnected:
		g.running--
		g.link = e.link
		return g.connected()
	case eventLaunched:
		g.running--
		g.crew = e.crew
		return g.launched()
	case eventReady:
		g.running--
		g.handing = false
		return g.ready(time.Now())
	case eventFailed:
		g.running--
		g.handing = false
		return g.failed(e.err)
	case eventBroken:
		return g.failed(e.err)
	case eventStopped:
		return g.stopped(e.err)
	case eventDied:
		g.log.Debug("a role has ended", "how", e.err) // if it matters, it will be the guard's error
		return g.died(e.err)
	case eventWatched:
		g.running--
		if g.state == falling {
			g.why, g.leftErr = g.crew.Left()
		}
		g.crew.Close()
		g.crew, g.watched = nil, false
	case eventRespawn:
		return g.respawn()
	case eventKept:
		g.running--
		g.keeper.Close()
		g.keeper = nil
		if e.err != nil {
			return g.lost(fmt.Errorf("the connection was lost while there was no child: %w", e.err))
		}
		return g.released()
	}
	return 0
}

// act does what the machine says.
func (g *guard) act(d do) {
	if d&doConnect != 0 {
		g.ctx, g.cancel = context.WithCancel(context.Background())
		g.report(func(ctx context.Context) event {
			l, err := g.world.Connect(ctx)
			return result(event{kind: eventConnected, link: l}, err)
		})
	}
	if d&doLaunch != 0 {
		g.report(func(ctx context.Context) event {
			c, err := g.world.launch(ctx)
			return result(event{kind: eventLaunched, crew: c}, err)
		})
	}
	if d&doHand != 0 {
		g.handing = true
		c, l := g.crew, g.link
		g.report(func(ctx context.Context) event {
			return result(event{kind: eventReady}, c.Hand(ctx, l))
		})
	}
	if d&doServe != 0 {
		g.watch()
		if g.up != nil {
			g.up()
			g.up = nil
		}
	}
	if d&doAsk != 0 {
		if err := g.crew.Ask(g.reason); err != nil {
			g.log.Error("cannot ask the child to stop", "error", err)
			d |= doKill
		}
	}
	if d&doEnd != 0 {
		g.end()
	}
	if d&doKill != 0 && g.crew != nil {
		g.crew.Kill()
	}
	if d&doFall != 0 {
		g.crew.Fall()
	}
	if d&doKeep != 0 {
		g.keep()
	}
	if d&doTell != 0 {
		g.keeper.Order(link.Order{Kind: link.OrderDown, Reason: etf.Tuple{etf.Atom("start"), etf.Binary(permit.Printable(g.err.Error()))}})
	}
	if d&doRelease != 0 {
		g.keeper.Order(link.Order{Kind: link.OrderRelease})
	}
	if d&doLeave != 0 && g.keeper != nil {
		g.cancel() // a launch
		g.leaving = true
		g.keeper.Order(link.Order{Kind: link.OrderLeave, Reason: g.lastWords()})
	}
	if d&doArm != 0 {
		g.timer.Reset(g.delay)
	}
}

// keep has the connection kept in place of the crew that has ended.
func (g *guard) keep() {
	k, err := keeper(nil), g.leftErr
	if err == nil {
		k, err = g.world.keep(g.link, g.why)
	}
	g.leftErr = nil
	if err != nil {
		g.act(g.lost(fmt.Errorf("%w; cannot go on with its connection: %w", g.err, err)))
		return
	}
	g.keeper = k
	g.report(func(context.Context) event {
		return event{kind: eventKept, err: k.Serve(func() { g.events <- event{kind: eventRespawn} })}
	})
}

// lastWords are the reason why the node leaves.
func (g *guard) lastWords() etf.Term {
	if g.err != nil {
		return etf.Atom("die_timeout")
	}
	return etf.Atom("shutdown")
}

// report runs f on a goroutine of its own, which ends with the event, at the
// latest soon after the incarnation's context.
func (g *guard) report(f func(context.Context) event) {
	g.running++
	ctx := g.ctx
	go func() { g.events <- f(ctx) }()
}

func result(e event, err error) event {
	if err != nil {
		return event{kind: eventFailed, err: err}
	}
	return e
}

func (g *guard) watch() {
	g.watched = true
	c := g.crew
	g.report(func(context.Context) event {
		c.Watch(func(e crew.Event) { g.events <- event{kind: said[e.Kind], err: e.Err} })
		return event{kind: eventWatched}
	})
}

// end gives up what is under way. The connection is closed at once, so that the
// node sees it; while it is being handed over, it is hand's, and a keeper's while it
// is kept.
func (g *guard) end() {
	g.cancel()
	if g.crew != nil {
		g.crew.End()
	}
	if g.keeper != nil && !g.leaving {
		g.keeper.Order(link.Order{Kind: link.OrderQuit})
	}
	if !g.handing && g.keeper == nil {
		g.link.Close()
		g.link = nil
	}
}

// settle tells the machine when nothing of the incarnation is left, or nothing of
// its roles, and says whether it has.
func (g *guard) settle() bool {
	if g.crew != nil && !g.watched && !g.handing {
		g.watch()
	}
	if g.running > 0 {
		return false
	}
	g.leaving = false
	if g.state == stopping {
		g.link.Close()
		g.link = nil
		g.timer.Stop()
	}
	g.act(g.gone(time.Now()))
	return true
}

// note logs what people want to know of a new state, and tells the service manager.
func (g *guard) note() {
	switch g.state {
	case serving:
		g.log.Info("node up", "node", g.link.Local.Name, "target", g.link.Peer.Name)
		g.told.up("serving %s as %s", g.link.Peer.Name, g.link.Local.Name)
	case down:
		g.log.Error("no child", "error", g.err, "respawn_within", g.dieTimeout)
		g.told.status("no child, waiting %v for respawn: %v", g.dieTimeout, g.err)
	case waiting:
		g.log.Warn("trying again", "in", g.delay.Round(time.Millisecond), "error", g.err)
		g.told.status("not connected, trying again: %v", g.err)
	case ended:
		if g.err != nil {
			g.told.leaving(g.err.Error())
		} else {
			g.told.leaving("ended")
		}
	}
}
