package etf

import (
	"unicode/utf8"
)

// A Term is one of Atom, Tuple, List, Improper, String, Binary, BitString, Map, int64, *big.Int,
// float64, Pid and Raw.
//
// Each Erlang term has only one form. An integer that fits is an int64. The empty list is
// List(nil). An empty tuple, binary or map is not nil.
type Term any

// An Atom is the name of an atom, in UTF-8: at most 255 characters.
type Atom string

// Valid reports whether a node would accept the atom.
func (a Atom) Valid() bool {
	return len(a) <= maxAtomBytes && utf8.ValidString(string(a)) &&
		(len(a) <= maxAtomChars || utf8.RuneCountInString(string(a)) <= maxAtomChars)
}

// A Tuple is {A, B, ...}.
type Tuple []Term

// A List is a proper list. The empty list is nil.
type List []Term

// An Improper list is [A, B | Tail]: it has an element and a tail that is not a list.
type Improper struct {
	Elems []Term
	Tail  Term
}

// A String is a list of 1 to 65535 integers 0..255 in the form in which the node sent it: one byte
// each. It is the same Erlang term as the List of these integers.
type String []byte

// A Binary is a binary. A decoded one aliases the input.
type Binary []byte

// A BitString is a bit string with an incomplete last byte. Of that byte only the highest Bits
// (1..7) are used. The others are 0.
type BitString struct {
	Bytes []byte
	Bits  uint8
}

// A Map is a map, with its pairs in the order in which they were sent. No key comes twice.
type Map []Pair

// A Pair is one association of a Map.
type Pair struct{ Key, Value Term }

// A Pid names a process. It is comparable: equal pids name the same process.
type Pid struct {
	Node                 Atom
	ID, Serial, Creation uint32
}

// Raw is one whole term in its encoded form, without the version byte. It encodes as itself. Decode
// returns references, ports and funs in this form.
type Raw []byte

// Text returns the text of a term, if Erlang programmers would call it a text. A binary's bytes are
// kept unchanged. A list of Unicode code points becomes UTF-8. The result is false for any other
// term, including lists with binaries or lists in them.
func Text(t Term) (string, bool) {
	switch t := t.(type) {
	case Binary:
		return string(t), true
	case String:
		b := make([]byte, 0, len(t))
		for _, c := range t {
			b = utf8.AppendRune(b, rune(c))
		}
		return string(b), true
	case List:
		b := make([]byte, 0, len(t))
		for _, e := range t {
			c, ok := e.(int64)
			if !ok || c < 0 || c > utf8.MaxRune || !utf8.ValidRune(rune(c)) {
				return "", false
			}
			b = utf8.AppendRune(b, rune(c))
		}
		return string(b), true
	}
	return "", false
}

// Elements returns the elements of a proper list. A node sends a list of small integers as a
// string, so a String counts too.
func Elements(t Term) (List, bool) {
	switch t := t.(type) {
	case List:
		return t, true
	case String:
		l := make(List, len(t))
		for i, c := range t {
			l[i] = int64(c)
		}
		return l, true
	}
	return nil, false
}
