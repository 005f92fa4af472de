package childproc

import (
	"errors"
	"fmt"
	"io"
	"os/signal"
	"runtime"
	"sync/atomic"
	"time"

	"erluv/wire/gen"

	"erluv/childproc/history"
	"erluv/childproc/peer"
	"erluv/ipc"
	"erluv/ipc/journal"
	"erluv/loop"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

const (
	// startTimeout bounds the conversation with main before the child serves.
	startTimeout = 30 * time.Second

	// reservedFDs are the descriptors that are not the workers': the connection,
	// the conversations, epoll, those under way to and from the spawner (three
	// pipes and a memfd for each request), files of control groups, and a reserve
	// for /proc.
	reservedFDs = 320
)

// Main is the role: it speaks with main on descriptor 3, then serves the node
// until it is stopped or the connection ends.
func Main() error {
	// The child ends with main, not by what a terminal or a service manager sends
	// to everybody: main asks it for an orderly stop.
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	var asked atomic.Pointer[loop.Loop] // how the child stands; nil: it does not serve yet
	ipc.AtQuit(func() {
		if l := asked.Load(); l != nil {
			l.Wake()
		}
	})
	runtime.LockOSThread()
	up, err := ipc.Begin(ipc.RoleChild)
	if err != nil {
		return err
	}
	c, err := begin(up)
	if err != nil {
		return up.Fail(err, startTimeout)
	}
	if err := up.Send(ipc.Append(nil, ipc.Ready{}), startTimeout); err != nil {
		return fmt.Errorf("cannot tell main that the child is ready: %w", err)
	}
	c.loop.OnWake(c.m.dump)
	asked.Store(c.loop)
	if err := c.loop.Run(); err != nil {
		return err
	}
	return c.ended
}

// child ties the loop, the connection and the manager together.
type child struct {
	up    *ipc.Conn
	upSrc loop.Source
	buf   [4096]byte

	arriving *arriving // a connection of which main is still saying something

	noSpawner *loop.Timer // while there is none
	loop      *loop.Loop
	m         *manager
	ended     error
}

// begin speaks with main and makes everything ready, up to the first frame.
func begin(up *ipc.Conn) (*child, error) {
	// Not dumpable: a worker, which is the same user, can neither trace the
	// child nor read its memory nor take its descriptors.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("cannot make the child undumpable: %w", err)
	}
	msg, fds, log, err := ipc.Greet(up, ipc.RoleChild, 1, startTimeout)
	if err != nil {
		return nil, err
	}
	start, ok := msg.(ipc.Start)
	if !ok {
		return nil, fmt.Errorf("main sent %T instead of a start", msg)
	}
	g := given{start: start, up: up, log: log}
	if g.spawner, err = ipc.FromFD(fds[0]); err != nil {
		return nil, err
	}
	ipc.Trace(up, log.Logger, "main")
	ipc.Trace(g.spawner, log.Logger, "spawner")
	if err = g.readHost(); err != nil {
		return nil, err
	}
	if err = g.link(); err != nil {
		return nil, err
	}
	return build(g)
}

// readHost reads what main says of this machine.
func (g *given) readHost() error {
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := g.up.Recv(buf, startTimeout)
	if err != nil {
		ipc.CloseAll(fds)
		return fmt.Errorf("main does not say what this host offers: %w", err)
	}
	if g.history = -1; len(fds) == 1 {
		g.history, fds = fds[0], nil
	}
	ipc.CloseAll(fds)
	msg, err := ipc.Decode(buf[:n])
	host, ok := msg.(ipc.Host)
	if err == nil && !ok {
		err = fmt.Errorf("main sent %T instead of a host", msg)
	}
	g.host = host
	return err
}

// link reads the connection that main gives the child.
func (g *given) link() error {
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := g.up.Recv(buf, startTimeout)
	if err != nil {
		return fmt.Errorf("main does not say which connection to serve: %w", err)
	}
	msg, err := ipc.Decode(buf[:n])
	link, ok := msg.(ipc.Link)
	if err == nil && !ok {
		err = fmt.Errorf("main sent %T instead of a connection", msg)
	}
	if err != nil {
		ipc.CloseAll(fds)
		return err
	}
	if g.first, err = connectionOf(link, fds); err != nil {
		return err
	}
	ipc.Trace(g.first.Ledger, g.log.Logger, "main's ledger")
	g.carried, err = readCarried(g.up, link.Carried)
	return err
}

