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
// bounded by its size and by that of the atoms in it, 64 KB in all: a sender of
// ever new atoms gains nothing. Two entries make a set; the newer comes first.
var seen [256]atomic.Pointer[Atom]

// intern returns the atom of that name, which is valid.
func intern(name []byte) Atom {
	if len(name) > 255 {
		return Atom(name)
	}
	hash := uint32(2166136261) // FNV-1a
	for _, c := range name {
		hash = (hash ^ uint32(c)) * 16777619
	}
	set := (hash ^ hash>>16) % (uint32(len(seen)) / 2) * 2
	first := seen[set].Load()
	if first != nil && string(*first) == string(name) {
		return *first
	}
	if p := seen[set+1].Load(); p != nil && string(*p) == string(name) {
		return *p
	}
	a := Atom(name)
	seen[set+1].Store(first)
	seen[set].Store(&a)
	return a
}
