package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// configured starts an erluv with a configuration file of its own.
func configured(t *testing.T, text string, args ...string) *erluv {
	t.Helper()
	n := newNode(t, nodeOptions{})
	n.env = append(n.env, "ERLUV_CONF="+confFile(t, n, text))
	return newErluv(t, n, args...)
}

func confFile(t *testing.T, n *node, text string) string {
	t.Helper()
	file := filepath.Join(n.home, "host.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if credential != nil {
		if err := os.Chown(file, int(credential.Uid), int(credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// TestHostStandby: running programs go on, no program starts, and the controller gets the change.
func TestHostStandby(t *testing.T) {
	e, s := crashing(t)
	s.expect(t, "{ready,ok,standby}", `
		W = e2e:start(E, ["cat"], #{packet => line}),
		{e2e:call(E, {status, get}), e2e:call(E, {status, set, standby}), receive {erluv, E, {status, S}} -> S after 120000 -> none end}`)
	s.expect(t, "[{error,{node_not_ready,standby}},{error,{node_not_ready,standby}},{error,{node_not_ready,standby}}]",
		`[e2e:call(E, {What, "/bin/true", #{}}) || What <- [spawn, run, watch]]`)
	s.expect(t, `{ok,<<"x\n">>}`, `{gen_server:call(W, {write, <<"x\n">>}), receive {W, {stdout, B}} -> B after 120000 -> none end}`)
	s.expect(t, "{ok,ready}", `{e2e:call(E, {status, set, ready}), receive {erluv, E, {status, R}} -> R after 120000 -> none end}`)
	s.expect(t, "{ok,standby,ready}", `{element(1, e2e:call(E, {run, ["true"], #{}})), S, e2e:call(E, {info, status})}`)
	e.report(t)
}

// TestHostSurvivesTheChild: after a crash a host that was not ready is still not ready, and keeps
// its labels.
//
//erluv:check
func TestHostSurvivesTheChild(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "60s", "--meta", "core;group=g1;master, meta2;a=1")
	s.expect(t, `[{<<"core">>,[{<<"group">>,<<"g1">>},<<"master">>]},{<<"meta2">>,[{<<"a">>,<<"1">>}]}]`, `e2e:call(E, {meta, get})`)
	s.expect(t, "{ok,{error,invalid_tokens},ok}",
		`{e2e:call(E, {meta, {update, "meta2;b, x"}}), e2e:call(E, {meta, {update, ";"}}), e2e:call(E, {meta, {remove, core}})}`)
	for i, state := range []string{"standby", "stopped", "ready"} {
		s.expect(t, "ok", `e2e:call(E, {status, set, `+state+`})`)
		kill(t, e.roles(t).child, syscall.SIGKILL)
		s.expect(t, "child_up", round(i, `
			receive {erluv, E, {child_down, _, _}} -> ok after 120000 -> error(not_down) end,
			{erluv_main, E} ! respawn,
			receive {erluv, E, {child_up, _}} -> child_up after 120000 -> none end`))
		s.expect(t, "{"+state+`,[{<<"meta2">>,[<<"b">>]},{<<"x">>,[]}]}`, `{e2e:call(E, {status, get}), e2e:call(E, {info, meta})}`)
	}
	s.expect(t, "ok", `element(1, e2e:call(E, {run, ["true"], #{}}))`)
}

// TestHostSurvivesTheConnection: another connection does not make such a host ready either.
func TestHostSurvivesTheConnection(t *testing.T) {
	e, s := crashing(t)
	s.expect(t, "ok", `e2e:call(E, {status, set, standby})`)
	s.expect(t, "standby", `
		receive {erluv, E, {status, _}} -> ok after 120000 -> error(not_told) end,
		erlang:disconnect_node(E),
		receive {erluv, E, {up, #{status := S}}} -> S after 120000 -> none end`)
	e.report(t)
}

// TestHostDrain: workers are asked to stop. At the deadline the others are killed and named.
// Supervisors see an orderly end.
//
//erluv:users
//erluv:check
func TestHostDrain(t *testing.T) {
	_, s := crashing(t)
	s.eval(t, `
		Polite = e2e:start(E, ["sleep", "1000"], #{restart => permanent}),
		Deaf = e2e:start(E, "trap '' TERM; echo; while :; do sleep 0.1; done", #{kill_timeout => 600000, detached => true}),
		F = e2e:watch(E, "/tmp"),
		receive {Deaf, {stdout, _}} -> ok after 120000 -> error(silent) end`)
	s.expect(t, "{ok,true}", `{ok, Killed} = e2e:call(E, {drain, 3000}), {ok, Killed =:= [Deaf]}`)
	s.expect(t, "[{shutdown,drained},killed,{shutdown,drained}]", `[receive {'EXIT', P, Why} -> Why after 120000 -> none end || P <- [Polite, Deaf, F]]`)
	s.expect(t, "{[],stopped,{error,{node_not_ready,stopped}}}",
		`{e2e:call(E, workers), e2e:call(E, {status, get}), e2e:call(E, {spawn, ["true"], #{}})}`)
	s.expect(t, "[stopping,stopped]", `[receive {erluv, E, {status, S}} -> S after 120000 -> none end || _ <- [1, 2]]`)
	s.expect(t, "{{ok,[]},ok,ready}", `{e2e:call(E, {drain, infinity}), e2e:call(E, {status, set, ready}), e2e:call(E, {status, get})}`)
}

// TestHostClasses: with run = "classes" a program of the configuration starts as the configuration
// says, and no other program starts.
//
//erluv:users
//erluv:check
func TestHostClasses(t *testing.T) {
	e := configured(t, `
run = "classes"

[class.say]
command = ["/bin/sh", "-c", "pwd; echo $A $1"]
args = ["say", "[a-z]+"]
cd = "/usr"
env = { A = "1" }

[class.sleep]
command = ["/bin/sleep", "1000"]
max = 1

[class.confined]
command = ["/bin/sh", "-c", "cat /etc/passwd >/dev/null 2>&1 || echo no"]
sandbox = { read = ["/lib", "/lib64", "/usr", "/dev"], exec = ["/bin", "/usr", "/lib", "/lib64"], write = ["/dev/null"] }
`)
	e.expect(t, `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<"/usr\n1 abc\n">>}}`, `e2e:call(E, {run, {class, say, ["say", "abc"]}, #{}})`)
	e.expect(t, `<<"no\n">>`, `{ok, #{stdout := Out}} = e2e:call(E, {run, {class, "confined", []}, #{}}), Out`)
	e.expect(t, "{bad_option,cmd}", `{error, {A, B, _}} = e2e:call(E, {run, {class, say, ["say", "ABC"]}, #{}}), {A, B}`)
	e.expect(t, "{bad_option,env}", `{error, {A, B, _}} = e2e:call(E, {run, {class, say, []}, #{env => #{"LD_PRELOAD" => "/tmp/x"}}}), {A, B}`)
	e.expect(t, "[{error,{class,required}},{error,{class,required}},{error,{class,required}},{error,{class,unknown}}]", `
		[e2e:call(E, {run, "true", #{}}), e2e:call(E, {spawn, ["true"], #{}}), e2e:call(E, {watch, "/tmp", #{}}), e2e:call(E, {run, {class, true, []}, #{}})]`)
	e.expect(t, "{{error,{class,full}},1,ok}", `
		{ok, W} = e2e:call(E, {spawn, {class, sleep, []}, #{}}),
		Full = e2e:call(E, {spawn, {class, sleep, []}, #{}}),
		[#{running := N}] = [C || #{name := <<"sleep">>} = C <- e2e:call(E, {classes})],
		{ok, _} = e2e:call(W, stop),
		{ok, V} = e2e:call(E, {spawn, {class, sleep, []}, #{}}),
		{ok, _} = e2e:call(V, stop),
		{Full, N, ok}`)
	e.expect(t, `{classes,[<<"confined">>,<<"say">>,<<"sleep">>]}`, `{e2e:call(E, {info, run}), e2e:call(E, {info, classes})}`)
}

// TestHostClassOfAnotherUser: the class names the user of its program.
//
//erluv:users
func TestHostClassOfAnotherUser(t *testing.T) {
	if ordinary {
		n := newNode(t, nodeOptions{})
		n.env = append(n.env, "ERLUV_CONF="+confFile(t, n, "[class.id]\ncommand = [\"/usr/bin/id\", \"-un\"]\nuser = \"games\"\n"))
		e, err := n.run(nil, "run", "--node", n.name, "--name=refused", "--host=127.0.0.1", n.cookieFile())
		if err != nil {
			t.Fatal(err)
		}
		if status := e.exits(t, startTime); status != 2 || !strings.Contains(e.stderr.String(), "has a class id with the user games") {
			t.Errorf("status %d, %s", status, e.stderr.String())
		}
		return
	}
	e := configured(t, "allow_users = [\"games\"]\n[class.id]\ncommand = [\"/usr/bin/id\", \"-un\"]\nuser = \"games\"\n")
	e.expect(t, `<<"games\n">>`, `{ok, #{stdout := Out}} = e2e:call(E, {run, {class, id, []}, #{}}), Out`)
}

// TestHostBounds: a program has the host's limits unless it asks for lower ones. Higher ones are
// refused. A stop takes no longer than the host allows.
func TestHostBounds(t *testing.T) {
	e, s := crashing(t, "--max-kill-timeout", "1s")
	s.expect(t, "true", `
		W = e2e:start(E, "trap '' TERM; echo; while :; do sleep 0.1; done", #{kill_timeout => 600000}),
		V = e2e:start(E, "trap '' TERM HUP; echo; while :; do sleep 0.1; done", #{stop_sequence => [sighup, 700, sigterm, 600000, sigkill]}),
		[receive {P, {stdout, _}} -> ok after 120000 -> error(silent) end || P <- [W, V]],
		{Time, _} = timer:tc(fun() -> [{ok, {signal, sigkill}} = e2e:call(P, stop) || P <- [W, V]] end),
		Time < 60000000`)
	e.expect(t, "1000", `maps:get(kill_timeout, e2e:call(E, {info, caps}))`)
	if !canLimit("pids") {
		return
	}
	e = configured(t, "limits = [\"pids=20\"]\n")
	e.expect(t, "{bad_option,limits}", `{error, {A, B, _}} = e2e:call(E, {run, "true", #{limits => #{pids => 21}}}), {A, B}`)
	for opts, want := range map[string]string{"#{}": "20", "#{limits => #{pids => infinity}}": "20", "#{limits => #{pids => 10}}": "10"} {
		e.expect(t, want, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, <<"own() { sed -n \"s/^[0-9]*:$1://p\" /proc/self/cgroup; }; cd /sys/fs/cgroup; ",
				"cat pids$(own pids)/pids.max 2>/dev/null || cat .$(own '')/pids.max 2>/dev/null || cat unified$(own '')/pids.max">>, `+opts+`}),
			list_to_integer(string:trim(binary_to_list(Out)))`)
	}
}

// TestHostInfo: info shows the machine's resources, with the kernel's numbers.
//
//erluv:users
//erluv:check
func TestHostInfo(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n, "--disks", "/,/proc,/no/such")
	e.expect(t, "true", `
		#{load := #{avg1 := L, cpus := CPUs}, memory := #{total := Total, available := Free}, disks := [D, _, Not], status := ready, meta := [], run := any} =
			e2e:call(E, info),
		#{path := <<"/">>, total := Size, available := Left} = D,
		#{path := <<"/no/such">>, total := undefined, available := undefined} = Not,
		{ok, Text} = file:read_file("/proc/meminfo"),
		{match, [KiB]} = re:run(Text, "MemTotal: +([0-9]+) kB", [{capture, all_but_first, list}]),
		is_float(L) andalso CPUs >= 1 andalso Total =:= list_to_integer(KiB) * 1024 andalso Free > 0 andalso Free =< Total
			andalso Left > 0 andalso Left =< Size`)
}

// TestHostForgets: an erluv that starts is ready and has the labels of its configuration. Changes
// made at the one before are gone.
func TestHostForgets(t *testing.T) {
	n := newNode(t, nodeOptions{})
	const want = `{ready,[{<<"a">>,[<<"b">>]}]}`
	for range 2 {
		e, err := n.connect("--meta", "a;b")
		if err != nil {
			t.Fatal(err)
		}
		e.expect(t, want, `{e2e:call(E, {status, get}), e2e:call(E, {meta, get})}`)
		e.expect(t, "{ok,ok}", `{e2e:call(E, {status, set, standby}), e2e:call(E, {meta, {remove, "a"}})}`)
		if err := e.stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestFleetDocument: the tests that doc/fleet.md names exist, and each of its rows names one.
func TestFleetDocument(t *testing.T) {
	text, err := os.ReadFile("../doc/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for pattern, least := range map[string]int{"../*/*_test.go": 50, "../*/*/*_test.go": 50, "../erlang/test/*_tests.erl": 5} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) < least {
			t.Fatal(files, err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(source)
		}
	}
	named := regexp.MustCompile("`(Test[A-Za-z]+|t_[a-z_]+)`")
	_, tables, _ := strings.Cut(string(text), "| what happens | what follows | test |")
	rows := 0
	for line := range strings.Lines(tables) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") || strings.HasSuffix(strings.TrimSpace(line), "| test |") {
			continue
		}
		rows++
		found := named.FindAllStringSubmatch(line, -1)
		if len(found) == 0 {
			t.Errorf("no test in the row %s", line)
		}
		for _, test := range found {
			if source := all.String(); !strings.Contains(source, "\nfunc "+test[1]+"(") && !strings.Contains(source, "\n"+test[1]+"() ->") {
				t.Errorf("there is no %s, which doc/fleet.md names", test[1])
			}
		}
	}
	if rows < 25 {
		t.Errorf("doc/fleet.md has %d rows", rows)
	}
}
