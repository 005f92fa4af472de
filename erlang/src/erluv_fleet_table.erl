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
-export([pick_of/2]).
-export([put_id/4]).
-export([delete_id/3]).
-export([with_id/1]).
-export([runs/1]).
-export([run_over/1]).
-export([runners/1]).
-export([forget_runs/2]).

-define(HOSTS, erluv_fleet_hosts).   % {Node, Host}
-define(COUNTS, erluv_fleet_counts). % {Node, Workers, Held, Max, Cpus}
-define(SPREAD, erluv_fleet_spread). % {{Workers + Held, Node}}, in this order,
-define(LOAD, erluv_fleet_load).     % and of each processor
-define(IDS, erluv_fleet_ids).       % {Id, Node, Worker, Task}, more than one if control nodes did not see each other
-define(RUNS, erluv_fleet_runs).     % {Pid, Node, Ref}

-type run() :: {pid(), node(), reference()}.
-export_type([run/0]).

-spec new() -> ok.
new() ->
    _ = [ets:new(Table, [named_table, {read_concurrency, true}]) || Table <- [?HOSTS, ?COUNTS]],
    _ = [ets:new(Table, [named_table, ordered_set]) || Table <- [?SPREAD, ?LOAD]],
    ?IDS = ets:new(?IDS, [named_table, bag, {read_concurrency, true}]),
    ?RUNS = ets:new(?RUNS, [named_table, bag, public, {write_concurrency, true}]),
    ok.

%% @doc A host is shown, or has changed; set_workers/2 and set_held/2 follow.
-spec put_host(node(), map()) -> ok.
put_host(Node, #{max_workers := Max, load := #{cpus := Cpus}} = Host) ->
    true = ets:insert(?HOSTS, {Node, Host}),
    case ets:lookup(?COUNTS, Node) of
        [Row] -> change(Row, setelement(5, setelement(4, Row, Max), max(1, Cpus)));
        [] -> change(none, {Node, 0, 0, Max, max(1, Cpus)})
    end.

-spec delete_host(node()) -> ok.
delete_host(Node) ->
    true = ets:delete(?HOSTS, Node),
    change_at(Node, fun(_) -> none end).

%% @doc How many programs are counted there, if the host is shown.
-spec set_workers(node(), non_neg_integer()) -> ok.
set_workers(Node, N) -> change_at(Node, fun(Row) -> setelement(2, Row, N) end).

%% @doc How many places are held there, if the host is shown.
-spec set_held(node(), non_neg_integer()) -> ok.
set_held(Node, N) -> change_at(Node, fun(Row) -> setelement(3, Row, N) end).

change_at(Node, F) ->
    case ets:lookup(?COUNTS, Node) of
        [Row] -> change(Row, F(Row));
        [] -> ok
    end.

change(Row, Row) ->
    ok;
change(Old, New) ->
    _ = Old =:= none orelse [ets:delete(Table, {Burden, element(1, Old)}) || {Table, Burden} <- burdens(Old)],
    _ = case New of
            none -> ets:delete(?COUNTS, element(1, Old));
            _ -> [ets:insert(?COUNTS, New) | [ets:insert(Table, {{Burden, element(1, New)}}) || {Table, Burden} <- burdens(New)]]
        end,
    ok.

burdens(Row) -> [{?SPREAD, burden(spread, Row)}, {?LOAD, burden(least_loaded, Row)}].

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

%% @doc One of the hosts that are meant, with room: the first in the order of a strategy, in which of
%% equals the first by name comes first. A thousand hosts are not looked at for each program.
-spec pick(least_loaded | spread | random, Meant :: fun((node()) -> boolean())) ->
          {ok, node()} | {full, #{node() => non_neg_integer()}} | none.
pick(random, Meant) ->
    picked(random, meant(Meant));
pick(How, Meant) ->
    Table = case How of
                spread -> ?SPREAD;
                least_loaded -> ?LOAD
            end,
    case first(ets:first(Table), Table, Meant) of
        none -> picked(How, meant(Meant));
        Node -> {ok, Node}
    end.

first('$end_of_table', _, _) ->
    none;
first({_, Node} = Key, Table, Meant) ->
    case has_room(Node) andalso Meant(Node) of
        true -> Node;
        false -> first(ets:next(Table, Key), Table, Meant)
    end.

has_room(Node) ->
    [{_, Workers, Held, Max, _}] = ets:lookup(?COUNTS, Node),
    Workers + Held < Max.

meant(Meant) -> [Row || {Node, _, _, _, _} = Row <- ets:tab2list(?COUNTS), Meant(Node)].

%% @doc One of these hosts.
-spec pick_of(least_loaded | spread | random, [node()]) -> {ok, node()} | {full, #{node() => non_neg_integer()}} | none.
pick_of(How, Nodes) ->
    picked(How, [Row || Node <- Nodes, Row <- ets:lookup(?COUNTS, Node)]).

picked(_, []) ->
    none;
picked(How, Rows) ->
    case [Row || {_, Workers, Held, Max, _} = Row <- Rows, Workers + Held < Max] of
        [] -> {full, maps:from_list([{element(1, Row), count(Row)} || Row <- Rows])};
        Free when How =:= random -> {ok, element(1, lists:nth(rand:uniform(length(Free)), Free))};
        Free -> {ok, element(2, lists:min([{burden(How, Row), element(1, Row)} || Row <- Free]))}
    end.

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
