%% @private
%% Supervises the erluv_node processes of the application.
-module(erluv_sup).
-behaviour(supervisor).

-export([start_link/1]).
-export([init/1]).

-spec start_link([erluv_node:options()]) -> supervisor:startlink_ret().
start_link(Nodes) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Nodes).

%% Five restarts a minute: one takes 50 ms, or as long as a connection that is
%% refused again and again.
-spec init([erluv_node:options()]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Nodes) ->
    Flags = #{strategy => one_for_one, intensity => 5, period => 60},
    Distribution = #{id => distribution, start => {erluv_distribution, start_link, []}},
    {ok, {Flags, [Distribution | [erluv_node:child_spec(Options) || Options <- Nodes]]}}.
