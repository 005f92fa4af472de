package e2e

import "testing"

// Output arrives as lines and packets, on demand, and counted.
//
//erluv:releases
//erluv:check
func TestFlow(t *testing.T) {
	e := common(t)
	for name, tc := range map[string]struct{ source, want string }{
		"lines": {
			`W = e2e:start(E, "printf 'a\\nbb\\n\\nend'", #{packet => line}), [B || {stdout, B} <- e2e:all(W)]`,
			`[<<"a\n">>,<<"bb\n">>,<<"\n">>,<<"end">>,eof]`,
		},
		"lists of lines": {
			`W = e2e:start(E, "printf 'a\\nbb\\n\\n123456end'", #{packet => {lines, 4}}), [B || {stdout, B} <- e2e:all(W)]`,
			`[[<<"a\n">>,<<"bb\n">>,<<"\n">>],[<<"1234">>],[<<"56en">>],[<<"d">>],eof]`,
		},
		"lists of lines, on demand": {
			`W = e2e:start(E, "printf 'a\\nbb\\nccc\\nend'", #{packet => lines, flow => {active, false}}),
			 ok = e2e:until(fun() -> #{state := S} = e2e:call(W, info), S =:= draining end),
			 [e2e:call(W, {read, stdout, N}) || N <- [5, 1, 100, 100]]`,
			`[{ok,[<<"a\n">>,<<"bb\n">>]},{ok,[<<"ccc\n">>]},{ok,[<<"end">>]},eof]`,
		},
		"packets there and back": {
			`W = e2e:start(E, ["cat"], #{packet => 4}), ok = e2e:call(W, {write, ["on", <<"e">>]}), e2e:next(W)`,
			`{stdout,<<"one">>}`,
		},
		"read": {
			`W = e2e:start(E, "printf 12345", #{flow => {active, false}}),
			 {[e2e:call(W, {read, stdout, 2}), e2e:call(W, {read, stdout, 100}), e2e:call(W, {read, stdout, 1})], e2e:all(W)}`,
			`{[{ok,<<"12">>},{ok,<<"345">>},eof],[{exit_status,0}]}`,
		},
		"counted": {
			`W = e2e:start(E, "seq 5", #{packet => line, flow => {active, 2}}),
			 First = [e2e:next(W) || _ <- [1, 2, 3]], timeout = receive {W, _} -> more after 100 -> timeout end,
			 ok = e2e:call(W, {setopts, [{active, true}]}), {First, [B || {stdout, B} <- e2e:all(W)]}`,
			`{[{stdout,<<"1\n">>},{stdout,<<"2\n">>},passive],[<<"3\n">>,<<"4\n">>,<<"5\n">>,eof]}`,
		},
	} {
		t.Run(name, func(t *testing.T) { e.expect(t, tc.want, tc.source) })
	}
}

// The functions of io and file work on a worker's pid.
//
//erluv:releases
func TestIODevice(t *testing.T) {
	e := common(t)
	e.expect(t, `{<<"one\n">>,<<"tw">>,<<"o\n">>,{ok,[42,"x"]},<<"3 4\n">>,"list\n",eof}`, `
		W = e2e:start(E, ["cat"], #{flow => {active, false}}),
		ok = io:put_chars(W, "one\ntwo\n"),
		Line = io:get_line(W, ""),
		Chars = io:get_chars(W, "", 2),
		Rest = io:get_line(W, ""),
		ok = io:format(W, "~p ~s~n", [42, "x"]),
		Fread = io:fread(W, "", "~d ~s"),
		ok = io:format(W, "~w ~w~n", [3, 4]),
		Format = io:get_line(W, ""),
		ok = file:write(W, <<255, 10>>),
		{ok, <<255, 10>>} = file:read(W, 2),
		ok = io:setopts(W, [list]),
		[_, _] = io:getopts(W),
		ok = io:put_chars(W, "list\n"),
		List = io:get_line(W, ""),
		ok = e2e:call(W, {close, stdin}),
		{Line, Chars, Rest, Fread, Format, List, io:get_line(W, "")}`)
}

