package childproc

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"erluv/wire/etf"
)

// section returns the text of erluv-protocol(7) behind a heading, up to the next one. If several
// headings have the same name, nth selects one, from 0 on.
func section(t *testing.T, heading string, nth int) string {
	t.Helper()
	text, err := os.ReadFile("../man/erluv-protocol.7")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\n"+heading+"\n")
	if nth+1 >= len(parts) {
		t.Fatalf("erluv-protocol.7 has no %s", heading)
	}
	end := regexp.MustCompile(`(?m)^\.S[hs] `).FindStringIndex(parts[nth+1])
	if end == nil {
		return parts[nth+1]
	}
	return parts[nth+1][:end[0]]
}

// headings returns the headings of the items of a section's outermost list, which name requests.
func headings(section string) (found []string) {
	depth := 0
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		heading, is := strings.CutPrefix(line, ".It ")
		switch {
		case strings.HasPrefix(line, ".Bl"):
			depth++
		case strings.HasPrefix(line, ".El"):
			depth--
		case depth == 1 && is:
			found = append(found, strings.Trim(strings.TrimPrefix(heading, "Li "), `"`))
		}
	}
	return found
}

// documented compares the rows of a table with the manual.
func documented[F any](t *testing.T, family table[F], want taken, there []string) {
	t.Helper()
	for i := range family {
		row := &family[i]
		if !row.taken.has(want) {
			continue
		}
		for _, one := range strings.Split(row.line, " , ") {
			if name, arity := shape(one); name != row.name || arity != row.arity {
				t.Errorf("%s is %s with %d arguments, but the row is of %s with %d", one, name, arity, row.name, row.arity)
			}
		}
		at := slices.Index(there, row.line)
		if at < 0 {
			t.Errorf("there is no item for %s", row.line)
			continue
		}
		there = slices.Delete(slices.Clone(there), at, at+1)
	}
	for _, heading := range there {
		t.Errorf("there is an item for %s, which is not understood", heading)
	}
}

// shape returns the name of a request as the manual writes it, and its number of arguments.
func shape(request string) (name etf.Atom, arity int) {
	inside, isTuple := strings.CutPrefix(request, "{")
	if !isTuple {
		return etf.Atom(request), 0
	}
	head, _, _ := strings.Cut(strings.TrimSuffix(inside, "}"), ", ")
	depth := 0
	for i, r := range inside {
		switch {
		case r == '{':
			depth++
		case r == '}':
			depth--
		case r == ',' && depth == 0 && strings.HasPrefix(inside[i:], ", "):
			arity++
		}
	}
	if arity == 0 {
		arity = inTuple
	}
	return etf.Atom(head), arity
}

// TestManual checks that erluv-protocol(7) has exactly the requests, calls and messages that are
// known, with their arguments. Package order compares the options.
func TestManual(t *testing.T) {
	t.Run("requests", func(t *testing.T) { documented(t, requests, always, headings(section(t, ".Sh REQUESTS", 0))) })
	t.Run("calls of workers", func(t *testing.T) { documented(t, calls, byWorker, headings(section(t, ".Ss Calls", 0))) })
	t.Run("calls of watchers", func(t *testing.T) { documented(t, calls, byWatcher, headings(section(t, ".Ss Calls", 1))) })
	t.Run("calls of uploads", func(t *testing.T) { documented(t, calls, byUpload, headings(section(t, ".Ss Calls", 2))) })
	t.Run("system messages", func(t *testing.T) {
		var there []string
		for _, heading := range headings(section(t, ".Ss System messages", 0)) {
			for _, one := range strings.Split(heading, " , ") {
				if words := strings.Fields(strings.TrimPrefix(one, "Fn sys:")); strings.HasPrefix(one, "Fn sys:") {
					words = slices.DeleteFunc(words, func(w string) bool { return w == "W" })
					there = append(there, "{"+strings.Join(words, ", ")+"}")
				}
			}
		}
		for i, one := range there {
			if !strings.Contains(one, ",") {
				there[i] = strings.Trim(one, "{}")
			}
		}
		documented(t, systemRequests, always, there)
	})
	t.Run("I/O", func(t *testing.T) {
		documented(t, ioRequests, byWorker, headings(section(t, ".Ss The I/O protocol", 0)))
	})
	t.Run("port messages", func(t *testing.T) {
		var there []string
		for line := range strings.Lines(section(t, ".Ss The port protocol", 0)) {
			if message, is := strings.CutPrefix(line, `.It Li W \&! {Owner, `); is {
				there = append(there, strings.TrimSuffix(strings.TrimRight(message, " ,.\n"), "}"))
			}
		}
		documented(t, portMessages, byWorker, there)
	})
}

// TestManualOfInfo checks that the manual has all keys of info.
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
