package order

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

const (
	// maxRegExp is the longest regular expression, in bytes.
	maxRegExp = 4096

	// maxPattern is the maximum number of instructions of package regexp that an expression may
	// compile to. A few bytes can mean millions, and a match takes as many steps for each byte.
	maxPattern = 1000

	// patternCost is how many bytes an instruction counts in the budget for kept data.
	patternCost = 64
)

// compile compiles a regular expression and returns how many instructions it has. It returns an
// error if there are too many.
func compile(s string) (re *regexp.Regexp, size int, err error) {
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return nil, 0, err
	}
	if size = instructions(tree); size > maxPattern {
		return nil, 0, fmt.Errorf("it compiles to more than %d instructions: use fewer and smaller repetitions", maxPattern)
	}
	re, err = regexp.Compile(s)
	return re, size, err
}

// instructions is an upper bound of the instructions that a tree compiles to. It stops counting
// beyond maxPattern. Large character classes count by their size.
func instructions(tree *syntax.Regexp) int {
	const rangesOfOne = 16 // in the memory of an instruction
	n := 1
	switch tree.Op {
	case syntax.OpLiteral:
		n = len(tree.Rune)
	case syntax.OpCharClass:
		n += len(tree.Rune) / 2 / rangesOfOne
	case syntax.OpCapture, syntax.OpStar, syntax.OpPlus:
		n = 2
	}
	for _, sub := range tree.Sub {
		if n += instructions(sub) + 1; n > maxPattern {
			return n
		}
	}
	if tree.Op == syntax.OpRepeat {
		// x{2,4} is xx(x(x)?)?, and x{2,} is xxx*: see syntax.Regexp.Simplify.
		n *= max(tree.Min, tree.Max, 0) + 1
	}
	return n
}
