package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// escaper turns output into text that is safe for a terminal: characters, tabs and line ends. It
// escapes everything else as Go does, including bytes that are not UTF-8.
type escaper struct {
	cut []byte // the beginning of a character, or a carriage return
}

// escape returns the text of the next chunk. The beginning of a character waits for its rest.
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
		case r == '\r' && data[1] == '\n': // line ends of programs at a terminal
		case r == '\n', r == '\t', strconv.IsPrint(r):
			out = append(out, data[:n]...)
		default:
			out = append(out, strings.Trim(strconv.QuoteRune(r), "'")...)
		}
		data = data[n:]
	}
	return out
}

// end returns the bytes that still wait for a rest.
func (e *escaper) end() (out []byte) {
	for _, b := range e.cut {
		out = fmt.Appendf(out, `\x%02x`, b)
	}
	e.cut = nil
	return out
}
