package packaging

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mixTime bounds a command of a project, which compiles and may build the executable.
const mixTime = 5 * time.Minute

// project is a Mix project with only a dependency.
type project struct {
	*testing.T
	dir string
	env []string
}

func newProject(t *testing.T, deps string, env ...string) *project {
	t.Helper()
	// Programs run as another user, who must be able to enter this directory.
	dir, err := os.MkdirTemp("", "erluv-hex-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	output(t, exec.Command("cp", "testdata/fresh_mix.exs", dir+"/mix.exs"))
	gocmd, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	cache := strings.TrimSpace(output(t, exec.Command(gocmd, "env", "GOCACHE")))
	return &project{T: t, dir: dir, env: append([]string{
		"DEPS=" + deps, "HOME=" + dir, "LC_ALL=C.UTF-8", "ERL_CRASH_DUMP_BYTES=0",
		"PATH=" + filepath.Dir(gocmd) + ":/usr/local/bin:/usr/bin:/bin", "GOCACHE=" + cache,
	}, env...)}
}

func (p *project) mix(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), mixTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mix", args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = p.dir, p.env, 10*time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// answers checks that the project builds the executable and runs a program.
func (p *project) answers() {
	p.Helper()
	out, err := p.mix("run", "-e", `{:ok, executable} = :erluv_executable.which()
		IO.puts(executable)
		IO.inspect(Erluv.cmd("echo", ["fresh"]))`)
	for _, line := range []string{
		"erluv: building the executable (go build)",
		p.dir + "/_build/dev/lib/erluv/priv/erluv",
		`{"fresh\n", 0}`,
	} {
		if err != nil || !slices.Contains(strings.Split(out, "\n"), line) {
			p.Fatalf("mix run: %v, without the line %s\n%s", err, line, out)
		}
	}
}

// The packages are complete: each as Hex accepts it, and all of them, unpacked, in a project that
// names their version. Go has no network, and only the modules of the package.
func TestHex(t *testing.T) {
	build, unpacked := t.TempDir(), t.TempDir()
	packages := script(t, []string{"BUILD=" + build, "HOMEPAGE=https://example.com/erluv"}, "./hex")
	version := strings.TrimPrefix(strings.Fields(script(t, nil, binary(t), "version"))[1], "v")
	version = strings.TrimSuffix(version, "-dev")
	check, err := filepath.Abs("testdata/hex.exs")
	if err != nil {
		t.Fatal(err)
	}
	top := filepath.Dir(filepath.Dir(filepath.Dir(check)))
	var documents []string
	for _, name := range []string{"erluv", "erluv_exec", "erluv_ex"} {
		dir := filepath.Join(build, "hex", name)
		if !slices.Contains(strings.Fields(packages), dir) {
			t.Errorf("it does not print %s:\n%s", dir, packages)
		}
		cmd := exec.Command("elixir", check, filepath.Join(unpacked, name))
		cmd.Dir = dir
		if got, want := output(t, cmd), name+" "+version+"\n"; got != want {
			t.Errorf("it is %q, want %q", got, want)
		}
		for _, pattern := range []string{"*.md", "guides/*.md"} {
			found, _ := filepath.Glob(filepath.Join(unpacked, name, pattern))
			documents = append(documents, found...)
		}
	}
	wantLinks(t, documents, 10)
	// grep finds nothing, and its status says so.
	for _, ours := range []string{top, build} {
		if found, err := exec.Command("grep", "-rlF", ours, unpacked).CombinedOutput(); err == nil || len(found) > 0 {
			t.Errorf("%s is named in %s", ours, found)
		}
	}
	p := newProject(t, `[{:erluv_ex, "~> `+version+`"}, {:erluv_exec, "~> `+version+`"}]`, "UNPACKED="+unpacked,
		"GOPROXY=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GOMODCACHE="+t.TempDir())
	p.answers()
	// Groups name existing modules, and Erlang's groups have the manuals.
	out, err := p.mix("run", "-e", `{:ok, _} = Application.ensure_all_started(:erluv_exec)
		for app <- [:erluv, :erluv_ex] do
			{:ok, modules} = :application.get_key(app, :modules)
			Mix.Project.in_project(app, Path.join(System.fetch_env!("UNPACKED"), "#{app}"), fn _ ->
				for {_, named} <- Mix.Project.config()[:docs][:groups_for_modules], module <- named do
					module in modules || raise("#{inspect(module)} is in a group")
				end
			end)
		end
		for module <- [:erluv, :erluv_worker, :erluv_node, :erluv_exec] do
			{:docs_v1, _, _, _, %{}, _, _} = Code.fetch_docs(module)
		end`)
	if err != nil {
		t.Errorf("documentation: %v\n%s", err, out)
	}
}

// The dependencies by path in README.md, elixir/README.md and doc/from-erlexec.md work. The test
// uses a project with a clone at the place that each names.
func TestPathDependency(t *testing.T) {
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{
		"README.md":           `{:erluv_ex, path: "erluv/elixir"}`,
		"elixir/README.md":    `{:erluv_ex, path: "vendor/erluv/elixir"}`,
		"doc/from-erlexec.md": `{:erluv_exec, path: "/path/to/erluv/erlang/erluv_exec"}`,
	}
	var deps []string
	for document, line := range lines {
		text, err := os.ReadFile("../" + document)
		if err != nil || !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("%s does not have the line %s: %v", document, line, err)
		}
		if document != "README.md" { // a project has only one of them
			deps = append(deps, strings.Replace(line, "/path/to/erluv", top, 1))
		}
	}
	modules := strings.TrimSpace(output(t, exec.Command("go", "env", "GOMODCACHE")))
	p := newProject(t, "["+strings.Join(deps, ", ")+"]", "GOMODCACHE="+modules)
	if err := os.Mkdir(p.dir+"/vendor", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(top, p.dir+"/vendor/erluv"); err != nil {
		t.Fatal(err)
	}
	p.answers()
	if out, err := p.mix("run", "-e", "{:ok, _} = :erluv_exec.start([])"); err != nil {
		t.Errorf("erluv_exec: %v\n%s", err, out)
	}
}

// The line for a dependency by git in elixir/README.md works. A sparse checkout would lack the
// application.
func TestGitDependency(t *testing.T) {
	readme, err := os.ReadFile("../elixir/README.md")
	if err != nil {
		t.Fatal(err)
	}
	const line = `{:erluv_ex, git: "https://...", subdir: "elixir"}`
	if !strings.Contains(string(readme), line) {
		t.Errorf("elixir/README.md does not have the line %s", line)
	}
	repository := t.TempDir()
	output(t, exec.Command("sh", "-c", `tar -C .. --exclude=./build --exclude=./.git -cf - . | tar -C "$0" --no-same-owner -xf -
		cd "$0" && git init -q && git add -A && git -c user.name=t -c user.email=t@t commit -qm t`, repository))
	modules := strings.TrimSpace(output(t, exec.Command("go", "env", "GOMODCACHE")))
	local := strings.Replace(line, "https://...", "file://"+repository, 1)
	p := newProject(t, "["+local+"]", "GOMODCACHE="+modules)
	if out, err := p.mix("deps.get"); err != nil {
		t.Fatalf("mix deps.get: %v\n%s", err, out)
	}
	p.answers()

	p = newProject(t, "["+strings.Replace(local, "subdir", "sparse", 1)+"]", "GOMODCACHE="+modules)
	if out, err := p.mix("deps.get"); err == nil || !strings.Contains(out, "erlang/src/erluv.app.src") {
		t.Errorf("mix deps.get with sparse: %v\n%s", err, out)
	}
}
