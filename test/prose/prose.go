// Package prose finds the sentences of a text that a reader stumbles over.
//
//	prose.go      Odd: the rules
//	spelling.go   Term: one spelling for each term
//	sentences.go  the sentences of Markdown, of a manual page, of Go and Erlang comments
package prose

import (
	"fmt"
	"regexp"
	"strings"
)

// MostWords is how many words a sentence may have. Code is one word.
const MostWords = 25

// A rule finds a construction. HACKING.md, Words, says what to write instead.
type rule struct {
	why     string
	pattern *regexp.Regexp
}

var rules = []rule{
	{"the actor is named, not who, whoever, nobody or somebody", regexp.MustCompile(`(?i)\b(whoever|whom|nobody else's|somebody|whatever)\b`)},
	{"the actor is named: nobody is the user", regexp.MustCompile(`\b[Nn]obody (?:is|was|has|can|could|may|will|would|else|asks|looks|reads|takes|needs|notices|waits|must)\b`)},
	{"a sentence does not begin with who or whose", regexp.MustCompile(`^(?:Who|Whose)\b[^?]*$`)},
	{"what ... is no subject", regexp.MustCompile(`^(?:What|Which|How|That which|By what)\b[^?]*$`)},
	{"what ... is no subject", regexp.MustCompile(`[;:,] (?:what|who) (?:is|are|was|has|have|had|comes|goes|runs|ends|they|it|main|the child)\b[^?]*\b(?:is|are|has|ends|goes|does|stays|must|can)\b`)},
	{"by what", regexp.MustCompile(`(?i)\b(?:by|of|with|from|for|to|in) what\b`)},
	{"told", regexp.MustCompile(`\b(?:is|are|was|been|being) told\b|\bit is told\b`)},
	{"the verb comes after the subject", regexp.MustCompile(`\b(?:it|they|which) is (?:so|of it)\b|\bso it is\b|\bas ever\b|\bas it were\b|\bnothing there\b`)},
	{"of whom, by whose", regexp.MustCompile(`\b(?:of|for|by|with|from|in|to|at|on) (?:whose|whom)\b`)},
	{"has them, has it", regexp.MustCompile(`\bhas (?:it|them|one) (?:when|as|so|of)\b`)},
	{"one idea a sentence: two colons", regexp.MustCompile(`: [^|]*: `)},
}

var space = regexp.MustCompile(`\s+`)

// Odd says why a reader stumbles over a sentence, or returns "" if it is plain.
func Odd(sentence string) string {
	if n := len(strings.Fields(sentence)); n > MostWords {
		return fmt.Sprintf("%d words, more than %d", n, MostWords)
	}
	for _, r := range rules {
		if r.pattern.MatchString(sentence) {
			return r.why
		}
	}
	return ""
}
