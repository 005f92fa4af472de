%% The events for telemetry, whose module a stand-in is here: it hands each event to the process
%% that is registered as the test, or fails there, as the real one would if it did not catch.
-module(erluv_telemetry_tests).

-export([telemetry_test_/0]).
-export([t_run/0]).
-export([t_run_fails/0]).
-export([t_worker/0]).
-export([t_worker_fails/0]).
-export([t_worker_is_not_ready/0]).
-export([t_node/0]).
-export([t_flow/0]).
-export([t_programs/0]).
-export([t_no_secrets/0]).
-export([t_telemetry_fails/0]).
-export([t_no_telemetry/0]).

-include_lib("stdlib/include/assert.hrl").

-define(WAIT, 120000).

%% What telemetry is to this application.
-define(STAND_IN, ["-module(telemetry).", "-export([execute/3]).",
                   "execute(Event, Measurements, Metadata) when is_list(Event), is_map(Measurements), is_map(Metadata) ->"
                   " case whereis(erluv_telemetry_test) of"
                   "   undefined -> error(no_test);"
                   "   Pid -> Pid ! {telemetry, Event, Measurements, Metadata}, ok"
                   " end."]).

telemetry_test_() ->
    {setup, fun load/0, fun(_) -> unload() end,
     erluv_harness:tests(?MODULE)}.

load() ->
    Forms = [begin {ok, Tokens, _} = erl_scan:string(Text), {ok, Form} = erl_parse:parse_form(Tokens), Form end || Text <- ?STAND_IN],
    {ok, telemetry, Code} = compile:forms(Forms, []),
    {module, telemetry} = code:load_binary(telemetry, "stand-in", Code).

unload() ->
    true = code:delete(telemetry),
    _ = code:purge(telemetry),
    ok.

%% The next event.
next() ->
    receive {telemetry, Event, Measurements, Metadata} -> {Event, Measurements, Metadata} after ?WAIT -> error(no_event) end.

events(F) ->
    true = register(erluv_telemetry_test, self()),
    try F() after true = unregister(erluv_telemetry_test) end.

