package peer

import "erluv/wire/etf"

const (
	// maxTerm bounds a term of the node that is built, in bytes: the largest request.
	maxTerm = 16 << 20

	// MaxElements is how many elements of lists, tuples and maps it may have. As Go has
	// them they take up to 48 bytes each, whatever they have in the frame. Arguments as
	// lists of characters need most: Linux takes 2 MiB of them.
	MaxElements = 2 << 20
)

// Decode builds what a node has sent.
func Decode(b etf.Raw) (etf.Term, error) {
	if len(b) > maxTerm {
		return nil, etf.ErrTooLarge
	}
	return etf.DecodeUpTo(b, MaxElements)
}
