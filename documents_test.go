package erluv_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// runs says what runs, or checks, the blocks of code in each document: the first row whose language
// and first line match. A test must exist, and the file that has it must name the document.
// "text" is a drawing, a list, or output: it has no language.
var runs = map[string][]struct{ language, begins, by string }{
	"README.md": {
		{"elixir", `{:erluv_ex, path:`, "packaging/hex_test.go"},
		{"elixir", "", "elixir/test/docs_test.exs"},
		{"", "", "TestReadme"},
	},
	"HACKING.md":           {{"", "make ", "TestCommands"}, {"", "", "text"}},
	"doc/agents.md":        {{"elixir", "", "elixir/test/docs_test.exs"}},
	"doc/architecture.md":  {{"", "", "text"}},
	"doc/cluster.md":       {{"", "", "TestCommandsOfDocuments"}},
	"doc/containers.md":    {{"yaml", "", "TestContainerFiles"}},
	"doc/fleet.md":         {{"", "go test", "TestCommands"}, {"", "3 control nodes", "TestDemoFleet"}, {"erlang", "", "erlang/test/erluv_fleet_tests.erl"}},
	"doc/from-erlexec.md":  {{"elixir", "", "packaging/hex_test.go"}, {"erlang", "", "erlang/test/erluv_docs_tests.erl"}},
	"doc/from-exile.md":    {{"elixir", "", "elixir/test/docs_test.exs"}},
	"doc/from-muontrap.md": {{"elixir", "", "elixir/test/docs_test.exs"}},
	"doc/from-ports.md":    {{"erlang", "", "erlang/test/erluv_docs_tests.erl"}},
	"doc/journal.md":       {{"", "", "text"}},
	"doc/nodes.md":         {{"toml", "tls =", "TestNodesDocument"}, {"toml", "", "TestSettingsOfDocuments"}, {"sh", "", "TestNodesDocument"}, {"erlang", "[{server", "TestNodesDocument"}, {"erlang", "", "TestNodesSessions"}, {"", "$ erl ", "TestNodesDocument"}, {"", "", "TestNodesSessions"}},
	"doc/operating.md":     {{"elixir", "", "elixir/test/docs_test.exs"}, {"", "$ ", "TestOperatingDocument"}, {"", "scrape_configs:", "TestPrometheusDocument"}, {"", "", "text"}},
	"doc/performance.md":   {{"", "", "TestCommands"}},
	"doc/reliability.md":   {{"", "", "TestCommands"}},
	"doc/security.md":      {{"", "go test", "TestCommands"}, {"", "ls ", "TestCodeToReview"}, {"", "", "text"}, {"erlang", "", "TestWhatStaysOpen"}, {"toml", "", "TestWhatStaysOpen"}},
	"doc/testing.md":       {{"", "", "TestCommands"}},
	"doc/tunnel.livemd":    {{"elixir", "", "elixir/test/tunnel_test.exs"}},
	"doc/tutorial.md":      {{"", "", "TestTutorial"}},
	"elixir/README.md":     {{"elixir", "{:erluv_ex", "packaging/hex_test.go"}, {"elixir", "", "elixir/test/docs_test.exs"}},
	"erlang/README.md":     {{"erlang", "", "erlang/test/erluv_docs_tests.erl"}},
}

// TestBlocks: each block of code in a document is run or checked by a test, or is text.
func TestBlocks(t *testing.T) {
	tests := testFunctions(t)
	for _, document := range documents(t) {
		rows := runs[document]
		used := make([]bool, len(rows))
		for _, b := range blocks(read(t, document)) {
			i := slices.IndexFunc(rows, func(r struct{ language, begins, by string }) bool {
				anyOf := r.by == "TestReadme" || r.by == "TestTutorial"
				return (anyOf || r.language == b.language) && strings.HasPrefix(b.text, r.begins)
			})
			if i < 0 {
				t.Errorf("%s:%d: no row of runs, in documents_test.go, says which test runs this block:\n%s", document, b.line, b.text)
				continue
			}
			used[i] = true
		}
		for i, r := range rows {
			if !used[i] {
				t.Errorf("%s has no block in %q that begins with %q", document, r.language, r.begins)
			}
			if r.by == "text" {
				continue
			}
			source := tests[r.by]
			if strings.Contains(r.by, "/") {
				source = read(t, r.by)
			}
			named := []string{document, filepath.Base(document), strings.TrimSuffix(filepath.Base(document), ".md"), "documents(t)", "doc/*.md"}
			if strings.HasPrefix(document, "doc/from-") {
				named = append(named, "from-*")
			}
			if !slices.ContainsFunc(named, func(name string) bool { return strings.Contains(source, name) }) {
				t.Errorf("%s, which runs blocks of %s, does not name it, or is not there", r.by, document)
			}
		}
	}
	for document := range runs {
		if !slices.Contains(documents(t), document) {
			t.Errorf("there is no %s", document)
		}
	}
}

// TestCommands: a make command in a document has a target, and a go test command has tests to run,
// and flags that they know. The counts take hours.
func TestCommands(t *testing.T) {
	makefile := read(t, "Makefile")
	seen := 0
	for _, document := range documents(t) {
		for _, b := range blocks(read(t, document)) {
			for _, m := range regexp.MustCompile(`(?m)^(?:\$ )?make ([a-z0-9-]+)`).FindAllStringSubmatch(b.text, -1) {
				seen++
				if !hasTarget(makefile, m[1]) {
					t.Errorf("%s:%d: the Makefile has no rule for %s", document, b.line, m[1])
				}
			}
			for _, m := range regexp.MustCompile(`(?m)^go test (.*)$`).FindAllStringSubmatch(b.text, -1) {
				seen++
				checkGoTest(t, document+":"+strconv.Itoa(b.line), strings.Fields(m[1]))
			}
		}
	}
	if seen < 30 {
		t.Errorf("there are only %d commands", seen)
	}
}

