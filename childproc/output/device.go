package output

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"erluv/childproc/order"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// Device is how a worker reads and writes characters as an I/O device.
type Device struct {
	Latin1 bool // characters are bytes; otherwise UTF-8
	List   bool // requests get a list; otherwise a binary
}

// WholeRunes returns how many bytes of b remain without an incomplete character at its end.
func WholeRunes(b []byte) int {
	for cut := 0; cut < utf8.UTFMax && cut < len(b); cut++ {
		if utf8.RuneStart(b[len(b)-1-cut]) {
			if utf8.FullRune(b[len(b)-1-cut:]) {
				return len(b)
			}
			return len(b) - 1 - cut
		}
	}
	return len(b)
}

// AsBytes reports whether a request in this encoding gets bytes instead of characters.
func (d Device) AsBytes(encoding etf.Term) bool {
	return d.Latin1 || encoding != etf.Atom("unicode")
}

// Encoding is the name of the device's encoding.
func (d Device) Encoding() etf.Atom {
	if d.Latin1 {
		return "latin1"
	}
	return "unicode"
}

// Opts returns the answer to io:getopts/1.
func (d Device) Opts() etf.Term {
	return etf.List{
		etf.Tuple{etf.Atom("binary"), boolTerm(!d.List)},
		etf.Tuple{etf.Atom("encoding"), d.Encoding()},
	}
}

// Set sets the options of io:setopts/2: binary, list, {binary, Bool}, {encoding, latin1 | utf8 |
// unicode}. It returns the answer.
func (d *Device) Set(t etf.Term) etf.Term {
	next := *d
	opts, ok := t.(etf.List)
	if !ok {
		return gen.Error(etf.Atom("enotsup"))
	}
	for _, o := range opts {
		switch v := o.(type) {
		case etf.Atom:
			next.List = v == "list"
			ok = ok && (v == "list" || v == "binary")
		case etf.Tuple:
			ok = ok && len(v) == 2 && next.setPair(v[0], v[1])
		default:
			ok = false
		}
	}
	if !ok {
		return gen.Error(etf.Atom("enotsup"))
	}
	*d = next
	return etf.Atom("ok")
}

func (d *Device) setPair(key, value etf.Term) bool {
	switch key {
	case etf.Atom("binary"):
		d.List = value == etf.Atom("false")
		return value == etf.Atom("true") || value == etf.Atom("false")
	case etf.Atom("encoding"):
		d.Latin1 = value == etf.Atom("latin1")
		return value == etf.Atom("latin1") || value == etf.Atom("utf8") || value == etf.Atom("unicode")
	}
	return false
}

var errNoTranslation = errors.New("characters that the encoding does not have")

// Encode returns the bytes for the characters of a request.
func (d Device) Encode(encoding, chars etf.Term) ([]byte, error) {
	if encoding != etf.Atom("unicode") {
		return etf.AppendIOData([]byte{}, gen.Encode(chars), order.MaxRequest)
	}
	return d.appendChars([]byte{}, chars)
}

// appendChars flattens unicode:chardata(): binaries of UTF-8, code points, lists.
func (d Device) appendChars(dst []byte, t etf.Term) ([]byte, error) {
	var err error
	switch v := t.(type) {
	case int64:
		switch {
		case v < 0 || v > utf8.MaxRune || !utf8.ValidRune(rune(v)) || d.Latin1 && v > 255:
			return nil, errNoTranslation
		case d.Latin1:
			return append(dst, byte(v)), nil
		}
		return utf8.AppendRune(dst, rune(v)), nil
	case etf.String: // code points up to 255
		for _, c := range v {
			if dst, err = d.appendChars(dst, int64(c)); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case etf.Binary:
		if !utf8.Valid(v) {
			return nil, errNoTranslation
		}
		if !d.Latin1 {
			return append(dst, v...), nil
		}
		for _, c := range string(v) {
			if dst, err = d.appendChars(dst, int64(c)); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case etf.List:
		for _, e := range v {
			if dst, err = d.appendChars(dst, e); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case etf.Improper:
		if dst, err = d.appendChars(dst, etf.List(v.Elems)); err != nil {
			return nil, err
		}
		return d.appendChars(dst, v.Tail)
	}
	return nil, errNoTranslation
}

// Decode converts output to the form that a request wants: characters, or bytes in latin1.
func (d Device) Decode(encoding etf.Term, b []byte) (etf.Term, error) {
	asBytes := d.AsBytes(encoding)
	switch {
	case !asBytes && !utf8.Valid(b):
		return nil, errNoTranslation
	case d.List && asBytes:
		return etf.String(bytes.Clone(b)), nil
	case d.List:
		l := make(etf.List, 0, len(b))
		for _, c := range string(b) {
			l = append(l, int64(c))
		}
		return l, nil
	case d.Latin1 && encoding == etf.Atom("unicode"):
		u := make(etf.Binary, 0, len(b))
		for _, c := range b {
			u = utf8.AppendRune(u, rune(c))
		}
		return u, nil
	}
	return etf.Binary(bytes.Clone(b)), nil
}

func boolTerm(v bool) etf.Term {
	if v {
		return etf.Atom("true")
	}
	return etf.Atom("false")
}
