package output

import (
	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/workers"
)

const (
	// MaxPiece is the largest piece of output in one message, in bytes. A pipe holds 64 KiB unless
	// it was enlarged.
	MaxPiece = 256 << 10

	// fairPiece is the largest piece, in bytes, while a conversation goes on. Its messages then
	// wait for at most one such piece to be read here and by the node, some 20 µs.
	fairPiece = 32 << 10

	// smallPiece is the size below which a piece counts as part of a conversation, in bytes. A
	// program that floods writes larger pieces.
	smallPiece = 4 << 10

	// floodAfter is how many bytes without a small piece end the conversation. That takes some 15
	// ms.
	floodAfter = 16 << 20
)

// Turns are the reads of all programs, each of one piece. The loop gives each program with output a
// turn before any gets its next, so all have a fair share.
type Turns struct {
	flood   int    // bytes since the last small piece
	scratch []byte // for output that does not go straight into a message
}

// NewTurns makes the turns of all programs.
func NewTurns() *Turns { return &Turns{scratch: make([]byte, ScratchSize)} }

// Nowhere is space for output without a reader.
func (t *Turns) Nowhere() workers.Space { return workers.Space{Bytes: t.scratch} }

// piece is the largest size of the next piece, in bytes.
func (t *Turns) piece() int {
	if t.flood >= floodAfter {
		return MaxPiece
	}
	return fairPiece
}

// Took counts a piece of n bytes.
func (t *Turns) Took(n int) {
	if t.flood += n; n < smallPiece && n > 0 {
		t.flood = 0
	}
}

// longKept is how many bytes a stream must keep before the next are read directly behind them. With
// less than that, the space for one read is not worthwhile.
const longKept = ScratchSize / 2

// reply, in place of a receiver's number, means that the frame is no message but an answer to the
// first reader.
const reply = -1

// Room returns space for output. Raw output goes from the pipe directly behind the beginning of a
// message. Output that is cut, or read on demand, goes to other space. Without room for a node,
// output is held back until the node's peer has room again. The program then blocks in its write,
// as on any full pipe.
//
// The space belongs to an Outlet, in which a frame was begun, to a Kept, or to neither.
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

// Took ends the message behind the n bytes that were read, or takes it back if n is 0.
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
			st.traffic().remainder.Add(data) // bytes that are not delivered at once are copied
			o.accepted(h, st)
		}
	}
}

// accepted delivers new output.
func (o *Output) accepted(h Host, st *Stream) {
	o.Serve(h, st.no)
	o.Hold(h)
}

// Ended notes that a stream has ended.
func (o *Output) Ended(h Host, s workers.Stream) {
	st := o.stream(s)
	st.ended, st.told = true, st.kept
	o.Serve(h, s)
}

// pushes reports whether output goes from the pipe directly into a message.
func (o *Output) pushes(h Host, st *Stream) bool {
	return !h.Hidden() && o.mode != order.Passive && o.Packet.Raw() && st.remainder() == 0 && !st.awaited()
}

// pulled returns the call whose answer the next read completes directly. It returns nil if there is
// none, or if bytes were kept before.
func (o *Output) pulled(h Host, st *Stream) *Reader {
	if h.Hidden() || o.mode != order.Passive || !o.Packet.Raw() || st.remainder() > 0 || !st.awaited() {
		return nil
	}
	if r := st.busy.readers[0]; r.call.Direct {
		return r
	}
	return nil
}
