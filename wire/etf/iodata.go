package etf

// maxOpen bounds the nested lists that still lack elements, which take 8 MiB of memory.
const maxOpen = 1 << 20

// AppendIOData appends the bytes of the iodata t: a binary, or a list of integers 0..255, binaries
// and such lists, nested. It fails with ErrTooLarge if t has more than max bytes, and with ErrDepth
// if more than maxOpen lists are nested. On failure it returns dst unchanged.
func AppendIOData(dst []byte, t Raw, max int) ([]byte, error) {
	out, _, err := walkIOData(dst, t, max, true)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// IODataSize returns the number of bytes of the iodata t. It fails with ErrTooLarge if there are
// more than max.
func IODataSize(t Raw, max int) (int, error) {
	_, left, err := walkIOData(nil, t, max, false)
	if err != nil {
		return 0, err
	}
	return max - left, nil
}

// walkIOData walks over the iodata and returns how much of max is left. If write is set, it appends
// the bytes to dst.
func walkIOData(dst []byte, t Raw, max int, write bool) ([]byte, int, error) {
	r := NewReader(t)
	// open has the number of missing elements for each open list. A list that lacks only its tail
	// has no entry, because the end of the tail is the end of the list. So open grows only with
	// lists in lists, and each of these takes 5 bytes of input.
	var few [64]int
	open := few[:0]
	tail := true // neither the whole term nor a tail may be an integer
	for {
		var h head
		if err := h.parse(r.Rest()); err != nil {
			return nil, 0, err
		}
		r.pos += h.size
		switch h.kind {
		case kindNil:
		case kindInt:
			if tail || h.num < 0 || h.num > 255 {
				return nil, 0, errNotIOData
			}
			if max--; max < 0 {
				return nil, 0, ErrTooLarge
			}
			if write {
				dst = append(dst, byte(h.num))
			}
		case kindBinary, kindString:
			if max -= len(h.data); max < 0 {
				return nil, 0, ErrTooLarge
			}
			if write {
				dst = append(dst, h.data...)
			}
		case kindList:
			if len(open) >= maxOpen {
				return nil, 0, ErrDepth
			}
			open = append(open, h.n-1)
			tail = false
			continue
		default:
			return nil, 0, errNotIOData
		}
		last := len(open) - 1
		if last < 0 {
			return dst, max, r.Done()
		}
		open[last]--
		if tail = open[last] == 0; tail {
			open = open[:last]
		}
	}
}
