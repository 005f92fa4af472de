package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/config"

	"github.com/spf13/pflag"
)

func packaged(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "packaging", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("@BINDIR@", "/usr/bin", "@SYSCONFDIR@", "/etc").Replace(string(text))
}

// The sample configuration has every key once, as a comment. The key has its default, or an example
// if there is none. An explanation precedes it, and the whole file loads.
func TestSampleConfiguration(t *testing.T) {
	sample := packaged(t, "erluv.conf")
	setting := regexp.MustCompile(`(?m)^#([a-z_]+) = (.*)$`)
	values := make(map[string]string)
	for _, found := range setting.FindAllStringSubmatch(sample, -1) {
		if _, twice := values[found[1]]; twice {
			t.Errorf("it has %s twice", found[1])
		}
		values[found[1]] = found[2]
	}
	for _, key := range config.Keys() {
		want := key.Example
		if key.Default != "" {
			want = key.Default
			if strings.HasPrefix(key.Example, `"`) {
				want = `"` + want + `"`
			} else if strings.HasPrefix(key.Example, "[") {
				want = `["` + want + `"]`
			}
		}
		if values[key.Name] != want {
			t.Errorf("it has %s = %s, want %s", key.Name, values[key.Name], want)
		}
		delete(values, key.Name)
	}
	for name := range values {
		t.Errorf("it has %s, which is no key", name)
	}
	for line := range strings.Lines(setting.ReplaceAllString(sample, "")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			t.Errorf("%q is no comment", line)
		}
	}

	everything := setting.ReplaceAllString(sample, "$1 = $2")
	for _, one := range []string{"cookie|nodes|discover|tls_optfile", "cookie_file|node|address|tls_(ca|cert|key|verify|server_name)"} { // not both
		other := regexp.MustCompile(`(?m)^(?:` + one + `) = .*$`)
		file := filepath.Join(t.TempDir(), "erluv.conf")
		if err := os.WriteFile(file, []byte(other.ReplaceAllString(everything, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		home := t.TempDir()
		if err := os.WriteFile(home+"/.erlang.cookie", []byte("s3cret"), 0o400); err != nil {
			t.Fatal(err)
		}
		m := config.ThisMachine()
		m.Home = home
		cfg, _, err := config.Load(config.Sources{Args: map[string]string{config.FileKey: file}, Machine: m})
		if err == nil {
			err = cfg.Check()
		}
		if err != nil {
			t.Errorf("without %s: %v", one, err)
		}
	}
}

// The command lines of the services are valid, and the check of units finds no fault.
func TestServiceFiles(t *testing.T) {
	unit := packaged(t, "erluv.service")
	wantCommandLine(t, regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)[1])
	script := packaged(t, "erluv.openrc")
	wantCommandLine(t, "/usr/bin/erluv "+regexp.MustCompile(`(?m)^command_args="(.*) \$erluv_flags"$`).FindStringSubmatch(script)[1])

	bin := t.TempDir()
	if err := os.WriteFile(bin+"/erluv", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "erluv.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit, "/usr/bin/erluv", bin+"/erluv")), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if out, err := exec.Command("sh", "-n", filepath.Join("..", "..", "packaging", "erluv.openrc")).CombinedOutput(); err != nil {
		t.Errorf("sh -n: %v\n%s", err, out)
	}
}

// The image is built with the required version of Go, and runs a valid command line. The examples
// of doc/containers.md are valid too, with existing settings.
func TestContainerFiles(t *testing.T) {
	image := packaged(t, "Containerfile")
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)[1]; !strings.Contains(image, "golang:"+string(version)+" AS") {
		t.Errorf("the image is not built with Go %s", version)
	}
	var line []string
	for _, words := range regexp.MustCompile(`(?m)^(?:ENTRYPOINT|CMD) (.*)$`).FindAllStringSubmatch(image, -1) {
		var list []string
		if err := json.Unmarshal([]byte(words[1]), &list); err != nil {
			t.Fatalf("%s: %v", words[0], err)
		}
		line = append(line, list...)
	}
	wantCommandLine(t, strings.Join(line, " "))
	doc, err := os.ReadFile("../../doc/containers.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(ERLUV_\w+)(?:: |, value: "?)([^"}\n]+)`).FindAllSubmatch(doc, -1)
	if len(found) != 5 {
		t.Errorf("the examples set %q", found)
	}
	for _, setting := range found {
		variable := fmt.Sprintf("%s=%s", setting[1], setting[2])
		_, warnings, err := config.Load(config.Sources{Environ: []string{"ERLUV_CONF=none", variable}, Machine: config.ThisMachine()})
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", variable, err, warnings)
		}
	}
}

// TestSettingsOfDocuments: each block of settings in doc/*.md is a configuration that loads, beside
// the cookie.
func TestSettingsOfDocuments(t *testing.T) {
	documents, err := filepath.Glob("../../doc/*.md")
	if err != nil || len(documents) < 20 {
		t.Fatal(documents, err)
	}
	seen := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?ms)^```toml\n(.*?)^```").FindAllSubmatch(text, -1) {
			seen++
			file := filepath.Join(t.TempDir(), "erluv.conf")
			if err := os.WriteFile(file, block[1], 0o600); err != nil {
				t.Fatal(err)
			}
			_, warnings, err := config.Load(config.Sources{Environ: []string{"ERLUV_CONF=" + file, "ERLUV_COOKIE=c"}, Machine: config.ThisMachine()})
			if err != nil || len(warnings) > 0 {
				t.Errorf("%s: %v %v:\n%s", document, err, warnings, block[1])
			}
		}
	}
	if seen < 5 {
		t.Errorf("there are %d blocks", seen)
	}
}