t_run() ->
    events(fun() ->
        Before = erlang:system_time(),
        {ok, _} = erluv:run(erluv, ["echo", "hello"]),
        {[erluv, run, start], #{system_time := Time, monotonic_time := Mono}, Begun} = next(),
        ?assert(Time >= Before andalso Time =< erlang:system_time() andalso Mono =< erlang:monotonic_time()),
        ?assertMatch(#{server := erluv, program := <<"echo">>, arguments := 1}, Begun),
        {[erluv, run, stop], #{duration := Took, monotonic_time := _}, Ended} = next(),
        ?assert(Took > 0 andalso Took < erlang:convert_time_unit(?WAIT, millisecond, native)),
        ?assertEqual(Begun#{exit => {exit_status, 0}}, Ended),
        ?assert(is_reference(maps:get(telemetry_span_context, Ended))),
        {ok, _} = erluv:run(erluv, <<"kill -9 $$">>),
        {[erluv, run, start], _, #{program := <<"/bin/sh">>, arguments := 2, telemetry_span_context := Other}} = next(),
        {[erluv, run, stop], _, #{exit := {signal, sigkill}, telemetry_span_context := Other}} = next(),
        ?assertNotEqual(Other, maps:get(telemetry_span_context, Ended)),
        ?assertEqual(none, receive Left -> Left after 0 -> none end)
    end).

t_run_fails() ->
    events(fun() ->
        Fails = fun(Reason, Kind, F) ->
                    F(),
                    {[erluv, run, start], _, Metadata} = next(),
                    {[erluv, run, exception], #{duration := _}, More} = next(),
                    ?assertEqual(Metadata#{kind => Kind, reason => Reason, stacktrace => []}, More)
                end,
        Fails(enoent, error, fun() -> {error, enoent} = erluv:run(erluv, ["nosuch"]) end),
        Fails({no_node, gone}, error, fun() -> {error, {no_node, gone}} = erluv:run(gone, ["true"]) end),
        Fails(timeout, error, fun() -> {error, {timeout, _}} = erluv:run(erluv, <<"echo x; sleep 60">>, #{timeout => 100}) end),
        Fails(max_output, error, fun() -> {error, {max_output, _}} = erluv:run(erluv, ["yes"], #{max_output => 10}) end)
    end).

t_worker() ->
    events(fun() ->
        {ok, D} = erluv_worker:start_link(erluv, ["sleep", "60"], #{register => sleeper}),
        W = erluv_worker:worker(D),
        {[erluv, worker, start], #{system_time := _}, Begun} = next(),
        ?assertEqual(#{server => erluv, node => node(W), worker => W, os_pid => erluv_harness:os_pid(W), name => sleeper,
                       program => <<"sleep">>, arguments => 1}, maps:remove(telemetry_span_context, Begun)),
        ok = gen_server:stop(D),
        {[erluv, worker, stop], #{duration := _}, Ended} = next(),
        ?assertEqual(Begun#{reason => shutdown}, Ended),
        {ok, E} = erluv_worker:start_link(erluv, ["true"], #{output => none}),
        Ref = monitor(process, E),
        {[erluv, worker, start], _, _} = next(),
        {[erluv, worker, stop], _, #{reason := normal}} = next(),
        receive {'DOWN', Ref, _, _, _} -> ok after ?WAIT -> error(alive) end
    end).

t_worker_fails() ->
    process_flag(trap_exit, true),
    events(fun() ->
        {ok, _} = erluv_worker:start_link(erluv, ["false"], #{}),
        {[erluv, worker, start], _, Begun} = next(),
        {[erluv, worker, exception], _, Ended} = next(),
        ?assertEqual(Begun#{kind => exit, reason => {exit_status, 1}, stacktrace => []}, Ended),
        {error, enoent} = erluv_worker:start_link(erluv, ["nosuch"], #{name => n}),
        {[erluv, worker, start], _, #{program := <<"nosuch">>, name := n} = None} = next(),
        ?assertNot(is_map_key(worker, None)),
        {[erluv, worker, exception], _, #{kind := error, reason := enoent}} = next()
    end).

t_worker_is_not_ready() ->
    process_flag(trap_exit, true),
    events(fun() ->
        {error, _} = erluv_worker:start_link(erluv, <<"echo secret; exit 3">>, #{ready => {line, "yes"}}),
        {[erluv, worker, start], _, _} = next(),
        {[erluv, worker, exception], _, #{kind := error, reason := {not_ready, {exit_status, 3}}}} = next()
    end).

%% All that an erluv_node tells of its erluv, which is killed in parts.
t_node() ->
    events(fun() ->
        {ok, Pid} = erluv_node:start_link(#{name => second}),
        {[erluv, node, up], #{system_time := _}, #{server := second, node := Node}} = next(),
        #{child_os_pid := Child, main_os_pid := Main} = erluv:info(second),
        [] = os:cmd("kill -9 " ++ integer_to_list(Child)),
        {[erluv, node, child_crashed], #{system_time := _},
         #{server := second, node := Node, reason := {signal, sigkill}}} = next(),
        [] = os:cmd("kill -9 " ++ integer_to_list(Main)),
        {[erluv, node, down], #{duration := Up}, #{server := second, node := Node, reason := Lost}} = next(),
        ?assert(Up > 0),
        ?assert(Lost =:= noconnection orelse element(1, Lost) =:= exited),
        {[erluv, node, up], _, #{server := second, node := Again}} = next(),
        ?assertNotEqual(Node, Again),
        ok = gen_server:stop(Pid),
        {[erluv, node, down], _, #{server := second, node := Again, reason := shutdown}} = next(),
        ?assertEqual(none, receive {telemetry, _, _, _} = Left -> Left after 0 -> none end)
    end).

%% The receiver takes nothing for a while, then all; the same after the child has crashed.
t_flow() ->
    events(fun() ->
        paused_and_resumed(),
        {ok, Node} = erluv_node:node(erluv),
        [] = os:cmd("kill -9 " ++ integer_to_list(erluv:info(erluv, child_os_pid))),
        {[erluv, node, child_crashed], _, #{node := Node}} = next(),
        erluv_harness:until(fun() -> is_integer(erluv:info(erluv, child_os_pid)) end),
        paused_and_resumed()
    end).

paused_and_resumed() ->
    Second = erlang:convert_time_unit(1, second, native),
    Receiver = spawn_link(fun() -> receive go -> discard() end end),
    {ok, W} = erluv:spawn(erluv, ["cat", "/dev/zero"], #{owner => Receiver, name => tap}),
    {[erluv, flow, paused], #{duration := Paused}, Metadata} = next(),
    ?assertEqual(#{server => erluv, node => node(W), worker => W, name => tap, program => <<"cat">>, stream => stdout,
                   receiver => Receiver}, Metadata),
    Receiver ! go,
    {[erluv, flow, resumed], #{duration := All}, Metadata} = next(),
    ?assert(Paused >= Second andalso All >= Paused),
    {ok, _} = erluv:stop(W),
    true = unlink(Receiver),
    true = exit(Receiver, kill).

discard() -> receive _ -> discard() end.

%% What a program is called, whatever is given as one; and never more than some bytes of it.
t_programs() ->
    Long = binary:copy(<<"é"/utf8>>, 1000),
    [?assertEqual({Cmd, Program, Arguments},
                  begin
                      #{program := P, arguments := A} = erluv_telemetry:program(erluv, Cmd, undefined),
                      {Cmd, P, A}
                  end)
     || {Cmd, Program, Arguments} <- [{[<<"ls">>, "-l"], <<"ls">>, 1}, {["ls"], <<"ls">>, 0}, {[ls, a, b], <<"ls">>, 2},
                                      {[["l", <<"s">>], "-l"], <<"ls">>, 1}, {"ls -l", <<"/bin/sh">>, 2}, {<<"ls">>, <<"/bin/sh">>, 2},
                                      {{class, backup, ["/srv"]}, <<"backup">>, 1}, {[{memory, self()}, "x"], <<"memory">>, 1},
                                      {[{memory, self(), "tool"}], <<"tool">>, 0}, {[<<255>>], <<255>>, 0},
                                      {[Long], binary:part(Long, 0, 200), 0}, {[["x", Long]], <<"x", (binary:part(Long, 0, 198))/binary>>, 0},
                                      {[[16#D800]], <<>>, 0}, {[[<<255>>, 16#2000]], <<>>, 0}, {[{nonsense}], <<>>, 0}, {nonsense, <<"/bin/sh">>, 2},
                                      {[<<"ls">> | wrong], <<"ls">>, 0}]],
    #{server := port} = erluv_telemetry:program(fun(_, _) -> ok end, ["ls"], undefined).

t_no_secrets() ->
    events(fun() ->
        {ok, D} = erluv_worker:start_link(erluv, ["sh", "-c", "exit 0", "s3cret"], #{env => #{"KEY" => "s3cret"}, output => none}),
        Ref = monitor(process, D),
        {ok, _} = erluv:run(erluv, ["echo", "s3cret"], #{env => #{"KEY" => "s3cret"}, input => <<"s3cret">>}),
        receive {'DOWN', Ref, _, _, _} -> ok after ?WAIT -> error(alive) end,
        Events = [next() || _ <- lists:seq(1, 4)],
        ?assertEqual(nomatch, string:find(io_lib:format("~p", [Events]), "s3cret"))
    end).

%% No caller and no process of ours ends of it. No test is registered, so the stand-in fails.
t_telemetry_fails() ->
    undefined = whereis(erluv_telemetry_test),
    {ok, _} = erluv:run(erluv, ["true"]),
    {ok, D} = erluv_worker:start_link(erluv, ["sleep", "60"], #{}),
    ok = gen_server:stop(D),
    {ok, _} = erluv_node:node(erluv).

t_no_telemetry() ->
    ok = unload(),
    try
        events(fun() ->
            {ok, _} = erluv:run(erluv, ["true"]),
            {ok, D} = erluv_worker:start_link(erluv, ["sleep", "60"], #{}),
            ok = gen_server:stop(D),
            ?assertEqual(none, receive Left -> Left after 0 -> none end)
        end)
    after
        load()
    end.
