%% @private
%% Puts files on hosts for processes that do not do it themselves: for one of another control node,
%% and for one that has many hosts. Each upload has a process here, which ends with the one that it
%% is for.
-module(erluv_fleet_put).

-export([relayed/5]).
-export([all/2]).

%% Hosts that are written to at once by one call of put_file_all.
-define(AT_ONCE, 8).

%% @doc Puts what a reader of another control node has on a host that is connected with this one.
-spec relayed(pid(), erluv_put:reader(), node(), erluv:text() | memory, map()) -> term().
relayed(Caller, Reader, Node, Path, Options) ->
    {Pid, Ref} = start(Caller, fun() -> erluv_put:put_file(Node, Reader, Path, Options) end),
    receive
        {Pid, {put, Answer}} -> true = demonitor(Ref, [flush]), Answer;
        {'DOWN', Ref, process, Pid, Reason} -> {error, {exit, Reason}}
    end.

%% @doc What a function answers for each of these nodes, a bounded number at once.
-spec all([node()], fun((node()) -> term())) -> [{node(), term()}].
all(Nodes, Put) ->
    lists:keysort(1, next(#{}, Nodes, Put)).

next(Running, [], _) when map_size(Running) =:= 0 ->
    [];
next(Running, [Node | Later], Put) when map_size(Running) < ?AT_ONCE ->
    {Pid, Ref} = start(self(), fun() -> Put(Node) end),
    next(Running#{Pid => {Ref, Node}}, Later, Put);
next(Running, Later, Put) ->
    {Pid, Answer} = receive
                        {P, {put, A}} when is_map_key(P, Running) -> {P, A};
                        {'DOWN', _, process, P, Reason} when is_map_key(P, Running) -> {P, {error, {exit, Reason}}}
                    end,
    {{Ref, Node}, Rest} = maps:take(Pid, Running),
    true = demonitor(Ref, [flush]),
    [{Node, Answer} | next(Rest, Later, Put)].

%% The process sends the answer. A program in memory is its own, so it stays as long as that does.
start(Caller, Put) ->
    Parent = self(),
    spawn_monitor(fun() ->
                          Self = self(),
                          _ = spawn(fun() -> guard(Caller, Self) end),
                          Answer = Put(),
                          Parent ! {Self, {put, Answer}},
                          stay(Answer)
                  end).

guard(Caller, Pid) ->
    _ = monitor(process, Caller),
    Ref = monitor(process, Pid),
    receive
        {'DOWN', Ref, process, _, _} -> true;
        {'DOWN', _, process, _, _} -> exit(Pid, kill)
    end.

stay({ok, Upload}) when is_pid(Upload) ->
    Ref = monitor(process, Upload),
    receive {'DOWN', Ref, process, _, _} -> ok end;
stay(_) ->
    ok.
