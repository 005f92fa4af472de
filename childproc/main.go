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
	// startTimeout is the longest conversation with main before the child serves.
	startTimeout = 30 * time.Second

	// reservedFDs is how many descriptors workers may not use. They are for the connection, the
	// conversations, epoll, files of control groups, and /proc. Up to four for each request are on
	// their way to the spawner: three pipes and a memfd.
	reservedFDs = 320
)

// Main is the role. It talks to main on descriptor 3, then serves nodes until it is stopped, or
// until the last connection ends.
func Main() error {
	// The child ignores signals that a terminal or a service manager sends to all processes. Main
	// asks it for an orderly stop.
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	var asked atomic.Pointer[loop.Loop] // for AtQuit; nil: the child does not serve yet
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

// child connects the loop, main and the manager.
type child struct {
	up    *ipc.Conn
	upSrc loop.Source
	buf   [4096]byte

	counted uint32 // the number of programs in the last report to main

	arriving *arriving // a connection that main has not described completely

	noSpawner *loop.Timer // while there is no spawner
	loop      *loop.Loop
	m         *manager
	ended     error
}

// begin talks to main and makes everything ready, up to the first frame.
func begin(up *ipc.Conn) (*child, error) {
	// A worker runs as the same user. Because the child is not dumpable, the worker can neither
	// trace it, nor read its memory, nor take its descriptors.
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

// readHost reads main's description of this machine.
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

// connectionOf takes the descriptors of a connection.
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

// given is everything with which main starts the child.
type given struct {
	start       ipc.Start
	host        ipc.Host
	history     int       // memory for the ends of programs; -1: none
	up, spawner *ipc.Conn // the child's ends of its conversations
	log         *ipc.Logger
	first       peer.Given
	carried     []string // monitors that have outlived an earlier child
}

// readCarried reads the messages after a Link. They have the monitors that have outlived an earlier
// child.
func readCarried(up *ipc.Conn, messages uint32) (records []string, err error) {
	buf := make([]byte, ipc.MaxPacket)
	for range messages {
		n, fds, err := up.Recv(buf, startTimeout)
		ipc.CloseAll(fds)
		if err != nil {
			return nil, fmt.Errorf("main does not send an earlier child's monitors: %w", err)
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

// arriving is a connection that main gives a child which already serves others.
type arriving struct {
	peer.Given
	left    uint32 // messages still to come about an earlier child's monitors
	carried []string
	buf     []byte // for these messages
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

// carry takes a message about the arriving connection.
func (c *child) carry(l ipc.Ledger) error {
	if c.arriving == nil {
		return errors.New("main sent an earlier child's monitors, but for no connection")
	}
	c.arriving.carried = append(c.arriving.carried, l.Added...)
	c.arriving.left--
	return c.arrived()
}

// arrived begins to serve the connection once main has described it completely. A child that is
// stopping closes it instead: main gets it back at the child's end.
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

// Ready handles a message from main.
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
				if n := uint32(c.m.programs); n != c.counted && c.up.TrySend(ipc.Append(nil, ipc.Counted{Programs: n})) == nil {
					c.counted = n
				}
				// If the socket is full, main has not read the last answer, which says the same.
				_ = c.up.TrySend(ipc.Append(nil, ipc.Beat{}))
				c.m.log.Flush()
				return
			}
			err = fmt.Errorf("main sent an unexpected %T", msg)
		}
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("main has ended")
	}
	c.upSrc.Remove()
	c.fail(err)
}

// ring asks main to read the ledgers. If the socket is full, main has been asked before.
func (c *child) ring() { _ = c.up.TrySend(ipc.Append(nil, ipc.Drain{})) }

// workersGone is called when the last worker has ended and no new one will come. It closes the
// remaining connections in an orderly way, all at the same time.
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

// spawnerBound is how long main may take to provide another spawner, or to end the child. In that
// time, main ends the programs and starts the spawner.
const spawnerBound = 30 * time.Second

// spawnerLost handles the end of the spawner. No program can be started, and no end is seen, until
// main provides another.
func (c *child) spawnerLost(err error) {
	switch {
	case c.m.phase == over:
	case errors.Is(err, workers.ErrSpawnerEnded):
		c.noSpawner = c.loop.After(spawnerBound, func() { c.fail(err) })
	default:
		c.fail(err)
	}
}

// theirs returns the conversation that came with a Spawner message, nil if there is none.
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

// sayRetry is the time until a message is sent again that main's full socket did not take.
const sayRetry = 10 * time.Millisecond

// say sends main a message, later if necessary.
func (c *child) say(m ipc.Message) {
	if errors.Is(c.up.TrySend(ipc.Append(nil, m)), ipc.ErrFull) {
		c.loop.After(sayRetry, func() { c.say(m) })
	}
}

// wantSpawner asks main for the spawner of another user.
func (c *child) wantSpawner(user uint8) { c.say(ipc.WantSpawner{User: user}) }

// stands tells main what to keep of the host for the next child. told is called once the message is
// sent. An answer before that might be lost with this child.
func (c *child) stands(s ipc.Standing, told func()) {
	if errors.Is(c.up.TrySend(ipc.Append(nil, s)), ipc.ErrFull) {
		c.loop.After(sayRetry, func() { c.stands(s, told) })
		return
	}
	told()
}

// lost tells main that a connection has ended.
func (c *child) lost(id uint32, why string) { c.say(ipc.Lost{ID: id, Text: why}) }

// fail ends the child. Main sees it end.
func (c *child) fail(err error) {
	c.ended = err
	c.loop.Stop()
}