func wantCommandLine(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	c := command{given: make(map[string]string)}
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.flags(set, all)
	if err := set.Parse(words[1:]); err != nil || words[0] != "/usr/bin/erluv" || set.Arg(0) != "run" || set.NArg() != 1 {
		t.Errorf("%q: %v, arguments %q", line, err, set.Args())
	}
}

// A release has one version and one date in all places. Between releases the version of the command
// ends with -dev, and the changes begin with Unreleased.
func TestVersions(t *testing.T) {
	changes, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	release, unreleased := strings.CutSuffix(version, "-dev")
	for _, file := range []string{"src/erluv.app.src", "erluv_exec/src/erluv_exec.app.src"} {
		app, err := os.ReadFile("../../erlang/" + file)
		if err != nil || !strings.Contains(string(app), `{vsn, "`+release+`"}`) {
			t.Errorf("%s does not have version %s: %v", file, release, err)
		}
	}
	headings := regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(string(changes), -1)
	if unreleased != (headings[0][1] == "Unreleased") {
		t.Errorf("CHANGELOG.md begins with %q, and the version is %s", headings[0][1], version)
	}
	if unreleased {
		headings = headings[1:]
	}
	day := ""
	for i, h := range headings {
		number, date, _ := strings.Cut(h[1], " - ")
		when, err := time.Parse(time.DateOnly, date)
		if err != nil || !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(number) {
			t.Errorf("the heading %q is no version with its date", h[1])
		}
		if i == 0 {
			day = when.Format("January 2, 2006")
			if !unreleased && number != release {
				t.Errorf("CHANGELOG.md begins with %s, the version is %s", number, version)
			}
		}
	}
	kinds := []string{"Upgrading from 0.1.0", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
	for _, h := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(string(changes), -1) {
		if !slices.Contains(kinds, h[1]) {
			t.Errorf("%q is no kind of change: https://keepachangelog.com", h[1])
		}
	}
	pages, err := filepath.Glob("../../man/*")
	if err != nil || len(pages) < 4 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		if text, err := os.ReadFile(page); err != nil || !unreleased && !strings.HasPrefix(string(text), ".Dd "+day+"\n") {
			t.Errorf("%s does not have the date of the release, %s: %v", page, day, err)
		}
	}
}
