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

// landlock returns the version of Landlock that this machine has, or 0 for none. The test asks the
// kernel itself.
func landlock() int {
	abi, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(abi)
}

// filters reports whether the machine allows filters of system calls.
func filters() bool {
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, 0)
	return e == unix.EFAULT // the kernel knows the operation
}

// complete reports whether the machine has everything that strict requires.
func complete() bool { return filters() && landlock() >= 6 }

// intruder builds the program that attempts forbidden operations.
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

// intrudes runs the intruder as a program, with options of run. It returns the outcome of each
// attempt by its name. Args is an Erlang list.
func (e *erluv) intrudes(t *testing.T, args, opts string, binds ...bind) map[string]string {
	t.Helper()
	out := e.eval(t, `
		{ok, #{stdout := Out, exit := {exit_status, 0}}} = e2e:call(E, {run, [Intruder | `+args+`], `+opts+`}),
		binary:split(Out, <<"\n">>, [global, trim])`, append(binds, bind{"Intruder": intruderPath(t), "Dir": dir})...)
	return outcomes(out)
}

// outcomes splits a printed list of binaries.
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

// The protection that info reports is what the machine has. The kernel shows the same for each
// thread.
//
//erluv:users
//erluv:check
func TestSandbox(t *testing.T) {
	for _, mode := range []string{"", "auto", "best-effort", "off"} {
		t.Run(mode, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			if mode != "" {
				n.env = append(n.env, "ERLUV_SANDBOX="+mode)
			}
			e := newErluv(t, n)
			abi, seccomp, says := landlock(), filters(), "auto"
			if mode == "off" {
				abi, seccomp, says = 0, false, mode
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
						want++ // programs inherit this one
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

// TestKernels: on common kernels, and in containers, erluv starts with every protection that there
// is. It logs once which ones it lacks. Its programs run as anywhere. With strict, erluv names the
// missing ones and ends.
//
//erluv:users
func TestKernels(t *testing.T) {
	for name, abi := range map[string]int{
		"debian-12": 2, "amazon-2023": 2, "ubuntu-22.04": 1, "ubuntu-24.04": 4, "rhel-9": 0, "gvisor": 0, "docker": landlock(),
	} {
		t.Run(name, func(t *testing.T) {
			abi := min(abi, landlock())
			n := newNode(t, nodeOptions{})
			start := func(args ...string) *erluv {
				e, err := n.exec(nil, intruderPath(t), append([]string{"kernel", name, executable}, args...)...)
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
			flags := []string{"--node", n.name, "--host=127.0.0.1", n.cookieFile()}
			if !complete() || abi < 6 {
				for _, command := range []string{"run", "ping"} {
					e := start(append([]string{command, "--sandbox=strict"}, flags...)...)
					if code := e.exits(t, startTime); code != 2 || !strings.Contains(e.stderr.String(), "no Landlock") || strings.Count(e.stderr.String(), "\n") != 1 {
						t.Errorf("strict: %s: status %d: %s", command, code, e.stderr.String())
					}
				}
				e := start(append([]string{"config", "--sandbox=strict"}, flags...)...)
				if code := e.exits(t, startTime); code != 0 || !strings.Contains(e.stderr.String(), "run and ping would fail: cannot confine") {
					t.Errorf("strict: config: status %d: %s", code, e.stderr.String())
				}
			}
			e := start(append([]string{"run", "--name=kernel"}, flags...)...)
			e.erluv, e.fails = "kernel@127.0.0.1", true
			t.Cleanup(func() {
				if err := e.stop(); err != nil {
					t.Error(err)
				}
				e.report(t)
			})
			e.expect(t, "ok", "e2e:wait_hidden(E)")
			e.expect(t, "ok", fmt.Sprintf(`
				#{mode := auto, seccomp := true, files := %v, ports := %v, scope := %v, no_new_privs := true, capabilities := false} =
					e2e:call(E, {info, sandbox}), ok`, abi >= 3, abi >= 4, abi >= 6))
			s := e.session(t)
			s.expect(t, "ok", `
				{ok, #{stdout := <<"out">>, exit := {exit_status, 3}}} = e2e:call(E, {run, "printf out; exit 3", #{}}),
				{<<"err\n">>, {signal, sigterm}} = begin
					T = e2e:start(E, ["/bin/sh", "-c", "trap '' HUP; echo err; exec sleep 1000"], #{pty => #{opost => 0}}),
					ok = e2e:said(T, stdout, <<"err\n">>), {ok, X} = e2e:call(T, stop), {<<"err\n">>, X}
				end,
				N = e2e:start(E, "echo ready; (sleep 1000 & sleep 1000)", #{nice => 19, rlimits => #{core => 0}}), ok = e2e:ready(N),
				#{os_pid := Pid} = e2e:call(N, info), true = is_integer(Pid),
				ok = e2e:call(N, {signal, group, sigcont}),
				{ok, {signal, sigterm}} = e2e:call(N, stop),
				ok`)
			want := "{ok,{exit_status,0}}"
			if abi < 3 {
				want = "{error,{sandbox,enotsup}}"
			}
			e.expect(t, want, `case e2e:call(E, {run, ["true"], #{sandbox => #{read => ["/"], exec => ["/"]}}}) of {ok, #{exit := X}} -> {ok, X}; R -> R end`)
			r := e.roles(t)
			s.eval(t, `process_flag(trap_exit, true), W = e2e:start(E, "echo ready; exec sleep 1000"), ok = e2e:ready(W), OsPid = e2e:os_pid(W)`)
			inside := insiders(r.spawner)
			kill(t, r.child, unix.SIGKILL)
			s.expect(t, "child_crashed", `receive {'EXIT', W, R} -> R after 120000 -> no_exit end`)
			if err := endOf(inside); err != nil {
				t.Error(err)
			}
			text := e.stderr.String()
			lacks := strings.Count(text, "cannot confine the child and the programs in all ways")
			// erluv may also warn that it has swept away what other tests' erluvs of the same user
			// left.
			warnings := strings.Count(text, "level=WARN") - strings.Count(text, "leftover processes of an earlier erluv")
			if want := map[bool]int{true: 1, false: 0}[abi < 6]; lacks != want || warnings != want {
				t.Errorf("%d warnings name missing protection, of %d, want %d: %s", lacks, warnings, want, text)
			}
		})
	}
}

// The sandbox limits a program to some files, whichever way its attributes are set.
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
		ways := bothWays(`#{sandbox => #{` + tt.sandbox + `}}`)
		for way, opts := range bothWays(`#{allow => [attributes], sandbox => #{` + tt.sandbox + `}}`) {
			ways[", with attributes"+way] = opts // attributes are not contents
		}
		for way, opts := range ways {
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
		`no_new_privs => false`:       `{bad_option,no_new_privs,<<"must be true: erluv_spawner has given up new privileges for good, and its programs inherit that">>}`,
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

// TestWithoutCapabilities: root that cannot become another user, or kill its programs, gets an
// error. It names the missing capabilities and the remedy.
//
//erluv:users
func TestWithoutCapabilities(t *testing.T) {
	if ordinary || os.Getuid() != 0 {
		return // has no capabilities, and needs none
	}
	n := newNode(t, nodeOptions{})
	for lacks, words := range map[string]string{
		"-all":             "this root has no CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL: give",
		"-setuid,-kill":    "this root has no CAP_SETUID, CAP_KILL: give",
		"-setgid,-setpcap": "this root has no CAP_SETGID, CAP_SETPCAP: give",
	} {
		for command, code := range map[string]int{"run": 2, "ping": 2, "config": 0} {
			e, err := n.exec(nil, "setpriv", "--bounding-set="+lacks, executable, command, "--node", n.name, "--host=127.0.0.1", n.cookieFile())
			if err != nil {
				t.Fatal(err)
			}
			if got := e.exits(t, startTime); got != code || !strings.Contains(e.stderr.String(), words) || strings.Count(e.stderr.String(), "\n") != 1 {
				t.Errorf("%s, %s: status %d: %s", lacks, command, got, e.stderr.String())
			}
		}
	}
}

// With strict, erluv has the whole sandbox, or names what is missing.
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
	if code := e.exits(t, startTime); code != 2 || !strings.Contains(e.stderr.String(), "sandbox = strict") {
		t.Errorf("strict: status %d: %s", code, e.stderr.String())
	}
}
