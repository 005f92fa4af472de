package e2e

import "testing"

//erluv:releases
//erluv:check
func TestCallsOfAWorker(t *testing.T) {
	e := common(t)
	for name, tc := range map[string]struct{ source, want string }{
		"signal":          {`{e2e:call(W, {signal, sigterm}), e2e:outcome(W)}`, `{ok,{<<>>,<<>>,{signal,sigterm},{signal,sigterm}}}`},
		"a number":        {`{e2e:call(W, {signal, 9}), e2e:outcome(W)}`, `{ok,{<<>>,<<>>,{signal,sigkill},{signal,sigkill}}}`},
		"signal group":    {`{e2e:call(W, {signal, group, sigusr1}), e2e:outcome(W)}`, `{ok,{<<>>,<<>>,{signal,sigusr1},{signal,sigusr1}}}`},
		"unknown signal":  {`{error, _} = e2e:call(W, {signal, sigfoo}), e2e:call(W, {write, "a"})`, `ok`},
		"stop":            {`{e2e:call(W, stop), e2e:messages(W) -- [{stdout, eof}, {stderr, eof}]}`, `{{ok,{signal,sigterm}},[{signal,sigterm}]}`},
		"close":           {`{e2e:call(W, {close, stdin}), e2e:outcome(W)}`, `{ok,{<<>>,<<>>,{exit_status,0},normal}}`},
		"close, write":    {`V = e2e:start(E, ["sleep", "100"]), ok = e2e:call(V, {close, stdin}), e2e:call(V, {write, "x"})`, `{error,epipe}`},
		"not iodata":      {`{error, _} = e2e:call(W, {write, [1, x]}), ok = e2e:call(W, {write, "a"}), e2e:next(W)`, `{stdout,<<"a">>}`},
		"not understood":  {`e2e:call(W, {hello, 1})`, `{error,{bad_request,{hello,1}}}`},
		"a cast":          {`gen_server:cast(W, stop), W ! {self(), x}, W ! 1, ok = e2e:call(W, {write, "a"}), e2e:next(W)`, `{stdout,<<"a">>}`},
		"two who wait":    {`V = e2e:start(E, "trap '' TERM; echo ready; while :; do sleep 0.05; done", #{kill_timeout => 300, stderr => null}), ok = e2e:ready(V), [P, Q] = [gen_server:send_request(V, stop) || _ <- [1, 2]], {gen_server:receive_response(P, 5000), gen_server:receive_response(Q, 5000)}`, `{{reply,{ok,{signal,sigkill}}},{reply,{ok,{signal,sigkill}}}}`},
		"by another":      {`S = self(), spawn(fun() -> S ! {done, e2e:call(W, {write, "b"})} end), receive {done, D} -> {D, e2e:next(W)} end`, `{ok,{stdout,<<"b">>}}`},
		"in order":        {`[ok = e2e:call(W, {write, <<N>>}) || N <- "abc"], W ! {self(), {command, "d"}}, ok = e2e:call(W, {write, "e"}), ok = e2e:call(W, {close, stdin}), e2e:outcome(W)`, `{<<"abcde">>,<<>>,{exit_status,0},normal}`},
		"many open calls": {`Rs = [gen_server:send_request(W, {write, <<N:16>>}) || N <- lists:seq(1, 500)], [{reply, ok}] = lists:usort([gen_server:receive_response(R, 5000) || R <- Rs]), ok = e2e:call(W, {close, stdin}), {Out, _, _, _} = e2e:outcome(W), Out =:= << <<N:16>> || N <- lists:seq(1, 500) >>`, `true`},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, tc.want, `W = e2e:start(E, ["cat"]), `+tc.source)
		})
	}
}

func TestInfoOfAWorker(t *testing.T) {
	e := common(t)
	e.expect(t, "true", `
		W = e2e:start(E, ["cat"]),
		ok = e2e:call(W, {write, "12345"}),
		{stdout, _} = e2e:next(W),
		Owner = self(),
		#{os_pid := OsPid, cmd := _, state := running, owner := Owner, started := Started, cpu := Cpu, rss := Rss,
		  stdout := _, stderr := _} = e2e:call(W, info),
		true = is_number(Cpu) andalso is_integer(Rss) andalso Rss > 0,
		true = is_integer(Started),
		e2e:alive(OsPid)`)
}

