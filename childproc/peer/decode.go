package peer

import "erluv/wire/etf"

const (
	// maxTerm is the largest term of the node that is decoded, in bytes. The largest request has
	// that size.
	maxTerm = 16 << 20

	// MaxElements is the maximum number of elements that the lists, tuples and maps of a term of
	// the node may have in all. Each takes up to 48 bytes of Go's memory, even if it is small in
	// the frame. Arguments as lists of characters need the most, as Linux takes 2 MiB of them.
	MaxElements = 2 << 20
)

// Decode decodes a term that a node has sent. If the term exceeds a bound, the error is
// etf.ErrTooLarge or etf.ErrTooMany.
func Decode(b etf.Raw) (etf.Term, error) {
	if len(b) > maxTerm {
		return nil, etf.ErrTooLarge
	}
	return etf.DecodeUpTo(b, MaxElements)
}
