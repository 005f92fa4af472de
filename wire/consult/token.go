package consult

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// next reads a token.
func (p *parser) next() error {
	p.blank()
	p.at = p.line
	if p.rest == "" {
		p.is = end
		return nil
	}
	c := p.rest[0]
	switch {
	case strings.HasPrefix(p.rest, "<<"), strings.HasPrefix(p.rest, ">>"):
		p.is, p.rest = token(p.rest[:2]), p.rest[2:]
		return nil
	case strings.IndexByte("{}[],/", c) >= 0:
		p.is, p.rest = token(p.rest[:1]), p.rest[1:]
		return nil
	case c == '.':
		// A full stop ends with a blank, a comment or the text.
		if after := p.rest[1:]; after != "" && strings.IndexByte(" \t\r\n\f\v%", after[0]) < 0 {
			return p.errorf("a dot that does not end a term: a blank is missing after it")
		}
		p.is, p.rest = stop, p.rest[1:]
		return nil
	}
	p.is = value
	p.t = Term{Line: p.at}
	switch {
	case c == '"' || c == '\'':
		return p.quoted(c)
	case c == '$':
		p.t.Kind = Integer
		p.rest = p.rest[1:]
		r, err := p.char()
		p.t.Int = int64(r)
		return err
	case c >= '0' && c <= '9' || c == '-' || c == '+':
		return p.number()
	case c >= 'a' && c <= 'z':
		p.t.Kind, p.t.Text = Atom, p.word()
		if p.t.Text == "fun" {
			return p.errorf("funs are not taken here")
		}
		if reserved[p.t.Text] {
			return p.errorf("%s is a reserved word, and no atom without quotes", p.t.Text)
		}
		return nil
	case c >= 'A' && c <= 'Z' || c == '_':
		return p.errorf("%.40s is a variable: only values are taken here", p.word())
	case c == '#':
		return p.errorf("maps are not taken here")
	case c == '|':
		return p.errorf("lists with a tail are not taken here")
	case c == '~':
		return p.errorf("sigils are not taken here")
	}
	r, size := utf8.DecodeRuneInString(p.rest)
	if r == utf8.RuneError && size <= 1 {
		return p.errorf("the byte 16#%02x is no UTF-8", c)
	}
	return p.errorf("the character %q: outside of quotes only the letters of ASCII are taken", r)
}

// blank skips blanks and comments.
func (p *parser) blank() {
	for p.rest != "" {
		switch c := p.rest[0]; {
		case c == '\n':
			p.line++
		case c == '%':
			i := strings.IndexByte(p.rest, '\n')
			if i < 0 {
				i = len(p.rest)
			}
			p.rest = p.rest[i:]
			continue
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
		default:
			return
		}
		p.rest = p.rest[1:]
	}
}

// pattern compiles a regular expression when it is first used: a role that reads no terms does not
// pay for it.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var plainAtom = pattern(`^[a-z][A-Za-z0-9_@]*$`)

func isPlainAtom(text string) bool { return plainAtom().MatchString(text) && !reserved[text] }

// reserved are the words of the language that are not atoms. A fun begins with one.
var reserved = map[string]bool{}

func init() {
	for word := range strings.FieldsSeq("after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let maybe not of or orelse receive rem try when xor") {
		reserved[word] = true
	}
}

