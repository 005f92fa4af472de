%% What is left of an application when its erluv is killed, told to stop, or disconnected:
%% one restart for each supervised program, at the intensity that a supervisor has by default.
-module(erluv_again_tests).

-export([again_test_/0]).
-export([t_killed/0]).
-export([t_told_to_stop/0]).
-export([t_disconnected/0]).
-export([t_killed_when_starting_takes_long/0]).
-export([t_fixed_name/0]).
-export([t_nothing_runs_twice/0]).
-export([t_started_between_two_children/0]).
-export([t_lost_in_a_call/0]).
-export([t_not_again/0]).
-export([t_too_often/0]).
-export([t_words_of_the_end/0]).

-export([init/1]).

-include_lib("stdlib/include/assert.hrl").

-import(erluv_harness, [next/1, until/1, alive/1]).

again_test_() ->
    erluv_harness:tests(?MODULE, plain).

t_killed() ->
    [each(fun kill/1, Strategy, Where) || Strategy <- [one_for_one, rest_for_one], Where <- [outside, inside]].

t_told_to_stop() ->
    [each(fun(S) -> signal("TERM", S) end, one_for_one, Where) || Where <- [outside, inside]].

t_disconnected() ->
    each(fun(Server) -> {ok, Node} = erluv_node:node(Server), true = erlang:disconnect_node(Node) end,
         one_for_one, inside).

%% An erluv_node inside of the same supervisor, or elsewhere; a program that takes a while to end.
each(How, Strategy, Where) ->
    process_flag(trap_exit, true),
    Node = #{name => again},
    _ = Where =:= inside orelse erluv_node:start_link(Node),
    Before = case Where of inside -> [erluv_node:child_spec(Node)]; outside -> [] end,
    % Two programs end together, each with a supervisor's one restart: two has one of its own.
    Two = #{id => two, type => supervisor,
            start => {supervisor, start_link, [?MODULE, {one_for_one, [program(two)]}]}},
    {ok, Sup} = supervisor:start_link(?MODULE, {Strategy, Before ++ [Two, program(one)]}),
    Pids = [started(N) || N <- [one, two]],
    Owner = whereis(again),
    How(again),
    New = [started(N) || N <- [one, two]],
    ?assertNot(lists:any(fun({P, Q}) -> P =:= Q end, lists:zip(Pids, New))),
    ?assertEqual(Owner, whereis(again)),
    ?assertEqual([], [Again || {_, {<<"started\n">>, _}} = Again <- messages()]),
    ?assert(is_process_alive(Sup)),
    exit(Sup, shutdown),
    {'EXIT', shutdown} = next(Sup),
    _ = Where =:= inside orelse erluv_node:stop(again).

