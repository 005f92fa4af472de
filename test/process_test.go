package e2e

import "testing"

// exit(W, Reason), as the owner and a monitor see it.
//
//erluv:releases
//erluv:check
func TestExit(t *testing.T) {
	e := common(t)
	for name, tc := range map[string]struct{ cmd, exit, want string }{
		"kill":          {`["sleep", "100"]`, "kill", "{{signal,sigkill},killed}"},
		"kill, ignored": {`"trap '' TERM; while :; do sleep 0.1; done"`, "kill", "{{signal,sigkill},killed}"},
		"shutdown":      {`["sleep", "100"]`, "shutdown", "{{signal,sigterm},shutdown}"},
		"any term":      {`["sleep", "100"]`, "{my, [reason], #{a => 1}}", "{{signal,sigterm},{my,[reason],#{a => 1}}}"},
		"graceful":      {`"trap 'exit 0' TERM; echo ready; exec 2>/dev/null; while :; do sleep 0.05; done"`, "enough", "{{exit_status,0},enough}"},
		"killed":        {`["sleep", "100"]`, "killed", "{{signal,sigterm},killed}"},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, tc.want, `
				W = e2e:start(E, `+tc.cmd+`, #{}),
				`+map[bool]string{true: `ok = e2e:ready(W),`}[name == "graceful"]+`
				OsPid = e2e:os_pid(W),
				R = monitor(process, W),
				exit(W, `+tc.exit+`),
				Reason = receive {'DOWN', R, process, W, Why} -> Why after 120000 -> none end,
				false = e2e:alive(OsPid),
				{<<>>, <<>>, End, Reason} = e2e:outcome(W),
				{End, Reason}`)
		})
	}
}

//erluv:releases
func TestExitNormalIsIgnored(t *testing.T) {
	e := common(t)
	e.expect(t, `{<<"x">>,<<>>,{exit_status,0},normal}`, `
		W = e2e:start(E, ["cat"]),
		exit(W, normal),
		spawn(fun() -> exit(W, normal) end),
		true = e2e:silent(),
		ok = e2e:call(W, {write, "x"}),
		ok = e2e:call(W, {close, stdin}),
		e2e:outcome(W)`)
}

// The first reason counts, except that killed wins over all.
//
//erluv:releases
func TestExitTwice(t *testing.T) {
	e := common(t)
	e.expect(t, `{{signal,sigkill},killed}`, `
		W = e2e:start(E, "trap '' TERM; echo ready; while :; do sleep 0.1; done"),
		ok = e2e:ready(W),
		exit(W, shutdown),
		exit(W, again),
		exit(W, kill),
		{<<>>, <<>>, End, Reason} = e2e:outcome(W),
		{End, Reason}`)
}

// When the owner ends for any reason, the worker is stopped gracefully, whether or not it is
// linked.
//
//erluv:releases
//erluv:check
func TestOwnerEnds(t *testing.T) {
	e := common(t)
	for _, link := range []string{"true", "false"} {
		for _, reason := range []string{"normal", "shutdown", "boom", "kill"} {
			t.Run("link "+link+" "+reason, func(t *testing.T) {
				e.expect(t, "ok", `
					Self = self(),
					Owner = spawn(fun() ->
						W = e2e:start(E, ["sleep", "100"], #{link => Link}),
						Self ! {self(), W, e2e:os_pid(W)},
						receive {go, Reason} -> exit(Reason) end
					end),
					{W, OsPid} = receive {Owner, P, O} -> {P, O} after 120000 -> none end,
					true = e2e:alive(OsPid),
					monitor(process, W),
					case Reason of kill -> exit(Owner, kill); _ -> Owner ! {go, Reason} end,
					_ = e2e:down(W),
					false = e2e:alive(OsPid),
					ok`, bind{"Link": atom(link), "Reason": atom(reason)})
			})
		}
	}
}

