package label

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"  ", ""},
		{"core", "core"},
		{"core;group=g1;master, meta2;a=1", "core;group=g1;master, meta2;a=1"},
		{" core ; group = g1 ;master,meta2;a=1 ", "core;group=g1;master, meta2;a=1"},
		{"a, b, a;x", "a;x, b"},
		{"a b;c d=e f", "a b;c d=e f"},
		{"größe;ß=ü", "größe;ß=ü"},
		{"a;k;k", "a;k;k"},
	} {
		l, err := Parse(test.text)
		if err != nil || l.String() != test.want {
			t.Errorf("%q: %q, %v; want %q", test.text, l, err, test.want)
		}
	}
	l, err := Parse("core;group=g1;master, meta2;a=1")
	want := Labels{
		{"core", []Key{{"group", "g1", true}, {"master", "", false}}},
		{"meta2", []Key{{"a", "1", true}}},
	}
	if diff := cmp.Diff(want, l); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{
		",", "a,", ",a", ";", "a;", "a;;b", "=", "a=1", "=a", "a;=1", "a;b=", "a;b=1=2", "a;b=;c", "\xff", "a\nb", "a;\x00", `a"b`, "a'b", `a\b`, "a\x7f",
	} {
		if l, err := Parse(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
}

// TestUpdate checks that an update replaces an entry in its place, adds others in order, and leaves
// the original labels unchanged.
func TestUpdate(t *testing.T) {
	l, _ := Parse("core;group=g1;master, meta2;a=1, last")
	for _, test := range []struct{ text, want string }{
		{"meta2;b", "core;group=g1;master, meta2;b, last"},
		{"new;x=1, core", "core, meta2;a=1, last, new;x=1"},
		{"", "core;group=g1;master, meta2;a=1, last"},
	} {
		if got, err := l.Update(test.text); err != nil || got.String() != test.want {
			t.Errorf("%q: %q, %v; want %q", test.text, got, err, test.want)
		}
	}
	if got, err := l.Update("new, ;"); !errors.Is(err, ErrInvalid) || got.String() != l.String() {
		t.Errorf("invalid: %q, %v", got, err)
	}
	if got := l.Remove("meta2").Remove("none").String(); got != "core;group=g1;master, last" {
		t.Errorf("removed: %q", got)
	}
	if l.String() != "core;group=g1;master, meta2;a=1, last" {
		t.Errorf("the labels themselves were changed: %q", l)
	}
}

func TestBounds(t *testing.T) {
	many := func(n int) string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("n%d", i))
		}
		return strings.Join(names, ",")
	}
	keys := func(n int) string { return "a" + strings.Repeat(";k", n) }
	for text, want := range map[string]error{
		many(MaxEntries):                      nil,
		many(MaxEntries + 1):                  ErrTooMany,
		keys(MaxKeys):                         nil,
		keys(MaxKeys + 1):                     ErrTooMany,
		strings.Repeat("a", MaxText):          nil,
		strings.Repeat("a", MaxText+1):        ErrTooMany,
		strings.Repeat("a", MaxText-3) + ",b": nil,
	} {
		if _, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("%.20s (%d bytes): %v, want %v", text, len(text), err, want)
		}
	}
	l, _ := Parse(many(MaxEntries))
	if got, err := l.Update("other"); err != ErrTooMany || len(got) != MaxEntries {
		t.Errorf("one more: %d, %v", len(got), err)
	}
	l, _ = Parse(strings.Repeat("a", MaxText-2))
	if _, err := l.Update("b"); err != ErrTooMany {
		t.Errorf("more bytes: %v", err)
	}
	// Blanks do not count once they are trimmed, so Parse accepts what String returns.
	l, err := Parse(strings.Repeat("a", MaxText-3) + ",b")
	if again, err2 := Parse(l.String()); err != nil || err2 != nil || again.String() != l.String() {
		t.Errorf("%v, %v", err, err2)
	}
}

// FuzzParse checks that String of parsed labels parses to the same labels.
func FuzzParse(f *testing.F) {
	f.Add("core;group=g1;master, meta2;a=1")
	f.Add(" a ; b = c ,, ")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(l.String())
		if diff := cmp.Diff(l, again); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	})
}
