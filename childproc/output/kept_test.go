package output

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

// TestKept compares a Kept with a plain slice of bytes, for all of its operations.
func TestKept(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var k Kept
		var want []byte
		letters := []string{"a", "bb", "\n", "ä", "€", "\xff"}
		scratch := make([]byte, 0, 4096)
		for step := range 400 {
			switch r.IntN(6) {
			case 0, 1:
				scratch = scratch[:0]
				for range r.IntN(300) {
					scratch = append(scratch, letters[r.IntN(len(letters))]...)
				}
				k.Add(scratch)
				want = append(want, scratch...)
				if r.IntN(2) == 0 { // delivered before the caller gets its memory back
					n := r.IntN(k.Len() + 1)
					k.Take(n)
					want = want[n:]
				}
				k.Settle()
				clear(scratch[:cap(scratch)])
			case 2:
				missing := math.MaxInt
				if r.IntN(2) == 0 {
					missing = 1 + r.IntN(100)
				}
				room := k.Space(1+r.IntN(200), missing)
				if len(room) == 0 || len(room) > missing {
					t.Fatalf("seed %d, step %d: space of %d bytes where %d are missing", seed, step, len(room), missing)
				}
				n := r.IntN(len(room) + 1)
				for i := range n {
					room[i] = 'x'
				}
				k.Extend(n)
				want = append(want, room[:n]...)
			case 3:
				n := r.IntN(k.Len() + 1)
				taken := bytes.Clone(want[:n])
				k.Take(n)
				want = want[n:]
				if r.IntN(2) == 0 {
					k.Settle()
				}
				if r.IntN(2) == 0 {
					back := taken[r.IntN(n+1):]
					k.PutBack(back)
					want = append(bytes.Clone(back), want...)
				}
			case 4:
				limit := 1 + r.IntN(500)
				n := bytes.IndexByte(want[:min(len(want), limit)], '\n') + 1
				if n == 0 && len(want) >= limit {
					n = limit
				}
				if got := k.Line(limit); got != n {
					t.Fatalf("seed %d, step %d: a line of at most %d bytes has %d, want %d", seed, step, limit, got, n)
				}
			case 5:
				n := r.IntN(300)
				length, ok := 0, true
				for range n {
					if ok = utf8.FullRune(want[length:]); !ok {
						break
					}
					_, size := utf8.DecodeRune(want[length:])
					length += size
				}
				if got, gotOK := k.Chars(n); gotOK != ok || ok && got != length {
					t.Fatalf("seed %d, step %d: %d characters have %d bytes, %v, want %d, %v", seed, step, n, got, gotOK, length, ok)
				}
			}
			if !bytes.Equal(k.Bytes(), want) {
				t.Fatalf("seed %d, step %d: it holds %q, want %q", seed, step, k.Bytes(), want)
			}
		}
	}
}

// TestKeptIsSmall checks that Settle frees the memory of delivered bytes.
func TestKeptIsSmall(t *testing.T) {
	var k Kept
	k.Add(make([]byte, 64<<10))
	k.Settle()
	for range 10 {
		k.Extend(len(k.Space(ScratchSize, math.MaxInt)))
	}
	k.Take(k.Len() - 100)
	k.Settle()
	if cap(k.buf) > 100+slackKept {
		t.Errorf("%d bytes are held in %d", k.Len(), cap(k.buf))
	}
	k.Take(100)
	k.Settle()
	if k.buf != nil {
		t.Errorf("nothing is held in %d bytes", cap(k.buf))
	}
}
