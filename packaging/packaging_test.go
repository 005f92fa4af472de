// Package packaging has only tests: where make install and make deb put files.
package packaging

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// binary returns the erluv to install. It is built if ERLUV_BIN is not set.
func binary(t *testing.T) string {
	t.Helper()
	if built := os.Getenv("ERLUV_BIN"); built != "" {
		return built
	}
	built := filepath.Join(t.TempDir(), "erluv")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", built, "../cmd/erluv")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	output(t, cmd)
	return built
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// script runs one of our scripts with variables.
func script(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	return output(t, cmd)
}

// files lists everything below dir except directories, with its mode.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		list = append(list, info.Mode().String()+" "+strings.TrimPrefix(path, dir))
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return list
}

// wantFiles compares files. It only counts beam files, of which there are as many as sources.
func wantFiles(t *testing.T, dir, prefix string, more ...string) {
	t.Helper()
	want := append([]string{
		"-rw------- /etc/erluv/erluv.conf",
		"-rwxr-xr-x " + prefix + "/bin/erluv",
		"-rw-r--r-- " + prefix + "/lib/erlang/lib/erluv-0.2.0/ebin/erluv.app",
		"-rw-r--r-- " + prefix + "/lib/erlang/lib/erluv_exec-0.2.0/ebin/erluv_exec.app",
		"-rw-r--r-- " + prefix + "/share/bash-completion/completions/erluv",
		"-rw-r--r-- " + prefix + "/share/fish/vendor_completions.d/erluv.fish",
	}, more...)
	for library, sources := range map[string]string{"erluv": "../erlang/src", "erluv_exec": "../erlang/erluv_exec/src"} {
		files, err := filepath.Glob(sources + "/*.erl")
		if err != nil || len(files) < 5 {
			t.Fatalf("%s: %q, %v", sources, files, err)
		}
		for _, source := range files {
			module := strings.TrimSuffix(filepath.Base(source), ".erl")
			want = append(want, "-rw-r--r-- "+prefix+"/lib/erlang/lib/"+library+"-0.2.0/ebin/"+module+".beam")
		}
	}
	got := files(t, dir)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("there are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The installed erluv works in its place. make uninstall leaves only a configuration that a user
// has written.
func TestInstall(t *testing.T) {
	root := t.TempDir()
	env := []string{"DESTDIR=" + root, "PREFIX=/opt/e", "SYSCONFDIR=", "UNITDIR=", "INITDIR=", "ERLC=", "BUILD=" + t.TempDir(), "ERLUV_BIN=" + binary(t)}
	script(t, env, "./install")
	wantFiles(t, root, "/opt/e",
		"-rwxr-xr-x /etc/init.d/erluv",
		"-rw-r--r-- /opt/e/lib/systemd/system/erluv.service",
		"-rw-r--r-- /opt/e/share/man/man3/erluv.3erl",
		"-rw-r--r-- /opt/e/share/man/man5/erluv.conf.5",
		"-rw-r--r-- /opt/e/share/man/man7/erluv-protocol.7",
		"-rw-r--r-- /opt/e/share/man/man8/erluv.8",
		"-rw-r--r-- /opt/e/share/zsh/site-functions/_erluv")
	for _, file := range []string{"/etc/init.d/erluv", "/opt/e/lib/systemd/system/erluv.service"} {
		text, err := os.ReadFile(root + file)
		if err != nil || strings.Contains(string(text), "@") || !strings.Contains(string(text), "/opt/e/bin/erluv") ||
			!strings.Contains(string(text), "/etc/erluv/erluv.conf") {
			t.Errorf("%s: %v\n%s", file, err, text)
		}
	}
	for file, program := range map[string][]string{
		"/opt/e/share/bash-completion/completions/erluv":    {"bash", "-n"},
		"/opt/e/share/zsh/site-functions/_erluv":            {"zsh", "-n"},
		"/opt/e/share/fish/vendor_completions.d/erluv.fish": {"fish", "-n"},
		"/etc/init.d/erluv":                                 {"sh", "-n"},
		"/opt/e/lib/erlang/lib/erluv-0.2.0/ebin/erluv.app":  {"grep", "-q", "erluv_worker"},
		"/opt/e/share/man/man8/erluv.8":                     {"mandoc", "-T", "lint", "-W", "error"},
		"/opt/e/lib/erlang/lib/erluv-0.2.0/ebin/erluv.beam": {"test", "-s"},
		"/opt/e/bin/erluv":                                  {"test", "-x"},
	} {
		output(t, exec.Command(program[0], append(program[1:], root+file)...))
	}
	load := exec.Command("erl", "-noinput", "-boot", "start_clean", "-eval", `
		{ok, Started} = application:ensure_all_started(erluv_exec),
		[begin
			 {ok, Modules} = application:get_key(Application, modules),
			 ok = code:ensure_modules_loaded(Modules)
		 end || Application <- Started],
		io:format("~p", [Started]), halt().`)
	load.Env = append(os.Environ(), "ERL_LIBS="+root+"/opt/e/lib/erlang/lib")
	if started := output(t, load); started != "[erluv,erluv_exec]" {
		t.Errorf("the libraries: %s", started)
	}
	if version := output(t, exec.Command(root+"/opt/e/bin/erluv", "version")); !strings.HasPrefix(version, "erluv 0.2.0") {
		t.Errorf("version %s", version)
	}

	conf := root + "/etc/erluv/erluv.conf"
	if err := os.WriteFile(conf, []byte("node = \"a@b\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script(t, env, "./install")
	if text, err := os.ReadFile(conf); err != nil || string(text) != "node = \"a@b\"\n" {
		t.Errorf("the configuration was not kept: %q, %v", text, err)
	}
	script(t, env, "./install", "--remove")
	if left := files(t, root); !slices.Equal(left, []string{"-rw------- /etc/erluv/erluv.conf"}) {
		t.Errorf("make uninstall leaves %q", left)
	}
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	script(t, append(env, "ERLC=none"), "./install")
	if library := files(t, root+"/opt/e/lib/erlang"); len(library) > 0 {
		t.Errorf("without erlc there is %q", library)
	}
	script(t, append(env, "ERLC=none"), "./install", "--remove")
	if left := files(t, root); len(left) > 0 {
		t.Errorf("make uninstall leaves %q", left)
	}
}

// If erl does not find the library, or a shell the command, install says how they would.
func TestInstallSaysWhere(t *testing.T) {
	root := t.TempDir()
	env := []string{
		"DESTDIR=", "PREFIX=" + root, "SYSCONFDIR=" + root + "/etc", "UNITDIR=", "INITDIR=", "ERLC=", "ERL_LIBS=",
		"BUILD=" + t.TempDir(), "ERLUV_BIN=" + binary(t),
	}
	want := "install: erl finds the library by: export ERL_LIBS=" + root + "/lib/erlang/lib\n" +
		"install: a shell finds erluv by: export PATH=" + root + "/bin:$PATH\n"
	if said := script(t, env, "./install"); said != want {
		t.Errorf("%q, want %q", said, want)
	}
	there := append(env, "ERL_LIBS="+root+"/lib/erlang/lib", "PATH="+root+"/bin:"+os.Getenv("PATH"))
	if said := script(t, there, "./install"); said != "" {
		t.Errorf("with the printed settings: %q", said)
	}
}

// wantLinks checks that every relative link of a document leads somewhere, and that there are
// enough.
func wantLinks(t *testing.T, documents []string, least int) {
	t.Helper()
	links := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllSubmatch(text, -1) {
			links++
			// The kernel checks it, because it follows a link before it goes up.
			if _, err := os.Stat(filepath.Dir(document) + "/" + string(link[1])); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
	}
	if links < least {
		t.Errorf("%d links in %q", links, documents)
	}
}

// The package installs, keeps the configuration when it is removed, and leaves nothing when it is
// purged. dpkg uses a directory as its root. For dpkg the test is root, by a user namespace if
// necessary.
func TestPackage(t *testing.T) {
	build, root := t.TempDir(), t.TempDir()
	deb := strings.TrimSpace(script(t, []string{"BUILD=" + build, "ERLUV_BIN=" + binary(t), "ERLC=", "HOMEPAGE=https://example.com/erluv"}, "./deb"))
	if !strings.HasPrefix(filepath.Base(deb), "erluv_0.2.0") {
		t.Errorf("it is called %s", deb)
	}
	dpkg := func(args ...string) string {
		t.Helper()
		as := []string{"dpkg", "--root=" + root, "--force-script-chrootless", "--force-not-root", "--log=" + build + "/log"}
		if os.Getuid() != 0 {
			as = append([]string{"unshare", "-r"}, as...)
		}
		cmd := exec.Command(as[0], append(as[1:], args...)...)
		cmd.Env = append(os.Environ(), "DPKG_ROOT="+root, "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
		return output(t, cmd)
	}
	for _, dir := range []string{"updates", "info"} {
		if err := os.MkdirAll(root+"/var/lib/dpkg/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"status", "available"} {
		if err := os.WriteFile(root+"/var/lib/dpkg/"+file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	outside := func() []string {
		return slices.DeleteFunc(files(t, root), func(file string) bool { return strings.Contains(file, " /var/lib/dpkg/") })
	}
	dpkg("-i", deb)
	if status := dpkg("-s", "erluv"); !strings.Contains(status, "Status: install ok installed") {
		t.Errorf("after the installation:\n%s", status)
	}
	if broken := dpkg("--verify", "erluv"); broken != "" {
		t.Errorf("after the installation these differ:\n%s", broken)
	}
	for _, want := range []string{
		"-rw------- /etc/erluv/erluv.conf", "-rw-r--r-- /lib/systemd/system/erluv.service", "-rwxr-xr-x /usr/bin/erluv",
		"-rw-r--r-- /usr/lib/erlang/lib/erluv-0.2.0/ebin/erluv.app", "-rw-r--r-- /usr/share/man/man8/erluv.8.gz",
		"-rw-r--r-- /usr/share/doc/erluv/copyright", "-rw-r--r-- /usr/share/doc/erluv/changelog.gz",
	} {
		if !slices.Contains(outside(), want) {
			t.Errorf("there is no %s", want)
		}
	}
	var documents []string
	for _, where := range []string{"doc/erluv/*.md", "doc/erluv/doc/*.md", "erluv/elixir/*.md"} {
		found, _ := filepath.Glob(root + "/usr/share/" + where)
		documents = append(documents, found...)
	}
	wantLinks(t, documents, 20)
	for _, file := range []string{
		"elixir/mix.exs", "elixir/lib/erluv.ex", "erlang/mix.exs", "erlang/src/erluv.erl", "erlang/make-erluv",
		"erlang/erluv_exec/mix.exs", "erlang/erluv_exec/src/erluv_exec.erl",
	} {
		if _, err := os.Stat(root + "/usr/share/erluv/" + file); err != nil {
			t.Error(err)
		}
	}
	if control := dpkg("-s", "erluv"); !strings.Contains(control, "\nHomepage: https://example.com/erluv\n") {
		t.Errorf("there is no homepage:\n%s", control)
	}
	if err := os.WriteFile(root+"/etc/erluv/erluv.conf", []byte("node = \"a@b\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wants := root + "/etc/systemd/system/multi-user.target.wants/erluv.service"
	output(t, exec.Command("systemctl", "--root="+root, "enable", "erluv.service"))
	if _, err := os.Lstat(wants); err != nil {
		t.Errorf("enabled: %v", err)
	}
	dpkg("-i", deb) // again, with a configuration that a user has written
	dpkg("-r", "erluv")
	if left := outside(); !slices.Equal(left, []string{"-rw------- /etc/erluv/erluv.conf"}) {
		t.Errorf("removed, it leaves %q", left)
	}
	dpkg("-P", "erluv")
	if left := outside(); len(left) > 0 {
		t.Errorf("purged, it leaves %q", left)
	}
}
