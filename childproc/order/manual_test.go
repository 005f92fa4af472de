package order

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// item is an option in the manual.
type item struct {
	types []string // one for each of its headings
	text  string   // without macros, in one line
}

// items returns the items of the outermost list behind a heading of erluv-protocol(7), by name. The
// item "stdout , stderr => Type" is there twice.
func items(t *testing.T, heading string) map[string]*item {
	t.Helper()
	text, err := os.ReadFile("../../man/erluv-protocol.7")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("erluv-protocol.7 has no %s", heading)
	}
	found := make(map[string]*item)
	var last []*item
	depth := 0
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, ".Sh"), strings.HasPrefix(line, ".Ss"):
			return found
		case strings.HasPrefix(line, ".Bl"):
			depth++
		case strings.HasPrefix(line, ".El"):
			depth--
		case depth == 1 && strings.HasPrefix(line, ".It Li "):
			last = begun(found, strings.Trim(line[len(".It Li "):], `"`))
		default:
			for _, it := range last {
				it.text += " " + plain(line)
			}
		}
	}
	return found
}

// begun returns the items of one heading. Its names have one type together, or each its own.
func begun(found map[string]*item, heading string) (list []*item) {
	parts := strings.Split(heading, " , ")
	_, shared, _ := strings.Cut(parts[len(parts)-1], " => ")
	for _, part := range parts {
		name, typ, own := strings.Cut(part, " => ")
		if !own {
			typ = shared
		}
		it := found[name]
		if it == nil {
			it = &item{}
			found[name] = it
		}
		if typ != "" {
			it.types = append(it.types, typ)
		}
		list = append(list, it)
	}
	return list
}

var page = regexp.MustCompile(`^\.Xr (\S+) (\S+)`)

// plain returns a line without its macro.
func plain(line string) string {
	line = page.ReplaceAllString(line, "$1($2)")
	if strings.HasPrefix(line, ".") {
		_, line, _ = strings.Cut(line, " ")
	}
	return strings.ReplaceAll(strings.ReplaceAll(line, " .", "."), " ,", ",")
}

var defaulted = regexp.MustCompile(`Default: (.*?)\.( |$)`)

// TestManual checks that erluv-protocol(7) has exactly the options of the table, each with its
// type, its default and its request.
func TestManual(t *testing.T) {
	for heading, request := range map[string]Request{".Ss Opts": forBoth, ".Sh FILE EVENTS": ForWatch, ".Sh UPLOADS": ForPut} {
		manual := items(t, heading)
		for i := range Table {
			row := &Table[i]
			if row.For&request == 0 {
				continue
			}
			it := manual[row.Name]
			delete(manual, row.Name)
			if it == nil {
				t.Errorf("%s: there is no item for %s", heading, row.Name)
			} else if request == forBoth || row.For&forBoth == 0 { // otherwise the item refers to spawn
				compare(t, row, it)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(manual)) {
			t.Errorf("%s: there is an item for %s, which is not understood", heading, name)
		}
	}
}

// TestManualTable: the table of options has, for each request, the rows of the code in their order,
// with the defaults. Of one that a long text describes it has the end.
func TestManualTable(t *testing.T) {
	text, err := os.ReadFile("../../man/erluv-protocol.7")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n.Ss Table of options\n")
	section, _, _ = strings.Cut(section, "\n.Ss ")
	lists := strings.Split(section, "\n.Bl -column ")[1:]
	are := []func(r Request) bool{
		func(r Request) bool { return r&forBoth == forBoth },
		func(r Request) bool { return r&forBoth == ForSpawn },
		func(r Request) bool { return r == ForRun },
		func(r Request) bool { return r&ForWatch != 0 },
		func(r Request) bool { return r&ForPut != 0 },
	}
	if len(lists) != len(are) {
		t.Fatalf("there are %d tables, want %d", len(lists), len(are))
	}
	for i, list := range lists {
		var manual, code [][2]string
		for line := range strings.Lines(list) {
			if row, is := strings.CutPrefix(line, ".It Li "); is {
				cells := strings.Split(row, " Ta ")
				manual = append(manual, [2]string{cells[0], cells[1]})
			}
		}
		for _, row := range Table {
			if are[i](row.For) {
				def := row.Default
				if n := len(code); n < len(manual) && strings.HasSuffix(def, " of "+manual[n][1]) {
					def = manual[n][1]
				}
				code = append(code, [2]string{row.Name, def})
			}
		}
		if diff := cmp.Diff(code, manual); diff != "" {
			t.Errorf("table %d (-code +manual):\n%s", i+1, diff)
		}
	}
}

// TestManualOfClasses: the section about classes has each option that the caller of one may give.
func TestManualOfClasses(t *testing.T) {
	text, err := os.ReadFile("../../man/erluv-protocol.7")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "by the options\n")
	list, _, _ = strings.Cut(list, "Any other option")
	manual := regexp.MustCompile(`\b[a-z]\w+`).FindAllString(list, -1)
	manual = slices.DeleteFunc(manual, func(w string) bool { return w == "and" })
	var code []string
	for _, option := range classOptions {
		code = append(code, string(option))
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(code)), slices.Sorted(slices.Values(manual))); diff != "" {
		t.Errorf("options of classes (-code +manual):\n%s", diff)
	}
}

