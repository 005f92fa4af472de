package mainproc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"erluv/discover"
	"erluv/ipc"
	"erluv/mainproc/crew"
	"erluv/mainproc/link"
	"erluv/mainproc/permit"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

// world is what a guard acts on; a test has one without processes.
type world interface {
	// launch starts child and spawner and sees to it that they have dropped.
	launch(context.Context) (roles, error)
	// keep goes on with a connection in place of a crew that has ended, which is why.
	keep(*link.Link, etf.Term) (keeper, error)
}

// keeper serves a connection while there is no child: a link.Caretaker.
type keeper interface {
	Serve(respawn func()) error
	Order(link.Order)
	Close()
}

// roles are a pair of running ones: a crew.Crew.
type roles interface {
	Hand(context.Context, crew.Connection) error
	TakeBack(crew.Connection)
	Answers() bool
	Standing() []any
	Watch(report func(crew.Event))
	Ask(reason string) error
	Await(nodes []ipc.Waits) error
	Fall()
	Left() (etf.Term, error)
	End()
	Kill()
	Close()
}

// event is something that has happened; the fields are those of its kind.
type event struct {
	kind  eventKind
	line  *line
	link  *link.Link
	roles roles
	said  crew.Event
	err   error

	targets []discover.Target

	peer    dist.Peer
	overTLS bool
	answer  chan<- answer
}

type eventKind uint8

const (
	eventConnected eventKind = iota // line, link or err
	eventLaunched                   // roles or err
	eventHanded                     // line, err
	eventSaid                       // said, by the crew
	eventWatched                    // the crew has ended
	eventKept                       // line, err: its keeper has returned
	eventRespawn                    // somebody wants a new child
	eventFound                      // targets, err: which nodes there are to dial
	eventSought                     // no more of these come
	eventKnocked                    // peer, overTLS, answer: a node wants to connect
	eventAccepted                   // link: it has
	eventShut                       // no more of these come
)

// guard ties one crew with the links that its child serves: the crew's life and the life of
// each link are machines, and settle has them see each other. One goroutine owns all of
// them and what they hold; all others report to it and end before it does.
type guard struct {
	world world
	log   *slog.Logger
	up    func()
	told  *service // how it goes; nil: nobody is

	team  team
	lines []*line
	nodes nodes
	doors doors
	name  string // of our node, if connections come by themselves

	open    bool        // connections come by themselves
	stays   bool        // the crew goes on without a connection, as long as one may come
	awaited []ipc.Waits // of which the child was told
	rose    bool        // a crew has served
	why     error       // no crew could be started, before any connection

	quit   chan struct{} // somebody wants to know how all stands
	events chan event    // unbuffered: the owner is never away for long
	timer  *time.Timer
	reason string // for the child's stop
}

// team is the crew, with what it holds.
type team struct {
	crew.Life
	roles   roles           // nil: there are none
	ctx     context.Context // of their start
	cancel  context.CancelFunc
	running int  // goroutines that have yet to report: launch and watch
	handing int  // links that are being given to the child
	watched bool // Watch was called
	due     time.Time
	noted   crew.State

	// Of the last one:
	why  etf.Term // it has ended, for the controllers
	left error    // its links cannot be gone on with
}

// line is a link, with what it holds.
type line struct {
	link.Life
	id      uint32  // of its links
	target  string  // the node; with serve = first, all of them
	choice  *choice // with serve = first
	connect func(context.Context) (*link.Link, error)
	link    *link.Link // nil: there is no connection
	keeper  keeper

	operator bool // it comes from the control socket
	overTLS  bool // it goes through a relay, or may

	cancel  context.CancelFunc // an attempt to connect
	running int                // goroutines that have yet to report: connect, hand, keeper
	refused error              // why there is no connection; nil: it was not lost or refused yet
	lost    string             // the node of the connection that has just been closed
	due     time.Time
	noted   link.State
}

// run lives until all links have ended, and returns why the first of them has that did not
// do so in order, which somebody wants when ctx ends.
func (g *guard) run(ctx context.Context) error {
	stop := ctx.Done()
	g.events = make(chan event)
	g.timer = time.NewTimer(time.Hour)
	for _, l := range g.lines {
		g.onLine(l, l.Begin())
	}
	if len(g.lines) > 0 || g.open {
		g.onTeam(g.team.Wanted()) // along with the first connection, so that the node is up soon
	}
	g.seek()
	g.unlock()
	for !g.ended() {
		g.arm()
		select {
		case <-stop:
			stop = nil
			g.reason = context.Cause(ctx).Error()
			g.log.Info("stopping", "reason", g.reason)
			g.told.leaving("stopping: " + g.reason)
			g.onTeam(g.team.Stop())
			g.leave(nil)
		case <-g.timer.C:
			g.expire(time.Now())
		case <-g.told.due():
			// Whatever else goes on has bounds of its own.
			g.told.sign(g.team.State != crew.Serving || g.team.roles.Answers())
		case <-g.quit:
			g.dump()
		case e := <-g.events:
			g.take(e)
		}
		for g.settle(time.Now()) {
		}
		g.note()
	}
	g.timer.Stop()
	err := g.err()
	if err != nil {
		g.told.leaving(err.Error())
	} else {
		g.told.leaving("ended")
	}
	return err
}

