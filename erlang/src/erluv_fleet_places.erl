%% @private
%% The places that are held on hosts. One is held from the choice of a host until its program is
%% counted there, or has not been started. A place belongs to the process that has it, and is known by
%% the monitor of that process. Of other control nodes it is known how many they hold.
%%
%% erluv_fleet_server has these, and receives the timers and the monitors.
-module(erluv_fleet_places).

-export([new/0]).
-export([hold/5]).
-export([use/3]).
-export([hand_over/2]).
-export([of_caller/2]).
-export([unused/2]).
-export([release/2]).
-export([own/1]).
-export([count/2]).
-export([others/3]).
-export([others/4]).
-export([no_others/2]).

-export_type([places/0]).
-export_type([kind/0]).

%% place: until a program is started in it, the caller ends, or the time is over. start: of a
%% program that is being started.
-type kind() :: place | start.
-type counts() :: #{node() => pos_integer()}.

-record(hold, {
    node :: node(),
    caller :: pid(),
    kind :: kind(),
    timer :: reference() | undefined       % of a place that nobody has used yet
}).

-record(places, {
    holds = #{} :: #{reference() => #hold{}},            % by the monitor of the caller
    placed = #{} :: #{{pid(), node()} => [reference()]}, % of the kind place
    own = #{} :: counts(),
    others = #{} :: #{pid() => counts()}
}).

-opaque places() :: #places{}.

-spec new() -> places().
new() -> #places{}.

%% @doc A place for the caller. One of the kind place is over after some time: the process
%% is sent `{timeout, _, {hold, Ref}}'.
-spec hold(node(), pid(), kind(), Time :: pos_integer(), places()) -> {reference(), places()}.
hold(Node, Caller, Kind, Time, #places{holds = Holds, placed = Placed} = Places) ->
    Ref = monitor(process, Caller),
    Hold = #hold{node = Node, caller = Caller, kind = Kind, timer = timer(Kind, Ref, Time)},
    New = Places#places{holds = Holds#{Ref => Hold},
                        placed = case Kind of
                                     place -> maps:update_with({Caller, Node}, fun(Refs) -> Refs ++ [Ref] end, [Ref], Placed);
                                     start -> Placed
                                 end},
    {Ref, add(Node, 1, New)}.

timer(start, _, _) -> undefined;
timer(place, Ref, Time) -> erlang:start_timer(Time, self(), {hold, Ref}).

add(Node, N, #places{own = Own} = Places) ->
    Places#places{own = case maps:get(Node, Own, 0) + N of
                            0 -> maps:remove(Node, Own);
                            Count -> Own#{Node => Count}
                        end}.

%% @doc A place that the caller has there becomes the program's that is started in it.
-spec use(pid(), node(), places()) -> {reference(), places()} | none.
use(Caller, Node, #places{placed = Placed, holds = Holds} = Places) ->
    case Placed of
        #{{Caller, Node} := [Ref | _]} ->
            #{Ref := Hold} = Holds,
            {Ref, unplaced(Ref, Hold, Places#places{holds = Holds#{Ref := Hold#hold{kind = start, timer = undefined}}})};
        #{} ->
            none
    end.

unplaced(_, #hold{kind = start}, Places) ->
    Places;
unplaced(Ref, #hold{caller = Caller, node = Node, timer = Timer}, #places{placed = Placed} = Places) ->
    _ = erlang:cancel_timer(Timer),
    #{{Caller, Node} := Refs} = Placed,
    Places#places{placed = case lists:delete(Ref, Refs) of
                               [] -> maps:remove({Caller, Node}, Placed);
                               Others -> Placed#{{Caller, Node} := Others}
                           end}.

%% @doc The program of the place is about to be counted: the place does not end with its caller.
-spec hand_over(reference(), places()) -> places().
hand_over(Ref, #places{holds = Holds} = Places) ->
    case Holds of
        #{Ref := Hold} -> Places#places{holds = Holds#{Ref := Hold#hold{caller = self()}}};
        #{} -> Places
    end.

%% @doc The host of a place whose caller has ended, unless it was handed over.
-spec of_caller(reference(), places()) -> node() | none.
of_caller(Ref, #places{holds = Holds}) ->
    Self = self(),
    case Holds of
        #{Ref := #hold{caller = Self}} -> none;
        #{Ref := #hold{node = Node}} -> Node;
        #{} -> none
    end.

%% @doc The host of a place in which nothing was started, now that its time is over.
-spec unused(reference(), places()) -> node() | none.
unused(Ref, #places{holds = Holds}) ->
    case Holds of
        #{Ref := #hold{kind = place, node = Node}} -> Node;
        #{} -> none
    end.

-spec release(reference(), places()) -> {node(), places()} | none.
release(Ref, #places{holds = Holds} = Places) ->
    case maps:take(Ref, Holds) of
        {#hold{node = Node} = Hold, Others} ->
            _ = demonitor(Ref, [flush]),
            {Node, add(Node, -1, unplaced(Ref, Hold, Places#places{holds = Others}))};
        error ->
            none
    end.

%% @doc How many this control node holds on each host.
-spec own(places()) -> counts().
own(#places{own = Own}) -> Own.

%% @doc How many all control nodes hold there.
-spec count(node(), places()) -> non_neg_integer().
count(Node, #places{own = Own, others = Others}) ->
    lists:sum([maps:get(Node, Counts, 0) || Counts <- [Own | maps:values(Others)]]).

%% @doc What another control node holds.
-spec others(pid(), counts(), places()) -> places().
others(Pid, Counts, #places{others = Others} = Places) -> Places#places{others = Others#{Pid => Counts}}.

%% @doc What it holds on one host.
-spec others(pid(), node(), non_neg_integer(), places()) -> places().
others(Pid, Node, Count, #places{others = Others} = Places) ->
    Places#places{others = maps:update_with(Pid, fun(Counts) -> Counts#{Node => Count} end, #{Node => Count}, Others)}.

%% @doc It has gone; the hosts where it has held places.
-spec no_others(pid(), places()) -> {[node()], places()}.
no_others(Pid, #places{others = Others} = Places) ->
    {maps:keys(maps:get(Pid, Others, #{})), Places#places{others = maps:remove(Pid, Others)}}.
