package childproc

import (
	"bytes"

	"erluv/childproc/peer"
	"erluv/wire/dist"
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

	// smallReason is up to what size reasons are not counted: workers are.
	smallReason = 256
)

// held is how much of the budget is in use.
type held struct{ bytes int }

// take takes some of it. False: there is not enough left.
func (h *held) take(n int) bool {
	if n > heldMax-h.bytes {
		return false
	}
	h.bytes += n
	return true
}

// give gives it back.
func (h *held) give(n int) { h.bytes -= n }

// cost is what a call costs that waits.
func (f from) cost() int { return heldCost + len(f.tag) }

// keep gives a copy of who called that outlives the frame, and counts it. Without room
// the caller is told, and false returned.
func (m *manager) keep(to from) (from, bool) {
	if !m.held.take(to.cost()) {
		to.reply(errorHeld)
		return from{}, false
	}
	return to.keep(), true
}

// errorHeld is the answer to what cannot be kept.
var errorHeld = gen.Error(etf.Atom("eagain"))

// release answers a call that was kept.
func (m *manager) release(to from, term etf.Term) { to.answer(term).settle() }

// answer is the answer to a call that was kept, and where to.
type answer struct {
	client *client
	peer.Answer
}

func (f from) answer(term etf.Term) answer {
	return answer{f.client, peer.Answer{To: f.ask(), Term: term, Cost: f.cost()}}
}

// uncounted is the answer to a call that has nothing of the budget any more.
func (f from) uncounted(term etf.Term) answer {
	return answer{f.client, peer.Answer{To: f.ask(), Term: term}}
}

func (a answer) settle() { a.client.Settle(a.Answer) }

func (f from) ask() dist.Ask { return dist.Ask{Kind: dist.AskCall, From: f.pid, Tag: f.tag} }

// keptReason is an exit reason that outlives its frame. Workers that end for the same one, one
// after the other, share it.
type keptReason struct {
	reason etf.Raw
	users  int
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
	m.held.take(k.cost())
	m.lastKept = k
	return k
}

// dropReason ends the use of a reason; nil is none.
func (m *manager) dropReason(k *keptReason) {
	if k == nil {
		return
	}
	if k.users--; k.users == 0 {
		m.held.give(k.cost())
	}
}

// cost is what a reason has of the budget.
func (k *keptReason) cost() int {
	if len(k.reason) <= smallReason {
		return 0
	}
	return len(k.reason)
}

// isShutdown says whether a reason is {shutdown, Term}.
func isShutdown(reason etf.Raw) bool {
	_, ok := gen.Second("shutdown", reason)
	return ok
}
