package childproc

import (
	"bytes"

	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// What a node has erluv keep costs erluv's memory: calls that wait, what they write, exit
// reasons of workers that take long to end. Everything together has one budget.
const (
	// heldMax is the budget, in bytes: the largest frame, so that whatever a node can say
	// at once can be kept once. What is over it is refused with eagain.
	heldMax = peer.MaxFrame

	// heldCost is what a call that waits costs besides its bytes.
	heldCost = 512

	// maxTag bounds the tag of a call and the ReplyAs of an I/O request, in bytes. They
	// come back with the answer, and are references, which have less than 300.
	maxTag = 4 << 10

	// maxReason bounds an exit reason, in bytes; a longer one is replaced.
	maxReason = 4 << 20

	// smallReason is up to what size reasons are not counted.
	smallReason = 256
)

// held is how much of the budget is in use.
type held struct{ bytes int }

// take takes some of it. False: there is not enough left.
func (h *held) take(n int) (part, bool) {
	if n > heldMax-h.bytes {
		return part{}, false
	}
	h.bytes += n
	return part{h, n}, true
}

// part is what one thing that is kept has of the budget. It belongs to that thing, and is not
// copied. The zero part is nothing.
type part struct {
	of    *held
	bytes int
}

// Give gives it back. Of what is given back nothing is left: twice is once.
func (p *part) Give() {
	if p.of != nil {
		p.of.bytes -= p.bytes
	}
	*p = part{}
}

// split gives n bytes of it to something that is kept longer.
func (p *part) split(n int) part {
	p.bytes -= n
	return part{p.of, n}
}

// errorHeld is the answer to what cannot be kept.
var errorHeld = gen.Error(etf.Atom("eagain"))

// keptReason is an exit reason that outlives its frame. Workers that end for the same one, one
// after the other, share it.
type keptReason struct {
	reason etf.Raw
	users  int
	held   part // none of a small one: workers are counted
}

// keepReason keeps a reason. One that is too long, or for which there is no room, is
// replaced by one that says so; to a supervisor it stays a shutdown.
func (m *manager) keepReason(reason etf.Raw) *keptReason {
	if k := m.lastKept; k != nil && k.users > 0 && bytes.Equal(k.reason, reason) {
		k.users++
		return k
	}
	limit := min(maxReason, heldMax-m.held.bytes)
	if len(reason) > max(limit, smallReason) {
		var short etf.Term = etf.Tuple{etf.Atom("too_large"), int64(len(reason)), int64(limit)}
		if isShutdown(reason) {
			short = etf.Tuple{etf.Atom("shutdown"), short}
		}
		return &keptReason{reason: gen.Encode(short), users: 1}
	}
	k := &keptReason{reason: bytes.Clone(reason), users: 1}
	if len(reason) > smallReason {
		k.held, _ = m.held.take(len(reason)) // there is room: that is the limit
	}
	m.lastKept = k
	return k
}

// dropReason ends the use of a reason; nil is none.
func (m *manager) dropReason(k *keptReason) {
	if k == nil {
		return
	}
	if k.users--; k.users == 0 {
		k.held.Give()
	}
}

// isShutdown says whether a reason is {shutdown, Term}.
func isShutdown(reason etf.Raw) bool {
	_, ok := gen.Second("shutdown", reason)
	return ok
}
