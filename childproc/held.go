package childproc

import (
	"bytes"

	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// Data that erluv keeps for a node costs its memory: waiting calls, their bytes, exit reasons of
// workers that take long to end. All of it together has one budget.
const (
	// heldMax is the budget, in bytes. It is the largest frame, so each request of a node can be
	// kept while nothing else is. Beyond it requests are refused with eagain.
	heldMax = peer.MaxFrame

	// heldCost is how many bytes a waiting call counts besides its own.
	heldCost = 512

	// maxTag is the longest tag of a call and ReplyAs of an I/O request, in bytes. They come back
	// in the answer. They are references, which have less than 300 bytes.
	maxTag = 4 << 10

	// maxReason is the longest exit reason, in bytes. A longer one is replaced.
	maxReason = 4 << 20

	// smallReason is the longest exit reason that is not counted, in bytes.
	smallReason = 256
)

// held is how much of the budget is in use.
type held struct{ bytes int }

// take takes n bytes. It returns false if too few are left.
func (h *held) take(n int) (part, bool) {
	if n > heldMax-h.bytes {
		return part{}, false
	}
	h.bytes += n
	return part{h, n}, true
}

// part is the share of the budget that one kept object has. It belongs to that object, and must not
// be copied. The zero part is no share.
type part struct {
	of    *held
	bytes int
}

// Give gives the part back. A second call does nothing.
func (p *part) Give() {
	if p.of != nil {
		p.of.bytes -= p.bytes
	}
	*p = part{}
}

// split gives n bytes of it to an object that is kept longer.
func (p *part) split(n int) part {
	p.bytes -= n
	return part{p.of, n}
}

// errorHeld is the answer if the budget lacks room.
var errorHeld = gen.Error(etf.Atom("eagain"))

// keptReason is an exit reason that outlives its frame. Successive workers that end with the same
// reason share it.
type keptReason struct {
	reason etf.Raw
	users  int
	held   part // zero for a small one: the number of workers is bounded
}

// keepReason keeps a reason. If it is too long, or if the budget lacks room, another reason that
// says so replaces it. To a supervisor it stays a shutdown.
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
		k.held, _ = m.held.take(len(reason)) // the limit ensures that there is room
	}
	m.lastKept = k
	return k
}

// dropReason ends the use of a reason, which may be nil.
func (m *manager) dropReason(k *keptReason) {
	if k == nil {
		return
	}
	if k.users--; k.users == 0 {
		k.held.Give()
	}
}

// isShutdown reports whether a reason is {shutdown, Term}.
func isShutdown(reason etf.Raw) bool {
	_, ok := gen.Second("shutdown", reason)
	return ok
}
