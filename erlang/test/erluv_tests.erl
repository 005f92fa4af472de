-module(erluv_tests).

-export([erluv_test_/0]).
-export([t_node_gone/0]).
-export([t_node_lost_in_a_call/0]).
-export([t_process_gone/0]).
-export([t_worker_ends_in_a_call/0]).
-export([t_link_is_a_default/0]).
-export([t_link_is_the_functions/0]).
-export([t_options_as_list/0]).
-export([t_named_worker/0]).
-export([t_path/0]).
-export([t_stop_timeout/0]).
-export([t_restart/0]).
-export([t_bad_options/0]).
-export([t_badarg_has_words/0]).
-export([t_words_for_every_reason/0]).
-export([t_server_by_pid_and_node/0]).
-export([t_host/0]).
-export([t_classes/0]).

-include_lib("stdlib/include/assert.hrl").

-import(erluv_harness, [next/1]).

erluv_test_() ->
    erluv_harness:tests(?MODULE).

t_node_gone() ->
    {ok, _} = erluv_node:start_link(#{name => gone}),
    {ok, Node} = erluv_node:node(gone),
    {ok, W} = erluv:spawn(gone, ["sleep", "60"]),
    ok = erluv_node:stop(gone),
    erluv_harness:until(fun() -> not lists:member(Node, nodes(hidden)) end),
    Gone = {error, nodedown},
    [?assertEqual(Gone, F(Node)) || F <- [fun erluv:workers/1, fun erluv:info/1, fun erluv:respawn/1, fun erluv:status/1,
                                    fun erluv:meta/1, fun erluv:classes/1]],
    ?assertEqual(Gone, erluv:status(Node, ready)),
    ?assertEqual(Gone, erluv:drain(Node, infinity)),
    ?assertEqual(Gone, erluv:meta(Node, {remove, "x"})),
    [?assertEqual(Gone, F(Node, ["true"])) || F <- [fun erluv:spawn/2, fun erluv:spawn_link/2,
                                                    fun erluv:spawn_monitor/2, fun erluv:run/2]],
    ?assertEqual(Gone, erluv:watch(Node, "/tmp")),
    ?assertEqual(Gone, erluv:info(Node, version)),
    [?assertEqual(Gone, F(W)) || F <- [fun erluv:close/1, fun erluv:stop/1, fun erluv:restart/1, fun erluv:info/1]],
    ?assertEqual(Gone, erluv:write(W, <<"x">>)),
    ?assertEqual(Gone, erluv:write(W, 3, <<"x">>)),
    ?assertEqual(Gone, erluv:close(W, 3)),
    ?assertEqual(Gone, erluv:read(W, 1)),
    ?assertEqual(Gone, erluv:setopts(W, #{active => once})),
    ?assertEqual(Gone, erluv:signal(W, sigterm)),
    ?assertEqual(Gone, erluv:resize(W, 1, 1)),
    ?assertEqual(ok, erluv:kill(W)),
    ?assertEqual(Gone, erluv:stop({some_name, Node}, 1000)).

t_node_lost_in_a_call() ->
    Self = self(),
    process_flag(trap_exit, true),
    {ok, _} = erluv_node:start_link(#{name => lost}),
    {ok, Node} = erluv_node:node(lost),
    spawn_link(fun() -> Self ! {self(), erluv:run(Node, ["sleep", "60"])} end),
    erluv_harness:until(fun() -> erluv:workers(lost) =/= [] end),
    [] = os:cmd("kill -9 " ++ integer_to_list(erluv:info(Node, main_os_pid))),
    ?assertEqual({error, noconnection}, receive {P, Result} when is_pid(P) -> Result end),
    ok = erluv_node:stop(lost).

t_process_gone() ->
    ?assertEqual({error, {no_node, no_such_process}}, erluv:run(no_such_process, ["true"])),
    {Pid, Ref} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    ?assertEqual({error, {no_node, Pid}}, erluv:run(Pid, ["true"])),
    {ok, Node} = erluv_node:node(erluv),
    ?assertEqual({error, noproc}, erluv:stop({no_such_worker, Node})).

t_worker_ends_in_a_call() ->
    {ok, W} = erluv:spawn(erluv, ["sleep", "60"], #{flow => {active, false}}),
    Self = self(),
    Reader = spawn_link(fun() -> Self ! {self(), erluv:read(W, 100)} end),
    erluv_harness:until(fun() -> process_info(Reader, status) =:= {status, waiting} end),
    % eof or the reason, whichever the reader is told first.
    ok = erluv:kill(W),
    Result = next(Reader),
    ?assert(lists:member(Result, [eof, {error, noproc}, {error, {exit, killed}}])).

t_link_is_a_default() ->
    {ok, W} = erluv:spawn(erluv, <<"exit 1">>),
    ?assertEqual({exit_status, 1}, last(W)),
    process_flag(trap_exit, true),
    {ok, V} = erluv:spawn(erluv, <<"exit 1">>, [{link, true}]),
    ?assertEqual({exit_status, 1}, last(V)),
    ?assertEqual({'EXIT', {exit_status, 1}}, next(V)).

t_link_is_the_functions() ->
    process_flag(trap_exit, true),
    {ok, W} = erluv:spawn_link(erluv, <<"exit 1">>, [{link, false}, {owner, none}]),
    ?assertEqual({'EXIT', {exit_status, 1}}, next(W)).

t_options_as_list() ->
    {ok, W} = erluv:spawn(erluv, ["env"], [{env, [{"A", "b"}]}, {packet, line}]),
    ?assertEqual({stdout, <<"A=b\n">>}, next(W)),
    {ok, T} = erluv:spawn(erluv, ["tty"], [{pty, true}]),
    {stdout, <<"/dev/pts/", _/binary>>} = next(T).

%% A program is looked up in the PATH of this VM, unless it is said where.
t_path() ->
    {ok, #{stdout := Made}} = erluv:run(erluv, "D=$(mktemp -d); cp /bin/echo $D/only-here; echo $D"),
    Dir = string:trim(binary_to_list(Made)),
    Old = os:getenv("PATH"),
    Run = fun(Options) ->
                  case erluv:run(erluv, ["only-here", "x"], Options) of
                      {ok, #{stdout := Out}} -> Out;
                      Error -> Error
                  end
          end,
    ?assertEqual({error, enoent}, Run(#{})),
    true = os:putenv("PATH", Old ++ ":" ++ Dir),
    [?assertEqual({Options, <<"x\n">>}, {Options, Run(Options)})
     || Options <- [#{}, [], [{cd, "/"}], #{env => #{"A" => "1"}}, [{env, [{"PATH", false}]}], #{inherit => ["HOME"]}]],
    [?assertEqual({Options, {error, enoent}}, {Options, Run(Options)})
     || Options <- [#{path => "/bin"}, #{env => #{"PATH" => "/bin"}}, [{env, [{'PATH', <<"/bin">>}]}], #{inherit => ["PATH"]}]],
    true = os:putenv("PATH", Old),
    ?assertEqual(<<"x\n">>, Run(#{path => Dir})),
    {ok, #{exit := {exit_status, 0}}} = erluv:run(erluv, ["rm", "-r", Dir]).

t_named_worker() ->
    {ok, _} = erluv:spawn(erluv, ["cat"], #{name => a_name}),
    {ok, Node} = erluv_node:node(erluv),
    W = {a_name, Node},
    ok = erluv:write(W, <<"x">>),
    #{state := running} = erluv:info(W),
    {ok, {signal, sigterm}} = erluv:stop(W).

t_stop_timeout() ->
    {ok, W} = erluv:spawn(erluv, <<"trap '' TERM; echo; read x">>, #{kill_timeout => 60000}),
    {stdout, _} = next(W),
    ?assertEqual({error, timeout}, erluv:stop(W, 50)),
    ok = erluv:close(W),
    ?assertMatch({exit_status, _}, last(W)).

%% The worker stays, under its pid. A worker without the option is left alone.
t_restart() ->
    {ok, W} = erluv:spawn(erluv, <<"echo $$; sleep 60">>, #{restart => permanent, max_restarts => {0, 60000}}),
    {stdout, First} = next(W),
    [begin
        ?assertEqual(ok, erluv:restart(W)),
        OsPid = receive {W, {restarted, Pid, N}} -> Pid end,
        ?assertMatch(#{os_pid := OsPid}, erluv:info(W)),
        Next = receive {W, {stdout, Data}} when is_binary(Data) -> Data end,
        ?assertNotEqual(First, Next) % the number in its own namespace of pids
     end
     || N <- [1, 2]],
    ?assertMatch({ok, _}, erluv:stop(W)),
    ?assertEqual({error, noproc}, erluv:restart(W)),
    {ok, Once} = erluv:spawn(erluv, ["sleep", "60"]),
    ?assertEqual({error, temporary}, erluv:restart(Once)),
    ?assertMatch(#{state := running}, erluv:info(Once)),
    {ok, _} = erluv:stop(Once),
    ?assertError(badarg, erluv:restart("W")).

t_bad_options() ->
    {error, {bad_option, colour, Why}} = erluv:spawn(erluv, ["true"], #{colour => red}),
    ?assert(is_binary(Why)),
    {error, {bad_option, colour, _}} = erluv:run(erluv, ["true"], [{colour, red}]),
    {error, {bad_option, cmd, _}} = erluv:run(erluv, []).

%% The shell shows them, and so does every crash report.
t_badarg_has_words() ->
    W = {a_name, 'a@node'},
    Cases = [{erluv, spawn, [1, "true"], "argument 1: neither the name of an erluv node"},
             {erluv, spawn_link, ["x", "true", #{}], "argument 1: neither the name of an erluv node"},
             {erluv, spawn_monitor, [x, "true", none], "argument 3: neither a map nor a list"},
             {erluv, run, [x, "true", 1], "argument 3: neither a map nor a list"},
             {erluv, watch, [1, "true"], "argument 1: neither the name"},
             {erluv, write, [x, "y"], "argument 1: neither the pid of a worker nor"},
             {erluv, write, [W, x, "y"], "argument 2: not the number of a descriptor"},
             {erluv, write, [x, 3, "y"], "argument 1"},
             {erluv, close, [1], "argument 1"},
             {erluv, close, [W, stdout], "argument 2"},
             {erluv, close, [x, 3], "argument 1"},
             {erluv, read, [x, 3], "argument 1"},
             {erluv, read, [W, stdout, 0], "argument 3: not a positive integer"},
             {erluv, read, [W, stdin, 1], "argument 2: neither stdout nor stderr"},
             {erluv, setopts, [W, once], "argument 2"},
             {erluv, setopts, [x, []], "argument 1"},
             {erluv, signal, [x, sigterm], "argument 1"},
             {erluv, stop, [x], "argument 1"},
             {erluv, stop, [W, -1], "argument 2: neither a number of milliseconds"},
             {erluv, kill, [W], "argument 1: not the pid of a worker"},
             {erluv, resize, [x, 1, 1], "argument 1"},
             {erluv, resize, [W, 0, 1], "argument 2"},
             {erluv, resize, [W, 1, x], "argument 3"},
             {erluv, info, [1], "argument 1"},
             {erluv, info, [1, x], "argument 1"},
             {erluv, workers, [1], "argument 1"},
             {erluv, respawn, [1], "argument 1"},
             {erluv, status, [1], "argument 1"},
             {erluv, status, [1, ready], "argument 1"},
             {erluv, status, [x, connecting], "argument 2: none of ready, standby"},
             {erluv, drain, [1, 1], "argument 1"},
             {erluv, drain, [x, soon], "argument 2: neither a number of milliseconds"},
             {erluv, meta, [1], "argument 1"},
             {erluv, meta, [1, {update, "x"}], "argument 1"},
             {erluv, meta, [x, {set, "x"}], "argument 2: neither {update, Text}"},
             {erluv, classes, [1], "argument 1"},
             {erluv_node, start_link, [x], "argument 1: neither a map"},
             {erluv_node, child_spec, [x], "argument 1"},
             {erluv_node, node, [1], "argument 1: not a process"},
             {erluv_node, stop, [1], "argument 1"},
             {erluv_worker, start_link, [x, "y", z], "argument 3"},
             {erluv_worker, child_spec, [x], "argument 1"},
             {erluv_worker, worker, [1], "argument 1"},
             {erluv_worker, last_output, [1], "argument 1"}],
    [?assertEqual({M, F, A, true}, {M, F, A, contains(words(M, F, A), Text)})
     || {M, F, A, Text} <- Cases].

words(M, F, A) ->
    try
        apply(M, F, A)
    catch
        error:badarg:Stack ->
            lists:flatten(erl_error:format_exception(error, badarg, Stack))
    end.

contains(Text, Part) -> string:find(Text, Part) =/= nomatch.

%% No reason is shown as the term that it is.
t_words_for_every_reason() ->
    Reasons = [nodedown, noproc, {exit, {exit_status, 1}}, child_down, stopping, {too_large, 5, 4},
               {bad_option, packet, <<"line">>}, {bad_option, cmd, 1}, enoent, eacces, enoexec, e2big, emfile,
               eagain, max_workers, {already_registered, self()}, {max_output, #{stdout => <<>>, stderr => <<>>}},
               {timeout, #{stdout => <<>>, stderr => <<>>}}, {cd, enoent}, {user, unknown}, {user, not_allowed},
               {stdout, eacces}, {3, enospc}, {nice, eacces}, epipe, esrch, enotty, active, timeout, not_alive,
               dynamic_name, {distribution, "no cookie"}, {listen, emfile},
               {already_started, self()}, {no_executable, "erluv"}, {executable, ["erluv"], eacces}, {no_node, erluv}, {no_node, self()},
               {exited, 3, <<"wrong cookie">>}, {shutdown, {stopping, unknown}}, {shutdown, {stopping, shutdown}},
               {exited, 137, <<>>}, {exited, 7, <<255>>}, {not_up, 100, <<>>}, {stopping, shutdown},
               {child_crashed, killed}, {not_ready, timeout, [<<"one">>, <<255>>]},
               {not_ready, {signal, sigkill}, []}, {not_ready, timeout}, watchdog, {signal, sigsegv, core}, normal, noconnection,
               child_crashed, restart_intensity, {error, enoent}, {proxy, undef}, {bad_request, hello},
               {node_not_ready, standby}, {class, unknown}, {class, full}, {class, required}, not_allowed, invalid_tokens, too_many_labels,
               {shutdown, drained},
               {limits, {memory, not_supported}}, {limits, {cpu, einval}}, {limits, enodev}, {signal, sigkill, oom}],
    Texts = [{Reason, erluv:format_error(Reason)} || Reason <- Reasons],
    [?assertEqual({Reason, true}, {Reason, is_list(Text) andalso lists:all(fun is_integer/1, Text)
                                               andalso contains(Text, " ")}) || {Reason, Text} <- Texts],
    ?assertEqual("packet: line", erluv:format_error({bad_option, packet, <<"line">>})),
    [?assertNot(contains(Text, "{")) || {{shutdown, _}, Text} <- Texts],
    ?assertEqual("erluv ended with status 137 (ended by SIGKILL)", erluv:format_error({exited, 137, <<>>})),
    ?assert(contains(erluv:format_error({exited, 3, <<"wrong cookie">>}), "the node refused it): wrong cookie")),
    ?assertEqual("{what,is,this}", erluv:format_error({what, is, this})).

%% Workers of a drained host end as under a supervisor that shuts down; who waits for that is
%% answered, and a restart of the child does not make it ready.
t_host() ->
    {ok, _} = erluv_node:start_link(#{name => host, settings => #{meta => "a;b=c"}}),
    ?assertEqual([{<<"a">>, [{<<"b">>, <<"c">>}]}], erluv:meta(host)),
    {ok, {W, Ref}} = erluv:spawn_monitor(host, ["sleep", "60"]),
    ok = erluv:status(host, standby),
    ?assertEqual({error, {node_not_ready, standby}}, erluv:run(host, ["true"])),
    ?assertMatch(#{state := running}, erluv:info(W)),
    ?assertEqual({ok, []}, erluv:drain(host, 60000)),
    ?assertEqual({shutdown, drained}, receive {'DOWN', Ref, process, W, Why} -> Why end),
    ?assertEqual(stopped, erluv:status(host)),
    [] = os:cmd("kill -9 " ++ integer_to_list(erluv:info(host, child_os_pid))),
    erluv_harness:until(fun() -> is_atom(erluv:status(host)) end),
    ?assertEqual(stopped, erluv:status(host)),
    ok = erluv:status(host, ready),
    {ok, {D, M}} = erluv:spawn_monitor(host, <<"trap '' TERM; echo; while :; do sleep 0.1; done">>, #{kill_timeout => 60000}),
    receive {D, {stdout, _}} -> ok end,
    ?assertEqual({ok, [D]}, erluv:drain(host, 100)),
    ?assertEqual(killed, receive {'DOWN', M, process, D, How} -> How end),
    ok = erluv_node:stop(host).

%% The path of this VM is not handed on for the program of a class, of which the host says where
%% it is.
t_classes() ->
    File = filename:join(erluv_harness:dir(), "classes.conf"),
    ok = file:write_file(File, "run = \"classes\"\n[class.say]\ncommand = [\"/bin/echo\", \"it\"]\nargs = [\"[a-z]+\"]\n"),
    ok = file:change_mode(File, 8#600),
    {ok, _} = erluv_node:start_link(#{name => classes, config => File}),
    ?assertMatch([#{name := <<"say">>, running := 0}], erluv:classes(classes)),
    ?assertMatch({ok, #{stdout := <<"it is\n">>}}, erluv:run(classes, {class, say, ["is"]})),
    ?assertMatch({error, {bad_option, cmd, _}}, erluv:run(classes, {class, say, ["1"]}, [{timeout, 1000}])),
    ?assertEqual({error, {class, required}}, erluv:run(classes, ["true"])),
    process_flag(trap_exit, true),
    {ok, W} = erluv_worker:start_link(classes, {class, <<"say">>, []}, #{}),
    ?assertEqual(normal, receive {'EXIT', W, Reason} -> Reason end),
    ok = erluv_node:stop(classes).

t_server_by_pid_and_node() ->
    {ok, Node} = erluv_node:node(erluv),
    [?assertMatch({ok, #{exit := {exit_status, 0}}}, erluv:run(Server, ["true"]))
     || Server <- [erluv, whereis(erluv), Node]],
    ?assertEqual(erluv:info(Node, main_os_pid), erluv:info(erluv, main_os_pid)).

last(W) ->
    case next(W) of
        {_, eof} -> last(W);
        Message -> Message
    end.
