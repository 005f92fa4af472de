package etf

import "slices"

// next reads the head of a term that is owed. What it contains is owed then.
//
// All that is owed must fit into the bytes that are left, a byte for each term.
// So, however containers are nested and whatever they claim, no more slots are
// ever made for terms than the input has bytes.
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

// skip passes one term that is owed. It counts terms instead of following
// their nesting, but for maps, whose keys must differ, and funs, which must end
// where they say: depth is how many of these it is in. In maxDepth of them it only
// counts, so the stack is bounded and the nesting is not.
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

// skipMap passes n keys and values.
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

// fewKeys is how many keys of a map are looked at without an allocation: as
// many as a node keeps in its plain form of a map.
const fewKeys = 32

// distinct says whether all hashes differ. It sorts them.
func distinct(keys []uint64) bool {
	slices.Sort(keys)
	for i := 1; i < len(keys); i++ {
		if keys[i] == keys[i-1] {
			return false
		}
	}
	return true
}

// skipFun passes the n terms of a fun: module, index, unique value, pid, free
// variables.
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
