package e2e

import "testing"

// gen_server:stop, proc_lib:stop and gen:stop are a graceful stop with their reason, even normal.
// This holds for a program, a worker that waits for its restart, and a watcher of files.
//
//erluv:releases
func TestSystemTerminate(t *testing.T) {
	e := common(t)
	start := map[string]string{
		"program": `e2e:start(E, ["sleep", "100"], #{link => false})`,
		"ignores": `begin
			V = e2e:start(E, "trap '' TERM; echo ready; while :; do sleep 0.1; done", #{link => false, kill_timeout => 50}),
			ok = e2e:ready(V),
			V end`,
		"resting": `begin
			V = e2e:start(E, ["true"], #{link => false, restart => permanent, backoff => {3600000, 3600000}}),
			ok = e2e:until(fun() -> resting =:= maps:get(state, e2e:call(V, info)) end),
			V end`,
		"not read": `begin
			V = e2e:start(E, ["echo", "x"], #{link => false, flow => {active, false}}),
			ok = e2e:until(fun() -> draining =:= maps:get(state, e2e:call(V, info)) end),
			V end`,
		"watcher": `begin
			{ok, V} = e2e:call(E, {watch, "/tmp", #{link => false}}),
			V end`,
	}
	for name, source := range start {
		for stop, reason := range map[string]string{
			"gen_server:stop(W)":                             "normal",
			"gen_server:stop(W, shutdown, 10000)":            "shutdown",
			"gen_statem:stop(W, {my, #{a => 1.5}}, 10000)":   "{my,#{a => 1.5}}",
			"gen_event:stop(W, kill, 10000)":                 "kill",
			"proc_lib:stop(W)":                               "normal",
			"proc_lib:stop(W, <<\"why\">>, infinity)":        "<<\"why\">>",
			"gen:stop(W, {shutdown, x}, 10000)":              "{shutdown,x}",
			"begin ok = sys:terminate(W, term, 10000) end":   "term",
			"begin ok = sys:terminate(W, normal, 10000) end": "normal",
		} {
			t.Run(name+" "+stop, func(t *testing.T) {
				e.expect(t, "{ok,"+reason+"}", `
					W = `+source+`,
					R = monitor(process, W),
					Answer = `+stop+`,
					{Answer, receive {'DOWN', R, process, W, Why} -> Why after 120000 -> none end}`)
			})
		}
	}
}

// Each request of OTP's tools to an Erlang process gets an answer: the state of a worker, or that
// it is not supported. Nothing times out.
//
//erluv:releases
func TestSystemRequests(t *testing.T) {
	e := common(t)
	for name, start := range map[string]string{
		"worker": `e2e:start(E, ["cat"])`,
		"by name": `begin
			Name = list_to_atom("cat" ++ integer_to_list(erlang:unique_integer([positive]))),
			e2e:start(E, ["cat"], #{name => Name}),
			{Name, E} end`,
		"watcher":        `begin {ok, V} = e2e:call(E, {watch, "/usr", #{}}), V end`,
		"manager":        `{erluv, E}`,
		"main":           `{erluv_main, E}`,
		"manager by pid": `element(2, sys:get_status({erluv, E}))`,
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, "ok", `
				W = `+start+`,
				Of = case W of {erluv_main, E} -> {erluv, E}; _ -> W end,
				Steady = fun(Map) -> maps:without([uptime, cpu, rss, cgroup, load, memory, disks, connections], Map) end,
				Same = fun(State) -> Steady(gen_server:call(Of, info)) =:= Steady(State) end,
				true = Same(sys:get_state(W)),
				{status, Pid, {module, erluv}, [[], running, Pid, [], Misc]} = sys:get_status(W),
				E = node(Pid),
				[State] = [S || {data, [{"State", S}]} <- Misc],
				true = Same(State),
				No = {error, not_supported},
				[No] = lists:usort([
					sys:suspend(W), sys:resume(W), sys:change_code(W, m, undefined, []),
					sys:log(W, true), sys:log(W, get), sys:log(W, print), sys:log_to_file(W, "/tmp/none"),
					sys:trace(W, true), sys:statistics(W, get), sys:no_debug(W),
					sys:install(W, {fun(X, _, _) -> X end, x}), sys:remove(W, fun(X, _, _) -> X end)]),
				{'EXIT', {not_supported, [{sys, replace_state, _, _} | _]}} = (catch sys:replace_state(W, fun(S) -> S end)),
				true = Same(sys:get_state(W)),
				ok`)
			e.expect(t, "ok", `
				W = `+start+`,
				[{error, {bad_request, _}} = gen_server:call(W, Request, 5000) ||
					Request <- [which_children, count_children, {is_auth, node()}, get_callback_module, {get, fun() -> x end}]],
				{error, {bad_request, {call, h, q}}} = gen_event:call(W, h, q, 5000),
				{error, {bad_request, which_handlers}} = gen_event:which_handlers(W),
				{error, {bad_request, _}} = gen_event:sync_notify(W, x),
				{error, {bad_request, h}} = gen_statem:call(W, h, 5000),
				{error, {bad_request, h}} = gen_statem:call(W, h, {dirty_timeout, 5000}),
				{reply, {error, {bad_request, h}}} = gen_server:wait_response(gen_server:send_request(W, h), 5000),
				{ok, []} = gen:call(W, self(), get_modules, 5000),
				{ok, {error, {bad_request, x}}} = gen:call(W, 'some label', x, 5000),
				{error, {too_large, _, 65536}} = gen_event:call(W, h, binary:copy(<<"x">>, 70000), 5000),
				%% Any tag is returned.
				[begin
					W ! {Label, {self(), Tag}, {odd, request}},
					receive {Tag, {error, _}} -> ok after 120000 -> error({Label, Tag}) end
				end || {Label, Tag} <- [{'$gen_call', 1}, {'$gen_call', {self(), node()}}, {system, "tag"}, {system, make_ref()}, {{my, label}, make_ref()}]],
				%% Devices: a reply for each.
				[begin
					W ! {Kind, self(), As, Request},
					receive {Reply, As, {error, Why}} -> ok after 120000 -> error({Kind, Request}) end
				end || {Kind, Reply, Why, Requests} <- [
						{io_request, io_reply, request, [odd, {get_password, unicode}, {odd, 1, 2}]},
						{file_request, file_reply, enotsup, [close, {position, 0}, sync, {odd, 1}]}],
					Request <- Requests, As <- [make_ref(), {any, "term"}]],
				%% And what expects none gets none.
				gen_server:cast(W, x),
				catch gen_event:notify(W, x),
				[W ! M || M <- ['EXIT', {'EXIT', self(), x}, {nodedown, node()}, {a, {self(), b}, c}, {'$gen_call', self(), x}, {'$gen_call', {x, y}, z}]],
				true = e2e:silent(),
				ok`)
		})
	}
}

