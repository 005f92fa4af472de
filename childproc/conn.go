package childproc

import (
	"errors"
	"fmt"
	"time"

	"erluv/dist"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

const (
	// maxFrame bounds a frame from the node, in bytes. A larger one is passed
	// over in pieces; if it was a call, it is answered.
	maxFrame = 64 << 20

	// readChunk is what is read from the socket in one turn at most, unless a
	// large frame is under way.
	readChunk = 256 << 10
)

// conn is the connection to the node. It owns the child's descriptor of it,
// the buffer for what is read, and the outbox.
type conn struct {
	fd   int
	loop *loop.Loop
	src  loop.Source
	out  *outbox

	mem   []byte // room for what is read
	have  int    // bytes in it
	skip  int    // bytes of an oversized frame that are still to come
	frame func(frame []byte)
	// oversized is told the beginning of a frame that is passed over.
	oversized func(head []byte, size int)
	// roomAgain is called whenever there is room for output of programs.
	roomAgain func()
	lost      func(error)

	ticker dist.Ticker
	timer  *loop.Timer
	dead   bool
	empty  func() // told when nothing waits any more
}

func newConn(fd int, l *loop.Loop, out *outbox) (*conn, error) {
	mem, err := reserve(maxFrame + readChunk)
	if err != nil {
		return nil, err
	}
	return &conn{fd: fd, loop: l, out: out, mem: mem}, nil
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
	n, err := unix.Read(c.fd, c.mem[c.have:min(c.have+readChunk, len(c.mem))])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil:
		c.end(fmt.Errorf("the connection is broken: %w", err))
		return
	case n == 0:
		c.end(errors.New("the node has closed the connection"))
		return
	}
	c.ticker.Read(time.Now())
	c.have += n
	used := 0
	for !c.dead {
		n := c.next(c.mem[used:c.have])
		if n == 0 {
			break
		}
		used += n
	}
	top := c.have
	c.have = copy(c.mem, c.mem[used:c.have])
	if used > 0 {
		giveBack(c.mem, c.have, top)
	}
}

// next takes one frame, or a piece of one that is passed over, off b; 0: there
// is none yet.
func (c *conn) next(b []byte) int {
	if c.skip > 0 {
		n := min(c.skip, len(b))
		c.skip -= n
		return n
	}
	frame, n, err := dist.Next(b, maxFrame)
	if err != nil { // oversized: its beginning is waited for, to answer a call
		size, _ := dist.FrameLen(b)
		if len(b) < headSize {
			return 0
		}
		c.oversized(b[dist.HeaderSize:headSize], size)
		c.skip = dist.HeaderSize + size
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
	if c.out.waiting() > 0 {
		n, err := unix.Write(c.fd, c.out.unsent())
		if n > 0 {
			c.ticker.Wrote(time.Now())
			c.out.sent(n)
		}
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			c.end(fmt.Errorf("the connection is broken: %w", err))
			return
		}
	}
	if c.out.waiting() < outHigh {
		c.roomAgain()
	}
	want := loop.In // after roomAgain, which may have put more in
	if c.out.waiting() > outFull {
		want = 0
	}
	if c.out.waiting() > 0 {
		want |= loop.Out
	}
	c.src.Want(want)
	if c.empty != nil && c.out.waiting() == 0 {
		c.empty()
	}
}

// end gives the connection up; lost is told once.
func (c *conn) end(err error) {
	if c.dead {
		return
	}
	c.dead = true
	c.out.shut = true
	c.out.sent(c.out.waiting())
	c.src.Remove()
	c.timer.Stop()
	if c.empty != nil {
		c.empty()
		return
	}
	c.lost(err)
}

// drained has f called once everything that waits has been written, or after
// drainTimeout.
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
	c.loop.After(drainTimeout, call)
}

// drainTimeout bounds the wait for a node that does not read.
const drainTimeout = 2 * time.Second

// closeOrderly is the end of an orderly stop: no more is sent, and the node's own
// closing is waited for, since closing a socket that holds unread data destroys
// what the node has not read yet (RST).
func (c *conn) closeOrderly(done func()) {
	c.dead = true
	c.out.shut = true
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
	n, err := unix.Read(l.c.fd, l.c.mem[:readChunk])
	if n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR {
		l.done()
	}
}
