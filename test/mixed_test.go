package e2e

import (
	"flag"
	"testing"
)

var mixed = flag.Int("mixed", 800, "workers of all kinds, of which none may see another's data")

// Workers with pipes and terminals come and go, eight at a time. They end by the end of their
// input, by themselves, by stop and by kill. Each writes exactly its own input, and none of
// another's.
func TestNobodyReadsAnothersWords(t *testing.T) {
	e := common(t)
	const batch = 10_000
	for first := 0; first < *mixed; first += batch {
		e.expect(t, `[]`, nobody, bind{"First": first, "Count": min(batch, *mixed-first)})
	}
}

// The source nobody yields [{N, Out}] for the workers that wrote another's word, or lost their own.
const nobody = `
		One = fun(N) ->
			Word = iolist_to_binary([integer_to_list(N), $., lists:duplicate(N rem 50, $x), $\n]),
			Opts = element(1 + N rem 3, {#{}, #{pty => #{echo => false, opost => false}}, #{stderr => stdout}}),
			Cmd = element(1 + N rem 5, {["cat"], ["tail", "-n", "+1"], ["cat"], ["cat"], ["head", "-n", "1"]}),
			W = e2e:start(E, Cmd, Opts),
			Lines = 1 + N rem 20,
			[W ! {self(), {command, Word}} || _ <- lists:seq(1, Lines)],
			(element(1 + N rem 5, {
				fun() -> e2e:call(W, {close, stdin}) end, fun() -> e2e:call(W, {close, stdin}) end,
				fun() -> e2e:call(W, stop) end, fun() -> exit(W, kill) end, fun() -> ok end}))(),
			Out = element(1, e2e:outcome(W)),
			case binary:replace(Out, Word, <<>>, [global]) of
				<<>> when N rem 5 < 2, byte_size(Out) =/= Lines * byte_size(Word) -> {N, Out};
				Rest when byte_size(Rest) < byte_size(Word), N rem 5 >= 2; Rest =:= <<>> ->
					Rest =:= binary:part(Word, 0, byte_size(Rest)) orelse {N, Out};
				_ -> {N, Out}
			end
		end,
		Self = self(),
		Pids = [spawn_link(fun() ->
			process_flag(trap_exit, true),
			Self ! {self(), [Bad || N <- lists:seq(First + I, First + Count, 8), Bad <- [One(N)], Bad =/= true]}
		end) || I <- lists:seq(1, 8)],
		lists:append([receive {Pid, Bad} -> Bad end || Pid <- Pids])`