func compare(t *testing.T, row *Option, it *item) {
	t.Helper()
	if typ := strings.Join(it.types, " | "); typ != row.Type {
		t.Errorf("%s is %s, in the manual %s", row.Name, row.Type, typ)
	}
	found := defaulted.FindStringSubmatch(it.text)
	if found == nil || found[1] != row.Default {
		t.Errorf("%s is by default %s, in the manual %q", row.Name, row.Default, found)
	}
	if is := strings.Contains(it.text, "Not for run."); is != (row.For&ForRun == 0 && row.For&ForSpawn != 0) {
		t.Errorf("%s: the manual says that it is not for run: %v", row.Name, is)
	}
	if is := strings.Contains(it.text, "Only for run."); is != (row.For == ForRun) {
		t.Errorf("%s: the manual says that it is only for run: %v", row.Name, is)
	}
}

// erlangKeys returns the keys of a type of options in the Erlang library. Its macros are keys that
// several types share.
func erlangKeys(t *testing.T, name string) (keys []string) {
	t.Helper()
	var sources [2]string
	for i, file := range []string{"erluv.erl", "erluv.hrl"} {
		text, err := os.ReadFile("../../erlang/src/" + file)
		if err != nil {
			t.Fatal(err)
		}
		sources[i] = string(text)
	}
	_, typ, _ := strings.Cut(sources[0], "-type "+name+"() ::\n")
	typ, _, _ = strings.Cut(typ, "\n        | ") // or a property list
	for _, macro := range []string{"PROGRAM_OPTIONS", "WORKER_OPTIONS"} {
		_, keys, _ := strings.Cut(sources[1], "-define("+macro+",\n")
		keys, _, _ = strings.Cut(keys, ").\n")
		typ = strings.Replace(typ, "?"+macro, keys, 1)
	}
	for _, key := range regexp.MustCompile(`(?m)^[^\n]*?([a-z_]+) => `).FindAllStringSubmatch(typ, -1) {
		keys = append(keys, key[1])
	}
	slices.Sort(keys)
	return keys
}

// TestErlangTypes checks that the types in the Erlang library have exactly the options of each
// request. The library's own tests check their values with dialyzer.
func TestErlangTypes(t *testing.T) {
	for name, request := range map[string]Request{"options": ForSpawn, "run_options": ForRun, "watch_options": ForWatch, "put_options": ForPut} {
		var want []string
		for i := range Table {
			if Table[i].For&request != 0 {
				want = append(want, Table[i].Name)
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, erlangKeys(t, name)); diff != "" {
			t.Errorf("%s() (-understood +there):\n%s", name, diff)
		}
	}
}
