%% Tasks: programs with an id in a fleet, and what it counts of runs.
-module(erluv_task_tests).

-export([task_test_/0]).
-export([t_task/0]).
-export([t_many_at_once/0]).
-export([t_two_control_nodes/0]).
-export([t_one_host_of_strangers/0]).
-export([t_split/0]).
-export([t_kept/0]).
-export([t_caller_ends/0]).
-export([t_command/0]).
-export([t_command_through_another/0]).
-export([t_tasks/0]).
-export([t_runs_count_once/0]).
-export([t_wrong_ids/0]).

-include_lib("stdlib/include/assert.hrl").

-import(erluv_harness, [next/1, until/1]).
-import(erluv_fleet_harness, [fleet/0, fleet/1, control/0, stranger/0, up/1, up/2, event/2, started/2, stopped/1, end_control/1,
                              one/1, workers/1]).

task_test_() ->
    erluv_harness:tests(?MODULE, plain).

-define(SLEEP, ["sleep", "600"]).

t_task() ->
    fleet(),
    {A, _} = up(["--max-workers", "2"]),
    {ok, W} = erluv_fleet:task("nightly", #{}, ?SLEEP, #{}),
    ?assertMatch(#{workers := 1}, one(A)), % at once
    ?assertEqual(#{cmd => [<<"sleep">>, <<"600">>], id => <<"nightly">>}, started(A, W)),
    [?assertEqual({error, {already_started, W}}, erluv_fleet:task(Id, Where, ?SLEEP, []))
     || {Id, Where} <- [{"nightly", #{}}, {nightly, A}, {<<"nightly">>, {#{}, random}}, {nightly, #{class => none}}]],
    ?assertEqual({error, {already_started, W}}, erluv:spawn(A, ?SLEEP, #{id => nightly})),
    "a program with this id runs already: " ++ _ = erluv:format_error({already_started, W}),
    {ok, Other} = erluv_fleet:task("daily", #{}, ?SLEEP, #{}),
    ?assertEqual({error, {full, #{A => 2}}}, erluv_fleet:task("third", #{}, ?SLEEP, #{})),
    {ok, _} = erluv:stop(W),
    ?assertEqual(normal, stopped(W)),
    ?assertEqual({error, enoent}, erluv_fleet:task("nightly", #{}, ["no-such-program"], #{})),
    {ok, Again} = erluv_fleet:task("nightly", #{}, ?SLEEP, #{}),
    ?assertEqual(lists:sort([Other, Again]), lists:sort([Pid || #{worker := Pid} <- erluv_fleet:tasks()])),
    ?assertEqual({error, {none, #{node => none}}}, erluv_fleet:task("fourth", #{node => none}, ?SLEEP, #{})).

t_many_at_once() ->
    fleet(),
    _ = [up([]) || _ <- [1, 2]],
    Answers = erluv_harness:at_once(30, erluv_fleet, task, [once, {#{}, spread}, ?SLEEP, #{owner => self()}]),
    [W] = [W || {ok, W} <- Answers],
    ?assertEqual([{error, {already_started, W}}], lists:usort(Answers -- [{ok, W}])).

%% Each has a host of its own, and both start the same id there.
t_two_control_nodes() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([]),
    {B, _} = up([Control], []),
    Self = self(),
    lists:foreach(
        fun(N) ->
                Id = "task " ++ integer_to_list(N),
                There = spawn_link(fun() ->
                                           Self ! {self(), erluv_harness:call(Peer, erluv_fleet, task, [Id, B, ?SLEEP, #{owner => none}])}
                                   end),
                Here = erluv_fleet:task(Id, A, ?SLEEP, #{owner => none}),
                case {Here, next(There)} of
                    {{ok, W}, {error, {already_started, W}}} -> ok;
                    {{error, {already_started, W}}, {ok, W}} -> ok
                end
        end, lists:seq(1, 20)),
    ?assertEqual(20, workers(A) + workers(B)),
    peer:stop(Peer).

%% Two control nodes that do not see each other have the same host, which refuses the second.
t_one_host_of_strangers() ->
    fleet(),
    {Peer, Control} = stranger(),
    {A, _} = up([Control, node()], ["--serve", "all"]),
    until(fun() -> [Control] =:= [Via || #{via := Via} <- erluv_harness:call(Peer, erluv_fleet, nodes, [])] end),
    {ok, W} = erluv_harness:call(Peer, erluv_fleet, task, [once, A, ?SLEEP, #{owner => none}]),
    ?assertEqual({error, {already_started, W}}, erluv_fleet:task(once, A, ?SLEEP, #{})),
    ?assertNot(lists:member(Control, nodes())),
    peer:stop(Peer).

%% Two control nodes that do not see each other have different hosts. Both go on, and are told.
t_split() ->
    fleet(),
    {Peer, Control} = stranger(),
    {A, _} = up([]),
    {ok, W} = erluv_fleet:task(once, A, ["cat"], #{}),
    Host = erluv_fleet_harness:hidden([Control]),
    until(fun() -> [Host] =:= [Node || #{node := Node} <- erluv_harness:call(Peer, erluv_fleet, nodes, [])] end),
    {ok, V} = erluv_harness:call(Peer, erluv_fleet, task, [once, Host, ["cat"], #{owner => none}]),
    ?assertNot(lists:member(Control, nodes())),
    pong = net_adm:ping(Control),
    receive {erluv_fleet, {task_conflict, Id, Both}} -> ?assertEqual({<<"once">>, lists:sort([W, V])}, {Id, lists:sort(Both)}) end,
    until(fun() -> {2, 2} =:= {length(erluv_fleet:tasks()), length(erluv_harness:call(Peer, erluv_fleet, tasks, []))} end),
    [First | _] = [Pid || {_, Pid} <- lists:sort([{A, W}, {Host, V}])],
    ?assertEqual({error, {already_started, First}}, erluv_fleet:task(once, #{}, ?SLEEP, #{})),
    [{ok, _} = erluv_fleet:command(Pid, stop) || Pid <- [V, W]], % by its pid either of them is meant
    [_ = stopped(Pid) || Pid <- [V, W]],
    ?assertMatch({ok, _}, erluv_fleet:task(once, #{}, ["true"], #{})),
    peer:stop(Peer).

%% A task that outlives its control node has its id at the next one.
t_kept() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control, node()], ["--on-disconnect", "keep"]),
    {ok, W} = erluv_harness:call(Peer, erluv_fleet, task, [kept, A, ?SLEEP, #{owner => none, detached => true}]),
    _ = started(A, W),
    end_control(Peer),
    _ = event(down, A),
    ?assertEqual(noconnection, stopped(W)),
    _ = event(up, A),
    ?assertMatch(#{id := <<"kept">>}, started(A, W)),
    ?assertEqual({error, {already_started, W}}, erluv_fleet:task(kept, #{}, ?SLEEP, #{})),
    {ok, _} = erluv_fleet:command(kept, stop).

%% The caller is the owner, as of any program. Where it is killed amid the start, nothing stays locked.
t_caller_ends() ->
    fleet(),
    _ = up([]),
    lists:foreach(fun(N) ->
                          Pid = spawn(fun() -> erluv_fleet:task(mine, #{}, ?SLEEP, #{}) end),
                          receive after N -> exit(Pid, kill) end
                  end, lists:seq(0, 9)),
    until(fun() -> {ok, other} =:= mine(erluv_fleet:task(mine, #{}, ["true"], #{})) end).

mine({ok, _}) -> {ok, other};
mine(Other) -> Other.

t_command() ->
    fleet(),
    _ = up([]),
    {ok, W} = erluv_fleet:task(talk, #{}, ["cat"], #{packet => line}),
    ok = erluv_fleet:command(talk, {write, "one\n"}),
    ?assertEqual({stdout, <<"one\n">>}, next(W)),
    ok = erluv_fleet:command(W, {write, "two\n"}),
    ?assertEqual({stdout, <<"two\n">>}, next(W)),
    ok = erluv_fleet:command(talk, {signal, sigstop}),
    ?assertEqual({stopped, sigstop}, next(W)),
    ok = erluv_fleet:command(talk, {signal, sigcont}),
    ?assertEqual(continued, next(W)),
    ?assertMatch(#{id := <<"talk">>, state := running}, erluv_fleet:command(talk, info)),
    ?assertEqual({error, enotty}, erluv_fleet:command(talk, {resize, 10, 20})),
    ok = erluv_fleet:command(talk, {close, stdin}),
    ?assertEqual(normal, stopped(W)),
    ?assertEqual({error, noproc}, erluv_fleet:command(talk, info)),
    ?assertEqual({error, noproc}, erluv_fleet:command(W, info)),
    {ok, T} = erluv_fleet:task(term, #{}, <<"trap 'stty size' WINCH; echo go; while :; do sleep 0.05; done">>, #{pty => true, packet => line}),
    {stdout, <<"go", _/binary>>} = next(T),
    ok = erluv_fleet:command(term, {resize, 10, 20}),
    ?assertMatch({stdout, <<"10 20", _/binary>>}, next(T)),
    {ok, _} = erluv_fleet:command(term, stop).

%% What runs on a host that only the other one is connected with, whichever has started it.
t_command_through_another() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control], []),
    {ok, Theirs} = erluv_harness:call(Peer, erluv_fleet, task, [theirs, A, ["cat"], #{owner => none}]),
    ?assertEqual(A, node(Theirs)),
    {ok, Ours} = erluv_fleet:task(ours, A, ["cat"], #{packet => line}),
    ?assertEqual(Control, node(Ours)),
    ?assertMatch(#{id := <<"theirs">>}, started(A, Theirs)),
    ?assertMatch(#{id := <<"ours">>}, started(A, Ours)),
    [?assertMatch(#{id := <<"theirs">>}, erluv_fleet:command(Which, info)) || Which <- [theirs, Theirs]],
    [?assertMatch(#{id := <<"ours">>}, erluv_fleet:command(Which, info)) || Which <- [ours, Ours]],
    ?assertMatch(#{id := <<"ours">>}, erluv_harness:call(Peer, erluv_fleet, command, ["ours", info])),
    ok = erluv_fleet:command(theirs, {write, "x"}),
    ok = erluv_harness:call(Peer, erluv_fleet, command, [ours, {write, "one\n"}]),
    ?assertEqual({stdout, <<"one\n">>}, next(Ours)),
    ?assertEqual({error, {already_started, Ours}}, erluv_harness:call(Peer, erluv_fleet, task, [ours, A, ["cat"], #{}])),
    {ok, _} = erluv_fleet:command(theirs, stop),
    _ = stopped(Theirs),
    end_control(Peer),
    _ = event(down, A),
    ?assertEqual({error, noproc}, erluv_fleet:command(ours, info)),
    ?assertEqual({error, {unreachable, A}}, erluv_fleet:command(Theirs, info)),
    ?assertEqual({error, {unreachable, Control}}, erluv_fleet:command(Ours, info)).

t_tasks() ->
    fleet(),
    File = filename:join(erluv_harness:dir(), "erluv.conf"),
    ok = file:write_file(File, "[class.nap]\ncommand = [\"/usr/bin/sleep\", \"600\"]\n"),
    {A, _} = up(["--config", File, "--meta", "x"]),
    {B, _} = up([]),
    {ok, W} = erluv_fleet:task(one, A, ?SLEEP, #{}),
    {ok, V} = erluv_fleet:spawn(B, <<"sleep 600">>, #{}),
    _ = started(B, V),
    One = #{node => A, worker => W, id => <<"one">>, cmd => [<<"sleep">>, <<"600">>]},
    Other = #{node => B, worker => V, cmd => [<<"/bin/sh">>, <<"-c">>, <<"sleep 600">>]},
    ?assertEqual(lists:sort([One, Other]), lists:sort(erluv_fleet:tasks())),
    ?assertEqual([One], erluv_fleet:tasks(A)),
    ?assertEqual([One], erluv_fleet:tasks(#{meta => #{x => true}})),
    ?assertEqual([], erluv_fleet:tasks(none)),
    {ok, C} = erluv_fleet:task(nap, #{class => nap}, {class, nap, []}, #{}),
    ?assertMatch([#{worker := C, id := <<"nap">>, cmd := {class, nap, []}}],
                 [Task || #{class := <<"nap">>} = Task <- erluv_fleet:tasks(A)]),
    ?assertMatch(#{class := <<"nap">>}, erluv_fleet:command(nap, info)).

%% A host is asked what runs there when a place was not used. What it says of runs that have a
%% place is not counted again, and that of others is.
t_runs_count_once() ->
    fleet(#{refresh => infinity, hold => 50}),
    {Peer, Control} = control(),
    {A, _} = up(["--max-workers", "10"]),
    {B, _} = up([Control], ["--max-workers", "10"]),
    Runner = fun(Module, Host) -> spawn_link(fun() -> Module:run(Host, ?SLEEP, #{timeout => 600000}) end) end,
    Runners = [Runner(erluv_fleet, A), Runner(erluv_fleet, B), Runner(erluv, A)],
    Programs = fun() -> {length(erluv:workers(A)), length(erluv_harness:call(Peer, erluv, workers, [B]))} end,
    until(fun() -> Programs() =:= {2, 1} end),
    {ok, Marked} = erluv:spawn(A, ?SLEEP, #{id => marked}),
    {ok, A} = erluv_fleet:place(#{node => A}, spread),
    ?assertMatch(#{id := <<"marked">>}, started(A, Marked)), % it was asked
    until(fun() -> {2, 7} =:= counts(A) end), % the run without the fleet, the marked one; one place
    {ok, There} = erluv_harness:call(Peer, erluv, spawn, [B, ?SLEEP, #{owner => none, link => false}]),
    {ok, B} = erluv_harness:call(Peer, erluv_fleet, place, [#{node => B}, spread]), % by a process that ends
    _ = started(B, There),
    until(fun() -> {1, 8} =:= counts(B) end),
    [begin unlink(Pid), exit(Pid, kill) end || Pid <- Runners],
    until(fun() -> {{1, 9}, {1, 9}} =:= {counts(A), counts(B)} end),
    peer:stop(Peer).

counts(Node) ->
    #{workers := Workers, free := Free} = one(Node),
    {Workers, Free}.

t_wrong_ids() ->
    fleet(),
    _ = up([]),
    Long = lists:duplicate(256, $x),
    [?assertError(badarg, erluv_fleet:task(Id, #{}, ["true"], #{})) || Id <- ["", <<>>, undefined, 1, Long, <<255>>, [-1]]],
    [?assertError(badarg, erluv_fleet:command(Id, info)) || Id <- ["", 1, Long]],
    ?assertError(badarg, erluv_fleet:task(x, #{}, ["true"], 1)),
    ?assertMatch({ok, _}, erluv_fleet:task(tl(Long), #{}, ["true"], #{})),
    ?assertMatch({ok, _}, erluv_fleet:task([233, 8364], #{}, ["true"], #{})).
