package link

import (
	"context"
	"math"
	"time"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// interim is main's part on the connection between the death of one child and the start of the
// next. First it writes everything that the dead one had left. Then it informs all observers of the
// child's processes, then the controller. After that it answers messages. It does no I/O and reads
// no clock: see Caretaker.
//
// The ledger and these constants bound its memory.
const (
	// interimOut is how many bytes may wait for the socket before main stops composing and reading.
	interimOut = 64 << 10

	// interimHead is how much of a frame main examines. All frames for main are shorter, except
	// calls, whose beginning is enough.
	interimHead = 4 << 10

	// interimChunk is the size of one read.
	interimChunk = 64 << 10

	// maxCarried bounds the monitors of names that outlive a child.
	maxCarried = 1 << 16
)

type interim struct {
	link       *Link // for the names of both sides; not its descriptor
	controller etf.Atom
	dieTimeout time.Duration

	out     []byte   // waits for the socket
	dead    []string // records of observers that are not informed yet
	reason  etf.Term // of the next child_down; nil: it was sent
	in      []byte   // read and not handled
	skip    int      // the next bytes to drop, of an unwanted frame
	carried map[string]struct{}
	respawn bool // the node requests a new child
	ticked  bool // the node has sent a tick
	buf     []byte

	traces bool // whether each control message is logged
	traced int  // how many bytes of out were logged
}

// newInterim continues after a child's end, whose reason is why. The serial distinguishes the next
// child's pids from this one's.
func newInterim(l *Link, controller string, dieTimeout time.Duration, s stand, book *ledger, why etf.Term) *interim {
	l.self.used(book.serial)
	i := &interim{
		link: l, controller: etf.Atom(controller), dieTimeout: dieTimeout,
		out: s.Out, in: s.In, skip: s.Skip, reason: why,
		carried: make(map[string]struct{}), buf: make([]byte, interimHead+dist.HeaderSize+interimChunk),
	}
	for record := range book.observers {
		if isMains(record) && len(i.carried) < maxCarried {
			i.carried[record] = struct{}{}
		} else {
			i.dead = append(i.dead, record)
		}
	}
	i.traces = l.log != nil && l.log.Enabled(context.Background(), ipc.LevelTrace)
	i.traced = len(i.out) // by the child
	i.fill()
	return i
}

// trace logs the frames that are about to be written and were not logged yet, a line for each.
func (i *interim) trace() {
	for i.traces && i.traced < len(i.out) {
		frame, n, err := dist.Next(i.out[i.traced:], math.MaxInt32)
		if n == 0 || err != nil {
			return // impossible: the frames are our own
		}
		if i.traced += n; len(frame) > 0 {
			i.traceFrame("control message sent", frame)
		}
	}
}

func (i *interim) traceFrame(what string, frame []byte) {
	i.link.log.With(gen.Describe(frame)...).Log(context.Background(), ipc.LevelTrace, what, "node", i.link.Peer.Name)
}

// isMains reports whether an observer concerns a name that does not die with the child.
func isMains(record string) bool {
	w, err := ipc.ReadObserver(record)
	return err == nil && w.Kind == ipc.ObserverName && (w.Name == string(gen.Main) || w.Name == string(gen.NetKernel))
}

// Terms that main sends.
var (
	reasonCrashed  = gen.Encode(etf.Atom("child_crashed"))
	errorChildDown = gen.Error(etf.Atom("child_down"))
)

// fill composes and handles more, as long as little waits.
func (i *interim) fill() {
	for len(i.out) < interimOut {
		switch {
		case len(i.dead) > 0:
			i.out = i.link.farewell(i.out, i.dead[0], reasonCrashed)
			i.dead = i.dead[1:]
		case i.reason != nil:
			i.event(etf.Tuple{etf.Atom("child_down"), i.reason, i.dieTimeout.Milliseconds()})
			i.reason = nil
		case !i.next():
			i.in = append(i.buf[:0], i.in...) // less than a frame's head
			return
		}
	}
}

// wrote notes that n of the bytes in out were written.
func (i *interim) wrote(n int) {
	i.traced = max(0, i.traced-n)
	if i.out = i.out[n:]; len(i.out) == 0 {
		i.out = nil // it may be the large one that the child has left
	}
	i.fill()
}

// reading reports whether more may be read. That is so when everything that can be handled has
// been. The memory for it comes from space, and read is called when that has n more bytes.
func (i *interim) reading() bool { return len(i.out) < interimOut }

func (i *interim) space() []byte { return i.buf[len(i.in) : len(i.in)+interimChunk] }

func (i *interim) read(n int) {
	i.in = i.buf[:len(i.in)+n]
	i.fill()
}

// next handles one frame, or drops a piece of one, if there is any.
func (i *interim) next() bool {
	if i.skip > 0 {
		n := min(i.skip, len(i.in))
		i.in, i.skip = i.in[n:], i.skip-n
		return n > 0
	}
	size, ok := dist.FrameLen(i.in)
	head := min(size, interimHead)
	if !ok || len(i.in) < dist.HeaderSize+head {
		return false
	}
	frame := i.in[dist.HeaderSize : dist.HeaderSize+head]
	i.in = i.in[dist.HeaderSize+head:]
	i.skip = size - head
	if i.traces && size > 0 {
		i.traceFrame("control message received", frame) // only the head of a long one
	}
	var m dist.Message
	switch {
	case size == 0:
		i.ticked = true
	case size > head:
		i.long(frame)
	case dist.Parse(frame, &m) == nil:
		i.message(&m)
	}
	return true
}

// message answers for the processes, which are all dead, and for the names.
func (i *interim) message(m *dist.Message) {
	theirs := string(m.From.Node) == i.link.Peer.Name
	switch m.Op {
	case dist.RegSend:
		i.toName(m.Name, m.Payload)
	case dist.UnlinkID:
		i.out = dist.AppendUnlinkIDAck(i.out, m.ID, m.To, m.From)
	case dist.Link:
		if theirs {
			i.out = dist.AppendExit(i.out, m.To, m.From, gen.Noproc)
		}
	case dist.MonitorP:
		if theirs {
			i.monitored(m)
		}
	case dist.DemonitorP:
		delete(i.carried, nameObserver(m))
	}
}

// nameObserver returns the record of a monitor by name.
func nameObserver(m *dist.Message) string {
	return ipc.Observer{
		Kind: ipc.ObserverName, Name: string(m.Name), Ref: string(m.Ref),
		PeerID: m.From.ID, PeerSerial: m.From.Serial, PeerCreation: m.From.Creation,
	}.Record()
}

// monitored keeps monitors of our names for the next child. Calls of gen_server make such monitors
// too. All other processes are dead.
func (i *interim) monitored(m *dist.Message) {
	switch {
	case !m.HasName:
		i.out = dist.AppendMonitorExit(i.out, m.To, m.From, m.Ref, gen.Noproc)
	case !gen.IsName(m.Name):
		i.out = dist.AppendMonitorExitName(i.out, m.Name, m.From, m.Ref, gen.Noproc)
	case len(i.carried) >= maxCarried:
		i.out = dist.AppendMonitorExitName(i.out, m.Name, m.From, m.Ref, gen.SystemLimit)
	default:
		i.carried[nameObserver(m)] = struct{}{}
	}
}

// toName handles a message to a name.
func (i *interim) toName(name etf.Atom, payload etf.Raw) {
	if gen.IsRespawn(payload) {
		i.respawn = i.respawn || name == gen.Main
		return
	}
	ask, req, ok := gen.ParseAsk(payload)
	if !ok || !gen.IsName(name) {
		return
	}
	switch {
	case name == gen.Main && ask.Kind == dist.AskCall && gen.IsRespawn(req):
		i.respawn = true
		i.answer(ask, etf.Atom("ok"))
	case name == gen.NetKernel && ask.Kind == dist.AskCall && gen.IsAuth(req):
		i.answer(ask, etf.Atom("yes"))
	default:
		i.answer(ask, errorChildDown)
	}
}

// long answers a request to a name in a frame that is longer than interimHead, by the head alone.
func (i *interim) long(head []byte) {
	control, ask, ok := gen.AskIn(head)
	var m dist.Message
	if ok && dist.ParseControl(control, &m) == nil && m.Op == dist.RegSend && gen.IsName(m.Name) {
		i.answer(ask, errorChildDown)
	}
}

// answer answers a request.
func (i *interim) answer(ask dist.Ask, answer etf.Term) {
	start := len(i.out)
	i.out = dist.End(gen.Append(ask.BeginAnswer(i.out, i.self()), answer), start)
}

// self returns main's pid, which is one of our node.
func (i *interim) self() etf.Pid {
	return gen.PidOf(etf.Atom(i.link.Local.Name), i.link.Local.Creation, gen.NumberOfMain)
}

// event sends an event of our node to the controller.
func (i *interim) event(what etf.Term) {
	start := len(i.out)
	b := dist.BeginRegSend(i.out, i.self(), i.controller)
	i.out = dist.End(gen.Append(b, etf.Tuple{etf.Atom("erluv"), etf.Atom(i.link.Local.Name), what}), start)
}

// tick appends a tick, unless other data is on its way.
func (i *interim) tick() {
	if len(i.out) == 0 {
		i.out = dist.AppendTick(i.out)
	}
}

// leave composes the last messages, also for processes that monitor the names.
func (i *interim) leave(reason etf.Term) {
	i.event(etf.Tuple{etf.Atom("stopping"), reason})
	for record := range i.carried {
		i.out = i.link.farewell(i.out, record, gen.Shutdown)
	}
}

// handOver leaves the state for the next child on the link.
func (i *interim) handOver() {
	l := i.link
	l.in, l.skip, l.respawned = append([]byte(nil), i.in...), i.skip, true
	l.carried = nil
	for record := range i.carried {
		l.carried = append(l.carried, record)
	}
}