// connectionOf takes the descriptors that came with a connection.
func connectionOf(link ipc.Link, fds []int) (peer.Given, error) {
	if len(fds) != ipc.LinkFDs {
		ipc.CloseAll(fds)
		return peer.Given{}, fmt.Errorf("main sent a connection with %d descriptors", len(fds))
	}
	g := peer.Given{Link: link, FD: fds[0]}
	var err error
	g.Pages, err = journal.Map(fds[1])
	_ = unix.Close(fds[1])
	if err != nil {
		ipc.CloseAll([]int{fds[0], fds[2]})
		return g, err
	}
	g.Ledger, err = ipc.FromFD(fds[2])
	return g, err
}

// given is what main gives the child to serve with.
type given struct {
	start       ipc.Start
	host        ipc.Host
	history     int       // memory of the ends of programs; -1: none
	up, spawner *ipc.Conn // the ends of its conversations
	log         *ipc.Logger
	first       peer.Given
	carried     []string // monitors that have outlived the child before
}

// readCarried reads the messages that follow a Link: what has outlived the child
// before.
func readCarried(up *ipc.Conn, messages uint32) (records []string, err error) {
	buf := make([]byte, ipc.MaxPacket)
	for range messages {
		n, fds, err := up.Recv(buf, startTimeout)
		ipc.CloseAll(fds)
		if err != nil {
			return nil, fmt.Errorf("main does not say what was there before: %w", err)
		}
		msg, err := ipc.Decode(buf[:n])
		if err != nil {
			return nil, err
		}
		l, ok := msg.(ipc.Ledger)
		if !ok {
			return nil, fmt.Errorf("main sent %T instead of a ledger", msg)
		}
		records = append(records, l.Added...)
	}
	return records, nil
}

// arriving is a connection that main gives a child which serves others.
type arriving struct {
	peer.Given
	left    uint32 // messages with what has outlived the child before
	carried []string
	buf     []byte // for these
}

// link takes another connection.
func (c *child) link(link ipc.Link, fds []int) error {
	g, err := connectionOf(link, fds)
	if err != nil {
		return err
	}
	if c.arriving != nil {
		return fmt.Errorf("main gives a connection to %s before it has given the one to %s", link.Target, c.arriving.Link.Target)
	}
	c.arriving = &arriving{Given: g, left: link.Carried}
	if link.Carried > 0 {
		c.arriving.buf = make([]byte, ipc.MaxPacket)
	}
	return c.arrived()
}

// carry takes what main says of the connection that arrives.
func (c *child) carry(l ipc.Ledger) error {
	if c.arriving == nil {
		return errors.New("main says what was there before, but of no connection")
	}
	c.arriving.carried = append(c.arriving.carried, l.Added...)
	c.arriving.left--
	return c.arrived()
}

// arrived begins to serve the connection once main has said all of it. A child that stops
// leaves it alone: main has it back with the child's end.
func (c *child) arrived() error {
	a := c.arriving
	if a.left > 0 {
		return nil
	}
	c.arriving = nil
	if c.m.phase != serving {
		_ = unix.Close(a.FD)
		_ = a.Ledger.Close()
		return a.Pages.Close()
	}
	served, err := c.m.connect(a.Given, a.carried)
	if err != nil {
		return err
	}
	return served.begin()
}

func build(g given) (*child, error) {
	l, err := loop.New()
	if err != nil {
		return nil, err
	}
	c := &child{up: g.up, loop: l}
	m := newManager(l, g.start, g.first.Link, c)
	m.history = history.New(int(g.start.History), g.history)
	c.m = m
	if m.host, err = newHost(g.host, len(m.start.Allowed)); err != nil {
		return nil, err
	}
	if g.log != nil {
		m.log = g.log
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("cannot read the descriptor limit: %w", err)
	}
	reserved := reservedFDs
	if g.start.Stays { // connections may come
		reserved += 3 * ipc.MostLinks(limit.Cur)
	}
	m.starter, err = workers.NewStarter(l, g.spawner, g.start.Reports, int(limit.Cur)-reserved, c.spawnerLost)
	if err != nil {
		return nil, err
	}
	m.starter.Settle(m.settled)
	if g.start.Leaves != "" {
		if err := m.starter.UseLeaves(g.start.Leaves); err != nil {
			return nil, err
		}
	}
	m.starter.UseLimits(g.start.Limits, g.start.Leaves)
	served, err := m.connect(g.first, g.carried)
	if err != nil {
		return nil, err
	}
	if c.upSrc, err = l.Watch(g.up.FD(), loop.In, c); err != nil {
		return nil, err
	}
	if err := served.begin(); err != nil {
		return nil, err
	}
	return c, nil
}