// The signal goes to the program alone, or to all processes that it has started.
func TestSignalAndGroup(t *testing.T) {
	e := common(t)
	program := `"sh -c 'trap \"echo inner; exit\" USR1; echo ready; while :; do sleep 0.05; done' 2>/dev/null & trap 'echo outer' USR1; wait; wait; echo end"`
	e.expect(t, `{[<<"end">>,<<"inner">>,<<"outer">>],{exit_status,0}}`, `
		W = e2e:start(E, `+program+`, #{stderr => null}),
		ok = e2e:ready(W),
		ok = e2e:call(W, {signal, group, sigusr1}),
		{Out, none, End, normal} = e2e:outcome(W),
		{lists:sort(binary:split(Out, <<"\n">>, [global, trim])), End}`)
}

// If a program does not read, the writer waits. When the program ends, the writer gets an error.
func TestWriteWaits(t *testing.T) {
	e := common(t)
	e.expect(t, "{error,epipe}", `
		W = e2e:start(E, ["sleep", "100"]),
		R = gen_server:send_request(W, {write, binary:copy(<<"x">>, 3000000)}),
		timeout = gen_server:wait_response(R, 200),
		#{state := running} = e2e:call(W, info),
		ok = e2e:call(W, {signal, sigterm}),
		{reply, Answer} = gen_server:receive_response(R, 5000),
		Answer`)
	e.expect(t, "{error,epipe}", `
		W = e2e:start(E, "exec <&-; echo ready; exec sleep 100"),
		ok = e2e:ready(W),
		e2e:call(W, {write, "x"})`)
	e.expect(t, "{3000000,normal}", `
		W = e2e:start(E, "sleep 0.3; cat"),
		ok = e2e:call(W, {write, binary:copy(<<"x">>, 3000000)}),
		ok = e2e:call(W, {close, stdin}),
		{Out, <<>>, _, Reason} = e2e:outcome(W),
		{byte_size(Out), Reason}`)
}

// If a caller has stopped waiting for an answer, the answer does not appear in its mailbox later.
//
//erluv:releases
func TestLateAnswers(t *testing.T) {
	e := common(t)
	e.expect(t, "{gone,[]}", `
		W = e2e:start(E, ["sleep", "100"], #{stdout => null, stderr => null}),
		Call = try gen_server:call(W, {write, binary:copy(<<"x">>, 3000000)}, 50) catch exit:{timeout, _} -> gone end,
		{ok, {signal, sigterm}} = gen_server:call(W, stop),
		{signal, sigterm} = e2e:next(W),
		{Call, [M || M <- element(2, process_info(self(), messages)), element(1, M) =/= 'EXIT']}`)
}

// Code that drives a port can drive a worker.
//
//erluv:releases
//erluv:check
func TestPortProtocol(t *testing.T) {
	e := common(t)
	e.expect(t, "{{stdout,<<\"ab\">>},closed,normal}", `
		W = e2e:start(E, ["cat"]),
		W ! {self(), {command, ["a", <<"b">>]}},
		ok = e2e:said(W, stdout, <<"ab">>),
		W ! {self(), close},
		Closed = receive {W, closed} -> closed after 120000 -> none end,
		receive {'EXIT', W, Reason} -> {{stdout, <<"ab">>}, Closed, Reason} after 120000 -> none end`)
	// A new owner gets all later messages.
	e.expect(t, "{{stdout,<<\"b\">>},true}", `
		W = e2e:start(E, ["cat"]),
		Self = self(),
		New = spawn(fun() -> Self ! {new, e2e:next(W)}, receive stop -> ok end end),
		W ! {self(), {connect, New}},
		connected = e2e:next(W),
		W ! {New, {command, "b"}},
		Seen = receive {new, M} -> M after 120000 -> none end,
		true = e2e:silent(),
		R = monitor(process, W),
		unlink(W),
		New ! stop,
		_ = e2e:down(W),
		{Seen, e2e:silent()}`)
	// The new owner is not linked. This message to a port does not link it either, and setopts does
	// not. The worker ends with its owner, and the old owner gets an exit signal, since it stays
	// linked.
	for _, give := range []string{
		"W ! {self(), {connect, New}}, connected = e2e:next(W)",
		"ok = e2e:call(W, {setopts, [{owner, New}]})",
	} {
		e.expect(t, "{[],true,true,boom}", `
			W = e2e:start(E, ["cat"]),
			New = spawn(fun() -> receive stop -> exit(boom) end end),
			`+give+`,
			#{owner := New} = e2e:call(W, info),
			Links = fun(P) -> {links, L} = process_info(P, links), L end,
			{Theirs, Mine} = {Links(New), lists:member(W, Links(self()))},
			New ! stop,
			receive {'EXIT', W, Reason} -> {Theirs, Mine, e2e:silent(), Reason} after 120000 -> none end`)
	}
	// A sender that is not the owner gets badsig. A port sends badsig to its owner.
	e.expect(t, "badsig", `
		W = e2e:start(E, ["cat"]),
		{_, Reason} = e2e:in_process(fun() -> link(W), W ! {self(), {command, "x"}}, receive never -> ok end end),
		Reason`)
}

