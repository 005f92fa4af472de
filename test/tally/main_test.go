package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Streams of events, as go test -json writes them.
const (
	passing = `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"pass","Package":"p","Elapsed":0.1}
`
	failing = `{"Action":"output","Package":"p","Test":"TestB","Output":"the reason\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
`
	skipping = `{"Action":"output","Package":"p","Test":"TestC","Output":"no root\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"pass","Package":"p"}
`
	broken = `{"Action":"build-output","ImportPath":"p","Output":"syntax error\n"}
{"Action":"fail","Package":"p"}
`
	noTests = `{"Action":"output","Package":"p","Output":"?   p  [no test files]\n"}
{"Action":"skip","Package":"p"}
`
)

func TestCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		events string
		ci     bool
		want   counts
		output string
	}{
		"pass":             {passing, true, counts{1, 0, 0}, "pass p 0.1s\n"},
		"fail":             {failing, true, counts{0, 1, 0}, "the reason\nfail p 0.0s\n"},
		"skip":             {skipping, false, counts{0, 0, 1}, "pass p 0.0s\n"},
		"skip under CI":    {skipping, true, counts{0, 1, 0}, "no root\nTestC was skipped: under CI that is a failure\npass p 0.0s\n"},
		"does not build":   {broken, true, counts{0, 1, 0}, "syntax error\nfail p 0.0s\n"},
		"fail, then build": {failing + broken, true, counts{0, 2, 0}, "the reason\nfail p 0.0s\nsyntax error\nfail p 0.0s\n"},
		"no tests":         {noTests, true, counts{0, 0, 0}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			s := suite{ci: tc.ci, out: &out, output: map[test][]string{}}
			if err := s.read(strings.NewReader(tc.events)); err != nil {
				t.Fatal(err)
			}
			if s.counts != tc.want {
				t.Errorf("counted %v, want %v", s.counts, tc.want)
			}
			if out.String() != tc.output {
				t.Errorf("printed %q, want %q", out.String(), tc.output)
			}
		})
	}
}

// TestReach: the reached statements of two packages count together. Too few, or no profile, is a
// failure.
func TestReach(t *testing.T) {
	file := filepath.Join(t.TempDir(), "profile")
	text := "mode: set\na.go:1.1,2.2 3 1\na.go:3.1,4.2 1 0\nmode: set\na.go:1.1,2.2 3 0\nb.go:1.1,2.2 16 7\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for percent, want := range map[float64]string{95: "", 95.1: "reach 95.0 % of the statements"} {
		err := reach{file, percent}.check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", percent, err)
		}
	}
	if err := (reach{}).check(); err != nil {
		t.Error(err)
	}
	for name, profile := range map[string]string{"none": file + "x", "one of nothing": os.DevNull} {
		if err := (reach{profile, 95}).check(); err == nil {
			t.Errorf("%s is enough", name)
		}
	}
}

func TestSum(t *testing.T) {
	for name, tc := range map[string]struct {
		files []string
		last  string
		fails bool
	}{
		"two suites": {[]string{`{"Counts":{"Passed":3}}`, `{"Counts":{"Passed":4},"Seconds":70}`}, "7 passed, 0 failed", false},
		"a failure":  {[]string{`{"Counts":{"Passed":3}}`, `{"Counts":{"Passed":4,"Failed":1}}`}, "7 passed, 1 failed", true},
		"one ended":  {[]string{`{"Counts":{"Passed":3}}`}, "3 passed, 1 failed", true},
		"none":       {nil, "0 passed, 2 failed", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i, text := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			if err := sum(dir, []string{"a", "b"}, &out); (err != nil) != tc.fails {
				t.Errorf("error %v, want one: %v", err, tc.fails)
			}
			if name == "two suites" && !strings.Contains(out.String(), " 70 s  4 passed") {
				t.Errorf("no time in %q", out.String())
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != tc.last {
				t.Errorf("last line %q, want %q", last, tc.last)
			}
		})
	}
}

func TestRunFailsWithTheCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results", "x")
	if err := run(file, []string{"false"}, reach{}, true); err == nil {
		t.Error("a failing command passed")
	}
	if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), `{"Counts":{"Passed":0,"Failed":1,"Skipped":0},"Seconds":`) {
		t.Errorf("results %q, %v", text, err)
	}
}