program(Name) ->
    Self = self(),
    erluv_worker:child_spec({again, <<"trap 'sleep 0.2; exit 0' TERM; echo started; while :; do sleep 0.05; done">>,
                             #{output => fun(_, Line) -> Self ! {Name, {Line, self()}} end, stderr => null}}).

%% As they are by default: one restart in five seconds.
init({Strategy, Children}) ->
    {ok, {#{strategy => Strategy}, Children}}.

started(Name) ->
    {<<"started\n">>, Pid} = next(Name),
    Pid.

messages() ->
    {messages, Messages} = process_info(self(), messages),
    Messages.

kill(Server) -> signal("KILL", Server).

signal(Signal, Server) ->
    [] = os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(erluv:info(Server, main_os_pid))).

%% Those who ask meanwhile wait for it, as they do when it is first started.
t_killed_when_starting_takes_long() ->
    Slow = ["/bin/sh", "-c", "sleep 1; exec \"$@\"", "sh" | erluv_harness:executable()],
    {ok, Pid} = erluv_node:start_link(#{name => slow, executable => Slow}),
    {ok, First} = erluv_node:node(slow),
    kill(slow),
    until(fun() -> not lists:member(First, nodes(hidden)) end),
    {ok, Second} = erluv_node:node(slow),
    ?assertNotEqual(First, Second),
    [?assertMatch({ok, #{stdout := <<"x\n">>}}, Result)
     || Result <- erluv_harness:at_once(10, erluv, run, [slow, ["echo", "x"]])],
    ok = erluv_node:stop(Pid).

t_fixed_name() ->
    {ok, Pid} = erluv_node:start_link(#{name => fixed, settings => #{name => stays}}),
    {ok, Node} = erluv_node:node(fixed),
    [begin
         Main = erluv:info(fixed, main_os_pid),
         kill(fixed),
         until(fun() -> not alive(Main) end),
         until(fun() -> is_answered(erluv:run(fixed, ["true"])) end),
         ?assertEqual({ok, Node}, erluv_node:node(fixed))
     end || _ <- lists:seq(1, 3)],
    ok = erluv_node:stop(Pid).

%% The child may outlive main by a moment, in which it takes requests.
is_answered({error, noconnection}) -> false;
is_answered({ok, _}) -> true.

%% Each call of processes that call all the time is either answered, and its program ran once,
%% or it says that what it started is lost, or that there is no child. None is refused because
%% erluv has ended.
t_nothing_runs_twice() ->
    {ok, Pid} = erluv_node:start_link(#{name => busy}),
    Dir = erluv_harness:dir(),
    ok = file:change_mode(Dir, 8#777),
    Self = self(),
    Callers = [spawn_link(fun() -> call_on(Dir, N, 1, Self) end) || N <- lists:seq(1, 4)],
    Kinds = [main_os_pid, child_os_pid, main_os_pid, main_os_pid, child_os_pid, main_os_pid],
    [begin
         receive after 300 -> ok end,
         [] = os:cmd("kill -KILL " ++ integer_to_list(os_pid(busy, Kind)))
     end || Kind <- Kinds],
    receive after 300 -> ok end,
    [Caller ! stop || Caller <- Callers],
    Results = lists:append([next(Caller) || Caller <- Callers]),
    % What is still under way ends with erluv.
    ok = erluv_node:stop(Pid),
    {ok, Names} = file:list_dir(Dir),
    Ran = [list_to_binary(Name) || Name <- Names],
    ?assertEqual([], [Result || {_, Result} <- Results, not is_clear(Result)]),
    ?assertEqual([], [Id || {Id, {ok, _}} <- Results] -- Ran),
    % That the calls went on after each kill, and that not most of them were lost.
    {Answered, Lost} = lists:partition(fun({_, {ok, _}}) -> true; (_) -> false end, Results),
    ?assert(length(Answered) > length([Id || {Id, Result} <- Lost, Result =/= {error, child_down}])).

os_pid(Server, Kind) ->
    case erluv:info(Server, Kind) of
        OsPid when is_integer(OsPid) -> OsPid;
        {error, _} -> receive after 10 -> os_pid(Server, Kind) end
    end.

is_clear({ok, #{exit := {exit_status, 0}}}) -> true;
is_clear({error, noconnection}) -> true;
is_clear({error, {exit, child_crashed}}) -> true;
is_clear({error, child_down}) -> true;
is_clear(_) -> false.

%% mkdir says so when it is run a second time.
call_on(Dir, N, Count, To) ->
    Pause = case get(iolist_to_binary(io_lib:format("~b-~b", [N, Count - 1]))) of
                {error, child_down} -> 10;
                _ -> 0
            end,
    receive
        stop -> To ! {self(), get()}
    after Pause ->
        Id = iolist_to_binary(io_lib:format("~b-~b", [N, Count])),
        put(Id, erluv:run(busy, ["mkdir", filename:join(Dir, Id)])),
        call_on(Dir, N, Count + 1, To)
    end.

%% A child that is being replaced is waited for by a supervised program.
t_started_between_two_children() ->
    {ok, Pid} = erluv_node:start_link(#{name => between, respawn => false, settings => #{die_timeout => 20000}}),
    {ok, Node} = erluv_node:node(between),
    [] = os:cmd("kill -KILL " ++ integer_to_list(erluv:info(between, child_os_pid))),
    until(fun() -> erluv:info(between) =:= {error, child_down} end),
    ?assertEqual({error, child_down}, erluv:run(between, ["true"])),
    Self = self(),
    Asking = [spawn_link(fun() -> Self ! {self(), erluv_worker:start_link(Server, ["sleep", "60"], #{})} end)
              || Server <- [between, Pid, Node]],
    receive {_, {ok, _}} -> error(early) after 200 -> ok end,
    ok = erluv:respawn(between),
    [?assertMatch({ok, _}, next(Asker)) || Asker <- Asking],
    ok = erluv_node:stop(Pid).

%% What may have been done is said to be lost, not to be nothing.
t_lost_in_a_call() ->
    Self = self(),
    {ok, Pid} = erluv_node:start_link(#{name => lost}),
    Caller = spawn_link(fun() -> Self ! {self(), erluv:run(lost, ["sleep", "60"])} end),
    until(fun() -> erluv:workers(lost) =/= [] end),
    kill(lost),
    {error, Reason} = next(Caller),
    ?assertEqual(noconnection, Reason),
    ?assertEqual("the connection to the erluv node was lost, and its programs end with it", erluv:format_error(Reason)),
    ok = erluv_node:stop(Pid).

%% Who has it told to stop, and who wants no replacement, has none. Who asks meanwhile is told why.
t_not_again() ->
    process_flag(trap_exit, true),
    [begin
         {ok, Pid} = erluv_node:start_link(#{name => once, respawn => Respawn}),
         End(once),
         ?assertMatch({'EXIT', Reason}, next(Pid))
     end || {Respawn, End, Reason} <- [{false, fun kill/1, {exited, 137, <<>>}},
                                       {{0, 1000}, fun kill/1, {exited, 137, <<>>}},
                                       {{9, 1000}, fun stop/1, {shutdown, {stopping, enough}}}]].

stop(Server) ->
    {ok, Node} = erluv_node:node(Server),
    {ok, _} = erluv:spawn(Server, <<"trap 'sleep 1; exit 0' TERM; echo; while :; do sleep 0.05; done">>, #{packet => line}),
    receive {_, {stdout, <<"\n">>}} -> ok end,
    ok = gen_server:call({erluv, Node}, {stop, enough}, infinity),
    {error, Reason} = erluv:run(Server, ["true"]),
    ?assertEqual({stopping, enough}, Reason).

t_too_often() ->
    process_flag(trap_exit, true),
    {ok, Pid} = erluv_node:start_link(#{name => often, respawn => {2, 60000}}),
    [begin
         {ok, Node} = erluv_node:node(often),
         kill(often),
         until(fun() -> not lists:member(Node, nodes(hidden)) end)
     end || _ <- lists:seq(1, 3)],
    ?assertEqual({'EXIT', {exited, 137, <<>>}}, next(Pid)).

%% Its own, and not what it said of a child some time before.
t_words_of_the_end() ->
    {ok, Pid} = erluv_node:start_link(#{name => words}),
    [] = os:cmd("kill -KILL " ++ integer_to_list(erluv:info(words, child_os_pid))),
    until(fun() -> element(1, erluv:run(words, ["true"])) =:= ok end),
    Events = erluv_harness:logged(fun() -> kill(words) end, fun({Level, _, _}) -> Level =:= error end),
    ?assertMatch({error, <<"erluv_node words: erluv ended with status 137 (ended by SIGKILL): it is started anew">>,
                  #{domain := [erluv]}}, lists:last(Events)),
    Log = erluv_harness:logged(
            fun() ->
                    {ok, Node} = erluv_node:node(words),
                    true = erlang:disconnect_node(Node)
            end, fun({Level, _, _}) -> Level =:= error end),
    ?assertMatch({error, <<"erluv_node words: erluv ended with status 1 (failure): the connection was lost: ", _/binary>>, _},
                 lists:last(Log)),
    ok = erluv_node:stop(Pid).
