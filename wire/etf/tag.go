package etf

import "errors"

// Tags of the external term format. Those marked old are accepted and never written.
const (
	tagNewFloat      = 70
	tagBitBinary     = 77
	tagCompressed    = 80 // refused: a few bytes could ask for any amount of memory
	tagAtomCacheRef  = 82 // refused: this node does not negotiate DIST_HDR_ATOM_CACHE
	tagNewPid        = 88
	tagNewPort       = 89
	tagNewerRef      = 90
	tagSmallInt      = 97
	tagInt           = 98
	tagFloat         = 99  // old: text of 31 bytes
	tagAtom          = 100 // old: Latin-1; term_to_binary wrote it before OTP 26
	tagReference     = 101 // old
	tagPort          = 102 // old
	tagPid           = 103 // old
	tagSmallTuple    = 104
	tagLargeTuple    = 105
	tagNil           = 106
	tagString        = 107
	tagList          = 108
	tagBinary        = 109
	tagSmallBig      = 110
	tagLargeBig      = 111
	tagNewFun        = 112
	tagExport        = 113
	tagNewRef        = 114 // old
	tagSmallAtom     = 115 // old: Latin-1
	tagMap           = 116
	tagAtomUTF8      = 118
	tagSmallAtomUTF8 = 119
	tagV4Port        = 120
)

const (
	// maxDepth bounds the nesting of terms that are built (Decode) and written (AppendTerm),
	// because later code walks built terms by recursion. Requests nest five deep, and an exit
	// reason with a gb_tree in it 60. A list's tail counts as its last element.
	maxDepth = 128

	// maxAtomChars is the node's own limit, in characters (erts MAX_ATOM_CHARACTERS).
	maxAtomChars = 255

	// maxAtomBytes is the size of maxAtomChars characters in UTF-8.
	maxAtomBytes = 4 * maxAtomChars

	// maxRefWords is the node's own limit (erts ERTS_MAX_REF_NUMBERS).
	maxRefWords = 5

	// maxArity is the node's own limit for a tuple (erts MAX_ARITYVAL).
	maxArity = 1<<24 - 1

	// maxBigBytes is the size of the largest integer that OTP 27 and 29 accept: 65535 words.
	maxBigBytes = 65535 * 8

	// maxOldCreation and maxOldRef (the first word of a reference) are the largest values that a
	// node accepts in old identifiers, which have fewer bits.
	maxOldCreation = 3
	maxOldRef      = 1<<18 - 1

	// maxSmall is the largest integer that is not a bignum in a node of 64 bits.
	maxSmall = 1<<59 - 1
)

var (
	// ErrDepth says that a term is nested more deeply than Decode builds. Reader.Raw accepts such
	// terms.
	ErrDepth = errors.New("etf: term is nested too deeply")

	// ErrTooMany says that a term has more elements than the caller of DecodeUpTo allows.
	ErrTooMany = errors.New("etf: term has too many elements")

	// ErrTooLarge says that iodata has more bytes than the caller allows.
	ErrTooLarge = errors.New("etf: iodata is too large")
)

var (
	errTruncated  = errors.New("etf: term is truncated")
	errTrailing   = errors.New("etf: bytes follow the term")
	errTag        = errors.New("etf: unknown tag")
	errCompressed = errors.New("etf: compressed term refused")
	errAtomCache  = errors.New("etf: reference to an atom cache that was not agreed on")
	errAtom       = errors.New("etf: malformed atom")
	errFloat      = errors.New("etf: malformed float")
	errBig        = errors.New("etf: malformed integer")
	errBits       = errors.New("etf: malformed bit string")
	errRef        = errors.New("etf: malformed reference")
	errCreation   = errors.New("etf: malformed creation")
	errTuple      = errors.New("etf: tuple is too large")
	errFun        = errors.New("etf: malformed fun")
	errList       = errors.New("etf: malformed list")
	errDuplicate  = errors.New("etf: map has the same key twice")

	errNotAtom   = errors.New("etf: not an atom")
	errNotBinary = errors.New("etf: not a binary")
	errNotInt    = errors.New("etf: not an integer")
	errNotIOData = errors.New("etf: not iodata")
	errNotList   = errors.New("etf: not a list")
	errNotMap    = errors.New("etf: not a map")
	errNotNil    = errors.New("etf: not the end of a list")
	errNotPid    = errors.New("etf: not a pid")
	errNotTuple  = errors.New("etf: not a tuple")
	errRange     = errors.New("etf: integer out of range")
)
