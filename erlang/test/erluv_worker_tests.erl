-module(erluv_worker_tests).
-behaviour(supervisor).

-export([worker_test_/0]).
-export([init/1]).
-export([t_logs_lines/0]).
-export([t_logs_any_bytes/0]).
-export([t_output_to_function/0]).
-export([t_output_to_pid/0]).
-export([t_output_to_nobody/0]).
-export([t_lists_of_lines/0]).
-export([t_dropped_output_is_not_cut/0]).
-export([t_last_lines_of_raw_output/0]).
-export([t_output_of_fds/0]).
-export([t_keeps_last_lines/0]).
-export([t_end_is_one_line/0]).
-export([t_end_is_told/0]).
-export([t_kept_lines_are_short/0]).
-export([t_exit_reasons/0]).
-export([t_reason_function/0]).
-export([t_function_that_fails/0]).
-export([t_not_started/0]).
-export([t_ready_by_line/0]).
-export([t_not_ready_in_time/0]).
-export([t_ends_before_ready/0]).
-export([t_stop_is_graceful/0]).
-export([t_last_words_of_a_stop/0]).
-export([t_killed/0]).
-export([t_node_is_lost/0]).
-export([t_supervised/0]).
-export([t_counted/0]).
-export([t_supervised_over_a_crash/0]).
-export([t_restarts_are_logged/0]).
-export([t_slow_function_holds_program/0]).
-export([t_registered/0]).
-export([t_bad_options/0]).
-export([t_child_spec/0]).

-include_lib("kernel/include/logger.hrl").
-include_lib("stdlib/include/assert.hrl").

-import(erluv_harness, [next/1, until/1, alive/1]).

worker_test_() ->
    erluv_harness:tests(?MODULE).

start(Cmd, Options) ->
    process_flag(trap_exit, true),
    erluv_worker:start_link(erluv, Cmd, Options).

