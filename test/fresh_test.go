package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// freshTime bounds each command of a project, since it compiles.
const freshTime = 4 * startTime

// freshApplication is the first code of a new project. With FRESH set it is a program that answers
// and ends.
const freshApplication = `
defmodule Fresh.Application do
  use Application

  def start(_type, _args) do
    children = if System.get_env("FRESH"), do: [{Task, &answer/0}], else: []
    Supervisor.start_link(children, strategy: :one_for_one)
  end

  def answer do
    alive = Node.alive?()
    {time, {"fresh\n", 0}} = :timer.tc(fn -> Erluv.cmd("echo", ["fresh"]) end)
    IO.puts("answered after #{div(time, 1000)} ms, alive before: #{alive}")
    if System.get_env("FRESH"), do: System.stop()
  end
end
`

// withoutTools runs a command on a machine without Go, Erlang and Elixir.
const withoutTools = `
for dir in "$1" /usr/lib/erlang /usr/lib/elixir; do
	[ ! -d "$dir" ] || mount -t tmpfs none "$dir" || exit
done
shift
! command -v mix || ! mix --version || exit
exec "$@"
`

var answered = regexp.MustCompile(`answered after (\d+ ms), alive before: true\n`)

// fresh is a new Mix project, set up without reading the documents.
type fresh struct {
	*testing.T
	dir string
	env []string
}

