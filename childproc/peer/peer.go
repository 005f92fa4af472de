package peer

import (
	"errors"
	"fmt"
	"time"

	"erluv/ipc"
	"erluv/ipc/journal"
	"erluv/loop"
	"erluv/wire/dist"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// Host is what a peer needs of the one that serves the node.
type Host interface {
	// Frame: a frame has come.
	Frame(frame []byte)
	// Oversized: so does the beginning of one that is passed over.
	Oversized(head []byte, size int)
	// RoomAgain is called in each round in which there is room for output of programs.
	RoomAgain()
	// Lost: the connection has ended.
	Lost(err error)
	// Said: the words of a process of ours that waited are said.
	Said(pid etf.Pid)
	// NewPid gives a pid that no process of ours has.
	NewPid() etf.Pid
	// Ring asks main to read the ledger.
	Ring()
	// Resume: the stream with the tag may go on, as far as one of its receivers is
	// concerned. Regain: one takes again, and is to be told what. Linger: the stream waits
	// for long. Stand: it has waited for a second, or does no more.
	Resume(tag any)
	Regain(tag any, to etf.Pid, what etf.Term)
	Linger(tag any, w Wait)
	Stand(tag any, w Wait, waits bool)
}

// Given is what main gives to serve a node with.
type Given struct {
	Link   ipc.Link
	FD     int // the connection, between two frames of what is written to it
	Pages  *journal.Pages
	Ledger *ipc.Conn // the child's end of the ledger's conversation
}

// Peer is a connection to a node. It owns the child's descriptor of it, the journal
// with what is read and what is to be written, and all that only this node is concerned
// with: questions to it, what its receivers have still to take, what is still to be said
// to it, and what main is told of links and monitors.
type Peer struct {
	*outbox
	node  etf.Atom
	host  Host
	log   *ipc.Logger
	fd    int
	loop  *loop.Loop
	src   loop.Source
	pages *journal.Pages
	rec   journal.Record // the last in the journal
	in    inbox

	behind bool // there may be complete frames in the inbox

	ticker dist.Ticker
	timer  *loop.Timer
	dead   bool
	closed bool
	unhook func() // ends the calls of flush
	empty  func() // told when nothing waits any more

	ledger    ledger
	observed  int // links and monitors
	linked    int // links
	farewells farewells
	questions map[uint64]*question // by the pid that is to be answered
	flows     flows
}

// New makes a peer. self is the process of ours that answers are from, serial that of the
// pids that are given now.
func New(l *loop.Loop, g Given, self etf.Pid, serial uint32, host Host, log *ipc.Logger) (*Peer, error) {
	first, err := g.Pages.First()
	if err != nil {
		return nil, err
	}
	c := &Peer{
		node: etf.Atom(g.Link.Target), host: host, log: log, fd: g.FD, loop: l, pages: g.Pages,
		outbox: newOutbox(g.Pages.Out), in: newInbox(g.Pages.In, first),
		ledger:    ledger{loop: l, conn: g.Ledger, ring: host.Ring, serial: serial, changed: true},
		farewells: farewells{words: make(map[uint64]*Farewell)},
		questions: make(map[uint64]*question),
		flows:     flows{all: make(map[etf.Pid]*receiver)},
	}
	c.Self = self
	return c, nil
}

// Node is the node's name.
func (c *Peer) Node() etf.Atom { return c.node }

// Traffic is how many bytes were written and handled since this child has the connection.
func (c *Peer) Traffic() (sent, received uint64) { return c.stream(), c.in.pos }

// Has says whether a process is the node's.
func (c *Peer) Has(pid etf.Pid) bool { return pid.Node == c.node }

// Dead says whether the connection has ended.
func (c *Peer) Dead() bool { return c.dead }

// Serve begins to read and write.
func (c *Peer) Serve() error {
	var err error
	if c.src, err = c.loop.Watch(c.fd, loop.In, c); err != nil {
		return err
	}
	c.ticker = dist.NewTicker(time.Now(), dist.DefaultNetTicktime)
	c.unhook = c.loop.EachRound(c.flush)
	c.tick()
	c.loop.After(0, c.frames) // of what main hands over
	return nil
}

// setTicktime adopts the node's net_ticktime, and has main know it.
func (c *Peer) setTicktime(d time.Duration) {
	c.ticker.SetInterval(d)
	c.tick()
	c.ledger.ticktime, c.ledger.changed = uint32(d/time.Second), true
}

// tick does what is due and comes back when something is due again.
func (c *Peer) tick() {
	if c.dead {
		return
	}
	switch c.ticker.Check(time.Now()) {
	case dist.DueTick:
		c.sendTick()
	case dist.DueSilent:
		c.end(errors.New("the node has been silent for longer than its net_ticktime"))
		return
	}
	c.timer.Stop()
	c.timer = c.loop.After(max(time.Until(c.ticker.Next()), time.Millisecond), c.tick)
}

// sendTick sends a tick, unless something else is on its way anyhow.
func (c *Peer) sendTick() {
	if c.Waiting() == 0 {
		c.buf = dist.AppendTick(c.buf)
	}
	// With a full socket the node does not read: nothing can be sent, and the
	// tick counts as sent so that it is not tried at once again.
	c.ticker.Wrote(time.Now())
}

// Ready: there is something to read, or room to write.
func (c *Peer) Ready(ev loop.Events) {
	if ev&loop.Out != 0 {
		c.flush()
	}
	if ev&(loop.In|loop.Hup) != 0 && !c.dead {
		c.read()
	}
}

// read takes one piece from the socket and tells the frames that are complete.
func (c *Peer) read() {
	n, err := unix.Read(c.fd, c.in.space())
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err == unix.EFAULT:
		panic("peer: out of memory: no page for what the node sends") // main takes over
	case err != nil:
		c.end(fmt.Errorf("the connection is broken: %w", err))
		return
	case n == 0:
		c.end(errors.New("the node has closed the connection"))
		return
	}
	c.ticker.Read(time.Now())
	c.in.have += n
	c.frames()
}

