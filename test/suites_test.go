package e2e

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A test runs once: on the installed OTP, as root. A directive in the comment before it
// says by what it differs, and there it runs too.
var directives = map[string]string{
	"releases": "on every release: what it shows depends on what OTP sends and takes",
	"users":    "as an ordinary user: what it shows depends on privileges",
	"check":    "in make check: it is quick, and the twenty together touch every room",
}

const directive = "//erluv:"

// onlyDeclared narrows the run to the tests with the directive that ERLUV_TEST_ONLY names.
func onlyDeclared() error {
	word := os.Getenv("ERLUV_TEST_ONLY")
	if word == "" || inVersion1 {
		return nil
	}
	if directives[word] == "" {
		return fmt.Errorf("ERLUV_TEST_ONLY=%q is none of %q", word, slices.Sorted(maps.Keys(directives)))
	}
	all, err := readTests()
	if err != nil {
		return err
	}
	var names []string
	for name, f := range all {
		if slices.Contains(f.words, word) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return fmt.Errorf("no test has %s%s", directive, word)
	}
	return flag.Set("test.run", "^("+strings.Join(names, "|")+")$")
}

// function is a function of this package.
type function struct {
	file  string
	words []string        // of its directives
	uses  map[string]bool // every identifier in it
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

// TestDirectives holds that directives are known ones and stand before tests. A test that
// asks whether it runs as an ordinary user must run as one.
func TestDirectives(t *testing.T) {
	all, err := readTests()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range all {
		isTest := strings.HasPrefix(name, "Test") && name != "TestMain"
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

// harness are the files by way of which every test asks.
var harness = []string{"main_test.go", "node_test.go", "erluv_test.go", "suites_test.go"}

// asksForUser says whether a function, or one that it calls, reads ordinary.
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
