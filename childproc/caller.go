package childproc

import (
	"bytes"

	"erluv/childproc/peer"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

// answerer answers callers: the client of their node, or another for callers that are no process of
// a node.
type answerer interface {
	Answer(to dist.Ask, term etf.Term) // at once
	Settle(a peer.Answer)              // once there is room
}

// caller waits for an answer, by any protocol that has answers. It is most often a process of a
// node. Its tag is part of the frame that it came in.
type caller struct {
	by answerer
	dist.Ask
}

func (c *client) caller(ask dist.Ask) caller { return caller{c, ask} }

// client returns the client of the caller's node, nil if the caller is no process of a node.
func (c caller) client() *client {
	of, _ := c.by.(*client)
	return of
}

// near returns the caller's client. For a caller that is no process of a node, it returns that of
// the called process: the answer waits for room there.
func (c caller) near(e *entry) *client {
	if of := c.client(); of != nil {
		return of
	}
	return e.client
}

// node returns the name of the caller's node, "" if it has none.
func (c caller) node() etf.Atom {
	if of := c.client(); of != nil {
		return of.Node()
	}
	return ""
}

// reply answers at once.
func (c caller) reply(term etf.Term) { c.by.Answer(c.Ask, term) }

// waiting is a caller that outlives its frame, with its part of the budget. Each is answered once,
// or its node ends. Either gives the part back.
type waiting struct {
	to   caller
	held part
}

// keep keeps a caller. The parameter more is how many bytes it costs besides its tag. If the budget
// lacks room, it answers the caller and returns nil.
func (m *manager) keep(to caller, more int) *waiting {
	held, ok := m.held.take(heldCost + len(to.Tag) + more)
	if !ok {
		to.reply(errorHeld)
		return nil
	}
	to.Tag = bytes.Clone(to.Tag)
	return &waiting{to, held}
}

// reply answers when there is room, because many answers may be due at once.
func (w *waiting) reply(term etf.Term) { w.to.by.Settle(w.answer(term)) }

// Reply is reply, as a method of output.Asker.
func (w *waiting) Reply(term etf.Term) { w.reply(term) }

// Give is the method of output.Asker: the answer was sent in another way.
func (w *waiting) Give() { w.held.Give() }

// late answers with a term that is made when there is room. If the term is nil, no answer is sent.
func (w *waiting) late(term func() etf.Term) {
	w.to.by.Settle(peer.Answer{To: w.to.Ask, Late: term, Held: &w.held})
}

// answer is the answer, for a caller that sends it with other frames.
func (w *waiting) answer(term etf.Term) peer.Answer {
	return peer.Answer{To: w.to.Ask, Term: term, Held: &w.held}
}
