// Package ring keeps the last output of programs, in pieces with the stream and the time of each.
// All rings share one Room, which bounds their memory.
//
//	ring.go  a program's ring: pieces go in, the oldest go out
//	room.go  the memory of all rings
//	read.go  queries
//
// The position of a byte is the number of bytes that the program wrote before it, to both streams.
// So a reader continues exactly where it stopped, and knows how many bytes it missed. It gets a
// copy, and the ring never waits for it.
//
// Only the loop's thread may use the package.
package ring

import "encoding/binary"

const (
	// MinSize and MaxSize bound the size of a ring, in bytes. The largest ring fits into one
	// answer, even in pieces of one byte.
	MinSize = 4 << 10
	MaxSize = 1 << 20

	// A ring's memory consists of chunks. So the oldest output can go without moving the rest, and
	// a little output needs little memory. The first chunk has firstChunk bytes. Later ones have at
	// most maxChunk, and at most an eighth of the ring.
	firstChunk = 512
	maxChunk   = 4 << 10

	// headSize is how many bytes a piece needs besides its output: for the time, the stream, its
	// length.
	headSize = 8 + 1 + 2
)

// Ring is the last output of one program.
type Ring struct {
	room   *Room
	size   int      // the most memory, in bytes
	memory int      // memory of the chunks, in bytes
	chunks [][]byte // pieces one after the other, the oldest first
	spare  [][]byte // unused chunks
	last   int      // offset of the last piece in the last chunk; -1: none

	start, end uint64 // positions of the first kept byte, and behind the last
	over       bool   // no more output will come

	// Watched says that a client has read the ring while more could come. The client can ask once
	// more after the end, so the manager drops the ring later.
	Watched bool
}

// Put adds output of a stream (1 or 2) that came at a time, in milliseconds of Unix time.
func (r *Ring) Put(stream uint8, at int64, data []byte) {
	if n := len(data) - r.size; n > 0 { // the bytes behind these would drive them out
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

// extend adds as much to the last chunk as fits. It extends the last piece if that came from the
// same stream within the same millisecond.
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

// grow adds an empty chunk. It takes new memory if there may be more, or else the oldest chunk's.
// It returns false if there is neither.
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

// lose drops all output and keeps the memory.
func (r *Ring) lose() {
	r.start, r.last = r.end, -1
	r.spare, r.chunks = append(r.spare, r.chunks...), nil
}

// State is the state of a ring.
type State struct {
	Size, Held int    // in bytes: the most memory, and the kept output
	Lost       uint64 // bytes of output that are gone
	Over       bool   // no more output will come
}

// State returns the state of the ring.
func (r *Ring) State() State {
	return State{Size: r.size, Held: int(r.end - r.start), Lost: r.start, Over: r.over}
}

// End returns the position behind the last byte.
func (r *Ring) End() uint64 { return r.end }
