package childproc

import (
	"errors"
	"fmt"
	"time"

	"erluv/ipc/journal"
	"erluv/loop"
	"erluv/wire/dist"

	"golang.org/x/sys/unix"
)

// conn is the connection to the node. It owns the child's descriptor of it, and
// the journal with what is read and what is to be written.
type conn struct {
	fd    int
	loop  *loop.Loop
	src   loop.Source
	pages *journal.Pages
	rec   journal.Record // the last in the journal
	out   *outbox
	in    inbox

	behind bool // there may be complete frames in the inbox

	frame func(frame []byte)
	// oversized is told the beginning of a frame that is passed over.
	oversized func(head []byte, size int)
	// roomAgain is called whenever there is room for output of programs.
	roomAgain func()
	// owes says whether more is to be sent when there is room.
	owes func() bool
	// told says whether main knows all that the frames rest on.
	told func() bool
	lost func(error)

	ticker dist.Ticker
	timer  *loop.Timer
	dead   bool
	empty  func() // told when nothing waits any more
}

func newConn(fd int, l *loop.Loop, pages *journal.Pages) (*conn, error) {
	first, err := pages.First()
	if err != nil {
		return nil, err
	}
	return &conn{fd: fd, loop: l, pages: pages, out: newOutbox(pages.Out), in: newInbox(pages.In, first)}, nil
}

// serve begins to read and write.
func (c *conn) serve() error {
	var err error
	if c.src, err = c.loop.Watch(c.fd, loop.In, c); err != nil {
		return err
	}
	c.ticker = dist.NewTicker(time.Now(), dist.DefaultNetTicktime)
	c.loop.EachRound(c.flush)
	c.tick()
	c.loop.After(0, c.frames) // of what main hands over
	return nil
}

// setTicktime adopts the node's net_ticktime.
func (c *conn) setTicktime(d time.Duration) {
	c.ticker.SetInterval(d)
	c.tick()
}

// tick does what is due and comes back when something is due again.
func (c *conn) tick() {
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
func (c *conn) sendTick() {
	if c.out.waiting() == 0 {
		c.out.buf = dist.AppendTick(c.out.buf)
	}
	// With a full socket the node does not read: nothing can be sent, and the
	// tick counts as sent so that it is not tried at once again.
	c.ticker.Wrote(time.Now())
}

// Ready: there is something to read, or room to write.
func (c *conn) Ready(ev loop.Events) {
	if ev&loop.Out != 0 {
		c.flush()
	}
	if ev&(loop.In|loop.Hup) != 0 && !c.dead {
		c.read()
	}
}

// read takes one piece from the socket and tells the frames that are complete.
func (c *conn) read() {
	n, err := unix.Read(c.fd, c.in.space())
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err == unix.EFAULT:
		panic("childproc: out of memory: no page for what the node sends") // main takes over
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
func (c *conn) frames() {
	for !c.dead {
		if c.behind = c.out.full(); c.behind {
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
func (c *conn) next(b []byte) int {
	if c.in.skip > 0 {
		n := min(c.in.skip, len(b))
		c.in.skip -= n
		return n
	}
	frame, n, err := dist.Next(b, maxFrame)
	if err != nil { // oversized: its beginning is waited for, to answer a call
		size, _ := dist.FrameLen(b)
		if len(b) < headSize {
			return 0
		}
		c.oversized(b[dist.HeaderSize:headSize], size)
		c.in.skip = dist.HeaderSize + size
		return c.next(b)
	}
	if n == 0 {
		return 0
	}
	if len(frame) > 0 {
		c.frame(frame)
	} else if c.ticker.ReadTick(time.Now()) {
		c.sendTick()
	}
	return n
}

// headSize is how much of an oversized frame is looked at.
const headSize = 4096

// flush writes what waits, once a round. While the socket takes no more, output
// of programs is held back, then requests.
func (c *conn) flush() {
	if c.dead {
		return
	}
	if !c.told() {
		c.src.Want(0)
		return
	}
	c.commit()
	if c.out.waiting() > 0 {
		n, err := unix.Write(c.fd, c.out.unsent())
		if n > 0 {
			c.ticker.Wrote(time.Now())
			c.out.sent(n)
			c.commit()
		}
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			c.end(fmt.Errorf("the connection is broken: %w", err))
			return
		}
	}
	if c.out.waiting() < outHigh {
		c.roomAgain()
	}
	if c.behind {
		c.frames()
	}
	want := loop.In // after these, which may have put more in
	if c.out.full() {
		want = 0
	}
	more := c.out.waiting() > 0 || c.owes()
	if more {
		want |= loop.Out
	}
	c.src.Want(want)
	if c.empty != nil && !more {
		c.empty()
	}
}

// commit has the journal tell main where the connection stands, should the child
// end now: which frames are to be written, and from where on what was read is still
// to be handled. It comes before each write, so that nothing is begun that main
// could not end, and before what was written or handled is overwritten. Between two
// frames only; it costs no system call unless much memory is given back.
func (c *conn) commit() {
	c.publish()
	out, in := c.out.shift(), c.in.shift()
	if out == 0 && in == 0 {
		return
	}
	c.publish()
	c.giveBack(c.out.mem, len(c.out.buf), out)
	c.giveBack(c.in.mem, c.in.have, in)
}

func (c *conn) publish() {
	c.out.record(&c.rec)
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
func (c *conn) giveBack(mem []byte, live, used int) {
	keep := max(bufferKept, (live+pageSize-1)&^(pageSize-1))
	if used > keep {
		c.pages.Free(mem[keep:min(len(mem), (used+pageSize-1)&^(pageSize-1))])
	}
}

// over ends all traffic: main must not go on with the connection either.
func (c *conn) over() {
	c.dead = true
	c.rec.Over = true
	c.publish()
	c.out.drop()
}

// end gives the connection up; lost is told once.
func (c *conn) end(err error) {
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
	c.lost(err)
}

// drained has f called once everything has been written, or the node has taken nothing
// for drainTimeout.
func (c *conn) drained(f func()) {
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
			if now := c.out.stream(); now != sent && !over {
				watch(now)
				return
			}
			call()
		})
	}
	watch(c.out.stream())
}

// drainTimeout bounds the wait for a node that does not read.
const drainTimeout = 2 * time.Second

// closeOrderly is the end of an orderly stop: no more is sent, and the node's own
// closing is waited for, since closing a socket that holds unread data destroys
// what the node has not read yet (RST).
func (c *conn) closeOrderly(done func()) {
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
	c    *conn
	done func()
}

func (l lastWords) Ready(loop.Events) {
	n, err := unix.Read(l.c.fd, l.c.in.mem[:readChunk])
	if n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR {
		l.done()
	}
}
