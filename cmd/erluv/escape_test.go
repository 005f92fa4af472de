package main

import "testing"

// TestEscape: a terminal gets characters, tabs and line ends. All else is escaped.
func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain\ttext\n":            "plain\ttext\n",
		"a line\r\nanother":        "a line\nanother",
		"over\rwritten":            `over\rwritten`,
		"two\r\r\n":                `two\r` + "\n",
		"at the end\r":             `at the end\x0d`,
		"\x1b[31mred\x1b[0m":       `\x1b[31mred\x1b[0m`,
		"title\x1b]0;x\a":          `title\x1b]0;x\a`,
		"\u009b31m":                `\u009b31m`,
		"back\b\x7f\x00":           `back\b\x7f\x00`,
		"Grüße, 世界 🙂":              "Grüße, 世界 🙂",
		"turned \u202e round":      `turned \u202e round`,
		"no UTF-8 \xff\xc3(\n":     `no UTF-8 \xff\xc3(` + "\n",
		"a surrogate \xed\xa0\x80": `a surrogate \xed\xa0\x80`,
		"cut \xe4\xb8":             `cut \xe4\xb8`,
		"'quoted' \\ \ufffd":       "'quoted' \\ \ufffd",
	} {
		whole := escaped(in)
		if whole != want {
			t.Errorf("%q: %q, want %q", in, whole, want)
		}
		// The result is the same for all chunks.
		for i := range len(in) {
			if got := escaped(in[:i], in[i:]); got != want {
				t.Errorf("%q, then %q: %q, want %q", in[:i], in[i:], got, want)
			}
		}
		var bytes []string
		for i := range len(in) {
			bytes = append(bytes, in[i:i+1])
		}
		if got := escaped(bytes...); got != want {
			t.Errorf("%q, in single bytes: %q, want %q", in, got, want)
		}
	}
}

func escaped(pieces ...string) (out string) {
	var e escaper
	for _, p := range pieces {
		out += string(e.escape([]byte(p)))
	}
	return out + string(e.end()) + string(e.end()) // the second call returns nothing
}
