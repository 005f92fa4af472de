package e2e

import (
	"testing"
)

// idle counts what must be as before once all programs have ended: descriptors and zombies.
type idle struct{ fds, zombies map[string]int }

func (e *erluv) idle(t *testing.T) idle {
	t.Helper()
	i := idle{map[string]int{}, map[string]int{}}
	for role, pid := range e.roles(t).each() {
		i.fds[role] = len(descriptors(t, pid))
		i.zombies[role] = zombies(pid)
	}
	return i
}

func (e *erluv) idleAgain(t *testing.T, before idle) {
	t.Helper()
	e.expect(t, "ok", "e2e:until(fun() -> [] =:= e2e:call(E, workers) end)")
	for role, pid := range e.roles(t).each() {
		if !until(endTime, func() bool { return len(descriptors(t, pid)) <= before.fds[role] }) {
			t.Errorf("%s had %d descriptors, and now has %q", role, before.fds[role], descriptors(t, pid))
		}
		if n := zombies(pid); n > 0 {
			t.Errorf("%s has %d zombies", role, n)
		}
	}
}

// A program's output on both streams, and its exit status, follow from its number.
const oneOfMany = `
	One = fun(N) ->
		Text = binary:copy(integer_to_binary(N), 1 + N rem 4000),
		Status = N rem 256,
		W = e2e:start(E, ["/bin/sh", "-c", "printf %s \"$1\"; printf %s \"$1$1\" >&2; exit $2", "sh", Text, integer_to_list(Status)]),
		Reason = case Status of 0 -> normal; _ -> {exit_status, Status} end,
		{Text, <<Text/binary, Text/binary>>, {exit_status, Status}, Reason} =:= e2e:outcome(W)
	end,
`

func TestOneThousandInARow(t *testing.T) {
	e := common(t)
	before := e.idle(t)
	e.expect(t, "[]", oneOfMany+`[N || N <- lists:seq(1, 1000), not One(N)]`)
	e.idleAgain(t, before)
}

func TestFiveHundredAtOnce(t *testing.T) {
	e := common(t)
	before := e.idle(t)
	e.expect(t, "[]", oneOfMany+`
		Self = self(),
		Pids = [{spawn_link(fun() -> process_flag(trap_exit, true), Self ! {self(), One(N)} end), N} || N <- lists:seq(1, 500)],
		[N || {P, N} <- Pids, not receive {P, Result} -> Result after 120000 -> timeout end]`)
	e.idleAgain(t, before)
}

// All of them live at the same time, are listed, and are ended together.
func TestFiveHundredLive(t *testing.T) {
	e := common(t)
	before := e.idle(t)
	e.expect(t, "{500,500,500}", `
		Ws = [e2e:start(E, ["cat"]) || _ <- lists:seq(1, 500)],
		[ok = e2e:call(W, {write, integer_to_binary(N)}) || {N, W} <- lists:zip(lists:seq(1, 500), Ws)],
		Echoes = length([W || {N, W} <- lists:zip(lists:seq(1, 500), Ws), {stdout, integer_to_binary(N)} =:= e2e:next(W)]),
		Listed = length(e2e:call(E, workers)),
		[exit(W, kill) || W <- Ws],
		{Echoes, Listed, length([W || W <- Ws, {<<>>, <<>>, {signal, sigkill}, killed} =:= e2e:outcome(W)])}`)
	e.idleAgain(t, before)
}

// Several programs write large outputs at once, and each arrives whole. The sockets fill, and
// nothing is lost or mixed up. Each output consists of its own numbers.
func TestFloodsAtOnce(t *testing.T) {
	e := common(t)
	before := e.idle(t)
	e.expect(t, "[]", `
		Self = self(),
		Expected = fun(N) -> All = e2e:seq(N, N + 200000), {byte_size(All), binary:encode_hex(erlang:md5(All))} end,
		Pids = [{spawn_link(fun() ->
			process_flag(trap_exit, true),
			W = e2e:start(E, ["seq", integer_to_list(N), integer_to_list(N + 200000)]),
			Self ! {self(), {Expected(N), <<>>, {exit_status, 0}, normal} =:= e2e:digest(W)}
		end), N} || N <- lists:seq(1, 20)],
		[N || {P, N} <- Pids, not receive {P, Result} -> Result after 120000 -> timeout end]`)
	e.idleAgain(t, before)
}

//erluv:users
func TestMaxWorkers(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n, "--max-workers", "3")
	e.expect(t, "{error,max_workers,3,ok}", `
		Ws = [e2e:start(E, ["sleep", "100"]) || _ <- [1, 2, 3]],
		{error, Why} = e2e:call(E, {spawn, ["true"], #{}}),
		{error, Why} = e2e:call(E, {run, "true", #{}}),
		Max = e2e:call(E, {info, max_workers}),
		{ok, _} = e2e:call(hd(Ws), stop),
		{ok, _} = e2e:call(E, {run, "true", #{}}),
		{error, Why, Max, ok}`)
}