// net_kernel answers ping and nothing else. Names that are not registered here are reported as
// such.
//
//erluv:releases
func TestSystemNames(t *testing.T) {
	e := common(t)
	e.expect(t, "ok", `
		{error, not_supported} = sys:suspend({net_kernel, E}),
		{'EXIT', {not_supported, _}} = (catch sys:get_state({net_kernel, E})),
		{error, {bad_request, x}} = gen_server:call({net_kernel, E}, x),
		{Good, Bad} = gen_server:multi_call([E, node()], erluv, info, 5000),
		[{E, #{node := E}}] = [A || {N, _} = A <- Good, N =:= E],
		[] = [N || N <- Bad, N =:= E],
		[{noproc, _} = element(2, catch gen_server:call({Name, E}, x, 5000)) || Name <- [rex, global_name_server, user, kernel_sup]],
		[true = element(1, R) =:= badrpc || R <- [rpc:call(E, erlang, node, [], 5000), rpc:call(E, erlang, process_info, [self()], 5000)]],
		{'EXIT', {{erpc, _}, _}} = (catch erpc:call(E, erlang, node, [], 5000)),
		P = spawn(E, erlang, node, []),
		R = monitor(process, P),
		receive {'DOWN', R, process, P, _} -> ok after 120000 -> error(spawn) end,
		{'EXIT', {notsup, _}} = (catch spawn_monitor(E, erlang, node, [])),
		W = e2e:start(E, ["cat"]),
		true = group_leader(group_leader(), W),
		ok = gen_server:call(W, {close, stdin}),
		{<<>>, <<>>, {exit_status, 0}, normal} = e2e:outcome(W),
		{noproc, _} = element(2, catch gen_server:call(W, x, 5000)),
		{'EXIT', noproc} = (catch gen_server:stop(W)),
		{noproc, _} = element(2, catch sys:get_state(W)),
		ok`)
}

