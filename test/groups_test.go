package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestGroupsAreKept: a program attacks every tree of control groups of its erluv, while another
// program runs. It cannot leave its own group, enter another program's, or change its limits. The
// next program starts normally.
//
//erluv:users
func TestGroupsAreKept(t *testing.T) {
	if ordinary {
		return // it has no tree here: see TestGroupsOfAnOrdinaryUser
	}
	eachWay(t, func(t *testing.T, contain, _ string) {
		e := newErluv(t, newNode(t, nodeOptions{}), "--contain", contain)
		attackGroups(t, e, "owner", nil)
	})
}

// attackGroups attacks the trees of an erluv. kept is the protection that info names, and may has
// the attacks that may work.
func attackGroups(t *testing.T, e *erluv, kept string, may map[string]bool) {
	t.Helper()
	s := e.session(t)
	var of []string
	for limit, can := range eachLimit(t, e) {
		if can {
			of = append(of, limit+" => "+map[string]string{"memory": "256 bsl 20", "pids": "50", "cpu": "100"}[limit])
		}
	}
	limits := "limits => #{" + strings.Join(of, ", ") + "}"
	if len(of) == 0 {
		limits = ""
	}
	pid := s.eval(t, `V = e2e:start(E, "echo ready; exec cat", #{`+limits+`}), ok = e2e:ready(V), e2e:os_pid(V)`)
	text, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var trees []string // other erluvs have trees too
	for _, tree := range regexp.MustCompile(`erluv-[0-9a-f]+\.tree`).FindAllString(string(text), -1) {
		trees = append(trees, `"`+tree+`"`)
	}
	if says := e.eval(t, "e2e:call(E, {info, groups})"); says != kept {
		if says == "none" && !canCgroup() {
			return
		}
		t.Errorf("groups are kept by %s, want %s", says, kept)
	}
	if len(trees) == 0 {
		return
	}
	for _, opts := range []string{"", limits, "oom_score_adj => 900", "sandbox => #{write => [\"/\"], exec => [\"/\"]}"} {
		said := e.intrudes(t, `["groups", `+strings.Join(trees, ", ")+`]`, `#{`+opts+`}`)
		if len(said) < 15 {
			t.Fatalf("%q: only %v", opts, said)
		}
		for attack, outcome := range said {
			if outcome == "ok" && !may[attack] {
				t.Errorf("%q: %s works", opts, attack)
			}
		}
		if said["trees"] == "0" {
			t.Errorf("%q: it sees no tree", opts)
		}
		e.expect(t, `{exit_status,0}`, `{ok, #{exit := X}} = e2e:call(E, {run, ["true"], #{`+limits+`}}), X`)
	}
	s.expect(t, "{true,{exit_status,0}}", `{e2e:call(V, {write, "x"}) =:= ok andalso {stdout, <<"x">>} =:= e2e:next(V), begin ok = e2e:call(V, {close, stdin}), element(3, e2e:outcome(V)) end}`)
}

// TestSilentSpawner: main kills a spawner that is stopped or frozen, and another one follows.
// Requests that came meanwhile are answered.
//
//erluv:users
func TestSilentSpawner(t *testing.T) {
	// The runs only wait until the spawner counts as dead, so they run in parallel.
	eachWay(t, func(t *testing.T, contain, _ string) {
		t.Parallel()
		t.Run("stopped", func(t *testing.T) {
			t.Parallel()
			e := newErluv(t, newNode(t, nodeOptions{}), "--contain", contain)
			silence(t, e, func(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) })
		})
		base := ownGroup(t)
		if base == "" || inVersion1 || contain == "group" {
			return
		}
		t.Run("frozen", func(t *testing.T) {
			t.Parallel()
			e := within(t, newNode(t, nodeOptions{}), base, "--contain", contain)
			silence(t, e, func(int) error {
				files, err := filepath.Glob(base + "/erluv-*.tree/spawner/cgroup.freeze")
				if err != nil || len(files) != 1 {
					return fmt.Errorf("%q, %v", files, err)
				}
				return os.WriteFile(files[0], []byte("1"), 0)
			})
		})
	})
}

