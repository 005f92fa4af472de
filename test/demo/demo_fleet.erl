%% Programs on many hosts, run from a few control nodes. An application would use erluv_fleet in the
%% same way. kill -9 causes the failures.
-module(demo_fleet).

-export([control/1]).
-export([main/3]).

-define(WAIT, 60000).

%% A control node, which runs until it is killed.
control(Others) ->
    spawn(fun() -> begin_fleet(Others), receive never -> ok end end).

begin_fleet(Others) ->
    {ok, _} = erluv_fleet:start_link([]),
    ok = until(fun() -> lists:all(fun(Node) -> net_adm:ping(Node) =:= pong end, Others) end).

%% The last control node shows the events, with Programs programs on Hosts hosts.
main(Others, Hosts, Programs) ->
    try
        begin_fleet(Others),
        ok = until(fun() -> length(erluv_fleet:nodes(#{status => ready})) =:= Hosts end),
        ok = erluv_fleet:subscribe(),
        title("~b control nodes, ~b hosts", [length(Others) + 1, Hosts]),
        table(),
        title("~b programs, each on the host that has the fewest", [Programs]),
        Begin = now_ms(),
        place(Programs),
        say("started in ~b ms; every second one is detached, and kept when its control node goes", [now_ms() - Begin]),
        table(),
        control_dies(hd(Others)),
        host_dies(),
        drained(),
        title("at the end", []),
        table(),
        say("~b programs run", [running()]),
        Programs = running(),
        halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "~p ~tp~n~tp~n", [Class, Reason, Stack]),
            halt(1)
    end.

control_dies(Node) ->
    Hosts = [Host || #{node := Host} <- erluv_fleet:nodes(#{via => Node})],
    Before = lists:sum([workers(Host) || Host <- Hosts]),
    title("~ts is killed: it has ~b hosts", [short(Node), length(Hosts)]),
    OsPid = erpc:call(Node, os, getpid, []),
    Begin = now_ms(),
    [] = os:cmd("kill -9 " ++ OsPid),
    [say("~ts is at ~ts after ~b ms", [short(Host), short(moved(Host, Node)), now_ms() - Begin]) || Host <- Hosts],
    ok = until(fun() -> lists:all(fun(Host) -> workers(Host) =:= running(Host) end, Hosts) end),
    Kept = lists:sum([workers(Host) || Host <- Hosts]),
    say("~b programs have ended with it, ~b detached ones go on", [Before - Kept, Kept]),
    again(Before - Kept).

host_dies() ->
    ok = forget(),
    #{node := Host, workers := Workers} = hd(erluv_fleet:nodes()),
    title("~ts is killed: it has ~b programs", [short(Host), Workers]),
    #{main_os_pid := OsPid} = hd([Info || {_, #{} = Info} <- erluv_fleet:call_all(#{node => Host}, info)]),
    Begin = now_ms(),
    [] = os:cmd("kill -9 " ++ integer_to_list(OsPid)),
    _ = event(down, Host),
    Time = now_ms() - Begin,
    Ended = stopped(Host),
    say("the fleet knows it after ~b ms: ~b programs have ended with it", [Time, Ended]),
    say("run there now: ~tp", [erluv_fleet:run(Host, ["true"], #{})]),
    again(Ended).

drained() ->
    ok = forget(),
    #{node := Host, workers := Workers} = lists:last(erluv_fleet:nodes()),
    title("~ts is drained: its ~b programs have 10 s to end", [short(Host), Workers]),
    Begin = now_ms(),
    {ok, Killed} = erluv_fleet:drain(Host, 10000),
    say("done after ~b ms; ~b programs had to be killed", [now_ms() - Begin, length(Killed)]),
    say("run there now: ~tp", [erluv_fleet:run(Host, ["true"], #{})]),
    ok = until(fun() -> workers(Host) =:= 0 end),
    Ended = stopped(Host),
    say("~b programs have ended", [Ended]),
    again(Ended).

%% Programs without an owner. If this process were the owner, they would end with it.
place(0) -> ok;
place(N) ->
    {ok, _} = erluv_fleet:spawn(#{}, ["sleep", "600"], #{owner => none, detached => N rem 2 =:= 0}),
    place(N - 1).

again(Ended) ->
    place(Ended),
    say("~b others are started in their place, by this application: the fleet starts nothing again", [Ended]).

%% Waits for the other control node through which a host is reached.
moved(Host, From) ->
    ok = until(fun() -> [] =/= others(Host, From) end),
    hd(others(Host, From)).

others(Host, From) ->
    [Via || #{via := Via} <- erluv_fleet:nodes(#{node => Host, status => ready}), Via =/= From].

%% The number of programs that run there, from the host itself.
running(Host) ->
    [{Host, Workers}] = erluv_fleet:call_all(#{node => Host}, workers),
    length([W || {W, #{state := running}} <- Workers]).

%% The number of reported stops. All earlier reports are here after the call.
stopped(Host) ->
    ok = erluv_fleet:subscribe(),
    stopped(Host, 0).

stopped(Host, N) ->
    receive
        {erluv_fleet, {task_stopped, Host, _, _}} -> stopped(Host, N + 1)
    after 0 -> N
    end.

%% Drops all reports so far.
forget() ->
    ok = erluv_fleet:subscribe(),
    (fun Next() -> receive {erluv_fleet, _} -> Next() after 0 -> ok end end)().

event(What, Host) ->
    receive
        {erluv_fleet, {What, Host, Info}} -> Info
    after ?WAIT -> error({no, What, Host})
    end.

workers(Host) ->
    [#{workers := Workers}] = erluv_fleet:nodes(#{node => Host}),
    Workers.

running() ->
    lists:sum([Workers || #{workers := Workers} <- erluv_fleet:nodes()]).

table() ->
    io:format("    ~-10s ~-10s ~-12s ~s~n", ["host", "state", "through", "programs"]),
    [io:format("    ~-10ts ~-10ts ~-12ts ~b~n", [short(Host), Status, short(Via), Workers])
     || #{node := Host, status := Status, via := Via, workers := Workers} <- erluv_fleet:nodes()],
    ok.

short(Node) ->
    hd(string:split(atom_to_list(Node), "@")).

title(Format, Args) ->
    io:format("~n" ++ Format ++ "~n", Args).

say(Format, Args) ->
    io:format("    " ++ Format ++ "~n", Args).

now_ms() ->
    erlang:monotonic_time(millisecond).

until(Condition) ->
    until(Condition, now_ms() + ?WAIT).

until(Condition, Deadline) ->
    case Condition() of
        true -> ok;
        false ->
            now_ms() < Deadline orelse error(too_late),
            receive after 10 -> until(Condition, Deadline) end
    end.