// checkGoTest checks the words behind go test.
func checkGoTest(t *testing.T, where string, words []string) {
	t.Helper()
	known := []string{"v", "args", "count", "bench", "benchtime", "race", "fuzz", "fuzztime", "timeout", "cover", "test.gocoverdir"}
	var source, pattern string
	for i, word := range words {
		word = strings.Trim(word, "'")
		switch {
		case strings.HasPrefix(word, "./"):
			dir, below := strings.CutSuffix(word, "/...")
			files, _ := filepath.Glob(dir + "/*_test.go")
			if below {
				inner, _ := filepath.Glob(dir + "/*/*_test.go")
				files = append(files, inner...)
			}
			for _, file := range files {
				source += read(t, file)
			}
		case word == "-run":
			pattern = strings.Trim(words[i+1], "'")
		case strings.HasPrefix(word, "-"):
			name, _, _ := strings.Cut(strings.TrimPrefix(word, "-"), "=")
			if !slices.Contains(known, name) && !strings.Contains(source, `("`+name+`"`) {
				t.Errorf("%s: no flag -%s in these tests: %q", where, name, words)
			}
		}
	}
	names := regexp.MustCompile(`(?m)^func (Test|Fuzz|Benchmark)\w+`).FindAllString(source, -1)
	for _, one := range alternatives(pattern) {
		matches := regexp.MustCompile(strings.Replace(one, "^", "^func ", 1)).MatchString
		if !slices.ContainsFunc(names, matches) && !strings.Contains(one, "$") {
			t.Errorf("%s: no test matches %q: %q", where, one, words)
		}
	}
}

// alternatives are those of a pattern that are not in parentheses.
func alternatives(pattern string) []string {
	depth, begin := 0, 0
	var all []string
	for i, c := range pattern {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			all, begin = append(all, pattern[begin:i]), i+1
		}
	}
	return append(all, pattern[begin:])
}

// TestNamedTests: the tests that documents name exist.
func TestNamedTests(t *testing.T) {
	tests := testFunctions(t)
	var libraries strings.Builder
	files, err := filepath.Glob("erlang/test/*.erl")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		libraries.WriteString(read(t, file))
	}
	seen := 0
	for _, document := range documents(t) {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*|t_\\w+)`").FindAllStringSubmatch(read(t, document), -1) {
			seen++
			if _, found := tests[m[1]]; !found && !strings.Contains(libraries.String(), "\n"+m[1]+"() ->") {
				t.Errorf("%s names %s, which is not there", document, m[1])
			}
		}
	}
	if seen < 300 {
		t.Errorf("documents name %d tests", seen)
	}
}

// TestIndexOfDocuments: doc/README.md has each document.
func TestIndexOfDocuments(t *testing.T) {
	index := read(t, "doc/README.md")
	for _, document := range documents(t) {
		if name, in := strings.CutPrefix(document, "doc/"); in && name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("doc/README.md does not have %s", name)
		}
	}
}

// TestCodeToReview: the numbers of lines that doc/security.md states are those of its commands,
// within a tenth.
func TestCodeToReview(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "doc/security.md"), "\n## The code to review\n")
	all := blocks(section)
	var stated []int
	for _, m := range regexp.MustCompile(`(?:has|had) ([\d,]+)(?: lines)?[.:]`).FindAllStringSubmatch(section, 3) {
		n, _ := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
		stated = append(stated, n)
	}
	out, err := exec.Command("bash", "-c", all[0].text).Output()
	if err != nil {
		t.Fatal(err)
	}
	counted := strings.Fields(string(out))
	if len(stated) != 3 || len(counted) != 2 {
		t.Fatalf("stated %v, counted %v", stated, counted)
	}
	for i, count := range counted {
		n, _ := strconv.Atoi(count)
		if want := stated[2*i]; n < want*9/10 || n > want*11/10 {
			t.Errorf("doc/security.md states %d lines, there are %d", want, n)
		}
	}
}

// documents are all of them, Markdown and notebooks.
func documents(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "doc/*.md", "doc/*.livemd", "*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A block is code between fences, or with an indent of four.
type block struct {
	line           int
	language, text string
}

func blocks(text string) (all []block) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		begin := i
		switch {
		case strings.HasPrefix(lines[i], "```"):
			for i++; !strings.HasPrefix(lines[i], "```"); i++ {
			}
			language, _, _ := strings.Cut(strings.TrimPrefix(lines[begin], "```"), " ")
			all = append(all, block{begin + 1, language, strings.Join(lines[begin+1:i], "\n")})
		case strings.HasPrefix(lines[i], "    ") && (i == 0 || lines[i-1] == ""):
			for i+1 < len(lines) && (lines[i+1] == "" || strings.HasPrefix(lines[i+1], "    ")) {
				i++
			}
			code := lines[begin : i+1]
			for j := range code {
				code[j] = strings.TrimPrefix(code[j], "    ")
			}
			all = append(all, block{begin + 1, "", strings.TrimRight(strings.Join(code, "\n"), "\n")})
		}
	}
	return all
}

// testFunctions are the tests of Go by name, with the source of the file that has each.
func testFunctions(t *testing.T) map[string]string {
	t.Helper()
	tests := map[string]string{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "build/") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, name := range function.FindAllSubmatch(source, -1) {
			tests[string(name[1])] = string(source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}
