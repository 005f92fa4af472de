package erluv_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCounted checks that the suite unit-counts runs exactly the tests that do a tenth of
// their work in unit, by repeats.
func TestCounted(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^COUNTED := (.*)$`).FindSubmatch(makefile)
	p := regexp.MustCompile(`(?m)COUNTED.*"((?: \./[a-z/]+)+)$`).FindSubmatch(makefile)
	if m == nil || p == nil {
		t.Fatal("the Makefile has no COUNTED, or unit-counts no packages")
	}
	listed, packages := strings.Fields(string(m[1])), strings.Fields(string(p[1]))
	var files []string
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && path == "build" {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !callsRepeats(fn) {
				continue
			}
			found = append(found, fn.Name.Name)
			if dir := "./" + filepath.Dir(file); !slices.Contains(packages, dir) {
				t.Errorf("unit-counts does not run the tests of %s, of which %s repeats itself", dir, fn.Name.Name)
			}
		}
	}
	slices.Sort(listed)
	slices.Sort(found)
	if !slices.Equal(listed, found) {
		t.Errorf("COUNTED of the Makefile has %q, the tests that use repeats are %q", listed, found)
	}
}

func callsRepeats(fn *ast.FuncDecl) bool {
	calls := false
	ast.Inspect(fn, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if id, ok := c.Fun.(*ast.Ident); ok && id.Name == "repeats" {
				calls = true
			}
		}
		return true
	})
	return calls
}

// TestTargets checks that the Makefile has a rule for each target that it names, and each
// that HACKING.md names.
func TestTargets(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	hacking, err := os.ReadFile("HACKING.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile(`(?m)^\.PHONY: (.*)$`).FindAllStringSubmatch(string(makefile), -1) {
		named = append(named, strings.Fields(m[1])...)
	}
	for _, m := range regexp.MustCompile(`(?m)^    make ([a-z0-9-]+) `).FindAllStringSubmatch(string(hacking), -1) {
		named = append(named, m[1])
	}
	if len(named) < 30 {
		t.Errorf("only these are named: %q", named)
	}
	for _, target := range named {
		// FORCE is none: what depends on it is made each time. Of E2E_25, TestParts of test holds it.
		if target == "FORCE" || target == "$(E2E_25)" {
			continue
		}
		if !regexp.MustCompile(`(?m)^([a-z0-9 -]+ )?` + target + `( [a-z0-9 -]+)?:($|[^=])`).Match(makefile) {
			t.Errorf("the Makefile has no rule for %s", target)
		}
	}
}

// mostWithoutIndex is how many files a package may have before its comment must list them.
const mostWithoutIndex = 4

func hasTarget(makefile, target string) bool {
	return regexp.MustCompile(`(?m)^([a-z0-9 -]+ )?` + target + `( [a-z0-9 -]+)?:($|[^=])`).MatchString(makefile)
}

// TestIndexes checks the indexes in package comments. A comment that lists some files lists each
// file of the package, also those of other architectures, and no other file. A package of many
// files must have such a list.
func TestIndexes(t *testing.T) {
	comments := map[string]string{}
	for _, p := range list(t, "./...") {
		dir := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "erluv"), "/")
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Doc != nil {
				comments[dir] += parsed.Doc.Text()
			}
		}
		var named []string
		for _, m := range regexp.MustCompile(`(?m)(?:^\t|; )([a-z0-9_]+\.go)\b`).FindAllStringSubmatch(comments[dir], -1) {
			named = append(named, m[1])
		}
		there := slices.DeleteFunc(slices.Concat(p.GoFiles, p.IgnoredGoFiles), func(file string) bool { return file == "doc.go" })
		if named == nil && len(there) <= mostWithoutIndex {
			continue
		}
		slices.Sort(named)
		if slices.Sort(there); !slices.Equal(named, there) {
			t.Errorf("the comment of package %s names %q, its files are %q", dir, named, there)
		}
	}
}
