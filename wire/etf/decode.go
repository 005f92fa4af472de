package etf

import (
	"math"
	"math/big"
	"slices"
)

// Terms without elements are shared.
var (
	emptyList  Term = List(nil)
	emptyTuple Term = Tuple{}
	emptyMap   Term = Map{}
)

// Decode builds the term in b, which has no version byte and no other bytes. Nesting is limited to
// 128. Memory is limited to 24 times the length of b, whichever sizes b claims. Binaries, strings
// and raw terms alias b.
//
// Besides malformed terms, Decode refuses compressed terms, references to an atom cache, and tags
// that no node since OTP 23 writes or reads. It refuses atoms that are not UTF-8 or longer than 255
// characters, floats that are not numbers, and maps with a key twice.
func Decode(b []byte) (Term, error) { return DecodeUpTo(b, len(b)) }

// DecodeUpTo is Decode with a bound on the elements of tuples, lists and maps. For a term with more
// it fails with ErrTooMany. Memory is limited to 48 bytes for each element.
func DecodeUpTo(b []byte, elements int) (Term, error) {
	r := NewReader(b)
	raw, err := r.Raw()
	if err != nil {
		return nil, err
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	whole := NewReader(raw)
	whole.room = elements
	return whole.term(0)
}

// term builds the next term. Raw has checked it, so only its depth can be an error.
func (r *Reader) term(depth int) (Term, error) {
	start := r.pos
	var h head
	if err := h.parse(r.buf[start:]); err != nil {
		return nil, err
	}
	r.pos += h.size
	switch h.kind {
	case kindInt:
		return h.num, nil
	case kindBig:
		return h.big(), nil
	case kindFloat:
		return math.Float64frombits(uint64(h.num)), nil
	case kindAtom:
		return h.atom(), nil
	case kindNil:
		return emptyList, nil
	case kindString:
		return String(h.data), nil
	case kindBinary:
		return Binary(h.data), nil
	case kindBits:
		return BitString{Bytes: h.data, Bits: uint8(h.num)}, nil
	case kindPid:
		return pidAt(r.buf[start:]), nil
	case kindFun:
		if depth >= maxDepth {
			return nil, ErrDepth // Raw has not checked where it ends
		}
		r.pos = start + int(h.num)
		return Raw(r.buf[start:r.pos:r.pos]), nil
	case kindOpaque:
		return Raw(r.buf[start:r.pos:r.pos]), nil
	}
	if depth >= maxDepth {
		return nil, ErrDepth
	}
	if r.room -= h.n; r.room < 0 {
		return nil, ErrTooMany
	}
	switch h.kind {
	case kindTuple:
		return r.tuple(h.n, depth+1)
	case kindList:
		return r.list(h.n-1, depth+1)
	}
	return r.mapping(h.n/2, depth+1)
}

// big returns the integer of a head of kindBig.
func (h *head) big() *big.Int {
	be := slices.Clone(h.data)
	slices.Reverse(be)
	z := new(big.Int).SetBytes(be)
	if h.num == 1 {
		z.Neg(z)
	}
	return z
}

func (r *Reader) tuple(n, depth int) (Term, error) {
	if n == 0 {
		return emptyTuple, nil
	}
	t := make(Tuple, n)
	var err error
	for i := range t {
		if t[i], err = r.term(depth); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// list builds n elements and the tail. A tail that is a list continues it, without more depth.
func (r *Reader) list(n, depth int) (Term, error) {
	l := make(List, 0, n)
	for {
		for range n {
			e, err := r.term(depth)
			if err != nil {
				return nil, err
			}
			l = append(l, e)
		}
		var tail head
		if err := tail.parse(r.Rest()); err != nil {
			return nil, err
		}
		switch tail.kind {
		case kindList:
			if n = tail.n - 1; tail.n > r.room {
				return nil, ErrTooMany
			}
			r.room -= tail.n
		case kindNil, kindString:
			if r.room -= len(tail.data); r.room < 0 {
				return nil, ErrTooMany
			}
			for _, c := range tail.data {
				l = append(l, int64(c))
			}
			r.pos += tail.size
			return l, nil
		default:
			t, err := r.term(depth)
			if err != nil {
				return nil, err
			}
			return Improper{Elems: l, Tail: t}, nil
		}
		r.pos += tail.size
	}
}

func (r *Reader) mapping(n, depth int) (Term, error) {
	if n == 0 {
		return emptyMap, nil
	}
	m := make(Map, n)
	var err error
	for i := range m {
		if m[i].Key, err = r.term(depth); err != nil {
			return nil, err
		}
		if m[i].Value, err = r.term(depth); err != nil {
			return nil, err
		}
	}
	return m, nil
}
