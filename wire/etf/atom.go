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

// atom returns the atom of a head of kindAtom.
func (h *head) atom() Atom {
	if h.num == 0 {
		return intern(h.data)
	}
	var buf [2 * maxAtomChars]byte
	return intern(h.appendUTF8(buf[:0]))
}

// appendUTF8 appends the name of an atom that was sent in Latin-1.
func (h *head) appendUTF8(b []byte) []byte {
	for _, c := range h.data {
		b = utf8.AppendRune(b, rune(c))
	}
	return b
}

// seen holds recent atoms, so that the atoms of every message (the peer's name, the words of the
// protocol) are not allocated each time. The number and the length of its atoms are bounded, to 128
// KB in all, so ever new atoms cannot fill memory. Each atom belongs to a set, with the newest atom
// first. A set has four places, so that frequent atoms do not replace each other.
var seen [128][4]atomic.Pointer[Atom]

// maxSeen bounds the length of an atom in seen, in bytes. Names of nodes are shorter.
const maxSeen = 255

// intern returns the atom with that name, which must be valid.
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