// frames tells the frames that are complete, until what they bring about is too
// much for the outbox: the rest has its turn when there is room again.
func (c *Peer) frames() {
	for !c.dead {
		if c.behind = c.Full(); c.behind {
			return
		}
		n := c.next(c.in.unhandled())
		if n == 0 {
			return
		}
		c.in.handled(n)
	}
}

// next takes one frame, or a piece of one that is passed over, off b; 0: there
// is none yet.
func (c *Peer) next(b []byte) int {
	if c.in.skip > 0 {
		n := min(c.in.skip, len(b))
		c.in.skip -= n
		return n
	}
	frame, n, err := dist.Next(b, MaxFrame)
	if err != nil { // oversized: its beginning is waited for, to answer a call
		size, _ := dist.FrameLen(b)
		if len(b) < headSize {
			return 0
		}
		c.host.Oversized(b[dist.HeaderSize:headSize], size)
		c.in.skip = dist.HeaderSize + size
		return c.next(b)
	}
	if n == 0 {
		return 0
	}
	if len(frame) > 0 {
		if c.log.Traces {
			c.traceFrame("control message received", frame)
		}
		c.host.Frame(frame)
	} else if c.ticker.ReadTick(time.Now()) {
		c.sendTick()
	}
	return n
}

// headSize is how much of an oversized frame is looked at.
const headSize = 4096

// Record has main know what has been handled, or says that it cannot be told yet. What is
// handled then is not answered by main as if nothing had come of it, should the child end
// now.
func (c *Peer) Record() bool {
	if c.dead {
		return true
	}
	if !c.ledger.told() {
		return false
	}
	c.Commit()
	return true
}

// flush writes what waits, once a round. While the socket takes no more, output
// of programs is held back, then requests.
func (c *Peer) flush() {
	if c.dead {
		return
	}
	if !c.Record() {
		c.src.Want(0)
		return
	}
	if c.log.Traces {
		c.trace()
	}
	if c.Waiting() > 0 {
		n, err := unix.Write(c.fd, c.Unsent())
		if n > 0 {
			c.ticker.Wrote(time.Now())
			c.Sent(n)
			c.Commit()
		}
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			c.end(fmt.Errorf("the connection is broken: %w", err))
			return
		}
	}
	if c.Waiting() < High {
		c.host.RoomAgain()
	}
	if c.behind {
		c.frames()
	}
	want := loop.In // after these, which may have put more in
	if c.Full() {
		want = 0
	}
	more := c.Waiting() > 0 || c.Owes()
	if more {
		want |= loop.Out
	}
	c.src.Want(want)
	if c.empty != nil && !more {
		c.empty()
	}
}

