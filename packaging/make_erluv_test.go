package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// erlang/make-erluv puts the executable into priv, or explains in one line why not.
func TestMakeErluv(t *testing.T) {
	bin := t.TempDir()
	program := func(name, script string) string {
		path := filepath.Join(bin, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right := program("right", `[ "$1" = version ] && echo "erluv 0.2.0-dev (abc)"`)
	other := program("other", `echo "erluv 0.1.0 (def)"`)
	broken := program("broken", "exit 1")
	// Without the sources beside it there is nothing to build, with or without Go.
	alone := t.TempDir()
	output(t, exec.Command("cp", "-r", "../erlang/src", "../erlang/make-erluv", alone))
	inPath := filepath.Dir(program("erluv", "exit 0"))
	for _, test := range []struct {
		name, binary, path, says string
		fails                    bool
		made                     string
	}{
		{"a binary of this version", right, "", `^$`, false, right},
		{"a binary of another version", other, "", `^erluv: ERLUV_BIN is /\S+/other, of version 0\.1\.0 \(def\), and this application is 0\.2\.0\n$`, true, ""},
		{"a binary that does not run", broken, "", `^erluv: ERLUV_BIN is /\S+/broken, which is no erluv that runs here\n$`, true, ""},
		{"a relative path, and another name", "other", "", `^erluv: binary of config :erluv is /\S+/other, of version 0\.1\.0 \(def\), and this application is 0\.2\.0\n$`, true, ""},
		{"nothing", "", "", `^erluv: there is no executable: install Go \(.*\n$`, false, ""},
		{"nothing, and one in PATH", "", inPath + ":", `^$`, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			priv := filepath.Join(t.TempDir(), "priv")
			cmd := exec.Command(filepath.Join(alone, "make-erluv"), priv)
			cmd.Env = []string{"PATH=" + test.path + "/usr/bin:/bin", "ERLUV_BIN=" + test.binary}
			if test.binary == "other" { // as rebar3 and Mix's compiler start it
				cmd.Env = append(cmd.Env, "REBAR_ROOT_DIR="+bin, "ERLUV_BIN_BY=binary of config :erluv")
			}
			out, err := cmd.CombinedOutput()
			if (err != nil) != test.fails || !regexp.MustCompile(test.says).Match(out) {
				t.Errorf("%v, and it says:\n%s", err, out)
			}
			made, err := os.ReadFile(filepath.Join(priv, "erluv"))
			if test.made == "" {
				if err == nil {
					t.Error("there is an executable")
				}
				return
			}
			want, _ := os.ReadFile(test.made)
			if err != nil || string(made) != string(want) {
				t.Errorf("made %q: %v", made, err)
			}
		})
	}
}

// A Mix project depends on erluv_exec by its path, and so on erluv.
func TestErluvExecInMix(t *testing.T) {
	dir := t.TempDir()
	output(t, exec.Command("cp", "-r", "../erlang/src", "../erlang/erluv_exec", "../erlang/mix.exs", "../erlang/make-erluv", "../erlang/document", dir))
	project := t.TempDir()
	mix := `defmodule P.MixProject do
  use Mix.Project
  def project, do: [app: :p, version: "1.0.0", deps: [{:erluv_exec, path: "` + dir + `/erluv_exec"}]]
end
`
	if err := os.WriteFile(filepath.Join(project, "mix.exs"), []byte(mix), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mix", "run", "-e", `
		{:ok, _} = Application.ensure_all_started(:erluv_exec)
		IO.puts(:standard_io, "executable " <> to_string(:erluv_exec.default(:portexe)))`)
	cmd.Dir = project
	cmd.Env = append(os.Environ(), "ERLUV_BIN="+binary(t), "HOME="+project)
	want := "executable " + project + "/_build/dev/lib/erluv/priv/erluv\n"
	if said := output(t, cmd); !strings.HasSuffix(said, want) {
		t.Errorf("%s\nwant %q", said, want)
	}
}

// make -C erlang makes an application that is used in place.
func TestMakeInErlang(t *testing.T) {
	dir := t.TempDir()
	output(t, exec.Command("cp", "-r", "../erlang/src", "../erlang/erluv_exec", "../erlang/compile", "../erlang/document", "../erlang/make-erluv", "../erlang/Makefile", dir))
	cmd := exec.Command("make", "-C", dir)
	cmd.Env = append(os.Environ(), "ERLUV_BIN="+binary(t))
	output(t, cmd)
	run := exec.Command("erl", "-noinput", "-pa", filepath.Join(dir, "ebin"), filepath.Join(dir, "erluv_exec/ebin"), "-eval", `
		io:put_chars(erluv_exec:default(portexe)), halt().`)
	if got, want := output(t, run), filepath.Join(dir, "priv/erluv"); got != want {
		t.Errorf("the executable is %q, want %q", got, want)
	}
	// Without EDoc it compiles too, and says once that the documentation is missing.
	cmd = exec.Command("make", "-C", dir)
	cmd.Env = append(os.Environ(), "ERLUV_BIN="+binary(t), "MAKEFLAGS=--no-print-directory", "ERL_AFLAGS=-eval code:del_path(edoc)")
	if said := output(t, cmd); !regexp.MustCompile(`^erluv: h\(erluv\) has no documentation .*\n$`).MatchString(said) {
		t.Errorf("without EDoc it says %q", said)
	}
}

// The applications work as checkouts of a rebar3 project.
func TestRebar3(t *testing.T) {
	project := t.TempDir()
	for file, text := range map[string]string{
		"rebar.config":  "{deps, [erluv, erluv_exec]}.\n",
		"src/p.app.src": `{application, p, [{description, ""}, {vsn, "1"}, {applications, [kernel, stdlib, erluv_exec]}]}.`,
	} {
		path := filepath.Join(project, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	checkout := filepath.Join(t.TempDir(), "erlang")
	output(t, exec.Command("cp", "-r", "../erlang", checkout))
	if err := os.Mkdir(filepath.Join(project, "_checkouts"), 0o755); err != nil {
		t.Fatal(err)
	}
	for application, dir := range map[string]string{"erluv": "", "erluv_exec": "erluv_exec"} {
		if err := os.Symlink(filepath.Join(checkout, dir), filepath.Join(project, "_checkouts", application)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second run has nothing to do
		cmd := exec.Command("rebar3", "compile")
		cmd.Dir = project
		cmd.Env = append(os.Environ(), "ERLUV_BIN="+binary(t), "HOME="+project)
		output(t, cmd)
	}
	show := exec.Command("sh", "-c", `exec erl -noinput -pa _build/default/*/*/ebin -eval '
		{ok, _} = application:ensure_all_started(p), c:h(erluv), c:h(erluv_exec), io:put_chars(erluv_exec:default(portexe)), halt().'`)
	show.Dir = project
	said := output(t, show)
	for _, want := range []string{
		"Runs programs of the operating system on an erluv node.", "The functions, options and messages of erlexec's module exec",
		filepath.Join(project, "_build/default/checkouts/erluv/priv/erluv"),
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not show %q:\n%s", want, said)
		}
	}
}

// rebar3 fetches erluv from git, as README says.
func TestRebar3FromGit(t *testing.T) {
	repository, project := t.TempDir(), t.TempDir()
	output(t, exec.Command("cp", "-r", "../erlang", "../rebar.config", repository))
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"}} {
		output(t, exec.Command("git", append([]string{"-C", repository}, args...)...))
	}
	for file, text := range map[string]string{
		"rebar.config":  `{deps, [{erluv, {git, "file://` + repository + `", {branch, "main"}}}]}.`,
		"src/p.app.src": `{application, p, [{description, ""}, {vsn, "1"}, {applications, [kernel, stdlib, erluv]}]}.`,
	} {
		path := filepath.Join(project, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, script := range []string{"rebar3 compile", "rebar3 compile", `exec erl -noinput -pa $(rebar3 path --ebin) -eval '
		{ok, _} = application:ensure_all_started(p), c:h(erluv), {ok, #{stdout := Out}} = erluv:run(erluv, ["echo", "it runs"]),
		{ok, [File]} = erluv_executable:which(), io:put_chars([Out, File]), halt().'`} {
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = project
		cmd.Env = append(os.Environ(), "ERLUV_BIN="+binary(t), "HOME="+project)
		said := output(t, cmd)
		if strings.HasPrefix(script, "rebar3") {
			continue
		}
		for _, want := range []string{
			"Runs programs of the operating system on an erluv node.", "it runs\n",
			filepath.Join(project, "_build/default/lib/erluv/priv/erluv"),
		} {
			if !strings.Contains(said, want) {
				t.Errorf("it does not say %q:\n%s", want, said)
			}
		}
	}
}
