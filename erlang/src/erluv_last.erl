%% @private
%% The last lines that a program has written, on all its streams together.
%%
%% Output comes as lines or packets, each of which is kept, or raw. Of raw output only so
%% much of the end of a piece is looked at as has the lines that are kept: what goes
%% through costs next to nothing.
-module(erluv_last).

-export([new/2]).
-export([add/3]).
-export([eof/2]).
-export([lines/1]).
-export([chomp/1]).

-export_type([kept/0]).

-record(kept, {
    keep :: non_neg_integer(),
    raw :: boolean(),
    count = 0 :: non_neg_integer(),      % of last; below 2 * keep
    last = [] :: [binary()],             % the newest first
    open = #{} :: #{erluv:stream() => binary()} % with raw: the beginnings of unended lines
}).

-opaque kept() :: #kept{}.

%% Of a kept line: bytes.
-define(MAX_KEPT, 1024).
%% The part of the end of a piece that is looked at first, then twice as much: bytes.
-define(FIRST_LOOK, 4096).

%% @doc Keeps so many lines of output that comes with this option `packet'.
-spec new(non_neg_integer(), term()) -> kept().
new(Keep, Packet) ->
    #kept{keep = Keep, raw = Packet =:= raw}.

%% @doc Adds a message of output.
-spec add(erluv:stream(), binary(), kept()) -> kept().
add(_, _, #kept{keep = 0} = Kept) ->
    Kept;
add(_, Data, #kept{raw = false} = Kept) ->
    keep(chomp(Data), Kept);
add(Stream, Data, #kept{keep = Keep, open = Open} = Kept) ->
    Begun = maps:get(Stream, Open, <<>>),
    case tail(Data, Keep, ?FIRST_LOOK) of
        {all, Ends} -> cut(Data, Begun, 0, Ends, Stream, Kept);
        {From, Ends} -> cut(Data, <<>>, From, Ends, Stream, Kept)
    end.

%% @doc The stream has ended: what is unended on it is a line.
-spec eof(erluv:stream(), kept()) -> kept().
eof(Stream, #kept{open = Open} = Kept) ->
    case maps:take(Stream, Open) of
        {<<>>, Others} -> Kept#kept{open = Others};
        {Line, Others} -> keep(Line, Kept#kept{open = Others});
        error -> Kept
    end.

%% @doc The last lines, oldest first.
-spec lines(kept()) -> [binary()].
lines(#kept{last = Last, keep = Keep}) ->
    lists:reverse(lists:sublist(Last, Keep)).

%% @doc A line without its end.
-spec chomp(binary()) -> binary().
chomp(Data) ->
    Size = byte_size(Data) - 1,
    case Data of
        <<Line:Size/binary, $\n>> -> Line;
        _ -> Data
    end.

%% Where the last Keep lines of Data begin, and where they end. `all': Data has not more
%% than these. Each step looks at twice as much as the one before, so all of them together
%% at not more than twice the size.
tail(Data, Keep, Look) when Look >= byte_size(Data) ->
    Ends = ends(Data, 0),
    case length(Ends) - Keep of
        More when More > 0 ->
            [Before | Last] = lists:nthtail(More - 1, Ends),
            {Before + 1, Last};
        _ ->
            {all, Ends}
    end;
tail(Data, Keep, Look) ->
    Ends = ends(Data, byte_size(Data) - Look),
    case length(Ends) - Keep of
        More when More > 0 ->
            [Before | Last] = lists:nthtail(More - 1, Ends),
            {Before + 1, Last};
        _ ->
            tail(Data, Keep, 2 * Look)
    end.

ends(Data, From) ->
    [At || {At, 1} <- binary:matches(Data, <<$\n>>, [{scope, {From, byte_size(Data) - From}}])].

cut(Data, Begun, From, [End | Ends], Stream, Kept) ->
    Line = join(Begun, Data, From, End),
    cut(Data, <<>>, End + 1, Ends, Stream, keep(Line, Kept));
cut(Data, Begun, From, [], Stream, #kept{open = Open} = Kept) ->
    Kept#kept{open = Open#{Stream => join(Begun, Data, From, byte_size(Data))}}.

%% As much of a line as is kept. It is a copy: the message is not held because of it.
join(Begun, Data, From, To) ->
    Room = ?MAX_KEPT - byte_size(Begun),
    <<Begun/binary, (binary:part(Data, From, min(To - From, Room)))/binary>>.

%% The list is cut at twice its length, so that a line costs no copy of it.
keep(Line, #kept{keep = Keep, count = Count, last = Last} = Kept) ->
    New = [binary:copy(binary:part(Line, 0, min(byte_size(Line), ?MAX_KEPT))) | Last],
    case Count + 1 of
        Full when Full >= 2 * Keep -> Kept#kept{count = Keep, last = lists:sublist(New, Keep)};
        Short -> Kept#kept{count = Short, last = New}
    end.
