package etf

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
)

// A kind is the kind of a term, independent of its tag.
type kind uint8

const (
	kindInt    kind = iota + 1 // num
	kindBig                    // data, the magnitude, little-endian without leading zeros; num: sign
	kindFloat                  // num: the bits
	kindAtom                   // data; num: 1 when it is Latin-1 and not ASCII
	kindNil                    //
	kindString                 // data, not empty
	kindBinary                 // data
	kindBits                   // data, not empty; num: bits used in its last byte, 1..7
	kindPid                    //
	kindOpaque                 // a reference, a port or an external fun
	kindFun                    // n terms follow; num: the size of the whole fun
	kindTuple                  // n terms follow
	kindList                   // n terms follow, including the tail: at least 2
	kindMap                    // n terms follow: keys and values
)

// A head is a term's tag and everything else of the term except the terms inside it. Because of it
// only one place knows the tags: the walks over terms (skip, hash, decode, iodata) know only kinds.
type head struct {
	kind kind
	size int    // bytes, including data
	n    int    // terms that follow; never more than the number of bytes
	num  int64  // see kind
	data []byte // see kind
}

// parse reads the head of the term at the start of b.
func (h *head) parse(b []byte) error {
	if len(b) == 0 {
		return errTruncated
	}
	switch b[0] {
	case tagSmallInt:
		if len(b) < 2 {
			return errTruncated
		}
		h.kind, h.size, h.num = kindInt, 2, int64(b[1])
		return nil
	case tagInt:
		if len(b) < 5 {
			return errTruncated
		}
		h.kind, h.size, h.num = kindInt, 5, int64(int32(binary.BigEndian.Uint32(b[1:])))
		return nil
	case tagSmallBig:
		return h.parseBig(b, 2)
	case tagLargeBig:
		return h.parseBig(b, 5)
	case tagNewFloat:
		if len(b) < 9 {
			return errTruncated
		}
		return h.setFloat(math.Float64frombits(binary.BigEndian.Uint64(b[1:])), 9)
	case tagFloat:
		return h.parseOldFloat(b)
	case tagAtom, tagSmallAtom, tagAtomUTF8, tagSmallAtomUTF8:
		return h.parseAtom(b)
	case tagNil:
		h.kind, h.size = kindNil, 1
		return nil
	case tagString:
		if err := h.leaf(kindString, b, 3, lenAt16(b)); err != nil {
			return err
		}
		if len(h.data) == 0 {
			h.kind = kindNil
		}
		return nil
	case tagBinary:
		return h.leaf(kindBinary, b, 5, lenAt32(b))
	case tagBitBinary:
		return h.parseBits(b)
	case tagSmallTuple:
		if len(b) < 2 {
			return errTruncated
		}
		return h.container(kindTuple, b, 2, int(b[1]))
	case tagLargeTuple:
		n := lenAt32(b)
		if n > maxArity {
			return errTuple
		}
		return h.container(kindTuple, b, 5, n)
	case tagList:
		return h.parseList(b)
	case tagMap:
		n := lenAt32(b)
		if n > len(b)/2 {
			return errTruncated
		}
		return h.container(kindMap, b, 5, 2*n)
	case tagNewPid:
		return h.named(kindPid, b, 1, 12)
	case tagPid:
		return h.old(kindPid, b, 9)
	case tagNewerRef:
		_, err := h.parseRef(b, 4)
		return err
	case tagNewRef:
		return h.parseOldRef(b)
	case tagReference:
		return h.parseOldestRef(b)
	case tagPort:
		return h.old(kindOpaque, b, 5)
	case tagNewPort:
		return h.named(kindOpaque, b, 1, 8)
	case tagV4Port:
		return h.named(kindOpaque, b, 1, 12)
	case tagExport:
		return h.parseExport(b)
	case tagNewFun:
		return h.parseFun(b)
	case tagCompressed:
		return errCompressed
	case tagAtomCacheRef:
		return errAtomCache
	}
	return errTag
}

// lenAt32 returns the length in the four bytes after the tag. It returns -1 if they are missing or
// not a possible length.
func lenAt32(b []byte) int {
	if len(b) < 5 {
		return -1
	}
	n := binary.BigEndian.Uint32(b[1:])
	if n > math.MaxInt32 {
		return -1
	}
	return int(n)
}

