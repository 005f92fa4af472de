package consult

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// texts maps each text to its printed terms.
var texts = map[string]string{
	"":                 "",
	"% only a comment": "",
	"a.":               "a",
	"a .\n'b c'.\n":    "a 'b c'",
	"a.% end":          "a",
	"'end'. e@b_C1.":   "'end' e@b_C1",
	`{server, [{certfile, "/a b"}, {verify, verify_peer}]}.`:  `{server,[{certfile,"/a b"},{verify,verify_peer}]}`,
	"[ % one\n\t{a,\n{}},\n[] ].":                             "[{a,{}},[]]",
	"1. -2. +3. 1_000. 16#fF. -2#101. $a. $\\n. $\\s. 36#zZ.": "1 -2 3 1000 255 -5 97 10 32 1295",
	"9223372036854775807. -9223372036854775808.":              "9223372036854775807 -9223372036854775808",
	"1.5. -1.0e-3. 1.0E3.":                                    "1.5 -1.0e-3 1.0E3",
	`"a" "b"` + "\n" + `"c".`:                                 `"abc"`,
	`"\"\\\x41\x{263a}\101\e\d".`:                             `"\"\\A☺A\x{1b}\x{7f}"`,
	`'it''s'.`:                                                "",
	`'it\'s'. 'ü'. "ü".`:                                      `'it\'s' 'ü' "ü"`,
	`<<>>. <<"ab">>. <<1,"b",255>>. <<"ü">>. <<"ü"/utf8>>.`:   "<<>> <<97,98>> <<1,98,255>> <<252>> <<195,188>>",
	"['tlsv1.2', 'tlsv1.3'].":                                 "['tlsv1.2','tlsv1.3']",
	"{verify_fun, {inet_tls_dist, verify_client, []}}.":       "{verify_fun,{inet_tls_dist,verify_client,[]}}",
	"\"a\nb\".":              `"a\x{a}b"`,
	"[{a,1},\r\n{b,2}].\r\n": "[{a,1},{b,2}]",
}

func TestParse(t *testing.T) {
	for text, want := range texts {
		terms, err := Parse([]byte(text))
		if text == "'it''s'." {
			if err == nil { // two atoms side by side
				t.Error(terms)
			}
			continue
		}
		if err != nil || printed(terms) != want {
			t.Errorf("%s\ngot  %s, %v\nwant %s", text, printed(terms), err, want)
		}
	}
}

func printed(terms []Term) string {
	var all []string
	for _, t := range terms {
		all = append(all, t.Printed())
	}
	return strings.Join(all, " ")
}

