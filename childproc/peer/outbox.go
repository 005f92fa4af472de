package peer

import (
	"fmt"

	"erluv/ipc/journal"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

const (
	// High is how many bytes may wait for the socket before no more output of programs is read.
	// Their output then stays in the pipes.
	High = 512 << 10

	// Most is how many bytes may wait before no more requests are read. It is larger than High, so
	// that a program can be stopped even while others flood the node.
	Most = 2 << 20
)

// outbox is where frames to the node are composed, one after the other, in the journal's memory for
// output. It has whole frames from base to the end, which main walks over after a crash. The
// dispatcher owns it, and only Commit moves its content.
//
// Everything that adds to it is bounded, see doc/reliability.md. A handled request adds directly,
// because none is handled while the outbox is full. All other frames wait for room, see farewells.
type outbox struct {
	mem  []byte  // the whole memory
	buf  []byte  // mem, up to the end of the last frame
	off  int     // bytes before it were written to the socket
	base int     // start of a frame, not after off
	mark int     // the next known start of a frame, or base
	pos  uint64  // position of base in the stream
	late int     // bytes of frames that wait elsewhere
	seen int     // bytes before it were traced, in whole frames
	Self etf.Pid // the pid from which answers come
	shut bool    // the node is gone: frames are dropped
}

func newOutbox(mem []byte) *outbox { return &outbox{mem: mem, buf: mem[:0]} }

// Waiting is how many bytes wait for the socket.
func (o *outbox) Waiting() int { return len(o.buf) - o.off }

// Late is how many bytes wait elsewhere for room, see Unasked.
func (o *outbox) Late() int { return o.late }

// Full reports whether so many bytes wait that no more requests are read.
func (o *outbox) Full() bool { return o.Waiting()+o.Late() > Most }

// Unsent returns the bytes that wait for the socket.
func (o *outbox) Unsent() []byte { return o.buf[o.off:] }

// Sent notes that n of them were written.
func (o *outbox) Sent(n int) { o.off += n }

// stream is how many bytes were written since main handed over the connection.
func (o *outbox) stream() uint64 { return o.pos + uint64(o.off-o.base) }

// record writes the state of the outbox. All of its frames are whole.
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

// shift moves the remaining bytes to the front if that is worthwhile, after their place was
// recorded. It returns how many bytes had been in use, or 0 if it did nothing. The old place stays
// as it is until the new one is recorded.
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

// drop drops waiting bytes. The connection is over, and main knows it.
func (o *outbox) drop() {
	o.shut = true
	o.buf, o.off, o.base, o.mark, o.seen = o.mem[:0], 0, 0, 0, 0
}

// release gives up the memory. Later frames are composed elsewhere and dropped.
func (o *outbox) release() { o.mem, o.buf = nil, nil }

// seal ends the frame that begins at start, of any kind.
func (o *outbox) seal(start int) {
	switch {
	case o.shut:
		o.buf = o.buf[:start]
	case cap(o.buf) != cap(o.mem):
		// append has left the memory of the journal, so main could not see the frame.
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

// Compose appends a whole frame of another kind.
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

// UnlinkAck acknowledges an unlink of the node.
func (o *outbox) UnlinkAck(id uint64, from, to etf.Pid) {
	start := len(o.buf)
	o.buf = dist.AppendUnlinkIDAck(o.buf, id, from, to)
	o.seal(start)
}

// Exit sends the exit signal of a process to a linked one.
func (o *outbox) Exit(from, to etf.Pid, reason etf.Raw) {
	start := len(o.buf)
	o.buf = dist.AppendExit(o.buf, from, to, reason)
	o.seal(start)
}

// Exit2 sends an exit signal as exit/2 does.
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

// MonitorExit answers a monitor of a process of the child, by pid or by name.
func (o *outbox) MonitorExit(from etf.Pid, name etf.Atom, to etf.Pid, ref, reason etf.Raw) {
	start := len(o.buf)
	if name != "" {
		o.buf = dist.AppendMonitorExitName(o.buf, name, to, ref, reason)
	} else {
		o.buf = dist.AppendMonitorExit(o.buf, from, to, ref, reason)
	}
	o.seal(start)
}