//erluv:users
//erluv:check
func TestRestart(t *testing.T) {
	e := common(t)
	// The pid stays, and so do links, monitors and the name.
	e.expect(t, "{3,restart_intensity}", `
		process_flag(trap_exit, true),
		W = e2e:start(E, "until test -e go; do sleep 0.01; done; exit 1", #{restart => permanent, max_restarts => {2, 60000}, backoff => {1, 5}, name => again, cd => At}),
		R = monitor(process, {again, E}),
		ok = file:write_file(filename:join(At, "go"), ""),
		Reason = receive {'DOWN', R, process, {again, E}, Why} -> Why after 120000 -> none end,
		receive {'EXIT', W, Reason} -> ok after 120000 -> exit(no_exit) end,
		Exits = [N || {W, {exit_status, N}} <- element(2, process_info(self(), messages))],
		{length(Exits), Reason}`, bind{"At": shelf(t, 0o777)})
	e.expect(t, "{running,1,true}", `
		W = e2e:start(E, ["sleep", "1000"], #{restart => transient, backoff => {1, 1}}),
		First = e2e:os_pid(W),
		ok = e2e:call(W, {signal, sigkill}),
		Second = (fun Next() -> receive {W, {restarted, P, 1}} -> P; {W, _} -> Next() after 120000 -> none end end)(),
		#{state := State, restarts := N, os_pid := Second} = e2e:call(W, info),
		{ok, _} = e2e:call(W, stop),
		{State, N, First =/= Second}`)
}

func TestTimeouts(t *testing.T) {
	e := common(t)
	e.expect(t, "timeout", `process_flag(trap_exit, true), W = e2e:start(E, ["sleep", "1000"], #{timeout => 50}), receive {'EXIT', W, R} -> R after 120000 -> none end`)
	e.expect(t, "timeout", `process_flag(trap_exit, true), W = e2e:start(E, ["sleep", "1000"], #{idle_timeout => 50}), receive {'EXIT', W, R} -> R after 120000 -> none end`)
}

func TestJobControl(t *testing.T) {
	e := common(t)
	e.expect(t, "[{stopped,sigstop},continued,{stopped,sigstop}]", `
		W = e2e:start(E, ["sleep", "1000"]),
		ok = e2e:call(W, {signal, sigstop}), A = e2e:next(W),
		ok = e2e:call(W, {signal, sigcont}), B = e2e:next(W),
		ok = e2e:call(W, {signal, sigstop}), C = e2e:next(W),
		{ok, {signal, sigterm}} = e2e:call(W, stop),
		[A, B, C]`)
}

// A process of the node is paired with the worker: both live or neither.
//
//erluv:releases
func TestProxy(t *testing.T) {
	e := common(t)
	e.expect(t, "{true,normal}", `
		process_flag(trap_exit, true),
		{ok, W} = e2e:call(E, {spawn, ["sleep", "1000"], #{proxy => {erlang, node, []}}}),
		noproc = receive {'EXIT', W, Gone} -> Gone after 120000 -> none end,
		{ok, V} = e2e:call(E, {spawn, ["sleep", "1000"], #{proxy => {e2e, proxy, [self()]}}}),
		P = receive {proxy, V, Pid} -> Pid after 120000 -> none end,
		Linked = lists:member(V, element(2, process_info(P, links))),
		M = monitor(process, P),
		exit(V, shutdown),
		shutdown = receive {'DOWN', M, process, P, Why} -> Why after 120000 -> none end,
		{ok, U} = e2e:call(E, {spawn, ["sleep", "1000"], #{proxy => {e2e, proxy, [self()]}, link => false}}),
		Q = receive {proxy, U, Pid2} -> Pid2 after 120000 -> none end,
		Mu = monitor(process, U),
		exit(Q, stop_it),
		stop_it = receive {'DOWN', Mu, process, U, Why2} -> Why2 after 120000 -> none end,
		{Linked, normal}`)
}
