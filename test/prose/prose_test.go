package prose

import (
	"slices"
	"strings"
	"testing"
)

func TestOdd(t *testing.T) {
	for _, s := range []string{
		"Whoever has it speaks to the node as erluv does.",
		"Who asks for no limits costs nothing there.",
		"By what means all that programs start is ended with erluv.",
		"What is left: it stays frozen.",
		"It asks, and has one when it is told so.",
		"These run as another user, for somebody else.",
		"One: two: three.",
		strings.Repeat("word ", MostWords+1),
	} {
		if Odd(s) == "" {
			t.Errorf("%q is not odd", s)
		}
	}
	for _, s := range []string{
		"Programs without limits pay nothing.",
		"The child requests it by Code index and may use it once main confirms.",
		"What does a node see of it?",
		"Programs run as the user nobody.",
		strings.Repeat("word ", MostWords),
	} {
		if why := Odd(s); why != "" {
			t.Errorf("%q is odd: %s", s, why)
		}
	}
}

func TestTerm(t *testing.T) {
	for sentence, want := range map[string]string{
		"It waits by backpressure.":                      "back-pressure",
		"The spawner makes cgroups, of version 2.":       "control group",
		"A program has its exit code.":                   "exit status",
		"Back-pressure has one spelling, as a cgroup().": "",
		"Package cgroup has the tree.":                   "",
		"It reads /sys/fs/cgroup and return Code.":       "",
		"erluv asks EPMD; the package is wire/epmd.":     "",
		"Package epmd asks epmd where a node listens.":   "EPMD",
	} {
		if got := Term(sentence); got != want {
			t.Errorf("%q: %q, want %q", sentence, got, want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	got := Markdown("# A heading of four words\n\nMain accepts it. erluv `a b` and `c`\nlisten [here and](there).\n\n    code in four words\n\n" +
		"- an item of a list\n- two\n\n| a cell of a table | `code` |\n|---|---|\n\n```\ncode in four words\n```\n")
	want := []string{"erluv Code listen here and.", "an item of a list", "a cell of a table"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestComments(t *testing.T) {
	got, err := Comments([]byte("// Package p has one sentence.\n//\n//\tcode in four words\npackage p\n\n// A function has another one.\nfunc f() {}\n"))
	want := []string{"Package p has one sentence.", "A function has another one."}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
