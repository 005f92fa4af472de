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

// world is the guard's environment; tests have one without processes.
type world interface {
	// launch starts child and spawner, and verifies that they have dropped their privileges.
	launch(context.Context) (roles, error)
	// keep keeps a connection after a crew's end, whose reason is the term.
	keep(*link.Link, etf.Term) (keeper, error)
}

// keeper serves a connection while there is no child: a link.Caretaker.
type keeper interface {
	Serve(respawn func()) error
	Order(link.Order)
	Close()
}

// roles are a running child and spawner: a crew.Crew.
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

// event is something that has happened. Its kind decides which fields it has.
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
	eventRespawn                    // a node requests a new child
	eventFound                      // targets, err: the nodes to dial
	eventSought                     // no more eventFound will come
	eventKnocked                    // peer, overTLS, answer: a node wants to connect
	eventAccepted                   // link: it has connected
	eventShut                       // no more eventKnocked and eventAccepted will come
)

// guard connects one crew with the links that its child serves. The crew and each link are state
// machines, and settle informs them about each other. One goroutine owns all of them and their
// resources. All other goroutines report to it and end before it does.
type guard struct {
	world world
	log   *slog.Logger
	up    func()
	told  *service // the service manager; nil: none

	team  team
	lines []*line
	nodes nodes
	doors doors
	name  string // our node's name, if nodes connect to erluv

	open    bool        // nodes may connect to erluv
	stays   bool        // the crew continues without a connection, as long as one may come
	awaited []ipc.Waits // the last list that the child got
	trouble trouble     // the last one
	counted uint32      // the number of programs that the child has
	rose    bool        // a crew has served
	why     error       // why no crew could be started before any connection

	quit   chan struct{} // a request to log main's state
	events chan event    // unbuffered: the owner is never away for long
	timer  *time.Timer
	reason string // for the child's stop
}

// team is the crew and its resources.
type team struct {
	crew.Life
	roles   roles           // nil: there are none
	ctx     context.Context // of their start
	cancel  context.CancelFunc
	running int  // goroutines that have not reported yet: launch and watch
	handing int  // links that are being handed to the child
	watched bool // Watch was called
	due     time.Time
	noted   crew.State

	// About the last roles:
	why  etf.Term // why they have ended, for the controllers
	left error    // why their links cannot continue; nil: they can
}

// line is a link and its resources.
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

	cancel  context.CancelFunc // cancels an attempt to connect
	running int                // goroutines that have not reported yet: connect, hand, keeper
	refused error              // why the last attempt failed or the connection was lost; nil: neither happened
	lost    string             // the node of the connection that has just been closed
	due     time.Time
	noted   link.State
}

// run runs until all links have ended. It returns the error of the first link that had no orderly
// end. When ctx ends, erluv stops in order.
func (g *guard) run(ctx context.Context) error {
	stop := ctx.Done()
	g.events = make(chan event)
	g.timer = time.NewTimer(time.Hour)
	for _, l := range g.lines {
		g.onLine(l, l.Begin())
	}
	if len(g.lines) > 0 || g.open {
		g.onTeam(g.team.Wanted()) // at the same time as the first connection, so that the node is up soon
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
		case <-g.told.late():
			g.told.catchUp()
		case <-g.told.due():
			// All other waits have bounds of their own.
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

// dialledEnded reports the same for the links that erluv makes.
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

// arm sets the timer to the machines' next deadline, if any.
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

// expire informs the machines whose deadlines have passed.
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

// take passes an event to its machine.
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

// hear handles a report of the crew.
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
	case crew.Counted:
		g.counted = e.Programs
	case crew.Broken:
		g.onTeam(g.team.Failed(e.Err))
	case crew.Died:
		g.log.Debug("a role has ended", "how", e.Err) // if it matters, it becomes the guard's error
		g.onTeam(g.team.Died(e.Err))
	}
}

// settle informs the machines about each other, and reports whether that has changed a state.
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

// idle informs the crew that it has no connection, and that one may come.
func (g *guard) idle() {
	t := &g.team
	if t.State == crew.Down || t.State == crew.Resting {
		g.log.Error("no child, and no connection to tell of it; the next one gets another", "error", t.Err)
	}
	g.onTeam(t.Idle())
}

// meet informs a link about the crew's state.
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

// reap informs the crew's machine when nothing is left of the roles.
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

// tellAwaited sends the child the list of nodes that erluv is connecting to, if it has changed. If
// that fails, the next event makes it try again.
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

// whatWasLost returns, for the log and only once, which of several nodes had the connection.
func (l *line) whatWasLost() (attributes []any) {
	if l.lost != "" && l.lost != l.target {
		attributes = []any{"lost", l.lost}
	}
	l.lost = ""
	return attributes
}

// note logs new states, as far as they concern users, and informs the service manager.
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
			g.told.up(g.condition())
		case link.Waiting:
			l.refused = l.Err
			g.trouble.note(l.Err)
			g.log.Warn("trying again", append([]any{"in", l.Delay.Round(time.Millisecond), "error", l.Err, "target", l.target}, l.whatWasLost()...)...)
		case link.Ended:
			if l.Err != nil && !g.linesEnded() { // otherwise it is the guard's own error
				g.trouble.note(l.Err)
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
			g.trouble.note(t.Err)
			g.log.Error("no child", "error", t.Err, "respawn_within", t.DieTimeout)
		}
	}
	if g.told != nil && g.rises() {
		g.told.status(g.condition())
	}
}