func silence(t *testing.T, e *erluv, how func(spawner int) error) {
	t.Helper()
	e.fails = true
	s := e.session(t)
	s.eval(t, `process_flag(trap_exit, true), W = e2e:start(E, Cmd, #{}), ok = e2e:ready(W)`, bind{"Cmd": daemon + "echo ready; exec cat"})
	old := e.roles(t).spawner
	inside := insiders(old)
	if err := how(old); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "answered", `
		case gen_server:call({erluv, E}, {run, ["true"], #{}}, 120000) of {error, eagain} -> answered; {ok, _} -> answered; R -> R end`)
	s.expect(t, "{signal,sigkill}", `receive {'EXIT', W, R} -> R after 120000 -> no_exit end`)
	if err := endOf(inside); err != nil {
		t.Error(err)
	}
	e.expect(t, `{true,{exit_status,0}}`, `{ok, #{exit := X}} = e2e:call(E, {run, ["true"], #{}}), {e2e:call(E, {info, spawner_os_pid}) =/= Old, X}`, bind{"Old": old})
	if !strings.Contains(e.stderr.String(), "does not answer") {
		t.Errorf("nothing of it is logged: %s", e.stderr.String())
	}
}

// TestStoppedRoles: after main is killed, no program is left, whichever roles were stopped.
//
//erluv:users
func TestStoppedRoles(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, _ string) {
		n := newNode(t, nodeOptions{noise: true})
		for _, stopped := range [][]string{{"spawner"}, {"child", "spawner"}, {"main", "child", "spawner"}} {
			for _, killed := range [][]string{{"main"}, {"child", "main"}} {
				t.Run(fmt.Sprint(stopped, killed), func(t *testing.T) {
					e := newErluv(t, n, "--contain", contain, "--reconnect", "exit")
					e.fails = true
					s := e.session(t)
					s.eval(t, `ok = e2e:ready(e2e:start(E, Cmd, #{link => false}))`, bind{"Cmd": daemon + "echo ready; exec sleep 1000"})
					r := e.roles(t)
					inside := insiders(r.spawner)
					for _, role := range stopped {
						_ = syscall.Kill(r.each()[role], syscall.SIGSTOP)
					}
					for _, role := range killed {
						_ = syscall.Kill(r.each()[role], syscall.SIGKILL)
					}
					e.exits(t, endTime)
					if err := endOf(inside); err != nil {
						t.Error(err)
					}
				})
			}
		}
	})
}