// Commands that no program reads are reported once in each run, and everything else goes on.
//
//erluv:releases
func TestPortProtocolToTheDeaf(t *testing.T) {
	e := common(t)
	for name, start := range map[string]string{
		"null":   `e2e:start(E, "read x </dev/fd/3; exit 7", #{stdin => null, fds => #{3 => {pipe, in}}})`,
		"file":   `e2e:start(E, "read x </dev/fd/3; exit 7", #{stdin => {file, "/dev/null"}, fds => #{3 => {pipe, in}}})`,
		"closed": `begin V = e2e:start(E, "read x </dev/fd/3; exit 7", #{fds => #{3 => {pipe, in}}}), ok = e2e:call(V, {close, stdin}), V end`,
		"broken": `begin V = e2e:start(E, "exec </dev/null; echo ready; read x </dev/fd/3; exit 7", #{fds => #{3 => {pipe, in}}}), ok = e2e:ready(V), V end`,
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, "{[{stdin,epipe}],{error,epipe},{exit_status,7},{exit_status,7}}", `
				W = `+start+`,
				Told = fun() -> #{state := running} = e2e:call(W, info), [M || {stdin, _} = M <- e2e:messages(W)] end,
				[W ! {self(), {command, "x"}} || _ <- lists:seq(1, 1000)],
				First = Told(),
				Answer = e2e:call(W, {write, "x"}),
				[W ! {self(), {command, "x"}} || _ <- lists:seq(1, 10)],
				[] = Told(),
				ok = e2e:call(W, {write, 3, "\n"}),
				{_, _, End, Reason} = e2e:outcome(W),
				{First, Answer, End, Reason}`)
		})
	}
	// The commands wait for a program that ends without reading them.
	e.expect(t, "{[{stdin,epipe},{signal,sigkill}],killed}", `
		W = e2e:start(E, ["sleep", "100"], #{stdout => null, stderr => null}),
		[W ! {self(), {command, binary:copy(<<"x">>, 100000)}} || _ <- lists:seq(1, 5)],
		exit(W, kill),
		receive {'EXIT', W, Reason} -> {e2e:messages(W), Reason} after 120000 -> none end`)
	// Each run reports it.
	e.expect(t, "[{stdin,epipe},{stdin,epipe}]", `
		W = e2e:start(E, ["sleep", "100"], #{stdin => null, restart => permanent, backoff => {1, 1}, stdout => null, stderr => null}),
		Send = fun() -> W ! {self(), {command, "x"}}, W ! {self(), {command, "x"}}, e2e:next(W) end,
		First = Send(),
		ok = e2e:call(W, {signal, sigkill}),
		{signal, sigkill} = e2e:next(W),
		{restarted, _, 1} = e2e:next(W),
		[First, Send()]`)
}

// At most 1 MiB waits for a program that does not read. More is refused.
func TestPortProtocolIsBounded(t *testing.T) {
	e := common(t)
	before := resident(t, e.roles(t).child)
	refused := e.number(t, `
		W = e2e:start(E, ["sleep", "100"]),
		Chunk = binary:copy(<<"x">>, 65536),
		[W ! {self(), {command, Chunk}} || _ <- lists:seq(1, 2000)],
		#{state := running} = e2e:call(W, info),
		Full = e2e:messages(W),
		[{stdin, full}] = lists:usort(Full),
		length(Full)`)
	if refused < 1900 || refused >= 1990 {
		t.Errorf("%d of 2000 commands were refused, want all but about 1 MiB and a pipe of 64 KiB commands", refused)
	}
	if after := resident(t, e.roles(t).child); after > before+32<<20 {
		t.Errorf("the child grew from %d to %d bytes", before, after)
	}
}
