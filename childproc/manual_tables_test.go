package childproc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// The tables at the beginning of erluv-protocol(7) must have exactly what the code has.

// rowsOf returns the rows of a table of the manual, without the macros of their cells.
func rowsOf(t *testing.T, table string) (rows [][]string) {
	t.Helper()
	for line := range strings.Lines(section(t, ".Ss Table of "+table, 0)) {
		row, is := strings.CutPrefix(strings.TrimSpace(line), ".It Li ")
		if !is {
			continue
		}
		cells := strings.Split(row, " Ta ")
		for i := range cells {
			cells[i] = strings.TrimPrefix(cells[i], "Li ")
		}
		rows = append(rows, cells)
	}
	if len(rows) < 5 {
		t.Fatalf("the table of %s has %d rows", table, len(rows))
	}
	return rows
}

// equals reports the differences between two lists.
func equals(t *testing.T, what string, code, manual []string) {
	t.Helper()
	for _, c := range code {
		if !slices.Contains(manual, c) {
			t.Errorf("the table of %s does not have %s", what, c)
		}
	}
	for _, m := range manual {
		if !slices.Contains(code, m) {
			t.Errorf("the table of %s has %s, which the code does not have", what, m)
		}
	}
}

// shaped returns the name of a request and its number of arguments.
func shaped(request string) string {
	name, arity := shape(request)
	return string(name) + "/" + strconv.Itoa(arity)
}

func TestManualTableOfRequests(t *testing.T) {
	var code, manual []string
	for _, row := range requests {
		code = append(code, string(row.name)+"/"+strconv.Itoa(row.arity))
	}
	for _, row := range rowsOf(t, "requests") {
		manual = append(manual, shaped(row[0]))
	}
	equals(t, "requests", code, manual)
}

func TestManualTableOfCalls(t *testing.T) {
	var code, manual []string
	for _, row := range calls {
		to := "worker"
		switch {
		case row.taken.has(byUpload) && row.taken.has(byWatcher):
			to = "all"
		case row.taken.has(byUpload):
			to = "upload"
		}
		code = append(code, string(row.name)+"/"+strconv.Itoa(row.arity)+" to "+to)
	}
	for _, row := range rowsOf(t, "calls") {
		manual = append(manual, shaped(row[0])+" to "+row[1])
	}
	equals(t, "calls", code, manual)
}

// The code composes these messages without etf.Tuple: output, and the end of a program.
var composed = []string{
	"{_, _}", "{fs, _, _}",
	"{exit_status, _}", "{signal, _}", "{signal, _, core}", "{signal, sigkill, oom}",
}

func TestManualTableOfMessages(t *testing.T) {
	code := termsIn(t, []string{".", "output", "peer"}, func(call string, args []ast.Expr) ast.Expr {
		last := args[len(args)-1]
		switch call {
		case "tell", "tellLast", "Tell", "Regain", "step", "decide":
			return last
		case "Send": // of {W, Message}
			if pair, ok := last.(*ast.CompositeLit); ok && len(pair.Elts) == 2 {
				return pair.Elts[1]
			}
		}
		return nil
	})
	var manual []string
	for _, row := range rowsOf(t, "messages") {
		manual = append(manual, strings.TrimSuffix(strings.TrimPrefix(row[0], "{W, "), "}"))
	}
	alike(t, "messages", append(code, composed...), manual)
}

func TestManualTableOfEvents(t *testing.T) {
	code := termsIn(t, []string{".", "../mainproc/link"}, func(call string, args []ast.Expr) ast.Expr {
		if call == "event" || call == "eventTo" {
			return args[len(args)-1]
		}
		return nil
	})
	var manual []string
	for _, row := range rowsOf(t, "events") {
		manual = append(manual, strings.TrimSuffix(strings.TrimPrefix(row[0], "{erluv, Node, "), "}"))
	}
	alike(t, "events", code, manual)
}

func TestManualTableOfExitReasons(t *testing.T) {
	code := termsIn(t, []string{".", "../mainproc/link"}, func(call string, args []ast.Expr) ast.Expr {
		if call == "Encode" && len(args) == 1 {
			return args[0]
		}
		return nil
	})
	// The variables of wire/gen; badsig goes to others than observers, kill is a request.
	for _, name := range selectorsOf(t, "gen") {
		if reason, ok := map[string]string{
			"Normal": "normal", "Killed": "killed", "Noproc": "noproc", "Shutdown": "shutdown",
			"Timeout": "timeout", "SystemLimit": "system_limit", "Noconnection": "noconnection",
		}[name]; ok {
			code = append(code, reason)
		}
	}
	// A request of code_server, and one that is not understood.
	code = slices.DeleteFunc(code, func(c string) bool { return c == "get_modules" || c == "{info, _}" })
	code = append(code, composed[2:]...)
	manual := []string{}
	for _, row := range rowsOf(t, "exit reasons") {
		manual = append(manual, row[0])
	}
	alike(t, "exit reasons", code, manual)
}

// TestManualOfCauses checks that the section about ends has each cause.
func TestManualOfCauses(t *testing.T) {
	var code []string
	eachDeclaration(t, []string{"history"}, func(d ast.Node) {
		ast.Inspect(d, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Cause" {
					cause, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
					code = append(code, cause)
				}
			}
			return true
		})
	})
	_, list, _ := strings.Cut(section(t, ".Sh ENDS", 0), "The causes are:\n")
	equals(t, "causes", code, headings(list))
}

