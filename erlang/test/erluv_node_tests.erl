-module(erluv_node_tests).

-export([node_test_/0]).
-export([t_cookie_is_not_seen/0]).
-export([t_environment_has_no_effect/0]).
-export([t_settings/0]).
-export([t_several_nodes/0]).
-export([t_discovered_nodes/0]).
-export([t_config_file/0]).
-export([t_cookie_file/0]).
-export([t_no_executable/0]).
-export([t_executable_with_arguments/0]).
-export([t_words_of_the_executable/0]).
-export([t_refused/0]).
-export([t_not_up_in_time/0]).
-export([t_bad_options/0]).
-export([t_name_taken/0]).
-export([t_logs_what_it_says/0]).
-export([t_event_of_another_is_ignored/0]).
-export([t_stop_waits_for_workers/0]).
-export([t_stop_of_one_that_hangs/0]).
-export([t_killed_owner/0]).
-export([t_killed_with_a_fixed_name/0]).
-export([t_asked_too_early/0]).
-export([t_executable_dies/0]).
-export([t_told_to_stop/0]).
-export([t_told_by_a_signal/0]).
-export([t_supervised/0]).
-export([t_application/0]).
-export([t_vm_is_killed/0]).
-export([t_vm_stops/0]).
-export([t_attach_before/0]).
-export([t_attach_after/0]).
-export([t_attach_by_name/0]).
-export([t_attach_lost_and_back/0]).
-export([t_attach_never_up/0]).
-export([t_respawn/0]).
-export([t_respawn_too_often/0]).
-export([t_respawn_not_wanted/0]).
-export([t_connection_lost/0]).
-export([t_child_crashes/0]).
-export([t_child_crashes_too_often/0]).
-export([t_child_crashes_while_stopping/0]).
-export([t_child_crashes_for_good/0]).

-include_lib("stdlib/include/assert.hrl").

-import(erluv_harness, [next/1, until/1, alive/1]).

node_test_() ->
    erluv_harness:tests(?MODULE, plain).

t_cookie_is_not_seen() ->
    {ok, _} = erluv_node:start_link(),
    Main = integer_to_list(erluv:info(erluv, main_os_pid)),
    Cookie = atom_to_binary(erlang:get_cookie()),
    {ok, Args} = file:read_file(["/proc/", Main, "/cmdline"]),
    Environ = case file:read_file(["/proc/", Main, "/environ"]) of
                  {ok, Text} -> Text;
                  {error, eacces} -> <<>> % not even its own user may
              end,
    ?assertNotEqual(nomatch, binary:match(Args, <<"--node=">>)),
    ?assertEqual(nomatch, binary:match(Args, Cookie)),
    ?assertEqual(nomatch, binary:match(Environ, Cookie)),
    ok = erluv_node:stop(erluv).

%% What the VM was started with is not for an erluv that has its settings from here.
t_environment_has_no_effect() ->
    true = os:putenv("ERLUV_NODE", "nobody@nowhere"),
    true = os:putenv("ERLUV_CONF", "/no/such/file"),
    true = os:putenv("ERLUV_COOKIE", "wrong"),
    try
        {ok, _} = erluv_node:start_link(),
        ok = erluv_node:stop(erluv)
    after
        [true = os:unsetenv(Name) || Name <- ["ERLUV_NODE", "ERLUV_CONF", "ERLUV_COOKIE"]]
    end.

