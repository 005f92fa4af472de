// Package consult reads Erlang terms from files, like file:consult/1: one after the other, each
// ended by a full stop. It accepts the terms that configuration is written in: atoms, numbers,
// strings, binaries, tuples and proper lists. Maps, funs, variables and triple-quoted strings are
// errors. Every error names the line.
//
//	consult.go  the terms, the parser, and how a term is printed
//	token.go    the tokens: numbers, quoted texts, escapes
//
// It does not interpret the terms.
package consult

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// These limits bound a text, since its reader holds it in memory and the parser is recursive.
const (
	MaxSize  = 64 << 10 // bytes
	maxDepth = 32       // lists and tuples within each other
)

// Kind is the kind of a Term.
type Kind uint8

// The kinds of terms.
const (
	Atom    Kind = iota + 1
	Integer      // of 64 bits
	Float
	String
	Binary
	Tuple
	List
)

func (k Kind) String() string {
	return [...]string{"nothing", "an atom", "an integer", "a float", "a string", "a binary", "a tuple", "a list"}[k]
}

// Term is one term.
type Term struct {
	Line  int // its first line, from 1
	Kind  Kind
	Text  string // of an Atom or a String, in UTF-8; the bytes of a Binary; a Float's digits
	Int   int64
	Items []Term // of a Tuple or a List
}

// Error says what is wrong with a text.
type Error struct {
	Line int
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// Parse reads all terms of a text in UTF-8. Its error is an *Error.
func Parse(text []byte) ([]Term, error) {
	if len(text) > MaxSize {
		return nil, &Error{1, fmt.Sprintf("the text has %d bytes, the limit is %d", len(text), MaxSize)}
	}
	p := parser{rest: string(text), line: 1}
	var terms []Term
	for {
		if err := p.next(); err != nil {
			return nil, err
		}
		if p.is == end {
			return terms, nil
		}
		t, err := p.term(0)
		if err != nil {
			return nil, err
		}
		if p.is != stop {
			return nil, p.errorf("%s comes after a term, instead of a full stop", p.is)
		}
		terms = append(terms, t)
	}
}

// parser reads the tokens of rest.
type parser struct {
	rest string
	line int // the line at the beginning of rest

	is token // the one that it has read
	at int   // its line
	t  Term
}

// token is a sign, or a word for several signs.
type token string

const (
	end   token = "the end of the text"
	stop  token = "a full stop"
	value token = "a value" // the value is in parser.t
)

func (p *parser) errorf(format string, args ...any) error {
	return &Error{p.at, fmt.Sprintf(format, args...)}
}

// term reads the term that begins with the present token, and then the token after it.
func (p *parser) term(depth int) (t Term, err error) {
	if depth > maxDepth {
		return t, p.errorf("lists and tuples stand more than %d deep within each other", maxDepth)
	}
	switch p.is {
	case value:
		t = p.t
		if err := p.next(); err != nil {
			return t, err
		}
		if t.Kind != String {
			return t, nil
		}
		var all strings.Builder // "a" "b" is one
		all.WriteString(t.Text)
		for p.is == value && p.t.Kind == String {
			all.WriteString(p.t.Text)
			if err := p.next(); err != nil {
				return t, err
			}
		}
		t.Text = all.String()
		return t, nil
	case "{":
		t = Term{Line: p.at, Kind: Tuple}
		t.Items, err = p.items("}", depth)
		return t, err
	case "[":
		t = Term{Line: p.at, Kind: List}
		t.Items, err = p.items("]", depth)
		return t, err
	case "<<":
		return p.binary(depth)
	}
	return t, p.errorf("%s where a term should begin", p.is)
}

// items reads terms that are separated by commas, up to the closing sign.
func (p *parser) items(closing token, depth int) (items []Term, err error) {
	for {
		if err := p.next(); err != nil {
			return nil, err
		}
		if p.is == closing && len(items) == 0 {
			return nil, p.next()
		}
		t, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, t)
		switch p.is {
		case ",":
		case closing:
			return items, p.next()
		default:
			return nil, p.errorf("%s instead of , or %s", p.is, closing)
		}
	}
}

// binary reads <<"text">>, <<"text"/utf8>> or <<1, 2>>.
func (p *parser) binary(depth int) (t Term, err error) {
	t = Term{Line: p.at, Kind: Binary}
	var b strings.Builder
	if err := p.next(); err != nil {
		return t, err
	}
	for p.is != ">>" {
		piece, err := p.term(depth + 1)
		if err != nil {
			return t, err
		}
		utf := p.is == "/"
		if utf {
			if err := p.next(); err != nil {
				return t, err
			}
			if p.is != value || p.t.Kind != Atom || p.t.Text != "utf8" {
				return t, p.errorf("a binary may have /utf8, and no other type")
			}
			if err := p.next(); err != nil {
				return t, err
			}
		}
		if err := p.segment(&b, piece, utf); err != nil {
			return t, err
		}
		switch p.is {
		case ",":
			if err := p.next(); err != nil {
				return t, err
			}
			if p.is == ">>" {
				return t, p.errorf("a comma before >>")
			}
		case ">>":
		default:
			return t, p.errorf("%s instead of , or >>", p.is)
		}
	}
	t.Text = b.String()
	return t, p.next()
}

// segment writes a part of a binary. A character is one byte, unless the part is in UTF-8.
func (p *parser) segment(b *strings.Builder, piece Term, utf bool) error {
	var runes []rune
	switch piece.Kind {
	case String:
		runes = []rune(piece.Text)
	case Integer:
		runes = []rune{rune(piece.Int)}
		if piece.Int < 0 || piece.Int > utf8.MaxRune {
			return &Error{piece.Line, "a number in a binary must be 0 to 255"}
		}
	default:
		return &Error{piece.Line, fmt.Sprintf("a binary has strings and numbers, not %s", piece.Kind)}
	}
	for _, r := range runes {
		switch {
		case utf && utf8.ValidRune(r):
			b.WriteRune(r)
		case utf || r > 255:
			return &Error{piece.Line, fmt.Sprintf("a binary cannot hold the character %d here: it needs /utf8", r)}
		default:
			b.WriteByte(byte(r))
		}
	}
	return nil
}

// Printed returns the term as Erlang writes it.
func (t Term) Printed() string {
	var b strings.Builder
	t.print(&b)
	return b.String()
}

func (t Term) print(b *strings.Builder) {
	switch t.Kind {
	case Atom:
		if isPlainAtom(t.Text) {
			b.WriteString(t.Text)
			return
		}
		quote(b, t.Text, '\'')
	case Integer:
		b.WriteString(strconv.FormatInt(t.Int, 10))
	case Float:
		b.WriteString(t.Text)
	case String:
		quote(b, t.Text, '"')
	case Binary:
		b.WriteString("<<")
		for i := range len(t.Text) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.Itoa(int(t.Text[i])))
		}
		b.WriteString(">>")
	case Tuple, List:
		signs := "{}"
		if t.Kind == List {
			signs = "[]"
		}
		b.WriteByte(signs[0])
		for i, item := range t.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.print(b)
		}
		b.WriteByte(signs[1])
	}
}

func quote(b *strings.Builder, text string, sign rune) {
	b.WriteRune(sign)
	for _, r := range text {
		switch {
		case r == sign || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(b, "\\x{%x}", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteRune(sign)
}
