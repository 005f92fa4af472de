%% @private
%% Supervises the erluv_node processes of the application: those that its variable `nodes'
%% names, and the default one, which is started when it is first needed.
-module(erluv_sup).
-behaviour(supervisor).

-export([start_link/1]).
-export([start_default/0]).
-export([on_demand/1]).
-export([on_demand/2]).
-export([init/1]).

%% Whether the default node may be started: `yes'; `stopped': the application is;
%% `elsewhere': another supervisor has it as its child, and restarts it.
-define(ON_DEMAND, {?MODULE, on_demand}).

-type on_demand() :: yes | stopped | elsewhere.

%% @doc The nodes are started one after the other. They are not the supervisor's first
%% children, as it would report one that does not start in more words than the node has.
-spec start_link([erluv_node:options()]) -> {ok, pid()} | {error, term()}.
start_link(Nodes) ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, []) of
        {ok, Pid} -> start_nodes(Pid, checked(Nodes));
        {error, _} = Error -> Error;
        ignore -> {error, ignore}
    end.

%% The elements, or what is wrong with the variable.
checked(Nodes) when length(Nodes) >= 0 ->
    [case is_options(Options) of
         true -> {ok, Options};
         false -> wrong()
     end || Options <- Nodes];
checked(_) ->
    [wrong()].

is_options(Options) when is_map(Options) -> true;
is_options(Options) when length(Options) >= 0 ->
    lists:all(fun({Key, _}) -> is_atom(Key); (_) -> false end, Options);
is_options(_) -> false.

wrong() ->
    {error, {bad_option, nodes, <<"a list with the options of each erluv_node, which are a map or a list of pairs">>}}.

start_nodes(Pid, []) ->
    {ok, Pid};
start_nodes(Pid, [Options | Nodes]) ->
    case start_node(Options) of
        ok -> start_nodes(Pid, Nodes);
        {error, _} = Error ->
            true = unlink(Pid),
            ok = gen_server:stop(Pid, shutdown, infinity),
            Error
    end.

start_node({ok, Options}) -> start_child(erluv_node:child_spec(Options));
start_node({error, _} = Error) -> Error.

start_child(Spec) ->
    case supervisor:start_child(?MODULE, Spec) of
        {ok, _} -> ok;
        {error, {Reason, Child}} when element(1, Child) =:= child -> {error, Reason};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Starts the default node, if it does not run, and with it the application.
%%
%% It is not restarted when it ends, as the next who needs it starts it.
-spec start_default() -> ok | {error, term()}.
start_default() ->
    case persistent_term:get(?ON_DEMAND, yes) =:= yes andalso application:ensure_all_started(erluv) of
        {ok, _} -> start_default(application:get_env(erluv, start, on_demand));
        _ -> {error, {no_node, erluv}}
    end.

start_default(on_demand) ->
    try start_child((erluv_node:child_spec([]))#{restart => temporary}) of
        ok -> ok;
        {error, {already_started, Pid}} ->
            % Who was told of its end by a monitor may be faster than the exit signal to the supervisor.
            case is_process_alive(Pid) of
                true -> ok;
                false -> start_default(on_demand)
            end;
        {error, already_present} -> {error, {no_node, erluv}}; % one of `nodes' was terminated
        {error, _} = Error -> Error
    catch
        exit:_ -> {error, {no_node, erluv}} % the application ends
    end;
start_default(manual) ->
    {error, {no_node, erluv}};
start_default(_) ->
    {error, {bad_option, start, <<"on_demand or manual">>}}.

%% @doc Says whether the default node may be started.
-spec on_demand(on_demand()) -> ok.
on_demand(New) ->
    persistent_term:put(?ON_DEMAND, New).

%% @doc Says so if this held before.
-spec on_demand(on_demand(), on_demand()) -> ok.
on_demand(Old, New) ->
    case persistent_term:get(?ON_DEMAND, yes) of
        Old -> on_demand(New);
        _ -> ok
    end.

%% Five restarts a minute: one takes 50 ms, or as long as a connection that is
%% refused again and again.
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    Flags = #{strategy => one_for_one, intensity => 5, period => 60},
    {ok, {Flags, [#{id => distribution, start => {erluv_distribution, start_link, []}}]}}.
