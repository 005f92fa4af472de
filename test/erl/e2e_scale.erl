%% A control node with many hosts: its memory for them, and the times of operations.
-module(e2e_scale).

-export([start/0]).
-export([hosts/1]).
-export([spawned/2]).
-export([placed/2]).
-export([counted/1]).
-export([went/1]).
-export([memory/0]).
-export([state/0]).

%% It lives as long as the node.
start() ->
    Self = self(),
    Pid = spawn(fun() ->
                        {ok, _} = erluv_fleet:start_link(#{hold => 600000}), % for a slow machine
                        Self ! {self(), ok},
                        receive never -> ok end
                end),
    receive {Pid, ok} -> ok end.

%% Waits until there are N hosts.
hosts(N) ->
    e2e:until(fun() -> ets:info(erluv_fleet_hosts, size) =:= N end, 600000).

%% Processes start N programs at once. Returns how many hosts have got how many of them.
spawned(N, Processes) ->
    each(Processes, fun() -> [{ok, _} = erluv_fleet:spawn({#{}, spread}, ["true"], #{owner => none, link => false})
                              || _ <- lists:seq(1, N div Processes)] end),
    counted(N),
    shares([Workers || #{workers := Workers} <- erluv_fleet:nodes()]).

%% One process takes N places. Returns the time, in microseconds, and how many hosts have how many
%% of them. The places are free again when this returns.
placed(N, Strategy) ->
    Self = self(),
    Pid = spawn(fun() ->
                        Begin = erlang:monotonic_time(),
                        Nodes = [Node || _ <- lists:seq(1, N), {ok, Node} <- [erluv_fleet:place(#{}, Strategy)]],
                        Took = erlang:convert_time_unit(erlang:monotonic_time() - Begin, native, microsecond),
                        Self ! {self(), {Took, shares(maps:values(maps:groups_from_list(fun(Node) -> Node end, Nodes)))}}
                end),
    Result = receive {Pid, It} -> It end,
    e2e:until(fun() -> [10000] =:= lists:usort([Free || #{free := Free} <- erluv_fleet:nodes()]) end, 600000),
    Result.

shares(Counts) ->
    maps:map(fun(_, Same) -> length(Same) end, maps:groups_from_list(fun share/1, Counts)).

share(Count) when is_integer(Count) -> Count;
share(Nodes) -> length(Nodes).

each(Processes, F) ->
    Pids = [spawn_monitor(F) || _ <- lists:seq(1, Processes)],
    [receive {'DOWN', Ref, process, Pid, normal} -> ok end || {Pid, Ref} <- Pids].

counted(N) ->
    e2e:until(fun() -> lists:sum([element(2, Row) || Row <- ets:tab2list(erluv_fleet_counts)]) =:= N end, 600000).

%% Waits until N hosts are reported down, and no program is counted there.
went(N) ->
    [receive {erluv_fleet, {down, _, _}} -> ok after 600000 -> error({down, I}) end || I <- lists:seq(1, N)],
    ok.

%% Bytes after garbage collection: in all, of the fleet's process, and of the hosts' processes.
memory() ->
    [garbage_collect(Pid) || Pid <- processes()],
    Hosts = [Pid || Pid <- processes(), {dictionary, Dictionary} <- [process_info(Pid, dictionary)],
                    {'$initial_call', {erluv_fleet_host, enter, 2}} <- Dictionary],
    {erlang:memory(total), bytes(whereis(erluv_fleet)), lists:sum([bytes(Pid) || Pid <- Hosts])}.

bytes(Pid) ->
    {memory, Memory} = process_info(Pid, memory),
    Memory.

%% The messages that wait for the processes that all hosts share.
state() ->
    [{Name, element(2, process_info(whereis(Name), message_queue_len))} || Name <- [erluv_fleet, net_kernel]].
