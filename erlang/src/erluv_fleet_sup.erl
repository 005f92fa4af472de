%% @private
%% Supervises what a control node has of its fleet: pg's scope, by which control nodes find
%% each other, and the process that knows the hosts. Each of its hosts has a process linked to that.
-module(erluv_fleet_sup).
-behaviour(supervisor).

-export([start_link/1]).
-export([init/1]).

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, Options) of
        {ok, _} = Started -> Started;
        {error, _} = Error -> Error;
        ignore -> {error, ignore}
    end.

-spec init(map()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Options) ->
    Scope = erluv_fleet_server:scope(),
    {ok, {#{strategy => rest_for_one, intensity => 5, period => 60},
          [#{id => Scope, start => {pg, start_link, [Scope]}},
           #{id => erluv_fleet, start => {erluv_fleet_server, start_link, [Options]}}]}}.
