package e2e

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A test runs once: on the installed OTP, as root. A directive in its comment names another
// condition that its result depends on. The test runs there too.
var directives = map[string]string{
	"releases": "on every release: what it shows depends on what OTP sends and takes",
	"users":    "as an ordinary user: what it shows depends on privileges",
	"check":    "in make check: it is quick, and the twenty together touch every room",
}

const directive = "//erluv:"

// narrow limits the run to the tests with the directive that ERLUV_TEST_ONLY names. It also limits
// it to the part that ERLUV_TEST_PART names: 2/3 is the second of three.
func narrow() error {
	word, part := os.Getenv("ERLUV_TEST_ONLY"), os.Getenv("ERLUV_TEST_PART")
	if word == "" && part == "" || inVersion1 {
		return nil
	}
	if word != "" && directives[word] == "" {
		return fmt.Errorf("ERLUV_TEST_ONLY=%q is not one of %q", word, slices.Sorted(maps.Keys(directives)))
	}
	which, of := 1, 1
	if part != "" {
		if n, err := fmt.Sscanf(part+" ", "%d/%d ", &which, &of); n != 2 || err != nil || which < 1 || which > of {
			return fmt.Errorf("ERLUV_TEST_PART=%q is no part, as 2/3 is", part)
		}
	}
	all, err := readTests()
	if err != nil {
		return err
	}
	names := chosen(all, word, which, of)
	if len(names) == 0 {
		return fmt.Errorf("no test has %s%s in part %d of %d", directive, word, which, of)
	}
	return flag.Set("test.run", "^("+strings.Join(names, "|")+")$")
}

// chosen returns the tests that have the directive, or all tests if word is "", and are in this
// part. The part of a test depends only on its name, so a new test moves no other.
func chosen(all map[string]function, word string, part, of int) (names []string) {
	for name, f := range all {
		h := fnv.New32a()
		_, _ = h.Write([]byte(name))
		if f.isTest(name) && (word == "" || slices.Contains(f.words, word)) && int(h.Sum32()%uint32(of)) == part-1 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// function is a function of this package.
type function struct {
	file  string
	words []string        // of its directives
	uses  map[string]bool // every identifier in it
}

// isTest reports whether go test runs a function of this name.
func (function) isTest(name string) bool {
	return strings.HasPrefix(name, "Test") && name != "TestMain"
}

// readTests reads the functions of this package from their source.
func readTests() (map[string]function, error) {
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		return nil, err
	}
	all := map[string]function{}
	for _, name := range names {
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		placed := 0
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				f := function{name, words(fn.Doc), map[string]bool{}}
				placed += len(f.words)
				ast.Inspect(fn, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok {
						f.uses[id.Name] = true
					}
					return true
				})
				all[fn.Name.Name] = f
			}
		}
		written := 0
		for _, c := range parsed.Comments {
			written += len(words(c))
		}
		if written != placed {
			return nil, fmt.Errorf("%s has %d directives, of which %d stand before a function", name, written, placed)
		}
	}
	return all, nil
}

func words(doc *ast.CommentGroup) []string {
	var list []string
	if doc != nil {
		for _, c := range doc.List {
			if word, ok := strings.CutPrefix(c.Text, directive); ok {
				list = append(list, word)
			}
		}
	}
	return list
}

// TestDirectives checks that directives are known ones and stand before tests. A test that checks
// whether it runs as an ordinary user must also run as one.
func TestDirectives(t *testing.T) {
	all, err := readTests()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range all {
		isTest := f.isTest(name)
		for _, word := range f.words {
			if !isTest || directives[word] == "" {
				t.Errorf("%s: %s has %s%s: only tests have directives, of %q",
					f.file, name, directive, word, slices.Sorted(maps.Keys(directives)))
			}
		}
		if isTest && asksForUser(all, f, 0) && !slices.Contains(f.words, "users") {
			t.Errorf("%s: %s asks whether it runs as an ordinary user: it needs %susers", f.file, name, directive)
		}
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for word := range directives {
		if !strings.Contains(string(makefile), "ERLUV_TEST_ONLY="+word) {
			t.Errorf("no suite of the Makefile runs the tests with %s%s", directive, word)
		}
	}
}

// TestParts checks that each test is in exactly one of the suites that e2e-25 consists of.
func TestParts(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^PARTS := ([0-9 ]+)$`).FindSubmatch(makefile)
	if m == nil || !strings.Contains(string(makefile), "ERLUV_TEST_PART=$*/$(words $(PARTS))") {
		t.Fatal("the Makefile has no PARTS, or does not run them")
	}
	parts := strings.Fields(string(m[1]))
	all, err := readTests()
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for i, part := range parts {
		if part != strconv.Itoa(i+1) {
			t.Errorf("the parts of the Makefile are %q", parts)
		}
		run = append(run, chosen(all, "", i+1, len(parts))...)
	}
	slices.Sort(run)
	if want := chosen(all, "", 1, 1); len(want) < 300 || !slices.Equal(run, want) {
		t.Errorf("the parts run %q, the tests are %q", run, want)
	}
}

// harness are the files whose functions every test calls.
var harness = []string{"main_test.go", "node_test.go", "erluv_test.go", "suites_test.go"}

// asksForUser reports whether a function, or one that it calls, reads ordinary.
func asksForUser(all map[string]function, f function, depth int) bool {
	if f.uses["ordinary"] {
		return true
	}
	for name := range f.uses {
		called, ok := all[name]
		if ok && depth < 3 && !slices.Contains(harness, called.file) && asksForUser(all, called, depth+1) {
			return true
		}
	}
	return false
}