// TestHoppers: processes fork, leave their session and end, again and again. With control groups of
// any kind they do not outrun the end of the spawner.
//
//erluv:users
func TestHoppers(t *testing.T) {
	if !canCgroup() || inVersion1 {
		return
	}
	eachWay(t, func(t *testing.T, contain, _ string) {
		e := newErluv(t, newNode(t, nodeOptions{}), "--contain", contain)
		e.fails = true
		// Each process writes a line, and lives for too short a time to be seen in /proc.
		script := filepath.Join(shelf(t, 0o777), "hop")
		if err := os.WriteFile(script, []byte("echo >>$0.log; sleep 0.002; setsid sh $0 >/dev/null 2>&1 &\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		hops := func() int64 {
			log, err := os.Stat(script + ".log")
			if err != nil {
				return 0
			}
			return log.Size()
		}
		s := e.session(t)
		s.eval(t, `[e2e:start(E, ["sh", Script], #{link => false, tree => leave}) || _ <- lists:seq(1, 20)], ok`, bind{"Script": script})
		eventually(t, "they hop", func() bool { return hops() > 100 })
		old := e.roles(t).spawner
		_ = syscall.Kill(old, syscall.SIGKILL)
		e.expect(t, "ok", `e2e:until(fun() -> e2e:call(E, {info, spawner_os_pid}) =/= Old end), ok`, bind{"Old": old})
		then := hops()
		e.expect(t, `[{exit_status,0}]`, `lists:usort([X || _ <- lists:seq(1, 50), {ok, #{exit := X}} <- [e2e:call(E, {run, ["sleep", "0.01"], #{}})]])`)
		if more := hops() - then; more > 0 {
			t.Errorf("they still hop: %d times since there is another spawner", more)
		}
	})
}

// TestGroupsOfAnOrdinaryUser: an ordinary user with a delegated group cannot have a keeper.
// Landlock keeps the programs from changing control groups. Attacks that Landlock does not cover do
// no harm: the next program starts normally.
//
//erluv:users
func TestGroupsOfAnOrdinaryUser(t *testing.T) {
	base := ownGroup(t)
	if base == "" || inVersion1 || landlock() < 6 || os.Getuid() != 0 {
		return
	}
	const uid = "5" // games
	for _, path := range []string{base, base + "/cgroup.procs", base + "/cgroup.subtree_control"} {
		if err := os.Chown(path, 5, 60); err != nil {
			t.Fatal(err)
		}
	}
	n := newNode(t, nodeOptions{})
	cookie := filepath.Join(dir, "cookie-of-games")
	text, err := os.ReadFile(filepath.Join(n.home, ".erlang.cookie"))
	if err == nil {
		err = errors.Join(os.WriteFile(cookie, text, 0o400), os.Chown(cookie, 5, 60))
	}
	if err != nil {
		t.Fatal(err)
	}
	_, host, _ := strings.Cut(n.name, "@")
	name := fmt.Sprintf("e%d", serial.Add(1))
	e, err := n.exec(nil, "/bin/sh", "-c", `echo $$ >"$1/cgroup.procs" && shift && exec setpriv --reuid=`+uid+` --regid=60 --clear-groups "$0" "$@"`, executable, base,
		"run", "--node", n.name, "--name", name, "--host", host, "--cookie-file="+cookie, "--contain", "cgroup")
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "@" + host
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	e.expect(t, "ok", "e2e:wait_hidden(E), ok")
	e.expect(t, "landlock", "e2e:call(E, {info, groups})")
	tree, _ := filepath.Glob(base + "/erluv-*.tree")
	if len(tree) != 1 {
		t.Fatalf("trees: %q", tree)
	}
	for _, opts := range []string{"", "oom_score_adj => 900"} {
		for attack, outcome := range e.intrudes(t, `["groups", "`+filepath.Base(tree[0])+`", "but chmod"]`, `#{`+opts+`}`) {
			if outcome == "ok" && attack != "chown" && attack != "setxattr" && attack != "utime" {
				t.Errorf("%q: %s works", opts, attack)
			}
		}
		e.expect(t, `{exit_status,0}`, `{ok, #{exit := X}} = e2e:call(E, {run, ["true"], #{}}), X`)
	}
	// A program that removes the permissions of its own group is ended all the same.
	e.expect(t, "killed", `
		W = e2e:start(E, Cmd, #{link => false}),
		ok = e2e:ready(W), M = monitor(process, W), exit(W, kill), receive {'DOWN', M, _, _, R} -> R after 120000 -> alive end`,
		bind{"Cmd": "cd " + tree[0] + "/$(sed -n 's,^0:.*/,,p' /proc/self/cgroup) && chmod 0 cgroup.kill cgroup.procs ; setsid sleep 1000 & echo ready; exec cat"})
	// Everything else can be changed as before.
	e.expect(t, `{exit_status,0}`, `{ok, #{exit := X}} = e2e:call(E, {run, "f=$(mktemp) && echo x >$f && mv $f $f.y && mkdir $f && mv $f.y $f && rm -r $f && echo x >/dev/shm/$$ && rm /dev/shm/$$ && echo x >/dev/null", #{}}), X`)
}
