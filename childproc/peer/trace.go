package peer

import (
	"context"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/gen"
)

// trace logs the frames to be written that were not logged yet, a line for each. A frame that is
// taken back in its own round is not logged.
func (c *Peer) trace() {
	for c.seen < len(c.buf) {
		frame, n, err := dist.Next(c.buf[c.seen:], len(c.mem))
		if n == 0 || err != nil {
			return // impossible: the frames are our own
		}
		c.seen += n
		if len(frame) > 0 { // a tick is none
			c.traceFrame("control message sent", frame)
		}
	}
}

func (c *Peer) traceFrame(what string, frame []byte) {
	c.log.With(gen.Describe(frame)...).Log(context.Background(), ipc.LevelTrace, what, "node", string(c.node))
}
