package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A shell at a terminal ignores SIGTERM. It still ends at once, with its jobs, as when a terminal
// is closed. SIGKILL would come only after ten minutes here.
func TestStopShells(t *testing.T) {
	shells := map[string]string{
		"bash": `["bash", "--norc", "-i"]`,
		"zsh":  `["zsh", "-f", "-i"]`,
		"dash": `["dash", "-i"]`,
		"sh":   `["sh", "-i"]`,
		"fish": `["fish", "-i"]`,
	}
	// Each entry has the keys to type, and the programs that then run beside the shell.
	doing := map[string][2]string{
		"nothing":    {``, `[]`},
		"foreground": {`sleep 1000`, `[<<"sleep">>]`},
		"background": {`sleep 1000 & sleep 1001 &`, `[<<"sleep">>, <<"sleep">>]`},
		"stopped":    {`sleep 1000 & sleep 0.3; kill -STOP %1`, `[<<"sleep">>]`},
		"pipeline":   {`sleep 1000 | cat | cat`, `[<<"cat">>, <<"cat">>, <<"sleep">>]`},
		"child":      {`bash --norc -i -c 'sleep 1000; true'`, `[<<"bash">>, <<"sleep">>]`},
		"ctrl-z cat": {`cat`, `[<<"cat">>]`},
		"ctrl-z vim": {`vim`, `[<<"vim">>]`},
	}
	for contain, e := range map[string]*erluv{"auto": common(t), "group": newErluv(t, newNode(t, nodeOptions{}), "--contain", "group")} {
		groups := e.eval(t, `e2e:call(E, {info, reach})`) == "cgroup"
		for shell, cmd := range shells {
			if _, err := exec.LookPath(shell); err != nil {
				continue
			}
			for what, line := range doing {
				if shell == "fish" && what != "nothing" {
					continue // fish reads nothing before its terminal has answered its queries
				}
				if _, err := exec.LookPath("vim"); err != nil && what == "ctrl-z vim" {
					continue
				}
				if !groups && (what == "background" || what == "stopped") {
					continue // without control groups the shell itself must end its other jobs
				}
				t.Run(contain+" "+shell+" "+what, func(t *testing.T) {
					home := shelf(t, 0o777)
					// Without this directory, fish first reads all manual pages, for minutes.
					if err := os.MkdirAll(home+"/.local/share/fish/generated_completions", 0o755); err != nil {
						t.Fatal(err)
					}
					e.expect(t, "{true,[]}", `
						W = e2e:start(E, `+cmd+`, #{pty => #{echo => false}, kill_timeout => 600000,
							env => #{"PS1" => "$ ", "TERM" => "xterm", "HOME" => Home, "PATH" => "/usr/bin:/bin"}}),
						Shell = e2e:os_pid(W),
						Below = fun Below(Pid) ->
							Dir = "/proc/" ++ Pid ++ "/",
							{ok, Children} = file:read_file(Dir ++ "task/" ++ Pid ++ "/children"),
							lists:append([begin
								{ok, Name} = file:read_file("/proc/" ++ P ++ "/comm"),
								[{string:trim(Name), P} | Below(P)]
							end || P <- string:lexemes(binary_to_list(Children), " ")])
						end,
						Run = fun() -> lists:sort(Below(integer_to_list(Shell))) end,
						ok = e2e:call(W, {write, "`+line[0]+`\n"}),
						ok = e2e:until(fun() -> `+line[1]+` =:= (catch [Name || {Name, _} <- Run()]) end),
						% Again and again: what is typed is dropped when the modes of the terminal change.
						[ok = e2e:until(fun() ->
							ok = e2e:call(W, {write, [26]}),
							[{_, P}] = Run(),
							{ok, Stat} = file:read_file("/proc/" ++ P ++ "/stat"),
							match =:= re:run(Stat, "\\) T ", [{capture, none}])
						end) || lists:prefix("ctrl-z", binary_to_list(What))],
						{ok, Exit} = e2e:call(W, stop),
						{Exit =/= {signal, sigkill}, [Shell || e2e:alive(Shell)]}`,
						bind{"Home": home, "What": what})
				})
			}
		}
	}
}

