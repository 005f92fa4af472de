package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

const (
	// writeBound is how long the peer may read nothing before it counts as gone.
	writeBound = dist.DefaultNetTicktime

	readSize = 64 << 10 // of the buffer
)

var errSilent = errors.New("the node has been silent for longer than its net_ticktime")

// write writes the frames of put, and ticks.
func (c *Client) write() {
	for {
		frame, wait := c.due()
		if frame == nil {
			timer := time.NewTimer(wait)
			select {
			case frame = <-c.out:
			case <-c.tick:
				frame = dist.AppendTick(nil)
			case <-timer.C:
			case <-c.done:
				timer.Stop()
				return
			}
			timer.Stop()
		}
		if len(frame) == 0 {
			continue
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(writeBound))
		if _, err := c.conn.Write(frame); err != nil {
			c.end(fmt.Errorf("cannot write to the node: %w", err))
			return
		}
		c.mu.Lock()
		c.ticker.Wrote(time.Now())
		c.mu.Unlock()
	}
}

// due returns a tick that must be written now, or how long nothing has to be done. It ends the
// connection when the peer has been silent for too long.
func (c *Client) due() (frame []byte, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.busy {
		c.ticker.Read(now)
	}
	switch c.ticker.Check(now) {
	case dist.DueTick:
		return dist.AppendTick(nil), 0
	case dist.DueSilent:
		c.end(errSilent)
	}
	return nil, c.ticker.Next().Sub(now)
}

// read reads until the connection ends.
func (c *Client) read() {
	in := bufio.NewReaderSize(c.conn, readSize)
	for {
		frame, err := next(in)
		if err == nil && len(frame) == 0 {
			c.ticked()
			continue
		}
		if err == nil {
			c.mu.Lock()
			c.ticker.Read(time.Now())
			c.mu.Unlock()
			err = c.take(frame)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// next reads a frame without its length. A tick is an empty frame.
func next(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(dist.HeaderSize)
	if err == io.EOF {
		return nil, errors.New("the node has closed the connection")
	}
	if err != nil {
		return nil, fmt.Errorf("the connection is broken: %w", err)
	}
	size, _ := dist.FrameLen(head)
	if size > MaxMessage {
		return nil, fmt.Errorf("%w: the node sends a message of %d bytes, the limit is %d", dist.ErrTooLong, size, MaxMessage)
	}
	_, _ = in.Discard(dist.HeaderSize)
	frame := make([]byte, size)
	if _, err := io.ReadFull(in, frame); err != nil {
		return nil, fmt.Errorf("the connection is broken within a message: %w", err)
	}
	return frame, nil
}

func (c *Client) ticked() {
	c.mu.Lock()
	answer := c.ticker.ReadTick(time.Now())
	c.mu.Unlock()
	if answer {
		select {
		case c.tick <- struct{}{}:
		default: // one is on its way
		}
	}
}

// take obeys a control message.
func (c *Client) take(frame []byte) error {
	var m dist.Message
	if err := dist.Parse(frame, &m); err != nil {
		return err
	}
	switch m.Op {
	case dist.Send, dist.SendSender:
		return c.message(m)
	case dist.RegSend:
		return c.asked(m)
	case dist.Exit, dist.PayloadExit, dist.Exit2, dist.PayloadExit2:
		return c.signal(m.To, m.Reason, func(why etf.Term) etf.Term {
			return etf.Tuple{etf.Atom("EXIT"), m.From, why}
		})
	case dist.MonitorPExit, dist.PayloadMonitorPExit:
		return c.down(m)
	case dist.Link:
		if m.To != c.self {
			return c.answer(dist.AppendExit(nil, m.To, m.From, gen.Noproc))
		}
	case dist.UnlinkID:
		return c.answer(dist.AppendUnlinkIDAck(nil, m.ID, m.To, m.From))
	case dist.MonitorP:
		return c.watched(m)
	}
	return nil // the client needs no other messages
}

// answer writes a frame of the connection itself. No caller waits for it.
func (c *Client) answer(frame []byte) error { return c.put(context.Background(), frame) }

// message takes a message to a pid. {Ref, Answer} is an answer.
func (c *Client) message(m dist.Message) error {
	if m.To != c.self {
		return nil
	}
	r := etf.NewReader(m.Payload)
	if n, err := r.Tuple(); err == nil && n == 2 {
		ref, err := r.Raw()
		if err == nil && c.finish(ref, result{payload: r.Rest()}) || c.made(ref) {
			return nil
		}
	}
	return c.signal(m.To, m.Payload, func(message etf.Term) etf.Term { return message })
}

// made reports whether a term is a reference of this process. A message with such a term answers a
// call that has been given up, and is dropped.
func (c *Client) made(ref etf.Raw) bool {
	ours := etf.AppendNewRef(nil, c.self.Node, c.self.Creation, 0, 0, 0)
	return len(ref) == len(ours) && bytes.Equal(ref[:len(ref)-3*4], ours[:len(ours)-3*4])
}

// signal delivers a signal with a term.
func (c *Client) signal(to etf.Pid, raw etf.Raw, of func(etf.Term) etf.Term) error {
	if to != c.self || c.deliver == nil {
		return nil
	}
	t, err := etf.DecodeUpTo(raw, MaxElements)
	if err != nil {
		return fmt.Errorf("cannot read what the node sends: %w", err)
	}
	c.setBusy(true)
	c.deliver(of(t))
	c.setBusy(false)
	return nil
}

func (c *Client) setBusy(busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = busy
	c.ticker.Read(time.Now())
}

// down takes the end of a monitored process.
func (c *Client) down(m dist.Message) error {
	why, err := etf.DecodeUpTo(m.Reason, MaxElements)
	if err != nil {
		return fmt.Errorf("cannot read what the node sends: %w", err)
	}
	if c.finish(m.Ref, result{err: &Exit{why}}) {
		return nil
	}
	var object etf.Term = m.From
	if m.HasName {
		object = etf.Tuple{m.Name, etf.Atom(c.peer.Name)}
	}
	return c.signal(m.To, m.Reason, func(why etf.Term) etf.Term {
		return etf.Tuple{etf.Atom("DOWN"), m.Ref, etf.Atom("process"), object, why}
	})
}

// asked takes a message to a name. net_kernel answers that this is a node, for net_adm:ping/1.
// There are no other names.
func (c *Client) asked(m dist.Message) error {
	ask, req, ok := gen.ParseAsk(m.Payload)
	if !ok || m.Name != gen.NetKernel || !gen.IsAuth(req) {
		return nil
	}
	return c.answer(dist.End(etf.AppendAtom(ask.BeginAnswer(nil, c.self), "yes"), 0))
}

// watched answers a monitor of a process that does not exist.
func (c *Client) watched(m dist.Message) error {
	switch {
	case m.HasName && m.Name != gen.NetKernel:
		return c.answer(dist.AppendMonitorExitName(nil, m.Name, m.From, m.Ref, gen.Noproc))
	case !m.HasName && m.To != c.self:
		return c.answer(dist.AppendMonitorExit(nil, m.To, m.From, m.Ref, gen.Noproc))
	}
	return nil
}