// Ready: main has something to say.
func (c *child) Ready(loop.Events) {
	buf := c.buf[:]
	if c.arriving != nil {
		buf = c.arriving.buf
	}
	n, fds, err := c.up.TryRecv(buf)
	defer func() { ipc.CloseAll(fds) }()
	if errors.Is(err, ipc.ErrEmpty) {
		return
	}
	if err == nil {
		var msg ipc.Message
		if msg, err = ipc.Decode(buf[:n]); err == nil {
			switch msg := msg.(type) {
			case ipc.Stop:
				c.m.stop(gen.Shutdown, msg.Reason)
				return
			case ipc.Spawner:
				conn, err := theirs(msg, fds)
				if err == nil {
					if fds = nil; conn != nil {
						ipc.Trace(conn, c.m.log.Logger, "spawner")
					}
					err = c.spawner(msg, conn)
				}
				if err != nil {
					c.fail(err)
				}
				return
			case ipc.Link:
				err := c.link(msg, fds)
				if fds = nil; err != nil {
					c.fail(err)
				}
				return
			case ipc.Ledger:
				if err := c.carry(msg); err != nil {
					c.fail(err)
				}
				return
			case ipc.Awaited:
				c.m.awaited = msg.Nodes
				return
			case ipc.Beat:
				// Full: main has not read what tells the same.
				_ = c.up.TrySend(ipc.Append(nil, ipc.Beat{}))
				c.m.log.Flush()
				return
			}
			err = fmt.Errorf("main sent %T, which is not due", msg)
		}
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("main has ended")
	}
	c.upSrc.Remove()
	c.fail(err)
}

// ring asks main to read the ledgers. Full: main has been asked before.
func (c *child) ring() { _ = c.up.TrySend(ipc.Append(nil, ipc.Drain{})) }

// workersGone: the last worker is over, and no new one comes. The connections that are left
// are closed in order, one beside the other.
func (c *child) workersGone(cause ipc.Cause, why string) {
	left := 1
	closed := func() {
		if left--; left == 0 {
			_ = c.up.Send(ipc.Append(nil, ipc.Stopped{Cause: cause, Text: why}), startTimeout)
			c.loop.Stop()
		}
	}
	for _, served := range c.m.clients {
		left++
		served.Drained(func() { served.CloseOrderly(closed) })
	}
	closed()
}

// spawnerBound is how long main may take to give another spawner, or to end the child:
// it has to start one, and ends the programs before.
const spawnerBound = 30 * time.Second

// spawnerLost: no program can be started, and none is watched over, until main has
// given another spawner.
func (c *child) spawnerLost(err error) {
	switch {
	case c.m.phase == over:
	case errors.Is(err, workers.ErrSpawnerEnded):
		c.noSpawner = c.loop.After(spawnerBound, func() { c.fail(err) })
	default:
		c.fail(err)
	}
}

// theirs is the end of the conversation that came with a spawner; nil where there is
// none.
func theirs(msg ipc.Spawner, fds []int) (*ipc.Conn, error) {
	if msg.PID == 0 && len(fds) == 0 {
		return nil, nil
	}
	if len(fds) != 1 || msg.PID == 0 {
		return nil, fmt.Errorf("main sent the spawner %d with %d descriptors", msg.PID, len(fds))
	}
	return ipc.FromFD(fds[0])
}

// spawner takes over the conversation with another spawner.
func (c *child) spawner(msg ipc.Spawner, conn *ipc.Conn) error {
	if msg.User != 0 {
		return c.m.spawnerOf(msg, conn)
	}
	if conn == nil {
		return errors.New("main sent no spawner in place of the one that has ended")
	}
	c.noSpawner.Stop()
	c.m.start.SpawnerPID = msg.PID
	return c.m.starter.Replace(conn)
}

// sayRetry is when main is told again that could not be: it is behind with reading.
const sayRetry = 10 * time.Millisecond

// say tells main something, later if need be.
func (c *child) say(m ipc.Message) {
	if errors.Is(c.up.TrySend(ipc.Append(nil, m)), ipc.ErrFull) {
		c.loop.After(sayRetry, func() { c.say(m) })
	}
}

// wantSpawner asks main for the spawner of another user.
func (c *child) wantSpawner(user uint8) { c.say(ipc.WantSpawner{User: user}) }

// stands tells main what it is to keep of the host for the next child. Told is called when it
// has been said: what is answered before could be lost with this child.
func (c *child) stands(s ipc.Standing, told func()) {
	if errors.Is(c.up.TrySend(ipc.Append(nil, s)), ipc.ErrFull) {
		c.loop.After(sayRetry, func() { c.stands(s, told) })
		return
	}
	told()
}

// lost tells main that a connection has ended.
func (c *child) lost(id uint32, why string) { c.say(ipc.Lost{ID: id, Text: why}) }

// fail ends the child; main sees it end.
func (c *child) fail(err error) {
	c.ended = err
	c.loop.Stop()
}