// A reason, like any term, may be nested more deeply than the terms that erluv builds.
func TestDeeplyNested(t *testing.T) {
	e := common(t)
	for name, wrap := range map[string]string{
		"value of a map": "#{in => In}",
		"key of a map":   "#{In => key}",
		"list in a key":  "#{[In] => {}}",
		"tuple":          "{In}",
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, "ok", `
				Deep = lists:foldl(fun(_, In) -> `+wrap+` end, x, lists:seq(1, 1000)),
				{error, {bad_request, Deep}} = e2e:call(E, Deep),
				Self = self(),
				{Owner, Ended} = spawn_monitor(fun() ->
					V = e2e:start(E, ["sleep", "100"]),
					Self ! {self(), V},
					receive go -> exit(Deep) end
				end),
				V = receive {Owner, Pid} -> Pid end,
				OfV = monitor(process, V),
				Owner ! go,
				Deep = receive {'DOWN', Ended, process, Owner, R0} -> R0 end,
				Deep = receive {'DOWN', OfV, process, V, R1} -> R1 after 120000 -> none end,
				W = e2e:start(E, ["sleep", "100"], #{link => false}),
				{error, {bad_request, Deep}} = e2e:call(W, Deep),
				OfW = monitor(process, W),
				exit(W, Deep),
				Deep = receive {'DOWN', OfW, process, W, R2} -> R2 after 120000 -> none end,
				ok`)
		})
	}
}

// If the owner has ended before the request arrives, it counts as an owner that ends.
//
//erluv:releases
func TestOwnerHasEnded(t *testing.T) {
	e := common(t)
	e.expect(t, "ok", `
		{Owner, normal} = e2e:in_process(fun() -> ok end),
		case e2e:call(E, {spawn, ["sleep", "100"], #{owner => Owner}}) of
			{ok, W} -> monitor(process, W), _ = e2e:down(W);
			{error, _} -> ok
		end,
		ok = e2e:until(fun() -> [] =:= e2e:call(E, workers) end)`)
}

//erluv:releases
func TestDetached(t *testing.T) {
	e := common(t)
	for _, reason := range []string{"normal", "boom"} {
		e.expect(t, `{<<"alive">>,{signal,sigterm}}`, `
			Self = self(),
			{_, Reason} = e2e:in_process(fun() ->
				Self ! {worker, e2e:start(E, ["cat"], #{detached => true, link => false, stdout => {pid, Self}})},
				exit(Reason)
			end),
			receive {worker, W} -> ok end,
			true = e2e:silent(),
			ok = e2e:call(W, {write, "alive"}),
			ok = e2e:said(W, stdout, <<"alive">>),
			{ok, Exit} = e2e:call(W, stop),
			{<<"alive">>, Exit}`, bind{"Reason": atom(reason)})
	}
}

// Links and monitors work as with any process.
//
//erluv:releases
//erluv:check
func TestLinksAndMonitors(t *testing.T) {
	e := common(t)
	// If a linked process ends with a reason, that is exit(W, Reason). The reason normal does
	// nothing.
	e.expect(t, "{boom,true}", `
		W = e2e:start(E, ["cat"]),
		monitor(process, W),
		P = e2e:child_of(fun() -> link(W) end),
		Q = e2e:child_of(fun() -> link(W) end),
		ok = e2e:until(fun() -> [W] =:= element(2, process_info(P, links)) andalso [W] =:= element(2, process_info(Q, links)) end),
		P ! fun() -> exit(normal) end,
		ok = e2e:until(fun() -> not is_process_alive(P) end),
		ok = e2e:call(W, {write, "still"}),
		ok = e2e:said(W, stdout, <<"still">>),
		exit(Q, boom),
		Reason = e2e:down(W),
		{<<>>, <<>>, {signal, sigterm}, Reason} = e2e:outcome(W),
		{Reason, true}`)
	// A linked process ends with the worker.
	e.expect(t, "{exit_status,4}", `
		{_, Reason} = e2e:in_process(fun() ->
			W = e2e:start(E, "exit 4"),
			receive never -> ok end
		end),
		Reason`)
	// After unlink, neither end affects the other side.
	e.expect(t, "ok", `
		W = e2e:start(E, ["cat"], #{owner => none}),
		true = unlink(W),
		P = e2e:child_of(fun() -> link(W), unlink(W) end),
		exit(P, boom),
		ok = e2e:until(fun() -> not is_process_alive(P) end),
		R = monitor(process, W),
		true = e2e:silent(),
		{ok, {signal, sigterm}} = e2e:call(W, stop),
		normal = e2e:down(W),
		true = e2e:silent(),
		ok`)
	// Many monitors, and one of them removed.
	e.expect(t, "{99,{exit_status,6}}", `
		W = e2e:start(E, "read x; exit 6", #{owner => none}),
		unlink(W),
		[First | Refs] = [monitor(process, W) || _ <- lists:seq(1, 100)],
		true = demonitor(First),
		ok = e2e:call(W, {write, "\n"}),
		[Reason] = lists:usort([receive {'DOWN', R, process, W, Why} -> Why after 120000 -> none end || R <- Refs]),
		true = e2e:silent(),
		{length(Refs), Reason}`)
}

