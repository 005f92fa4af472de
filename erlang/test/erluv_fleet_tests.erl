%% Control nodes, which are this one and peers, and hosts, which are erluvs of different names.
-module(erluv_fleet_tests).

-export([fleet_test_/0]).
-export([t_hosts_and_filters/0]).
-export([t_other_nodes_are_no_hosts/0]).
-export([t_found_before_it_is_named/0]).
-export([t_states/0]).
-export([t_strategies/0]).
-export([t_full_and_none/0]).
-export([t_thousand_at_once/0]).
-export([t_many_callers/0]).
-export([t_counts_by_events/0]).
-export([t_place_is_used_once/0]).
-export([t_place_of_who_starts_without_the_fleet/0]).
-export([t_host_is_fuller_than_counted/0]).
-export([t_host_dies/0]).
-export([t_unreachable_and_lost/0]).
-export([t_child_crashes/0]).
-export([t_fleet_restarts/0]).
-export([t_call_all/0]).
-export([t_through_another/0]).
-export([t_relayed_end/0]).
-export([t_relayed_owner/0]).
-export([t_relayed_output_waits/0]).
-export([t_relayed_calls/0]).
-export([t_control_dies/0]).
-export([t_control_dies_in_a_run/0]).
-export([t_caller_of_a_run_dies/0]).
-export([t_host_of_two/0]).
-export([t_one_of_two_connections_ends/0]).
-export([t_wrong_arguments/0]).
-export([t_document/0]).

-include_lib("stdlib/include/assert.hrl").

-import(erluv_harness, [next/1, until/1]).
-import(erluv_fleet_harness, [fleet/0, fleet/1, control/0, up/1, up/2, event/2, started/2, stopped/1, end_host/1, signal/2, end_control/1,
                              names/1, one/1, workers/1]).

fleet_test_() ->
    erluv_harness:tests(?MODULE, plain).

