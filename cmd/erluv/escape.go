package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// escaper makes of output what a terminal may have: characters, tabs and ends of lines. What else
// is in there, and what is no UTF-8, is shown as Go escapes it.
type escaper struct {
	cut []byte // the beginning of a character, or a carriage return
}

// escape is the next piece. The beginning of a character waits for the rest of it.
func (e *escaper) escape(data []byte) []byte {
	data, e.cut = append(e.cut, data...), nil
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		if !utf8.FullRune(data) || string(data) == "\r" {
			e.cut = data
			break
		}
		r, n := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, `\x%02x`, data[0])
		case r == '\r' && data[1] == '\n': // as a terminal's programs end lines
		case r == '\n', r == '\t', strconv.IsPrint(r):
			out = append(out, data[:n]...)
		default:
			out = append(out, strings.Trim(strconv.QuoteRune(r), "'")...)
		}
		data = data[n:]
	}
	return out
}

// end is what no rest has come for.
func (e *escaper) end() (out []byte) {
	for _, b := range e.cut {
		out = fmt.Appendf(out, `\x%02x`, b)
	}
	e.cut = nil
	return out
}
