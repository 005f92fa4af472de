%% A supervisor with the children that it is given.
-module(e2e_sup).

-behaviour(supervisor).

-export([init/1]).

init(Init) ->
    {ok, Init}.
