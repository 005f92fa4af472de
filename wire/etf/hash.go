package etf

import (
	"hash/maphash"
	"math/bits"
)

// Keys of a map are compared by a hash of 64 bits that is the same for all forms of a term. An
// integer may have one byte or five, an atom may be in Latin-1 or in UTF-8, and a string may be a
// list. Equal keys always have equal hashes. In a map of a million keys, the chance of equal hashes
// of different keys is 1 in 10^7, and the map is then refused. References, ports and funs are
// compared byte for byte, as everywhere in this package. So are terms inside more than maxDepth
// terms.
var hashSeed = maphash.MakeSeed()

// mix adds a value to a hash.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, v^0xc2b2ae3d27d4eb4f)
	return hi ^ lo ^ bits.RotateLeft64(h, 23)
}

// mixBytes adds bytes to a hash.
func mixBytes(h uint64, b []byte) uint64 {
	return mix(h, maphash.Bytes(hashSeed, b))
}

// hash skips one term that is owed, as skip does, and returns its hash.
func (r *Reader) hash(depth int) (uint64, error) {
	start := r.pos
	var h head
	if err := r.next(&h); err != nil {
		return 0, err
	}
	seed := mix(0, uint64(h.kind))
	if depth >= maxDepth && h.kind >= kindFun {
		for range h.n {
			if err := r.skip(depth); err != nil {
				return 0, err
			}
		}
		return mixBytes(seed, r.buf[start:r.pos]), nil
	}
	switch h.kind {
	case kindNil:
		return seed, nil
	case kindInt, kindFloat:
		return mix(seed, uint64(h.num)), nil
	case kindBig, kindBits:
		return mixBytes(mix(seed, uint64(h.num)), h.data), nil
	case kindAtom:
		if h.num == 0 {
			return mixBytes(seed, h.data), nil
		}
		var buf [2 * maxAtomChars]byte
		return mixBytes(seed, h.appendUTF8(buf[:0])), nil
	case kindBinary:
		return mixBytes(seed, h.data), nil
	case kindString:
		return mix(hashString(mix(0, uint64(kindList)), h.data), mix(0, uint64(kindNil))), nil
	case kindPid:
		p := pidAt(r.buf[start:])
		return mix(mix(mixBytes(seed, []byte(p.Node)), uint64(p.ID)<<32|uint64(p.Serial)), uint64(p.Creation)), nil
	case kindFun:
		if err := r.skipFun(h.n, depth+1); err != nil {
			return 0, err
		}
		if r.pos-start != int(h.num) {
			return 0, errFun
		}
		return mixBytes(seed, r.buf[start:r.pos]), nil
	case kindOpaque:
		return mixBytes(seed, r.buf[start:r.pos]), nil
	}
	switch h.kind {
	case kindTuple:
		return r.hashSeq(mix(seed, uint64(h.n)), h.n, depth+1)
	case kindList:
		return r.hashList(seed, h.n-1, depth+1)
	}
	return r.hashMap(mix(seed, uint64(h.n)), h.n/2, depth+1)
}

// hashSeq adds n terms to the hash.
func (r *Reader) hashSeq(sum uint64, n, depth int) (uint64, error) {
	for range n {
		e, err := r.hash(depth)
		if err != nil {
			return 0, err
		}
		sum = mix(sum, e)
	}
	return sum, nil
}

// hashList adds n elements and the tail to the hash. A tail that is a list only continues the first
// list.
func (r *Reader) hashList(sum uint64, n, depth int) (uint64, error) {
	for {
		var err error
		if sum, err = r.hashSeq(sum, n, depth); err != nil {
			return 0, err
		}
		var tail head
		if err := tail.parse(r.buf[r.pos:]); err != nil {
			return 0, err
		}
		if tail.kind != kindList && tail.kind != kindString {
			return r.hashSeq(sum, 1, depth)
		}
		if err := r.next(&tail); err != nil {
			return 0, err
		}
		if tail.kind == kindString {
			return mix(hashString(sum, tail.data), mix(0, uint64(kindNil))), nil
		}
		n = tail.n - 1
	}
}

// hashString adds the integers of a string to the hash of a list.
func hashString(sum uint64, s []byte) uint64 {
	for _, c := range s {
		sum = mix(sum, mix(mix(0, uint64(kindInt)), uint64(c)))
	}
	return sum
}

// hashMap adds n keys and values to the hash, in an order-independent way.
func (r *Reader) hashMap(sum uint64, n, depth int) (uint64, error) {
	var few [fewKeys]uint64
	keys := few[:0]
	if n > len(few) {
		keys = make([]uint64, 0, n)
	}
	for range n {
		key, err := r.hash(depth)
		if err != nil {
			return 0, err
		}
		value, err := r.hash(depth)
		if err != nil {
			return 0, err
		}
		keys = append(keys, key)
		sum += mix(mix(1, key), value)
	}
	if !distinct(keys) {
		return 0, errDuplicate
	}
	return mix(sum, uint64(n)), nil
}
