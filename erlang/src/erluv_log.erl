%% @private
%% Puts lines that programs write into the log.
-module(erluv_log).

-export([executable/1]).
-export([level/1]).
-export([line/3]).
-export([text/1]).

-include_lib("kernel/include/logger.hrl").

%% @doc Logs a line of the erluv executable, with the level that it has there. Why it ends
%% is for the process that has started it to tell.
-spec executable(binary()) -> ok.
executable(Line) ->
    {Level, Words} = level(Line),
    line(Level, Words, #{domain => [erluv]}).

%% @doc The level of a line, and the line without it. Without any it is a notice.
%%
%% Go's log/slog as text has "time=... level=INFO msg=...", as JSON "level":"INFO".
-spec level(binary()) -> {logger:level(), binary()}.
level(<<"erluv: warning: ", Words/binary>>) -> {warning, Words};
level(<<"erluv: ", Words/binary>>) -> {error, Words};
level(Line) ->
    case binary:split(Line, [<<"level=">>, <<"\"level\":\"">>]) of
        [_, <<"DEBUG", Rest/binary>>] -> {debug, words(Rest, Line)};
        [_, <<"INFO", Rest/binary>>] -> {info, words(Rest, Line)};
        [_, <<"WARN", Rest/binary>>] -> {warning, words(Rest, Line)};
        [_, <<"ERROR", Rest/binary>>] -> {error, words(Rest, Line)};
        _ -> {notice, Line}
    end.

words(<<" ", Words/binary>>, _) -> Words;
words(_, Line) -> Line.

%% @doc Logs what is text or any bytes.
-spec line(logger:level(), binary(), logger:metadata()) -> ok.
line(Level, Line, Metadata) ->
    ?LOG(Level, "~ts", [text(Line)], Metadata).

%% @doc Bytes as text: what is not UTF-8 is shown as Latin-1.
-spec text(binary()) -> unicode:chardata().
text(Bytes) ->
    case unicode:characters_to_binary(Bytes) of
        Text when is_binary(Text) -> Text;
        _ -> binary_to_list(Bytes)
    end.
