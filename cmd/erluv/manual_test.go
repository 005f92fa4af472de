package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"erluv/config"
	"erluv/test/prose"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// items returns the bodies of a manual's list items that begin with the macro, by the word after
// it.
func items(t *testing.T, page, macro string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "man", page))
	if err != nil {
		t.Fatal(err)
	}
	found, in := make(map[string]string), make(map[string]string)
	name, section := "", ""
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, ".It ") || strings.HasPrefix(line, ".El") || strings.HasPrefix(line, ".Sh") {
			name = ""
		}
		if strings.HasPrefix(line, ".S") {
			section = line
		}
		if rest, ok := strings.CutPrefix(line, ".It "+macro+" "); ok {
			name = strings.Fields(rest)[0]
			if found[name] != "" && in[name] == section {
				t.Errorf("%s has %s twice", page, name)
			}
			in[name] = section
		}
		if name != "" {
			found[name] += line
		}
	}
	return found
}

// wantDefault looks for the key's default, or for words about the case without one.
func wantDefault(t *testing.T, page, name, body string, key *config.Key) {
	t.Helper()
	shown := key.Default
	if shown == "" && strings.HasPrefix(key.Unset, "[") {
		shown = key.Unset
	}
	switch {
	case body == "":
		t.Errorf("%s has no item for %s", page, name)
	case shown != "":
		want := regexp.MustCompile(`(?m)^\.(Li|Cm|Pa) ` + regexp.QuoteMeta(shown) + `( [.,])?$`)
		if !strings.Contains(body, "The default is") || !want.MatchString(body) {
			t.Errorf("%s does not say of %s that the default is %s", page, name, shown)
		}
	case key.Unset == "(required)":
		if !strings.Contains(body, "required") {
			t.Errorf("%s does not say that %s is required", page, name)
		}
	case !strings.Contains(body, "default") && !key.Secret:
		t.Errorf("%s does not say what %s is by default", page, name)
	}
}

// The manuals have every command, key and flag, with its default, and no others.
func TestManuals(t *testing.T) {
	keys := items(t, "erluv.conf.5", "Ic")
	flags := items(t, "erluv.8", "Fl")
	for _, key := range config.Keys() {
		wantDefault(t, "erluv.conf.5", key.Name, keys[key.Name], &key)
		delete(keys, key.Name)
		if !key.FileOnly {
			wantDefault(t, "erluv.8", "-"+key.Flag(), flags["-"+key.Flag()], &key)
		}
	}
	for name := range keys {
		t.Errorf("erluv.conf.5 has %s, which is no key", name)
	}
	var c command
	root, err := c.root()
	if err != nil {
		t.Fatal(err)
	}
	commands := items(t, "erluv.8", "Cm")
	for _, cmd := range root.Commands() {
		if commands[cmd.Name()] == "" {
			t.Errorf("erluv.8 has no item for %s", cmd.Name())
		}
		delete(commands, cmd.Name())
	}
	for name := range commands {
		t.Errorf("erluv.8 has %s, which is no command", name)
	}
	known := []string{"-help", "-version"}
	for _, cmd := range append(root.Commands(), root) {
		if !slices.Contains([]string{"erluv", "ps", "info", "logs", "signal", "stop", "status", "drain", "exec", "top", "web"}, cmd.Name()) {
			continue // other commands have sections of their own
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			known = append(known, "-"+f.Name)
			if flags["-"+f.Name] == "" {
				t.Errorf("erluv.8 has no item for -%s", f.Name)
			}
		})
	}
	for name := range flags {
		if !slices.Contains(known, name) {
			t.Errorf("erluv.8 has %s, which is no flag", name)
		}
	}
}

// TestManualExamples: the command line accepts each example of erluv.8.
func TestManualExamples(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "man", "erluv.8"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile(`(?m)^\.Dl [#$] erluv (.*)$`).FindAllStringSubmatch(string(page), -1)
	if len(examples) < 8 {
		t.Fatalf("erluv.8 has %d examples", len(examples))
	}
	for _, example := range examples {
		line := regexp.MustCompile(` \d*>>?\S+| <.*`).ReplaceAllString(example[1], "")
		args := strings.Fields(strings.ReplaceAll(line, "'", ""))
		// With --help behind all other flags the command reads them, and does nothing.
		if end := slices.Index(args, "--"); end >= 0 {
			args = args[:end]
		}
		c := command{given: make(map[string]string), stdout: io.Discard, stderr: io.Discard}
		root, err := c.root()
		if err != nil {
			t.Fatal(err)
		}
		root.SetArgs(append(args, "--help"))
		if cmd, _, err := root.Find(args); err != nil || cmd == root && !strings.HasPrefix(args[0], "-") {
			t.Errorf("erluv %s: there is no such command: %v", example[1], err)
		}
		if err := root.Execute(); err != nil {
			t.Errorf("erluv %s: %v", example[1], err)
		}
	}
}

// TestHelpIsPlain: the texts of --help, and the comments of packaging/erluv.conf, are plain, as
// documents are.
func TestHelpIsPlain(t *testing.T) {
	seen := 0
	check := func(where, text string) {
		for _, s := range prose.Markdown(text) {
			seen++
			if why := prose.Odd(strings.ToUpper(s[:1]) + s[1:]); why != "" {
				t.Errorf("%s: %s: %s", where, why, s)
			}
			if term := prose.Term(s); term != "" {
				t.Errorf("%s: write %q, as HACKING.md does: %s", where, term, s)
			}
		}
	}
	var c command
	root, err := c.root()
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		check(cmd.Name(), cmd.Short)
		check(cmd.Name(), cmd.Long)
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			for part := range strings.SplitSeq(flag.Usage, "; ") {
				check(cmd.Name()+" --"+flag.Name, part)
			}
		})
	}
	settings, err := os.ReadFile("../../packaging/erluv.conf")
	if err != nil {
		t.Fatal(err)
	}
	comments := regexp.MustCompile("(?m)^#[^ #].*$|^## .*$").ReplaceAllString(string(settings), "")
	check("erluv.conf", strings.ReplaceAll(comments, "# ", ""))
	if seen < 200 {
		t.Errorf("there are only %d sentences", seen)
	}
}
