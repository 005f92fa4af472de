package childproc

import (
	"erluv/childproc/order"
	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/workers"
)

const (
	// maxPiece is the largest piece of output in one message, in bytes. A pipe holds
	// 64 KiB unless it was made larger.
	maxPiece = 256 << 10

	// fairPiece is the largest while somebody converses: what comes next waits for no
	// more than such a piece takes, to be read here and by the node, some 20 µs.
	fairPiece = 32 << 10

	// smallPiece is what a conversation is told by: who floods has written more.
	smallPiece = 4 << 10

	// floodAfter is how much is written, with nothing small in it, until nobody is
	// taken to converse any more: what takes some 15 ms.
	floodAfter = 16 << 20
)

// turns are the readings, each of one piece. The loop gives all who have written
// something a turn before any has its next, so all have a fair share.
type turns struct {
	flood int // bytes since the last small piece
}

// piece is how large the next may be.
func (t *turns) piece() int {
	if t.flood >= floodAfter {
		return maxPiece
	}
	return fairPiece
}

// took notes a piece of n bytes.
func (t *turns) took(n int) {
	if t.flood += n; n < smallPiece && n > 0 {
		t.flood = 0
	}
}

// delivery is where the output goes that is being read from a pipe.
type delivery struct {
	direct  *client // to which a frame has been begun, at start; nil: none has
	start   int
	answers bool // the frame is no message, but answers the first who waits to read
	kept    bool // behind what is kept of the stream
	to      int  // which of the receivers the frame is for
}

// longKept is how much of a stream is kept, in bytes, when more of it is read straight
// behind that. Less is not worth the space for what one read may bring.
const longKept = output.ScratchSize / 2

// streamTerm names a stream: by its atom, or else by the number of its descriptor.
func streamTerm(s workers.Stream) etf.Term { return peer.Stream(s).Term() }

// Room gives the space behind the beginning of a message, so that output goes
// from the pipe straight into it; other space when it is collected, cut, or read
// on demand. Without room in the outbox all output is held back, until conn says
// that there is room again: the program then blocks in its write, as on any full
// pipe.
func (m *manager) Room(w *workers.Worker, s workers.Stream) []byte {
	p := w.Tag.(*program)
	m.frame = delivery{}
	if p.dropped || m.phase == disconnected {
		return m.scratch // nobody will read it
	}
	if p.run != nil {
		return p.runRoom(m, s)
	}
	st := p.stream(s)
	if c := m.crowded(p, st); c != nil {
		m.awaitRoom(w, st, c)
		return nil
	}
	limit, most := m.flowRoom(p, st, m.turns.piece()), output.ScratchSize
	if p.awaitsLine() {
		limit, most = min(limit, matchPiece), matchPiece
	}
	if p.awaitsReady() {
		most = min(most, max(m.unready.share()-st.remainder(), peer.LeastRead))
	}
	if r := p.pulled(st); r != nil {
		c := r.client
		m.frame = delivery{direct: c, start: c.BeginAnswer(r.to.to.Ask), answers: true}
		if limit = r.limit; p.awaitsLine() {
			limit = min(limit, matchPiece)
		}
	} else if to, c, i := m.next(p, st, 0); p.pushes(st) && c != nil {
		m.frame = delivery{direct: c, start: c.BeginOutput(to, p.pid, peer.Stream(s)), to: i}
	} else if st.remainder() >= longKept {
		m.frame = delivery{kept: true}
		k := &st.busy.remainder
		return k.Space(most, p.packet.Missing(k.Bytes()))
	} else {
		return m.scratch[:min(limit, most)]
	}
	return m.frame.direct.Space(limit)
}

// awaitRoom holds back what no client has room for. All output of its own waits for a
// client at once; a stream of others waits alone.
func (m *manager) awaitRoom(w *workers.Worker, st *stream, c *client) {
	p := w.Tag.(*program)
	if c != p.client {
		m.serveLater(p, st)
		return
	}
	c.streams.Pause()
	if w.State() == workers.Draining {
		c.stalled = append(c.stalled, w)
	}
}

// Took ends the message behind the n bytes that were read, or takes it back.
func (m *manager) Took(w *workers.Worker, s workers.Stream, n int) {
	p := w.Tag.(*program)
	m.turns.took(n)
	if p.awaitsReady() {
		defer m.unready.count(p, s)()
	}
	switch {
	case m.phase == disconnected || p.dropped:
	case p.run != nil:
		if p.run.took(s, n) {
			w.Kill()
		}
	case m.frame.direct != nil && n == 0:
		m.frame.direct.TakeBack(m.frame.start)
	case m.frame.direct != nil:
		data := m.frame.direct.Filled(n)
		p.sawOutput(m, s, data)
		m.frame.direct.EndOutput(m.frame.start, n)
		if m.frame.answers {
			p.stream(s).busy.readers[0].to.held.Give()
			p.stream(s).busy.served()
			m.hold(p)
			return
		}
		m.copyOutput(p, p.stream(s), data, m.frame.to+1)
		m.sent(p, p.stream(s), n)
		m.count(p)
	case n == 0:
	case m.frame.kept:
		k := &p.stream(s).busy.remainder
		k.Extend(n)
		b := k.Bytes()
		p.sawOutput(m, s, b[len(b)-n:])
		m.accepted(p, s)
	default:
		p.sawOutput(m, s, m.scratch[:n])
		if !p.nobody(p.stream(s)) || p.mode != order.True && p.mode != order.Auto {
			m.accept(p, s, m.scratch[:n])
		}
	}
}

// Ended: a stream has ended.
func (m *manager) Ended(w *workers.Worker, s workers.Stream) {
	p := w.Tag.(*program)
	if p.run == nil {
		p.sawEnd(m, s)
		p.stream(s).ended = true
		m.serve(p, s)
	}
}
