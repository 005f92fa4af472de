package childproc

import (
	"slices"

	"erluv/childproc/order"
	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// stream is stdout, stderr or another output of a worker as the node sees it: to
// whom it goes, how it is cut, and who waits to read.
type stream struct {
	to    *order.Receivers // nil: the owner
	busy  *traffic         // nil: nothing has come yet, and nobody waits
	no    workers.Stream
	asked bool // somebody has read, so somebody may wait for the end
	ended bool // the pipe has ended
	told  bool // and it was told
}

// traffic is what is going on in a stream. Most have been silent from the beginning.
type traffic struct {
	remainder output.Kept // read from the pipe, and no whole packet, or not asked for
	readers   []*reader
	debts     []*peer.Debt // see debtsOf
	later     *client      // it is among its unserved; nil: it is not

	// The receivers that were sent the first packet of the remainder, while there is no room
	// for the others.
	had []etf.Pid
}

// traffic is the stream's, from now on.
func (st *stream) traffic() *traffic {
	if st.busy == nil {
		st.busy = &traffic{}
	}
	return st.busy
}

// served: the first who waits has been answered.
func (t *traffic) served() {
	t.readers[0] = nil
	t.readers = t.readers[1:]
}

// had are the receivers that have been sent what others still wait for.
func (st *stream) had() []etf.Pid {
	if st.busy == nil {
		return nil
	}
	return st.busy.had
}

// remainder is how many bytes are there and not delivered.
func (st *stream) remainder() int {
	if st.busy == nil {
		return 0
	}
	return st.busy.remainder.Len()
}

// awaited says whether somebody waits for output.
func (st *stream) awaited() bool { return st.busy != nil && len(st.busy.readers) > 0 }

// wanted says whether somebody waits for more than there is. A reader that waits for
// something else is not read for without end.
func (st *stream) wanted() bool {
	return st.awaited() && (!st.busy.readers[0].busy || st.remainder() < maxGot)
}

// unserved says whether more can be delivered when there is room.
func (st *stream) unserved() bool { return st.busy != nil && st.busy.later != nil }

// delivered says whether nothing is left for somebody who reads on demand.
func (st *stream) delivered() bool {
	return st.remainder() == 0 && (st.told || !st.asked) && !(st.ended && st.awaited())
}

// reader is a call that waits for output.
type reader struct {
	taker
	busy bool // it waits for something else

	// A read of whatever comes, up to limit bytes, can be given it without a copy: see
	// Room. 0: it is none, and to is nil.
	limit  int
	to     *waiting
	client *client // see caller.near
}

// taker is given what has been read and not delivered, and says how much of it it has taken
// and whether it is done; with ended there is no more to come, and it is done at the latest
// with nothing left.
type taker interface {
	take(k *output.Kept, ended bool) (n int, done bool)
}

// takes is a taker that is a function.
type takes func(k *output.Kept, ended bool) (n int, done bool)

func (f takes) take(k *output.Kept, ended bool) (int, bool) { return f(k, ended) }

// How many calls may wait for output of one stream.
const maxReaders = 1024

func (p *program) stream(s workers.Stream) *stream {
	i := int(s - workers.Stdout)
	for i >= len(p.streams) || p.streams[i].no != s { // one of the others, of which there are few
		i--
	}
	return &p.streams[i]
}

// pushes says whether output goes straight from the pipe into a message.
func (p *program) pushes(st *stream) bool {
	return !p.life.hidden() && p.mode != order.Passive && p.packet.Raw() && st.remainder() == 0 && !st.awaited()
}

// pulled is the call that is answered with what is read next, whatever it is; nil
// when there is none, or something has been read before.
func (p *program) pulled(st *stream) *reader {
	if p.life.hidden() || p.mode != order.Passive || !p.packet.Raw() || st.remainder() > 0 || !st.awaited() {
		return nil
	}
	if r := st.busy.readers[0]; r.limit > 0 && r.to.to.client() == r.client {
		return r
	}
	return nil
}

// hold has the streams read or not, as somebody wants their output or not. Before
// a worker is presented nobody does.
func (m *manager) hold(p *program) {
	for i := range p.streams {
		st := &p.streams[i]
		wanted := p.mode != order.Passive || st.wanted()
		switch {
		case p.dropped:
			wanted = true
		case p.run != nil:
			wanted = !p.run.waits
		case p.awaitsReady() && (p.life.hidden() || !wanted):
			wanted = st.remainder() < m.unready.share() // it may wait for the line, or to be able to write
		case p.life.hidden():
			wanted = false
		case p.mode != order.Passive:
			wanted = wanted && !m.flowFull(p, st) && (!m.unowned(p, st) || st.wanted())
		}
		if st.unserved() && st.busy.later != p.client && !p.dropped {
			wanted = false // there is room with the worker's own client, which pauses nothing
		}
		p.w.Hold(st.no, !wanted)
	}
}

// serve delivers what has been read, as far as somebody wants it and the outbox has
// room.
func (m *manager) serve(p *program, s workers.Stream) {
	st := p.stream(s)
	switch {
	case p.life.hidden():
	case m.serveRemainder(p, st) && m.serveEnd(p, s):
	default:
		m.serveLater(p, st)
	}
	if st.busy != nil {
		st.busy.remainder.Settle()
	}
	m.unready.delivered(p)
}

// serveRemainder delivers what can be cut from the remainder. False: there is no room for more.
func (m *manager) serveRemainder(p *program, st *stream) bool {
	t := st.busy
	for t != nil {
		if !m.serveReaders(st) {
			return false
		}
		if p.mode == order.Passive || st.awaited() || t.remainder.Len() == 0 || m.unowned(p, st) {
			break
		}
		if !p.client.Roomy() { // the receivers' clients: see toEach
			return false
		}
		data, n, err := p.packet.Cut(&t.remainder)
		if err != nil {
			m.badPacket(p)
			t.remainder.Clear()
			break
		}
		if n == 0 {
			break
		}
		if !m.push(p, st, data) {
			return false
		}
		t.remainder.Take(n)
	}
	return true
}

// crowded is a client that has no room for what the stream brings next: the one that the
// worker belongs to, that of the call that waits, or that of a receiver. nil: there is room.
func (m *manager) crowded(p *program, st *stream) *client {
	switch {
	case !p.client.Roomy():
		return p.client
	case st.to == nil && !st.awaited():
		if c := m.clientOf(p.owner, p.client); c != nil && !c.Roomy() {
			return c
		}
		return nil
	case st.awaited():
		if c := st.busy.readers[0].client; !c.Roomy() {
			return c
		}
	}
	for to, c, i := m.next(p, st, 0); c != nil; to, c, i = m.next(p, st, i+1) {
		if !c.Roomy() && !slices.Contains(st.had(), to) {
			return c
		}
	}
	return nil
}

// unserved is a stream of which more can be delivered than the outbox had room for.
type unserved struct {
	p *program
	s workers.Stream
}

// serveLater has a stream served when there is room. Until then no output is read, so
// the remainder does not grow.
func (m *manager) serveLater(p *program, st *stream) {
	c := m.crowded(p, st)
	if c == nil {
		c = p.client
	}
	if c == p.client {
		c.streams.Pause()
	}
	if t := st.traffic(); t.later == nil {
		t.later = c
		c.unserved = append(c.unserved, unserved{p, st.no})
		if c != p.client {
			m.hold(p)
		}
	}
}

// serveAgain goes on with those streams, each in its turn.
func (c *client) serveAgain() {
	m := c.m
	for len(c.unserved) > 0 && c.Roomy() {
		u := c.unserved[0]
		c.unserved[0] = unserved{}
		c.unserved = c.unserved[1:]
		u.p.stream(u.s).busy.later = nil
		u.p.goOn(m, u.s)
	}
}

func (m *manager) serveAll(p *program) {
	for i := range p.streams {
		m.serve(p, p.streams[i].no)
	}
}

// accept takes what was read from a pipe and not straight into a message. What
// nobody takes at once is copied.
func (m *manager) accept(p *program, s workers.Stream, data []byte) {
	p.stream(s).traffic().remainder.Add(data)
	m.accepted(p, s)
}

// accepted: there is more to deliver.
func (m *manager) accepted(p *program, s workers.Stream) {
	m.serve(p, s)
	m.hold(p)
}

// serveReaders gives the calls that wait what is there. False: there is no room for
// more answers.
func (m *manager) serveReaders(st *stream) bool {
	t := st.busy
	for st.awaited() && !t.readers[0].busy && (t.remainder.Len() > 0 || st.ended) {
		if !t.readers[0].client.Roomy() {
			return false
		}
		st.told = st.told || st.ended && t.remainder.Len() == 0
		n, done := t.readers[0].take(&t.remainder, st.ended)
		t.remainder.Take(n)
		if n > 0 {
			t.had = nil
		}
		if !done {
			break
		}
		t.served()
	}
	return true
}

// endReaders answers those who still wait for output of a worker that is over.
func (m *manager) endReaders(p *program) {
	for i := range p.streams {
		if st := &p.streams[i]; st.awaited() {
			st.ended = true
			if !m.serveReaders(st) {
				m.serveLater(p, st)
			}
		}
	}
}

// serveEnd delivers what is left behind the last whole packet, and the end. False: there
// is no room for it.
func (m *manager) serveEnd(p *program, s workers.Stream) bool {
	st := p.stream(s)
	if !st.ended || m.unowned(p, st) {
		return true
	}
	if st.remainder() > 0 && p.mode != order.Passive {
		data := st.busy.remainder.Bytes()
		if p.packet.Header > 0 {
			incomplete := etf.Tuple{streamTerm(s), etf.Tuple{etf.Atom("incomplete"), etf.Binary(data)}}
			if !m.toEach(p, st, func(to etf.Pid, c *client) { c.Send(to, etf.Tuple{p.pid, incomplete}) }) {
				return false
			}
		} else if !m.push(p, st, data) {
			return false
		}
		st.busy.remainder.Clear()
	}
	if st.remainder() > 0 {
		return true
	}
	if !st.told && p.mode != order.Passive {
		if m.crowded(p, st) != nil {
			return false
		}
		st.told = true
		m.tellStream(p, st, etf.Tuple{streamTerm(s), etf.Atom("eof")})
	}
	return true
}

// badPacket ends a worker whose program does not keep to the packets.
func (m *manager) badPacket(p *program) {
	m.drop(p)
	m.end(p, gen.Encode(etf.Atom("emsgsize")))
}

// push sends output as a message and counts it. False: there is no room for it.
func (m *manager) push(p *program, st *stream, data []byte) bool {
	if !m.toEach(p, st, func(to etf.Pid, c *client) { c.output(to, p, st, data) }) {
		return false
	}
	m.sent(p, st, len(data))
	m.count(p)
	return true
}

// toEach sends something to each receiver of a stream. A packet may be large: when there is
// no room for the next receiver it is false, and goes on where it was.
func (m *manager) toEach(p *program, st *stream, send func(to etf.Pid, c *client)) bool {
	t := st.traffic()
	for to, c, i := m.next(p, st, 0); c != nil; to, c, i = m.next(p, st, i+1) {
		if slices.Contains(t.had, to) {
			continue
		}
		if !c.Roomy() {
			return false
		}
		send(to, c)
		if len(st.others()) == 0 {
			break
		}
		t.had = append(t.had, to)
	}
	t.had = nil
	return true
}

// count notes that a message with output was sent.
func (m *manager) count(p *program) {
	switch p.mode {
	case order.Counted:
		if p.left--; p.left > 0 {
			return
		}
		m.tell(p.owner, p, etf.Atom("passive"))
	case order.Once:
	default:
		return
	}
	p.mode = order.Passive
	m.hold(p)
	if p.life.told {
		m.drop(p) // nobody will ask for the rest
	}
}

// tell sends a message of a worker, if there is somebody to send it to.
func (m *manager) tell(to etf.Pid, p proc, what etf.Term) { m.tellLast(wordOnce, to, p, what) }

// The kinds of words of which only the last counts.
const (
	wordOnce   = peer.Once
	wordJob    = peer.Once + 1 // stopped, continued
	wordStatus = peer.Once + 2 // {status, Text}
	wordFile   = peer.Once + 3 // and the number of a stream: {Stream, {error, E}}
)

func wordOfFile(s workers.Stream) peer.Kind { return wordFile + peer.Kind(s) }

// tellLast is tell for what a later message of the same kind replaces while there is no
// room.
func (m *manager) tellLast(kind peer.Kind, to etf.Pid, p proc, what etf.Term) {
	e := p.self()
	if c := m.clientOf(to, e.client); c != nil {
		c.Unasked(e.pid, kind, func() { c.Send(to, etf.Tuple{e.pid, what}) })
	}
}

// activate changes how output is sent: auto, true, once, false, or a number that is
// added to what is left of one before, as with gen_tcp.
func (m *manager) activate(p *program, a order.Active) {
	switch {
	case a.Mode != order.Counted:
		p.mode = a.Mode
	case p.mode == order.Counted:
		p.left += a.Count
	default:
		p.mode, p.left = order.Counted, a.Count
	}
	if p.mode == order.Counted && p.left <= 0 {
		p.mode = order.Passive
		m.tell(p.owner, p, etf.Atom("passive"))
	}
	p.goOnAll(m)
}

// activity is what was set, or what is left of it.
func (p *program) activity() stat.Active {
	switch p.mode {
	case order.Passive:
		return stat.Active{Word: "false"}
	case order.Once:
		return stat.Active{Word: "once"}
	case order.True:
		return stat.Active{Word: "true"}
	case order.Auto:
		return stat.Active{Word: "auto"}
	}
	return stat.Active{Count: int(p.left)}
}

// read answers {read, Stream, Max}, at once or when there is something.
func (m *manager) read(p *program, to caller, s workers.Stream, limit int) {
	st := p.stream(s)
	if st.busy != nil && len(st.busy.readers) >= maxReaders {
		to.reply(gen.Error(etf.Atom("eagain")))
		return
	}
	if !st.ended && !p.w.Open(s) && p.w.State() != workers.Starting {
		to.reply(etf.Atom("eof")) // it is no pipe
		return
	}
	w := m.keep(to, 0)
	if w == nil {
		return
	}
	r := &readCall{m: m, p: p}
	r.reader = reader{taker: r, limit: limit, to: w, client: to.near(&p.entry)}
	m.awaitReader(p, s, &r.reader)
}

// readCall is a call {read, Stream, Max}.
type readCall struct {
	reader
	m *manager
	p *program
}

func (r *readCall) take(k *output.Kept, ended bool) (int, bool) {
	b := k.Bytes()
	data, n, err := r.p.packet.Cut(k)
	switch {
	case err != nil:
		r.m.badPacket(r.p)
		return k.Len(), false
	case len(b) == 0:
		r.to.reply(etf.Atom("eof"))
		return 0, true
	case r.p.packet.Raw() && n > r.limit:
		data, n = b[:r.limit], r.limit
	case n == 0 && ended: // the last line has no end, or the last packet is cut off
		data, n = b, len(b)
	case n == 0:
		return 0, false
	}
	r.to.reply(gen.OK(etf.Binary(data)))
	return n, true
}

// await has a call wait for output.
func (m *manager) await(p *program, c *client, s workers.Stream, take takes) {
	m.awaitReader(p, s, &reader{taker: take, client: c})
}

func (m *manager) awaitReader(p *program, s workers.Stream, r *reader) {
	st := p.stream(s)
	st.asked = true
	st.traffic().readers = append(st.busy.readers, r)
	p.goOn(m, s)
}

// drop gives up what nobody has asked for: the worker is told to end, and nobody
// may ever ask.
func (m *manager) drop(p *program) {
	if p.mode == order.Passive && !p.dropped {
		m.giveUp(p)
	}
}

// giveUp drops all output that is still to come, and what has come.
func (m *manager) giveUp(p *program) {
	p.dropped = true
	for i := range p.streams {
		if b := p.streams[i].busy; b != nil {
			b.remainder.Clear()
		}
	}
	m.hold(p)
	p.w.Resume()
}
