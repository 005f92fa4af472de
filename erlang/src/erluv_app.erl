%% @private
%% The application: a supervisor, and below it an erluv_node for each element of
%% the environment variable `nodes'.
-module(erluv_app).
-behaviour(application).

-export([start/2]).
-export([stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    ok = erluv_log:admit(),
    ok = erluv_telemetry:load(),
    ok = erluv_sup:on_demand(stopped, yes),
    erluv_sup:start_link(application:get_env(erluv, nodes, [])).

-spec stop(term()) -> ok.
stop(_State) ->
    erluv_sup:on_demand(yes, stopped).
