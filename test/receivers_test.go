package e2e

import "testing"

// The output of one stream goes to several processes.
//
//erluv:releases
//erluv:check
func TestReceivers(t *testing.T) {
	e := common(t)
	// other() is a process that returns everything that W has sent to it.
	const other = `
		Self = self(),
		Other = fun() -> spawn_link(fun() ->
			F = fun F(L) -> receive {W, M} when is_pid(W) -> F([M | L]); all -> Self ! {self(), lists:reverse(L)} end end, F([])
		end) end,
		All = fun(P) -> P ! all, receive {P, L} -> L end end,
		P = Other(), Q = Other(),
	`
	for name, tc := range map[string]struct{ source, want string }{
		"the owner and others": {
			`
			W = e2e:start(E, "echo one; echo two >&2", #{stdout => [owner, {pid, P}, {pid, Q}], stderr => [{pid, Q}, {pid, P}]}),
			{Out, none, {exit_status, 0}, normal} = e2e:outcome(W),
			{Out, lists:sort(All(P)), lists:sort(All(Q))}`,
			`{<<"one\n">>,[{stderr,eof},{stderr,<<"two\n">>},{stdout,eof},{stdout,<<"one\n">>}],` +
				`[{stderr,eof},{stderr,<<"two\n">>},{stdout,eof},{stdout,<<"one\n">>}]}`,
		},
		"not the owner": {
			`
			W = e2e:start(E, "echo one", #{stdout => [{pid, P}, {pid, Q}]}),
			{none, <<>>, {exit_status, 0}, normal} = e2e:outcome(W),
			{All(P), All(Q)}`,
			`{[{stdout,<<"one\n">>},{stdout,eof}],[{stdout,<<"one\n">>},{stdout,eof}]}`,
		},
		"without an owner": {
			`
			W = e2e:start(E, "echo one", #{owner => none, stdout => [owner, {pid, P}]}),
			receive {'EXIT', W, normal} -> All(P) end`,
			`[{stdout,<<"one\n">>},{stdout,eof}]`,
		},
		"lines": {
			`
			W = e2e:start(E, "printf 'a\\nb\\nc'", #{packet => line, stdout => [owner, {pid, P}]}),
			{stdout, A} = e2e:next(W), {Rest, <<>>, {exit_status, 0}, normal} = e2e:outcome(W),
			{A, Rest, All(P)}`,
			`{<<"a\n">>,<<"b\nc">>,[{stdout,<<"a\n">>},{stdout,<<"b\n">>},{stdout,<<"c">>},{stdout,eof}]}`,
		},
		"much": {
			`
			W = e2e:start(E, "head -c 3000000 /dev/zero | tr '\\0' x", #{stdout => [owner, {pid, P}, {pid, Q}]}),
			{Out, <<>>, {exit_status, 0}, normal} = e2e:outcome(W),
			[Out, Out] = [iolist_to_binary([B || {stdout, B} <- All(X), is_binary(B)]) || X <- [P, Q]],
			{byte_size(Out), Out =:= binary:copy(<<"x">>, 3000000)}`,
			`{3000000,true}`,
		},
		"another descriptor": {
			`
			W = e2e:start(E, "echo x >&3", #{fds => #{3 => [owner, {pid, P}]}}),
			receive {W, {3, X}} -> receive {W, {3, eof}} -> {X, All(P)} end end`,
			`{<<"x\n">>,[{3,<<"x\n">>},{3,eof}]}`,
		},
		"changed": {
			`
			W = e2e:start(E, ["cat"]),
			ok = e2e:call(W, {write, "a"}), ok = e2e:said(W, stdout, <<"a">>),
			ok = e2e:call(W, {setopts, [{stdout, [owner, {pid, P}]}]}),
			ok = e2e:call(W, {write, "b"}), ok = e2e:said(W, stdout, <<"b">>),
			ok = e2e:call(W, {setopts, [{stdout, {pid, Q}}]}),
			ok = e2e:call(W, {write, "c"}), ok = e2e:call(W, {close, stdin}),
			{none, <<>>, {exit_status, 0}, normal} = e2e:outcome(W),
			{All(P), All(Q)}`,
			`{[{stdout,<<"b">>}],[{stdout,<<"c">>},{stdout,eof}]}`,
		},
		"the next owner": {
			`
			W = e2e:start(E, ["cat"], #{stdout => [{pid, P}, owner]}),
			N = Other(),
			W ! {self(), {connect, N}},
			connected = e2e:next(W),
			ok = e2e:call(W, {write, "b"}), ok = e2e:call(W, {close, stdin}), receive {'EXIT', W, normal} -> ok end,
			{All(P), [M || {stdout, _} = M <- All(N)]}`,
			`{[{stdout,<<"b">>},{stdout,eof}],[{stdout,<<"b">>},{stdout,eof}]}`,
		},
		"refused": {
			`
			[{error, {bad_option, stdout, _}} = e2e:call(E, {spawn, ["cat"], #{stdout => R}}) ||
				R <- [[], [owner, owner], [self()], [{pid, x}], [{file, "/x"}], lists:duplicate(17, {pid, P}), [{pid, c:pid(0, 0, 0)} | {pid, P}]]],
			W = e2e:start(E, ["cat"], #{stderr => null}),
			[{error, {bad_option, stdout, _}} = e2e:call(W, {setopts, [{stdout, R}]}) || R <- [null, [], x]],
			{error, {bad_option, stderr, _}} = e2e:call(W, {setopts, [{stderr, owner}]}), ok`,
			`ok`,
		},
	} {
		t.Run(name, func(t *testing.T) { e.expect(t, tc.want, other+tc.source) })
	}
}