// TestManualOfErrors checks that the page names each error that the child answers.
func TestManualOfErrors(t *testing.T) {
	page, err := os.ReadFile("../man/erluv-protocol.7")
	if err != nil {
		t.Fatal(err)
	}
	errs := termsIn(t, []string{".", "order", "output", "../mainproc/link"}, func(call string, args []ast.Expr) ast.Expr {
		if call == "Error" && len(args) == 1 {
			return args[0]
		}
		return nil
	})
	for _, e := range errs {
		head, _, _ := strings.Cut(strings.Trim(e, "{}"), ",")
		if head != "_" && !regexp.MustCompile(`(?m)(^\.(Li|It Li) |[{, ])`+head+`\b`).Match(page) {
			t.Errorf("erluv-protocol.7 does not have the error %s", e)
		}
	}
	if len(errs) < 20 {
		t.Errorf("the code has %d errors", len(errs))
	}
}

// alike compares terms of the code with rows of the manual. In the code, _ is any value. In the
// manual, a word with a capital is.
func alike(t *testing.T, what string, code, manual []string) {
	t.Helper()
	for _, c := range code {
		if !slices.ContainsFunc(manual, func(m string) bool { return fits(c, m) }) {
			t.Errorf("the table of %s does not have %s", what, c)
		}
	}
	for _, m := range manual {
		if !isVariable(m) && !slices.ContainsFunc(code, func(c string) bool { return fits(c, m) }) {
			t.Errorf("the table of %s has %s, which the code does not have", what, m)
		}
	}
}

var words = regexp.MustCompile(`[A-Za-z_0-9]+|[{}]`)

// fits reports whether a term of the code matches a row. Both must have the same name. Only a
// variable of the manual matches a name that the code computes.
func fits(code, manual string) bool {
	c, m := words.FindAllString(code, -1), words.FindAllString(manual, -1)
	for i, n := 0, 0; i < len(c); i++ {
		switch {
		case i >= len(m):
			return false
		case c[i] == "{" || c[i] == "}":
			if c[i] != m[i] {
				return false
			}
		default:
			if n++; c[i] != m[i] && !(c[i] == "_" && (n > 1 || isVariable(m[i])) && m[i] != "{") {
				return false
			}
		}
	}
	return len(c) == len(m)
}

func isVariable(word string) bool { return unicode.IsUpper(rune(word[0])) }

// termsIn returns the terms that code of some directories passes to functions, as the manual writes
// them. The function pick chooses the argument of a call. For a variable, it returns all values
// that the function assigns to it.
func termsIn(t *testing.T, dirs []string, pick func(call string, args []ast.Expr) ast.Expr) (terms []string) {
	t.Helper()
	eachDeclaration(t, dirs, func(body ast.Node) {
		ast.Inspect(body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if arg := pick(sel.Sel.Name, call.Args); arg != nil {
					for _, value := range valuesOf(arg, body) {
						if term := termOf(value); strings.Trim(term, "{}_, ") != "" && !slices.Contains(terms, term) {
							terms = append(terms, term)
						}
					}
				}
			}
			return true
		})
	})
	return terms
}

// eachDeclaration calls do with each declaration in directories, except in tests.
func eachDeclaration(t *testing.T, dirs []string, do func(ast.Node)) {
	t.Helper()
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				do(d)
			}
		}
	}
}

// selectorsOf returns the names of a package that the child's code uses.
func selectorsOf(t *testing.T, of string) (names []string) {
	eachDeclaration(t, []string{".", "../mainproc/link"}, func(body ast.Node) {
		ast.Inspect(body, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == of && !slices.Contains(names, sel.Sel.Name) {
					names = append(names, sel.Sel.Name)
				}
			}
			return true
		})
	})
	return names
}

// valuesOf returns an expression, or all that a function assigns to it if it is a variable.
func valuesOf(e ast.Expr, body ast.Node) (values []ast.Expr) {
	name, ok := e.(*ast.Ident)
	if !ok {
		return []ast.Expr{e}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				if to, ok := to.(*ast.Ident); ok && to.Name == name.Name && len(n.Rhs) == len(n.Lhs) {
					values = append(values, n.Rhs[i])
				}
			}
		case *ast.ValueSpec:
			for i, to := range n.Names {
				if to.Name == name.Name && i < len(n.Values) {
					values = append(values, n.Values[i])
				}
			}
		}
		return true
	})
	return values
}

// termOf returns the term of an expression, as the manual writes it; _ is any value.
func termOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.CallExpr:
		sel, _ := e.Fun.(*ast.SelectorExpr)
		if sel == nil || len(e.Args) != 1 {
			return "_"
		}
		if lit, ok := e.Args[0].(*ast.BasicLit); ok && sel.Sel.Name == "Atom" {
			atom, _ := strconv.Unquote(lit.Value)
			return atom
		}
		if sel.Sel.Name == "Error" {
			return "{error, " + termOf(e.Args[0]) + "}"
		}
	case *ast.CompositeLit:
		if sel, ok := e.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Tuple" {
			var parts []string
			for _, part := range e.Elts {
				parts = append(parts, termOf(part))
			}
			return "{" + strings.Join(parts, ", ") + "}"
		}
	}
	return "_"
}
