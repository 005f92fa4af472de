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

// Host is the part of the child that serves the node of a peer.
type Host interface {
	// Frame takes a frame that has come.
	Frame(frame []byte)
	// Oversized takes the beginning of a frame that is too large and is skipped.
	Oversized(head []byte, size int)
	// RoomAgain is called in each round in which there is room for output of programs.
	RoomAgain()
	// Lost reports that the connection has ended.
	Lost(err error)
	// Said reports that the waiting words of a process have been sent.
	Said(pid etf.Pid)
	// NewPid returns a pid that no process of the child has.
	NewPid() etf.Pid
	// Ring asks main to read the ledger.
	Ring()
	// Resume lets the stream with the tag go on, as far as one of its receivers is concerned.
	// Regain sends what to a receiver that reads again. Linger reports that the stream has waited
	// for long. Stand reports that it has waited for a second, or waits no more.
	Resume(tag any)
	Regain(tag any, to etf.Pid, what etf.Term)
	Linger(tag any, w Wait)
	Stand(tag any, w Wait, waits bool)
}

// Given is what main provides to serve a node.
type Given struct {
	Link   ipc.Link
	FD     int // the connection, between two outgoing frames
	Pages  *journal.Pages
	Ledger *ipc.Conn // the child's end of the ledger's conversation
}

// Peer is a connection to a node. It owns the child's descriptor of the connection, and the journal
// with incoming and outgoing bytes. It also owns the state that concerns only this node: questions
// to it, debts of its receivers, words that wait for it, and its ledger.
type Peer struct {
	*outbox
	node  etf.Atom
	host  Host
	log   *ipc.Logger
	fd    int
	loop  *loop.Loop
	src   loop.Source
	pages *journal.Pages
	rec   journal.Record // the last one in the journal
	in    inbox

	behind bool // the inbox may have complete frames

	ticker dist.Ticker
	timer  *loop.Timer
	dead   bool
	closed bool
	unhook func() // ends the calls of flush
	empty  func() // called when no more bytes wait

	ledger    ledger
	observed  int // links and monitors
	linked    int // links
	farewells farewells
	questions map[uint64]*question // by the pid to which the answer goes
	flows     flows
}

// New makes a peer. self is the pid from which answers come, and serial that of the pids that are
// given out now.
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

// Traffic returns how many bytes this child has written to the connection and handled.
func (c *Peer) Traffic() (sent, received uint64) { return c.stream(), c.in.pos }

// Has reports whether a process is the node's.
func (c *Peer) Has(pid etf.Pid) bool { return pid.Node == c.node }

// Dead reports whether the connection has ended.
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
	c.loop.After(0, c.frames) // frames that main hands over
	return nil
}

// setTicktime adopts the node's net_ticktime, and reports it to main.
func (c *Peer) setTicktime(d time.Duration) {
	c.ticker.SetInterval(d)
	c.tick()
	c.ledger.ticktime, c.ledger.changed = uint32(d/time.Second), true
}

// tick does what is due, and sets a timer for the next time.
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

// sendTick sends a tick, unless other frames wait to be written.
func (c *Peer) sendTick() {
	if c.Waiting() == 0 {
		c.buf = dist.AppendTick(c.buf)
	}
	// With a full socket the node does not read, and no tick can be sent. It counts as sent all the
	// same, so that the peer does not retry at once.
	c.ticker.Wrote(time.Now())
}

// Ready reads or writes.
func (c *Peer) Ready(ev loop.Events) {
	if ev&loop.Out != 0 {
		c.flush()
	}
	if ev&(loop.In|loop.Hup) != 0 && !c.dead {
		c.read()
	}
}

// read takes one piece from the socket and handles the complete frames.
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

// frames handles the complete frames until the outbox is too full. The rest follow when there is
// room again.
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

// next takes one frame, or a piece of one that is skipped, from b. It returns 0 if there is none
// yet.
func (c *Peer) next(b []byte) int {
	if c.in.skip > 0 {
		n := min(c.in.skip, len(b))
		c.in.skip -= n
		return n
	}
	frame, n, err := dist.Next(b, MaxFrame)
	if err != nil { // oversized: wait for its beginning, to answer a call
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

// headSize is how many bytes of an oversized frame are inspected.
const headSize = 4096

// Record reports to main what has been handled. It returns false if main cannot take the report
// yet. If the child then ends, main does not answer the handled requests as if they had had no
// effect.
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

// flush writes waiting bytes, once a round. While the socket takes no more, the child holds back
// first output of programs, then requests.
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
	want := loop.In // after these calls, which may have added frames
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

// Commit writes the state of the connection into the journal, for main to use if the child ends
// now. It tells which frames are to be written, and from where on incoming bytes are to be handled.
// It comes before each write, so that main can complete every frame that was begun. It also comes
// before bytes that were written or handled are overwritten. It must not be called within a frame.
// It costs a system call only if much memory is given back.
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
	// bufferKept is how many bytes of memory a buffer keeps once it is empty.
	bufferKept = 2 << 20

	// pageSize is a multiple of Linux's page sizes. The sizes of the buffers are multiples of it.
	pageSize = 64 << 10
)

// giveBack frees memory of a buffer beyond what it keeps. The first used bytes were in use, and the
// first live bytes still are.
func (c *Peer) giveBack(mem []byte, live, used int) {
	keep := max(bufferKept, (live+pageSize-1)&^(pageSize-1))
	if used > keep {
		c.pages.Free(mem[keep:min(len(mem), (used+pageSize-1)&^(pageSize-1))])
	}
}

// over ends all traffic. Main must not go on with the connection either.
func (c *Peer) over() {
	c.dead = true
	c.rec.Over = true
	c.publish()
	c.outbox.drop()
}

// end gives up the connection, and calls Lost once.
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

// Close frees the peer's resources, once its connection has ended and none of its frames is being
// handled. Messages to it are dropped before and after.
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

// Drained calls f once everything has been written, or the node has read nothing for drainTimeout.
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

// drainTimeout is the longest wait for a node that does not read.
const drainTimeout = 2 * time.Second

// CloseOrderly ends an orderly stop. The peer sends no more, and waits until the node closes the
// connection. Closing a socket that has unread data would destroy bytes that the node has not read
// yet (RST).
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

// closeTimeout is the longest wait for the node to close the connection.
const closeTimeout = 300 * time.Millisecond

// lastWords reads and drops bytes until the node closes the connection.
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