// lenAt16 does the same for a length of two bytes.
func lenAt16(b []byte) int {
	if len(b) < 3 {
		return -1
	}
	return int(binary.BigEndian.Uint16(b[1:]))
}

// leaf sets a head of off bytes with n bytes of data after them.
func (h *head) leaf(k kind, b []byte, off, n int) error {
	if n < 0 || n > len(b)-off {
		return errTruncated
	}
	h.kind, h.size = k, off+n
	h.data = b[off : off+n : off+n]
	return nil
}

// container sets a head of off bytes with n terms after them. Each term takes at least one byte.
func (h *head) container(k kind, b []byte, off, n int) error {
	if n < 0 || n > len(b)-off {
		return errTruncated
	}
	h.kind, h.size, h.n = k, off, n
	return nil
}

// parseList reads a list. Like a node, it reads an empty LIST_EXT as its tail, but only if that is
// the empty list.
func (h *head) parseList(b []byte) error {
	n := lenAt32(b)
	if n == 0 {
		if len(b) < 6 {
			return errTruncated
		}
		if b[5] != tagNil {
			return errList
		}
		h.kind, h.size = kindNil, 6
		return nil
	}
	if n < 0 {
		return errTruncated
	}
	return h.container(kindList, b, 5, n+1)
}

// parseBig reads an integer. It uses an int64 if that suffices, because some senders use this form
// for small ones too.
func (h *head) parseBig(b []byte, off int) error {
	n := lenAt32(b)
	if off == 2 && len(b) >= 2 {
		n = int(b[1])
	}
	if len(b) < off+1 {
		return errTruncated
	}
	if b[off] > 1 {
		return errBig
	}
	if err := h.leaf(kindBig, b, off+1, n); err != nil {
		return err
	}
	h.num = int64(b[off])
	for len(h.data) > 0 && h.data[len(h.data)-1] == 0 {
		h.data = h.data[:len(h.data)-1]
	}
	if len(h.data) > maxBigBytes {
		return errBig
	}
	if len(h.data) > 8 {
		return nil
	}
	u, neg := littleUint64(h.data), h.num == 1
	switch {
	case !neg && u <= math.MaxInt64:
		h.kind, h.num = kindInt, int64(u)
	case neg && u <= 1<<63:
		h.kind, h.num = kindInt, -int64(u)
	}
	return nil
}

// littleUint64 reads up to eight bytes.
func littleUint64(b []byte) (u uint64) {
	for i, c := range b {
		u |= uint64(c) << (8 * i)
	}
	return u
}

func (h *head) setFloat(f float64, size int) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return errFloat
	}
	h.kind, h.size, h.num = kindFloat, size, int64(math.Float64bits(f))
	return nil
}

// parseOldFloat reads FLOAT_EXT: 31 bytes of text, padded with zeros.
func (h *head) parseOldFloat(b []byte) error {
	if len(b) < 32 {
		return errTruncated
	}
	text, pad, ended := bytes.Cut(b[1:32], []byte{0})
	if !ended || len(bytes.Trim(pad, "\x00")) != 0 || !printedFloat(text) {
		return errFloat
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return errFloat
	}
	return h.setFloat(f, 32)
}

// printedFloat reports whether text looks like the output of printf("%.20e"): -1.25e+00. A node
// requires the point too. ParseFloat would accept many other texts.
func printedFloat(text []byte) bool {
	text = bytes.TrimPrefix(text, []byte{'-'})
	mantissa, exponent, _ := bytes.Cut(text, []byte{'e'})
	whole, fraction, _ := bytes.Cut(mantissa, []byte{'.'})
	if len(exponent) > 0 && (exponent[0] == '+' || exponent[0] == '-') {
		exponent = exponent[1:]
	}
	return digits(whole) && digits(fraction) && digits(exponent)
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// parseBits reads a bit string. One whose last byte is complete becomes a binary. The unused bits
// must be 0, as nodes write them. Otherwise one bit string could have several forms.
func (h *head) parseBits(b []byte) error {
	if len(b) < 6 {
		return errTruncated
	}
	if err := h.leaf(kindBits, b, 6, lenAt32(b)); err != nil {
		return err
	}
	used := b[5]
	if used < 1 || used > 8 || len(h.data) == 0 || h.data[len(h.data)-1]<<used != 0 {
		return errBits
	}
	if used == 8 {
		h.kind = kindBinary
	}
	h.num = int64(used)
	return nil
}
