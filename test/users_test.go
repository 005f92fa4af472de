package e2e

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// allowing starts an erluv whose configuration has only allow_users. An ordinary user's erluv must
// refuse to start with that, and then the result is nil.
func allowing(t *testing.T, n *node, users string, args ...string) *erluv {
	t.Helper()
	file := filepath.Join(n.home, "users.conf")
	if err := os.WriteFile(file, []byte("# who\nallow_users = "+users+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if credential != nil {
		if err := os.Chown(file, int(credential.Uid), int(credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	n.env = append(n.env, "ERLUV_CONF="+file)
	if !ordinary {
		return newErluv(t, n, args...)
	}
	e, err := n.run(nil, append([]string{"run", "--node", n.name, "--name=refused", "--host=127.0.0.1", n.cookieFile()}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	status := e.exits(t, startTime)
	if text := e.stderr.String(); status != 2 || !strings.Contains(text, file+":2: allow_users") || !strings.Contains(text, "start erluv as root, or leave the key out") {
		t.Errorf("status %d, %s", status, text)
	}
	return nil
}

// ownUser returns the name of the user who runs programs by default.
func ownUser() string { return cmp.Or(workerName, "nobody") }

// idOf returns the number of a user, and of the user's group.
func idOf(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return uid, gid
}

// TestUsers checks the identity and attributes of a program of another user, and which users may
// not be named.
//
//erluv:users
//erluv:check
func TestUsers(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := allowing(t, n, `["games", "games:games,audio,video", "backup:daemon", "4711:4712"]`)
	if e == nil {
		return
	}
	who := `"echo $(id -u) $(id -g) $(id -G); grep -E 'NoNewPrivs|CapBnd|CapEff' /proc/self/status | tr '\t\n' '  '"`
	for opts, want := range map[string]string{
		`#{}`:                                                  fmt.Sprintf("%d %d %d", workerID, groupID, groupID),
		`#{user => '` + ownUser() + `'}`:                       fmt.Sprintf("%d %d %d", workerID, groupID, groupID),
		`#{user => "games"}`:                                   "5 60 60",
		`#{user => games}`:                                     "5 60 60",
		`#{user => 5, group => 60}`:                            "5 60 60",
		`#{user => <<"games">>, groups => []}`:                 "5 60 60",
		`#{user => games, groups => [video, "audio"]}`:         "5 60 60 29 44",
		`#{user => games, group => games, groups => [29, 44]}`: "5 60 60 29 44",
		`#{user => backup}`:                                    "34 1 1",
		`#{user => backup, group => <<"daemon">>}`:             "34 1 1",
		`#{user => 4711}`:                                      "4711 4712 4712",
	} {
		e.expect(t, `{ok,<<"`+want+`">>}`, `
			{ok, #{exit := {exit_status, 0}, stdout := Out}} = e2e:call(E, {run, `+who+`, `+opts+`}),
			[Ids, Status] = binary:split(Out, <<"\n">>),
			<<"CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 ">> = Status,
			{ok, Ids}`)
	}
	for opts, want := range map[string]string{
		`#{user => "daemon"}`:                        "{user,not_allowed}",
		`#{user => root}`:                            "{user,not_allowed}",
		`#{user => 0}`:                               "{user,not_allowed}",
		`#{user => "no such user"}`:                  "{user,unknown}",
		`#{user => 4712}`:                            "{user,unknown}",
		`#{user => games, group => daemon}`:          "{group,not_allowed}",
		`#{group => games}`:                          "{group,not_allowed}",
		`#{user => backup, group => backup}`:         "{group,not_allowed}",
		`#{user => games, groups => [audio]}`:        "{groups,not_allowed}",
		`#{user => games, groups => [audio, audio]}`: "{groups,not_allowed}",
		`#{groups => [games]}`:                       "{groups,not_allowed}",
	} {
		for _, request := range []string{"spawn", "run"} {
			e.expect(t, `{error,`+want+`}`, `e2e:call(E, {`+request+`, ["true"], `+opts+`})`)
		}
	}
	for _, bad := range []string{`user => ""`, `user => -1`, `user => {games}`, `groups => games`, `groups => [{}]`, `login => yes`, `user => "a\0b"`} {
		e.expect(t, `true`, `{error, {bad_option, K, Why}} = e2e:call(E, {spawn, ["true"], #{`+bad+`}}), is_atom(K) andalso is_binary(Why)`)
	}
	// info shows the users.
	e.expect(t, `[{<<"games">>,5,<<"games">>,60,[],true},{<<"games">>,5,<<"games">>,60,[<<"audio">>,<<"video">>],true},`+
		`{<<"backup">>,34,<<"daemon">>,1,[],true},{<<"4711">>,4711,<<"4712">>,4712,[],true}]`, `
		[{U, UID, G, GID, Gs, is_integer(Pid)} || #{user := U, uid := UID, group := G, gid := GID, groups := Gs, spawner_os_pid := Pid} <- e2e:call(E, {info, allow_users})]`)
	e.expect(t, `{<<"games">>,[<<"games">>]}`, `
		W = e2e:start(E, ["sleep", "1000"], #{user => games}),
		#{user := User} = e2e:call(W, info),
		Seen = [U || {_, #{user := U}} <- e2e:call(E, workers)],
		{ok, {signal, sigterm}} = e2e:call(W, stop),
		{User, Seen}`)
}

// A program of another user has that user's surroundings and rights.
//
//erluv:users
func TestUsersSurroundings(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := allowing(t, n, `["games", "backup"]`)
	if e == nil {
		return
	}
	home, err := os.MkdirTemp(dir, "games-")
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := idOf(t, "games")
	if err := os.Chown(home, uid, gid); err != nil { // mode 0700
		t.Fatal(err)
	}
	s := e.session(t)
	s.eval(t, fmt.Sprintf(`Dir = %q, O = fun(Cmd, Opts) -> element(1, e2e:outcome(e2e:start(E, Cmd, Opts#{user => games}))) end, ok`, home))
	for source, want := range map[string]string{
		// erluv opens files and enters a directory as the user.
		`O("pwd; cat", #{cd => Dir, stdin => {file, "/etc/hostname"}}) =:= iolist_to_binary([Dir, "\n", element(2, file:read_file("/etc/hostname"))])`: "true",
		`O("echo out; echo err >&2", #{cd => Dir, stdout => {file, "out", []}, stderr => {file, "err", [{mode, 8#600}]}}),
			O("cat out err; stat -c '%U %a' out err", #{cd => Dir})`: `<<"out\nerr\ngames 644\ngames 600\n">>`,
		`e2e:call(E, {spawn, ["true"], #{cd => Dir}})`:                                       `{error,{cd,eacces}}`,
		`e2e:call(E, {spawn, ["true"], #{user => backup, stdout => {file, Dir ++ "/out"}}})`: `{error,{stdout,eacces}}`,
		`O("seq 1 2000", #{cd => Dir, stdout => {file, "log", [{rotate, #{size => 4096, count => 2}}]}}),
			O("stat -c %U log log.1 | sort -u", #{cd => Dir})`: `<<"games\n">>`,
		// Pipes can be opened anew, and so can terminals with reopen.
		`O("cat >/dev/stdout; echo more >>/proc/self/fd/1; : </dev/stdin", #{stdin => null})`: `<<"more\n">>`,
		`W = e2e:start(E, "cat </dev/stdin >/dev/stdout", #{user => games}), ok = e2e:call(W, {write, "in"}),
			ok = e2e:call(W, {close, stdin}), element(1, e2e:outcome(W))`: `<<"in">>`,
		`O("echo tty >/dev/tty; echo name >$(tty); stat -c %U $(tty); stty size; stty -a | grep -c -- -echo", #{pty => #{rows => 50, echo => false, reopen => true}})`: `<<"tty\r\nname\r\ngames\r\n50 80\r\n1\r\n">>`,
		`W = e2e:start(E, "read x; stty size; read y", #{user => games, pty => #{echo => false}}),
			ok = e2e:call(W, {resize, 30, 40}), ok = e2e:call(W, {write, "\n"}), ok = e2e:said(W, stdout, <<"30 40\r\n">>), ok = e2e:call(W, {write, [3]}),
			element(3, e2e:outcome(W))`: `{signal,sigint}`,
		// The environment is empty unless options ask for more.
		`O(["env"], #{env => #{"A" => "1"}})`:                                         `<<"A=1\n">>`,
		`O(["env"], #{login => true, env => #{"HOME" => "/h"}})`:                      `<<"HOME=/h\nUSER=games\nLOGNAME=games\nSHELL=/usr/sbin/nologin\n">>`,
		`{ok, #{stdout := Env}} = e2e:call(E, {run, ["env"], #{login => true}}), Env`: loginOf(t, ownUser()),
		// These attributes are set before the exec.
		`O("ulimit -n; nice; grep Cpus_allowed_list /proc/self/status; umask", #{rlimits => #{nofile => 99}, nice => 19, cpus => [0], umask => 8#77})`:                                                `<<"99\n19\nCpus_allowed_list:\t0\n0077\n">>`,
		`e2e:call(E, {spawn, ["true"], #{user => games, nice => -5}})`:                                                                                                                                `{error,{nice,eacces}}`,
		`O("cat /etc/hostname 2>/dev/null || echo none; echo x >" ++ Dir ++ "/new; cat " ++ Dir ++ "/new", #{sandbox => #{write => [Dir, "/dev/null"], exec => ["/bin", "/usr", "/lib", "/lib64"]}})`: `<<"none\nx\n">>`,
		// A program becomes ready in each way.
		`W = e2e:start(E, "echo listening; exec sleep 1000", #{user => games, ready => {line, "listening"}}), element(1, e2e:call(W, stop))`:   "ok",
		`W = e2e:start(E, ` + notifier(`say('READY=1')`, `sleep 1000`) + `, #{user => games, ready => notify}), element(1, e2e:call(W, stop))`: "ok",
		// These are the program's counts.
		`W = e2e:start(E, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; exec sleep 1000", #{user => games}), ok = e2e:said(W, stdout, <<"done\n">>),
			ok = e2e:until(fun() -> #{cpu := Cpu, rss := Rss} = e2e:call(W, info), Cpu > 0 andalso Rss > 100000 end), {ok, _} = e2e:call(W, stop), true`: "true",
		`W = e2e:start(E, ["sleep", "1000"], #{user => games}), Pid = e2e:os_pid(W), User = os:cmd("stat -c %U /proc/" ++ integer_to_list(Pid)),
			{ok, _} = e2e:call(W, stop), User`: `"games\n"`,
	} {
		if got := s.eval(t, "(fun() -> "+source+" end)()"); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", source, got, want)
		}
	}
}

// loginOf returns the environment that login gives a user, as it is printed.
func loginOf(t *testing.T, name string) string {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut("\n"+string(text), "\n"+name+":")
	line, _, _ = strings.Cut(line, "\n")
	shell := line[strings.LastIndexByte(line, ':')+1:]
	return fmt.Sprintf(`<<"HOME=%s\nUSER=%s\nLOGNAME=%s\nSHELL=%s\n">>`, u.HomeDir, name, name, shell)
}

// Signals, stops, and processes that a program leaves behind, for each containment.
//
//erluv:users
func TestUsersSignals(t *testing.T) {
	if ordinary {
		return // TestUsers has been refused
	}
	eachWay(t, func(t *testing.T, contain, _ string) {
		e := allowing(t, newNode(t, nodeOptions{}), `["games", "backup"]`, "--contain", contain)
		s := e.session(t)
		s.eval(t, `S = fun(Cmd, Opts) -> W = e2e:start(E, Cmd, Opts#{user => games}), ok = e2e:ready(W), W end, ok`)
		for source, want := range map[string]string{
			`W = S("trap 'echo usr1; exit 7' USR1; echo ready; while :; do sleep 0.01; done", #{}), ok = e2e:call(W, {signal, sigusr1}), e2e:outcome(W)`: `{<<"usr1\n">>,<<>>,{exit_status,7},{exit_status,7}}`,
			`W = S("echo ready; exec sleep 1000", #{}), ok = e2e:call(W, {signal, sigkill}), element(3, e2e:outcome(W))`:                                 `{signal,sigkill}`,
			`W = S("sleep 1000 & echo ready; wait", #{}), ok = e2e:call(W, {signal, group, sigterm}), element(3, e2e:outcome(W))`:                        `{signal,sigterm}`,
			`W = S("sleep 1000 & echo ready; wait", #{}), e2e:call(W, stop)`:                                                                             `{ok,{signal,sigterm}}`,
			`W = S("trap '' TERM; echo ready; while :; do sleep 1; done", #{kill_timeout => 50}), e2e:call(W, stop)`:                                     `{ok,{signal,sigkill}}`,
			`W = S("sleep 1000 & echo ready; wait", #{}), unlink(W), R = monitor(process, W), exit(W, kill), receive {'DOWN', R, _, _, Why} -> Why end`:  `killed`,
			`W = S("echo ready; read go; kill -STOP $$; exec sleep 1000", #{}), ok = e2e:call(W, {write, "\n"}), {stopped, sigstop} = e2e:next(W), ok = e2e:call(W, {signal, sigcont}),
				continued = e2e:next(W), e2e:call(W, stop)`: `{ok,{signal,sigterm}}`,
			// The processes left behind are killed, waited for, or left.
			`W = S("(trap '' TERM; sleep 1000) & echo ready; sleep 0.1", #{kill_timeout => 50}), element(3, e2e:outcome(W))`: `{exit_status,0}`,
			`W = S("(sleep 0.2; echo later) & echo ready", #{tree => wait}), element(1, e2e:outcome(W))`:                     `<<"later\n">>`,
			`W = S("echo ready; exec sleep 1000", #{timeout => 50}), {element(3, e2e:outcome(W))}`:                           `{{signal,sigterm}}`,
			`e2e:call(E, {run, "echo x; sleep 1000", #{user => games, timeout => 200}})`:                                     `{error,{timeout,#{stderr => <<>>,stdout => <<"x\n">>}}}`,
			`W = S("echo ready; exec cat", #{restart => permanent}), ok = e2e:call(W, {signal, sigkill}), 
				receive {W, {signal, sigkill}} -> ok end, receive {W, {restarted, P, 1}} when is_integer(P) -> ok end, {ok, _} = e2e:call(W, stop), ok`: "ok",
		} {
			if got := s.eval(t, "(fun() -> "+source+" end)()"); got != want {
				t.Errorf("%s\ngot  %s\nwant %s", source, got, want)
			}
		}
		// No process of these programs is left.
		uid, _ := idOf(t, "games")
		spawner := spawners(e.cmd.Process.Pid)[uid]
		if !until(endTime, func() bool { return len(insiders(spawner)) == 0 }) {
			t.Errorf("left: %v", insiders(spawner))
		}
		e.expect(t, "[]", "e2e:call(E, workers)")
	})
}

// spawners returns erluv's spawners by user.
func spawners(main int) map[int]int {
	list := make(map[int]int)
	for _, p := range children(main) {
		st := status(p.pid, p.pid)
		if st["Name"] == "erluv_spawner" {
			uid, _ := strconv.Atoi(strings.Fields(st["Uid"])[1]) // the first ID may be a keeper's
			list[uid] = p.pid
		}
	}
	return list
}

// programs returns the programs of all users, and the spawners.
func programs(main int) (list []process) {
	for _, p := range children(main) {
		if status(p.pid, p.pid)["Name"] == "erluv_spawner" {
			list = append(append(list, insiders(p.pid)...), p)
		}
	}
	return list
}

// The death of another user's spawner ends only its programs. The next request starts another
// spawner. Nothing outlives main, the child, or an orderly end.
//
//erluv:users
func TestUsersSpawner(t *testing.T) {
	if ordinary {
		return // TestUsers has been refused
	}
	eachWay(t, func(t *testing.T, contain, _ string) {
		n := newNode(t, nodeOptions{noise: true})
		s := n.session(t)
		e := allowing(t, n, `["games", "backup"]`, "--contain", contain, "--die-timeout", "60s", "--controller", s.name)
		s.eval(t, e.binds().String()+`Start = fun(U) ->
				W = e2e:start(E, "`+daemon+`sleep 1000 & echo ready; wait", #{user => U, link => false}),
				ok = e2e:ready(W), monitor(process, W), W
			end, ok`)
		start := func(n int) {
			t.Helper()
			s.expect(t, "3", round(n, `[G_ , B_ , N_ ] = [Start(U) || U <- [games, backup, '`+ownUser()+`']], length([G_ , B_ , N_ ])`))
		}
		start(1)
		all := spawners(e.cmd.Process.Pid)
		if len(all) != 3 {
			t.Fatalf("the spawners are %v", all)
		}
		games := insiders(all[5])
		if len(games) < 3 {
			t.Errorf("of games there are %v", games)
		}
		if err := syscall.Kill(all[5], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.expect(t, `{signal,sigkill}`, `e2e:down(G_1)`)
		if err := endOf(games); err != nil {
			t.Error(err)
		}
		s.expect(t, `{[true,true],{ok,games}}`, `
			{[is_map(e2e:call(W, info)) || W <- [B_1, N_1]], begin
				{ok, #{stdout := Out}} = e2e:call(E, {run, "id -un", #{user => games}}), {ok, binary_to_atom(string:trim(Out))} end}`)
		if now := spawners(e.cmd.Process.Pid); now[5] == all[5] || now[34] != all[34] || now[int(workerID)] != all[int(workerID)] {
			t.Errorf("the spawners were %v and are %v", all, now)
		}
		// The child dies: the programs of all users end, and another child serves them all.
		left := programs(e.cmd.Process.Pid)
		if err := syscall.Kill(e.number(t, "e2e:call(E, {info, child_os_pid})"), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.expect(t, `child_crashed`, `e2e:down(B_1)`)
		if err := endOf(left); err != nil {
			t.Error(err)
		}
		s.respawn(t)
		start(2)
		// The harness checks orderly ends. Here main is killed.
		left = programs(e.cmd.Process.Pid)
		e.fails = true
		if err := e.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := endOf(left); err != nil {
			t.Error(err)
		}
	})
}

// Root may be one of the users if allow_users names it. It has its files and no other privileges.
//
//erluv:users
func TestUsersRoot(t *testing.T) {
	e := allowing(t, newNode(t, nodeOptions{}), `["root"]`)
	if e == nil {
		return
	}
	e.expect(t, `<<"0 0000000000000000 none\n">>`, `
		{ok, #{stdout := Out}} = e2e:call(E, {run, "head -c 0 /etc/shadow && echo $(id -u) $(sed -n 's/CapEff:.//p' /proc/self/status) $(chown 1 /proc/self 2>/dev/null || echo none)",
			#{user => root}}), Out`)
}

// Programs of different users cannot reach each other or each other's spawners. The same holds for
// programs of one user under different entries.
//
//erluv:users
func TestUsersApart(t *testing.T) {
	e := allowing(t, newNode(t, nodeOptions{}), `["games", "games:games,audio", "backup"]`, "--contain", "group")
	if e == nil {
		return
	}
	s := e.session(t)
	s.eval(t, `[A, B, C, D] = [e2e:start(E, ["sleep", "1000"], O) || O <- [#{user => games}, #{user => games, groups => [audio]}, #{user => backup}, #{}]], ok`)
	targets := map[string]int{"main": e.cmd.Process.Pid, "child": e.number(t, "e2e:call(E, {info, child_os_pid})")}
	for _, p := range children(e.cmd.Process.Pid) {
		targets["role "+cmdline(p.pid)+" "+p.String()] = p.pid
	}
	for _, w := range []string{"A", "B", "C", "D"} {
		pid, err := strconv.Atoi(s.eval(t, "e2e:os_pid("+w+")"))
		if err != nil {
			t.Fatal(err)
		}
		targets["worker "+w] = pid
	}
	if len(targets) != 2+5+4 {
		t.Errorf("there are %v", targets)
	}
	for _, user := range []string{"games", "backup", ownUser()} {
		for name, pid := range targets {
			script := fmt.Sprintf("kill -0 %[1]d || kill -9 %[1]d || kill -CONT %[1]d || cat /proc/%[1]d/environ || head -c 1 /proc/%[1]d/mem || ls /proc/%[1]d/fd/ || : </proc/%[1]d/fd/0", pid)
			if got := e.eval(t, `{ok, #{exit := X}} = e2e:call(E, {run, Cmd, #{user => '`+user+`'}}), X`, bind{"Cmd": fmt.Sprintf("%q", script)}); got == "{exit_status,0}" {
				t.Errorf("%s reaches the %s", user, name)
			}
		}
	}
	s.expect(t, "4", `length([1 || W <- [A, B, C, D], {ok, {signal, sigterm}} =:= e2e:call(W, stop)])`)
}

// Control groups of its own user hold the limits of another user's program.
//
//erluv:users
func TestUsersLimits(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := allowing(t, n, `["games"]`)
	if e == nil {
		return
	}
	can := eachLimit(t, e)
	if can["memory"] {
		e.expect(t, "{ok,{signal,sigkill,oom}}", `
			{ok, #{exit := End}} = e2e:call(E, {run, `+hog+`, #{user => games, limits => #{memory => 16 bsl 20}}}), {ok, End}`)
	} else {
		e.expect(t, "{error,{limits,{memory,not_supported}}}", `e2e:call(E, {run, `+hog+`, #{user => games, limits => #{memory => 16 bsl 20}}})`)
	}
	if can["pids"] {
		e.expect(t, "<<\"games refused\\n\">>", `
			{ok, #{stdout := Out}} = e2e:call(E, {run, "id -un | tr '\\n' ' '; (sleep 5 & sleep 5 & sleep 5 & sleep 5 & echo all) 2>/dev/null || echo refused",
				#{user => games, limits => #{pids => 3}}}), Out`)
	}
}
