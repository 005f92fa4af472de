%% The load that the chaos tests put on an erluv, and their checks. E is the name of an erluv node,
%% W a worker, Mark a variable in the environment of programs.
-module(e2e_chaos).

-export([load/3]).
-export([crashed/1]).
-export([respawned/1]).
-export([ended/0]).
-export([cycles/3]).
-export([outputs/4]).
-export([bomb/2]).
-export([signals/3]).

-define(TIMEOUT, 120000).

%% Starts processes. Each has a worker of a kind, checks every byte from it, and ends with it.
%% ended/0 waits for those of a session.
load(E, Mark, Kinds) ->
    Self = self(),
    Opts = #{env => #{"CHAOS" => Mark}},
    Load = [
        spawn(fun() ->
            process_flag(trap_exit, true),
            Self ! {self(), end_of(Kind, E, Opts)}
        end)
     || Kind <- Kinds
    ],
    _ = put(?MODULE, Load),
    ok.

%% The ends of all of them: #{Reason => Count}. {wrong, ...} are processes that got another message.
ended() ->
    Ends = [
        receive
            {P, End} -> End
        after ?TIMEOUT -> {wrong, {not_told, process_info(P, [current_stacktrace, links, monitors, messages])}}
        end
     || P <- erase(?MODULE)
    ],
    lists:foldl(fun(End, Sum) -> maps:update_with(End, fun(N) -> N + 1 end, 1, Sum) end, #{}, Ends).

%% Each process gets the crash of the child, and the node is as before. Returns the number of exit
%% signals, and the errors.
crashed(E) ->
    receive
        {erluv, E, {child_down, {signal, sigkill}, _}} -> ok
    after ?TIMEOUT -> error({no_child_down, process_info(self(), messages)})
    end,
    true = lists:member(E, nodes(hidden)),
    pong = net_adm:ping(E),
    {error, child_down} = e2e:call(E, info),
    Ended = ended(),
    {maps:get(child_crashed, Ended, 0), maps:without([child_crashed, called], Ended)}.

%% Starts another child, and returns its process number.
respawned(E) ->
    {erluv_main, E} ! respawn,
    receive
        {erluv, E, {child_up, OsPid}} -> OsPid
    after ?TIMEOUT -> error({no_child_up, process_info(self(), messages)})
    end.

%% The exit reason of the worker. called: there was no worker, and a request ended. no_spawner:
%% there was no worker either, and no spawner to start it.
end_of(Kind, E, Opts) ->
    try
        kind(Kind, E, Opts) % it returns if any end may follow
    catch
        throw:{exit, W, Reason} ->
            quiet(E, W, Reason);
        throw:child_down ->
            quiet(E, none, called);
        throw:no_spawner ->
            quiet(E, none, no_spawner); % it was killed, and another spawner follows
        exit:{timeout, _} = Timeout ->
            {wrong, Timeout};
        exit:{_, {gen_server, call, [W | _]}} when is_pid(W) ->
            {_, Reason} = life(W, []),
            quiet(E, W, Reason);
        exit:{_, {gen_server, call, [{erluv, E} | _]}} ->
            quiet(E, none, called);
        Class:Why:Stack ->
            {wrong, {Class, Why, Stack}}
    end.

%% After the end of a worker no message comes from it, and no answer to a call that has ended.
quiet(E, W, Reason) ->
    receive
        {'EXIT', New, How} when W =:= none, node(New) =:= E ->
            quiet(E, New, How);
        {'DOWN', _, process, W, Reason} ->
            quiet(E, W, Reason);
        Late ->
            {wrong, {Late, after_exit_of, W, Reason}}
    after 0 ->
        Reason
    end.

start(E, Cmd, Opts) ->
    case e2e:call(E, {spawn, Cmd, Opts}) of
        {ok, W} -> W;
        {error, child_down} -> throw(child_down);
        {error, eagain} -> throw(no_spawner)
    end.

%% The next message of W. All others are errors.
next(W) ->
    receive
        {W, {signal, _} = Signal} -> killed(W, Signal);
        {W, {_, eof}} -> killed(W, eof);
        {W, {stdin, epipe}} -> killed(W, eof); % a command came after the program's end
        {W, Message} -> Message;
        {'EXIT', W, Reason} -> throw({exit, W, Reason});
        Other -> error({unexpected, Other})
    end.

%% A killed worker reports its end before it exits, if it still can.
killed(W, Last) ->
    receive
        {W, {stdout, _}} when Last =:= eof -> killed(W, Last);
        {W, {_, eof}} when Last =:= eof -> killed(W, Last);
        {W, {stdin, epipe}} when Last =:= eof -> killed(W, Last);
        {W, {signal, sigkill} = Signal} when Last =:= eof -> killed(W, Signal);
        {'EXIT', W, Reason} -> throw({exit, W, Reason});
        Other -> error({unexpected, Other, after_last, Last})
    end.

kind({program, Cmd}, E, Opts) ->
    W = start(E, Cmd, Opts),
    {stdout, <<"ready\n">>} = next(W),
    error(next(W));
kind(flood, E, Opts) ->
    W = start(E, ["yes", "0123456789"], Opts),
    flood(W, binary:copy(<<"0123456789\n">>, 100000), 0);
kind(echo, E, Opts) ->
    W = start(E, ["cat"], Opts),
    echo(W, rand:bytes(1 bsl 16));
kind(talk, E, Opts) ->
    W = start(E, ["cat"], Opts),
    talk(W, 0);
kind(churn, E, Opts) ->
    churn(E, Opts, 0);
kind(lines, E, Opts) ->
    W = start(E, ["seq", "1", "1000000000"], Opts#{packet => line}),
    lines(W, 1);
kind(monitors, E, Opts) ->
    W = start(E, ["sleep", "1000"], Opts),
    M = monitor(process, W),
    try
        monitors(W)
    catch
        % The worker may just have been unlinked.
        throw:{exit, W, Reason} -> told(W, M, Reason);
        exit:{_, {gen_server, call, [W | _]}} -> broken(W, M)
    end;
kind(calls, E, Opts) ->
    W = start(E, ["sleep", "1000"], Opts),
    try
        calls(E, W)
    catch
        throw:child_down -> error(next(W));
        exit:{Reason, _} when Reason =/= timeout -> error(next(W))
    end.

%% The program writes whole lines, and the messages may cut them anywhere.
flood(W, Lines, At) ->
    {stdout, Bin} = next(W),
    Bin = binary:part(Lines, At rem 11, byte_size(Bin)),
    flood(W, Lines, At + byte_size(Bin)).

%% Blocks go back and forth, and large messages go to an absent name.
echo(W, Random) ->
    Bin = binary:part(Random, 0, rand:uniform(byte_size(Random))),
    case e2e:call(W, {write, Bin}) of
        ok -> ok;
        {error, epipe} -> error(next(W))
    end,
    Bin = take(W, byte_size(Bin), []),
    {nobody, node(W)} ! {Random, binary:copy(Random, rand:uniform(30))},
    echo(W, Random).

take(_W, 0, Taken) ->
    iolist_to_binary(lists:reverse(Taken));
take(W, N, Taken) ->
    {stdout, Bin} = next(W),
    take(W, N - byte_size(Bin), [Bin | Taken]).

talk(W, N) ->
    W ! {self(), {command, <<N:32>>}},
    <<N:32>> = take(W, 4, []),
    talk(W, N + 1).

churn(E, Opts, N) ->
    Line = iolist_to_binary([integer_to_list(N), $\n]),
    W = start(E, ["echo", string:chomp(Line)], Opts),
    case life(W, []) of
        {Messages, normal} ->
            [{exit_status, 0} | Output] = Messages,
            [{stderr, eof}, {stdout, eof}, {stdout, Line}] = lists:sort(Output),
            churn(E, Opts, N + 1);
        {_, Reason} ->
            throw({exit, W, Reason})
    end.

%% The messages of W until it exits, backwards, and its exit reason.
life(W, Messages) ->
    receive
        {W, Message} -> life(W, [Message | Messages]);
        {'EXIT', W, Reason} -> {Messages, Reason}
    end.

lines(W, N) ->
    Line = <<(integer_to_binary(N))/binary, "\n">>,
    {stdout, Line} = next(W),
    lines(W, N + 1).

alive(W) ->
    receive
        {W, _} ->
            {_, Reason} = life(W, []),
            throw({exit, W, Reason});
        {'EXIT', W, Reason} ->
            throw({exit, W, Reason})
    after 0 -> true
    end.

monitors(W) ->
    true = demonitor(monitor(process, W), [flush]),
    true = unlink(W),
    true = link(W),
    #{} = e2e:call(W, info),
    alive(W),
    monitors(W).

%% The link existed, or the node has lost it. If the connection is busy when link/1 follows an
%% unlink/1, the unlinking goes on (doc/reliability.md). Then no exit signal comes.
broken(W, M) ->
    {links, Links} = process_info(self(), links),
    Wait = case lists:member(W, Links) of true -> infinity; false -> 0 end,
    receive
        {'EXIT', W, Reason} -> told(W, M, Reason)
    after Wait ->
        receive {'DOWN', M, process, W, Reason} -> Reason end
    end.

%% Monitors and links that come after the end get noproc.
told(W, M, Reason) ->
    receive
        {'DOWN', M, process, W, Other} ->
            case lists:member(Reason, [noproc, noconnection]) of
                true -> Other;
                false -> Reason
            end
    end.

calls(E, W) ->
    case e2e:call(E, info) of
        #{} -> ok;
        {error, child_down} -> throw(child_down)
    end,
    alive(W),
    calls(E, W).

%% N programs, started and ended by eight processes. Returns the numbers of those with lost, doubled
%% or wrong messages.
cycles(E, First, N) ->
    share(8, First, N, fun(I) ->
        Status = I rem 256,
        {Reason, Cmd} =
            case Status of
                0 -> {normal, ["/bin/true"]};
                _ -> {{exit_status, Status}, ["/bin/sh", "-c", "exit " ++ integer_to_list(Status)]}
            end,
        {<<>>, <<>>, {exit_status, Status}, Reason} =:= e2e:outcome(e2e:start(E, Cmd), ?TIMEOUT)
    end).

%% share has Procs processes call Fun with N numbers from First on. Returns the numbers for which
%% the result is not true, with the result.
share(Procs, First, N, Fun) ->
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            process_flag(trap_exit, true),
            Bad = [{I, R} || I <- lists:seq(First + P, First + N - 1, Procs), R <- [attempt(Fun, I)], R =/= true],
            Self ! {self(), Bad ++ [{late, M} || M <- element(2, process_info(self(), messages))]}
        end)
     || P <- lists:seq(0, Procs - 1)
    ],
    lists:append([receive {Pid, Bad} -> Bad end || Pid <- Pids]).