t_logs_lines() ->
    Cmd = <<"echo one; echo two >&2; printf three">>,
    Seen = counters:new(1, []),
    Events = erluv_harness:logged(fun() -> start(Cmd, #{output => {log, error}}) end,
                                  fun({_, _, #{stream := _}}) -> counters:add(Seen, 1, 1), counters:get(Seen, 1) =:= 3;
                                     (_) -> false
                                  end),
    Lines = [{Level, Text, Stream} || {Level, Text, #{stream := Stream}} <- Events],
    ?assertEqual([{error, <<"one">>, stdout}, {error, <<"three">>, stdout}, {error, <<"two">>, stderr}],
                 lists:sort(Lines)),
    {_, _, Metadata} = lists:last(Events),
    ?assertMatch(#{domain := [erluv, worker], worker := _, os_pid := _, command := Cmd}, Metadata),
    ?assertNot(is_map_key(name, Metadata)).

t_logs_any_bytes() ->
    [{notice, <<"a", 255/utf8, "b">>, _}] =
        erluv_harness:logged(fun() -> start(<<"printf 'a\\377b\\n'">>, #{}) end, fun({L, _, _}) -> L =:= notice end).

t_output_to_function() ->
    Self = self(),
    {ok, _} = start(<<"printf 'one\\ntwo'">>, #{output => fun(Stream, Data) -> Self ! {out, {Stream, Data}} end}),
    ?assertEqual({stdout, <<"one\n">>}, next(out)),
    ?assertEqual({stdout, <<"two">>}, next(out)).

t_output_to_pid() ->
    {ok, Pid} = start(<<"printf one; printf two >&2">>, #{output => {pid, self()}, stderr => stdout, packet => raw}),
    {stdout, First} = next(Pid),
    All = case First of
              <<"onetwo">> -> First;
              _ -> {stdout, Second} = next(Pid), <<First/binary, Second/binary>>
          end,
    ?assertEqual(<<"onetwo">>, All),
    ?assertEqual({'EXIT', normal}, next(Pid)).

%% Who asks for lists has them; the log and the last lines have lines.
t_lists_of_lines() ->
    Self = self(),
    Lines = fun(Lines) -> Self ! {lines, Lines} end,
    {ok, Pid} = start(<<"printf 'one\\ntwo\\n'; cat">>,
                      #{packet => lines, output => fun(stdout, Data) -> Lines(Data) end}),
    First = next(lines),
    All = case First of
              [_, _] -> First;
              [_] -> First ++ next(lines)
          end,
    ?assertEqual([<<"one\n">>, <<"two\n">>], All),
    ?assertEqual([<<"one">>, <<"two">>], erluv_worker:last_output(Pid)),
    ok = gen_server:stop(Pid),
    {ok, Logged} = start(<<"echo three">>, #{packet => lines, output => none}),
    ?assertEqual({'EXIT', normal}, next(Logged)).

t_output_to_nobody() ->
    {ok, Pid} = start(["seq", "1000"], #{output => none}),
    ?assertEqual({'EXIT', normal}, next(Pid)).

%% A message for each line would be half a million of them.
t_dropped_output_is_not_cut() ->
    Lines = 1 bsl 19,
    {ok, Pid} = start(<<"read x; yes | head -n ", (integer_to_binary(Lines))/binary, "; echo end; read x">>, #{output => none}),
    W = erluv_worker:worker(Pid),
    1 = erlang:trace(Pid, true, ['receive']),
    ok = erluv:write(W, <<"\n">>),
    until(fun() -> lists:member(<<"end">>, erluv_worker:last_output(Pid)) end),
    1 = erlang:trace(Pid, false, ['receive']),
    ?assertEqual(lists:duplicate(19, <<"y">>) ++ [<<"end">>], erluv_worker:last_output(Pid)),
    {Messages, Bytes} = traced(W, 0, 0),
    ?assertEqual(2 * Lines + 4, Bytes),
    ?assert(Messages < Lines div 10),
    ok = gen_server:stop(Pid).

traced(W, Messages, Bytes) ->
    receive
        {trace, _, 'receive', {W, {stdout, Data}}} -> traced(W, Messages + 1, Bytes + byte_size(Data));
        {trace, _, 'receive', _} -> traced(W, Messages, Bytes)
    after 0 -> {Messages, Bytes}
    end.

%% All that a supervisor does with its children, it does with this one. TestSupervisorCounts
%% has what it does not do with a worker itself.
t_counted() ->
    Spec = fun(Id) -> (erluv_worker:child_spec({erluv, ["sleep", "60"], #{}}))#{id => Id} end,
    {ok, Sup} = supervisor:start_link(?MODULE, [Spec(a), Spec(b)]),
    2 = proplists:get_value(active, supervisor:count_children(Sup)),
    ok = supervisor:terminate_child(Sup, a),
    1 = proplists:get_value(active, supervisor:count_children(Sup)),
    {ok, _} = supervisor:restart_child(Sup, a),
    {ok, #{id := a}} = supervisor:get_childspec(Sup, a),
    [{b, _, _, _}, {a, _, _, _}] = supervisor:which_children(Sup),
    ok = supervisor:terminate_child(Sup, a),
    ok = supervisor:delete_child(Sup, a),
    [{specs, 1}, {active, 1}, {supervisors, 0}, {workers, 1}] = supervisor:count_children(Sup),
    ok = gen_server:stop(Sup).

%% However raw output is cut, the last lines are the same.
t_last_lines_of_raw_output() ->
    _ = rand:seed(exsss, 12),
    [begin
         Lines = [binary:copy(<<"x">>, size_of_line()) || _ <- lists:seq(1, rand:uniform(60))],
         Text = iolist_to_binary(lists:join($\n, Lines)),
         Ended = lists:reverse(case lists:reverse(Lines) of [<<>> | Others] -> Others; All -> All end),
         Shown = [binary:part(Line, 0, min(1024, byte_size(Line))) || Line <- Ended],
         Wanted = lists:nthtail(max(0, length(Shown) - Keep), Shown),
         Kept = lists:foldl(fun(Piece, Kept) -> erluv_last:add(stdout, Piece, Kept) end,
                            erluv_last:new(Keep, raw), pieces(Text)),
         ?assertEqual(Wanted, erluv_last:lines(erluv_last:eof(stdout, Kept)))
     end || Keep <- [0, 1, 2, 20, 100], _ <- lists:seq(1, 60)],
    Both = lists:foldl(fun({Stream, Data}, Kept) -> erluv_last:add(Stream, Data, Kept) end, erluv_last:new(3, raw),
                       [{stdout, <<"a">>}, {stderr, <<"e\nf">>}, {stdout, <<"b\nc\n">>}]),
    ?assertEqual([<<"e">>, <<"ab">>, <<"c">>], erluv_last:lines(erluv_last:eof(stdout, Both))).

size_of_line() ->
    rand:uniform(case rand:uniform(4) of 1 -> 10; 2 -> 100; 3 -> 3000; 4 -> 20000 end) - 1.

pieces(<<>>) -> [];
pieces(Text) ->
    {Piece, Rest} = split_binary(Text, min(byte_size(Text), rand:uniform(case rand:uniform(2) of 1 -> 50; 2 -> 40000 end))),
    [Piece | pieces(Rest)].

t_output_of_fds() ->
    {ok, Pid} = start(<<"echo x >&3">>, #{output => {pid, self()}, fds => #{3 => pipe}}),
    ?assertEqual({3, <<"x\n">>}, next(Pid)).

t_keeps_last_lines() ->
    {ok, Pid} = start(<<"seq 100; cat">>, #{keep => 3, output => none, ready => {line, "^100$"}}),
    until(fun() -> erluv_worker:last_output(Pid) =:= [<<"98">>, <<"99">>, <<"100">>] end),
    ok = gen_server:stop(Pid),
    {ok, Without} = start(<<"seq 100; cat">>, #{keep => 0, output => none, ready => {line, "^100$"}}),
    ?assertEqual([], erluv_worker:last_output(Without)),
    ok = gen_server:stop(Without).

%% One line, with what nobody has seen of its output.
t_end_is_one_line() ->
    Options = #{register => dying, keep => 2},
    [?assertMatch([{Line, #{domain := [erluv, worker], name := dying, command := Cmd}}],
                  [{Text, Metadata} || {error, Text, Metadata} <- end_of(Cmd, maps:merge(Options, More))])
     || {Cmd, More, Line} <-
            [{["sh", <<"-c">>, "echo a; echo b; echo I die; exit 7"], #{output => none, env => #{"PASSWORD" => "hunter2"}},
              <<"sh -c echo a; echo b; echo I die; exit 7: it ended with status 7, b, I die">>},
             {<<"echo a; kill -9 $$">>, #{}, <<"echo a; kill -9 $$: it was ended by sigkill">>},
             {["sleep", "60"], #{timeout => 100}, <<"sleep 60: it ran longer than its timeout and was stopped">>},
             {["sh", "-c", "exit 1", <<"a", 255>>], #{}, <<"sh -c exit 1 a", 255/utf8, ": it ended with status 1">>},
             {"exit 1 # \x{20ac}", #{}, <<"exit 1 # ", 16#20ac/utf8, ": it ended with status 1">>}]],
    % What is in order is none.
    ?assertEqual([], [Text || {error, Text, _} <- end_of(<<"exit 0">>, Options)]),
    ?assertEqual([], [Text || {error, Text, _} <- end_of(<<"exit 3">>, Options#{reason => fun(_, []) -> {shutdown, 3} end})]),
    ?assertEqual([], [Text || {error, Text, _} <- end_of(<<"exit 3">>, Options#{reason => fun({exit_status, 3}) -> three end})]).

%% What is logged until its process has ended, and a moment longer.
end_of(Cmd, Options) ->
    erluv_harness:logged(
      fun() ->
              {ok, Pid} = start(Cmd, Options),
              {'EXIT', _} = next(Pid),
              ?LOG_NOTICE("the end of it")
      end, fun({_, Text, _}) -> Text =:= <<"the end of it">> end).

contains(Text, Part) -> string:find(Text, Part) =/= nomatch.

t_kept_lines_are_short() ->
    {ok, Pid} = start(<<"head -c 5000 /dev/zero | tr '\\0' x; echo; cat">>, #{output => none, ready => {line, "^x*$"}}),
    until(fun() -> erluv_worker:last_output(Pid) =:= [binary:copy(<<"x">>, 1024)] end),
    ok = gen_server:stop(Pid).

t_exit_reasons() ->
    Reasons = [begin
                   {ok, Pid} = start(Cmd, #{output => none}),
                   {'EXIT', Reason} = next(Pid),
                   Reason
               end || Cmd <- [<<"exit 0">>, <<"exit 9">>, <<"kill -SEGV $$">>]],
    ?assertMatch([normal, {exit_status, 9}, {signal, sigsegv}],
                 [case R of {signal, S, core} -> {signal, S}; _ -> R end || R <- Reasons]).

t_reason_function() ->
    {ok, Pid} = start(<<"exit 9">>, #{reason => fun({exit_status, 9}) -> {shutdown, nine} end}),
    ?assertEqual({'EXIT', {shutdown, nine}}, next(Pid)).

%% Its supervisor, links and monitors have the reason, and its name is free.
t_end_is_told() ->
    {ok, Pid} = start(<<"read x; exit 9">>, #{register => told}),
    Ref = monitor(process, Pid),
    ok = erluv:write(erluv_worker:worker(Pid), <<"\n">>),
    ?assertEqual({'DOWN', {exit_status, 9}}, next(Ref)),
    ?assertEqual({'EXIT', {exit_status, 9}}, next(Pid)),
    ?assertEqual(undefined, whereis(told)).

t_function_that_fails() ->
    {ok, Pid} = start(<<"read x; echo; exec sleep 60">>, #{output => fun(_, _) -> error(oops) end}),
    W = erluv_worker:worker(Pid),
    OsPid = erluv_harness:os_pid(W),
    ok = erluv:write(W, <<"\n">>),
    ?assertMatch({'EXIT', {oops, _}}, next(Pid)),
    ?assertNot(alive(OsPid)).

t_not_started() ->
    ?assertEqual({error, enoent}, start(["no-such-program"], #{})),
    ?assertEqual({error, {no_node, no_such_node}}, erluv_worker:start_link(no_such_node, ["true"], #{})),
    ?assertEqual({error, nodedown}, erluv_worker:start_link('no@where', ["true"], #{})).

t_ready_by_line() ->
    {ok, Pid} = start(<<"echo starting; cat">>, #{output => {pid, self()}, ready => {line, "^starting$"}}),
    ?assertEqual({stdout, <<"starting\n">>}, next(Pid)),
    ok = gen_server:stop(Pid),
    {ok, Other} = start(<<"echo starting; echo up >&2; cat">>, #{output => none, ready => {line, <<"up">>}}),
    until(fun() -> lists:member(<<"up">>, erluv_worker:last_output(Other)) end),
    ok = gen_server:stop(Other).

t_not_ready_in_time() ->
    {error, {not_ready, timeout, [<<"not yet">>]} = Reason} =
        start(<<"echo not yet; exec cat">>, #{ready => {line, "^ready"}, ready_timeout => 300}),
    ?assertEqual("the program was not ready in time: not yet", erluv:format_error(Reason)).

t_ends_before_ready() ->
    {error, {not_ready, {exit_status, 3}, [<<"cannot">>]} = Reason} =
        start(<<"echo cannot; exit 3">>, #{ready => {line, "^ready"}}),
    ?assertEqual("the program ended before it was ready: it ended with status 3: cannot",
                 erluv:format_error(Reason)).

t_stop_is_graceful() ->
    {ok, Pid} = start(<<"trap 'exit 0' TERM; echo; while :; do sleep 0.1; done">>,
                      #{ready => {line, "^$"}, output => none, stderr => null}),
    OsPid = erluv_harness:os_pid(erluv_worker:worker(Pid)),
    ok = gen_server:stop(Pid, shutdown, infinity),
    ?assertEqual({'EXIT', shutdown}, next(Pid)),
    ?assertNot(alive(OsPid)).

t_last_words_of_a_stop() ->
    {ok, Pid} = start(<<"trap 'seq 1000; exit 0' TERM; echo; while :; do sleep 0.1; done">>,
                      #{ready => {line, "^$"}, output => {pid, self()}, stderr => null}),
    {stdout, <<"\n">>} = next(Pid),
    ok = gen_server:stop(Pid),
    ?assertEqual(lists:seq(1, 1000), [begin
                                          {stdout, Line} = next(Pid),
                                          binary_to_integer(string:trim(Line))
                                      end || _ <- lists:seq(1, 1000)]).

t_killed() ->
    {ok, Pid} = start(["sleep", "60"], #{}),
    W = erluv_worker:worker(Pid),
    OsPid = erluv_harness:os_pid(W),
    exit(Pid, kill),
    ?assertEqual({'EXIT', killed}, next(Pid)),
    until(fun() -> not alive(OsPid) end),
    until(fun() -> erluv:info(W) =:= {error, noproc} end).

t_node_is_lost() ->
    process_flag(trap_exit, true),
    {ok, Node} = erluv_node:start_link(#{name => lost_node}),
    {ok, Pid} = erluv_worker:start_link(lost_node, ["sleep", "60"], #{}),
    [] = os:cmd("kill -9 " ++ integer_to_list(erluv:info(lost_node, main_os_pid))),
    ?assertEqual({'EXIT', noconnection}, next(Pid)),
    ok = erluv_node:stop(Node).

init(Children) ->
    {ok, {#{intensity => 10, period => 10}, Children}}.

t_supervised() ->
    process_flag(trap_exit, true),
    {ok, Sup} = supervisor:start_link(?MODULE, [erluv_worker:child_spec({erluv, ["sleep", "60"], [{register, daemon}]})]),
    First = whereis(daemon),
    OsPid = erluv_harness:os_pid(erluv_worker:worker(daemon)),
    ok = erluv:signal(erluv_worker:worker(daemon), sigkill),
    until(fun() -> is_pid(whereis(daemon)) andalso whereis(daemon) =/= First end),
    Second = erluv_harness:os_pid(erluv_worker:worker(daemon)),
    ?assertNotEqual(OsPid, Second),
    exit(Sup, shutdown),
    {'EXIT', shutdown} = next(Sup),
    ?assertEqual([false, false], [alive(OsPid), alive(Second)]).

%% A crash of erluv's child counts as one restart, and no more.
t_supervised_over_a_crash() ->
    process_flag(trap_exit, true),
    {ok, Node} = erluv_node:start_link(#{name => crashes}),
    Spec = erluv_worker:child_spec({crashes, ["sleep", "60"], [{register, daemon}]}),
    {ok, Sup} = supervisor:start_link(?MODULE, [Spec]),
    Worker = erluv_worker:worker(daemon),
    #{child_os_pid := Child} = erluv:info(crashes),
    [] = os:cmd("kill -KILL " ++ integer_to_list(Child)),
    until(fun() -> try erluv_worker:worker(daemon) =/= Worker catch exit:_ -> false end end),
    ok = gen_server:stop(Sup),
    ok = erluv_node:stop(Node).

t_restarts_are_logged() ->
    Events = erluv_harness:logged(
               fun() -> start(<<"exit 1">>, #{restart => permanent, backoff => {1, 2}, max_restarts => {2, 60000}}) end,
               fun({_, Text, _}) -> contains(Text, "more often than max_restarts allows") end),
    ?assertMatch([<<"started again, for the 1. time">>, <<"started again, for the 2. time">>],
                 [Text || {notice, Text, _} <- Events]).

%% Every line arrives, and no more wait than were asked for.
t_slow_function_holds_program() ->
    Self = self(),
    F = fun(stdout, <<"last\n">>) -> Self ! {done, ok};
           (stdout, Line) ->
                {message_queue_len, N} = process_info(self(), message_queue_len),
                put(longest, max(N, longest())),
                put(next, expected() + 1),
                ?assertEqual(expected(), binary_to_integer(string:trim(Line))),
                expected() =:= 20000 andalso (Self ! {longest, longest()})
        end,
    {ok, Pid} = start(<<"seq 20000; echo last">>, #{output => F}),
    ?assert(next(longest) =< 12),
    ok = next(done),
    ?assertEqual({'EXIT', normal}, next(Pid)).

longest() -> case get(longest) of undefined -> 0; N -> N end.
expected() -> case get(next) of undefined -> 0; N -> N end.

t_registered() ->
    {ok, Pid} = start(["cat"], #{register => some_cat}),
    ?assertEqual(Pid, whereis(some_cat)),
    ?assertEqual({error, {already_started, Pid}}, start(["cat"], [{register, some_cat}])),
    ok = gen_server:stop(some_cat).

t_bad_options() ->
    [?assertMatch({Key, Value, {error, {bad_option, Key, _}}}, {Key, Value, start(["cat"], #{Key => Value})})
     || {Key, Value} <- [{output, stdout}, {output, {log, 1}}, {keep, -1}, {ready, "up"}, {ready, {line, "("}},
                         {ready_reply, message}, {reason, 1}, {register, "x"},
                         {owner, self()}, {link, false}, {proxy, {a, b, []}}, {colour, red}]].

t_child_spec() ->
    #{id := ["a", "b"], shutdown := 10000, start := {erluv_worker, start_link, [x, ["a", "b"], #{}]}} =
        erluv_worker:child_spec({x, ["a", "b"], #{}}),
    #{id := y, shutdown := 6000} = erluv_worker:child_spec([x, "a", [{register, y}, {kill_timeout, 1000}]]),
    [?assertMatch({Options, #{shutdown := Time}}, {Options, erluv_worker:child_spec({x, "a", Options})})
     || {Options, Time} <- [{#{stop_sequence => [close, 2000, sigterm, 7000, sigkill]}, 14000},
                            {[{stop_sequence, [sigterm, 7000]}], 12000},
                            {#{stop_sequence => [close, 2000, sigterm]}, 12000},
                            {#{stop_sequence => [2000, {signal, 10}], kill_timeout => 1000}, 8000},
                            {#{stop_sequence => [sigkill]}, 5000},
                            {#{stop_sequence => [2000 | x]}, 10000},
                            {#{stop_sequence => soon, kill_timeout => soon}, 10000}]].
