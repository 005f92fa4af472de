// Package ring keeps the last output of programs, each piece with its stream and the time at
// which it came. All rings share one Room, which bounds their memory.
//
//	ring.go  a program's ring: pieces go in, the oldest go out
//	room.go  the memory of all rings
//	read.go  what a reader is given
//
// A byte has a position: how many the program has written before, to both streams. So a
// reader goes on exactly where it was, and knows how much it has missed. It is copied from the
// ring, and never waited for.
//
// Everything belongs to the one thread of the loop.
package ring

import "encoding/binary"

const (
	// MinSize and MaxSize bound the size of a ring, in bytes. The greatest goes into one
	// answer, in pieces of one byte too.
	MinSize = 4 << 10
	MaxSize = 1 << 20

	// A ring's memory are chunks, so that the oldest output can go without the rest being
	// moved, and little output takes little. The first has firstChunk bytes; later ones at
	// most maxChunk, and at most an eighth of the ring.
	firstChunk = 512
	maxChunk   = 4 << 10

	// headSize is what each piece costs: the time, the stream, its length.
	headSize = 8 + 1 + 2
)

// Ring is the last output of one program.
type Ring struct {
	room   *Room
	size   int      // bytes of memory at most
	memory int      // of the chunks
	chunks [][]byte // pieces one after the other, the oldest first
	spare  [][]byte // are used before others
	last   int      // where the last piece begins in the last chunk; -1: there is none

	start, end uint64 // positions of the first byte that is there, and behind the last
	over       bool   // nothing more comes
}

// Put puts output in, of a stream (1 or 2), that has come at a time in milliseconds.
func (r *Ring) Put(stream uint8, at int64, data []byte) {
	if n := len(data) - r.size; n > 0 { // these would be driven out by those behind them
		r.lose()
		r.start += uint64(n)
		r.end, data = r.start, data[n:]
	}
	for len(data) > 0 {
		n := r.extend(stream, at, data)
		if n == 0 && !r.grow() {
			r.end += uint64(len(data))
			r.start = r.end
			return
		}
		r.end += uint64(n)
		data = data[n:]
	}
}

// extend puts into the last chunk what has room there: to the last piece, if that has come from
// the same stream within the same millisecond.
func (r *Ring) extend(stream uint8, at int64, data []byte) int {
	if len(r.chunks) == 0 {
		return 0
	}
	c := &r.chunks[len(r.chunks)-1]
	if r.last < 0 || (*c)[r.last+8] != stream || timeOf((*c)[r.last:]) != at {
		if cap(*c)-len(*c) <= headSize {
			return 0
		}
		r.last = len(*c)
		*c = binary.NativeEndian.AppendUint64(*c, uint64(at))
		*c = append(*c, stream, 0, 0)
	}
	n := min(len(data), cap(*c)-len(*c))
	*c = append(*c, data[:n]...)
	binary.NativeEndian.PutUint16((*c)[r.last+9:], uint16(len(*c)-r.last-headSize))
	return n
}

func timeOf(head []byte) int64 { return int64(binary.NativeEndian.Uint64(head)) }

// grow adds an empty chunk: more memory if there may be more, else that of the oldest chunk.
// False: there is neither.
func (r *Ring) grow() bool {
	var c []byte
	n := min(max(firstChunk, r.memory), maxChunk, r.size/8)
	switch {
	case len(r.spare) > 0:
		last := len(r.spare) - 1
		c, r.spare = r.spare[last][:0], r.spare[:last]
	case r.memory+n <= r.size && r.room.take(n):
		r.memory += n
		c = make([]byte, 0, n)
	case len(r.chunks) == 0:
		return false
	default:
		c = r.chunks[0][:0]
		r.forget()
	}
	r.chunks, r.last = append(r.chunks, c), -1
	return true
}

// forget drops the oldest chunk.
func (r *Ring) forget() {
	for at := range pieces(r.chunks[0]) {
		r.start += uint64(len(at.Data))
	}
	r.chunks[0] = nil
	r.chunks = r.chunks[1:]
}

// lose drops all that is there, and keeps the memory for what comes.
func (r *Ring) lose() {
	r.start, r.last = r.end, -1
	r.spare, r.chunks = append(r.spare, r.chunks...), nil
}

// State is how a ring stands.
type State struct {
	Size, Held int    // bytes: of memory at most, and of output that is there
	Lost       uint64 // bytes of output that are not there any more
	Over       bool   // nothing more comes
}

// State is how the ring stands.
func (r *Ring) State() State {
	return State{Size: r.size, Held: int(r.end - r.start), Lost: r.start, Over: r.over}
}

// End is the position behind the last byte.
func (r *Ring) End() uint64 { return r.end }
