package peer

import (
	"erluv/ipc/journal"
	"erluv/wire/dist"
)

const (
	// MaxFrame is the largest frame accepted from the node, in bytes. A larger one is skipped in
	// pieces. If it was a call, it is answered.
	MaxFrame = 64 << 20

	// readChunk is the maximum number of bytes read from the socket in one turn.
	readChunk = 256 << 10

	// The buffer holds the bytes that shift leaves in place, less than a chunk. Behind them it
	// holds the largest frame, and the bytes read after it.
	_ = uint(journal.InSize - (dist.HeaderSize + MaxFrame + 2*readChunk))
)

// inbox holds frames from the node, in the journal's memory for input. Handled bytes stay in place
// until that is recorded. The connection owns it, and only Commit moves its content.
type inbox struct {
	mem   []byte // the whole memory
	start int    // bytes before it were handled
	have  int    // end of the bytes that were read
	pos   uint64 // position of start in the stream
	skip  int    // bytes of an oversized frame still to come
}

func newInbox(mem []byte, first journal.Record) inbox {
	return inbox{mem: mem, have: first.InLen, pos: first.InPos, skip: first.InSkip}
}

// space is where the next bytes are read into.
func (b *inbox) space() []byte { return b.mem[b.have:min(b.have+readChunk, len(b.mem))] }

// unhandled returns the bytes that were read and not handled.
func (b *inbox) unhandled() []byte { return b.mem[b.start:b.have] }

// handled notes that n bytes were handled.
func (b *inbox) handled(n int) {
	b.start += n
	b.pos += uint64(n)
}

// record writes the state of the inbox.
func (b *inbox) record(r *journal.Record) {
	r.InPos, r.InOff, r.InLen, r.InSkip = b.pos, b.start, b.have-b.start, b.skip
}

// shift moves the remaining bytes to the front, after their place was recorded. It does nothing if
// the new place would overlap the old one, which must stay as it is until the new one is recorded.
// It returns how many bytes had been in use, or 0 if it did nothing.
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
