package peer

import (
	"erluv/ipc/journal"
	"erluv/wire/dist"
)

const (
	// MaxFrame bounds a frame from the node, in bytes. A larger one is passed
	// over in pieces; if it was a call, it is answered.
	MaxFrame = 64 << 20

	// readChunk is what is read from the socket in one turn at most.
	readChunk = 256 << 10

	// The in room holds what shift leaves where it is, which is less than a chunk,
	// the largest frame, and what is read behind it.
	_ = uint(journal.InSize - (dist.HeaderSize + MaxFrame + 2*readChunk))
)

// inbox is where frames from the node are read, in the in room of the journal.
// What was handled stays as it is until that is recorded. The connection owns it;
// only Commit moves what is in it.
type inbox struct {
	mem   []byte // all the room
	start int    // what is before was handled
	have  int    // the end of what was read
	pos   uint64 // of start in the stream
	skip  int    // bytes of an oversized frame that are still to come
}

func newInbox(mem []byte, first journal.Record) inbox {
	return inbox{mem: mem, have: first.InLen, pos: first.InPos, skip: first.InSkip}
}

// space is where the next bytes are read into.
func (b *inbox) space() []byte { return b.mem[b.have:min(b.have+readChunk, len(b.mem))] }

// unhandled is what was read and not handled.
func (b *inbox) unhandled() []byte { return b.mem[b.start:b.have] }

// handled notes that n bytes of it were handled.
func (b *inbox) handled(n int) {
	b.start += n
	b.pos += uint64(n)
}

// record says where the inbox stands.
func (b *inbox) record(r *journal.Record) {
	r.InPos, r.InOff, r.InLen, r.InSkip = b.pos, b.start, b.have-b.start, b.skip
}

// shift moves what is left to the front, after it was recorded, unless it would
// overlap the place where it is, which stays as it is until what has moved is
// recorded. It returns how many bytes had been in use, or 0 when nothing has moved.
func (b *inbox) shift() (used int) {
	left := b.have - b.start
	if b.start == 0 || left > b.start {
		return 0
	}
	used = b.have
	copy(b.mem, b.mem[b.start:b.have])
	b.start, b.have = 0, left
	return used
}
