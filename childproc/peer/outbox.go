package peer

import (
	"fmt"

	"erluv/ipc/journal"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

const (
	// High is how many bytes may wait for the socket before no more output
	// of programs is read: what they write stays in their pipes.
	High = 512 << 10

	// Most is how many bytes may wait before no more requests are read. It
	// is larger, so that a program is ended even while others flood the node.
	Most = 2 << 20
)

// outbox is where frames to the node are composed, one behind the other, in the
// out room of the journal. Whole frames stand from base to the end: main walks over
// them after a crash. The dispatcher owns it; only Commit moves what is in it.
// Whatever adds to it has a bound, see doc/reliability.md: a request that is dispatched adds
// directly, for none is while the outbox is full. All else waits for room, see farewells.
type outbox struct {
	mem  []byte  // all the room
	buf  []byte  // mem, up to the end of the last frame
	off  int     // what is before was written to the socket
	base int     // a frame begins here, not after off
	mark int     // the next such place that is known, or base
	pos  uint64  // of base in the stream
	late int     // bytes of frames that wait elsewhere
	seen int     // what is before was traced, in whole frames
	Self etf.Pid // the process of ours that answers are from
	shut bool    // there is no node any more: frames are dropped
}

func newOutbox(mem []byte) *outbox { return &outbox{mem: mem, buf: mem[:0]} }

// Waiting is how many bytes wait for the socket.
func (o *outbox) Waiting() int { return len(o.buf) - o.off }

// Late is how many bytes wait elsewhere for room, see Unasked.
func (o *outbox) Late() int { return o.late }

// Full says whether too much waits for more requests to be read.
func (o *outbox) Full() bool { return o.Waiting()+o.Late() > Most }

// Unsent are these bytes.
func (o *outbox) Unsent() []byte { return o.buf[o.off:] }

// Sent notes that n of them were written.
func (o *outbox) Sent(n int) { o.off += n }

// stream is how many bytes were written since the connection was handed over.
func (o *outbox) stream() uint64 { return o.pos + uint64(o.off-o.base) }

// record says where the outbox stands. All of its frames are whole.
func (o *outbox) record(r *journal.Record) {
	if o.off >= o.mark || o.Waiting() == 0 {
		next := o.mark
		if o.Waiting() == 0 {
			next = len(o.buf)
		}
		o.pos += uint64(next - o.base)
		o.base, o.mark = next, len(o.buf)
	}
	r.OutPos, r.OutOff, r.OutLen = o.pos, o.base, len(o.buf)-o.base
}

// shift moves what is left to the front, if that is worth while, after it was
// recorded. It returns how many bytes had been in use, or 0. The place where it was
// stays as it is until what has moved is recorded.
func (o *outbox) shift() (used int) {
	left := len(o.buf) - o.base
	if o.base == 0 || left > 0 && (o.base <= bufferKept || o.base < left) {
		return 0
	}
	used = len(o.buf)
	copy(o.mem, o.buf[o.base:])
	o.buf = o.mem[:left]
	o.off, o.mark, o.seen, o.base = o.off-o.base, o.mark-o.base, max(0, o.seen-o.base), 0
	return used
}

// drop drops what waits; the connection is over, and main knows it.
func (o *outbox) drop() {
	o.shut = true
	o.buf, o.off, o.base, o.mark, o.seen = o.mem[:0], 0, 0, 0, 0
}

// release has frames composed elsewhere, before they are dropped: the room is given up.
func (o *outbox) release() { o.mem, o.buf = nil, nil }

// seal ends the frame that begins at start, whatever kind it is.
func (o *outbox) seal(start int) {
	switch {
	case o.shut:
		o.buf = o.buf[:start]
	case cap(o.buf) != cap(o.mem):
		// append has left the room: main could not see such a frame.
		panic(fmt.Sprintf("peer: more than %d bytes wait for the node", len(o.mem)))
	}
}

// add adds whole frames that were composed before.
func (o *outbox) add(frames []byte) {
	start := len(o.buf)
	o.buf = append(o.buf, frames...)
	o.seal(start)
}

// Send sends a message to a process of the node.
func (o *outbox) Send(to etf.Pid, msg etf.Term) {
	start := len(o.buf)
	o.buf = dist.BeginSend(o.buf, to)
	o.term(msg)
	o.buf = dist.End(o.buf, start)
	o.seal(start)
}

// RegSend sends a message to a registered process of the node.
func (o *outbox) RegSend(from etf.Pid, to etf.Atom, msg etf.Term) {
	start := len(o.buf)
	o.buf = dist.BeginRegSend(o.buf, from, to)
	o.term(msg)
	o.buf = dist.End(o.buf, start)
	o.seal(start)
}

// Answer answers an Ask, in the form of its protocol.
func (o *outbox) Answer(ask dist.Ask, answer etf.Term) {
	start := len(o.buf)
	o.buf = ask.BeginAnswer(o.buf, o.Self)
	o.term(answer)
	o.buf = dist.End(o.buf, start)
	o.seal(start)
}

// Compose has a whole frame of another kind appended.
func (o *outbox) Compose(appendFrame func(b []byte) []byte) {
	start := len(o.buf)
	o.buf = appendFrame(o.buf)
	o.seal(start)
}

func (o *outbox) term(t etf.Term) { o.buf = gen.Append(o.buf, t) }

func (o *outbox) sendLink(from, to etf.Pid) {
	start := len(o.buf)
	o.buf = dist.AppendLink(o.buf, from, to)
	o.seal(start)
}

func (o *outbox) UnlinkAck(id uint64, from, to etf.Pid) {
	start := len(o.buf)
	o.buf = dist.AppendUnlinkIDAck(o.buf, id, from, to)
	o.seal(start)
}

func (o *outbox) Exit(from, to etf.Pid, reason etf.Raw) {
	start := len(o.buf)
	o.buf = dist.AppendExit(o.buf, from, to, reason)
	o.seal(start)
}

func (o *outbox) Exit2(from, to etf.Pid, reason etf.Raw) {
	start := len(o.buf)
	o.buf = dist.AppendExit2(o.buf, from, to, reason)
	o.seal(start)
}

func (o *outbox) sendMonitor(from, to etf.Pid, ref etf.Raw) {
	start := len(o.buf)
	o.buf = dist.AppendMonitor(o.buf, from, to, ref)
	o.seal(start)
}

func (o *outbox) sendDemonitor(from, to etf.Pid, ref etf.Raw) {
	start := len(o.buf)
	o.buf = dist.AppendDemonitor(o.buf, from, to, ref)
	o.seal(start)
}

// MonitorExit answers a monitor of a process of ours, by pid or by name.
func (o *outbox) MonitorExit(from etf.Pid, name etf.Atom, to etf.Pid, ref, reason etf.Raw) {
	start := len(o.buf)
	if name != "" {
		o.buf = dist.AppendMonitorExitName(o.buf, name, to, ref, reason)
	} else {
		o.buf = dist.AppendMonitorExit(o.buf, from, to, ref, reason)
	}
	o.seal(start)
}
