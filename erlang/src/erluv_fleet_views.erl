%% @private
%% What is known of the hosts. A view is what one control node has of a host that is connected with
%% it: the host and its programs. One view of a host is shown, that of this node before others:
%% in the tables, and to subscribers by how it changes.
%%
%% erluv_fleet_server has these, with the views of its own hosts and those that other
%% control nodes send, which are known by their erluv_fleet_server.
-module(erluv_fleet_views).

-export([new/0]).
-export([subscribe/2]).
-export([unsubscribe/2]).
-export([own/1]).
-export([peer/3]).
-export([no_peer/2]).
-export([put/4]).
-export([put_host/4]).
-export([delete/3]).
-export([started/5]).
-export([stopped/5]).
-export([shows/2]).
-export([meant/3]).
-export([tasks/2]).

-export_type([views/0]).
-export_type([source/0]).
-export_type([tasks/0]).

-type tasks() :: #{Worker :: pid() => Info :: map()}.
-type view() :: {Host :: map(), tasks()}.
-type source() :: own | pid().

-record(views, {
    own = #{} :: #{node() => view()},
    peers = #{} :: #{pid() => #{node() => view()}},
    shown = #{} :: #{node() => view()},
    subscribers = #{} :: #{pid() => reference()}
}).

-opaque views() :: #views{}.

-spec new() -> views().
new() -> #views{}.