// TestLines: each term knows its line.
func TestLines(t *testing.T) {
	terms, err := Parse([]byte("% 1\n[{a,\n \"x\ny\"},\n{b, 'c\\\nd'},\n e]."))
	if err != nil {
		t.Fatal(err)
	}
	list := terms[0].Items
	got := fmt.Sprint(terms[0].Line, list[0].Line, list[0].Items[1].Line, list[1].Line, list[1].Items[1].Line, list[2].Line)
	if got != "2 2 3 5 5 7" {
		t.Error(got)
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a":                                   "line 1: the end of the text comes after a term",
		"\n\n{a, b":                           "line 3: the end of the text instead of , or }",
		"{a b}.":                              "line 1: a value instead of , or }",
		"[a,\n].":                             "line 2: ] where a term should begin",
		"[a|b].":                              "line 1: lists with a tail",
		"#{a => 1}.":                          "line 1: maps are not taken",
		"[\nfun a:b/1].":                      "line 2: funs are not taken here",
		"X.":                                  "line 1: X is a variable",
		"\"a":                                 "line 1: a string without its second quote",
		"'a\n\n":                              "line 1: an atom without its second quote",
		"a.b.":                                "line 1: a dot that does not end a term",
		"\n\xff.":                             "line 2: the byte 16#ff is no UTF-8",
		"\"\xff\".":                           "line 1: the byte 16#ff is no UTF-8",
		"é.":                                  "line 1: the character 'é'",
		`"\xg".`:                              `line 1: \x must be followed`,
		`"\x{d800}".`:                         "is no character",
		`"\^a".`:                              `line 1: \^ is not taken`,
		`"""`:                                 "line 1: triple-quoted",
		`~"a".`:                               "line 1: sigils",
		"end.":                                "line 1: end is a reserved word",
		"12a.":                                "line 1: 12a is no number",
		"- 1.":                                "line 1: \"-\" is no number",
		"1#1.":                                "line 1: 1#1: there is no base 1",
		"2#2.":                                "line 1: 2#2 has digits that base 2 has not",
		"9223372036854775808.":                "line 1: 9223372036854775808 has more than 64 bits",
		"1.0e999.":                            "line 1: 1.0e999 is no number",
		"<<256>>.":                            "line 1: a binary cannot hold the character 256",
		"<<-1>>.":                             "line 1: a number in a binary",
		"<<a>>.":                              "line 1: a binary has strings and numbers, not an atom",
		"<<1,>>.":                             "line 1: a comma before >>",
		"<<1/float>>.":                        "line 1: a binary may have /utf8",
		"<<1 2>>.":                            "line 1: a value instead of , or >>",
		"$":                                   "line 1: the text ends within a character",
		strings.Repeat("[", 40):               "line 1: lists and tuples stand more than 32 deep",
		strings.Repeat(" ", 1e5):              "line 1: the text has 100000 bytes",
		"'" + strings.Repeat("a", 256) + "'.": "line 1: an atom of 256 characters",
	} {
		_, err := Parse([]byte(text))
		var is *Error
		if !errors.As(err, &is) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v\nwant %s", text, err, want)
		}
	}
}

// TestAsErlang: Erlang reads the same terms from a text and from its printed form.
func TestAsErlang(t *testing.T) {
	erl := os.Getenv("ERLUV_ERL")
	if erl == "" {
		erl = "erl"
	}
	dir := t.TempDir()
	n := 0
	for text := range texts {
		terms, err := Parse([]byte(text))
		if err != nil {
			continue
		}
		var again strings.Builder
		for _, term := range terms {
			again.WriteString(term.Printed() + ".\n")
		}
		n++
		err = errors.Join(os.WriteFile(filepath.Join(dir, fmt.Sprint(n, ".in")), []byte(text), 0o600),
			os.WriteFile(filepath.Join(dir, fmt.Sprint(n, ".out")), []byte(again.String()), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(erl, "-noinput", "-eval", `
		[begin
			{ok, A} = file:consult(In), {ok, B} = file:consult(filename:rootname(In) ++ ".out"),
			A =:= B orelse (io:format("~ts: ~p ~p~n", [In, A, B]))
		end || In <- filelib:wildcard("*.in")], io:format("compared ~p~n", [length(filelib:wildcard("*.in"))]), halt().`)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != fmt.Sprintf("compared %d\n", n) {
		t.Errorf("%v\n%s", err, out)
	}
}

// FuzzParse checks that nothing panics, and that an error has a line of the text. A printed term is
// read back as the same term.
func FuzzParse(f *testing.F) {
	for text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		terms, err := Parse(text)
		if err != nil {
			var is *Error
			if !errors.As(err, &is) || is.Line < 1 || is.Line > 1+strings.Count(string(text), "\n") {
				t.Fatalf("%v", err)
			}
			return
		}
		var again strings.Builder
		for _, term := range terms {
			again.WriteString(term.Printed() + ".\n")
		}
		if again.Len() > MaxSize {
			return
		}
		second, err := Parse([]byte(again.String()))
		if err != nil || printed(second) != printed(terms) {
			t.Fatalf("%q is printed as %q, which is %q, %v", text, again.String(), printed(second), err)
		}
	})
}
