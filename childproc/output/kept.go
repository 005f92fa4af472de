package output

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// Kept is output of a stream that was read from its pipe and not delivered: the beginning
// of a packet, or what no call has asked for yet. Each byte is copied and looked at a
// bounded number of times, in however many pieces the output comes: memory grows to the
// double, and what a search has found out about the first bytes is remembered.
type Kept struct {
	buf      []byte
	at       int  // the bytes before were delivered
	borrowed bool // buf belongs to the caller of add until settle

	lineless int // so many bytes from at on hold no end of a line
	runes    int // so many characters of UTF-8 are known to stand from at on,
	runeEnd  int // in so many bytes

	Work int // Bytes copied and looked at since the beginning, for the tests of the cost
}

// ScratchSize is what is read at once when output is not passed on as it comes.
const ScratchSize = 64 << 10

// slackKept is how much of a large buffer may be unused, in bytes, besides three times
// what it holds.
const slackKept = 4 << 10

func (k *Kept) Bytes() []byte { return k.buf[k.at:] }

func (k *Kept) Len() int { return len(k.buf) - k.at }

// Add puts data behind what is there. Data is borrowed when nothing is there: it is
// copied by settle, as far as it was not delivered by then.
func (k *Kept) Add(data []byte) {
	if k.Len() == 0 {
		k.buf, k.at, k.borrowed = data, 0, true
		return
	}
	k.grow(len(data), math.MaxInt)
	k.buf = append(k.buf, data...)
	k.Work += len(data)
}

// Space is where the next bytes can be read into, behind what is there: up to limit of
// them, and no more than missing. They count once extend was called.
func (k *Kept) Space(limit, missing int) []byte {
	limit = min(limit, missing)
	n := len(k.buf)
	if cap(k.buf)-n < (limit+1)/2 || k.borrowed {
		k.grow(limit, missing)
		n = len(k.buf)
	}
	return k.buf[n : n+min(cap(k.buf)-n, limit)]
}

// Extend takes over n bytes that were read into the space.
func (k *Kept) Extend(n int) { k.buf = k.buf[:len(k.buf)+n] }

// grow makes room for n more bytes. When memory is to be had, it is for as much again
// as there is, unless less is missing.
func (k *Kept) grow(n, missing int) {
	if cap(k.buf)-len(k.buf) >= n && !k.borrowed {
		return
	}
	live := k.Len()
	if k.at >= live && cap(k.buf)-live >= n && !k.borrowed { // paid for by what was delivered
		k.move(k.buf[:0])
		return
	}
	more := max(n, live)
	k.move(make([]byte, 0, live+min(more, missing)))
}

// move moves what is there to the front of other memory.
func (k *Kept) move(to []byte) {
	k.Work += k.Len()
	k.buf, k.at, k.borrowed = append(to, k.Bytes()...), 0, false
}

// Take notes that the first n bytes are delivered.
func (k *Kept) Take(n int) {
	if n == 0 {
		return
	}
	k.at += n
	k.lineless = max(0, k.lineless-n)
	k.runes, k.runeEnd = 0, 0
}

// PutBack puts data before what is there, as it was before take.
func (k *Kept) PutBack(data []byte) {
	k.Work += len(data)
	if k.at < len(data) || k.borrowed {
		k.Work += k.Len()
		k.buf = append(append(make([]byte, 0, len(data)+k.Len()), data...), k.Bytes()...)
		k.at, k.borrowed = len(data), false
	} else {
		copy(k.buf[k.at-len(data):], data)
	}
	k.at -= len(data)
	k.lineless, k.runes, k.runeEnd = 0, 0, 0
}

// Settle copies what is borrowed, and gives memory back when little of it is used.
func (k *Kept) Settle() {
	switch live := k.Len(); {
	case live == 0:
		k.Clear()
	case k.borrowed || cap(k.buf) > 4*live+slackKept:
		k.move(make([]byte, 0, live))
	}
}

// Clear drops what is there.
func (k *Kept) Clear() { *k = Kept{Work: k.Work} }

// Line is the length of the first line, or of its first limit bytes when it is longer;
// 0: its end is not there yet.
func (k *Kept) Line(limit int) int {
	b := k.Bytes()
	end := min(len(b), limit)
	if k.lineless < end {
		if i := bytes.IndexByte(b[k.lineless:end], '\n'); i >= 0 {
			k.Work += i + 1
			return k.lineless + i + 1
		}
		k.Work += end - k.lineless
		k.lineless = end
	}
	if end == limit {
		return limit
	}
	return 0
}

// Lines is the length of the lines that are complete in the first most bytes, or of the first
// line as Line has it when that is longer; 0: no line is complete.
func (k *Kept) Lines(limit, most int) int {
	n := k.Line(limit)
	if n == 0 {
		return 0
	}
	b := k.Bytes()
	b = b[n:max(n, min(len(b), most))]
	k.Work += len(b)
	return n + bytes.LastIndexByte(b, '\n') + 1
}

// Chars is the length of the first n characters of UTF-8; false: they are not all
// there yet.
func (k *Kept) Chars(n int) (length int, ok bool) {
	if k.runes > n {
		k.runes, k.runeEnd = 0, 0
	}
	b := k.Bytes()
	for ; k.runes < n; k.runes++ {
		if !utf8.FullRune(b[k.runeEnd:]) {
			return 0, false
		}
		_, size := utf8.DecodeRune(b[k.runeEnd:])
		k.runeEnd += size
		k.Work += size
	}
	return k.runeEnd, true
}