// The manager stops as by {stop, Reason}. First the workers end, then the node. A monitor of the
// node gets that reason.
//
//erluv:releases
func TestSystemTerminateNode(t *testing.T) {
	for stop, reason := range map[string]string{
		"gen_server:stop({erluv, E})":                      "normal",
		"proc_lib:stop({erluv, E}, enough, 10000)":         "enough",
		"proc_lib:stop({erluv_main, E}, {my, why}, 10000)": "{my,why}",
		"e2e:call(E, {stop, asked})":                       "asked",
	} {
		t.Run(stop, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			e := newErluv(t, n)
			e.expect(t, "{ok,{<<\"bye\\n\">>,none,{exit_status,0},"+reason+"},"+reason+"}", `
				W = e2e:start(E, `+byeBye+`, #{stderr => null}),
				ok = e2e:ready(W),
				R = monitor(process, {erluv, E}),
				Answer = `+stop+`,
				{Answer, e2e:outcome(W), receive {'DOWN', R, process, {erluv, E}, Why} -> Why after 120000 -> none end}`)
			if status := e.exits(t, endTime); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

// A node that was asked to stop does not come back if the connection ends before its workers have
// ended.
//
//erluv:releases
func TestStopThenDisconnect(t *testing.T) {
	for _, stop := range []string{"sys:terminate({erluv, E}, enough, 10000)", "e2e:call(E, {stop, enough})"} {
		t.Run(stop, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			s := n.session(t)
			e := newErluv(t, n)
			s.expect(t, "{ok,true}", e.binds().String()+`
				W = e2e:start(E, "trap '' TERM; echo ready; while :; do sleep 0.05; done", #{link => false, kill_timeout => 60000}),
				ok = e2e:ready(W),
				{`+stop+`, erlang:disconnect_node(E)}`)
			if status := e.exits(t, endTime); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

// While a worker ends, it answers as before. A second reason does not replace the first.
//
//erluv:releases
func TestSystemWhileStopping(t *testing.T) {
	e := common(t)
	e.expect(t, "{stopping,stopping,first,{'EXIT',first}}", `
		W = e2e:start(E, "trap 'echo got; read x' TERM; echo ready; while :; do sleep 0.05; done", #{link => false, kill_timeout => 60000}),
		ok = e2e:ready(W),
		R = monitor(process, W),
		ok = sys:terminate(W, first, 10000),
		#{state := State} = sys:get_state(W),
		{status, W, _, [_, _, _, _, [_, _, {data, [{"State", #{state := Again}}]} | _]]} = sys:get_status(W),
		Self = self(),
		spawn(fun() -> Self ! {second, catch proc_lib:stop(W, second, 10000)} end),
		ok = e2e:until(fun() -> maps:get(state, sys:get_state(W)) =:= stopping end),
		{error, not_supported} = sys:suspend(W),
		W ! {self(), {command, "\n"}},
		e2e:call(W, {signal, group, sigkill}),
		Down = receive {'DOWN', R, process, W, Why} -> Why after 120000 -> none end,
		{State, Again, Down, receive {second, X} -> X after 120000 -> none end}`)
}

// Before a worker has started, or is ready, it is known only by its name.
//
//erluv:releases
func TestSystemBeforeReady(t *testing.T) {
	e := common(t)
	e.expect(t, "{ok,{error,not_supported},ok}", `
		Self = self(),
		spawn(fun() -> Self ! {answer, e2e:call(E, {spawn, ["sleep", "100"], #{name => slow, ready => {line, "^up"}, ready_timeout => 60000}})} end),
		ok = e2e:until(fun() -> lists:member(running, [S || {_, #{state := S, cmd := [<<"sleep">>, <<"100">>]}} <- e2e:call(E, workers)]) end),
		#{name := slow} = sys:get_state({slow, E}),
		No = sys:suspend({slow, E}),
		{catch gen_server:stop({slow, E}), No, receive {answer, {error, _}} -> ok after 120000 -> none end}`)
}

// While there is no child, the answer to each request is child_down.
//
//erluv:releases
func TestSystemChildDown(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "60s")
	kill(t, e.roles(t).child, 9)
	s.expect(t, "ok", `
		receive {erluv, E, {child_down, _, _}} -> ok after 120000 -> error(none) end,
		[begin
			{'EXIT', {child_down, _}} = (catch sys:get_state({Name, E}, 5000)),
			{error, child_down} = sys:get_status({Name, E}, 5000),
			{error, child_down} = sys:suspend({Name, E}, 5000),
			{error, child_down} = gen_event:call({Name, E}, h, q, 5000),
			{error, child_down} = gen_event:call({Name, E}, h, binary:copy(<<1>>, 100000), 5000),
			seq_trace:set_token(label, 1),
			{error, child_down} = gen_event:call({Name, E}, h, binary:copy(<<1>>, 100000), 5000),
			seq_trace:set_token([]),
			{Name, E} ! {io_request, self(), Name, getopts},
			receive {io_reply, Name, {error, child_down}} -> ok after 120000 -> error(io) end
		end || Name <- [erluv, erluv_main]],
		{erluv_main, E} ! respawn,
		receive {erluv, E, {child_up, _}} -> ok after 120000 -> error(none) end,
		#{node := E} = sys:get_state({erluv, E}),
		ok`)
}
