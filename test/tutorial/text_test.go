package tutorial

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A step is one line to type, with the wanted answer.
type step struct {
	at     string // the document and the line
	prompt string // "#", "$", or ">" of Erlang's shell; "file": text of a file
	typed  string
	want   string // text in the answer; ... matches any text
	soon   bool   // typed again until the answer matches
}

var (
	fence  = regexp.MustCompile("^```([a-z]*)( soon)?$")
	system = regexp.MustCompile(`^([#$]) (.*)$`)
	shell  = regexp.MustCompile(`^\d+> (.*)$`)
	file   = regexp.MustCompile(`^(?:%%|#) ([a-z_.]+)$`)
)

func (s step) String() string { return s.at }

// parse splits a document into steps. A block in sh is not typed, and must be among notTyped. The
// tests in elixir/test/docs_test.exs run the blocks in elixir.
func parse(document, text string, notTyped ...string) (steps []step, err error) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		open := fence.FindStringSubmatch(lines[i])
		if open == nil {
			if strings.HasPrefix(lines[i], "```") {
				return nil, fmt.Errorf("line %d: %q", i+1, lines[i])
			}
			continue
		}
		begin := i + 1
		for i++; i < len(lines) && lines[i] != "```"; i++ {
		}
		block := lines[begin:i]
		if open[1] == "elixir" {
			continue
		}
		if open[1] == "sh" {
			if len(notTyped) == 0 || strings.Join(block, "\n") != notTyped[0] {
				return nil, fmt.Errorf("line %d: a block that is not typed: %q", begin, block)
			}
			notTyped = notTyped[1:]
			continue
		}
		more, err := parseBlock(document, begin+1, block, open[1] == "erlang", open[2] != "")
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

func parseBlock(document string, line int, block []string, erlang, soon bool) (steps []step, err error) {
	at := func(i int) string { return fmt.Sprintf("%s:%d", document, line+i) }
	if name := file.FindStringSubmatch(block[0]); name != nil {
		return []step{{at: at(0), prompt: "file", typed: name[1], want: strings.Join(block, "\n") + "\n"}}, nil
	}
	for i, text := range block {
		if typed := system.FindStringSubmatch(text); typed != nil {
			steps = append(steps, step{at: at(i), prompt: typed[1], typed: typed[2], soon: soon})
		} else if typed := shell.FindStringSubmatch(text); typed != nil && erlang {
			steps = append(steps, step{at: at(i), prompt: ">", typed: typed[1], soon: soon})
		} else if len(steps) > 0 {
			steps[len(steps)-1].want += text + "\n"
		} else {
			return nil, fmt.Errorf("%s: nothing is typed before %q", at(i), text)
		}
	}
	return steps, nil
}

var (
	numbers = regexp.MustCompile(`[0-9]+`)
	names   = regexp.MustCompile(`erluv_[0-9a-f]{8}`)
	space   = regexp.MustCompile(`\s+`)
)

// matches reports whether the answer contains the wanted text. Numbers, random names and line
// breaks may differ.
func matches(got, want string) bool {
	plain := func(s string) string {
		return space.ReplaceAllString(numbers.ReplaceAllString(names.ReplaceAllString(s, "erluv_0"), "0"), "")
	}
	var pattern strings.Builder
	for i, part := range strings.Split(want, "...") {
		if i > 0 {
			pattern.WriteString(".*")
		}
		pattern.WriteString(regexp.QuoteMeta(plain(part)))
	}
	return regexp.MustCompile(pattern.String()).MatchString(plain(got))
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		got, want string
		same      bool
	}{
		{"ok\n", "ok\n", true},
		{"error\n", "ok\n", false},
		{"{ok,#{a => 1,\n      b => 2}}", "{ok,#{a => 1,b => 2}}\n", true},
		{"['erluv_01234567@h']", "['erluv_89abcdef@h']", true},
		{"<0.12.3>", "<9153.4.0>", true},
		{"=REPORT=\n\nok", "ok", true},
		{"erluv 0.2.0-dev (1234)", "erluv 0.2.0...", true},
		{"a c", "a...b...c", false},
		{"anything", "", true},
	} {
		if matches(tt.got, tt.want) != tt.same {
			t.Errorf("%q, %q: not %v", tt.got, tt.want, tt.same)
		}
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"```text extra\n", "```sh\nrm\n```", "```console\nhello\n```"} {
		if steps, err := parse("bad.md", bad); err == nil {
			t.Errorf("%q: %+v", bad, steps)
		}
	}
	text, err := os.ReadFile("../../" + tutorial)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parse(tutorial, string(text), "make deb")
	if err != nil {
		t.Fatal(err)
	}
	next, answers := 1, 0
	for _, n := range regexp.MustCompile(`(?m)^(\d+)> `).FindAllStringSubmatch(string(text), -1) {
		if n[1] != fmt.Sprint(next) {
			t.Errorf("prompt %s> where %d> is to be", n[1], next)
		}
		next++
	}
	for _, s := range steps {
		if s.want != "" {
			answers++
		}
	}
	if next < 20 || answers < 30 {
		t.Errorf("only %d prompts of Erlang, %d answers", next-1, answers)
	}
}
