%% Control nodes of a fleet, and callers that count how often their programs have run.
-module(e2e_fleet).

-export([event/2]).
-export([stopped/1]).
-export([none/1]).
-export([counted/2]).
-export([started/2]).
-export([wait/3]).
-export([waited/1]).
-export([ran/2]).
-export([callers/3]).
-export([called/1]).
-export([tally/2]).

-define(WAIT, 120000).

event(What, Host) ->
    receive
        {erluv_fleet, {What, Host, Info}} -> Info
    after ?WAIT -> error({no, What, Host, process_info(self(), messages)})
    end.

%% The reported reason for a program's stop.
stopped(W) ->
    receive
        {erluv_fleet, {task_stopped, _, W, Reason}} -> Reason
    after ?WAIT -> error({runs, W, process_info(self(), messages)})
    end.

%% No message so far says that the host is gone.
none(Host) ->
    receive
        {erluv_fleet, {down, Host, _}} -> down;
        {erluv_fleet, {task_stopped, Host, W, noconnection}} -> {stopped, W}
    after 0 -> none
    end.

%% Waits until a host counts Workers programs, and no place is held for one.
counted(Host, Workers) ->
    e2e:until(fun() ->
                      [#{workers := Counted, free := Free, max_workers := Max}] = erluv_fleet:nodes(#{node => Host}),
                      {Counted, Free} =:= {Workers, Max - Workers}
              end).

%% Starts a program that runs until it is stopped.
started(Host, Options) ->
    {ok, W} = erluv_fleet:spawn(Host, ["/bin/sleep", "1000"], Options),
    W.

%% A process that runs a program. The program records its run in a file, and then executes another
%% one.
wait(Host, File, Cmd) ->
    Id = id(),
    {Id, spawn_monitor(fun() ->
                               exit({done, erluv_fleet:run(Host, ["/bin/sh", "-c", "echo \"$1\" >>\"$2\"; shift 2; exec \"$@\"", "sh", Id, File | Cmd], #{})})
                       end)}.

%% The answer that the process got.
waited({_, {_, Ref}}) ->
    receive
        {'DOWN', Ref, process, _, {done, {ok, _}}} -> ok;
        {'DOWN', Ref, process, _, {done, {error, {Reason, Host}}}} when is_atom(Host) -> {Reason, Host};
        {'DOWN', Ref, process, _, Other} -> Other
    after ?WAIT -> error({waits, process_info(self(), messages)})
    end.

%% How often its program has run.
ran(File, {Id, _}) ->
    maps:get(Id, runs(File), 0).

id() -> lists:concat([node(), "-", erlang:unique_integer([positive])]).

noting(File, Id) ->
    ["/bin/sh", "-c", "echo \"$1\" >>\"$2\"", "sh", Id, File].

%% Processes that run such programs, one after the other, until called/1. Half of them use run/3,
%% and half spawn/3. The first program has run when this returns.
callers(Host, File, N) ->
    Self = self(),
    Callers = [spawn_link(fun() ->
                                  First = one(Host, File, Kind),
                                  Self ! {self(), begun},
                                  caller(Host, File, Kind, [First])
                          end) || Kind <- [run, spawn], _ <- lists:seq(1, N div 2)],
    [receive {Caller, begun} -> Caller after ?WAIT -> error({waits, Caller}) end || Caller <- Callers].

caller(Host, File, Kind, Done) ->
    receive
        {done, To} -> To ! {self(), Done}
    after 10 -> caller(Host, File, Kind, [one(Host, File, Kind) | Done])
    end.

one(Host, File, Kind) ->
    Id = id(),
    {Id, call(Kind, Host, File, Id)}.

call(run, Host, File, Id) ->
    erluv_fleet:run(Host, noting(File, Id), #{});
call(spawn, Host, File, Id) ->
    {_, Ref} = spawn_monitor(fun() -> exit({done, ended(erluv_fleet:spawn(Host, noting(File, Id), #{}))}) end),
    receive
        {'DOWN', Ref, process, _, {done, Result}} -> Result
    end.

%% A started program may have ended before the connection, or after it.
ended({ok, W}) ->
    Ref = monitor(process, W),
    receive
        {W, {exit_status, 0}} -> {ok, W};
        {'DOWN', Ref, process, W, Reason} -> {stopped, Reason}
    end;
ended(Error) ->
    Error.

%% The results of each of their calls.
called(Callers) ->
    [Caller ! {done, self()} || Caller <- Callers],
    lists:append([receive {Caller, Results} -> Results after ?WAIT -> error({waits, Caller}) end || Caller <- Callers]).

%% The number of each kind of result. Wrong are results that the file contradicts.
tally(File, Results) ->
    Ran = runs(File),
    Wrong = [{Id, Result, maps:get(Id, Ran, 0)}
             || {Id, Result} <- Results, not lists:member(maps:get(Id, Ran, 0), times(Result))],
    Counts = lists:foldl(fun({_, Result}, Times) -> maps:update_with(kind(Result), fun(N) -> N + 1 end, 1, Times) end,
                         #{}, Results),
    {Wrong, Counts}.

runs(File) ->
    {ok, Text} = file:read_file(File),
    lists:foldl(fun(Id, Times) -> maps:update_with(Id, fun(N) -> N + 1 end, 1, Times) end,
                #{}, string:lexemes(binary_to_list(Text), "\n")).

times({ok, _}) -> [1];
times({error, {lost, _}}) -> [0, 1];
times({error, child_down}) -> [0, 1];
times({error, {exit, child_crashed}}) -> [0, 1];
times({stopped, _}) -> [0, 1];
times({error, _}) -> [0].

kind({ok, _}) -> ok;
kind({error, {exit, _} = Exit}) -> Exit;
kind({error, {Reason, _}}) -> Reason;
kind({error, Reason}) -> Reason;
kind({stopped, Reason}) -> {stopped, Reason}.
