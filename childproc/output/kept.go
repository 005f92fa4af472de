package output

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// Kept has bytes of a stream that were read and not delivered: the beginning of a packet, or bytes
// that no call has requested yet. Each byte is copied and inspected a bounded number of times, in
// any number of pieces. For that, memory doubles when it grows, and the result of a search in the
// first bytes is remembered.
type Kept struct {
	buf      []byte
	at       int  // bytes before it were delivered
	borrowed bool // buf belongs to the caller of Add until Settle

	lineless int // bytes from at on without a line end
	runes    int // UTF-8 characters known from at on
	runeEnd  int // the bytes of these characters

	Work int // bytes copied and inspected since the beginning; tests of the cost read it
}

// ScratchSize is how many bytes are read at once if output is not passed on directly.
const ScratchSize = 64 << 10

// slackKept is how many bytes of a large buffer may be unused, besides three times its content.
const slackKept = 4 << 10

// Bytes returns the content. It is valid until the next call that changes it.
func (k *Kept) Bytes() []byte { return k.buf[k.at:] }

// Len is the length of the content, in bytes.
func (k *Kept) Len() int { return len(k.buf) - k.at }

// Add appends data. If the Kept is empty, it borrows data. Settle then copies the bytes that were
// not delivered by then.
func (k *Kept) Add(data []byte) {
	if k.Len() == 0 {
		k.buf, k.at, k.borrowed = data, 0, true
		return
	}
	k.grow(len(data), math.MaxInt)
	k.buf = append(k.buf, data...)
	k.Work += len(data)
}

// Space is where the next bytes can be read: at most limit bytes, and no more than missing. They
// count after Extend.
func (k *Kept) Space(limit, missing int) []byte {
	limit = min(limit, missing)
	n := len(k.buf)
	if cap(k.buf)-n < (limit+1)/2 || k.borrowed {
		k.grow(limit, missing)
		n = len(k.buf)
	}
	return k.buf[n : n+min(cap(k.buf)-n, limit)]
}

// Extend takes over n bytes that were read into Space.
func (k *Kept) Extend(n int) { k.buf = k.buf[:len(k.buf)+n] }

// grow makes room for n more bytes. It allocates at least as much again as there is, but no more
// than missing.
func (k *Kept) grow(n, missing int) {
	if cap(k.buf)-len(k.buf) >= n && !k.borrowed {
		return
	}
	live := k.Len()
	if k.at >= live && cap(k.buf)-live >= n && !k.borrowed { // paid for by the delivered bytes
		k.move(k.buf[:0])
		return
	}
	more := max(n, live)
	k.move(make([]byte, 0, live+min(more, missing)))
}

// move moves the content to the front of other memory.
func (k *Kept) move(to []byte) {
	k.Work += k.Len()
	k.buf, k.at, k.borrowed = append(to, k.Bytes()...), 0, false
}

// Take removes the first n bytes, which are delivered.
func (k *Kept) Take(n int) {
	if n == 0 {
		return
	}
	k.at += n
	k.lineless = max(0, k.lineless-n)
	k.runes, k.runeEnd = 0, 0
}

// PutBack undoes a Take of data.
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

// Settle copies borrowed bytes, and frees memory of which little is used.
func (k *Kept) Settle() {
	switch live := k.Len(); {
	case live == 0:
		k.Clear()
	case k.borrowed || cap(k.buf) > 4*live+slackKept:
		k.move(make([]byte, 0, live))
	}
}

// Clear drops the content.
func (k *Kept) Clear() { *k = Kept{Work: k.Work} }

// Line returns the length of the first line, or limit if the line is longer. It returns 0 if the
// line is incomplete.
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

// Lines returns the length of the complete lines in the first most bytes. It returns at least the
// first line's length, as Line does. It returns 0 if no line is complete.
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

// Chars returns the length of the first n characters of UTF-8. ok is false if there are fewer.
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
