package prose

import (
	"go/parser"
	"go/token"
	"regexp"
	"strings"
)

var (
	fence    = regexp.MustCompile("(?s)(^|\n)```.*?\n```")
	code     = regexp.MustCompile("`+[^`]*`+")
	link     = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	emphasis = regexp.MustCompile(`[*_\\]+`)
	bullet   = regexp.MustCompile(`^\s*(?:[-*+]|\d+\.)\s+`)
	rowBreak = regexp.MustCompile(`(?:[^\\])\|`)
	// A sentence ends with a mark before a space and a capital, a digit or code.
	end = regexp.MustCompile(`([.!?])["”)]*\s+([A-Z0-9"]|erluv\b|[a-z0-9_]+[(/])`)
	// Several names are a list, which is read as one word.
	names = regexp.MustCompile(`(?:Code(?:, | and | or |, and |, or ))+Code`)
	// A name of a test, or one with an underscore, is code without its marks.
	identifier = regexp.MustCompile(`\b(?:Test[A-Z]\w*|[A-Za-z]\w*_\w+)\b`)
	abb        = regexp.MustCompile(`\b(e\.g|i\.e|etc|cf|vs|St)\.`)
)

// Markdown returns the sentences of running text and of list items, and the parts of cells of
// tables, which semicolons separate.
// Code is one word.
func Markdown(text string) []string {
	text = fence.ReplaceAllString(text, "\n")
	var blocks []string
	block := ""
	flush := func() {
		if block != "" {
			blocks = append(blocks, block)
		}
		block = ""
	}
	for _, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "", strings.HasPrefix(trimmed, "#"), strings.HasPrefix(trimmed, "<"):
			flush()
		case strings.HasPrefix(line, "    ") && block == "", strings.HasPrefix(line, "\t") && block == "":
			// code
		case strings.HasPrefix(trimmed, "|"):
			flush()
			for _, cell := range rowBreak.Split(strings.TrimPrefix(trimmed, "|"), -1) {
				blocks = append(blocks, strings.Split(cell, "; ")...)
			}
		case bullet.MatchString(line):
			flush()
			block = bullet.ReplaceAllString(line, "")
		default:
			block += " " + trimmed
			if strings.HasSuffix(line, "  ") {
				flush()
			}
		}
	}
	flush()
	var all []string
	for _, b := range blocks {
		all = append(all, split(b)...)
	}
	return all
}

// split cuts one block into sentences. It leaves out pieces of three words or fewer: names,
// numbers.
func split(block string) []string {
	block = identifier.ReplaceAllString(code.ReplaceAllString(block, "Code"), "Code")
	block = names.ReplaceAllString(space.ReplaceAllString(block, " "), "Code")
	block = link.ReplaceAllString(block, "$1")
	block = emphasis.ReplaceAllString(block, "")
	block = abb.ReplaceAllString(block, "$1")
	block = space.ReplaceAllString(block, " ")
	var all []string
	for _, s := range strings.Split(end.ReplaceAllString(block, "$1\x00$2"), "\x00") {
		if s = strings.TrimSpace(s); len(strings.Fields(s)) > 3 {
			all = append(all, s)
		}
	}
	return all
}

// Comments returns the sentences of a Go file's comments.
func Comments(source []byte) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, group := range parsed.Comments {
		var text strings.Builder
		for _, line := range strings.Split(group.Text(), "\n") {
			if strings.HasPrefix(line, "\t") {
				line = "" // an index, or code
			}
			text.WriteString(line + "\n")
		}
		all = append(all, Markdown(text.String())...)
	}
	return all, nil
}