func (g *guard) ended() bool {
	return !g.open && g.linesEnded() && g.team.State == crew.None && !g.nodes.seeking && !g.doors.running
}

func (g *guard) linesEnded() bool {
	return !slices.ContainsFunc(g.lines, func(l *line) bool { return l.State != link.Ended })
}

// dialledEnded is the same of those that nodes have not made by themselves.
func (g *guard) dialledEnded() bool {
	return !slices.ContainsFunc(g.lines, func(l *line) bool { return l.State != link.Ended && !l.Passive })
}

func (g *guard) err() error {
	if g.why != nil {
		return g.why
	}
	for _, l := range g.lines {
		if err := l.Failure(); err != nil {
			return err
		}
	}
	return nil
}

// arm sets the timer to when the first of the machines' runs out, if any.
func (g *guard) arm() {
	next := g.team.due
	for _, l := range g.lines {
		if next.IsZero() || !l.due.IsZero() && l.due.Before(next) {
			next = l.due
		}
	}
	g.timer.Stop()
	if !next.IsZero() {
		g.timer.Reset(time.Until(next))
	}
}

// expire tells the machines whose timers have run out.
func (g *guard) expire(now time.Time) {
	over := func(due *time.Time) bool {
		if due.IsZero() || now.Before(*due) {
			return false
		}
		*due = time.Time{}
		return true
	}
	if over(&g.team.due) {
		g.onTeam(g.team.Expired())
	}
	for _, l := range g.lines {
		if over(&l.due) {
			g.onLine(l, l.Expired())
		}
	}
}

// take gives an event to the machine that it concerns.
func (g *guard) take(e event) {
	if e.line != nil {
		e.line.running--
	}
	switch e.kind {
	case eventConnected:
		if e.err != nil {
			g.onLine(e.line, e.line.Lost(e.err))
			return
		}
		e.line.link = e.link
		g.onLine(e.line, e.line.Connected())
	case eventLaunched:
		g.team.running--
		if e.err != nil {
			g.onTeam(g.team.Failed(e.err))
			return
		}
		g.team.roles = e.roles
		g.onTeam(g.team.Launched())
	case eventHanded:
		g.team.handing--
		if e.err != nil {
			g.onTeam(g.team.Failed(e.err))
			return
		}
		e.line.Ready(time.Now())
		g.onTeam(g.team.Ready(time.Now()))
	case eventSaid:
		g.hear(e.said)
	case eventWatched:
		g.team.running--
	case eventKept:
		e.line.keeper.Close()
		e.line.keeper = nil
		if e.err != nil {
			err := fmt.Errorf("the connection was lost while there was no child: %w", e.err)
			g.onLine(e.line, e.line.Lost(e.line.link.Ended(err)))
			return
		}
		g.onLine(e.line, e.line.Released())
	case eventFound:
		g.found(e.targets, e.err)
	case eventSought:
		g.nodes.seeking = false
	case eventKnocked:
		e.answer <- g.decide(e.peer.Name, e.overTLS)
	case eventAccepted:
		g.accept(e.link)
	case eventShut:
		g.doors.running = false
	case eventRespawn:
		g.onTeam(g.team.Respawn())
	}
}

// hear takes what a crew reports.
func (g *guard) hear(e crew.Event) {
	switch e.Kind {
	case crew.Stopped:
		g.onTeam(g.team.Stopped(e.Err))
	case crew.Lost:
		for _, l := range g.lines {
			if l.id == e.Link {
				g.onLine(l, l.Lost(l.link.Ended(e.Err)))
				return
			}
		}
		g.onTeam(g.team.Failed(fmt.Errorf("the child says that a connection has ended which it was never given (%d)", e.Link)))
	case crew.Broken:
		g.onTeam(g.team.Failed(e.Err))
	case crew.Died:
		g.log.Debug("a role has ended", "how", e.Err) // if it matters, it will be the guard's error
		g.onTeam(g.team.Died(e.Err))
	}
}