//erluv:releases
func TestADeadWorker(t *testing.T) {
	e := common(t)
	e.expect(t, "{noproc,noproc,noproc,true}", `
		W = e2e:start(E, ["true"]),
		{<<>>, <<>>, {exit_status, 0}, normal} = e2e:outcome(W),
		R = monitor(process, W),
		Down = receive {'DOWN', R, process, W, Why} -> Why after 120000 -> none end,
		link(W),
		Exit = receive {'EXIT', W, Because} -> Because after 120000 -> none end,
		exit(W, kill),
		W ! {self(), {command, "x"}},
		W ! hello,
		unlink(W),
		{Call, _} = try e2e:call(W, info) catch exit:{Reason, Where} -> {Reason, Where} end,
		{Down, Exit, Call, e2e:silent()}`)
}

// The exit signal comes after the messages, for each linked process.
//
//erluv:releases
func TestManyLinked(t *testing.T) {
	e := common(t)
	e.expect(t, "200", `
		W = e2e:start(E, "read x; exit 1", #{owner => none}),
		Self = self(),
		Pids = [spawn(fun() ->
			process_flag(trap_exit, true),
			link(W),
			Self ! {linked, self()},
			receive {'EXIT', W, {exit_status, 1}} -> Self ! {ended, self()} end
		end) || _ <- lists:seq(1, 200)],
		[receive {linked, P} -> ok end || P <- Pids],
		ok = e2e:call(W, {write, "\n"}),
		length([receive {ended, P} -> P after 120000 -> error(none) end || P <- Pids])`)
}

// TestSupervisorCounts: with a worker as a direct child, all functions of an OTP supervisor work
// except count_children. In a simple_one_for_one supervisor that works too. TestSupervisor has the
// restarts.
func TestSupervisorCounts(t *testing.T) {
	e := common(t)
	s := e.session(t)
	s.expect(t, "ok", `
		process_flag(trap_exit, true),
		Child = fun(Id) -> #{id => Id, shutdown => 5000,
			start => {gen_server, call, [{erluv, E}, {spawn, ["sleep", "1000"], #{owner => none}}]}} end,
		Start = fun(Strategy, Ids) -> {ok, S} = supervisor:start_link(e2e_sup, {#{strategy => Strategy}, [Child(Id) || Id <- Ids]}), S end,
		[begin
			S = Start(Strategy, [a, b]),
			[{b, B, worker, _}, {a, _, worker, _}] = supervisor:which_children(S),
			{ok, #{id := a}} = supervisor:get_childspec(S, a),
			ok = supervisor:terminate_child(S, a),
			{ok, _} = supervisor:restart_child(S, a),
			ok = supervisor:terminate_child(S, a),
			ok = supervisor:delete_child(S, a),
			OsPid = e2e:os_pid(B),
			{'EXIT', _} = (catch supervisor:count_children(S)),
			receive {'EXIT', S, {badarg, _}} -> ok after 120000 -> error(supervisor) end,
			ok = e2e:until(fun() -> not e2e:alive(OsPid) end)
		 end || Strategy <- [one_for_one, one_for_all, rest_for_one]],
		Simple = Start(simple_one_for_one, [a]),
		{ok, W} = supervisor:start_child(Simple, []),
		1 = proplists:get_value(active, supervisor:count_children(Simple)),
		ok = supervisor:terminate_child(Simple, W),
		ok = gen_server:stop(Simple),
		_ = e2e_server:errors(),
		ok`)
}

