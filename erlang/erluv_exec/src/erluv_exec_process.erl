%% @private
%% The Erlang process of a program of erluv_exec: owns the worker, hands its output on in
%% the form that erlexec has, and ends as it does.
-module(erluv_exec_process).
-behaviour(gen_server).

-export([start/1]).
-export([await/2]).
-export([stop/1]).
-export([ospid/1]).
-export([with_worker/2]).

-export([init/1]).
-export([handle_call/3]).
-export([handle_cast/2]).
-export([handle_info/2]).
-export([terminate/2]).

%% Above all numbers that Linux gives to processes (PID_MAX_LIMIT): what a program has
%% that had ended before it could be asked for its number.
-define(NO_OS_PID, (1 bsl 22)).

-record(state, {
    worker :: pid(),
    os_pid :: pos_integer(),
    run :: erluv_exec_options:run(),
    status = 0 :: non_neg_integer(),    % as wait(2) has it
    stopped = false :: boolean(),       % by us: then any status is an orderly end
    caller :: reference() | undefined,  % with sync: its monitor, until it has gone
    waiting :: gen_server:from() | undefined,
    ended :: {reason, term()} | undefined,
    output = #{stdout => [], stderr => []} :: #{stdout | stderr => [binary()]} % with sync
}).

%% @doc Starts a program, for the caller.
-spec start(erluv_exec_options:run()) -> {ok, pid(), pos_integer()} | {error, term()}.
start(Run) ->
    case erluv_exec_server:server() of
        {ok, Exec, Server} -> start({Exec, Server}, Run#{caller => self()}, make_ref());
        {error, _} = Error -> Error
    end.

%% The number comes as a message: the process may have ended before it can be asked.
start(ExecAndServer, Run, Ref) ->
    case gen_server:start(?MODULE, {ExecAndServer, Run, Ref}, []) of
        {ok, Pid} -> receive {Ref, OsPid} -> {ok, Pid, OsPid} end;
        {error, {shutdown, Reason}} -> {error, Reason};
        {error, _} = Error -> Error
    end.

%% @doc Waits for the end of a program with `sync'.
-spec await(pid(), timeout()) -> {ok, erluv_exec:output()} | {error, term()}.
await(Pid, Timeout) ->
    case call(Pid, await, Timeout) of
        {error, timeout} ->
            _ = stop(Pid),
            {error, timeout};
        Result ->
            Result
    end.

%% @doc Stops it, and returns at once.
-spec stop(pid()) -> ok | {error, term()}.
stop(Pid) -> call(Pid, stop, infinity).

-spec ospid(pid()) -> pos_integer() | {error, term()}.
ospid(Pid) -> call(Pid, ospid, infinity).

%% @doc Does something with the worker, in the caller's process.
-spec with_worker(pid(), fun((pid()) -> Result)) -> Result | {error, term()}.
with_worker(Pid, F) ->
    case call(Pid, worker, infinity) of
        Worker when is_pid(Worker) -> F(Worker);
        {error, _} = Error -> Error
    end.

call(Pid, Request, Timeout) ->
    case erluv_call:call(Pid, Request, Timeout) of
        {error, noproc} -> {error, not_found};
        {error, {exit, _}} -> {error, not_found};
        Reply -> Reply
    end.

-spec init({{pid(), erluv:server()}, erluv_exec_options:run(), reference()}) ->
          {ok, #state{}} | {stop, term()}.
init({{Exec, Server}, #{cmd := Cmd, spawn := Options} = Run, Ref}) ->
    process_flag(trap_exit, true),
    true = link(Exec), % that has ended: is told as an exit
    case erluv:spawn_link(Server, Cmd, Options) of
        {ok, Worker} -> add(Exec, Worker, Run, Ref);
        {error, Reason} -> {stop, {shutdown, Reason}}
    end.

%% The options of the worker are not kept: a crash report would show its environment.
add(Exec, Worker, #{caller := Caller} = Run, Ref) ->
    OsPid = os_pid(erluv:info(Worker)),
    case erluv_exec_server:add(Exec, self(), OsPid, watcher(Run)) of
        ok ->
            _ = maps:is_key(link, Run) andalso link(Caller),
            Caller ! {Ref, OsPid},
            {ok, #state{worker = Worker, os_pid = OsPid, run = maps:remove(spawn, Run),
                        caller = caller(Run)}};
        {error, Reason} ->
            _ = erluv:stop(Worker),
            {stop, {shutdown, Reason}}
    end.

caller(#{sync := true, caller := Caller}) -> erlang:monitor(process, Caller);
caller(_) -> undefined.

watcher(#{monitor := true, caller := Caller}) -> Caller;
watcher(_) -> undefined.

os_pid(#{os_pid := OsPid}) when OsPid > 0 -> OsPid;
os_pid(_) -> ?NO_OS_PID + erlang:unique_integer([positive]).

-spec handle_call(term(), gen_server:from(), #state{}) ->
          {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(ospid, _From, #state{os_pid = OsPid} = State) ->
    {reply, OsPid, State};
handle_call(worker, _From, #state{worker = Worker} = State) ->
    {reply, Worker, State};
handle_call(stop, _From, State) ->
    {reply, ok, stop_worker(State)};
handle_call(await, From, #state{ended = {reason, Reason}} = State) ->
    gen_server:reply(From, result(Reason, State)),
    leave(Reason);
handle_call(await, From, State) ->
    {noreply, State#state{waiting = From}};
handle_call(Request, _From, State) ->
    {reply, {error, {bad_request, Request}}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Worker, {Stream, Data}}, #state{worker = Worker} = State) when is_binary(Data) ->
    {noreply, output(Stream, Data, State)};
handle_info({Worker, {exit_status, N}}, #state{worker = Worker} = State) ->
    {noreply, State#state{status = N bsl 8}};
handle_info({Worker, {signal, Signal}}, #state{worker = Worker} = State) ->
    {noreply, State#state{status = erluv_exec:signal_to_int(Signal)}};
handle_info({Worker, {signal, Signal, core}}, #state{worker = Worker} = State) ->
    {noreply, State#state{status = erluv_exec:signal_to_int(Signal) bor 128}};
handle_info({'EXIT', Worker, Reason}, #state{worker = Worker} = State) ->
    ended(reason(Reason, State), State);
handle_info({'EXIT', _, Reason}, State) ->
    {stop, Reason, State};
handle_info({'DOWN', Ref, process, _, _}, #state{caller = Ref, ended = {reason, Reason}}) ->
    leave(Reason); % with sync: nothing waits for it any more
handle_info({'DOWN', Ref, process, _, _}, #state{caller = Ref, run = Run} = State) ->
    {noreply, State#state{caller = undefined, run = maps:remove(sync, Run)}};
handle_info({timeout, _, stop}, #state{worker = Worker} = State) ->
    _ = gen_server:send_request(Worker, stop),
    {noreply, State};
handle_info(_Message, State) ->
    {noreply, State}.

%% What a program ends with, when nothing else has ended its worker.
reason(_, #state{stopped = true}) -> normal;
reason(Reason, #state{status = Status, run = #{success := Success}})
  when Reason =:= normal; element(1, Reason) =:= exit_status; element(1, Reason) =:= signal ->
    case Status =:= Success bsl 8 of
        true -> normal;
        false -> {exit_status, Status}
    end;
reason(Reason, _) -> Reason.

ended(Reason, #state{run = #{sync := true}, waiting = undefined} = State) ->
    {noreply, State#state{ended = {reason, Reason}}};
ended(Reason, #state{run = #{sync := true}, waiting = From} = State) ->
    gen_server:reply(From, result(Reason, State)),
    leave(Reason);
ended(Reason, _) ->
    leave(Reason).

%% Ends with this reason, and as in erlexec with no report of a crash: a program that
%% fails is none.
-spec leave(term()) -> no_return().
leave(Reason) ->
    process_flag(trap_exit, false),
    exit(self(), Reason),
    receive after infinity -> ok end.

result(normal, State) -> {ok, collected(State)};
result({exit_status, _} = Status, State) -> {error, [Status | collected(State)]};
result(Reason, _) -> {error, Reason}.

collected(#state{output = Output}) ->
    [{Stream, lists:reverse(maps:get(Stream, Output))}
     || Stream <- [stdout, stderr], maps:get(Stream, Output) =/= []].

%% A stream may have been merged into the other.
output(stdout, Data, #state{run = #{merged := Stream}} = State) -> to(Stream, Data, State);
output(Stream, Data, State) -> to(Stream, Data, State).

to(Stream, Data, #state{run = #{devices := Devices, caller := Caller}, os_pid = OsPid} = State) ->
    case maps:get(Stream, Devices) of
        collect -> collect(Stream, Data, State);
        null -> State;
        Other ->
            _ = hand_on(Other, Caller, Stream, OsPid, Data),
            State
    end.

hand_on(caller, Caller, Stream, OsPid, Data) -> Caller ! {Stream, OsPid, Data};
hand_on(print, _, Stream, OsPid, Data) ->
    io:format("Got ~w from ~w: ~0tp~n", [Stream, OsPid, Data]);
hand_on(Pid, _, Stream, OsPid, Data) when is_pid(Pid) -> Pid ! {Stream, OsPid, Data};
hand_on(F, _, Stream, OsPid, Data) -> F(Stream, OsPid, Data).

collect(Stream, Data, #state{output = Output} = State) ->
    State#state{output = maps:update_with(Stream, fun(Earlier) -> [Data | Earlier] end, Output)}.

%% With a command for that: it is given its time before the worker is stopped.
stop_worker(#state{stopped = true} = State) ->
    State;
stop_worker(#state{run = #{kill := Cmd, kill_timeout := Time}, os_pid = OsPid} = State) ->
    _ = spawn(fun() -> erluv_exec_local:run(Cmd, [{"CHILD_PID", integer_to_list(OsPid)}]) end),
    _ = erlang:start_timer(Time, self(), stop),
    State#state{stopped = true};
stop_worker(#state{worker = Worker} = State) ->
    _ = gen_server:send_request(Worker, stop),
    State#state{stopped = true}.

%% Whoever has ended it, its worker is gone when it is.
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{worker = Worker}) ->
    _ = erluv:stop(Worker),
    ok.
