package etf

import (
	"encoding/binary"
	"sync/atomic"
	"unicode/utf8"
)

// parseAtom reads the head of an atom, in any of its four forms.
func (h *head) parseAtom(b []byte) error {
	if len(b) < 2 {
		return errTruncated
	}
	off, n := 2, int(b[1])
	switch b[0] {
	case tagSmallAtomUTF8, tagSmallAtom:
	case tagAtomUTF8, tagAtom:
		if len(b) < 3 {
			return errTruncated
		}
		off, n = 3, int(binary.BigEndian.Uint16(b[1:]))
	default:
		return errNotAtom
	}
	if err := h.leaf(kindAtom, b, off, n); err != nil {
		return err
	}
	h.num = 0
	if ascii(h.data) {
		if n > maxAtomChars {
			return errAtom
		}
		return nil
	}
	if b[0] == tagAtom || b[0] == tagSmallAtom {
		h.num = 1
		if n > maxAtomChars {
			return errAtom
		}
		return nil
	}
	if n > maxAtomBytes || !utf8.Valid(h.data) || utf8.RuneCount(h.data) > maxAtomChars {
		return errAtom
	}
	return nil
}

func ascii(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// atom is the atom of a head of that kind.
func (h *head) atom() Atom {
	if h.num == 0 {
		return intern(h.data)
	}
	var buf [2 * maxAtomChars]byte
	return intern(h.appendUTF8(buf[:0]))
}

// appendUTF8 appends the name of an atom that came in Latin-1.
func (h *head) appendUTF8(b []byte) []byte {
	for _, c := range h.data {
		b = utf8.AppendRune(b, rune(c))
	}
	return b
}

// seen holds atoms that came lately, so that those of every message (the
// peer's name, the words of the protocol) are not allocated each time. It is
// bounded by its size and by that of the atoms in it, 128 KB in all: a sender of
// ever new atoms gains nothing. An atom has its set, in which the newest comes
// first; four, that those of every message do not push each other out.
var seen [128][4]atomic.Pointer[Atom]

// maxSeen is how many bytes an atom in seen may have. Names of nodes are shorter.
const maxSeen = 255

// intern returns the atom of that name, which is valid.
func intern(name []byte) Atom {
	if len(name) > maxSeen {
		return Atom(name)
	}
	hash := uint32(2166136261) // FNV-1a
	for _, c := range name {
		hash = (hash ^ uint32(c)) * 16777619
	}
	set := &seen[(hash^hash>>16)%uint32(len(seen))]
	for i := range set {
		if p := set[i].Load(); p != nil && string(*p) == string(name) {
			return *p
		}
	}
	a := Atom(name)
	for i := len(set) - 1; i > 0; i-- {
		set[i].Store(set[i-1].Load())
	}
	set[0].Store(&a)
	return a
}