attempt(Fun, I) ->
    try
        Fun(I)
    catch
        Class:Reason:Stack -> {Class, Reason, Stack}
    end.

%% Outputs of 0 to 1 MiB, from the beginning of File. Each program leaves a process behind that
%% holds its streams, and at last writes the time. Returns the bad ones. For those with tree =>
%% leave it returns the time from the last output to the report of the end, each {us}.
outputs(E, Mark, File, N) ->
    {ok, All} = file:read_file(File),
    Self = self(),
    Bad = share(4, 0, N, fun(I) ->
        Size = rand:uniform(byte_size(All) + 1) - 1,
        {Tree, Left} = element(1 + I rem 3, {{kill, "1000"}, {wait, "0.02"}, {leave, "2"}}),
        Script = "sleep \"$1\" & head -c \"$2\" \"$3\"; printf %s \"$EPOCHREALTIME\"; exit 7",
        Cmd = ["/bin/bash", "-c", Script, "bash", Left, integer_to_list(Size), File],
        W = e2e:start(E, Cmd, #{tree => Tree, env => #{"CHAOS" => Mark, "LC_ALL" => "C"}}),
        {Out, <<>>, {exit_status, 7}, {exit_status, 7}} = e2e:outcome(W, ?TIMEOUT),
        Told = os:system_time(microsecond),
        <<_:Size/binary, Seconds:10/binary, ".", Micros:6/binary>> = Out,
        Tree =:= leave andalso
            (Self ! {took, Told - binary_to_integer(Seconds) * 1000000 - binary_to_integer(Micros)}),
        binary:part(Out, 0, Size) =:= binary:part(All, 0, Size)
    end),
    {Bad, took()}.

took() ->
    receive
        {took, T} -> [{T} | took()] % a list of numbers may be printed as text
    after 0 -> []
    end.

%% Kills a worker of many processes. Returns the time until its end is reported, and the time of
%% each ping meanwhile, {us}.
bomb(E, W) ->
    Self = self(),
    Pinger = spawn_link(fun() -> pings(E, Self, []) end),
    receive
        {Pinger, begun} -> ok
    end,
    Start = erlang:monotonic_time(microsecond),
    exit(W, kill),
    receive
        {'EXIT', W, killed} -> ok
    after ?TIMEOUT -> error(process_info(self(), messages))
    end,
    Took = erlang:monotonic_time(microsecond) - Start,
    Pinger ! {self(), stop},
    receive
        {Pinger, Pings} -> {Took, Pings}
    end.

pings(E, To, Pings) ->
    Start = erlang:monotonic_time(microsecond),
    pong = net_adm:ping(E),
    Took = erlang:monotonic_time(microsecond) - Start,
    Pings =:= [] andalso (To ! {self(), begun}),
    receive
        {To, stop} -> To ! {self(), [{Took} | Pings]}
    after 1 -> pings(E, To, [{Took} | Pings])
    end.

%% N programs end at once, and each gets a signal at about that time. Others among them get no
%% signal, and none of those may end by one. Returns the bad ones, and how many signals found no
%% process.
signals(E, First, N) ->
    Counter = counters:new(1, []),
    Bad = share(16, First, N, fun(I) ->
        case I rem 2 of
            0 -> bystander(E, I);
            1 -> target(E, I, Counter)
        end
    end),
    {Bad, counters:get(Counter, 1)}.

bystander(E, I) ->
    Cmd = element(1 + I div 2 rem 3, {["/bin/sh", "-c", "exit 9"], ["/bin/sh", "-c", "sleep 0.00" ++ integer_to_list(I rem 9) ++ "; exit 9"], ["/bin/sh", "-c", "/bin/true; exit 9"]}),
    case e2e:call(E, {spawn, Cmd, #{}}) of
        {ok, W} ->
            Outcome = e2e:outcome(W, ?TIMEOUT),
            {<<>>, <<>>, {exit_status, 9}, {exit_status, 9}} =:= Outcome orelse Outcome;
        {error, eagain} ->
            bystander(E, I)
    end.

target(E, I, Counter) ->
    case e2e:call(E, {spawn, ["/bin/sh", "-c", "exit 7"], #{}}) of
        {ok, W} ->
            pause(rand:uniform(3000)),
            Answer = signal(W, I div 2 rem 4),
            Answer =:= ok orelse counters:add(Counter, 1, 1),
            {<<>>, <<>>, End, Reason} = e2e:outcome(W, ?TIMEOUT),
            lists:member({End, Reason}, [
                {{exit_status, 7}, {exit_status, 7}},
                {{exit_status, 7}, killed},
                {{exit_status, 7}, normal},
                {{signal, sigusr1}, {signal, sigusr1}},
                {{signal, sigkill}, killed},
                {{signal, sigterm}, normal} % stop
            ]) orelse {target, Answer, End, Reason};
        {error, eagain} ->
            target(E, I, Counter)
    end.

%% Busy for Us microseconds, because a timer has a resolution of 1 ms.
pause(Us) ->
    pause_until(erlang:monotonic_time(microsecond) + Us).

pause_until(Until) ->
    erlang:monotonic_time(microsecond) >= Until orelse pause_until(Until).

signal(W, Kind) ->
    try
        case Kind of
            0 -> e2e:call(W, {signal, sigusr1});
            1 -> e2e:call(W, {signal, group, sigusr1});
            2 -> exit(W, kill), ok;
            3 -> {ok, _} = e2e:call(W, stop), ok
        end
    catch
        exit:{Gone, _} when Gone =/= timeout -> gone
    end.
