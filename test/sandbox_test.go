package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// landlock is the version of Landlock that this machine has, 0 for none, by a question
// of our own.
func landlock() int {
	abi, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(abi)
}

// filters says whether it lets us filter system calls.
func filters() bool {
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, 0)
	return e == unix.EFAULT // it knows the question
}

// complete says whether it has all that strict asks for.
func complete() bool { return filters() && landlock() >= 6 }

// intruder builds the program that tries what it must not be able to do.
var intruder = sync.OnceValues(func() (string, error) {
	path := filepath.Join(dir, "intruder")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../sandbox/testdata/intruder")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v\n%s", err, out)
	}
	return path, nil
})

func intruderPath(t *testing.T) string {
	t.Helper()
	path, err := intruder()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// intrudes runs the intruder as a program, with options of run, and returns the
// outcome of each attempt by its name. Args is Erlang, a list.
func (e *erluv) intrudes(t *testing.T, args, opts string, binds ...bind) map[string]string {
	t.Helper()
	out := e.eval(t, `
		{ok, #{stdout := Out, exit := {exit_status, 0}}} = e2e:call(E, {run, [Intruder | `+args+`], `+opts+`}),
		binary:split(Out, <<"\n">>, [global, trim])`, append(binds, bind{"Intruder": intruderPath(t), "Dir": dir})...)
	return outcomes(out)
}

// outcomes takes a printed list of binaries apart.
func outcomes(list string) map[string]string {
	said := map[string]string{}
	for i, piece := range strings.Split(list, `"`) {
		if name, outcome, ok := strings.Cut(piece, ": "); ok && i%2 == 1 {
			said[name] = outcome
		}
	}
	return said
}

func wantOutcomes(t *testing.T, said, want map[string]string) {
	t.Helper()
	for name, outcome := range want {
		if said[name] != outcome {
			t.Errorf("%s: %q, want %q", name, said[name], outcome)
		}
	}
}

// What info says is in force is what the machine has, and what the kernel shows of each
// thread.
//
//erluv:users
func TestSandbox(t *testing.T) {
	for _, mode := range []string{"", "best-effort", "off"} {
		t.Run(mode, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			if mode != "" {
				n.env = append(n.env, "ERLUV_SANDBOX="+mode)
			}
			e := newErluv(t, n)
			abi, seccomp, says := landlock(), filters(), mode
			switch {
			case mode == "off":
				abi, seccomp = 0, false
			case mode == "" && !ordinary && complete():
				says = "strict"
			default:
				says = "best-effort"
			}
			e.expect(t, "ok", fmt.Sprintf(`
				#{mode := '%s', seccomp := %v, files := %v, ports := %v, scope := %v,
				  no_new_privs := true, capabilities := false, dumpable := false} = e2e:call(E, {info, sandbox}),
				ok`, says, seccomp, abi >= 3, abi >= 4, abi >= 6))
			r := e.roles(t)
			ours, err := strconv.Atoi(status(os.Getpid(), os.Getpid())["Seccomp_filters"])
			if err != nil {
				t.Fatal(err)
			}
			for name, pid := range map[string]int{"child": r.child, "spawner": r.spawner} {
				for _, tid := range threads(t, pid) {
					want := ours
					if seccomp {
						want++
					}
					if seccomp && name == "spawner" && tid == pid {
						want++ // the one that programs inherit
					}
					if s := status(pid, tid); s != nil && s["Seccomp_filters"] != strconv.Itoa(want) {
						t.Errorf("%s, thread %d: %s filters, want %d", name, tid, s["Seccomp_filters"], want)
					}
				}
			}
			e.expect(t, `{ok,<<"x">>}`, `{ok, #{stdout := Out}} = e2e:call(E, {run, ["printf", "x"], #{}}), {ok, Out}`)
		})
	}
}

