package etf

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Format returns a term as Erlang writes it, on one line. Lists and binaries that are text become
// text. Characters that are not printable are escaped, so that a terminal shows only text.
//
// Pids, references and ports have the name of their node in place of its number. Funs cannot be
// read back.
func Format(t Term) string {
	var b strings.Builder
	format(&b, t)
	return b.String()
}

func format(b *strings.Builder, t Term) {
	switch t := t.(type) {
	case Atom:
		formatAtom(b, t)
	case int64:
		b.WriteString(strconv.FormatInt(t, 10))
	case *big.Int:
		b.WriteString(t.String())
	case float64:
		formatFloat(b, t)
	case String:
		formatList(b, t)
	case List:
		formatList(b, t)
	case Improper:
		b.WriteByte('[')
		formatAll(b, t.Elems)
		b.WriteByte('|')
		format(b, t.Tail)
		b.WriteByte(']')
	case Tuple:
		b.WriteByte('{')
		formatAll(b, t)
		b.WriteByte('}')
	case Binary:
		formatBinary(b, t)
	case BitString:
		b.WriteString("<<")
		for _, c := range t.Bytes[:len(t.Bytes)-1] {
			fmt.Fprintf(b, "%d,", c)
		}
		fmt.Fprintf(b, "%d:%d>>", t.Bytes[len(t.Bytes)-1]>>(8-t.Bits), t.Bits)
	case Map:
		b.WriteString("#{")
		for i, p := range t {
			if i > 0 {
				b.WriteByte(',')
			}
			format(b, p.Key)
			b.WriteString(" => ")
			format(b, p.Value)
		}
		b.WriteByte('}')
	case Pid:
		fmt.Fprintf(b, "<%s.%d.%d>", printable(string(t.Node)), t.ID, t.Serial)
	case Raw:
		formatRaw(b, t)
	}
}

func formatAll(b *strings.Builder, ts []Term) {
	for i, t := range ts {
		if i > 0 {
			b.WriteByte(',')
		}
		format(b, t)
	}
}

// formatList writes a list of printable characters as a string.
func formatList(b *strings.Builder, t Term) {
	elems, _ := Elements(t)
	if text, ok := Text(t); ok && len(elems) > 0 && isText(text) {
		quote(b, text, '"')
		return
	}
	b.WriteByte('[')
	formatAll(b, elems)
	b.WriteByte(']')
}

func formatBinary(b *strings.Builder, t Binary) {
	b.WriteString("<<")
	if len(t) > 0 && utf8.Valid(t) && isText(string(t)) {
		quote(b, string(t), '"')
		if strings.ContainsFunc(string(t), func(r rune) bool { return r > unicode.MaxASCII }) {
			b.WriteString("/utf8")
		}
	} else {
		for i, c := range t {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.Itoa(int(c)))
		}
	}
	b.WriteString(">>")
}

// formatAtom quotes reserved words, and all atoms except plain words with a lower-case first
// letter.
func formatAtom(b *strings.Builder, a Atom) {
	plain := a != "" && a[0] >= 'a' && a[0] <= 'z' && !reserved[a] && !strings.ContainsFunc(string(a), func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '@'
	})
	if plain {
		b.WriteString(string(a))
		return
	}
	quote(b, string(a), '\'')
}

var reserved = func() map[Atom]bool {
	words := map[Atom]bool{}
	for w := range strings.FieldsSeq("after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let maybe not of or orelse receive rem try when xor") {
		words[Atom(w)] = true
	}
	return words
}()

func formatFloat(b *strings.Builder, f float64) {
	digits := strconv.FormatFloat(f, 'g', -1, 64)
	mantissa, exponent, found := strings.Cut(digits, "e")
	b.WriteString(mantissa)
	if !strings.Contains(mantissa, ".") {
		b.WriteString(".0")
	}
	if found {
		b.WriteString("e" + exponent)
	}
}

// formatRaw writes terms that are never parsed.
func formatRaw(b *strings.Builder, t Raw) {
	var h head
	if err := h.parse(t); err != nil {
		b.WriteString("#Unknown<>")
		return
	}
	switch t[0] {
	case tagExport:
		var m, f head
		_ = m.parseAtom(t[1:])
		_ = f.parseAtom(t[1+m.size:])
		b.WriteString("fun ")
		formatAtom(b, m.atom())
		b.WriteByte(':')
		formatAtom(b, f.atom())
		fmt.Fprintf(b, "/%d", t[len(t)-1])
	case tagNewerRef:
		var node head
		_ = node.parseAtom(t[3:])
		b.WriteString("#Ref<" + printable(string(node.atom())))
		for words := t[3+node.size+4:]; len(words) >= 4; words = words[4:] {
			fmt.Fprintf(b, ".%d", binary.BigEndian.Uint32(words))
		}
		b.WriteByte('>')
	case tagNewFun:
		b.WriteString("#Fun<>")
	case tagNewPort, tagV4Port, tagPort:
		var node head
		_ = node.parseAtom(t[1:])
		fmt.Fprintf(b, "#Port<%s>", printable(string(node.atom())))
	default:
		b.WriteString("#Ref<>")
	}
}

// isText reports whether all characters are printable. Line ends and tabs count as printable.
func isText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsPrint(r) && !strings.ContainsRune("\n\r\t", r)
	})
}

func quote(b *strings.Builder, s string, sign rune) {
	b.WriteRune(sign)
	for _, r := range s {
		switch {
		case r == sign || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case !unicode.IsPrint(r):
			fmt.Fprintf(b, `\x{%x}`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteRune(sign)
}

// printable escapes all characters that are not printable.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%x}`, r)
		}
	}
	return b.String()
}
