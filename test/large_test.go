package e2e

import "testing"

// Long lines, large packets and large reads arrive as they were written, while another
// worker is served.
func TestLarge(t *testing.T) {
	e := common(t)
	// Source is some ten megabytes in which no two places are alike.
	const helpers = `
		Source = "seq 1 1500000 | head -c 10000000",
		Output = fun(W) -> (fun Next(Got) -> receive
			{W, {stdout, B}} when is_binary(B) -> Next([B | Got]);
			{W, {stdout, eof}} -> Next(Got);
			{W, {exit_status, 0}} -> lists:reverse(Got)
			after 120000 -> exit({nothing, length(Got)}) end end)([]) end,
		Raw = fun(Cmd) -> iolist_to_binary(Output(e2e:start(E, Cmd, #{}))) end,
		Read = fun(Request) -> (fun Next(Got) -> case Request() of
			eof -> lists:reverse(Got);
			{ok, B} -> Next([B | Got]);
			B when is_binary(B) -> Next([B | Got]) end end)([]) end,
		Self = self(),
		Echo = spawn_link(fun() ->
			C = e2e:start(E, ["cat"], #{}),
			(fun Again(N) ->
				C ! {self(), {command, <<"ping">>}},
				receive {C, {stdout, <<"ping">>}} -> ok after 120000 -> exit(no_echo) end,
				receive stop -> exit(C, kill), Self ! {echoes, N} after 0 -> Again(N + 1) end
			end)(1)
		end),
		Echoes = fun() -> Echo ! stop, receive {echoes, N} -> N > 1 after 120000 -> none end end,
	`
	for name, tc := range map[string]struct{ source, want string }{
		"lines": {
			`Lines = Source ++ " | tr '\\n' ' ' | fold -b -w 899999",
			 Want = Raw(Lines),
			 Got = Output(e2e:start(E, Lines, #{packet => {line, 1048576}})),
			 {lists:usort([byte_size(L) || L <- lists:droplast(Got)]) =:= [900000], length(Got), iolist_to_binary(Got) =:= Want, Echoes()}`,
			`{true,12,true,true}`,
		},
		"packets": {
			`Want = Raw(Source),
			 Packet = "printf '\\000\\230\\226\\200'; " ++ Source ++ "; ",
			 Got = Output(e2e:start(E, Packet ++ Packet ++ "printf '\\000\\000\\000\\001x'; " ++ Packet, #{packet => 4})),
			 {Got =:= [Want, Want, <<"x">>, Want], Echoes()}`,
			`{true,true}`,
		},
		"packets of 65,535": {
			`Packets = "for i in $(seq 100); do printf '\\377\\377'; head -c 65535 /dev/zero; done",
			 {lists:usort(Output(e2e:start(E, Packets, #{packet => 2}))) =:= [binary:copy(<<0>>, 65535)], Echoes()}`,
			`{true,true}`,
		},
		"a read packet": {
			`Want = Raw(Source),
			 W = e2e:start(E, "printf '\\000\\230\\226\\200'; " ++ Source, #{packet => 4, flow => {active, false}}),
			 Got = Read(fun() -> gen_server:call(W, {read, stdout, 1}, 120000) end),
			 {Got =:= [Want], Echoes()}`,
			`{true,true}`,
		},
		"get_line": {
			`Lines = Source ++ " | tr '\\n' ' ' | fold -b -w 899999",
			 Want = Raw(Lines),
			 W = e2e:start(E, Lines, #{flow => {active, false}}),
			 Got = Read(fun() -> io:get_line(W, "") end),
			 {length(Got), iolist_to_binary(Got) =:= Want, Echoes()}`,
			`{12,true,true}`,
		},
		"get_chars": {
			`Chars = Source ++ " | sed s/0/ä/g", Want = Raw(Chars),
			 W = e2e:start(E, Chars, #{flow => {active, false}}),
			 Got = Read(fun() -> io:get_chars(W, "", 500000) end),
			 {lists:usort([string:length(B) || B <- lists:droplast(Got)]) =:= [500000], iolist_to_binary(Got) =:= Want, Echoes()}`,
			`{true,true,true}`,
		},
		"fread": {
			`W = e2e:start(E, "seq 1 3000", #{flow => {active, false}}),
			 Got = (fun Next(L) -> case io:fread(W, "", "~d") of {ok, [N]} -> Next([N | L]); eof -> lists:reverse(L) end end)([]),
			 {Got =:= lists:seq(1, 3000), Echoes()}`,
			`{true,true}`,
		},
		"a long term": {
			`Term = lists:seq(1, 30000),
			 W = e2e:start(E, ["cat"], #{flow => {active, false}}),
			 spawn_link(fun() -> ok = gen_server:call(W, {write, io_lib:format("~w.~n", [Term])}, infinity) end),
			 {io:read(W, "") =:= {ok, Term}, Echoes()}`,
			`{true,true}`,
		},
		"a line that says it is ready": {
			`Lines = "(" ++ Source ++ ") | tr '\\n' ' ' | head -c 900000; echo; echo ready; exec cat",
			 W = e2e:start(E, Lines, #{packet => {line, 1048576}, ready => {line, "^ready$"}}),
			 Sizes = [receive {W, {stdout, B}} -> byte_size(B) after 120000 -> none end || _ <- [1, 2]],
			 exit(W, kill),
			 {Sizes, Echoes()}`,
			`{[900001,6],true}`,
		},
	} {
		t.Run(name, func(t *testing.T) { e.expect(t, tc.want, helpers+tc.source) })
	}
}
