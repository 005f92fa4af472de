%% @private
%% The tables of a control node, which any of its processes reads without asking another one:
%% hosts, how many programs each has, ids, and the processes that run a program to its end.
%% erluv_fleet_server owns them and writes all but the last, which each of these processes writes itself.
-module(erluv_fleet_table).

-export([new/0]).
-export([put_host/2]).
-export([delete_host/1]).
-export([set_workers/2]).
-export([set_held/2]).
-export([hosts/0]).
-export([via/1]).
-export([counted/1]).
-export([pick/2]).
-export([put_id/4]).
-export([delete_id/3]).
-export([with_id/1]).
-export([runs/1]).
-export([run_over/1]).
-export([runners/1]).
-export([forget_runs/2]).

-define(HOSTS, erluv_fleet_hosts).   % {Node, Host}
-define(COUNTS, erluv_fleet_counts). % {Node, Workers, Held, Max, Cpus}
-define(IDS, erluv_fleet_ids).       % {Id, Node, Worker, Task}, more than one if control nodes did not see each other
-define(RUNS, erluv_fleet_runs).     % {Pid, Node, Ref}

-type run() :: {pid(), node(), reference()}.
-export_type([run/0]).

-spec new() -> ok.
new() ->
    _ = [ets:new(Table, [named_table, {read_concurrency, true}]) || Table <- [?HOSTS, ?COUNTS]],
    ?IDS = ets:new(?IDS, [named_table, bag, {read_concurrency, true}]),
    ?RUNS = ets:new(?RUNS, [named_table, bag, public, {write_concurrency, true}]),
    ok.

%% @doc A host is shown, or has changed; set_workers/2 and set_held/2 follow.
-spec put_host(node(), map()) -> ok.
put_host(Node, #{max_workers := Max, load := #{cpus := Cpus}} = Host) ->
    true = ets:insert(?HOSTS, {Node, Host}),
    true = ets:insert_new(?COUNTS, {Node, 0, 0, Max, max(1, Cpus)})
        orelse ets:update_element(?COUNTS, Node, [{4, Max}, {5, max(1, Cpus)}]),
    ok.

-spec delete_host(node()) -> ok.
delete_host(Node) ->
    true = ets:delete(?HOSTS, Node),
    true = ets:delete(?COUNTS, Node),
    ok.

%% @doc How many programs are counted there, if the host is shown.
-spec set_workers(node(), non_neg_integer()) -> ok.
set_workers(Node, N) -> _ = ets:update_element(?COUNTS, Node, {2, N}), ok.

%% @doc How many places are held there, if the host is shown.
-spec set_held(node(), non_neg_integer()) -> ok.
set_held(Node, N) -> _ = ets:update_element(?COUNTS, Node, {3, N}), ok.

-spec hosts() -> [erluv_fleet:host()].
hosts() ->
    try ets:tab2list(?HOSTS) of
        Hosts -> [Host#{workers => Workers, free => max(0, Max - Workers - Held)}
                  || {Node, Host} <- Hosts, {_, Workers, Held, Max, _} <- ets:lookup(?COUNTS, Node)]
    catch
        error:badarg -> exit({noproc, {erluv_fleet, nodes, []}})
    end.

%% @doc The control node through which a host is reached.
-spec via(node()) -> {ok, node()} | error.
via(Node) ->
    case ets:lookup(?HOSTS, Node) of
        [{_, #{via := Via}}] -> {ok, Via};
        [] -> error
    end.

%% @doc How many programs a host has and is promised.
-spec counted(node()) -> non_neg_integer().
counted(Node) ->
    case ets:lookup(?COUNTS, Node) of
        [Row] -> count(Row);
        [] -> 0
    end.

count({_, Workers, Held, _, _}) -> Workers + Held.

%% @doc One of these hosts that has room. Of equals it is the first by name, so that it can be told
%% in advance.
-spec pick(least_loaded | spread | random, [node()]) -> {ok, node()} | {full, #{node() => non_neg_integer()}}.
pick(How, Nodes) ->
    Rows = [Row || Node <- Nodes, Row <- ets:lookup(?COUNTS, Node)],
    case [Row || {_, Workers, Held, Max, _} = Row <- Rows, Workers + Held < Max] of
        [] -> {full, maps:from_list([{element(1, Row), count(Row)} || Row <- Rows])};
        Free -> {ok, picked(How, Free)}
    end.

picked(random, Rows) ->
    element(1, lists:nth(rand:uniform(length(Rows)), Rows));
picked(How, Rows) ->
    {_, Node} = lists:min([{burden(How, Row), element(1, Row)} || Row <- Rows]),
    Node.

burden(spread, Row) -> count(Row);
burden(least_loaded, Row) -> count(Row) / element(5, Row).

-spec put_id(binary(), node(), Worker :: pid(), Task :: pid()) -> ok.
put_id(Id, Node, Worker, Task) -> true = ets:insert(?IDS, {Id, Node, Worker, Task}), ok.

-spec delete_id(binary(), node(), Worker :: pid()) -> ok.
delete_id(Id, Node, Worker) -> true = ets:match_delete(?IDS, {Id, Node, Worker, '_'}), ok.

%% @doc The programs with an id, in the order of their hosts.
-spec with_id(binary()) -> [{node(), Worker :: pid(), Task :: pid()}].
with_id(Id) ->
    try ets:lookup(?IDS, Id) of
        Rows -> lists:sort([{Node, Worker, Task} || {_, Node, Worker, Task} <- Rows])
    catch
        error:badarg -> exit({noproc, {erluv_fleet, tasks, []}})
    end.

%% @doc The caller is about to run a program to its end on this host, in a place that is held.
-spec runs(node()) -> run().
runs(Node) ->
    Run = {self(), Node, make_ref()},
    true = ets:insert(?RUNS, Run),
    Run.

-spec run_over(run()) -> ok.
run_over(Run) -> true = ets:delete_object(?RUNS, Run), ok.

%% @doc The processes that run a program on this host.
-spec runners(node()) -> [pid()].
runners(Node) -> [Pid || [Pid] <- ets:match(?RUNS, {'$1', Node, '_'})].

%% @doc Forgets those that have ended without a word, but for these, whose programs are ending.
-spec forget_runs(node(), [pid()]) -> ok.
forget_runs(Node, Pids) ->
    lists:foreach(fun(Pid) -> true = ets:match_delete(?RUNS, {Pid, Node, '_'}) end,
                  [Pid || Pid <- runners(Node) -- Pids, not is_process_alive(Pid)]).
