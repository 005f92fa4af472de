%% @private
%% The process `erluv_exec': knows which erluv is used and which programs run.
-module(erluv_exec_server).
-behaviour(gen_server).

-export([start/1]).
-export([start_link/1]).
-export([add/3]).
-export([server/0]).
-export([pid/1]).
-export([ospids/0]).

-export([init/1]).
-export([handle_call/3]).
-export([handle_cast/2]).
-export([handle_info/2]).
-export([terminate/2]).

%% The table has {OsPid, Pid} of each program, and {server, Server}.
-define(TABLE, erluv_exec).
%% The name of the erluv_node that is owned.
-define(NODE, erluv_exec_node).

-record(program, {pid :: pid(), os_pid :: pos_integer(), watcher :: pid() | undefined}).

%% Programs by the monitors of their processes; the erluv_node, if it is ours.
-record(state, {programs = #{} :: #{reference() => #program{}}, node :: pid() | undefined}).

-spec start(erluv_exec:exec_options()) -> {ok, pid()} | {error, term()}.
start(Options) ->
    gen_server:start({local, erluv_exec}, ?MODULE, Options, []).

-spec start_link(erluv_exec:exec_options()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    gen_server:start_link({local, erluv_exec}, ?MODULE, Options, []).

%% @doc Called by the process of a program. The watcher is sent
%% `{'DOWN', OsPid, process, Pid, Reason}' when it ends.
-spec add(pid(), pos_integer(), pid() | undefined) -> ok.
add(Pid, OsPid, Watcher) ->
    gen_server:call(erluv_exec, {add, Pid, OsPid, Watcher}).

%% @doc The erluv that is used.
-spec server() -> erluv:server().
server() ->
    ets:lookup_element(?TABLE, server, 2).

-spec pid(pos_integer()) -> pid() | undefined.
pid(OsPid) ->
    case ets:lookup(?TABLE, OsPid) of
        [{OsPid, Pid}] -> Pid;
        [] -> undefined
    end.

-spec ospids() -> [pos_integer()].
ospids() ->
    [OsPid || {OsPid, Pid} <- ets:tab2list(?TABLE), is_pid(Pid), is_integer(OsPid)].

-spec init(erluv_exec:exec_options()) -> {ok, #state{}} | {stop, term()}.
init(Options) ->
    process_flag(trap_exit, true),
    ?TABLE = ets:new(?TABLE, [named_table, {read_concurrency, true}]),
    case connect(proplists:get_value(node, Options), Options) of
        {ok, Server, Node} ->
            true = ets:insert(?TABLE, {server, Server}),
            {ok, #state{node = Node}};
        {error, Reason} ->
            {stop, Reason}
    end.

connect(undefined, Options) ->
    case erluv_exec_options:node(?NODE, Options) of
        {ok, NodeOptions} ->
            case erluv_node:start_link(NodeOptions) of
                {ok, Pid} -> {ok, ?NODE, Pid};
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end;
connect(Server, _) ->
    {ok, Server, undefined}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({add, Pid, OsPid, Watcher}, _From, #state{programs = Programs} = State) ->
    true = ets:insert(?TABLE, {OsPid, Pid}),
    Ref = erlang:monitor(process, Pid),
    Program = #program{pid = Pid, os_pid = OsPid, watcher = Watcher},
    {reply, ok, State#state{programs = Programs#{Ref => Program}}};
handle_call(Request, _From, State) ->
    {reply, {error, {bad_request, Request}}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({'DOWN', Ref, process, Pid, Reason}, #state{programs = Programs} = State) ->
    {#program{os_pid = OsPid, watcher = Watcher}, Others} = maps:take(Ref, Programs),
    true = ets:delete_object(?TABLE, {OsPid, Pid}), % the number may be another's by now
    _ = Watcher =/= undefined andalso (Watcher ! {'DOWN', OsPid, process, Pid, Reason}),
    {noreply, State#state{programs = Others}};
handle_info({'EXIT', Node, Reason}, #state{node = Node} = State) ->
    {stop, Reason, State};
handle_info(_Message, State) ->
    {noreply, State}.

%% The processes are linked with this one, and end their programs when it ends. Here
%% it waits for that, if it has nothing else to end them by.
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{node = undefined, programs = Programs}) ->
    lists:foreach(fun(#program{pid = Pid}) -> exit(Pid, shutdown) end, maps:values(Programs)),
    lists:foreach(fun(Ref) -> receive {'DOWN', Ref, process, _, _} -> ok end end,
                  maps:keys(Programs));
terminate(_Reason, #state{node = Node}) ->
    case is_process_alive(Node) of
        true -> erluv_node:stop(Node);
        false -> ok
    end.
