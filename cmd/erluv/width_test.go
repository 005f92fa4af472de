package main

import (
	"strings"
	"testing"
)

// TestWideness: a table stays within its terminal, and its columns stay aligned, with all kinds of
// characters.
func TestWideness(t *testing.T) {
	for text, want := range map[string]int{"": 0, "web": 3, "größe": 5, "日本語": 6, "e\u0301": 1, "한국": 4, "🐢x": 3, "ｆ": 2} {
		if got := wideness(text); got != want {
			t.Errorf("%q takes %d columns, not %d", text, got, want)
		}
	}
	for _, c := range []struct {
		text string
		most int
		want string
	}{{"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"abc", 2, "a…"}, {"abc", 0, "…"}, {"ae\u0301b", 2, "a…"}} {
		if got := cut(c.text, c.most); got != c.want {
			t.Errorf("%q in %d columns is %q, not %q", c.text, c.most, got, c.want)
		}
	}
	rows := [][]string{{"PROGRAM", "COMMAND"}, {"日本語", "x"}, {"web", strings.Repeat("語", 50)}}
	for _, width := range []int{0, 20, 40} {
		lines := strings.Split(strings.TrimSuffix(grid(rows, width), "\n"), "\n")
		if wideness(lines[1][:strings.Index(lines[1], "x")]) != strings.Index(lines[0], "COMMAND") {
			t.Errorf("%q", lines)
		}
		for _, l := range lines {
			if width > 0 && wideness(l) > width {
				t.Errorf("%q is wider than %d", l, width)
			}
		}
	}
}
