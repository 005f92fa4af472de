package e2e

import "testing"

// A stream goes on for a receiver that takes its messages, regardless of others in its mailbox.
func TestAStreamNeverStops(t *testing.T) {
	e := common(t)
	const others = `
		Others = fun(N) -> [self() ! {other, I} || I <- lists:seq(1, N)] end,
		Left = fun() -> length([1 || {other, _} <- element(2, process_info(self(), messages))]) end,
	`
	for name, tc := range map[string]struct{ source, want string }{
		"100 of others": {
			`Others(100), W = e2e:start(E, "head -c 12000000 /dev/zero"), {e2e:take(W), Left()}`,
			`{12000000,100}`,
		},
		"2,000 of others": {
			`Others(2000), W = e2e:start(E, "head -c 12000000 /dev/zero"), {e2e:take(W), Left()}`,
			`{12000000,2000}`,
		},
		"60,000 of others, which nobody looks at": {
			`Others(60000), W = e2e:start(E, "head -c 12000000 /dev/zero"), {e2e:take(W), Left()}`,
			`{12000000,60000}`,
		},
		"others come and go": {
			`S = self(), Others(1000),
			P = spawn_link(fun() -> (fun F(I) -> S ! {other, I}, S ! {pulse, I}, receive stop -> ok after 1 -> F(I + 1) end end)(1) end),
			W = e2e:start(E, "head -c 12000000 /dev/zero"),
			N = (fun F(N) -> receive {pulse, _} -> F(N); {W, {stdout, eof}} -> N; {W, {stdout, B}} -> F(N + byte_size(B)) after 120000 -> {stuck, N} end end)(0),
			unlink(P), P ! stop, N`,
			`12000000`,
		},
		"lines": {
			`Others(500), W = e2e:start(E, "seq 100000", #{packet => line}), {e2e:take(W), Left()}`,
			`{588895,500}`,
		},
		"lists of lines": {
			`Others(500), W = e2e:start(E, "seq 1000000", #{packet => lines}), {e2e:take(W), Left()}`,
			`{6888896,500}`,
		},
		"500 programs, one after the other": {
			`Ws = [e2e:start(E, "head -c 109000 /dev/zero") || _ <- lists:seq(1, 500)],
			[109000] = lists:usort([e2e:take(W) || W <- Ws]), ok`,
			`ok`,
		},
		"a conversation beside a flood": {
			`F = e2e:start(E, ["cat", "/dev/zero"]), Cat = e2e:start(E, ["cat"]),
			ok = e2e:until(fun() -> #{stdout := #{held := H}} = e2e:call(F, info), is_map(H) end),
			Echo = [begin ok = e2e:call(Cat, {write, <<I:65536/unit:8>>}),
				(fun G(0) -> ok; G(N) -> receive {Cat, {stdout, B}} -> G(N - byte_size(B)) after 120000 -> stuck end end)(65536) end || I <- lists:seq(1, 100)],
			{ok, _} = e2e:call(F, stop), {ok, _} = e2e:call(Cat, stop), lists:usort(Echo)`,
			`[ok]`,
		},
		"a receiver that is suspended": {
			`S = self(),
			P = spawn(fun() -> Others(100), W = e2e:start(E, "head -c 12000000 /dev/zero"), S ! {w, W}, S ! {got, e2e:take(W)} end),
			receive {w, W} -> ok end,
			true = erlang:suspend_process(P),
			Held = fun(#{by := By, bytes := Bytes, queue := Q}) -> By =:= P andalso Bytes >= 1000000 andalso Q >= 10; (_) -> false end,
			ok = e2e:until(fun() -> #{stdout := #{held := H}} = e2e:call(W, info), Held(H) end),
			receive after 1000 -> ok end,
			true = erlang:resume_process(P),
			receive {got, N} -> N after 120000 -> stuck end`,
			`12000000`,
		},
		"one of two receivers takes nothing": {
			`P = spawn(fun() -> receive never -> ok end end),
			W = e2e:start(E, "head -c 12000000 /dev/zero", #{stdout => [owner, {pid, P}]}),
			N = e2e:take(W), exit(P, kill), N`,
			`12000000`,
		},
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); e.expect(t, tc.want, others+tc.source) })
	}
}
