package output

import (
	"erluv/childproc/peer"
	"erluv/loop"
	"erluv/workers"
)

// Outlet is the way out to one node: its peer, and the workers and streams that wait for room
// there.
type Outlet struct {
	*peer.Peer
	Streams *loop.Group // output of the node's processes, and their ends; paused while there is no room

	stalled  []*workers.Worker // draining workers that wait for room
	unserved []unserved        // streams that wait for room for bytes that were read
}

// unserved is a stream that had more to deliver than there was room for.
type unserved struct {
	o *Output
	h Host
	s workers.Stream
}

// awaitRoom holds back output for which an outlet has no room. If it is the outlet of the process's
// own node, all output of that node's processes waits. If it is another's, the stream waits alone.
func (o *Output) awaitRoom(h Host, st *Stream, c *Outlet) {
	if c != h.Home() {
		o.serveLater(h, st)
		return
	}
	c.Streams.Pause()
	if w := h.Worker(); w.State() == workers.Draining {
		c.stalled = append(c.stalled, w)
	}
}

// serveLater has a stream served when there is room. Until then no output is read, so the remainder
// does not grow.
func (o *Output) serveLater(h Host, st *Stream) {
	c := o.crowded(h, st)
	if c == nil {
		c = h.Home()
	}
	if c == h.Home() {
		c.Streams.Pause()
	}
	if t := st.traffic(); t.later == nil {
		t.later = c
		c.unserved = append(c.unserved, unserved{o, h, st.no})
		if c != h.Home() {
			o.Hold(h)
		}
	}
}

// ServeAgain serves the waiting streams, each in its turn. It reports whether the paused pipes can
// be read again because no stream waits any more.
func (c *Outlet) ServeAgain() bool {
	for len(c.unserved) > 0 && c.Roomy() {
		u := c.unserved[0]
		c.unserved[0] = unserved{}
		c.unserved = c.unserved[1:]
		u.o.stream(u.s).busy.later = nil
		u.h.GoOn(u.s)
	}
	return c.Streams.Paused() && len(c.unserved) == 0 && c.Roomy()
}

// Unstall resumes draining workers.
func (c *Outlet) Unstall() {
	stalled := c.stalled
	c.stalled = nil
	for _, w := range stalled {
		w.Resume()
	}
}

// Waits returns how many workers and streams wait for room.
func (c *Outlet) Waits() (workers, streams int) { return len(c.stalled), len(c.unserved) }
