package childproc

import (
	"bytes"

	"erluv/childproc/peer"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

// answerer has callers answered: the client of their node, or another that answers those who
// are no process of a node.
type answerer interface {
	Answer(to dist.Ask, term etf.Term) // at once
	Settle(a peer.Answer)              // once there is room
}

// caller is who waits for an answer, by any protocol that has one: mostly a process of a node.
// Its tag is part of the frame that it came in.
type caller struct {
	by answerer
	dist.Ask
}

func (c *client) caller(ask dist.Ask) caller { return caller{c, ask} }

// client is that of the caller's node; nil: the caller is no process of a node.
func (c caller) client() *client {
	of, _ := c.by.(*client)
	return of
}

// near is its client, or that of the process of ours that it calls, when it is no process of a
// node: the answer waits for room there.
func (c caller) near(e *entry) *client {
	if of := c.client(); of != nil {
		return of
	}
	return e.client
}

// node is the name of its node; "": none.
func (c caller) node() etf.Atom {
	if of := c.client(); of != nil {
		return of.Node()
	}
	return ""
}

// reply answers at once.
func (c caller) reply(term etf.Term) { c.by.Answer(c.Ask, term) }

// waiting is a caller that outlives its frame, with its part of the budget. Each is answered
// once, which gives the part back; so does the end of its node.
type waiting struct {
	to   caller
	held part
}

// keep keeps a caller, and so many bytes that it costs besides. Without room for it the caller
// is told, and nil returned.
func (m *manager) keep(to caller, more int) *waiting {
	held, ok := m.held.take(heldCost + len(to.Tag) + more)
	if !ok {
		to.reply(errorHeld)
		return nil
	}
	to.Tag = bytes.Clone(to.Tag)
	return &waiting{to, held}
}

// reply answers when there is room: many may be due at once.
func (w *waiting) reply(term etf.Term) { w.to.by.Settle(w.answer(term)) }

// Reply is reply: see output.Asker.
func (w *waiting) Reply(term etf.Term) { w.reply(term) }

// Give: the answer has been said otherwise: see output.Asker.
func (w *waiting) Give() { w.held.Give() }

// late is reply with a term that is made when there is room; nil: none is sent.
func (w *waiting) late(term func() etf.Term) {
	w.to.by.Settle(peer.Answer{To: w.to.Ask, Late: term, Held: &w.held})
}

// answer is the answer, for whoever says it with other things.
func (w *waiting) answer(term etf.Term) peer.Answer {
	return peer.Answer{To: w.to.Ask, Term: term, Held: &w.held}
}