-spec subscribe(pid(), views()) -> views().
subscribe(Pid, #views{subscribers = Subscribers} = Views) ->
    case Subscribers of
        #{Pid := _} -> Views;
        #{} -> Views#views{subscribers = Subscribers#{Pid => monitor(process, Pid)}}
    end.

%% @doc The monitor says that a process has ended. False: it is not of a subscriber.
-spec unsubscribe({pid(), reference()}, views()) -> {true, views()} | false.
unsubscribe({Pid, Ref}, #views{subscribers = Subscribers} = Views) ->
    case Subscribers of
        #{Pid := Ref} -> {true, Views#views{subscribers = maps:remove(Pid, Subscribers)}};
        #{} -> false
    end.

-spec own(views()) -> #{node() => view()}.
own(#views{own = Own}) -> Own.

%% @doc All views of another control node.
-spec peer(pid(), #{node() => view()}, views()) -> views().
peer(Pid, New, #views{peers = Peers} = Views) ->
    Old = maps:get(Pid, Peers, #{}),
    lists:foldl(fun show/2, Views#views{peers = Peers#{Pid => New}}, maps:keys(maps:merge(Old, New))).

%% @doc Another control node has gone.
-spec no_peer(pid(), views()) -> views().
no_peer(Pid, #views{peers = Peers} = Views) ->
    lists:foldl(fun show/2, Views#views{peers = maps:remove(Pid, Peers)}, maps:keys(maps:get(Pid, Peers, #{}))).

%% @doc The view that one has of a host.
-spec put(node(), view(), source(), views()) -> views().
put(Node, View, Of, Views) -> show(Node, put_view(Node, View, Of, Views)).

%% @doc What one knows of a host, with the same programs.
-spec put_host(node(), map(), source(), views()) -> views().
put_host(Node, Host, Of, Views) ->
    case view(Node, Of, Views) of
        {_, Tasks} -> put(Node, {Host, Tasks}, Of, Views);
        none -> Views
    end.

%% @doc One is not connected with the host any more.
-spec delete(node(), source(), views()) -> views().
delete(Node, own, #views{own = Own} = Views) ->
    show(Node, Views#views{own = maps:remove(Node, Own)});
delete(Node, Pid, #views{peers = Peers} = Views) ->
    show(Node, Views#views{peers = Peers#{Pid => maps:remove(Node, maps:get(Pid, Peers, #{}))}}).

-spec started(node(), Worker :: pid(), Info :: map(), source(), views()) -> views().
started(Node, Worker, Info, Of, Views) ->
    case view(Node, Of, Views) of
        {Host, Tasks} ->
            New = put_view(Node, {Host, Tasks#{Worker => Info}}, Of, Views),
            case source(Node, Views) of
                Of -> begin_task(Node, Worker, Info, New);
                _ -> New
            end;
        none ->
            Views
    end.

-spec stopped(node(), Worker :: pid(), Reason :: term(), source(), views()) -> views().
stopped(Node, Worker, Reason, Of, Views) ->
    case view(Node, Of, Views) of
        {Host, Tasks} ->
            New = put_view(Node, {Host, maps:remove(Worker, Tasks)}, Of, Views),
            case source(Node, Views) of
                Of -> end_task(Node, Worker, Reason, New);
                _ -> New
            end;
        none ->
            Views
    end.

-spec shows(node(), views()) -> boolean().
shows(Node, #views{shown = Shown}) -> is_map_key(Node, Shown).

%% @doc Whether a host is ready and a filter holds of it, which is a map.
-spec meant(node(), erluv_fleet:filter(), views()) -> boolean().
meant(Node, Filter, #views{shown = Shown}) ->
    case Shown of
        #{Node := {#{status := ready} = Host, _}} -> erluv_fleet_filter:matches(Filter, Host);
        #{} -> false
    end.

%% @doc The programs of these hosts.
-spec tasks([node()], views()) -> [erluv_fleet:task()].
tasks(Nodes, #views{shown = Shown}) ->
    [(maps:remove(task, Info))#{node => Node, worker => task(Worker, Info)}
     || Node <- Nodes, {_, Tasks} <- [maps:get(Node, Shown, {none, #{}})], {Worker, Info} <- maps:to_list(Tasks)].

view(Node, own, #views{own = Own}) -> maps:get(Node, Own, none);
view(Node, Pid, #views{peers = Peers}) -> maps:get(Node, maps:get(Pid, Peers, #{}), none).

put_view(Node, View, own, #views{own = Own} = Views) -> Views#views{own = Own#{Node => View}};
put_view(Node, View, Pid, #views{peers = Peers} = Views) ->
    Views#views{peers = Peers#{Pid => (maps:get(Pid, Peers, #{}))#{Node => View}}}.

%% Whose view is shown.
source(Node, #views{own = Own}) when is_map_key(Node, Own) -> own;
source(Node, #views{peers = Peers}) ->
    case [Pid || {Pid, Of} <- maps:to_list(Peers), is_map_key(Node, Of)] of
        [] -> none;
        Pids -> lists:min(Pids)
    end.

%% What is shown, and how it has changed: first the host, then its programs.
show(Node, #views{shown = Shown} = Views) ->
    Old = maps:get(Node, Shown, none),
    New = case source(Node, Views) of
              none -> none;
              Of -> view(Node, Of, Views)
          end,
    show(Node, Old, New, Views).

show(_, none, none, Views) ->
    Views;
show(Node, {Host, Tasks}, none, #views{shown = Shown} = Views) ->
    ok = erluv_fleet_table:delete_host(Node),
    ok = notify({down, Node, Host#{status := not_connected}}, Views),
    lists:foreach(fun({Worker, Info}) -> tell_stopped(Node, Worker, Info, noconnection, Views) end, maps:to_list(Tasks)),
    Views#views{shown = maps:remove(Node, Shown)};
show(Node, Old, {Host, Tasks} = New, #views{shown = Shown} = Views) ->
    ok = erluv_fleet_table:put_host(Node, Host),
    ok = erluv_fleet_table:set_workers(Node, map_size(Tasks)),
    ok = tell(Node, Old, New, Views),
    Views#views{shown = Shown#{Node => New}}.

tell(Node, none, {Host, Tasks}, Views) ->
    ok = notify({up, Node, Host}, Views),
    lists:foreach(fun({Worker, Info}) -> tell_started(Node, Worker, Info, Views) end, maps:to_list(Tasks));
tell(Node, {Old, Before}, {New, Now}, Views) ->
    ok = case maps:get(status, Old) =:= maps:get(status, New) of
             true -> ok;
             false -> notify({status, Node, New}, Views)
         end,
    lists:foreach(fun({Worker, Info}) -> tell_stopped(Node, Worker, Info, noconnection, Views) end,
                  [Task || {Worker, _} = Task <- maps:to_list(Before), not is_map_key(Worker, Now)]),
    lists:foreach(fun({Worker, Info}) -> tell_started(Node, Worker, Info, Views) end,
                  [Task || {Worker, _} = Task <- maps:to_list(Now), not is_map_key(Worker, Before)]).

begin_task(Node, Worker, Info, #views{shown = Shown} = Views) ->
    case Shown of
        #{Node := {_, #{Worker := Old}}} when not is_map_key(task, Info); is_map_key(task, Old) ->
            Views;
        #{Node := {Host, #{Worker := Old} = Tasks}} ->
            % It was found by its own pid, and is known by that of the process that stands for it.
            ok = tell_stopped(Node, Worker, Old, {task, maps:get(task, Info)}, Views),
            ok = tell_started(Node, Worker, Info, Views),
            Views#views{shown = Shown#{Node := {Host, Tasks#{Worker := Info}}}};
        #{Node := {Host, Tasks}} ->
            ok = erluv_fleet_table:set_workers(Node, map_size(Tasks) + 1),
            ok = tell_started(Node, Worker, Info, Views),
            Views#views{shown = Shown#{Node := {Host, Tasks#{Worker => Info}}}}
    end.

end_task(Node, Worker, Reason, #views{shown = Shown} = Views) ->
    case Shown of
        #{Node := {Host, #{Worker := Info} = Tasks}} ->
            Left = maps:remove(Worker, Tasks),
            ok = erluv_fleet_table:set_workers(Node, map_size(Left)),
            ok = tell_stopped(Node, Worker, Info, Reason, Views),
            Views#views{shown = Shown#{Node := {Host, Left}}};
        #{} ->
            Views
    end.

tell_started(Node, Worker, Info, Views) ->
    ok = notify({task_started, Node, task(Worker, Info), maps:remove(task, Info)}, Views),
    case Info of
        #{id := Id} ->
            ok = erluv_fleet_table:put_id(Id, Node, Worker, task(Worker, Info)),
            tell_conflict(Id, erluv_fleet_table:with_id(Id), Views);
        #{} ->
            ok
    end.

tell_conflict(_, [_], _) -> ok;
tell_conflict(Id, Programs, Views) -> notify({task_conflict, Id, [Task || {_, _, Task} <- Programs]}, Views).

tell_stopped(Node, Worker, Info, Reason, Views) ->
    ok = case Info of
             #{id := Id} -> erluv_fleet_table:delete_id(Id, Node, Worker);
             #{} -> ok
         end,
    notify({task_stopped, Node, task(Worker, Info), Reason}, Views).

%% What spawn has returned.
task(Worker, Info) -> maps:get(task, Info, Worker).

notify(Event, #views{subscribers = Subscribers}) ->
    lists:foreach(fun(Pid) -> Pid ! {erluv_fleet, Event} end, maps:keys(Subscribers)).
