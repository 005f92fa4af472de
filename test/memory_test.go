package e2e

import (
	"testing"
)

// A consumer takes one message a millisecond from a flood. Neither the node nor erluv grows, and
// another worker's echo stays fast.
//
//erluv:releases
func TestSlowReceiver(t *testing.T) {
	e := common(t)
	r := e.roles(t)
	e.expect(t, "{ok,true,true}", `
		erlang:garbage_collect(),
		Memory = fun() -> erlang:memory(total) end,
		Rss = fun() -> e2e:rss([Main, Child, Spawner]) end,
		Echo = e2e:start(E, ["cat"]),
		Before = Memory(), RssBefore = Rss(),
		S = self(),
		Slow = fun() ->
			W = e2e:start(E, ["cat", "/dev/zero"]),
			F = fun F(0) -> S ! {slow, self(), ok}, exit(normal);
				F(N) -> receive {W, {stdout, _}} -> receive after 1 -> F(N - 1) end after 120000 -> S ! {slow, self(), stuck} end end,
			F(1500) end,
		P = spawn(Slow),
		Times = [begin
			T0 = erlang:monotonic_time(microsecond),
			ok = e2e:call(Echo, {write, "x"}), ok = e2e:said(Echo, stdout, <<"x">>),
			receive after 10 -> ok end,
			{erlang:monotonic_time(microsecond) - T0 - 10000, Memory() - Before, Rss() - RssBefore} end || _ <- lists:seq(1, 150)],
		How = receive {slow, P, H} -> H after 120000 -> timeout end,
		{E1, M1, R1} = lists:unzip3(Times),
		{How, lists:max(M1) < 32 * 1024 * 1024 orelse {memory, lists:max(M1)},
			lists:max(R1) < 8 * 1024 * 1024 orelse {rss, lists:max(R1), lists:last(lists:sort(E1))}}`,
		bind{"Main": r.main, "Child": r.child, "Spawner": r.spawner})
}

// The flood ends with the owner, however much is waiting.
//
//erluv:releases
func TestSlowReceiverEnds(t *testing.T) {
	e := common(t)
	e.expect(t, "ok", `
		S = self(),
		P = spawn(fun() -> W = e2e:start(E, ["cat", "/dev/zero"]), S ! {w, W, e2e:os_pid(W)}, receive never -> ok end end),
		{W, OsPid} = receive {w, W0, OsPid0} -> {W0, OsPid0} end,
		receive after 300 -> ok end,
		{message_queue_len, N} = process_info(P, message_queue_len), true = N > 0,
		exit(P, kill),
		ok = e2e:until(fun() -> not e2e:alive(OsPid) end)`)
}