t_hosts_and_filters() ->
    fleet(),
    ?assertEqual([], erluv_fleet:nodes()),
    {A, _} = up(["--meta", "core;group=g1;master, gpu;size=2"]),
    {B, _} = up(["--meta", "core;group=g2, disk;group=g1"]),
    Self = node(),
    ?assertMatch(#{status := ready, via := Self, class := [], workers := 0, free := 10000, load := #{cpus := _},
                   memory := #{total := _}, disks := [_ | _], version := <<_, _/binary>>, since := _,
                   meta := [{<<"core">>, [{<<"group">>, <<"g1">>}, <<"master">>]}, {<<"gpu">>, _}]}, one(A)),
    Both = lists:sort([A, B]),
    ?assertEqual(Both, names(#{status => ready, via => node()})),
    ?assertEqual(Both, names(#{meta => #{group => g1}})),
    ?assertEqual([A], names(#{meta => #{{core, group} => "g1"}})),
    ?assertEqual([A], names(#{meta => #{master => true, gpu => true, size => 2}})),
    ?assertEqual([B], names(#{meta => #{"disk" => true}})),
    ?assertEqual([], names(#{meta => #{group => true}})),
    ?assertEqual([], names(#{meta => #{{none, group} => g1}})),
    ?assertEqual([], names(#{class => backup})),
    ?assertEqual([B], names(fun(#{node := Node}) -> Node =:= B end)),
    ok = erluv:meta(B, {update, "new"}),
    until(fun() -> names(#{meta => #{new => true}}) =:= [B] end).

%% A program of another control node that the host tells of first: subscribers know it by its own
%% pid, then by that of the process that stands for it, and each has one end.
t_found_before_it_is_named() ->
    until(fun() -> ets:whereis(erluv_fleet_hosts) =:= undefined end), % that of the test before
    ok = erluv_fleet_table:new(),
    Worker = spawn(fun() -> ok end),
    Task = spawn(fun() -> ok end),
    Next = fun() -> receive {erluv_fleet, {What, h, Pid, Of}} -> {What, Pid, Of} after 0 -> none end end,
    V1 = erluv_fleet_views:put(h, {#{node => h, status => ready, via => node(), max_workers => 9, load => #{cpus => 2}}, #{}}, own, erluv_fleet_views:new()),
    V2 = erluv_fleet_views:subscribe(self(), V1),
    V3 = erluv_fleet_views:started(h, Worker, #{cmd => [a]}, own, V2),
    ?assertMatch({task_started, Worker, _}, Next()),
    V4 = erluv_fleet_views:started(h, Worker, #{cmd => [a], task => Task}, own, V3),
    ?assertEqual({task_stopped, Worker, {task, Task}}, Next()),
    ?assertMatch({task_started, Task, _}, Next()),
    V5 = erluv_fleet_views:started(h, Worker, #{cmd => [a], task => Task}, own, V4),
    ?assertEqual(none, Next()),
    _ = erluv_fleet_views:stopped(h, Worker, normal, own, V5),
    ?assertEqual({task_stopped, Task, normal}, Next()),
    ?assertEqual(none, Next()).

%% Hidden nodes, and erluvs that have another controller.
t_other_nodes_are_no_hosts() ->
    fleet(),
    {ok, _} = erluv_node:start_link(#{name => not_of_the_fleet}),
    {ok, Other} = erluv_node:node(not_of_the_fleet),
    {A, _} = up([]),
    ?assertEqual([A], names(#{})),
    restarted(), % it looks at those that are there
    until(fun() -> names(#{}) =:= [A] end),
    ?assertEqual({error, {unreachable, Other}}, erluv_fleet:run(Other, ["true"], #{})),
    ok = erluv_node:stop(not_of_the_fleet).

t_states() ->
    fleet(),
    {A, _} = up([]),
    {ok, W} = erluv_fleet:spawn(A, ["sleep", "600"], #{}),
    ok = erluv_fleet:set_status(A, standby),
    ?assertEqual([A], names(#{status => standby})), % at once
    ?assertMatch(#{status := standby}, event(status, A)),
    ?assertEqual({error, {none, #{}}}, erluv_fleet:place(#{}, spread)),
    ?assertEqual({error, {node_not_ready, standby}}, erluv_fleet:spawn(A, ["true"], #{})),
    ?assertEqual({ok, []}, erluv_fleet:drain(A, 60000)),
    ?assertEqual({shutdown, drained}, stopped(W)),
    until(fun() -> names(#{status => stopped}) =:= [A] end),
    ?assertEqual(0, workers(A)),
    ok = erluv_fleet:set_status(A, ready),
    ?assertEqual({ok, A}, erluv_fleet:place(#{}, spread)).

t_strategies() ->
    fleet(),
    [{A, _}, {B, _}] = Hosts = [up([]) || _ <- [1, 2]],
    [First, Second] = lists:sort([A, B]),
    ?assertEqual([{ok, First}, {ok, Second}, {ok, First}], [erluv_fleet:place(#{}, spread) || _ <- [1, 2, 3]]),
    ?assertEqual([{ok, Second}, {ok, First}], [erluv_fleet:place(#{}, least_loaded) || _ <- [1, 2]]),
    ?assertEqual({ok, Second}, erluv_fleet:place(#{}, fun(Free) -> 2 = length(Free), Second end)),
    ?assertError({bad_place, other}, erluv_fleet:place(#{}, fun(_) -> other end)),
    Random = [erluv_fleet:place(#{}, random) || _ <- lists:seq(1, 100)],
    ?assertEqual(lists:sort([{ok, Node} || {Node, _} <- Hosts]), lists:usort(Random)).

t_full_and_none() ->
    fleet(),
    {A, _} = up(["--max-workers", "2"]),
    {B, _} = up(["--max-workers", "1"]),
    Placed = [erluv_fleet:place(#{}, How) || How <- [spread, random, fun([#{node := Node} | _]) -> Node end]],
    ?assertEqual(lists:sort([{ok, A}, {ok, A}, {ok, B}]), lists:sort(Placed)),
    Full = {error, {full, #{A => 2, B => 1}}},
    [?assertEqual(Full, erluv_fleet:place(#{}, How)) || How <- [spread, least_loaded, random, fun(_) -> A end]],
    ?assertEqual({error, {full, #{B => 1}}}, erluv_fleet:run(#{node => B}, ["true"], #{})),
    ?assertEqual({error, {none, #{version => "9"}}}, erluv_fleet:place(#{version => "9"}, spread)).

%% And all of them have a place again when the process that has placed them ends.
t_thousand_at_once() ->
    fleet(),
    Hosts = [A || {A, _} <- [up([]) || _ <- [1, 2, 3, 4]]],
    Self = self(),
    Placer = spawn_link(fun() ->
                                Self ! {self(), [erluv_fleet:place(#{}, least_loaded) || _ <- lists:seq(1, 1000)]},
                                receive done -> ok end
                        end),
    Placed = next(Placer),
    ?assertEqual([250], lists:usort([length([x || {ok, Node} <- Placed, Node =:= A]) || A <- Hosts])),
    ?assertEqual([9750], lists:usort([Free || #{free := Free} <- erluv_fleet:nodes()])),
    Placer ! done,
    until(fun() -> [10000] =:= lists:usort([Free || #{free := Free} <- erluv_fleet:nodes()]) end).

%% Programs that run, started by many processes at the same moment.
t_many_callers() ->
    fleet(),
    Hosts = [A || {A, _} <- [up([]) || _ <- [1, 2, 3]]],
    Started = erluv_harness:at_once(30, erluv_fleet, spawn, [#{}, ["sleep", "600"], #{owner => self()}]),
    ?assertEqual(30, length([W || {ok, W} <- Started])),
    ?assertEqual([10], lists:usort([length(erluv:workers(A)) || A <- Hosts])),
    until(fun() -> [{9990, 10}] =:= lists:usort([{Free, Workers} || #{free := Free, workers := Workers} <- erluv_fleet:nodes()]) end).

t_counts_by_events() ->
    fleet(),
    {A, _} = up([]),
    {ok, W} = erluv_fleet:spawn(#{}, ["cat"], #{link => true}),
    ?assertMatch(#{cmd := [<<"cat">>]}, started(A, W)),
    until(fun() -> maps:get(free, one(A)) =:= 9999 end), % where it has been found before it was told, one more is held
    ?assertEqual(1, workers(A)),
    ok = erluv:close(W),
    ?assertEqual(normal, stopped(W)),
    ?assertMatch(#{workers := 0, free := 10000}, one(A)),
    ?assertMatch({error, enoent}, erluv_fleet:spawn(#{}, ["no-such-program"], #{})),
    ?assertMatch({error, {bad_option, colour, _}}, erluv_fleet:run(#{}, ["true"], #{colour => red})),
    until(fun() -> maps:get(free, one(A)) =:= 10000 end).

t_place_is_used_once() ->
    fleet(#{refresh => infinity, hold => 600000}),
    {A, _} = up(["--max-workers", "2"]),
    {ok, A} = erluv_fleet:place(#{}, spread),
    {ok, W} = erluv_fleet:spawn(A, ["sleep", "600"], []),
    _ = started(A, W),
    until(fun() -> maps:get(free, one(A)) =:= 1 end),
    {ok, _} = erluv_fleet:spawn(A, ["sleep", "600"], []),
    ?assertEqual({error, {full, #{A => 2}}}, erluv_fleet:place(#{}, spread)).

%% The host is asked what runs there when the place is over.
t_place_of_who_starts_without_the_fleet() ->
    fleet(#{refresh => infinity, hold => 50}),
    {A, _} = up([]),
    {ok, A} = erluv_fleet:place(#{}, spread),
    {ok, W} = erluv:spawn(A, ["sleep", "600"]),
    ?assertMatch(#{cmd := [<<"sleep">>, <<"600">>]}, started(A, W)),
    until(fun() -> maps:get(free, one(A)) =:= 9999 end).

t_host_is_fuller_than_counted() ->
    fleet(),
    {A, _} = up(["--max-workers", "1"]),
    {ok, W} = erluv:spawn(A, ["sleep", "600"]),
    ?assertEqual({error, {full, #{A => 1}}}, erluv_fleet:spawn(#{}, ["true"], #{})),
    _ = started(A, W),
    ?assertEqual({error, {full, #{A => 1}}}, erluv_fleet:run(A, ["true"], #{})),
    until(fun() -> erluv_fleet:place(#{}, spread) =:= {error, {full, #{A => 1}}} end),
    {ok, _} = erluv:stop(W),
    until(fun() -> erluv_fleet:place(#{}, spread) =:= {ok, A} end).

t_host_dies() ->
    fleet(),
    {A, _} = Host = up([]),
    {B, _} = up([]),
    {ok, W} = erluv_fleet:spawn(A, ["sleep", "600"], #{}),
    _ = started(A, W),
    end_host(Host),
    Told = receive {erluv_fleet, Event} when element(2, Event) =:= A -> Event end,
    ?assertMatch({down, A, #{status := not_connected}}, Told),
    ?assertEqual(noconnection, stopped(W)),
    ?assertEqual([B], names(#{})),
    ?assertEqual({ok, B}, erluv_fleet:place(#{}, spread)).

t_unreachable_and_lost() ->
    fleet(),
    {A, _} = Host = up([]),
    Self = self(),
    Runner = spawn_link(fun() -> Self ! {self(), erluv_fleet:run(A, ["sleep", "600"], #{})} end),
    until(fun() -> length(erluv:workers(A)) =:= 1 end),
    end_host(Host),
    ?assertEqual({error, {lost, A}}, next(Runner)),
    _ = event(down, A),
    [?assertEqual({error, {unreachable, A}}, F())
     || F <- [fun() -> erluv_fleet:run(A, ["true"], #{}) end, fun() -> erluv_fleet:spawn(A, ["true"], #{}) end,
              fun() -> erluv_fleet:drain(A, 0) end, fun() -> erluv_fleet:set_status(A, ready) end]],
    "no control node is connected with the host " ++ _ = erluv:format_error({unreachable, A}).

t_child_crashes() ->
    fleet(),
    {A, _} = up([]),
    {ok, W} = erluv_fleet:spawn(A, ["sleep", "600"], #{}),
    _ = started(A, W),
    signal("KILL", erluv:info(A, child_os_pid)),
    ?assertEqual(child_crashed, stopped(W)),
    ?assertMatch(#{status := launching}, event(status, A)),
    ?assertMatch(#{status := ready}, event(status, A)),
    ?assertMatch({ok, _}, erluv_fleet:run(#{}, ["true"], #{})).

%% What runs is counted anew.
t_fleet_restarts() ->
    fleet(),
    {A, _} = up([]),
    {ok, W} = erluv_fleet:spawn(A, ["sleep", "600"], #{}),
    _ = started(A, W),
    restarted(),
    until(fun() -> names(#{}) =:= [A] end),
    ?assertMatch(#{workers := 1, free := 9999}, one(A)).

restarted() ->
    First = whereis(erluv_fleet),
    exit(First, kill),
    until(fun() -> is_pid(whereis(erluv_fleet)) andalso whereis(erluv_fleet) =/= First end),
    ok = erluv_fleet:subscribe(). % it answers once it has its table

t_call_all() ->
    fleet(),
    [{A, _}, {B, _} = Host] = [up([]) || _ <- [1, 2]],
    ?assertEqual(lists:sort([{A, ready}, {B, ready}]), erluv_fleet:call_all(#{}, {status, get})),
    ?assertMatch([{A, {error, {bad_request, nonsense}}}], erluv_fleet:call_all(#{node => A}, nonsense)),
    end_host(Host),
    _ = event(down, B),
    ?assertEqual([{A, ready}], erluv_fleet:call_all(#{}, {status, get})).

%% A host that only the other one is connected with.
t_through_another() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control], ["--meta", "x"]),
    ?assertNot(lists:member(A, nodes(connected))),
    ?assertMatch(#{via := Control, status := ready, workers := 0}, one(A)),
    ?assertEqual({ok, A}, erluv_fleet:place(#{meta => #{x => true}}, least_loaded)),
    ?assertMatch({ok, #{stdout := <<"hi">>}}, erluv_fleet:run(A, ["cat"], #{input => <<"hi">>})),
    ?assertEqual({error, enoent}, erluv_fleet:run(#{}, ["no-such-program"], #{})),
    {ok, W} = erluv_fleet:spawn(#{}, ["cat"], #{packet => line}),
    ?assertEqual(Control, node(W)),
    ?assertMatch(#{cmd := [<<"cat">>]}, started(A, W)),
    ?assertEqual(1, workers(A)),
    ok = erluv:write(W, <<"one\n">>),
    ?assertEqual({stdout, <<"one\n">>}, next(W)),
    W ! {self(), {command, <<"two\n">>}},
    ?assertEqual({stdout, <<"two\n">>}, next(W)),
    ok = erluv:close(W),
    ?assertEqual([{stderr, eof}, {stdout, eof}], lists:sort([next(W), next(W)])),
    ?assertEqual({exit_status, 0}, next(W)),
    ?assertEqual(normal, stopped(W)),
    ok = erluv_fleet:set_status(A, standby),
    ?assertEqual([A], names(#{status => standby})),
    ?assertEqual([{A, standby}], erluv_fleet:call_all(#{}, {status, get})),
    ?assertEqual({ok, []}, erluv_fleet:drain(A, 60000)),
    peer:stop(Peer),
    ?assertMatch(#{status := not_connected}, event(down, A)),
    ?assertEqual({error, {unreachable, A}}, erluv_fleet:run(A, ["true"], #{})).

%% As of a worker: how it ends is the exit reason, and its end is that of the program.
t_relayed_end() ->
    process_flag(trap_exit, true),
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control], []),
    {ok, W} = erluv_fleet:spawn(A, <<"exit 3">>, #{link => true}),
    receive {'EXIT', W, Reason} -> ?assertEqual({exit_status, 3}, Reason) end,
    Ignores = <<"trap '' TERM; echo; while :; do sleep 0.1; done">>,
    {ok, K} = erluv_fleet:spawn(A, Ignores, #{kill_timeout => 600000, packet => line}),
    {stdout, _} = next(K),
    ok = erluv:kill(K),
    ?assertEqual(killed, stopped(K)),
    until(fun() -> [] =:= erluv_harness:call(Peer, erluv, workers, [A]) end),
    {ok, S} = erluv_fleet:spawn(A, ["sleep", "600"], #{}),
    ok = gen_server:stop(S, enough, 120000),
    ?assertEqual(enough, stopped(S)),
    {ok, E} = erluv_fleet:spawn(A, ["sleep", "600"], #{}),
    exit(E, enough),
    ?assertEqual(enough, stopped(E)),
    peer:stop(Peer).

%% Its owner is the caller, or another, or none; the program is stopped when that ends.
t_relayed_owner() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control], []),
    Self = self(),
    Start = fun(Options) ->
                    Pid = spawn(fun() ->
                                        Self ! {self(), erluv_fleet:spawn(A, ["sleep", "600"], Options)},
                                        receive done -> ok end
                                end),
                    {ok, W} = next(Pid),
                    _ = started(A, W),
                    Pid ! done,
                    W
            end,
    _ = stopped(Start(#{})),
    Kept = Start(#{detached => true}),
    Given = Start(#{owner => self()}),
    None = Start(#{owner => none}),
    ?assertEqual(3, workers(A)),
    {ok, {signal, sigterm}} = erluv:stop(Given),
    ?assertEqual([{stderr, eof}, {stdout, eof}], lists:sort([next(Given), next(Given)])),
    ?assertEqual({signal, sigterm}, next(Given)),
    [{ok, _} = erluv:stop(W) || W <- [Kept, None]],
    [_ = stopped(W) || W <- [Given, Kept, None]],
    ?assertMatch({error, {bad_option, stdout, _}}, erluv_fleet:spawn(A, ["true"], #{stdout => {pid, self()}})),
    peer:stop(Peer).

%% A program does not fill the mailbox of an owner that does not read, and goes on when it does.
t_relayed_output_waits() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control], []),
    Size = 64 bsl 20,
    Self = self(),
    Reader = spawn_link(fun() ->
                                {ok, W} = erluv_fleet:spawn(A, ["head", "-c", integer_to_list(Size), "/dev/zero"], #{}),
                                [self() ! {other, N} || N <- lists:seq(1, 1000)], % which it does not take
                                receive go -> Self ! {self(), count(W, 0)} end
                        end),
    until(fun() -> queued(Reader) > 1 bsl 20 end),
    steady(Reader, queued(Reader), 50),
    ?assert(queued(Reader) < 16 bsl 20),
    Reader ! go,
    ?assertEqual(Size, next(Reader)),
    peer:stop(Peer).

count(W, N) ->
    receive
        {W, {stdout, Data}} when is_binary(Data) -> count(W, N + byte_size(Data));
        {W, {exit_status, 0}} -> N
    end.

queued(Pid) ->
    {messages, Messages} = process_info(Pid, messages),
    lists:sum([byte_size(Data) || {_, {stdout, Data}} <- Messages, is_binary(Data)]).

%% Until nothing has come for so many looks.
steady(_, _, 0) -> ok;
steady(Pid, Before, N) ->
    receive after 10 -> ok end,
    case queued(Pid) of
        Before -> steady(Pid, Before, N - 1);
        More -> steady(Pid, More, 50)
    end.

t_relayed_calls() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control], []),
    {ok, W} = erluv_fleet:spawn(A, ["cat"], [{flow, {active, false}}]),
    ok = erluv:write(W, <<"abc">>),
    ?assertEqual({ok, <<"abc">>}, erluv:read(W, 10)),
    ?assertMatch(#{state := running, os_pid := _}, erluv:info(W)),
    ?assertEqual({error, enotty}, erluv:resize(W, 10, 10)),
    ?assertEqual({error, {bad_request, nonsense}}, gen_server:call(W, nonsense, infinity)),
    Self = self(),
    New = spawn_link(fun() -> receive {W, Message} -> Self ! {self(), Message} end end),
    ok = erluv:setopts(W, #{owner => New, active => true}),
    ok = erluv:write(W, <<"def">>),
    ?assertEqual({stdout, <<"def">>}, next(New)), % and it ends
    _ = stopped(W),
    peer:stop(Peer).

%% Its host comes here, and nothing of what ran is left.
t_control_dies() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control, node()], []),
    {ok, W} = erluv_fleet:spawn(A, ["sleep", "600"], #{}),
    _ = started(A, W),
    end_control(Peer),
    ?assertEqual(noconnection, stopped(W)),
    until(fun() -> [node()] =:= [Via || #{via := Via, status := ready} <- erluv_fleet:nodes()] end),
    ?assertMatch({ok, _}, erluv_fleet:run(A, ["true"], #{})),
    until(fun() -> workers(A) =:= 0 end).

t_control_dies_in_a_run() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control], []),
    Self = self(),
    Runner = spawn_link(fun() -> Self ! {self(), erluv_fleet:run(A, ["sleep", "600"], #{})} end),
    until(fun() -> length(erluv_harness:call(Peer, erluv, workers, [A])) =:= 1 end),
    end_control(Peer),
    ?assertEqual({error, {lost, A}}, next(Runner)).

t_caller_of_a_run_dies() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control], []),
    Runner = spawn(fun() -> erluv_fleet:run(A, ["sleep", "600"], #{}) end),
    until(fun() -> length(erluv_harness:call(Peer, erluv, workers, [A])) =:= 1 end),
    exit(Runner, kill),
    until(fun() -> [] =:= erluv_harness:call(Peer, erluv, workers, [A]) end),
    until(fun() -> maps:get(free, one(A)) =:= 10000 end),
    peer:stop(Peer).

%% Both count what either of them starts or promises.
t_host_of_two() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control, node()], ["--serve", "all", "--max-workers", "3"]),
    until(fun() -> lists:member(A, erluv_harness:call(Peer, erlang, nodes, [hidden])) andalso lists:member(A, nodes(hidden)) end),
    Here = fun() -> [{Via, Workers, Free} || #{via := Via, workers := Workers, free := Free} <- erluv_fleet:nodes()] end,
    There = fun() -> [{Via, Workers, Free} || #{via := Via, workers := Workers, free := Free} <- erluv_harness:call(Peer, erluv_fleet, nodes, [])] end,
    until(fun() -> {Here(), There()} =:= {[{node(), 0, 3}], [{Control, 0, 3}]} end),
    {ok, W} = erluv_fleet:spawn(A, ["sleep", "600"], #{}),
    _ = started(A, W),
    until(fun() -> {Here(), There()} =:= {[{node(), 1, 2}], [{Control, 1, 2}]} end),
    {ok, V} = erluv_harness:call(Peer, erluv_fleet, spawn, [A, ["sleep", "600"], #{owner => none}]),
    _ = started(A, V),
    until(fun() -> {Here(), There()} =:= {[{node(), 2, 1}], [{Control, 2, 1}]} end),
    {ok, A} = erluv_fleet:place(#{}, spread),
    until(fun() -> There() =:= [{Control, 2, 0}] end),
    ?assertEqual({error, {full, #{A => 3}}}, erluv_harness:call(Peer, erluv_fleet, place, [#{}, spread])),
    [{ok, _} = erluv:stop(X) || X <- [W, V]],
    [_ = stopped(X) || X <- [W, V]],
    until(fun() -> {Here(), There()} =:= {[{node(), 0, 2}], [{Control, 0, 2}]} end),
    [receive {erluv_fleet, {task_stopped, A, X, _}} -> error({twice, X}) after 0 -> ok end || X <- [W, V]],
    peer:stop(Peer).

%% The host is reached through the other one then, and only the programs have stopped that went with the
%% connection.
t_one_of_two_connections_ends() ->
    fleet(),
    {Peer, Control} = control(),
    {A, Port} = up([Control, node()], ["--serve", "all"]),
    until(fun() -> [Control] =:= [Via || #{via := Via} <- erluv_harness:call(Peer, erluv_fleet, nodes, [])] end),
    until(fun() -> maps:get(via, one(A)) =:= node() end), % or W would go through the other one, and end with it
    {ok, V} = erluv_harness:call(Peer, erluv_fleet, spawn, [A, ["sleep", "600"], #{owner => none, detached => true}]),
    _ = started(A, V),
    {ok, W} = erluv_fleet:spawn(A, ["sleep", "600"], #{}),
    _ = started(A, W),
    end_control(Peer),
    ?assertEqual(noconnection, stopped(V)),
    until(fun() -> not lists:member(Control, nodes()) end),
    until(fun() -> maps:with([status, workers], one(A)) =:= #{status => ready, workers => 1} end),
    ?assertMatch({ok, _}, erluv_fleet:run(A, ["true"], #{})),
    receive {erluv_fleet, {down, A, _}} -> error(down) after 0 -> ok end,
    end_host({A, Port}),
    _ = event(down, A).

t_wrong_arguments() ->
    process_flag(trap_exit, true),
    until(fun() -> whereis(erluv_fleet_sup) =:= undefined end),
    [?assertMatch({error, {bad_option, Key, <<_, _/binary>>}}, erluv_fleet:start_link(#{Key => wrong}))
     || Key <- [hold, refresh, respawn, colour]],
    ?assertExit({noproc, _}, erluv_fleet:nodes()),
    ?assertExit({noproc, _}, erluv_fleet:subscribe()),
    fleet(),
    {error, {already_started, _}} = erluv_fleet:start_link([]),
    [?assertError(badarg, F())
     || F <- [fun() -> erluv_fleet:start_link(1) end, fun() -> erluv_fleet:child_spec(1) end,
              fun() -> erluv_fleet:nodes(#{colour => red}) end, fun() -> erluv_fleet:nodes(#{meta => x}) end,
              fun() -> erluv_fleet:place(#{}, best) end, fun() -> erluv_fleet:place(x, spread) end,
              fun() -> erluv_fleet:run("x", ["true"], #{}) end, fun() -> erluv_fleet:run(#{}, ["true"], 1) end,
              fun() -> erluv_fleet:spawn(#{}, ["true"], 1) end, fun() -> erluv_fleet:drain(x, y) end,
              fun() -> erluv_fleet:drain("x", 1) end, fun() -> erluv_fleet:set_status(x, y) end,
              fun() -> erluv_fleet:set_status("x", ready) end, fun() -> erluv_fleet:call_all(x, y) end]].

%% The examples of doc/fleet.md, one after the other, on a host with the class that they name.
t_document() ->
    fleet(),
    Dir = erluv_harness:dir(),
    Conf = filename:join(Dir, "backup.conf"),
    ok = file:write_file(Conf, "[class.backup]\ncommand = [\"/bin/true\"]\nargs = [\"/[a-z]+\"]\n"),
    {Node, _} = up(["--config", Conf, "--meta", "x"]),
    Writable = erluv_harness:dir(),
    ok = file:change_mode(Writable, 8#777),
    {ok, Text} = file:read_file(filename:join(filename:dirname(code:which(?MODULE)), "fleet.md")),
    [_ | Parts] = binary:split(Text, <<"```erlang\n">>, [global]),
    ?assertEqual(3, length(Parts)),
    [begin
         [Example, _] = binary:split(Part, <<"```">>),
         Source = string:replace(Example, "/srv/app.conf", filename:join(Writable, "app.conf")),
         {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Source)),
         {ok, Expressions} = erl_parse:parse_exprs(Tokens),
         until(fun() -> names(#{status => ready}) =:= [Node] end),
         {value, _, _} = erl_eval:exprs(Expressions, [{'E', Node}, {'Node', Node}])
     end || Part <- Parts].
