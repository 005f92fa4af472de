%% @private
%% Puts lines that programs write into the log, and sees to it that they are seen there.
-module(erluv_log).

-export([admit/0]).
-export([ends/3]).
-export([executable/1]).
-export([level/1]).
-export([line/3]).
-export([text/1]).

-include_lib("kernel/include/logger.hrl").

%% @doc Has OTP's default handler show what has our domain, once in the life of a VM.
%%
%% As OTP starts it, a filter drops every other domain than OTP's. A handler that somebody has set up
%% otherwise, as Elixir's Logger does, has a mind of its own and stays as it is.
-spec admit() -> ok.
admit() ->
    case persistent_term:get(?MODULE, false) of
        true -> ok;
        false ->
            persistent_term:put(?MODULE, true),
            admit(logger:get_handler_config(default))
    end.

admit({ok, #{filter_default := stop, filters := Filters}}) ->
    ByDomain = fun logger_filters:domain/2,
    case [domain || {domain, {F, {log, super, [otp | _]}}} <- Filters, F =:= ByDomain] of
        [] -> ok;
        _ ->
            _ = logger:add_handler_filter(default, erluv, {ByDomain, {log, sub, [erluv]}}),
            ok % it may have one of this name already
    end;
admit(_) ->
    ok.

%% @doc Ends the calling gen_server for a reason that is no fault of its code, with a line of
%% words about it, unless that was logged elsewhere. Its supervisor, links and monitors are told the reason, as when it stops by
%% itself; reports of gen_server and proc_lib, which tell of a crash in many lines, there are none.
-spec ends(term(), unicode:chardata() | none, logger:metadata()) -> no_return().
ends(Reason, Words, Metadata) ->
    _ = Words =:= none orelse ?LOG_ERROR("~ts", [Words], Metadata),
    process_flag(trap_exit, false),
    true = exit(self(), Reason), % a signal to oneself arrives at once
    exit(Reason). % unreachable, unless it is normal

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
