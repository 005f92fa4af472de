package order

import (
	"regexp/syntax"
	"strings"
	"testing"
)

// TestPatterns checks that the size of a pattern is bounded before it is compiled, and not
// underestimated.
func TestPatterns(t *testing.T) {
	for _, s := range []string{
		"", "x", "listening on .*:([0-9]+)$", "(?i)ready|started|up and running", `^\[info\] .* \p{L}+ (a|b){2,5}x{3,}y{0,7}z{4}`,
		"(a*)*", "((a{3}){4}){5}", strings.Repeat("word|", 150),
	} {
		re, size, err := compile(s)
		if err != nil || re.String() != s {
			t.Errorf("%q: %v", s, err)
			continue
		}
		tree, err := syntax.Parse(s, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := syntax.Compile(tree.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		if len(prog.Inst)-2 > size { // the first fails, the last matches
			t.Errorf("%q: %d instructions, taken for %d", s, len(prog.Inst), size)
		}
	}
	for _, s := range []string{
		strings.Repeat("(x?){1000}", 400), "(x{30}){31}", "((((x{5}){5}){5}){5})", "(x{999}|y{999})", "(.{1,500}){2}",
		strings.Repeat(`\pL`, 100), "(?:xy){1000}", strings.Repeat("a", 1001), "(" + strings.Repeat("(?:a?){500}", 300) + ")",
	} {
		if _, size, err := compile(s); err == nil || !strings.Contains(err.Error(), "more than 1000 instructions") {
			t.Errorf("%.40q: taken, with %d instructions: %v", s, size, err)
		}
	}
	if _, _, err := compile("("); err == nil {
		t.Error("an open group is taken")
	}
}
