package ring

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math"
	"slices"
)

// Piece is output that has come at once. Its Data is the ring's, until the next Put.
type Piece struct {
	Stream uint8
	At     int64 // milliseconds of Unix time
	Data   []byte
}

// Query says what is wanted of a ring.
type Query struct {
	From   uint64 // position
	Before uint64 // position; 0: to the end
	Since  int64  // in milliseconds of Unix time
	Stream uint8  // 0: both
	Lines  int    // the last ones; AllLines: all. One without an end is a line.
}

// AllLines is for a Query without a bound of Lines.
const AllLines = math.MaxInt

// Read is what a query finds, the oldest first; the position behind what was looked at; and how
// many bytes from q.From on are not there any more.
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

// pieces are those of a chunk.
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

// lastLines are the last n lines of all pieces together, as a terminal would show them.
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