// erluv hangs up a terminal when SIGHUP was not enough. This shell ignores SIGHUP while it asks a
// new user for settings. Earlier output is delivered.
func TestStopHangsUp(t *testing.T) {
	e := common(t)
	e.expect(t, "{exit_status,1}", `
		W = e2e:start(E, ["zsh", "-i"], #{pty => true, kill_timeout => 600000, env => #{"HOME" => Home, "TERM" => "xterm"}}),
		Until = fun F(Text, Sofar) -> case string:find(Sofar, Text) of nomatch -> {stdout, B} = e2e:next(W), F(Text, <<Sofar/binary, B/binary>>); _ -> ok end end,
		Until("keys in parentheses", <<>>),
		{ok, Exit} = e2e:call(W, stop), Exit`, bind{"Home": shelf(t, 0o777)})
	e.expect(t, `{exit_status,7}`, `
		W = e2e:start(E, "trap 'seq 1 50 | while read n; do echo $n; sleep 0.02; done; echo end; cat; exit 7' HUP; trap '' TERM; echo ready; while :; do sleep 0.02; done",
			#{pty => #{echo => false}, kill_timeout => 600000}),
		Until = fun F(Text, Sofar) -> case string:find(Sofar, Text) of nomatch -> {stdout, B} = e2e:next(W), F(Text, <<Sofar/binary, B/binary>>); _ -> ok end end,
		Until("ready", <<>>),
		{ok, Exit} = e2e:call(W, stop),
		Until("end", <<>>), Exit`)
}

// On a terminal, SIGHUP follows the stop signal. SIGCONT follows each of them, so stopped processes
// end too.
func TestStopSignals(t *testing.T) {
	e := common(t)
	script := `"trap 'echo hup' HUP; trap 'echo term' TERM; trap 'echo cont' CONT; trap 'echo usr; exit 3' USR1;
		echo ready; while :; do sleep 0.02; done"`
	seen := `
		Out = fun Out(Sofar) -> receive {W, {stdout, B}} when is_binary(B) -> Out(<<Sofar/binary, B/binary>>); {W, {exit_status, 3}} -> Sofar end end,
		% The shell may also say how its sleep has ended.
		lists:usort([X || X <- binary:split(Out(<<>>), [<<"\r\n">>, <<"\n">>], [global, trim_all]),
			lists:member(X, [<<"cont">>, <<"hup">>, <<"term">>, <<"usr">>])])`
	for pty, want := range map[string]string{"true": `[<<"cont">>,<<"hup">>,<<"term">>,<<"usr">>]`, "false": `[<<"cont">>,<<"term">>,<<"usr">>]`} {
		e.expect(t, want, `
			W = e2e:start(E, `+script+`, #{pty => `+pty+`, packet => line, kill_timeout => 600000}),
			{stdout, <<"ready", _/binary>>} = e2e:next(W),
			spawn(fun() -> e2e:call(W, stop) end),
			ok = e2e:until(fun() -> maps:get(state, e2e:call(W, info)) =:= stopping end),
			Want = [<<"term">>, <<"cont">>] ++ [<<"hup">> || `+pty+`],
			ok = e2e:until(fun() -> {messages, Ms} = process_info(self(), messages), [] =:= Want -- [string:trim(B) || {P, {stdout, B}} <- Ms, P =:= W, is_binary(B)] end),
			ok = e2e:call(W, {signal, sigusr1}),`+seen)
	}
	for _, opts := range []string{"#{kill_timeout => 600000}", "#{pty => true, kill_timeout => 600000}", "#{stop_sequence => [sigterm, 600000]}", "#{kill_signal => sigusr1, kill_timeout => 600000}"} {
		e.expect(t, "{true,true}", `
			% Not in the foreground: a shell that is between vfork and exec is not stopped.
			W = e2e:start(E, "sleep 1000 & echo ready; wait; true", (`+opts+`)#{packet => line}),
			{stdout, <<"ready", _/binary>>} = e2e:next(W),
			OsPid = e2e:os_pid(W),
			ok = e2e:call(W, {signal, group, sigstop}),
			receive {W, {stopped, sigstop}} -> ok end,
			{ok, {signal, Sig}} = e2e:call(W, stop),
			{Sig =/= sigkill, not e2e:alive(OsPid)}`)
	}
}