func (p *parser) word() string {
	n := 0
	for n < len(p.rest) {
		c := p.rest[n]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '@' {
			n++
			continue
		}
		break
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

// quoted reads an atom or a string up to its second quote.
func (p *parser) quoted(sign byte) error {
	p.t.Kind = Atom
	if sign == '"' {
		p.t.Kind = String
		if strings.HasPrefix(p.rest, `"""`) { // it has another meaning from OTP 27 on
			return p.errorf("triple-quoted strings are not taken here")
		}
	}
	p.rest = p.rest[1:]
	var b strings.Builder
	for {
		switch {
		case p.rest == "":
			return p.errorf("%s without its second quote", p.t.Kind)
		case p.rest[0] == sign:
			p.rest = p.rest[1:]
			p.t.Text = b.String()
			if n := utf8.RuneCountInString(p.t.Text); p.t.Kind == Atom && n > 255 {
				return p.errorf("an atom of %d characters: it may have 255", n)
			}
			return nil
		}
		r, err := p.char()
		if err != nil {
			return err
		}
		b.WriteRune(r)
	}
}

// escapes maps the characters after a backslash to their meaning. Other characters stand for
// themselves.
var escapes = map[byte]rune{'b': 8, 'd': 127, 'e': 27, 'f': 12, 'n': 10, 'r': 13, 's': ' ', 't': 9, 'v': 11}

var (
	octal = pattern(`^[0-7]{1,3}`)
	hex   = pattern(`^x(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,6})\})`)
)

// char reads one character of a quoted text, or after a $.
func (p *parser) char() (rune, error) {
	r, size := utf8.DecodeRuneInString(p.rest)
	switch {
	case size == 0:
		return 0, p.errorf("the text ends within a character")
	case r == utf8.RuneError && size == 1:
		return 0, p.errorf("the byte 16#%02x is no UTF-8", p.rest[0])
	case r == '\n':
		p.line++
	}
	p.rest = p.rest[size:]
	if r != '\\' {
		return r, nil
	}
	if p.rest == "" {
		return 0, p.errorf("the text ends within a character")
	}
	c := p.rest[0]
	if digits := octal().FindString(p.rest); digits != "" {
		n, err := strconv.ParseUint(digits, 8, 16)
		if err != nil {
			return 0, p.errorf("\\%s: %v", digits, err)
		}
		p.rest = p.rest[len(digits):]
		return rune(n), nil
	}
	if c == 'x' {
		m := hex().FindStringSubmatch(p.rest)
		if m == nil {
			return 0, p.errorf(`\x must be followed by two digits, or by {digits}`)
		}
		n, err := strconv.ParseUint(m[1]+m[2], 16, 32)
		if err != nil || !utf8.ValidRune(rune(n)) {
			return 0, p.errorf("\\%s is no character", m[0])
		}
		p.rest = p.rest[len(m[0]):]
		return rune(n), nil
	}
	if c == '^' {
		return 0, p.errorf(`\^ is not taken here`)
	}
	if r, ok := escapes[c]; ok {
		p.rest = p.rest[1:]
		return r, nil
	}
	r, size = utf8.DecodeRuneInString(p.rest)
	if r == utf8.RuneError && size == 1 {
		return 0, p.errorf("the byte 16#%02x is no UTF-8", c)
	}
	if r == '\n' {
		p.line++
	}
	p.rest = p.rest[size:]
	return r, nil
}

// number matches a number in a base, with a fraction, or plain. Digits may have _ between them.
var number = pattern(`^[-+]?(?:(\d+)#([0-9a-zA-Z]+(?:_[0-9a-zA-Z]+)*)|\d+\.\d+(?:[eE][-+]?\d+)?|\d+(?:_\d+)*)`)

func (p *parser) number() error {
	m := number().FindStringSubmatch(p.rest)
	if m == nil {
		return p.errorf("%q is no number", p.rest[:1])
	}
	text := m[0]
	p.rest = p.rest[len(text):]
	if p.rest != "" && (isWordByte(p.rest[0]) || p.rest[0] == '#') {
		return p.errorf("%.40s%c is no number", text, p.rest[0])
	}
	base, digits := 10, strings.TrimPrefix(text, "+")
	switch {
	case m[1] != "":
		var err error
		if base, err = strconv.Atoi(m[1]); err != nil || base < 2 || base > 36 {
			return p.errorf("%.40s: there is no base %.40s", text, m[1])
		}
		digits = m[2]
		if text[0] == '-' {
			digits = "-" + digits
		}
	case strings.Contains(text, "."):
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil || math.IsInf(f, 0) {
			return p.errorf("%.40s is no number", text)
		}
		p.t.Kind, p.t.Text = Float, digits
		return nil
	}
	n, ok := new(big.Int).SetString(strings.ReplaceAll(digits, "_", ""), base)
	if !ok {
		return p.errorf("%.40s has digits that base %d has not", text, base)
	}
	if !n.IsInt64() {
		return p.errorf("%.40s has more than 64 bits", text)
	}
	p.t.Kind, p.t.Int = Integer, n.Int64()
	return nil
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '@'
}