// A kernel that lacks a part: strict says which and ends, best-effort goes without.
//
//erluv:users
func TestWithoutLandlock(t *testing.T) {
	n := newNode(t, nodeOptions{})
	start := func(mode, name string) *erluv {
		n.env = append(n.env, "ERLUV_SANDBOX="+mode)
		e, err := n.exec(nil, intruderPath(t), "without", executable, "run", "--node", n.name, "--name", name, "--host=127.0.0.1", n.cookieFile())
		if err != nil {
			t.Fatal(err)
		}
		e.erluv = name + "@127.0.0.1"
		return e
	}
	e := start("strict", "strict")
	if code := e.exits(t, startTime); code != 1 || !strings.Contains(e.stderr.String(), "no Landlock") || strings.Count(e.stderr.String(), "\n") != 1 {
		t.Errorf("strict: status %d: %s", code, e.stderr.String())
	}
	e = start("best-effort", "effort")
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	e.expect(t, "ok", "e2e:wait_hidden(E)")
	e.expect(t, fmt.Sprintf("{%v,false,false,false}", filters()), `
		#{seccomp := S, files := F, ports := P, scope := K} = e2e:call(E, {info, sandbox}), {S, F, P, K}`)
	e.expect(t, `{error,{sandbox,enotsup}}`, `e2e:call(E, {spawn, ["true"], #{sandbox => #{exec => ["/"]}}})`)
	e.expect(t, `{error,{sandbox,enotsup}}`, `e2e:call(E, {spawn, ["true"], #{oom_score_adj => 900, sandbox => #{net => none}}})`)
	e.expect(t, `ok`, `{ok, #{exit := {exit_status, 0}}} = e2e:call(E, {run, ["true"], #{}}), ok`)
}

