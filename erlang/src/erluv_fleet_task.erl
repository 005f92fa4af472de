%% @private
%% Tasks: programs with an id, of which no second one runs in the fleet, as far as this node sees.
%%
%% A start holds OTP's lock of the id at all control nodes, and looks into the tables of all
%% of them. It keeps the lock until the program is counted, so that the next start finds it. A host
%% refuses an id that it has, so that on one host no two control nodes start the same, whether they
%% see each other or not.
-module(erluv_fleet_task).

-export([start/2]).
-export([id/1]).

%% @doc Starts what is not there yet.
-spec start(binary(), fun(() -> {ok, pid()} | {error, term()})) -> {ok, pid()} | {error, term()}.
start(Id, Start) ->
    Nodes = erluv_fleet_server:controls(),
    global:trans({{erluv_fleet, Id}, self()},
                 fun() ->
                         case anywhere(Id, Nodes) of
                             [] -> Start();
                             [{_, _, Task} | _] -> {error, {already_started, Task}}
                         end
                 end,
                 Nodes).

%% A control node without a fleet now, or that goes meanwhile, knows of none.
anywhere(Id, Nodes) ->
    Answers = erpc:multicall(Nodes, erluv_fleet_table, with_id, [Id]),
    lists:sort(lists:append([Programs || {ok, Programs} <- Answers])).

%% @doc An id as it is sent.
-spec id(term()) -> {ok, binary()} | error.
id(undefined) -> error;
id(Id) when is_atom(Id) -> id(atom_to_binary(Id));
id(Id) when is_binary(Id); is_list(Id) ->
    try unicode:characters_to_binary(Id) of
        Text when is_binary(Text), Text =/= <<>>, byte_size(Text) =< 255 -> {ok, Text};
        _ -> error
    catch
        error:badarg -> error
    end;
id(_) -> error.
