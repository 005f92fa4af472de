package etf

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The functions in this file append one term, or the head of a term whose parts the caller appends
// next. They allocate no memory, except for the growth of dst.

// AppendAtom appends an atom. It must be Valid, as decoded atoms are. It panics for an atom of more
// than 65535 bytes, whose length has no encoding.
func AppendAtom(dst []byte, a Atom) []byte {
	switch {
	case len(a) <= math.MaxUint8:
		dst = append(dst, tagSmallAtomUTF8, byte(len(a)))
	case len(a) <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, tagAtomUTF8), uint16(len(a)))
	default:
		panic("etf: atom is too long")
	}
	return append(dst, a...)
}

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0 && n <= math.MaxUint8:
		return append(dst, tagSmallInt, byte(n))
	case n >= math.MinInt32 && n <= math.MaxInt32:
		return binary.BigEndian.AppendUint32(append(dst, tagInt), uint32(n))
	case n < 0:
		return appendSmallBig(dst, -uint64(n), 1)
	}
	return appendSmallBig(dst, uint64(n), 0)
}

// AppendUint64 appends an integer.
func AppendUint64(dst []byte, n uint64) []byte {
	if n <= math.MaxInt64 {
		return AppendInt(dst, int64(n))
	}
	return appendSmallBig(dst, n, 0)
}

// appendSmallBig appends an integer without leading zeros. A node accepts no other form: it would
// see a bignum that is unequal to the same small integer.
func appendSmallBig(dst []byte, magnitude uint64, sign byte) []byte {
	n := (bits.Len64(magnitude) + 7) / 8
	dst = append(dst, tagSmallBig, byte(n), sign)
	for range n {
		dst = append(dst, byte(magnitude))
		magnitude >>= 8
	}
	return dst
}

// AppendFloat appends a float. It must be a finite number, because Erlang has no others.
func AppendFloat(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, tagNewFloat), math.Float64bits(f))
}

// AppendBinary appends a binary.
func AppendBinary(dst, b []byte) []byte {
	return append(AppendBinaryHeader(dst, len(b)), b...)
}

// AppendBinaryHeader appends the head of a binary. Its n bytes come next.
func AppendBinaryHeader(dst []byte, n int) []byte {
	return appendHeader(dst, tagBinary, n)
}

// AppendTupleHeader appends the head of a tuple. Its n elements come next.
func AppendTupleHeader(dst []byte, n int) []byte {
	if n <= math.MaxUint8 {
		return append(dst, tagSmallTuple, byte(n))
	}
	return appendHeader(dst, tagLargeTuple, n)
}

// AppendListHeader appends the head of a list. Its n elements and its tail (AppendNil) come next.
// An empty list is only AppendNil.
func AppendListHeader(dst []byte, n int) []byte {
	return appendHeader(dst, tagList, n)
}

// AppendNil appends the empty list.
func AppendNil(dst []byte) []byte { return append(dst, tagNil) }

// AppendMapHeader appends the head of a map. Its n keys and n values come next, each key before its
// value. No key may come twice.
func AppendMapHeader(dst []byte, n int) []byte {
	return appendHeader(dst, tagMap, n)
}

func appendHeader(dst []byte, tag byte, n int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, tag), uint32(n))
}

// AppendPid appends a pid.
func AppendPid(dst []byte, p Pid) []byte {
	dst = AppendAtom(append(dst, tagNewPid), p.Node)
	dst = binary.BigEndian.AppendUint32(dst, p.ID)
	dst = binary.BigEndian.AppendUint32(dst, p.Serial)
	return binary.BigEndian.AppendUint32(dst, p.Creation)
}

// AppendNewRef appends a reference of a node, of 1 to 5 words.
func AppendNewRef(dst []byte, node Atom, creation uint32, words ...uint32) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, tagNewerRef), uint16(len(words)))
	dst = AppendAtom(dst, node)
	dst = binary.BigEndian.AppendUint32(dst, creation)
	for _, w := range words {
		dst = binary.BigEndian.AppendUint32(dst, w)
	}
	return dst
}