// Every graceful stop does the steps in order, as long as a process is left.
func TestStopSequence(t *testing.T) {
	e := common(t)
	const deaf = `"trap '' TERM INT HUP; echo ready; while :; do sleep 0.05; done"`
	for name, tc := range map[string]struct{ cmd, opts, want string }{
		"close is enough":   {`"cat >/dev/null; echo bye"`, `#{stop_sequence => [close, 600000, sigkill]}`, `{exit_status,0}`},
		"then a signal":     {`"trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done"`, `#{stop_sequence => [close, 50, sigterm, 600000]}`, `{exit_status,5}`},
		"by number":         {`"trap 'exit 6' USR2; echo ready; while :; do sleep 0.02; done"`, `#{stop_sequence => [{signal, 12}, 600000]}`, `{exit_status,6}`},
		"several":           {`"trap 'echo one' USR1; trap 'exit 7' USR2; echo ready; while :; do sleep 0.02; done"`, `#{stop_sequence => [sigusr1, 100, sigusr1, 100, sigusr2, 600000]}`, `{exit_status,7}`},
		"to the end":        {deaf, `#{stop_sequence => [close, 20, sigterm, 20, sigint, 20]}`, `{signal,sigkill}`},
		"sigkill":           {deaf, `#{stop_sequence => [sigterm, 20, sigkill]}`, `{signal,sigkill}`},
		"sigkill at once":   {deaf, `#{stop_sequence => [sigkill]}`, `{signal,sigkill}`},
		"kill_timeout last": {deaf, `#{stop_sequence => [sigterm], kill_timeout => 20}`, `{signal,sigkill}`},
		"a wait first":      {`"echo ready; sleep 0.3; exit 8"`, `#{stop_sequence => [600000, sigkill]}`, `{exit_status,8}`},
		"on a terminal":     {`"cat; exit 9"`, `#{pty => true, stop_sequence => [close, 600000]}`, `{exit_status,9}`},
		"what is left":      {`"trap '' TERM; (trap '' TERM; sleep 1000) & echo ready; exit 3"`, `#{stop_sequence => [sigterm, 20, sigkill], stdout => null, stderr => null}`, `{exit_status,3}`},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, tc.want, `
				W = e2e:start(E, `+tc.cmd+`, `+tc.opts+`),
				case lists:member(Name, [<<"close is enough">>, <<"on a terminal">>, <<"what is left">>]) of
					true -> ok;
					false -> ok = e2e:ready(W)
				end,
				case Name of
					<<"what is left">> -> {_, _, Exit, _} = e2e:outcome(W), Exit;
					_ -> {ok, Exit} = e2e:call(W, stop), Exit
				end`, bind{"Name": name})
		})
	}
	for name, end := range map[string]string{
		"exit":    `exit(W, shutdown)`,
		"sys":     `spawn(fun() -> gen_server:stop(W) end)`,
		"close":   `W ! {self(), close}`,
		"owner":   `ok = e2e:call(W, {setopts, [{owner, spawn(fun() -> ok end)}]})`,
		"linked":  `spawn(fun() -> link(W), exit(boom) end)`,
		"timeout": `timeout`,
		"stop":    `spawn(fun() -> e2e:call(W, stop) end)`,
		"silent":  `idle`,
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, "{true,{exit_status,4}}", `
				Opts = case End of <<"timeout">> -> #{timeout => 300}; <<"silent">> -> #{idle_timeout => 300}; _ -> #{} end,
				Me = self(),
				process_flag(trap_exit, true),
				W = e2e:start(E, "trap 'exit 9' TERM; trap 'exit 4' USR1; read x; echo closed; exec 2>/dev/null; while :; do sleep 0.02; done",
					Opts#{stop_sequence => [close, 600, sigusr1, 600000], stdout => {pid, Me}, stderr => null}),
				R = monitor(process, W),
				_ = `+map[bool]string{true: "ok", false: end}[end == "timeout" || end == "idle"]+`,
				Closed = receive {W, {stdout, <<"closed\n">>}} -> true after 120000 -> false end,
				receive {'DOWN', R, process, W, _} -> ok after 120000 -> error(up) end,
				{Closed, case End of <<"owner">> -> {exit_status, 4}; _ -> receive {W, {exit_status, _} = X} -> X after 0 -> none end end}`,
				bind{"End": name})
		})
	}
	for _, bad := range []string{"[]", "sigterm", "[sigterm, foo]", "[sigkill, 5]", "[close, -1]", "[1.5]", "lists:duplicate(33, close)", "[{signal, 65}]"} {
		e.expect(t, "true", `{error, {bad_option, stop_sequence, Why}} = e2e:call(E, {spawn, ["true"], #{stop_sequence => `+bad+`}}), is_binary(Why)`)
	}
	e.expect(t, "true", `{error, {bad_option, stop_sequence, Why}} = e2e:call(E, {spawn, ["true"], #{stop_sequence => [sigterm], kill_signal => sigint}}), is_binary(Why)`)
}

// When the node disconnects, half a second is left, and each step gets its part.
func TestStopSequenceDisconnected(t *testing.T) {
	n := newNode(t, nodeOptions{})
	s := n.session(t)
	e := newErluv(t, n, "--reconnect", "exit")
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o777); err != nil { // programs run as another user
			t.Fatal(err)
		}
	}
	file := dir + "/seen"
	s.eval(t, e.binds().String()+`
		W = e2e:start(E, "trap 'echo term >>`+file+`' TERM; trap 'echo usr >>`+file+`; exit' USR1; echo ready; while :; do sleep 0.01; done",
			#{stop_sequence => [close, 200000, sigterm, 200000, sigusr1, 600000]}),
		ok = e2e:ready(W), true = erlang:disconnect_node(E), ok`)
	e.fails = true
	e.exits(t, endTime)
	s.expect(t, `{ok,<<"term\nusr\n">>}`, `file:read_file("`+file+`")`)
}
