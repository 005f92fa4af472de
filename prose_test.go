package erluv_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"erluv/test/prose"
)

// plain lists the documents in which not one sentence is odd.
var plain = []string{
	"CHANGELOG.md",
	"HACKING.md",
	"README.md",
	"SECURITY.md",
	"doc/README.md",
	"doc/agents.md",
	"doc/architecture.md",
	"doc/cluster.md",
	"doc/containers.md",
	"doc/containment.md",
	"doc/decisions.md",
	"doc/fleet.md",
	"doc/from-erlexec.md",
	"doc/from-exile.md",
	"doc/from-muontrap.md",
	"doc/from-ports.md",
	"doc/journal.md",
	"doc/nodes.md",
	"doc/operating.md",
	"doc/performance.md",
	"doc/reliability.md",
	"doc/security.md",
	"doc/testing.md",
	"doc/tunnel.livemd",
	"doc/tutorial.md",
	"elixir/README.md",
	"erlang/README.md",
	"man/erluv-protocol.7",
	"man/erluv.3erl",
	"man/erluv.8",
	"man/erluv.conf.5",
}

// TestProse reports the odd sentences of plain documents and of the comments of all Go files. With -v
// it reports those of other documents too, and the share of odd sentences in each document and folder.
func TestProse(t *testing.T) {
	type share struct{ odd, all int }
	shares := map[string]share{}
	var seen []string
	count := func(file, group string, sentences []string) {
		n := shares[group]
		n.all += len(sentences)
		seen = append(seen, file)
		for _, s := range sentences {
			if term := prose.Term(s); term != "" {
				t.Errorf("%s: write %q, as HACKING.md does: %s", file, term, s)
			}
			why := prose.Odd(s)
			switch {
			case why == "":
				continue
			case strings.HasSuffix(file, ".go"), slices.Contains(plain, file):
				t.Errorf("%s: %s: %s", file, why, s)
			case testing.Verbose():
				t.Logf("%s: %s: %s", file, why, s)
			}
			n.odd++
		}
		shares[group] = n
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d.IsDir() && slices.Contains([]string{"build", ".git", "testdata", "deps", "_build"}, d.Name()) {
				return fs.SkipDir
			}
			return err
		}
		sentences, err := sentencesOf(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".go") {
			count(path, strings.Split(path, "/")[0]+", comments", sentences)
		} else if len(sentences) > 0 {
			count(path, path, sentences)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range plain {
		if !slices.Contains(seen, file) {
			t.Errorf("%s, which is listed as plain, is not there", file)
		}
	}
	for group, n := range shares {
		t.Logf("%-32s %5d of %5d sentences, %.1f %%", group, n.odd, n.all, 100*float64(n.odd)/float64(max(1, n.all)))
	}
}

// TestGlossary: HACKING.md has each term with the one spelling that TestProse wants, and none twice.
func TestGlossary(t *testing.T) {
	text, err := os.ReadFile("HACKING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, glossary, _ := strings.Cut(string(text), "\n## Glossary\n")
	glossary, _, _ = strings.Cut(glossary, "\n## ")
	for _, spelling := range prose.Spellings() {
		if !strings.Contains(glossary, spelling) {
			t.Errorf("the glossary does not have %q", spelling)
		}
	}
	seen := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| [^-|]`).FindAllStringSubmatch(glossary, -1) {
		for _, name := range strings.Split(row[1], ", ") {
			if seen[name] && name != "term" {
				t.Errorf("the glossary has %q twice", name)
			}
			seen[name] = true
		}
	}
	if len(seen) < 30 {
		t.Errorf("the glossary has %d terms", len(seen))
	}
}

var (
	literal = regexp.MustCompile(`(?ms)^\.Bd -literal.*?^\.Ed\n`)
	quoted  = regexp.MustCompile(`(?m)^(> ?)+`) // mandoc's indentation
)

func sentencesOf(path string) ([]string, error) {
	switch {
	case strings.HasSuffix(path, ".md"), strings.HasSuffix(path, ".livemd"):
		text, err := os.ReadFile(path)
		return prose.Markdown(string(text)), err
	case strings.HasPrefix(path, "man/"):
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command("mandoc", "-T", "markdown")
		cmd.Stdin = bytes.NewReader(literal.ReplaceAll(source, nil))
		text, err := cmd.Output()
		return prose.Markdown(quoted.ReplaceAllString(string(text), "")), err
	case strings.HasSuffix(path, ".go"):
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return prose.Comments(source)
	}
	return nil, nil
}