// Files that a program may have, also beside attributes that go another way.
//
//erluv:users
func TestSandboxFiles(t *testing.T) {
	e := common(t)
	parent, err := os.MkdirTemp(dir, "files")
	here := filepath.Join(parent, "sandboxed")
	if err := errors.Join(err, os.Chmod(parent, 0o755), os.Mkdir(here, 0o777)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(here, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "other"} {
		if err := os.WriteFile(filepath.Join(here, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(here, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const attempts = `["files", "r", "/etc/passwd", "r", Here ++ "/file", "w", Here ++ "/file", "t", Here ++ "/other", "c", Here ++ "/new", "u", Here ++ "/new", "d", Here, "x", "/bin/true"]`
	for name, tt := range map[string]struct {
		sandbox string
		want    map[string]string
	}{
		"nothing else": {`exec => [Intruder]`, map[string]string{"r passwd": "EACCES", "r file": "EACCES", "w file": "EACCES", "t other": "EACCES", "c new": "EACCES", "u new": "ENOENT", "d sandboxed": "EACCES", "x true": "EACCES"}},
		"to read":      {`exec => [Intruder], read => [Here]`, map[string]string{"r passwd": "EACCES", "r file": "ok", "w file": "EACCES", "t other": "EACCES", "c new": "EACCES", "d sandboxed": "ok", "x true": "EACCES"}},
		"to write":     {`exec => [Intruder], write => [Here]`, map[string]string{"r passwd": "EACCES", "r file": "ok", "w file": "ok", "t other": "ok", "c new": "ok", "u new": "ok", "d sandboxed": "ok", "x true": "EACCES"}},
		"one file":     {`exec => [Intruder], write => [Here ++ "/file"]`, map[string]string{"r file": "ok", "w file": "ok", "t other": "EACCES", "c new": "EACCES", "d sandboxed": "EACCES"}},
		"to execute":   {`exec => [Intruder, "/bin", "/lib", "/lib64", "/usr"], read => ["/etc"]`, map[string]string{"r passwd": "ok", "r file": "EACCES", "x true": "ok"}},
		"everything":   {`write => ["/"], exec => ["/"]`, map[string]string{"r passwd": "ok", "w file": "ok", "x true": "ok"}},
	} {
		for way, opts := range bothWays(`#{sandbox => #{` + tt.sandbox + `}}`) {
			t.Run(name+way, func(t *testing.T) {
				if runsAs := landlock(); runsAs < 3 {
					e.expect(t, `{error,{sandbox,enotsup}}`, `Here = "`+here+`", e2e:call(E, {spawn, [Intruder], `+opts+`})`, bind{"Intruder": intruderPath(t)})
					return
				}
				said := e.intrudes(t, strings.ReplaceAll(attempts, "Here", `"`+here+`"`), strings.ReplaceAll(opts, "Here", `"`+here+`"`))
				wantOutcomes(t, said, tt.want)
			})
		}
	}
}

//erluv:users
func TestSandboxNet(t *testing.T) {
	e := common(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	attempts := `["net", "` + l.Addr().String() + `"]`
	none := map[string]string{
		"unix": "ok", "tcp": "EACCES", "udp": "EACCES", "bind": "EACCES", "mptcp": "EACCES", "raw": "EACCES", "netlink": "EACCES",
		"listen": "EACCES", "fastopen": "EACCES", "io_uring": "ENOSYS",
	}
	one := map[string]string{
		"unix": "ok", "tcp": "ok", "udp": "EACCES", "bind": "EACCES", "mptcp": "EACCES", "raw": "EACCES", "netlink": "EACCES",
		"listen": "EACCES", "fastopen": "EPERM", "io_uring": "ENOSYS",
	}
	another := map[string]string{"tcp": "EACCES", "fastopen": "EPERM", "bind": "EACCES"}
	for sandbox, want := range map[string]map[string]string{
		"net => none":               none,
		"connect => [" + port + "]": one,
		"connect => [1]":            another,
	} {
		for way, opts := range bothWays(`#{sandbox => #{` + sandbox + `}}`) {
			t.Run(sandbox+way, func(t *testing.T) {
				if landlock() < 4 || !filters() {
					e.eval(t, `{error, {sandbox, _}} = e2e:call(E, {spawn, [Intruder], `+opts+`})`, bind{"Intruder": intruderPath(t)})
					return
				}
				wantOutcomes(t, e.intrudes(t, attempts, opts), want)
			})
		}
	}
	if said := e.intrudes(t, attempts, `#{}`); said["tcp"] != "ok" || said["udp"] != "ok" || said["bind"] != "ok" {
		t.Errorf("without a sandbox: %v", said)
	}
}

//erluv:users
func TestSandboxThatCannotBeHad(t *testing.T) {
	e := common(t)
	for opts, want := range map[string]string{
		`sandbox => #{net => some}`:   `{bad_option,sandbox,<<"net must be none; for connections to some ports give connect instead">>}`,
		`sandbox => #{read => "/x"}`:  `{bad_option,sandbox,<<"read must be a list of up to 64 paths, binaries or strings">>}`,
		`no_new_privs => false`:       `{bad_option,no_new_privs,<<"must be true: erluv_spawner has given up new privileges for good, and so has all that it starts">>}`,
		`sandbox => #{read => ["x"]}`: `{bad_option,sandbox,<<"read must hold absolute paths, as binaries or strings">>}`,
	} {
		e.expect(t, "{error,"+want+"}", `e2e:call(E, {spawn, ["true"], #{`+opts+`}})`)
	}
	want := "enoent"
	if landlock() < 3 {
		want = "enotsup"
	}
	e.expect(t, "{error,{sandbox,"+want+"}}", `e2e:call(E, {spawn, ["true"], #{sandbox => #{read => ["/no/such"]}}})`)
	e.expect(t, "{error,{sandbox,"+want+"}}", `e2e:call(E, {spawn, ["true"], #{oom_score_adj => 900, sandbox => #{read => ["/no/such"]}}})`)
	e.expect(t, "ok", `{ok, #{exit := {exit_status, 0}}} = e2e:call(E, {run, ["true"], #{no_new_privs => true, sandbox => #{}}}), ok`)
}

// By default root gets all or nothing, and is told what is missing.
//
//erluv:users
func TestStrict(t *testing.T) {
	n := newNode(t, nodeOptions{})
	n.env = append(n.env, "ERLUV_SANDBOX=strict")
	if complete() {
		newErluv(t, n)
		return
	}
	e, err := n.run(nil, "run", "--node", n.name, "--host=127.0.0.1", n.cookieFile())
	if err != nil {
		t.Fatal(err)
	}
	if code := e.exits(t, startTime); code != 1 || !strings.Contains(e.stderr.String(), "sandbox = strict") {
		t.Errorf("strict: status %d: %s", code, e.stderr.String())
	}
}
