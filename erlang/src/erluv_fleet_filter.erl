%% @private
%% Which hosts are meant: a map, all of whose keys hold, or a fun.
-module(erluv_fleet_filter).

-export([is_filter/1]).
-export([matches/2]).

-define(KEYS, [class, meta, node, status, version, via]).

-spec is_filter(term()) -> boolean().
is_filter(Filter) when is_map(Filter) ->
    maps:keys(maps:without(?KEYS, Filter)) =:= [] andalso is_map(maps:get(meta, Filter, #{}));
is_filter(Filter) ->
    is_function(Filter, 1).

-spec matches(erluv_fleet:filter(), erluv_fleet:host()) -> boolean().
matches(Filter, Host) when is_map(Filter) ->
    lists:all(fun({Key, Value}) -> holds(Key, Value, Host) end, maps:to_list(Filter));
matches(Filter, Host) ->
    Filter(Host) =:= true.

holds(meta, Wanted, #{meta := Labels}) ->
    lists:all(fun({Key, Value}) -> labelled(Key, Value, Labels) end, maps:to_list(Wanted));
holds(class, Name, #{class := Classes}) ->
    lists:member(text(Name), Classes);
holds(version, Version, Host) ->
    text(Version) =:= maps:get(version, Host);
holds(Key, Value, Host) ->
    maps:get(Key, Host) =:= Value.

%% In one label, or in any of them.
labelled({Name, Key}, Value, Labels) ->
    {_, Keys} = lists:keyfind(text(Name), 1, Labels ++ [{text(Name), []}]),
    has(text(Key), Value, Keys);
labelled(Key, Value, Labels) ->
    Value =:= true andalso lists:keymember(text(Key), 1, Labels)
        orelse lists:any(fun({_, Keys}) -> has(text(Key), Value, Keys) end, Labels).

has(Key, true, Keys) -> lists:member(Key, Keys) orelse lists:member({Key, <<"true">>}, Keys);
has(Key, Value, Keys) -> lists:member({Key, text(Value)}, Keys).

text(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
text(Number) when is_integer(Number) -> integer_to_binary(Number);
text(Text) -> unicode:characters_to_binary(Text).
