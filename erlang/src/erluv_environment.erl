%% @private
%% The environment of this VM, in the bytes that it has for the system.
%%
%% os:env/0 has text: bytes are taken as the VM's encoding has them, which is Latin-1 without a
%% locale. With UTF-8 it takes a name or value as Latin-1 that is not UTF-8, and the text does not
%% tell. Such ones are looked for in what the VM was started with.
-module(erluv_environment).

-export([all/0]).
-export([value/1]).

-define(ODD, {?MODULE, odd}).

-type variable() :: {Name :: binary(), Value :: binary()}.

%% @doc All variables.
-spec all() -> [variable()].
all() ->
    Odd = odd(),
    [bytes(Variable, Odd) || Variable <- os:env()].

%% @doc The value of one, or the empty text.
-spec value(string()) -> binary().
value(Name) ->
    {_, Value} = bytes({Name, os:getenv(Name, "")}, odd()),
    Value.

bytes({Name, Value} = Variable, Odd) ->
    case Odd of
        #{Variable := Bytes} -> Bytes;
        #{} -> {encode(Name), encode(Value)}
    end.

encode(Text) ->
    unicode:characters_to_binary(Text, unicode, file:native_name_encoding()).

%% What the VM was started with does not change.
odd() ->
    case persistent_term:get(?ODD, undefined) of
        undefined ->
            Odd = odd(file:native_name_encoding()),
            ok = persistent_term:put(?ODD, Odd),
            Odd;
        Odd ->
            Odd
    end.

%% Those that are not UTF-8, by the text that os:env/0 has for them.
odd(utf8) ->
    case file:read_file("/proc/self/environ") of
        {ok, Environ} ->
            Started = [list_to_tuple(binary:split(Entry, <<"=">>)) || Entry <- binary:split(Environ, <<0>>, [global])],
            maps:from_list([{{text(Name), text(Value)}, {Name, Value}}
                            || {Name, Value} <- Started, not (is_utf8(Name) andalso is_utf8(Value))]);
        {error, _} ->
            #{} % this is not Linux
    end;
odd(_) ->
    #{}.

is_utf8(Bytes) -> is_list(unicode:characters_to_list(Bytes)).

text(Bytes) ->
    case unicode:characters_to_list(Bytes) of
        Text when is_list(Text) -> Text;
        _ -> binary_to_list(Bytes)
    end.
