%% Reports EUnit's results in the form of `go test -json', which test/tally counts.
-module(erluv_tally).
-behaviour(eunit_listener).

-export([start/1]).
-export([init/1]).
-export([handle_begin/3]).
-export([handle_end/3]).
-export([handle_cancel/3]).
-export([terminate/2]).

-define(PACKAGE, "erluv/erlang").

start(Options) ->
    eunit_listener:start(?MODULE, Options).

init(_Options) ->
    0.

handle_begin(_Kind, _Data, Failed) ->
    Failed.

handle_end(test, Data, Failed) ->
    Name = name(Data),
    case proplists:get_value(status, Data) of
        ok ->
            event("pass", Name),
            Failed;
        {skipped, Why} ->
            fail(Name, io_lib:format("skipped: ~tp~n", [Why]), Failed);
        {error, Exception} ->
            fail(Name, [proplists:get_value(output, Data, <<>>), $\n,
                        eunit_lib:format_exception(Exception), $\n], Failed)
    end;
handle_end(group, _Data, Failed) ->
    Failed.

%% A cancelled group (its setup has failed) and a cancelled test (it took too long):
%% a group that is cancelled because of its test is told as `undefined'.
handle_cancel(Kind, Data, Failed) ->
    case proplists:get_value(reason, Data) of
        undefined -> Failed;
        Reason -> fail([atom_to_list(Kind), $\s, name(Data)], io_lib:format("cancelled: ~tp~n", [Reason]), Failed)
    end.

terminate(_Result, Failed) ->
    line([{"Action", case Failed of 0 -> "pass"; _ -> "fail" end}, {"Package", ?PACKAGE}]),
    ok.

fail(Name, Output, Failed) ->
    line([{"Action", "output"}, {"Package", ?PACKAGE}, {"Test", Name},
          {"Output", ["--- FAIL: ", Name, $\n, Output]}]),
    event("fail", Name),
    Failed + 1.

event(Action, Name) ->
    line([{"Action", Action}, {"Package", ?PACKAGE}, {"Test", Name}]).

name(Data) ->
    case proplists:get_value(desc, Data) of
        Empty when Empty =:= undefined; Empty =:= <<>>; Empty =:= "" -> source(Data);
        Description -> Description
    end.

source(Data) ->
    case proplists:get_value(source, Data) of
        {M, F, _} -> io_lib:format("~s:~s", [M, F]);
        _ -> io_lib:format("~0tp", [proplists:get_value(id, Data)])
    end.

line(Pairs) ->
    Json = [${, lists:join($,, [[string(K), $:, string(V)] || {K, V} <- Pairs]), $}, $\n],
    io:put_chars(user, Json).

string(Chars) ->
    [$", [escape(C) || C <- unicode:characters_to_list(Chars)], $"].

escape($") -> "\\\"";
escape($\\) -> "\\\\";
escape(C) when C < 32 -> io_lib:format("\\u~4.16.0b", [C]);
escape(C) -> C.
