%% A supervisor of what it is told.
-module(e2e_sup).

-behaviour(supervisor).

-export([init/1]).

init(Init) ->
    {ok, Init}.