// settle has the machines see each other, and says whether anything has changed by it.
func (g *guard) settle(now time.Time) (changed bool) {
	t := &g.team
	was, needed := t.State, false
	if t.State == crew.Falling || t.State == crew.Ending {
		g.reap(now)
	}
	for _, l := range g.lines {
		before := l.State
		g.meet(l, now)
		changed = changed || l.State != before
		needed = needed || l.Needs()
	}
	switch {
	case needed:
	case g.open || g.stays && !(g.linesEnded() && !g.nodes.seeking):
		g.idle()
	default:
		g.onTeam(t.Unwanted())
	}
	if g.nodes.once && len(g.lines) > 0 && g.dialledEnded() {
		g.nodes.stop()
	}
	g.meetings()
	g.dismiss()
	return changed || t.State != was
}

// idle has the crew see that it has no connection, and that one may come.
func (g *guard) idle() {
	t := &g.team
	if t.State == crew.Down || t.State == crew.Resting {
		g.log.Error("no child, and no connection to tell of it; the next one gets another", "error", t.Err)
	}
	g.onTeam(t.Idle())
}

// meet has a link see how the crew stands.
func (g *guard) meet(l *line, now time.Time) {
	t := &g.team
	if l.State == link.Closing && l.running == 0 && t.State != crew.Ending {
		g.close(l)
		g.onLine(l, l.Gone(now))
	}
	switch t.State {
	case crew.None:
		if l.State == link.Open {
			g.onTeam(t.Wanted())
		}
	case crew.Standby, crew.Serving:
		if l.State != link.Open || !l.Passive || !g.preceded(l) {
			g.onLine(l, l.Offered())
		}
	case crew.Falling, crew.Down, crew.Resting:
		l.Crashed()
	}
	if l.State == link.Orphaned && t.State != crew.Falling {
		g.onLine(l, l.Reaped())
	}
}

// reap tells the crew's machine when nothing is left of the roles.
func (g *guard) reap(now time.Time) {
	t := &g.team
	if t.roles != nil && !t.watched && t.handing == 0 {
		g.watch()
	}
	if t.running > 0 || t.handing > 0 {
		return
	}
	if t.roles != nil {
		t.why, t.left = t.roles.Left()
		t.roles.Close()
		t.roles, t.watched = nil, false
	}
	g.onTeam(t.Gone(now))
}

// served are the nodes that are served now, for people.
func (g *guard) served() string {
	var names []string
	for _, l := range g.lines {
		if l.State == link.Served && !l.operator {
			names = append(names, l.link.Peer.Name)
		}
	}
	return strings.Join(names, ", ")
}

// tellAwaited tells the child to which nodes there is to be a connection, if that is news. When
// it cannot be told it is tried again with the next event.
func (g *guard) tellAwaited() {
	var list []ipc.Waits
	for _, l := range g.lines {
		if l.State != link.Connecting && l.State != link.Waiting {
			continue
		}
		why := ""
		if l.refused != nil {
			why = permit.Printable(l.refused.Error())
		}
		for _, node := range strings.Split(l.target, ", ") { // with serve = first these are several
			list = append(list, ipc.Waits{Node: node, Why: why})
		}
	}
	if !slices.Equal(list, g.awaited) && g.team.roles.Await(list) == nil {
		g.awaited = list
	}
}

// whatWasLost is which of several nodes had the connection, for the log, once.
func (l *line) whatWasLost() (attributes []any) {
	if l.lost != "" && l.lost != l.target {
		attributes = []any{"lost", l.lost}
	}
	l.lost = ""
	return attributes
}

// note logs what people want to know of a new state, and tells the service manager.
func (g *guard) note() {
	for _, l := range g.lines {
		if l.State == l.noted {
			continue
		}
		l.noted = l.State
		switch l.State {
		case link.Served:
			if l.operator {
				break
			}
			g.log.Info("node up", "node", l.link.Local.Name, "target", l.link.Peer.Name)
			g.told.up("serving %s as %s", g.served(), l.link.Local.Name)
		case link.Waiting:
			l.refused = l.Err
			g.log.Warn("trying again", append([]any{"in", l.Delay.Round(time.Millisecond), "error", l.Err, "target", l.target}, l.whatWasLost()...)...)
			if served := g.served(); served != "" {
				g.told.status("serving %s; trying again: %v", served, l.Err)
			} else {
				g.told.status("not connected, trying again: %v", l.Err)
			}
		case link.Ended:
			if l.Err != nil && !g.linesEnded() { // otherwise it is the guard's own error
				g.log.Error("not trying again", append([]any{"error", l.Err, "target", l.target}, l.whatWasLost()...)...)
			}
		}
	}
	if g.team.State == crew.Serving {
		g.tellAwaited()
	}
	if t := &g.team; t.State != t.noted {
		t.noted = t.State
		g.stood()
		if t.State == crew.Down {
			g.log.Error("no child", "error", t.Err, "respawn_within", t.DieTimeout)
			g.told.status("no child, waiting %v for respawn: %v", t.DieTimeout, t.Err)
		}
	}
}
