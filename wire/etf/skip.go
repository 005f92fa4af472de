package etf

import "slices"

// next reads the head of a term that is owed. The terms inside it are owed then.
//
// All owed terms must fit into the bytes that are left, one byte for each term. So the number of
// slots for terms never exceeds the number of input bytes, even if the input claims larger sizes.
func (r *Reader) next(h *head) error {
	if err := h.parse(r.buf[r.pos:]); err != nil {
		return err
	}
	r.pos += h.size
	r.owed--
	if h.kind >= kindFun {
		r.owed += h.n
		if r.owed > len(r.buf)-r.pos {
			return errTruncated
		}
	}
	return nil
}

// skip skips one term that is owed. It counts terms and does not follow their nesting, except for
// maps and funs. The keys of a map must differ, and a fun must end where it says. The argument
// depth is the number of maps and funs around the term. At maxDepth skip only counts, so the stack
// is bounded and the nesting is not.
func (r *Reader) skip(depth int) error {
	for end := r.owed - 1; r.owed > end; {
		start := r.pos
		var h head
		if err := r.next(&h); err != nil {
			return err
		}
		switch {
		case depth >= maxDepth:
		case h.kind == kindMap:
			if err := r.skipMap(h.n/2, depth+1); err != nil {
				return err
			}
		case h.kind == kindFun:
			if err := r.skipFun(h.n, depth+1); err != nil {
				return err
			}
			if r.pos-start != int(h.num) {
				return errFun
			}
		}
	}
	return nil
}

// skipMap skips n keys and values.
func (r *Reader) skipMap(n, depth int) error {
	var few [fewKeys]uint64
	keys := few[:0]
	if n > len(few) {
		keys = make([]uint64, 0, n)
	}
	for range n {
		key, err := r.hash(depth)
		if err != nil {
			return err
		}
		keys = append(keys, key)
		if err := r.skip(depth); err != nil {
			return err
		}
	}
	if !distinct(keys) {
		return errDuplicate
	}
	return nil
}

// fewKeys is the number of keys of a map that are compared without an allocation. A node's plain
// form of a map has as many.
const fewKeys = 32

// distinct reports whether all hashes differ. It sorts them.
func distinct(keys []uint64) bool {
	slices.Sort(keys)
	for i := 1; i < len(keys); i++ {
		if keys[i] == keys[i-1] {
			return false
		}
	}
	return true
}

// skipFun skips the n terms of a fun: module, index, unique value, pid, free variables.
func (r *Reader) skipFun(n, depth int) error {
	for _, want := range [...]kind{kindAtom, kindInt, kindInt, kindPid} {
		var h head
		if err := r.next(&h); err != nil {
			return err
		}
		if h.kind != want || want == kindInt && (h.num > maxSmall || h.num < -maxSmall-1) {
			return errFun
		}
	}
	for range n - 4 {
		if err := r.skip(depth); err != nil {
			return err
		}
	}
	return nil
}