// A supervisor has a worker as its direct child.
//
//erluv:releases
//erluv:check
func TestSupervisor(t *testing.T) {
	e := common(t)
	s := e.session(t)
	s.eval(t, `
		Child = fun(Id, Shutdown, Cmd) -> #{id => Id, shutdown => Shutdown, restart => permanent,
			start => {gen_server, call, [{erluv, E}, {spawn, Cmd, #{owner => none}}]}} end,
		Init = {#{strategy => one_for_one, intensity => 10, period => 1}, [
			Child(a, 5000, ["sleep", "1000"]),
			Child(b, brutal_kill, "trap '' TERM; while :; do sleep 0.1; done")]},
		{ok, S} = supervisor:start_link(e2e_sup, Init),
		ok`)
	s.expect(t, "ok", `
		Which = fun() -> lists:sort([{Id, P} || {Id, P, worker, _} <- supervisor:which_children(S)]) end,
		[{a, A1}, {b, B1}] = Which(),
		true = is_pid(A1) andalso node(A1) =:= E andalso is_pid(B1),
		PidA = e2e:os_pid(A1), PidB = e2e:os_pid(B1),
		true = e2e:alive(PidA) andalso e2e:alive(PidB),
		ok`)
	// The supervisor restarts the worker when its program ends, and reports that.
	s.expect(t, "ok", `
		[] = os:cmd("kill -9 " ++ integer_to_list(PidA)),
		ok = e2e:until(fun() -> [{a, P}, {b, B1}] = Which(), is_pid(P) andalso P =/= A1 end),
		[{a, A2}, _] = Which(),
		true = e2e:alive(e2e:os_pid(A2)),
		[Report] = e2e_server:errors(),
		{match, _} = re:run(Report, "sigkill"),
		ok`)
	// terminate_child and shutdown, graceful and brutal, cause no report.
	s.expect(t, "ok", `
		PidA2 = e2e:os_pid(A2),
		ok = supervisor:terminate_child(S, a),
		false = e2e:alive(PidA2),
		{ok, A3} = supervisor:restart_child(S, a),
		PidA3 = e2e:os_pid(A3),
		R = monitor(process, S),
		unlink(S),
		exit(S, shutdown),
		receive {'DOWN', R, process, S, shutdown} -> ok after 120000 -> error(supervisor) end,
		false = e2e:alive(PidA3),
		ok = e2e:until(fun() -> not e2e:alive(PidB) end),
		[] = e2e_server:errors(),
		ok`)
}

// However a worker ends, all processes that it started end with it.
func TestNothingOfAWorkerIsLeft(t *testing.T) {
	e := common(t)
	family := `"for i in 1 2 3; do sh -c 'trap \"\" TERM; echo $$; exec sleep 100' & done; wait"`
	for name, end := range map[string]string{
		"stop":         "{ok, _} = e2e:call(W, stop)",
		"exit":         "exit(W, enough)",
		"kill":         "exit(W, kill)",
		"killed alone": "ok = e2e:call(W, {signal, sigkill})",
		"port close":   "W ! {self(), close}",
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, "[]", `
				W = e2e:start(E, `+family+`, #{kill_timeout => 100}),
				Lines = fun Lines(Text) ->
					case string:lexemes(Text, "\n") of
						[_, _, _] = All -> [e2e:os_pid_of(E, list_to_integer(L)) || L <- All];
						_ -> {stdout, More} = e2e:next(W), Lines(Text ++ binary_to_list(More))
					end
				end,
				Pids = Lines(""),
				[true, true, true] = [e2e:alive(P) || P <- Pids],
				`+end+`,
				receive {'EXIT', W, _} -> ok after 120000 -> error(no_exit) end,
				[P || P <- Pids, e2e:alive(P)]`)
		})
	}
}

// A run ends if its caller ends.
//
//erluv:releases
func TestRunEndsWithItsCaller(t *testing.T) {
	e := common(t)
	e.expect(t, "[]", `
		P = spawn(fun() -> e2e:call(E, {run, ["sleep", "1000"], #{}}) end),
		ok = e2e:until(fun() -> length(e2e:call(E, workers)) =:= 1 end),
		exit(P, kill),
		ok = e2e:until(fun() -> length(e2e:call(E, workers)) =:= 0 end),
		e2e:call(E, workers)`)
}

// A request that is too large is refused with an explanation, and the connection stays.
//
//erluv:releases
func TestTooLarge(t *testing.T) {
	e := common(t)
	e.expect(t, "{too_large,too_large,pong}", `
		Run = fun(Bytes) -> element(1, element(2, e2e:call(E, {run, ["cat"], #{input => binary:copy(<<"x">>, Bytes)}}))) end,
		{Run(20 bsl 20), Run(80 bsl 20), net_adm:ping(E)}`)
}

// A process that used the name of a worker that could not be started hears that there is no such
// process.
//
//erluv:releases
func TestNamedThatNeverWas(t *testing.T) {
	e := common(t)
	e.expect(t, "[noproc]", `
		lists:usort([begin
			Request = gen_server:send_request({erluv, E}, {spawn, ["/no/such"], #{name => never}}),
			Ref = monitor(process, {never, E}),
			{reply, {error, enoent}} = gen_server:receive_response(Request, 5000),
			receive {'DOWN', Ref, process, _, Why} -> Why after 120000 -> none end
		end || _ <- lists:seq(1, 200)])`)
}
