package main

import (
	"strings"
	"unicode"
)

// wideRunes are the characters that take two columns of a terminal (Unicode's East Asian Width, W and F).
var wideRunes = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1},
		{0x231a, 0x231b, 1},
		{0x2e80, 0x303e, 1},
		{0x3041, 0x33ff, 1},
		{0x3400, 0x4dbf, 1},
		{0x4e00, 0xa4cf, 1},
		{0xa960, 0xa97c, 1},
		{0xac00, 0xd7a3, 1},
		{0xf900, 0xfaff, 1},
		{0xfe30, 0xfe6f, 1},
		{0xff00, 0xff60, 1},
		{0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{
		{0x16fe0, 0x18aff, 1},
		{0x1b000, 0x1b2ff, 1},
		{0x1f300, 0x1f64f, 1},
		{0x1f680, 0x1f6ff, 1},
		{0x1f900, 0x1faff, 1},
		{0x20000, 0x3fffd, 1},
	},
}

// columnsOf returns how many columns of a terminal a character takes.
func columnsOf(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0 // it belongs to the character before
	case unicode.Is(wideRunes, r):
		return 2
	}
	return 1
}

// wideness returns how many columns of a terminal a text without control characters takes.
func wideness(s string) (n int) {
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

// cut returns the beginning of a text, with up to most columns. If text is left out, it ends with
// an ellipsis.
func cut(s string, most int) string {
	if wideness(s) <= most {
		return s
	}
	n := 1 // the ellipsis
	for i, r := range s {
		if n += columnsOf(r); n > most {
			return s[:i] + "…"
		}
	}
	return s
}

// pad fills a text up to a number of columns.
func pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-wideness(s)))
}
