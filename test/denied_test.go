package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A program and its descendants cannot make calls that ordinary programs never make, unless an
// option allows them by name. The other names stay denied then.
func TestDenied(t *testing.T) {
	e := common(t)
	calls := map[string]struct {
		group  string
		call   string
		denied string
	}{
		"io_uring":    {"io_uring", fmt.Sprintf("%d:0,0", unix.SYS_IO_URING_SETUP), "ENOSYS"},
		"userfaultfd": {"userfaultfd", fmt.Sprintf("%d:0xffff", unix.SYS_USERFAULTFD), "EPERM"},
		"keyctl":      {"keyctl", fmt.Sprintf("%d:0,0xfffffffd,0", unix.SYS_KEYCTL), "EPERM"},
		"unshare":     {"userns", fmt.Sprintf("%d:%#x", unix.SYS_UNSHARE, unix.CLONE_NEWUSER), "EPERM"},
		"clone":       {"userns", fmt.Sprintf("%d:%#x", unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_FS), "EPERM"},
		"clone3":      {"userns", fmt.Sprintf("%d:0,0", unix.SYS_CLONE3), "ENOSYS"},
		"setns":       {"userns", fmt.Sprintf("%d:99,0", unix.SYS_SETNS), "EPERM"},
		"fsopen":      {"userns", fmt.Sprintf("%d:0,0xffff", unix.SYS_FSOPEN), "EPERM"},
		"kcmp":        {"process_vm", fmt.Sprintf("%d:self,self,0,0,0", unix.SYS_KCMP), "ENOSYS"},
		"pidfd_getfd": {"process_vm", fmt.Sprintf("%d:99,0,0", unix.SYS_PIDFD_GETFD), "ENOSYS"},
		"tiocsti":     {"tiocsti", fmt.Sprintf("%d:99,%#x,0", unix.SYS_IOCTL, unix.TIOCSTI), "EPERM"},
		"fanotify":    {"fanotify", fmt.Sprintf("%d:0xffff,0", unix.SYS_FANOTIFY_INIT), "EPERM"},
		"personality": {"", fmt.Sprintf("%d:0x400000", unix.SYS_PERSONALITY), "EPERM"},
		"module":      {"", fmt.Sprintf("%d:99,0,0", unix.SYS_FINIT_MODULE), "EPERM"},
	}
	// Root may lack these too, and not every kernel allows them to others. Then they fail either
	// way.
	either := map[string]bool{"fsopen": true, "fanotify": true}
	args := `["calls"`
	for name, c := range calls {
		args += fmt.Sprintf(`, "%s:%s"`, name, c.call)
	}
	args += "]"
	for _, group := range []string{"", "io_uring", "userfaultfd", "keyctl", "userns", "process_vm", "tiocsti", "fanotify"} {
		for way, opts := range bothWays(`#{allow => [` + group + `]}`) {
			said := e.intrudes(t, args, opts)
			for name, c := range calls {
				denied := said[name] == c.denied
				if want := c.group != group || group == ""; denied != want && filters() && !either[name] {
					t.Errorf("allow => [%s]%s: %s: %s", group, way, name, said[name])
				}
			}
		}
	}
	e.expect(t, `[<<"bpf">>]`, `{error, {bad_option, allow, Why}} = e2e:call(E, {spawn, ["true"], #{allow => [everything]}}), [W || W <- [<<"bpf">>, <<"x86">>], nomatch =/= string:find(Why, W)]`)
	e.expect(t, `[allow,allow,allow]`, `[K || O <- [#{allow => userns}, #{allow => ["userns"]}, #{allow => [io_uring], sandbox => #{net => none}}],
		{error, {bad_option, K, _}} <- [e2e:call(E, {spawn, ["true"], O})]]`)
}

// With paths in its sandbox, a program can change the contents of files but not their attributes,
// unless an option allows that. It cannot execute anything that it has made in memory.
func TestSandboxHoldsOwners(t *testing.T) {
	e := common(t)
	if landlock() < 3 || !filters() {
		return // TestSandboxFiles checks the error in that case
	}
	path := shelf(t, 0o777)
	file := filepath.Join(path, "file")
	e.expect(t, "ok", `{ok, #{exit := {exit_status, 0}}} = e2e:call(E, {run, ["touch", File], #{}}), ok`, bind{"File": file})
	confined := `sandbox => #{exec => ["/usr", "/lib", "/lib64", "/bin", Dir], write => ["/dev/null", Path]}`
	for way, opts := range bothWays(`#{` + confined + `}`) {
		said := e.intrudes(t, `["alter", File]`, opts, bind{"File": file, "Path": path})
		if len(said) < 26 {
			t.Fatalf("%s: only %v", way, said)
		}
		for name, outcome := range said {
			if outcome != "EPERM" {
				t.Errorf("%s%s: %s", name, way, outcome)
			}
		}
		wantOutcomes(t, e.intrudes(t, `["memfd", "/bin/true"]`, opts, bind{"Path": path}), map[string]string{"plain": "EPERM", "executable": "EPERM", "data": "ok"})
	}
	for way, opts := range bothWays(`#{allow => [attributes, keyctl], ` + confined + `}`) {
		for name, outcome := range e.intrudes(t, `["alter", File]`, opts, bind{"File": file, "Path": path}) {
			flags := name == "file_setattr" || strings.Contains(name, "_IOC_")
			if (outcome == "EPERM") != flags {
				t.Errorf("allowed, %s%s: %s", name, way, outcome)
			}
		}
		wantOutcomes(t, e.intrudes(t, `["memfd", "/bin/true"]`, opts, bind{"Path": path}), map[string]string{"plain": "EPERM", "executable": "EPERM", "data": "ok"})
	}
	for _, opts := range []string{`#{}`, `#{sandbox => #{exec => ["/"], write => ["/"]}}`} {
		for name, outcome := range e.intrudes(t, `["alter", File]`, opts, bind{"File": file}) {
			if outcome == "EPERM" {
				t.Errorf("%s with %s: %s", name, opts, outcome)
			}
		}
		wantOutcomes(t, e.intrudes(t, `["memfd", "/bin/true"]`, opts), map[string]string{"plain": "ok", "executable": "ok", "data": "ok"})
	}
	// Common programs report the problem, and work if they need nothing more.
	for command, want := range map[string]string{
		"cp -p /etc/hostname " + path + "/copy":        "{1,true}",
		"cp /etc/hostname " + path + "/copy":           "{0,false}",
		"touch " + file:                                "{1,true}",
		"install /etc/hostname " + path + "/installed": "{1,true}",
		"cd " + path + " && tar -cf a.tar file && mkdir -p there && tar -xf a.tar -C there":            "{2,true}",
		"cd " + path + " && echo text >new && mv new newer && rm newer":                                "{0,false}",
		"cd " + path + " && perl -e 'open(my $f, q(>), q(x)) or die; chmod(0600, q(x)) or die qq($!)'": "{1,true}",
	} {
		e.expect(t, want, `
			{ok, #{exit := {exit_status, N}, stderr := Said}} = e2e:call(E, {run, Command,
				#{sandbox => #{exec => ["/usr", "/lib", "/lib64", "/bin"], read => ["/etc"], write => ["/dev/null", Path]}}}),
			{N, nomatch =/= string:find(Said, <<"Operation not permitted">>)}`, bind{"Command": command, "Path": path})
	}
}
