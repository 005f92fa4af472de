package etf

// maxOpen bounds the lists that are in one another and lack elements: 8 MiB of memory.
const maxOpen = 1 << 20

// AppendIOData appends the bytes that the iodata t stands for: a binary, or a
// list of integers 0..255, binaries and such lists, nested.
// It fails with ErrTooLarge rather than append more than max bytes, and with ErrDepth
// where more than maxOpen lists are in one another. When it fails, dst is returned as it
// came.
func AppendIOData(dst []byte, t Raw, max int) ([]byte, error) {
	out, _, err := walkIOData(dst, t, max, true)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// IODataSize is how many bytes the iodata t stands for; more than max are
// ErrTooLarge.
func IODataSize(t Raw, max int) (int, error) {
	_, left, err := walkIOData(nil, t, max, false)
	if err != nil {
		return 0, err
	}
	return max - left, nil
}

// walkIOData passes over the iodata, appends what it finds to dst if it is to
// write, and returns how much of max is left.
func walkIOData(dst []byte, t Raw, max int, write bool) ([]byte, int, error) {
	r := NewReader(t)
	// open counts for each list that is open the elements that it lacks. There is
	// no entry for a list that lacks its tail only: what ends that ends the list.
	// So it grows with lists in lists, each of which takes 5 bytes of the input.
	var few [64]int
	open := few[:0]
	tail := true // neither the whole nor a tail may be an integer
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
