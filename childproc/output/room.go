package output

import (
	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/workers"
)

const (
	// MaxPiece is the largest piece of output in one message, in bytes. A pipe holds
	// 64 KiB unless it was made larger.
	MaxPiece = 256 << 10

	// fairPiece is the largest while somebody converses: what comes next waits for no
	// more than such a piece takes, to be read here and by the node, some 20 µs.
	fairPiece = 32 << 10

	// smallPiece is what a conversation is told by: who floods has written more.
	smallPiece = 4 << 10

	// floodAfter is how much is written, with nothing small in it, until nobody is
	// taken to converse any more: what takes some 15 ms.
	floodAfter = 16 << 20
)

// Turns are the readings of all programs, each of one piece. The loop gives all who have
// written something a turn before any has its next, so all have a fair share.
type Turns struct {
	flood   int    // bytes since the last small piece
	scratch []byte // what is read when it does not go straight into a message
}

// NewTurns makes them.
func NewTurns() *Turns { return &Turns{scratch: make([]byte, ScratchSize)} }

// Nowhere is space for what nobody will read.
func (t *Turns) Nowhere() workers.Space { return workers.Space{Bytes: t.scratch} }

// piece is how large the next may be.
func (t *Turns) piece() int {
	if t.flood >= floodAfter {
		return MaxPiece
	}
	return fairPiece
}

// Took notes a piece of n bytes.
func (t *Turns) Took(n int) {
	if t.flood += n; n < smallPiece && n > 0 {
		t.flood = 0
	}
}

// longKept is how much of a stream is kept, in bytes, when more of it is read straight
// behind that. Less is not worth the space for what one read may bring.
const longKept = ScratchSize / 2

// reply, as the number of a receiver: the frame is no message, but answers the first who
// waits to read.
const reply = -1

// Room gives the space behind the beginning of a message, so that output goes
// from the pipe straight into it; other space when it is cut, or read on demand. Without room
// with a node output is held back, until its peer says that there is room again: the program
// then blocks in its write, as on any full pipe.
//
// The space is for an Outlet, in which a frame was begun, for a Kept, or for nothing.
func (o *Output) Room(h Host, t *Turns, s workers.Stream) workers.Space {
	if o.dropped {
		return t.Nowhere()
	}
	st := o.stream(s)
	if st.kept {
		return t.Nowhere()
	}
	if c := o.crowded(h, st); c != nil {
		o.awaitRoom(h, st, c)
		return workers.Space{}
	}
	piece := h.Piece()
	limit, most := min(o.flowRoom(h, st, t.piece()), piece), min(ScratchSize, piece)
	if share, unready := h.Share(); unready {
		most = min(most, max(share-st.remainder(), peer.LeastRead))
	}
	if r := o.pulled(h, st); r != nil {
		at := r.Outlet.BeginAnswer(r.call.Ask)
		return workers.Space{Bytes: r.Outlet.Space(min(r.call.Limit, piece)), For: r.Outlet, At: at, No: reply}
	}
	if to, c, i := o.next(h, st, 0); o.pushes(h, st) && c != nil {
		at := c.BeginOutput(to, h.PID(), peer.Stream(s))
		return workers.Space{Bytes: c.Space(limit), For: c, At: at, No: i}
	}
	if st.remainder() >= longKept {
		k := &st.busy.remainder
		return workers.Space{Bytes: k.Space(most, o.Packet.Missing(k.Bytes())), For: k}
	}
	return workers.Space{Bytes: t.scratch[:min(limit, most)]}
}

// Took ends the message behind the n bytes that were read, or takes it back.
func (o *Output) Took(h Host, s workers.Stream, room workers.Space, n int) {
	st := o.stream(s)
	if o.dropped || st.kept {
		return
	}
	switch to := room.For.(type) {
	case *Outlet:
		if n == 0 {
			to.TakeBack(room.At)
			return
		}
		data := to.Filled(n)
		h.Saw(s, data)
		to.EndOutput(room.At, n)
		if room.No == reply {
			st.busy.readers[0].call.By.Give()
			st.busy.served()
			o.Hold(h)
			return
		}
		o.copyOutput(h, st, data, room.No+1)
		o.sent(h, st, n, 0)
		o.count(h)
	case *Kept:
		if n == 0 {
			return
		}
		to.Extend(n)
		b := to.Bytes()
		h.Saw(s, b[len(b)-n:])
		o.accepted(h, st)
	default:
		if n == 0 {
			return
		}
		data := room.Bytes[:n]
		h.Saw(s, data)
		if !o.nobody(h, st) || o.unowned(h, st) || o.mode != order.True && o.mode != order.Auto {
			st.traffic().remainder.Add(data) // what nobody takes at once is copied
			o.accepted(h, st)
		}
	}
}

// accepted: there is more to deliver.
func (o *Output) accepted(h Host, st *Stream) {
	o.Serve(h, st.no)
	o.Hold(h)
}

// Ended: a stream has ended.
func (o *Output) Ended(h Host, s workers.Stream) {
	st := o.stream(s)
	st.ended, st.told = true, st.kept
	o.Serve(h, s)
}

// pushes says whether output goes straight from the pipe into a message.
func (o *Output) pushes(h Host, st *Stream) bool {
	return !h.Hidden() && o.mode != order.Passive && o.Packet.Raw() && st.remainder() == 0 && !st.awaited()
}

// pulled is the call that is answered with what is read next, whatever it is; nil
// when there is none, or something has been read before.
func (o *Output) pulled(h Host, st *Stream) *Reader {
	if h.Hidden() || o.mode != order.Passive || !o.Packet.Raw() || st.remainder() > 0 || !st.awaited() {
		return nil
	}
	if r := st.busy.readers[0]; r.call.Direct {
		return r
	}
	return nil
}
