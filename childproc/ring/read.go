package ring

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math"
	"slices"
)

// Piece is output that came at once. Its Data belongs to the ring, and is valid until the next Put.
type Piece struct {
	Stream uint8
	At     int64 // milliseconds of Unix time
	Data   []byte
}

// Query selects output of a ring.
type Query struct {
	From   uint64 // position
	Before uint64 // position; 0 means to the end
	Since  int64  // in milliseconds of Unix time
	Stream uint8  // 0 means both
	Lines  int    // how many of the last lines, or AllLines; an incomplete line counts
}

// AllLines in a Query means any number of lines.
const AllLines = math.MaxInt

// Read returns the output that a query selects, the oldest first. The range of the query ends
// before the position next, and lost bytes from q.From on are gone.
func (r *Ring) Read(q Query) (found []Piece, next, lost uint64) {
	if q.From < r.start {
		lost = r.start - q.From
	}
	next = r.end
	if q.Before > 0 {
		next = min(next, q.Before)
	}
	pos := r.start
	for _, c := range r.chunks {
		for p := range pieces(c) {
			begins, ends := pos, pos+uint64(len(p.Data))
			pos = ends
			if ends <= q.From || begins >= next || p.At < q.Since || q.Stream != 0 && p.Stream != q.Stream {
				continue
			}
			if ends > next {
				p.Data = p.Data[:next-begins]
			}
			if begins < q.From {
				p.Data = p.Data[q.From-begins:]
			}
			found = append(found, p)
		}
	}
	return lastLines(found, q.Lines), next, lost
}

// pieces yields the pieces of a chunk.
func pieces(c []byte) iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		for len(c) > 0 {
			n := headSize + int(binary.NativeEndian.Uint16(c[9:]))
			if !yield(Piece{Stream: c[8], At: timeOf(c), Data: c[headSize:n]}) {
				return
			}
			c = c[n:]
		}
	}
}

// lastLines returns the last n lines of all pieces together, as a terminal would show them.
func lastLines(list []Piece, n int) []Piece {
	if n <= 0 {
		return nil
	}
	for i := range slices.Backward(list) {
		data := list[i].Data
		end := len(data)
		if i == len(list)-1 && data[end-1] == '\n' {
			end-- // of the last line
		}
		for {
			at := bytes.LastIndexByte(data[:end], '\n')
			if at < 0 {
				break
			}
			if n--; n == 0 {
				list[i].Data = data[at+1:]
				if len(list[i].Data) == 0 {
					i++
				}
				return list[i:]
			}
			end = at
		}
	}
	return list
}
