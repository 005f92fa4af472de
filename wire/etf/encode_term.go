package etf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
)

var (
	errEncodeAtom     = errors.New("etf: cannot encode an atom that is no UTF-8 or too long")
	errEncodeFloat    = errors.New("etf: cannot encode a float that is no finite number")
	errEncodeBits     = errors.New("etf: cannot encode a bit string that has not 1 to 7 bits in a last byte and zeros behind them")
	errEncodeImproper = errors.New("etf: cannot encode an improper list without an element")
	errEncodeRaw      = errors.New("etf: cannot encode a raw term that is not one whole term")
	errEncodeSize     = errors.New("etf: cannot encode a term of more than 2 GiB")
)

// AppendTerm appends any term. On failure it returns dst unchanged. It fails if the term is nested
// more than 128 deep, if Erlang has no such term, or if it is not a Term. Erlang has no map with a
// key twice, no atom of 256 characters and no float that is not a number.
//
// It reads the new bytes again before it returns, since one wrong byte ends the connection. So it
// also finds a Raw that is not one whole term.
func AppendTerm(dst []byte, t Term) ([]byte, error) {
	out, err := appendTerm(dst, t, 0)
	if err != nil {
		return dst, err
	}
	r := NewReader(out[len(dst):])
	if _, err := r.Raw(); err != nil {
		return dst, fmt.Errorf("etf: cannot encode what no node would decode: %v", err)
	}
	if r.Done() != nil {
		return dst, errEncodeRaw
	}
	return out, nil
}

func appendTerm(dst []byte, t Term, depth int) ([]byte, error) {
	switch t := t.(type) {
	case int64:
		return AppendInt(dst, t), nil
	case *big.Int:
		return appendBig(dst, t)
	case float64:
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return nil, errEncodeFloat
		}
		return AppendFloat(dst, t), nil
	case Atom:
		if !t.Valid() {
			return nil, errEncodeAtom
		}
		return AppendAtom(dst, t), nil
	case String:
		return appendString(dst, t)
	case Binary:
		if len(t) > math.MaxInt32 {
			return nil, errEncodeSize
		}
		return AppendBinary(dst, t), nil
	case BitString:
		if t.Bits < 1 || t.Bits > 7 || len(t.Bytes) == 0 || t.Bytes[len(t.Bytes)-1]<<t.Bits != 0 {
			return nil, errEncodeBits
		}
		dst = append(appendHeader(dst, tagBitBinary, len(t.Bytes)), t.Bits)
		return append(dst, t.Bytes...), nil
	case Pid:
		if !t.Node.Valid() {
			return nil, errEncodeAtom
		}
		return AppendPid(dst, t), nil
	case Raw:
		return append(dst, t...), nil
	case List:
		if len(t) == 0 {
			return AppendNil(dst), nil
		}
	}
	if depth >= maxDepth {
		return nil, ErrDepth
	}
	depth++
	switch t := t.(type) {
	case Tuple:
		return appendTerms(AppendTupleHeader(dst, len(t)), t, depth)
	case List:
		dst, err := appendTerms(AppendListHeader(dst, len(t)), t, depth)
		if err != nil {
			return nil, err
		}
		return AppendNil(dst), nil
	case Improper:
		if len(t.Elems) == 0 {
			return nil, errEncodeImproper
		}
		dst, err := appendTerms(AppendListHeader(dst, len(t.Elems)), t.Elems, depth)
		if err != nil {
			return nil, err
		}
		return appendTerm(dst, t.Tail, depth)
	case Map:
		return appendMap(dst, t, depth)
	}
	return nil, fmt.Errorf("etf: cannot encode a %T", t)
}

func appendTerms(dst []byte, ts []Term, depth int) (_ []byte, err error) {
	if len(ts) > math.MaxInt32-1 {
		return nil, errEncodeSize
	}
	for _, t := range ts {
		if dst, err = appendTerm(dst, t, depth); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendBig appends an integer of any size.
func appendBig(dst []byte, z *big.Int) ([]byte, error) {
	if z == nil {
		return nil, errors.New("etf: cannot encode a nil *big.Int")
	}
	if z.IsInt64() {
		return AppendInt(dst, z.Int64()), nil
	}
	n := (z.BitLen() + 7) / 8
	switch {
	case n <= math.MaxUint8:
		dst = append(dst, tagSmallBig, byte(n))
	case n <= maxBigBytes:
		dst = appendHeader(dst, tagLargeBig, n)
	default:
		return nil, errEncodeSize
	}
	sign := byte(0)
	if z.Sign() < 0 {
		sign = 1
	}
	dst = append(dst, sign)
	start := len(dst)
	dst = slices.Grow(dst, n)[:start+n]
	z.FillBytes(dst[start:])
	slices.Reverse(dst[start:])
	return dst, nil
}

// appendString appends a list of bytes. If it is too long for the short form, it is written as a
// List of integers.
func appendString(dst []byte, s String) ([]byte, error) {
	switch {
	case len(s) == 0:
		return AppendNil(dst), nil
	case len(s) <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, tagString), uint16(len(s)))
		return append(dst, s...), nil
	case len(s) > math.MaxInt32:
		return nil, errEncodeSize
	}
	dst = AppendListHeader(dst, len(s))
	for _, c := range s {
		dst = append(dst, tagSmallInt, c)
	}
	return AppendNil(dst), nil
}

func appendMap(dst []byte, m Map, depth int) (_ []byte, err error) {
	if len(m) > math.MaxInt32/2 {
		return nil, errEncodeSize
	}
	dst = AppendMapHeader(dst, len(m))
	for _, p := range m {
		if dst, err = appendTerm(dst, p.Key, depth); err != nil {
			return nil, err
		}
		if dst, err = appendTerm(dst, p.Value, depth); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
