%% What a user of plain erl sees of erluv: a VM of its own, with the handler that OTP gives it.
-module(erluv_log_tests).

-export([log_test_/0]).
-export([t_seen/0]).
-export([t_program_ends/0]).
-export([t_program_does_not_start/0]).
-export([t_erluv_is_killed/0]).
-export([t_other_handlers_stay/0]).
-export([t_removed_filter_stays_removed/0]).
-export([t_sasl_compatible/0]).
-export([t_domains/0]).

-include_lib("stdlib/include/assert.hrl").

log_test_() ->
    erluv_harness:tests(?MODULE, plain).

%% The words of the executable, of a program, and of a start that fails.
t_seen() ->
    Text = erl([], "{ok, _} = erluv_node:start_link(#{name => loud}),
                    {ok, D} = erluv_worker:start_link(loud, <<\"echo hello; cat\">>, #{ready => {line, \"hello\"}}),
                    {error, _} = erluv_node:start_link(#{name => none, executable => \"/no/such/erluv\"}),
                    #{child_os_pid := C} = erluv:info(loud), [] = os:cmd(\"kill -9 \" ++ integer_to_list(C)),
                    receive {'EXIT', D, _} -> ok end,
                    (fun F() -> case erluv:run(loud, [\"true\"]) of {ok, _} -> ok; _ -> F() end end)()"),
    [?assertMatch({_, {match, _}}, {Line, re:run(Text, ["^", Line], [multiline])})
     || Line <- ["hello$", "the erluv_node none is not started: there is no executable /no/such/erluv",
                 "the child of erluv_[0-9a-f]+@127.0.0.1 crashed: it was ended by sigkill; it ends in \\d+ ms unless there is a new one$",
                 "echo hello; cat: erluv's child crashed, and all workers ended with it$",
                 "erluv_[0-9a-f]+@127.0.0.1 has a new child"]].

%% The line that says so is the first, and the supervisor's report what follows.
t_program_ends() ->
    Text = erl([], "Spec = erluv_worker:child_spec({erluv, [\"sleep\", \"60\"], #{register => sleeper}}),
                    {ok, _} = supervisor:start_link(erluv_again_tests, {one_for_one, [Spec]}),
                    P = whereis(sleeper), Ref = monitor(process, P),
                    ok = erluv:signal(erluv_worker:worker(P), sigkill),
                    receive {'DOWN', Ref, _, _, {signal, sigkill}} -> ok end,
                    (fun F() -> is_pid(whereis(sleeper)) orelse F() end)()"),
    ?assertMatch({match, [_, <<"ERROR">>, <<"sleep 60: it was ended by sigkill">>]},
                 re:run(Text, "^=(.*) REPORT=.*\n(.*)$", [multiline, {capture, all, binary}])),
    ?assertMatch({match, _}, re:run(Text, "^=SUPERVISOR REPORT=", [multiline])),
    ?assertEqual(nomatch, re:run(Text, "^=CRASH REPORT=|terminating", [multiline])),
    ?assert(length(string:split(Text, "\n", all)) =< 20).

%% A line for each start, and of OTP the supervisor's report alone. The caller has the reason.
t_program_does_not_start() ->
    Text = erl([], "S = fun(Cmd, Options) -> erluv_worker:start_link(erluv, Cmd, Options) end,
                    {error, enoent} = S([\"nosuch\"], #{}),
                    {error, {bad_option, tiemout, _}} = S([\"true\"], [{tiemout, 1}]),
                    {error, {bad_option, keep, _}} = S([\"true\"], #{keep => all, register => kept}),
                    {error, {not_ready, {exit_status, 3}, [<<\"no\">>]}} =
                        S(<<\"echo no; exit 3\">>, #{ready => {line, \"yes\"}}),
                    {error, {not_ready, {exit_status, 4}, [<<\"no\">>]}} =
                        S(<<\"echo no; exit 4\">>, #{output => none, packet => line, ready => {line, \"yes\"}}),
                    {error, {no_node, gone}} = erluv_worker:start_link(gone, [\"true\"], #{}),
                    receive Left -> exit(Left) after 0 -> ok end,
                    {error, {exited, 2, _}} = erluv_node:start_link(#{name => wrong, settings => #{no_such => 1}}),
                    Spec = erluv_worker:child_spec({erluv, [\"nosuch\", \"again\"], #{}}),
                    {error, {shutdown, {failed_to_start_child, _, enoent}}} =
                        supervisor:start_link(erluv_again_tests, {one_for_one, [Spec]})"),
    [?assertMatch({_, {match, [_]}}, {Line, re:run(Text, ["^", Line], [multiline, global])})
     || Line <- ["nosuch is not started: there is no such program", "true is not started: tiemout: ",
                 "true is not started: keep: a number of lines$",
                 "echo no; exit 3 is not started: the program ended before it was ready: it ended with status 3$",
                 "echo no; exit 4 is not started: the program ended before it was ready: it ended with status 4: no$",
                 "true is not started: no erluv_node runs as gone: ",
                 "the erluv_node wrong is not started: erluv ended with status 2 ",
                 "nosuch again is not started: ", "=SUPERVISOR REPORT="]],
    ?assertEqual(nomatch, re:run(Text, "^=CRASH REPORT=|terminating", [multiline])).

%% Two programs and all of erluv.
t_erluv_is_killed() ->
    Text = erl([], "Spec = fun(N) -> erluv_worker:child_spec({erluv, [\"sleep\", N], #{}}) end,
                    {ok, _} = erluv_node:start_link(),
                    [begin {ok, _} = supervisor:start_link(erluv_again_tests, {one_for_one, [Spec(N)]}) end || N <- [\"61\", \"62\"]],
                    {ok, Node} = erluv_node:node(erluv),
                    [] = os:cmd(\"kill -9 \" ++ integer_to_list(erluv:info(erluv, main_os_pid))),
                    (fun F() -> case erluv_node:node(erluv) of {ok, Node} -> F(); {ok, _} -> ok end end)(),
                    (fun F() -> length(erluv:workers(erluv)) =:= 2 orelse F() end)()"),
    [?assertMatch({_, {match, _}}, {Line, re:run(Text, ["^", Line, "$"], [multiline])})
     || Line <- ["erluv_node erluv: erluv ended with status 137 \\(ended by SIGKILL\\): it is started anew",
                 "sleep 61: the connection to the erluv node was lost, and its programs end with it",
                 "sleep 62: the connection to the erluv node was lost, and its programs end with it"]],
    ?assertEqual(nomatch, re:run(Text, "^=CRASH REPORT=|terminating", [multiline])).

%% A handler that somebody has set up shows what they want to see.
t_other_handlers_stay() ->
    Handler = "[{handler, default, logger_std_h, #{filter_default => stop, "
              "filters => [{ours, {fun logger_filters:domain/2, {log, sub, [ours]}}}]}}]",
    Text = erl(["-kernel", "logger", Handler],
               "{ok, _} = erluv_worker:start_link(erluv, <<\"echo hello; cat\">>, #{ready => {line, \"hello\"}}),
                {ok, #{filters := [_]}} = logger:get_handler_config(default)"),
    ?assertEqual(<<>>, Text),
    ?assertEqual(<<>>, erl(["-kernel", "logger", "[{handler, default, undefined}]"],
                           "{ok, _} = erluv_worker:start_link(erluv, <<\"echo hello; cat\">>, #{ready => {line, \"hello\"}})")).

%% Who does not want to see it removes the filter.
t_removed_filter_stays_removed() ->
    ?assertEqual(<<>>, erl([], "ok = application:start(erluv),
                                ok = logger:remove_handler_filter(default, erluv),
                                {ok, _} = erluv_worker:start_link(erluv, <<\"echo hello; cat\">>, #{ready => {line, \"hello\"}})")).

%% With this the handler's filter is another one.
t_sasl_compatible() ->
    Text = erl(["-kernel", "logger_sasl_compatible", "true"],
               "{ok, _} = erluv_worker:start_link(erluv, <<\"echo hello; cat\">>, #{ready => {line, \"hello\"}})"),
    ?assertMatch({match, _}, re:run(Text, "^hello$", [multiline])).

%% A handler for programs alone: each report has the worker, its name and command, those of what a
%% function of the user logs too. What concerns the node, or has no domain, is not for it.
t_domains() ->
    Id = erluv_log_domains,
    Filter = {fun logger_filters:domain/2, {log, sub, [erluv, worker]}},
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, all),
    ok = logger:add_handler(Id, erluv_harness, #{config => self(), filter_default => stop, filters => [{programs, Filter}]}),
    process_flag(trap_exit, true),
    try
        {ok, Node} = erluv_node:start_link(#{name => logs}),
        Cmd = [<<"sh">>, <<"-c">>, <<"echo one; exit 3">>],
        {ok, D} = erluv_worker:start_link(logs, Cmd, #{register => lines}),
        {ok, E} = erluv_worker:start_link(logs, <<"echo two">>, #{name => told, output => fun(_, Line) ->
                      logger:notice("mine ~ts", [Line], #{domain => [erluv, worker, mine]}) end}),
        {error, enoent} = erluv_worker:start_link(logs, ["nosuch"], #{register => none}),
        [receive {'EXIT', Pid, _} -> ok end || Pid <- [D, E]],
        ok = gen_server:stop(Node),
        Events = [{Text, Metadata} || {_, Text, Metadata} <- logged()],
        [?assertMatch({_, [#{name := Name}]}, {Text, [Metadata || {T, Metadata} <- Events, string:prefix(T, Text) =/= nomatch]})
         || {Text, Name} <- [{"one", lines}, {"sh -c echo one; exit 3: it ended with status 3", lines}, {"mine two", told},
                             {"nosuch is not started", none}]],
        [?assertMatch({_, #{worker := W, command := C}} when is_pid(W) andalso (C =:= Cmd orelse C =:= <<"echo two">>), Event)
         || {_, #{name := Name}} = Event <- Events, Name =/= none],
        ?assertEqual([], [Event || {_, #{domain := Domain}} = Event <- Events, not lists:prefix([erluv, worker], Domain)])
    after
        ok = logger:remove_handler(Id),
        ok = logger:set_primary_config(level, Level)
    end.

%% What the handler has sent.
logged() ->
    receive {erluv_harness, Event} -> [Event | logged()] after 0 -> [] end.

%% What a VM prints that evaluates this, and ends well.
erl(Args, Expression) ->
    Code = "ok = application:set_env(erluv, executable, " ++ io_lib:format("~0p", [erluv_harness:executable()]) ++ "),
            process_flag(trap_exit, true), " ++ Expression ++ ", (catch logger_std_h:filesync(default)), halt(0, [{flush, true}]).",
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Port = open_port({spawn_executable, Erl},
                     [{args, ["-noshell", "-start_epmd", "false" | erluv_harness:paths()] ++ Args ++ ["-eval", lists:flatten(Code)]},
                      exit_status, binary, stderr_to_stdout]),
    {Text, Status} = output(Port, <<>>),
    ?assertEqual({0, Text}, {Status, Text}),
    % An erluv of an earlier test was killed, and this one has swept what it left.
    re:replace(Text, "=WARNING REPORT=.*\\nmsg=\"leftover processes of an earlier erluv.*\\n+", "", [global, {return, binary}]).

output(Port, Text) ->
    receive
        {Port, {data, Data}} -> output(Port, <<Text/binary, Data/binary>>);
        {Port, {exit_status, Status}} -> {Text, Status}
    end.
