%% @private
%% The process `erluv_exec': knows which erluv is used and which programs run.
-module(erluv_exec_server).
-behaviour(gen_server).

-export([start/1]).
-export([start_link/1]).
-export([add/4]).
-export([server/0]).
-export([pid/1]).
-export([ospids/0]).

-export([init/1]).
-export([handle_call/3]).
-export([handle_cast/2]).
-export([handle_info/2]).
-export([terminate/2]).

%% The table has {OsPid, Pid} of each program.
-define(TABLE, erluv_exec).
%% The name of the erluv_node that is owned.
-define(NODE, erluv_exec_node).

-record(program, {pid :: pid(), os_pid :: pos_integer(), watcher :: pid() | undefined}).

%% Programs by the monitors of their processes; the erluv_node, if it is ours.
-record(state, {
    server :: erluv:server(),
    programs = #{} :: #{reference() => #program{}},
    node :: pid() | undefined
}).

-spec start(erluv_exec:exec_options()) -> {ok, pid()} | {error, term()}.
start(Options) ->
    start(start, Options).

-spec start_link(erluv_exec:exec_options()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    start(start_link, Options).

%% One that the caller has killed may still have the name: its end is waited for.
start(Start, Options) ->
    case gen_server:Start({local, erluv_exec}, ?MODULE, Options, []) of
        {error, {already_started, Pid}} = Error ->
            case is_process_alive(Pid) of
                true ->
                    Error;
                false ->
                    await_end(Pid),
                    start(Start, Options)
            end;
        Answer ->
            Answer
    end.

%% @doc Called by the process of a program. The watcher is sent
%% `{'DOWN', OsPid, process, Pid, Reason}' when it ends.
-spec add(pid(), pid(), pos_integer(), pid() | undefined) -> ok | {error, term()}.
add(Exec, Pid, OsPid, Watcher) ->
    ended(erluv_call:call(Exec, {add, Pid, OsPid, Watcher})).

%% @doc The process, and the erluv that it uses. One that is just starting is waited for.
-spec server() -> {ok, pid(), erluv:server()} | {error, term()}.
server() ->
    ended(erluv_call:call(erluv_exec, server)).

%% A process that failed to start, or was killed, while it was asked is not there.
ended({error, {exit, _}}) -> {error, noproc};
ended(Answer) -> Answer.

%% Without the process there is no table, and no program.
-spec pid(pos_integer()) -> pid() | undefined.
pid(OsPid) ->
    try ets:lookup(?TABLE, OsPid) of
        [{OsPid, Pid}] -> Pid;
        [] -> undefined
    catch
        error:badarg -> undefined
    end.

-spec ospids() -> [pos_integer()].
ospids() ->
    try ets:select(?TABLE, [{{'$1', '_'}, [], ['$1']}])
    catch
        error:badarg -> []
    end.

%% The table is made last. A start that fails leaves none behind: its process may live
%% on for a moment after the caller has the answer.
-spec init(erluv_exec:exec_options()) -> {ok, #state{}} | {stop, term()}.
init(Options) ->
    process_flag(trap_exit, true),
    case connect(erluv_exec_options:start(?NODE, Options)) of
        {ok, Server, Node} ->
            ?TABLE = ets:new(?TABLE, [named_table, {read_concurrency, true}]),
            {ok, #state{server = Server, node = Node}};
        {error, Reason} ->
            {stop, Reason}
    end.

connect({ok, {server, Server}}) -> {ok, Server, undefined};
connect({ok, {own, NodeOptions}}) -> own(NodeOptions);
connect({error, _} = Error) -> Error.

%% The erluv_node of a process `erluv_exec' that was killed ends once its programs have:
%% until then it has the name.
own(NodeOptions) ->
    case erluv_node:start_link(NodeOptions) of
        {ok, Pid} ->
            {ok, Pid, Pid};
        {error, {already_started, Pid}} ->
            case is_left(Pid) of
                true ->
                    await_end(Pid),
                    own(NodeOptions);
                false ->
                    {error, {name_taken, maps:get(name, NodeOptions), Pid}}
            end;
        {error, _} = Error ->
            Error
    end.

%% Whether a process of this name `erluv_exec' has started it. There is but one of them
%% at a time, this one; so that which started it is gone.
is_left(Pid) ->
    case process_info(Pid, dictionary) of
        {dictionary, Dictionary} ->
            case proplists:get_value('$ancestors', Dictionary) of
                [erluv_exec | _] -> true;
                _ -> false
            end;
        undefined ->
            true
    end.

await_end(Pid) ->
    Ref = erlang:monitor(process, Pid),
    receive {'DOWN', Ref, process, Pid, _} -> ok end.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(server, _From, #state{server = Server} = State) ->
    {reply, {ok, self(), Server}, State};
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
handle_info({'DOWN', Ref, process, _, Reason}, State) ->
    {noreply, ended(Ref, Reason, State)};
handle_info({'EXIT', Node, Reason}, #state{node = Node} = State) ->
    {stop, Reason, State};
handle_info(_Message, State) ->
    {noreply, State}.

ended(Ref, Reason, #state{programs = Programs} = State) ->
    {#program{pid = Pid, os_pid = OsPid, watcher = Watcher}, Others} = maps:take(Ref, Programs),
    true = ets:delete_object(?TABLE, {OsPid, Pid}), % the number may be another's by now
    _ = Watcher =/= undefined andalso (Watcher ! {'DOWN', OsPid, process, Pid, Reason}),
    State#state{programs = Others}.

%% The processes are linked with this one, and end their programs when it ends. Here
%% it waits for that, and tells their watchers. An erluv that it owns ends them itself,
%% and in bounded time.
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{node = Node, programs = Programs} = State) ->
    _ = is_pid(Node) andalso is_process_alive(Node) andalso erluv_node:stop(Node),
    lists:foreach(fun(#program{pid = Pid}) -> exit(Pid, shutdown) end, maps:values(Programs)),
    await_programs(State).

await_programs(#state{programs = Programs}) when map_size(Programs) =:= 0 ->
    ok;
await_programs(State) ->
    receive {'DOWN', Ref, process, _, Reason} -> await_programs(ended(Ref, Reason, State)) end.
