%% @private
%% Which host a program is to run on, and a place there.
-module(erluv_fleet_choice).

-export([taken/1]).
-export([choose/3]).

-include("erluv.hrl").

-type choice() :: {ok, node(), Via :: node(), reference()}
                | {error, {full, #{node() => non_neg_integer()}} | {none, erluv_fleet:filter()} | {unreachable, node()}}.

%% @doc A place for a program that is started now.
-spec taken(erluv_fleet:where()) -> choice().
taken(Node) when is_atom(Node) ->
    case erluv_fleet_server:take(Node, start) of
        unknown -> {error, {unreachable, Node}};
        Taken -> Taken
    end;
taken({Filter, How}) ->
    choose(Filter, How, start);
taken(Filter) ->
    choose(Filter, least_loaded, start).

%% @doc A place on one of the hosts of which a filter holds. Of a map the server finds the host; funs
%% are called by this process, with all hosts that are ready.
-spec choose(erluv_fleet:filter(), erluv_fleet:strategy(), erluv_fleet_places:kind()) -> choice().
choose(Filter, How, Kind) when is_map(Filter), not is_function(How) ->
    case {is_strategy(How), erluv_fleet_filter:is_filter(Filter)} of
        {true, true} -> chosen(erluv_fleet_server:choose(Filter, How, Kind), Filter);
        {false, _} -> ?BADARG([Filter, How], #{2 => strategy});
        {true, false} -> ?BADARG([Filter, How], #{1 => filter})
    end;
choose(Filter, How, Kind) ->
    is_strategy(How) orelse ?BADARG([Filter, How], #{2 => strategy}),
    chosen(choose_of([Host || #{status := ready} = Host <- erluv_fleet:nodes(Filter)], How, Kind), Filter).

is_strategy(How) -> How =:= least_loaded orelse How =:= spread orelse How =:= random orelse is_function(How, 1).

choose_of(Hosts, How, Kind) when is_function(How) ->
    case [Host || #{free := Free} = Host <- Hosts, Free > 0] of
        [] -> erluv_fleet_server:choose(names(Hosts), spread, Kind);
        Free ->
            Node = How(Free),
            lists:member(Node, names(Free)) orelse error({bad_place, Node}),
            case erluv_fleet_server:choose([Node], spread, Kind) of
                {full, _} -> choose_of([Host#{free := free(Node, Host)} || Host <- Hosts], How, Kind); % meanwhile
                Chosen -> Chosen
            end
    end;
choose_of(Hosts, How, Kind) ->
    erluv_fleet_server:choose(names(Hosts), How, Kind).

free(Node, #{node := Node}) -> 0;
free(_, #{free := Free}) -> Free.

names(Hosts) -> [Node || #{node := Node} <- Hosts].

chosen({full, Counted}, _) -> {error, {full, Counted}};
chosen(none, Filter) -> {error, {none, Filter}};
chosen(Chosen, _) -> Chosen.