// Commit has the journal tell main where the connection stands, should the child
// end now: which frames are to be written, and from where on what was read is still
// to be handled. It comes before each write, so that nothing is begun that main
// could not end, and before what was written or handled is overwritten. Between two
// frames only; it costs no system call unless much memory is given back.
func (c *Peer) Commit() {
	c.publish()
	out, in := c.outbox.shift(), c.in.shift()
	if out == 0 && in == 0 {
		return
	}
	c.publish()
	c.giveBack(c.mem, len(c.buf), out)
	c.giveBack(c.in.mem, c.in.have, in)
}

func (c *Peer) publish() {
	c.outbox.record(&c.rec)
	c.in.record(&c.rec)
	c.pages.Commit(&c.rec)
}

const (
	// bufferKept is what a room keeps of its memory once it is empty.
	bufferKept = 2 << 20

	// pageSize is a multiple of the page sizes of Linux, as are the rooms.
	pageSize = 64 << 10
)

// giveBack frees the memory of a room of which used bytes were in use and live
// still are, beyond what it keeps.
func (c *Peer) giveBack(mem []byte, live, used int) {
	keep := max(bufferKept, (live+pageSize-1)&^(pageSize-1))
	if used > keep {
		c.pages.Free(mem[keep:min(len(mem), (used+pageSize-1)&^(pageSize-1))])
	}
}

// over ends all traffic: main must not go on with the connection either.
func (c *Peer) over() {
	c.dead = true
	c.rec.Over = true
	c.publish()
	c.outbox.drop()
}

// end gives the connection up; lost is told once.
func (c *Peer) end(err error) {
	if c.dead {
		return
	}
	c.over()
	c.src.Remove()
	c.timer.Stop()
	if c.empty != nil {
		c.empty()
		return
	}
	c.flows.end(c.loop.Now())
	c.forgetFarewells()
	c.host.Lost(err)
}

// Close frees what the peer holds, once its connection has ended and none of its frames is
// being handled. What is sent to it is dropped before and after.
func (c *Peer) Close() {
	if c.closed {
		return
	}
	c.closed = true
	c.over()
	c.unhook()
	c.timer.Stop()
	c.src.Remove()
	c.ledger.src.Remove()
	c.release()
	c.in = inbox{}
	_ = unix.Close(c.fd)
	_ = c.ledger.conn.Close()
	_ = c.pages.Close()
}

// Drained has f called once everything has been written, or the node has taken nothing
// for drainTimeout.
func (c *Peer) Drained(f func()) {
	if c.dead {
		f()
		return
	}
	over := false
	call := func() {
		if !over {
			over = true
			f()
		}
	}
	c.empty = call
	var watch func(sent uint64)
	watch = func(sent uint64) {
		c.loop.After(drainTimeout, func() {
			if now := c.outbox.stream(); now != sent && !over {
				watch(now)
				return
			}
			call()
		})
	}
	watch(c.outbox.stream())
}

// drainTimeout bounds the wait for a node that does not read.
const drainTimeout = 2 * time.Second

// CloseOrderly is the end of an orderly stop: no more is sent, and the node's own
// closing is waited for, since closing a socket that holds unread data destroys
// what the node has not read yet (RST).
func (c *Peer) CloseOrderly(done func()) {
	c.over()
	c.timer.Stop()
	c.src.Remove()
	if err := unix.Shutdown(c.fd, unix.SHUT_WR); err != nil {
		done()
		return
	}
	over := false
	finish := func() {
		if !over {
			over = true
			c.src.Remove()
			done()
		}
	}
	var err error
	if c.src, err = c.loop.Watch(c.fd, loop.In, lastWords{c, finish}); err != nil {
		finish()
		return
	}
	c.loop.After(closeTimeout, finish)
}

// closeTimeout bounds the wait for the node's closing.
const closeTimeout = 300 * time.Millisecond

// lastWords reads on until the node closes, and drops it.
type lastWords struct {
	c    *Peer
	done func()
}

func (l lastWords) Ready(loop.Events) {
	n, err := unix.Read(l.c.fd, l.c.in.mem[:readChunk])
	if n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR {
		l.done()
	}
}
