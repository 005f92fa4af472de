%% Many observers of the end of one process.
-module(e2e_fan).

-export([linked/2, told/2]).
-export([monitors/2, set_up/2, downs/2]).
-export([echo/1, echoed/1]).
-export([hoard/4]).

-define(TIMEOUT, 100000).

%% N processes that are linked to W.
linked(W, N) ->
    Self = self(),
    Pids = [spawn(fun() -> link_to(W, Self) end) || _ <- lists:seq(1, N)],
    [receive {linked, P} -> ok after ?TIMEOUT -> error(not_linked) end || P <- Pids],
    %% All earlier messages have arrived when this is answered.
    _ = e2e:call(W, info),
    Pids.

link_to(W, Parent) ->
    process_flag(trap_exit, true),
    link(W),
    Parent ! {linked, self()},
    receive {'EXIT', W, Reason} -> Parent ! {told, self(), Reason} end,
    receive
        {'EXIT', W, Again} -> Parent ! {told, self(), Again};
        {over, Parent} -> Parent ! {over, self()}
    end.

%% Waits until each of them has got its one message, with this reason.
told(Pids, Reason) ->
    [receive {told, P, R} when R =:= Reason -> ok; {told, P, R} -> error({told, R}) after ?TIMEOUT -> error({not_told, length(Pids)}) end || P <- Pids],
    [P ! {over, self()} || P <- Pids],
    [receive {over, P} -> ok; {told, P, Twice} -> error({twice, Twice}) after ?TIMEOUT -> error(not_over) end || P <- Pids],
    length(Pids).

%% A process that sets up N monitors of Of.
monitors(Of, N) ->
    Self = self(),
    P = spawn(fun() ->
        process_flag(message_queue_data, off_heap),
        [monitor(process, Of) || _ <- lists:seq(1, N)],
        _ = gen_server:call(Of, info, infinity),
        Self ! {monitors, self()},
        receive go -> ok end,
        Self ! {downs, self(), count(#{}, N)}
    end),
    P.

%% Whether they are set up after Timeout, or wait.
set_up(P, Timeout) ->
    receive {monitors, P} -> ok after Timeout -> wait end.

count(Seen, 0) ->
    receive {'DOWN', _, _, _, Why} -> {too_many, Why} after 0 -> Seen end;
count(Seen, N) ->
    receive
        {'DOWN', _, _, _, Why} -> count(maps:update_with(Why, fun(K) -> K + 1 end, 1, Seen), N - 1)
    after ?TIMEOUT -> {missing, N, Seen}
    end.

%% How often it got each reason, or wait if it is not over after Timeout.
downs(P, Timeout) ->
    P ! go,
    receive {downs, P, Seen} -> Seen after Timeout -> wait end.

%% A conversation that goes on, and the longest time for an answer, in ms.
echo(E) ->
    Self = self(),
    spawn_link(fun() ->
        W = e2e:start(E, ["cat"]),
        Self ! {begun, self()},
        echo(W, 0, 0)
    end),
    receive {begun, P} -> P after ?TIMEOUT -> error(no_echo) end.

echo(W, N, Longest) ->
    T = erlang:monotonic_time(millisecond),
    ok = gen_server:call(W, {write, <<"x">>}, ?TIMEOUT),
    receive {W, {stdout, <<"x">>}} -> ok after ?TIMEOUT -> error(no_echo) end,
    Took = max(Longest, erlang:monotonic_time(millisecond) - T),
    receive
        {how, From} -> From ! {echoed, self(), N + 1, Took}, _ = e2e:call(W, stop)
    after 5 -> echo(W, N + 1, Took)
    end.

echoed(P) ->
    P ! {how, self()},
    receive {echoed, P, N, Longest} -> {N, Longest} after ?TIMEOUT -> error(no_echo) end.

%% get_until calls this function. It wants more each time, and keeps Size bytes.
hoard(_, _, Size, Parent) ->
    Parent ! hoarded,
    {more, binary:copy(<<"x">>, Size)}.
