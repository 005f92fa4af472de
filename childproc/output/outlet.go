package output

import (
	"erluv/childproc/peer"
	"erluv/loop"
	"erluv/workers"
)

// Outlet is where output leaves to one node: its peer, and what waits for room there.
type Outlet struct {
	*peer.Peer
	Streams *loop.Group // of the node's processes: output, and their ends; paused while there is no room

	stalled  []*workers.Worker // draining, waiting for room
	unserved []unserved        // waiting for room for what has been read
}

// unserved is a stream of which more can be delivered than there was room for.
type unserved struct {
	o *Output
	h Host
	s workers.Stream
}

// awaitRoom holds back what an outlet has no room for. All output of its own processes waits
// at once; a stream of others waits alone.
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

// serveLater has a stream served when there is room. Until then no output is read, so
// the remainder does not grow.
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

// ServeAgain goes on with those streams, each in its turn. It says whether nothing waits any
// more that has been read, so that pipes which were paused can be read again.
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

// Unstall goes on with workers whose programs are over.
func (c *Outlet) Unstall() {
	stalled := c.stalled
	c.stalled = nil
	for _, w := range stalled {
		w.Resume()
	}
}

// Waits is how many workers and streams wait for room.
func (c *Outlet) Waits() (workers, streams int) { return len(c.stalled), len(c.unserved) }