// run runs a command in the project and returns its output.
func (f *fresh) run(input string, env []string, name string, args ...string) (string, error) {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), freshTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = append(f.env[:len(f.env):len(f.env)], env...), f.dir, strings.NewReader(input)
	// A VM may leave erl_child_setup with the pipe for a moment, when it is killed here.
	cmd.WaitDelay = endTime
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// answers is a run that prints the answer. Before the call the VM is a node: by its name, or since
// the application started.
func (f *fresh) answers(input string, env []string, name string, args ...string) {
	f.Helper()
	out, err := f.run(input, env, name, args...)
	if err != nil {
		f.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	said := answered.FindStringSubmatch(out)
	if said == nil {
		f.Fatalf("%s %v printed\n%s", name, args, out)
	}
	f.Logf("%s %s %s answered after %s", filepath.Base(name), strings.Join(env, " "), args[len(args)-1], said[1])
}

// TestFreshProject is a user's first hour: a new project, the dependency, and a call, without any
// configuration. Then the release runs on a machine without Go, Erlang and Elixir.
func TestFreshProject(t *testing.T) {
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	gocmd, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	caches, err := exec.Command(gocmd, "env", "GOCACHE", "GOMODCACHE", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache := strings.Fields(string(caches))
	// Programs run as another user, who must be able to enter this directory.
	home, err := os.MkdirTemp(dir, "fresh-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	f := &fresh{T: t, dir: home, env: []string{
		"HOME=" + home, "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "ERL_CRASH_DUMP_BYTES=0",
		"ERL_EPMD_PORT=" + epmd.port, "ERL_EPMD_ADDRESS=" + epmd.host,
		"GOCACHE=" + cache[0], "GOMODCACHE=" + cache[1],
	}}
	withGo := []string{"PATH=" + filepath.Dir(gocmd) + ":/usr/bin:/bin"}

	if out, err := f.run("", nil, "mix", "new", "fresh", "--sup"); err != nil {
		t.Fatalf("mix new: %v\n%s", err, out)
	}
	f.dir = filepath.Join(home, "fresh")
	mixfile := filepath.Join(f.dir, "mix.exs")
	text, err := os.ReadFile(mixfile)
	if err != nil {
		t.Fatal(err)
	}
	deps := "defp deps do\n    [\n"
	changed := strings.Replace(string(text), deps, deps+"      {:erluv_ex, path: "+quote(filepath.Join(top, "elixir"))+"},\n", 1)
	changed = strings.Replace(changed, "},\n      # {:dep_from_hexpm", "}\n      # {:dep_from_hexpm", 1)
	for file, text := range map[string]string{"mix.exs": changed, "lib/fresh/application.ex": freshApplication} {
		if err := os.WriteFile(filepath.Join(f.dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	// Without Go the project compiles. It prints the remedy once, and again when a program is
	// needed.
	out, err := f.run("", nil, "mix", "compile")
	if err != nil || strings.Count(out, "erluv: there is no executable: install Go (") != 1 {
		t.Fatalf("mix compile without Go: %v\n%s", err, out)
	}
	out, err = f.run("", nil, "mix", "run", "-e", "Fresh.Application.answer()")
	if err == nil || !strings.Contains(out, "** (Erluv.Error) echo: there is no executable erluv: compile the dependency where Go is, put it into PATH") {
		t.Fatalf("mix run without an executable: %v\n%s", err, out)
	}
	out, err = f.run("", nil, "mix", "erluv.doctor")
	if err == nil || !strings.Contains(out, "erluv            does not run: there is no executable") {
		t.Fatalf("mix erluv.doctor without an executable: %v\n%s", err, out)
	}

	begin := time.Now()
	out, err = f.run("", withGo, "mix", "compile")
	if err != nil || !strings.Contains(out, "erluv: building the executable (go build)\n") {
		t.Fatalf("mix compile: %v\n%s", err, out)
	}
	t.Logf("mix compile took %v", time.Since(begin).Round(time.Millisecond))
	// The executable is not built twice, and works without Go.
	f.closedDirectory(home)
	f.answers("Fresh.Application.answer()\n", withGo, "iex", "-S", "mix")
	out, err = f.run("", withGo, "mix", "erluv.doctor")
	for _, line := range []string{
		`executable       /\S+/_build/dev/lib/erluv/priv/erluv`,
		`distribution     this VM is no node, and was made vm_\w+@127.0.0.1: hidden, without EPMD and listener`,
		`kernel           Linux \d+.*`,
		`erluv            erluv_\w+@127.0.0.1, version \S+ \(\S+\), up in \d+ ms`,
		`programs run as  \w+, and at most 10000 at a time`,
		`containment      (pidns|cgroup|group), .*`,
		`sandbox          \w+: [a-z_, ]*no_new_privs[a-z_, ;]*`,
	} {
		if !regexp.MustCompile("(?m)^" + line + "$").MatchString(out) {
			t.Errorf("mix erluv.doctor: %v: no line is\n%s\nin\n%s", err, line, out)
		}
	}
	if strings.Contains(out, "go build") {
		t.Errorf("the executable is built again:\n%s", out)
	}

	if out, err := f.run("", withGo, "mix", "release", "--quiet"); err != nil {
		t.Fatalf("mix release: %v\n%s", err, out)
	}
	release := filepath.Join(home, "release")
	if err := os.Rename(filepath.Join(f.dir, "_build/dev/rel/fresh"), release); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	f.dir = home
	program := filepath.Join(release, "bin/fresh")
	for _, as := range []string{"none", "sname", "name"} {
		f.answers("", []string{
			"FRESH=yes", "RELEASE_DISTRIBUTION=" + as,
			"RELEASE_NODE=fresh" + map[string]string{"name": "@127.0.0.1"}[as],
		}, "unshare", "--mount", "sh", "-c", withoutTools, "sh", cache[2], program, "start")
	}
}

// closedDirectory runs a project in root's home, which the programs' user may not enter. They start
// elsewhere, and one warning says so.
func (f *fresh) closedDirectory(home string) {
	f.Helper()
	if err := os.Chmod(home, 0o700); err != nil {
		f.Fatal(err)
	}
	defer func() {
		if err := os.Chmod(home, 0o755); err != nil {
			f.Error(err)
		}
	}()
	out, err := f.run("", nil, "mix", "run", "-e", `for _ <- 1..2, do: IO.inspect(Erluv.cmd("pwd", []))
		{:ok, daemon} = Erluv.Daemon.start_link("sleep", ["60"])
		IO.inspect(File.read_link("/proc/#{Erluv.Daemon.os_pid(daemon)}/cwd"))
		try do Erluv.cmd("pwd", [], cd: File.cwd!()) rescue e in Erluv.Error -> IO.inspect(e.reason) end`)
	if err != nil || !strings.Contains(out, "{:ok, \"/\"}\n") || !strings.Contains(out, "{:cd, :eacces}\n") ||
		strings.Count(out, "{\"/\\n\", 0}\n") != 2 || strings.Count(out, "[warning] programs start in /, ") != 1 {
		f.Fatalf("in a closed directory: %v\n%s", err, out)
	}
}

func quote(s string) string { return `"` + s + `"` }