t_settings() ->
    {ok, _} = erluv_node:start_link(#{settings => [{name, a_name}, {max_workers, 3}, {kill_timeout, 7000},
                                                   {path, <<"/bin:/usr/bin">>}, {log_format, "json"},
                                                   {on_disconnect, keep}, {lost_after, 60000}, {discover_interval, 5}]}),
    {ok, Node} = erluv_node:node(erluv),
    ?assertMatch("a_name@" ++ _, atom_to_list(Node)),
    ?assertEqual(3, erluv:info(erluv, max_workers)),
    ok = erluv_node:stop(erluv),
    {ok, _} = erluv_node:start_link([{settings, #{prefix => "other_"}}]),
    {ok, Other} = erluv_node:node(erluv),
    ?assertMatch("other_" ++ _, atom_to_list(Other)),
    ok = erluv_node:stop(erluv).

%% An erluv that other nodes have too: a worker is the same process on all, one that is there
%% later is connected then, and what ends there does not end here.
t_several_nodes() ->
    [First, Second] = [other_name(N) || N <- [1, 2]],
    Peer = other(First, []),
    {ok, _} = erluv_node:start_link(#{settings => #{nodes => [First, atom_to_binary(Second), node()],
                                                    listen => local, allow_nodes => ["shop@*", 'other*@*']}}),
    {ok, Node} = erluv_node:node(erluv),
    {ok, W} = erluv:spawn(erluv, ["sleep", "60"]),
    ok = serves(Peer, Node),
    ?assertMatch(#{cmd := [<<"sleep">>, <<"60">>]}, erluv_harness:call(Peer, erluv, info, [W])),
    Later = other(Second, []),
    ok = serves(Later, Node),
    peer:stop(Peer),
    ?assertEqual([{W, []}], [{P, nodes()} || {P, _} <- erluv:workers(erluv)]),
    ok = erluv_node:stop(erluv),
    peer:stop(Later).

%% By the names in a file; times are milliseconds.
t_discovered_nodes() ->
    Name = other_name(3),
    Peer = other(Name, []),
    File = file(".nodes", [atom_to_list(Name), "\n"]),
    {ok, _} = erluv_node:start_link(#{settings => [{discover, "file:" ++ File}, {discover_interval, 50}, {serve, all}]}),
    {ok, Node} = erluv_node:node(erluv),
    ok = serves(Peer, Node),
    ok = erluv_node:stop(erluv),
    peer:stop(Peer).

other_name(N) ->
    list_to_atom(lists:concat(["other", N, "_", erlang:unique_integer([positive]), "@127.0.0.1"])).

%% A node of this cookie that is not connected with this one.
other(Name, Args) ->
    erluv_harness:peer(["-name", atom_to_list(Name), "-setcookie", atom_to_list(erlang:get_cookie()), "-connect_all", "false",
                        "-kernel", "inet_dist_use_interface", "{127,0,0,1}" | Args]).

serves(Peer, Node) ->
    erluv_harness:until(fun() -> erluv_harness:call(Peer, erlang, nodes, [hidden]) =:= [Node] end).

%% The file goes before the settings.
t_config_file() ->
    File = file(".conf", "max_workers = 5\n"),
    {ok, _} = erluv_node:start_link(#{config => File, settings => #{max_workers => 3}}),
    ?assertEqual(5, erluv:info(erluv, max_workers)),
    ok = erluv_node:stop(erluv),
    ok = file:delete(File).

t_cookie_file() ->
    {ok, _} = erluv_node:start_link(#{cookie => file, settings => #{cookie_file => cookie_file()}}),
    ok = erluv_node:stop(erluv).

cookie_file() ->
    File = file(".cookie", atom_to_list(erlang:get_cookie())),
    ok = file:change_mode(File, 8#400),
    File.

file(Suffix, Content) ->
    {ok, [[Home]]} = init:get_argument(home),
    File = filename:join(Home, integer_to_list(erlang:unique_integer([positive])) ++ Suffix),
    ok = file:write_file(File, Content),
    ok = file:change_mode(File, 8#600),
    File.

t_no_executable() ->
    {error, Reason} = fails(#{executable => "/no/such/erluv"}),
    ?assertEqual({no_executable, "/no/such/erluv"}, Reason),
    Old = application:get_env(erluv, executable),
    ok = application:set_env(erluv, executable, "no-such-erluv"),
    try
        {error, {no_executable, "no-such-erluv"}} = fails(#{})
    after
        case Old of
            undefined -> ok = application:unset_env(erluv, executable);
            {ok, Executable} -> ok = application:set_env(erluv, executable, Executable)
        end
    end.

t_executable_with_arguments() ->
    [Program | Args] = erluv_harness:executable(),
    {ok, _} = erluv_node:start_link(#{executable => [list_to_binary(Program), "--prefix=first_" | Args],
                                      settings => #{max_workers => 7}}),
    ?assertEqual(7, erluv:info(erluv, max_workers)),
    ok = erluv_node:stop(erluv),
    % A program that starts erluv, as sudo does.
    {ok, _} = erluv_node:start_link(#{executable => ["env", "-i", Program | Args], cookie => file,
                                      settings => #{cookie_file => cookie_file(),
                                                    epmd_port => os:getenv("ERL_EPMD_PORT")}}),
    ok = erluv_node:stop(erluv).

t_words_of_the_executable() ->
    {error, {exited, 2, Words} = Reason} = fails(#{settings => #{colour => red}}),
    ?assertEqual(<<"settings: there is no colour: erluv.conf(5) has all that there are">>, Words),
    ?assertEqual("erluv ended with status 2 (usage or configuration): settings: there is no colour: "
                 "erluv.conf(5) has all that there are", erluv:format_error(Reason)),
    % Nobody has typed a flag.
    [?assertEqual({error, {exited, 2, Text}}, fails(#{settings => Settings}))
     || {Settings, Text} <- [{#{max_workerz => 1}, <<"settings: there is no max_workerz: is max_workers meant?">>},
                             {#{max_workers => many},
                              <<"settings: max_workers \"many\" is no number: it takes a number from 1 to 1000000">>},
                             {[{log_level, loud}, {log, 1}],
                              <<"settings: there is no log: erluv.conf(5) has all that there are">>}]],
    % What is no setting stays as it is.
    {error, {exited, 2, Args}} = fails(#{executable => erluv_harness:executable() ++ ["--colour"]}),
    ?assertMatch(<<"unknown flag: --colour", _/binary>>, Args).

t_refused() ->
    {error, {exited, 3, Words}} = fails(#{cookie => 'another cookie'}),
    ?assertMatch({match, _}, re:run(Words, "cookie")).

t_not_up_in_time() ->
    {error, {not_up, 300, Words} = Reason} =
        fails(#{executable => ["/bin/sh", "-c", "echo erluv: I am slow; exec cat"], timeout => 300}),
    ?assertEqual(<<"I am slow">>, Words),
    ?assertEqual("erluv was not up within 300 ms: I am slow", erluv:format_error(Reason)).

t_bad_options() ->
    [?assertMatch({Key, {error, {bad_option, Key, _}}}, {Key, fails(#{Key => Value})})
     || {Key, Value} <- [{attach, "x"}, {timeout, -1}, {timeout, soon}, {respawn, true}, {respawn, {1, 0}},
                         {settings, 1}, {cookie, "x"}, {colour, red}]],
    [?assertMatch({Key, {error, {bad_option, Key, _}}}, {Key, fails(#{settings => #{Key => x}})})
     || Key <- [node, controller, reconnect, detach, cookie, allow_users]],
    [?assertMatch({_, {error, {bad_option, executable, _}}}, {Executable, fails(#{executable => Executable})})
     || Executable <- [5, {}, "", <<>>, [], [{}], no_such]],
    {error, {bad_option, settings, _}} = fails(#{settings => #{name => [{}]}}),
    {error, {bad_option, settings, _}} = fails(#{settings => [max_workers]}),
    {error, {bad_option, path, _}} = fails(#{settings => #{path => {}}}),
    [{error, {bad_option, nodes, _}} = fails(#{settings => #{nodes => Nodes}}) || Nodes <- ['a@h', "a@h", [], <<"a@h">>]],
    {error, {bad_option, settings, _}} = fails(#{attach => any, settings => #{}}).

fails(Options) ->
    process_flag(trap_exit, true),
    erluv_node:start_link(Options).

t_name_taken() ->
    {ok, Pid} = erluv_node:start_link(),
    ?assertEqual({error, {already_started, Pid}}, erluv_node:start_link()),
    ok = erluv_node:stop(erluv).

t_logs_what_it_says() ->
    Script = "echo time=1 level=WARN msg=hot; echo 'erluv: warning: cold'; echo hello; printf 'a\\377\\n'; exit 9",
    Events = erluv_harness:logged(
               fun() -> fails(#{executable => ["/bin/sh", "-c", Script]}) end,
               fun({_, Text, _}) -> Text =:= <<"a", 255/utf8>> end),
    Ours = [{Level, Text} || {Level, Text, #{domain := [erluv]}} <- Events],
    ?assertEqual([{warning, <<"msg=hot">>}, {warning, <<"cold">>}, {notice, <<"hello">>}, {notice, <<"a", 255/utf8>>}],
                 Ours).

%% The default controller is shared by all that are not told another.
t_event_of_another_is_ignored() ->
    Self = self(),
    spawn_link(fun() ->
                       until(fun() -> whereis(erluv) =/= undefined end),
                       erluv ! {erluv, 'foreign@node', {up, #{main_os_pid => 1}}},
                       Self ! sent
               end),
    {ok, _} = erluv_node:start_link(),
    receive sent -> ok end,
    erluv ! {erluv, 'foreign@node', {up, #{main_os_pid => 1}}},
    erluv ! {erluv, 'foreign@node', {child_down, killed, 5000}},
    {ok, Node} = erluv_node:node(erluv),
    ?assertNotEqual('foreign@node', Node),
    ok = erluv_node:stop(erluv).

%% Each worker is given the time that it has, and its last words arrive.
t_stop_waits_for_workers() ->
    {ok, _} = erluv_node:start_link(#{settings => #{kill_timeout => 60000}}),
    Main = erluv:info(erluv, main_os_pid),
    {ok, W} = erluv:spawn(erluv, <<"trap 'sleep 1; echo bye; exit 5' TERM; echo hi; while :; do sleep 0.1; done">>,
                          #{packet => line, stderr => null}),
    ?assertEqual({stdout, <<"hi\n">>}, next(W)),
    ok = erluv_node:stop(erluv),
    ?assertEqual({stdout, <<"bye\n">>}, next(W)),
    ?assertEqual({stdout, eof}, next(W)),
    ?assertEqual({exit_status, 5}, next(W)),
    ?assertNot(alive(Main)).

%% It is not waited for for ever: its stdin is closed, and the process ends.
t_stop_of_one_that_hangs() ->
    {ok, Pid} = erluv_node:start_link(),
    #{main_os_pid := Main, child_os_pid := Child} = erluv:info(erluv),
    signal("STOP", Child),
    signal("STOP", Main),
    ok = gen_server:stop(Pid),
    signal("KILL", Main),
    signal("KILL", Child),
    until(fun() -> not alive(Main) andalso not alive(Child) end).

signal(Signal, OsPid) ->
    [] = os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(OsPid)).

t_killed_owner() ->
    process_flag(trap_exit, true),
    {ok, Pid} = erluv_node:start_link(),
    Main = erluv:info(erluv, main_os_pid),
    {ok, W} = erluv:spawn(erluv, ["sleep", "60"]),
    Sleep = erluv_harness:os_pid(W),
    exit(Pid, kill),
    until(fun() -> not alive(Main) andalso not alive(Sleep) end).

%% The predecessor has the name for as long as its worker takes to end.
t_killed_with_a_fixed_name() ->
    process_flag(trap_exit, true),
    {ok, Sup} = erluv_sup:start_link([#{settings => #{name => always, kill_timeout => 1000}}]),
    First = whereis(erluv),
    {ok, Node} = erluv_node:node(erluv),
    {ok, _} = erluv:spawn(erluv, <<"trap '' TERM; echo ready; while :; do sleep 1; done">>, #{}),
    receive {_, {stdout, <<"ready\n">>}} -> ok end,
    exit(First, kill),
    until(fun() -> is_pid(whereis(erluv)) andalso whereis(erluv) =/= First end),
    ?assertEqual({ok, Node}, erluv_node:node(erluv)),
    ?assertMatch({ok, #{stdout := <<"x\n">>}}, erluv:run(erluv, ["echo", "x"])),
    exit(Sup, shutdown),
    {'EXIT', shutdown} = next(Sup).

%% A process that starts is waited for; one that is not there, or fails to start, is said.
t_asked_too_early() ->
    process_flag(trap_exit, true),
    ?assertEqual({error, {no_node, nothing}}, erluv_node:node(nothing)),
    % It says nothing, and what is asked for must come to the process before its time is over.
    Never = ["/bin/sh", "-c", "exec cat"],
    Slow = ["/bin/sh", "-c", "sleep 1; exec \"$@\"", "sh" | erluv_harness:executable()],
    Starting = fun(Options) ->
                       Starter = spawn_link(fun() ->
                                                    process_flag(trap_exit, true),
                                                    exit({start, erluv_node:start_link(Options)})
                                            end),
                       until(fun() -> is_pid(whereis(slow)) end),
                       Starter
               end,
    S = Starting(#{name => slow, executable => Never, timeout => 5000}),
    ?assertMatch({error, {not_up, 5000, _}}, erluv_node:node(slow)),
    {start, {error, _}} = ended(S),
    Starter = Starting(#{name => slow, executable => Slow, timeout => infinity}),
    ?assertMatch({ok, _}, erluv_node:node(slow)),
    {start, {ok, _}} = ended(Starter).

ended(Pid) -> receive {'EXIT', Pid, Reason} -> Reason end.

t_executable_dies() ->
    process_flag(trap_exit, true),
    {ok, Pid} = erluv_node:start_link(#{respawn => false}),
    {ok, W} = erluv:spawn_link(erluv, ["sleep", "60"]),
    Sleep = erluv_harness:os_pid(W),
    signal("KILL", erluv:info(erluv, main_os_pid)),
    ?assertMatch({'EXIT', {exited, 137, _}}, next(Pid)),
    ?assertMatch({'EXIT', _}, next_exit(W)),
    until(fun() -> not alive(Sleep) end).

next_exit(W) ->
    case next(W) of
        {'EXIT', _} = Exit -> Exit;
        _ -> next_exit(W)
    end.

%% By a request of the node, or by SIGTERM: that is no crash.
t_told_to_stop() ->
    process_flag(trap_exit, true),
    {ok, Pid} = erluv_node:start_link(),
    {ok, Node} = erluv_node:node(Pid),
    ok = gen_server:call({erluv, Node}, {stop, enough}, infinity),
    ?assertEqual({'EXIT', {shutdown, {stopping, enough}}}, next(Pid)).

%% It says by which signal, with the signal's name.
t_told_by_a_signal() ->
    process_flag(trap_exit, true),
    {ok, Pid} = erluv_node:start_link(#{respawn => false, settings => #{log_level => info}}),
    Main = erluv:info(erluv, main_os_pid),
    _ = erluv_harness:logged(fun() -> signal("TERM", Main) end,
                             fun({_, Text, _}) -> Text =:= <<"msg=stopping reason=SIGTERM">> end),
    ?assertEqual({'EXIT', {shutdown, {stopping, shutdown}}}, next(Pid)).

t_supervised() ->
    process_flag(trap_exit, true),
    {ok, Sup} = erluv_sup:start_link([#{}, [{name, second}]]),
    First = whereis(erluv),
    exit(First, kill),
    until(fun() -> is_pid(whereis(erluv)) andalso whereis(erluv) =/= First end),
    {ok, #{stdout := <<"x\n">>}} = erluv:run(erluv, ["echo", "x"]),
    {ok, #{stdout := <<"y\n">>}} = erluv:run(second, ["echo", "y"]),
    Mains = [erluv:info(S, main_os_pid) || S <- [erluv, second]],
    exit(Sup, shutdown),
    {'EXIT', shutdown} = next(Sup),
    ?assertEqual([false, false], [alive(M) || M <- Mains]).

t_application() ->
    ok = application:set_env(erluv, nodes, [#{}]),
    ok = application:start(erluv),
    Main = erluv:info(erluv, main_os_pid),
    {ok, W} = erluv:spawn(erluv, ["sleep", "60"]),
    Sleep = erluv_harness:os_pid(W),
    ok = application:stop(erluv),
    ?assertEqual([false, false], [alive(Main), alive(Sleep)]),
    ok = application:unset_env(erluv, nodes),
    ok = application:start(erluv),
    ok = application:stop(erluv).

t_vm_is_killed() ->
    {Peer, Main, Sleep} = peer_with_worker("killed"),
    process_flag(trap_exit, true),
    signal("KILL", list_to_integer(erluv_harness:call(Peer, os, getpid, []))),
    until(fun() -> not alive(Main) andalso not alive(Sleep) end).

t_vm_stops() ->
    {Peer, Main, Sleep} = peer_with_worker("stopped"),
    process_flag(trap_exit, true),
    ok = erluv_harness:call(Peer, init, stop, []),
    until(fun() -> not alive(Main) andalso not alive(Sleep) end).

peer_with_worker(Name) ->
    Peer = erluv_harness:peer(["-name", Name ++ "@127.0.0.1", "-setcookie", atom_to_list(erlang:get_cookie()),
                               "-kernel", "inet_dist_use_interface", "{127,0,0,1}"]),
    Options = #{executable => erluv_harness:executable()},
    ok = erluv_harness:call(Peer, application, set_env, [erluv, nodes, [Options]]),
    ok = erluv_harness:call(Peer, application, start, [erluv]),
    {ok, W} = erluv_harness:call(Peer, erluv, spawn, [erluv, ["sleep", "60"], #{owner => none}]),
    #{os_pid := Sleep} = erluv_harness:call(Peer, erluv, info, [W]),
    {Peer, erluv_harness:call(Peer, erluv, info, [erluv, main_os_pid]), Sleep}.

t_attach_before() ->
    Port = erluv_harness:open(["--controller", "att1"]),
    {ok, Pid} = erluv_node:start_link(#{attach => any, name => att1, timeout => infinity}),
    check_attached(Pid, Port).

t_attach_after() ->
    Port = erluv_harness:open(["--controller", "att2"]),
    until(fun() -> [] =/= [N || N <- nodes(hidden), erluv:info(N, controller) =:= att2] end),
    {ok, Pid} = erluv_node:start_link(#{attach => any, name => att2}),
    check_attached(Pid, Port).

t_attach_by_name() ->
    Port = erluv_harness:open(["--name", "known"]),
    [_, Host] = string:split(atom_to_list(node()), "@"),
    Node = list_to_atom("known@" ++ Host),
    until(fun() -> lists:member(Node, nodes(hidden)) end),
    {ok, Pid} = erluv_node:start_link(#{attach => Node, name => att3}),
    {ok, Node} = erluv_node:node(Pid),
    check_attached(Pid, Port).

%% It is somebody else's, and stays.
check_attached(Pid, Port) ->
    {ok, #{stdout := <<"x\n">>}} = erluv:run(Pid, ["echo", "x"]),
    {ok, Node} = erluv_node:node(Pid),
    ok = erluv_node:stop(Pid),
    ?assertMatch(#{status := _}, erluv:info(Node)),
    end_erluv(Port).

end_erluv(Port) ->
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    true = port_close(Port),
    until(fun() -> not alive(OsPid) end).

t_attach_lost_and_back() ->
    Port = erluv_harness:open(["--controller", "att4"]),
    {ok, Pid} = erluv_node:start_link(#{attach => any, name => att4, timeout => infinity}),
    {ok, First} = erluv_node:node(Pid),
    end_erluv(Port),
    Self = self(),
    Asker = spawn_link(fun() -> Self ! {self(), erluv:workers(att4)} end),
    receive {Asker, Early} -> error(Early) after 200 -> ok end,
    Again = erluv_harness:open(["--controller", "att4"]),
    ?assertEqual([], next(Asker)),
    {ok, Second} = erluv_node:node(Pid),
    ?assertNotEqual(First, Second),
    ok = erluv_node:stop(Pid),
    end_erluv(Again).

t_attach_never_up() ->
    {error, {not_up, 200, <<>>}} = fails(#{attach => any, name => att5, timeout => 200}).

%% A node that says what an erluv would, since one does not crash when it is to.
with_fake(Name, Options, F) ->
    process_flag(trap_exit, true),
    Self = self(),
    {ok, Peer, Node} = peer:start_link(#{name => peer:random_name(), wait_boot => 120000, host => "127.0.0.1", longnames => true,
                                         args => ["-hidden", "-start_epmd", "false", "-setcookie",
                                                  atom_to_list(erlang:get_cookie()), "-kernel",
                                                  "inet_dist_use_interface", "{127,0,0,1}"
                                                  | erluv_harness:paths()]}),
    Main = spawn(Node, fun() ->
                               true = register(erluv_main, self()),
                               Self ! {self(), registered},
                               forward(Self)
                       end),
    registered = next(Main),
    {ok, Pid} = erluv_node:start_link(Options#{attach => Node, name => Name}),
    F(Pid, Node, Main),
    peer:stop(Peer).

forward(To) ->
    receive Message -> To ! {self(), Message}, forward(To) end.

t_respawn() ->
    with_fake(fake1, #{}, fun(Pid, Node, Main) ->
        Events = erluv_harness:logged(
                   fun() ->
                       fake1 ! {erluv, Node, {child_down, killed, 5000}},
                       ?assertEqual(respawn, next(Main)),
                       fake1 ! {erluv, Node, {child_up, 4711}}
                   end,
                   fun({Level, _, _}) -> Level =:= notice end),
        ?assertMatch([{error, <<"the child of ", _/binary>>, _}, {notice, _, _}],
                     [E || {_, _, #{domain := [erluv]}} = E <- Events]),
        {ok, Node} = erluv_node:node(Pid),
        ok = erluv_node:stop(Pid)
    end).

t_respawn_too_often() ->
    with_fake(fake2, #{respawn => {2, 60000}}, fun(Pid, Node, Main) ->
        [begin
             fake2 ! {erluv, Node, {child_down, killed, 5000}},
             ?assertEqual(respawn, next(Main))
         end || _ <- [1, 2]],
        fake2 ! {erluv, Node, {child_down, killed, 5000}},
        ?assertEqual({'EXIT', {child_crashed, killed}}, next(Pid))
    end).

t_respawn_not_wanted() ->
    with_fake(fake3, #{respawn => false}, fun(Pid, Node, Main) ->
        fake3 ! {erluv, Node, {child_down, killed, 5000}},
        {ok, Node} = erluv_node:node(Pid), % it has had the event
        Main ! last, % and what it had sent would have come before
        ?assertEqual(last, next(Main)),
        ok = erluv_node:stop(Pid)
    end).

%% An erluv of ours does not connect again by itself: another one is started.
t_connection_lost() ->
    process_flag(trap_exit, true),
    {ok, Pid} = erluv_node:start_link(#{respawn => false}),
    {ok, Node} = erluv_node:node(Pid),
    true = erlang:disconnect_node(Node),
    ?assertMatch({'EXIT', {exited, 1, _}}, next(Pid)).

%% All workers end, the node stays, and soon there is a child again.
t_child_crashes() ->
    process_flag(trap_exit, true),
    {ok, Pid} = erluv_node:start_link(),
    {ok, Node} = erluv_node:node(Pid),
    #{child_os_pid := Child} = erluv:info(erluv),
    {ok, {W, Ref}} = erluv:spawn_monitor(erluv, ["sleep", "60"]),
    Sleep = erluv_harness:os_pid(W),
    signal("KILL", Child),
    ?assertEqual({'DOWN', child_crashed}, next(Ref)),
    until(fun() -> element(1, erluv:run(erluv, ["true"])) =:= ok end),
    ?assertNotEqual(Child, erluv:info(erluv, child_os_pid)),
    ?assertEqual({ok, Node}, erluv_node:node(Pid)),
    ?assertNot(alive(Sleep)),
    ok = erluv_node:stop(Pid).

t_child_crashes_too_often() ->
    process_flag(trap_exit, true),
    {ok, Pid} = erluv_node:start_link(#{respawn => {0, 1000}, settings => #{die_timeout => 60000}}),
    #{child_os_pid := Child, main_os_pid := Main} = erluv:info(erluv),
    signal("KILL", Child),
    ?assertMatch({'EXIT', {child_crashed, _}}, next(Pid)),
    until(fun() -> not alive(Main) end).

%% Nothing is left that could be waited for: not before die_timeout.
t_child_crashes_while_stopping() ->
    {ok, Pid} = erluv_node:start_link(#{settings => #{die_timeout => 3600000, kill_timeout => 3600000}}),
    #{child_os_pid := Child, main_os_pid := Main} = erluv:info(erluv),
    {ok, W} = erluv:spawn(erluv, <<"trap '' TERM; echo ready; while :; do sleep 0.1; done">>, #{packet => line}),
    receive {W, {stdout, <<"ready\n">>}} -> ok end,
    Ref = monitor(process, Pid),
    spawn(fun() -> erluv_node:stop(Pid) end),
    until(fun() -> maps:get(state, erluv:info(W)) =:= stopping end),
    signal("KILL", Child),
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    until(fun() -> not alive(Main) end).

t_child_crashes_for_good() ->
    process_flag(trap_exit, true),
    {ok, Pid} = erluv_node:start_link(#{respawn => false, settings => #{die_timeout => 300}}),
    #{child_os_pid := Child} = erluv:info(erluv),
    signal("KILL", Child),
    ?assertMatch({'EXIT', {exited, 4, _}}, next(Pid)).
