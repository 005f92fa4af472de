package childproc

import (
	"fmt"

	"erluv/dist"
	"erluv/etf"

	"golang.org/x/sys/unix"
)

const (
	// outHigh is how many bytes may wait for the socket before no more output
	// of programs is read: what they write stays in their pipes.
	outHigh = 512 << 10

	// outFull is how many bytes may wait before no more requests are read. It
	// is larger, so that a program is ended even while others flood the node.
	outFull = 2 << 20

	// outMax is the room for frames, address space that costs memory only where
	// it was used. The largest frame is the answer to a run (maxOutput); all
	// others are small or bounded by the number of workers.
	outMax = 96 << 20

	// bufferKept is what a buffer keeps of its memory once it is empty.
	bufferKept = 2 << 20
)

// outbox is where frames to the node are composed, one behind the other, in
// memory that never moves. The dispatcher owns it.
type outbox struct {
	mem  []byte // all the room
	buf  []byte // mem, up to the end of the last frame
	off  int    // what is before was written to the socket
	shut bool   // there is no node any more: frames are dropped
}

func newOutbox() (*outbox, error) {
	mem, err := reserve(outMax)
	if err != nil {
		return nil, err
	}
	return &outbox{mem: mem, buf: mem[:0]}, nil
}

// reserve gives n bytes of address space; a page costs memory from its first use.
func reserve(n int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("cannot reserve %d bytes of address space: %w", n, err)
	}
	return mem, nil
}

// giveBack frees the memory of a buffer of which used bytes were in use and live
// still are, beyond what it keeps.
func giveBack(mem []byte, live, used int) {
	keep := max(bufferKept, (live+pageSize-1)&^(pageSize-1))
	if used > keep {
		_ = unix.Madvise(mem[keep:], unix.MADV_DONTNEED)
	}
}

// pageSize is a multiple of the page sizes of Linux: what madvise(2) is given
// begins at one.
const pageSize = 64 << 10

// waiting is how many bytes wait for the socket.
func (o *outbox) waiting() int { return len(o.buf) - o.off }

// unsent are these bytes.
func (o *outbox) unsent() []byte { return o.buf[o.off:] }

// sent notes that n of them were written.
func (o *outbox) sent(n int) {
	o.off += n
	switch left := o.waiting(); {
	case left == 0:
		giveBack(o.mem, 0, len(o.buf))
		o.buf, o.off = o.mem[:0], 0
	case o.off > bufferKept && o.off > left:
		used := len(o.buf)
		copy(o.mem, o.buf[o.off:])
		o.buf, o.off = o.mem[:left], 0
		giveBack(o.mem, left, used)
	}
}

// end ends the frame that begins at start, whatever kind it is.
func (o *outbox) end(start int) {
	if cap(o.buf) != cap(o.mem) {
		// append has left the room: main could not see such a frame.
		panic(fmt.Sprintf("childproc: more than %d bytes wait for the node", outMax))
	}
	if o.shut {
		o.buf = o.buf[:start]
	}
}

// send sends a message to a process of the node.
func (o *outbox) send(to etf.Pid, msg etf.Term) {
	start := len(o.buf)
	o.buf = dist.BeginSend(o.buf, to)
	o.term(msg)
	o.buf = dist.End(o.buf, start)
	o.end(start)
}

// regSend sends a message to a registered process of the node.
func (o *outbox) regSend(from etf.Pid, to etf.Atom, msg etf.Term) {
	start := len(o.buf)
	o.buf = dist.BeginRegSend(o.buf, from, to)
	o.term(msg)
	o.buf = dist.End(o.buf, start)
	o.end(start)
}

// from is who made a gen_server:call: the answer goes to pid with the tag, which
// must come back byte for byte.
type from struct {
	pid etf.Pid
	tag etf.Raw
}

// keep gives a copy that outlives the frame it came in.
func (f from) keep() from {
	f.tag = append(etf.Raw(nil), f.tag...)
	return f
}

// reply answers a call.
func (o *outbox) reply(to from, answer etf.Term) {
	o.send(to.pid, etf.Tuple{to.tag, answer})
}

// term appends a term that we made. Raw parts were read before, so only a defect
// of ours can make it fail.
func (o *outbox) term(t etf.Term) {
	b, err := etf.AppendTerm(o.buf, t)
	if err != nil {
		panic(fmt.Sprintf("childproc: cannot encode %v: %v", t, err))
	}
	o.buf = b
}

func (o *outbox) link(from, to etf.Pid) {
	start := len(o.buf)
	o.buf = dist.AppendLink(o.buf, from, to)
	o.end(start)
}

func (o *outbox) unlinkAck(id uint64, from, to etf.Pid) {
	start := len(o.buf)
	o.buf = dist.AppendUnlinkIDAck(o.buf, id, from, to)
	o.end(start)
}

func (o *outbox) exit(from, to etf.Pid, reason etf.Raw) {
	start := len(o.buf)
	o.buf = dist.AppendExit(o.buf, from, to, reason)
	o.end(start)
}

func (o *outbox) exit2(from, to etf.Pid, reason etf.Raw) {
	start := len(o.buf)
	o.buf = dist.AppendExit2(o.buf, from, to, reason)
	o.end(start)
}

func (o *outbox) monitor(from, to etf.Pid, ref etf.Raw) {
	start := len(o.buf)
	o.buf = dist.AppendMonitor(o.buf, from, to, ref)
	o.end(start)
}

func (o *outbox) demonitor(from, to etf.Pid, ref etf.Raw) {
	start := len(o.buf)
	o.buf = dist.AppendDemonitor(o.buf, from, to, ref)
	o.end(start)
}

// monitorExit answers a monitor of a process of ours, by pid or by name.
func (o *outbox) monitorExit(from etf.Pid, name etf.Atom, to etf.Pid, ref, reason etf.Raw) {
	start := len(o.buf)
	if name != "" {
		o.buf = dist.AppendMonitorExitName(o.buf, name, to, ref, reason)
	} else {
		o.buf = dist.AppendMonitorExit(o.buf, from, to, ref, reason)
	}
	o.end(start)
}
