package etf

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"testing"
)

// nest wraps the empty list n times.
func nest(n int, open, shut string) []byte {
	b := bytes.Repeat([]byte(open), n)
	return append(append(b, tagNil), bytes.Repeat([]byte(shut), n)...)
}

func TestDepth(t *testing.T) {
	for _, c := range []struct {
		name, open, shut string
	}{
		{"tuple", "\x68\x01", ""},
		{"list", "\x6C\x00\x00\x00\x01", "\x6A"},
		{"tail behind a list", "\x68\x01\x6C\x00\x00\x00\x01\x6A", ""},
		{"value of a map", "\x74\x00\x00\x00\x01\x6A", ""},
		{"key of a map", "\x74\x00\x00\x00\x01", "\x6A"},
	} {
		per := 1
		if c.name == "tail behind a list" {
			per = 2 // a tuple, and a list whose tail is the rest
		}
		most := nest(maxDepth/per, c.open, c.shut)
		term, err := Decode(most)
		if err != nil {
			t.Errorf("%s: %d deep: %v", c.name, maxDepth, err)
		}
		if out, err := AppendTerm(nil, term); err != nil {
			t.Errorf("%s: %d deep: encode: %v", c.name, maxDepth, err)
		} else if again, err := Decode(out); err != nil || text(again) != text(term) {
			t.Errorf("%s: %d deep: encoded, it is another term: %v", c.name, maxDepth, err)
		}
		if _, err := AppendTerm(nil, Tuple{term}); err != ErrDepth {
			t.Errorf("%s: %d deep: encode gave %v, want %v", c.name, maxDepth+1, err, ErrDepth)
		}
		for _, n := range []int{maxDepth/per + 1, 1_000_000} {
			more := nest(n, c.open, c.shut)
			if _, err := Decode(more); err != ErrDepth {
				t.Errorf("%s: %d deep: %v, want %v", c.name, n, err, ErrDepth)
			}
			r := NewReader(more)
			if raw, err := r.Raw(); err != nil || len(raw) != len(more) {
				t.Errorf("%s: Raw, %d deep: %d of %d bytes, %v", c.name, n, len(raw), len(more), err)
			}
		}
	}
}

// A list may be sent as many heads, each the tail of the one before. That takes no depth.
func TestListOfManyHeads(t *testing.T) {
	const n = 100_000
	b := append(bytes.Repeat([]byte("\x6C\x00\x00\x00\x01\x61\x07"), n), tagNil)
	term, err := Decode(b)
	if l, ok := term.(List); err != nil || !ok || len(l) != n {
		t.Errorf("%T, %v, want a list of %d", term, err, n)
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// perByte bounds the memory that Decode allocates for a byte of its input, including garbage. An
// element takes 16 bytes in a slice. It may be a slice itself, of two more words for each two bytes
// of input. So Decode can come close to the bound.
const perByte = 24

// slack allows for memory that is allocated once, and for other goroutines.
const slack = 16 << 10

func TestDecodeAllocatesInProportion(t *testing.T) {
	const n = 100_000
	list := func(elem string) []byte {
		b := AppendListHeader(nil, n)
		b = append(b, bytes.Repeat([]byte(elem), n)...)
		return AppendNil(b)
	}
	distinct := AppendListHeader(nil, n)
	bigMap := AppendMapHeader(nil, n)
	for i := range n {
		distinct = AppendAtom(distinct, Atom(fmt.Sprintf("%x", i)))
		bigMap = AppendNil(AppendInt(bigMap, int64(i)))
	}
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"empty lists", list("\x6A")},
		{"small integers", list("\x61\xFF")},
		{"integers", list("\x62\x7F\xFF\xFF\xFF")},
		{"bignums", list("\x6E\x09\x00\x01\x01\x01\x01\x01\x01\x01\x01\x01")},
		{"empty tuples", list("\x68\x00")},
		{"tuples of one", list("\x68\x01\x6A")},
		{"tuples in tuples", list("\x68\x01\x68\x01\x6A")},
		{"lists of one", list("\x6C\x00\x00\x00\x01\x6A\x6A")},
		{"empty maps", list("\x74\x00\x00\x00\x00")},
		{"maps of one", list("\x74\x00\x00\x00\x01\x6A\x6A")},
		{"binaries", list("\x6D\x00\x00\x00\x00")},
		{"strings", list("\x6B\x00\x01a")},
		{"same atoms", list("\x77\x01a")},
		{"other atoms", AppendNil(distinct)},
		{"pids", list("\x58\x77\x00abcdabcdabcd")},
		{"improper lists", list("\x6C\x00\x00\x00\x01\x6A\x61\x01")},
		{"list of many heads", nest(n, "\x6C\x00\x00\x00\x01\x61\x07", "")},
		{"large map", bigMap},
		{"one binary", AppendBinary(nil, make([]byte, n))},
		{"large map as key", append(append(AppendMapHeader(nil, 1), bigMap...), tagNil)},
	} {
		got := allocated(func() { Decode(c.b) })
		t.Logf("%-20s %8d bytes of input, %5.1f allocated for each", c.name, len(c.b), float64(got)/float64(len(c.b)))
		if got > uint64(perByte*len(c.b)+slack) {
			t.Errorf("%s: %d bytes of input made Decode allocate %d", c.name, len(c.b), got)
		}
	}
}

// Terms that claim a large size without having it cost nothing. The exception is a map that claims
// as many keys as the bytes allow, which costs 8 bytes for each key.
func TestBombs(t *testing.T) {
	const rest = 1 << 20
	claims := func(head string, times int) []byte {
		return append(bytes.Repeat([]byte(head), times), bytes.Repeat([]byte{tagSmallTuple, 1}, rest/2)...)
	}
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"list", []byte("\x6C\x7F\xFF\xFF\xFF")},
		{"tuple", []byte("\x69\xFF\xFF\xFF\xFF")},
		{"map", []byte("\x74\x7F\xFF\xFF\xFF")},
		{"binary", []byte("\x6D\xFF\xFF\xFF\xFF")},
		{"integer", []byte("\x6F\xFF\xFF\xFF\xFF\x00")},
		{"fun", unhex(t, "70 FFFFFFFF"+funHex+"FFFFFFFF 770161")},
		{"lists in lists", claims("\x6C\x00\x0F\xFF\xFF", 100)},
		{"tuples in tuples", claims("\x69\x00\x0F\xFF\xFF", 100)},
		{"maps in maps", claims("\x74\x00\x07\xFF\xFF", 100)},
		{"five bytes of ergo's", []byte("\x69\xFF\xFF\xFF\x01")},
	} {
		var err error
		got := allocated(func() { _, err = Decode(c.b) })
		if err == nil || errors.Is(err, ErrDepth) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got > uint64(4*len(c.b)+slack) {
			t.Errorf("%s: %d bytes that are no term made Decode allocate %d", c.name, len(c.b), got)
		}
	}
}
