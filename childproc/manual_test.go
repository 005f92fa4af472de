package childproc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"erluv/wire/etf"
)

// decoded are the words that functions of ours know: those of their cases, and those that
// a name is compared with.
func decoded(t *testing.T, file string, functions ...string) map[string]bool {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	words := make(map[string]bool)
	word := func(e ast.Expr) {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, _ := strconv.Unquote(literal.Value)
			words[text] = true
		}
	}
	found := 0
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !slices.Contains(functions, f.Name.Name) {
			continue
		}
		found++
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CaseClause:
				for _, e := range n.List {
					word(e)
				}
			case *ast.BinaryExpr:
				if x, ok := n.X.(*ast.Ident); ok && n.Op == token.EQL && x.Name == "name" {
					word(n.Y)
				}
			}
			return true
		})
	}
	if found != len(functions) {
		t.Fatalf("%s has %d of the functions %q", file, found, functions)
	}
	return words
}

// documented are the names of the items of the outermost list behind a heading of
// erluv-protocol(7): of "stdout , stderr => What" both, of "{spawn, Cmd, Opts}" spawn.
func documented(t *testing.T, heading string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../man/erluv-protocol.7")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("erluv-protocol.7 has no %s", heading)
	}
	name := regexp.MustCompile(`^\{?([a-z_]+)`)
	names := make(map[string]bool)
	depth := 0
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, ".Sh"), strings.HasPrefix(line, ".Ss"):
			return names
		case strings.HasPrefix(line, ".Bl"):
			depth++
		case strings.HasPrefix(line, ".El"):
			depth--
		case depth == 1 && strings.HasPrefix(line, ".It Li "):
			for _, one := range strings.Split(line[len(".It Li "):], " , ") {
				if found := name.FindStringSubmatch(one); found != nil {
					names[found[1]] = true
				}
			}
		}
	}
	return names
}

// TestManual: erluv-protocol(7) has each request and call that is understood, and no
// other. Its options are compared by package order.
func TestManual(t *testing.T) {
	calls := decoded(t, "calls.go", "workerCall", "call")
	calls["write"] = true // taken before it is decoded
	requests := decoded(t, "manager.go", "request", "tupleRequest")
	requests["stop"] = true // likewise
	for heading, want := range map[string]map[string]bool{
		".Sh REQUESTS": requests,
		".Ss Calls":    calls, // of workers: the first of this name
	} {
		got := documented(t, heading)
		if len(want) < 5 {
			t.Errorf("only %d words are known for %s", len(want), heading)
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if !got[name] {
				t.Errorf("%s: there is no item for %s", heading, name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(got)) {
			if !want[name] {
				t.Errorf("%s: there is an item for %s, which is not understood", heading, name)
			}
		}
	}
}

// TestManualOfInfo: it names all that info has.
func TestManualOfInfo(t *testing.T) {
	text, err := os.ReadFile("../man/erluv-protocol.7")
	if err != nil {
		t.Fatal(err)
	}
	_, item, _ := strings.Cut(string(text), "\n.It Li info\n")
	item, _, _ = strings.Cut(item, "\n.It Li {info, Key}\n")
	var m manager
	keys := 0
	for _, pair := range m.info(testTarget) {
		key := string(pair.Key.(etf.Atom))
		if keys++; !regexp.MustCompile(`\b` + key + `\b`).MatchString(item) {
			t.Errorf("erluv-protocol.7 does not say that info has %s", key)
		}
	}
	if keys < 15 {
		t.Errorf("info has %d keys", keys)
	}
}
