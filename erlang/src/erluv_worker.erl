%% @doc A process of this node that has a worker, for a supervisor that wants the
%% output logged or handed on.
%%
%% The two are linked: the process ends when the program has, with the worker's exit
%% reason, and the program is stopped when the process ends. A supervisor is told that
%% it is down when all of it is gone. An end that is neither `normal' nor a stop is logged as
%% one line, with the last lines of output unless these are logged already.
%%
%% It takes the options of {@link erluv:spawn/3} but `owner', `link', `proxy' and
%% `ready_reply', and those below. Unless `packet' is given, output is handled line by line, or
%% not cut at all when `output' is `none'. With `ready', `start_link' returns when the program
%% is ready.
%% <dl>
%% <dt>`output'</dt><dd>What is done with output on stdout, stderr and `fds'.
%%   `{log, Level}' logs each line, with the metadata `domain', which is `[erluv, worker]',
%%   `worker', `name', `command', `os_pid' and `stream'; `log', the default, with the level `notice'. `{pid, Pid}' sends it
%%   `{Self, {stdout, Data}}', where `Self' is the pid of this process. A function is
%%   called with the stream and the data. `none' drops it. `worker', `name' and `command' are
%%   the process' metadata for `logger', so what a function logs has them too.</dd>
%% <dt>`keep'</dt><dd>How many of the last lines are kept, by default 20.</dd>
%% <dt>`log_ring'</dt><dd>The option `keep' of {@link erluv:spawn/3}: the last output is kept by
%%   erluv too, for {@link erluv:log/2} and `erluv logs'.</dd>
%% <dt>`reason'</dt><dd>A function that takes the worker's exit reason, or that and the last
%%   lines of output, and returns the exit reason of the process. What is to be logged of the
%%   end, it logs.</dd>
%% <dt>`register'</dt><dd>An atom: the name of the process.</dd>
%% </dl>
%%
%% A program that writes faster than its output is handled waits in its `write'.
%%
%% It is local, as `supervisor:count_children/1' needs its children to be: SUPERVISORS in
%% erluv(3erl).
-module(erluv_worker).
-behaviour(gen_server).

-export([start_link/3]).
-export([child_spec/1]).
-export([worker/1]).
-export([last_output/1]).

-export([start/3]).
-export([not_started/3]).

-export([init/1]).
-export([handle_call/3]).
-export([handle_cast/2]).
-export([handle_info/2]).
-export([terminate/2]).
-export([format_status/1]).

-include("erluv.hrl").
-include_lib("kernel/include/logger.hrl").

-export_type([options/0]).

-type options() ::
        #{?PROGRAM_OPTIONS,
          ?WORKER_OPTIONS,
          keep => non_neg_integer(),
          log_ring => boolean() | 4096..1048576,
          output => log | output(),
          reason => fun((term()) -> term()),
          register => atom()}
        | ?OPTION_LIST.
%% Those of {@link erluv:spawn/3} but some, and those above.

-type option_map() ::
        #{?PROGRAM_OPTIONS,
          ?WORKER_OPTIONS,
          keep => non_neg_integer(),
          log_ring => boolean() | 4096..1048576,
          output => log | output(),
          reason => fun((term()) -> term()),
          register => atom()}.
%% The same without property lists, of which the specs have the keys.

-record(state, {
    worker :: pid(),
    ended = false :: boolean(),          % the worker
    cmd :: erluv:cmd(),
    metadata :: logger:metadata(),
    output :: output(),
    lists :: boolean(),                  % output wants lists of lines as they come
    credit :: pos_integer() | undefined, % messages that are asked for at a time
    kept :: erluv_last:kept(),           % the last lines of output
    reason :: fun((term()) -> term()) | fun((term(), [binary()]) -> term()) | undefined,
    span = off :: erluv_telemetry:span()
}).

%% In the place of a server there may be a function that starts what is like a worker: erluv_ex
%% has one for where there is no erluv.
-type server() :: erluv:server() | fun((erluv:cmd(), map()) -> {ok, pid()} | {error, term()}).

-type output() :: {log, logger:level()} | {pid, pid()} | none
                | fun((erluv:stream(), binary()) -> term()).

%% So many messages of output are under way at most, if `flow' is not given: lists of lines, of
%% some 64 KiB each.
-define(CREDIT, 8).
%% So many more when it is stopped.
-define(LAST_CREDIT, 10000).
%% So much of a command stands in the log: characters.
-define(MAX_SHOWN, 200).
%% Between two attempts while erluv has no child: milliseconds. A new one takes 50.
-define(CHILD_DOWN, 20).
%% The same when output is dropped, as it comes: a message has up to 256 KiB.
-define(RAW_CREDIT, 16).

%% @doc Starts a program and the process that has it.
%%
%% `{error, {not_ready, Why, LastOutput}}': it was not ready in time (`timeout'), or
%% ended before, for the reason `Why'. While erluv's child, or all of erluv, is being replaced
%% it waits for the new one.
%%
%% ```
%% {ok, Daemon} = erluv_worker:start_link(erluv, <<"echo listening; cat">>,
%%                                        #{ready => {line, "^listening"}}),
%% W = erluv_worker:worker(Daemon),
%% ok = erluv:write(W, <<"hello\n">>),
%% ok = gen_server:stop(Daemon).
%% '''
-spec start_link(erluv:server(), erluv:cmd(), option_map()) -> {ok, pid()} | {error, term()};
                (erluv:server(), erluv:cmd(),
                 [{keep, non_neg_integer()}
                  | {log_ring, boolean() | 4096..1048576} | log_ring
                  | {output, log | output()}
                  | {reason, fun((term()) -> term())}
                  | {register, atom()}, ...]) -> {ok, pid()} | {error, term()};
                ?PROGRAM_LISTS({ok, pid()} | {error, term()});
                ?WORKER_LISTS({ok, pid()} | {error, term()}).
start_link(Server, Cmd, Options) when is_list(Options) ->
    start_link(Server, Cmd, maps:from_list(proplists:unfold(Options)));
start_link(Server, Cmd, #{register := Name} = Options) when is_atom(Name) ->
    gen_server:start_link({local, Name}, ?MODULE, {Server, Cmd, Options}, []);
start_link(Server, Cmd, Options) when is_map(Options) ->
    gen_server:start_link(?MODULE, {Server, Cmd, Options}, []);
start_link(Server, Cmd, Options) ->
    ?BADARG([Server, Cmd, Options], #{3 => options}).

%% @doc A child for a supervisor, of the arguments of {@link start_link/3} as a tuple or
%% list: from Elixir, `{:erluv_worker, [:erluv, ["ssh", "-N", "host"], []]}'.
%%
%% Its id is the option `register', or else the command. It may take until it is stopped
%% as long as its stop does and 5 seconds more: `kill_timeout', which counts as 5 seconds
%% unless it is given, or all waits of `stop_sequence'.
%%
%% ```
%% #{id := tunnel, shutdown := 7000} =
%%     erluv_worker:child_spec({erluv, ["ssh", "-N", "host"],
%%                              #{register => tunnel, kill_timeout => 2000}}).
%% '''
-spec child_spec({erluv:server(), erluv:cmd(), options()} | [erluv:server() | erluv:cmd() | options(), ...]) ->
          supervisor:child_spec().
child_spec({Server, Cmd, Options}) when is_map(Options) ->
    #{id => maps:get(register, Options, Cmd),
      start => {?MODULE, start_link, [Server, Cmd, Options]},
      shutdown => stop_time(Options) + 5000};
child_spec({Server, Cmd, Options}) when is_list(Options) ->
    child_spec({Server, Cmd, maps:from_list(proplists:unfold(Options))});
child_spec([Server, Cmd, Options]) ->
    child_spec({Server, Cmd, Options});
child_spec(Args) ->
    ?BADARG([Args], #{1 => options}).

%% How long a stop may take, in milliseconds. A sequence whose last step is a signal, or
%% close, is followed by the kill timeout. Options that are wrong erluv refuses.
stop_time(#{stop_sequence := Steps} = Options) when length(Steps) > 0 ->
    Waits = lists:sum([Step || Step <- Steps, is_integer(Step)]),
    case lists:last(Steps) of
        Last when is_integer(Last); Last =:= sigkill -> Waits;
        _ -> Waits + kill_timeout(Options)
    end;
stop_time(Options) ->
    kill_timeout(Options).

kill_timeout(#{kill_timeout := Time}) when is_integer(Time), Time >= 0 -> Time;
kill_timeout(_) -> 5000.

%% @doc The worker, for the functions of {@link erluv}. As any call it exits with `noproc'
%% when there is no such process.
%%
%% ```
%% {ok, Daemon} = erluv_worker:start_link(erluv, ["sleep", "60"], #{}),
%% #{state := running} = erluv:info(erluv_worker:worker(Daemon)).
%% '''
-spec worker(atom() | pid()) -> pid().
worker(Process) when is_atom(Process); is_pid(Process) ->
    gen_server:call(Process, worker, infinity);
worker(Process) ->
    ?BADARG([Process], #{1 => process}).

%% @doc The last lines of output that it has kept, oldest first. As any call it exits with
%% `noproc' when there is no such process.
%%
%% ```
%% {ok, Daemon} = erluv_worker:start_link(erluv, <<"echo one; echo two; sleep 60">>,
%%                                        #{keep => 1, ready => {line, "two"}}),
%% [<<"two">>] = erluv_worker:last_output(Daemon).
%% '''
-spec last_output(atom() | pid()) -> [binary()].
last_output(Process) when is_atom(Process); is_pid(Process) ->
    gen_server:call(Process, last_output, infinity);
last_output(Process) ->
    ?BADARG([Process], #{1 => process}).

%% @private
-spec init({server(), erluv:cmd(), map()}) -> {ok, #state{}}.
init({Server, Cmd, Options}) ->
    case start(Server, Cmd, Options) of
        {ok, _} = Ok -> Ok;
        {error, Reason} -> not_started(Reason, Cmd, Options)
    end.

%% @private
%% What init does, for a process that is made another way.
-spec start(server(), erluv:cmd(), map()) -> {ok, #state{}} | {error, term()}.
start(Server, Cmd, Options) ->
    process_flag(trap_exit, true),
    ok = erluv_log:admit(),
    case check(Options) of
        ok -> begin_with(Server, Cmd, Options);
        Error -> Error
    end.

%% @private
%% Ends the process: one line says why, and the caller of start_link has the reason.
-spec not_started(term(), erluv:cmd(), map()) -> no_return().
not_started(Reason, Cmd, Options) ->
    erluv_log:ends(Reason, [command(Cmd), " is not started: ", erluv_error:text(unsaid(Reason, Options))],
                   maps:merge(#{domain => [erluv, worker], command => Cmd}, name(Options))).

%% Without the lines that are logged already.
unsaid({not_ready, Why, _} = Reason, Options) ->
    case maps:get(output, Options, log) of
        log -> {not_ready, Why};
        {log, _} -> {not_ready, Why};
        _ -> Reason
    end;
unsaid(Reason, _) ->
    Reason.

begin_with(Server, Cmd, Options) ->
    Given = maps:without([output, keep, log_ring, reason, register], Options),
    Ring = maps:from_list([{keep, Size} || {log_ring, Size} <- maps:to_list(Options)]),
    Spawn = maps:merge(reading(Options), reply(maps:merge(Given, Ring))),
    Begun = erluv_telemetry:begun(),
    case program(Server, Cmd, Spawn) of
        {ok, Worker} ->
            when_ready(Options, told(Server, Begun, state(Worker, Cmd, Spawn, Options)));
        {error, Reason} = Error ->
            Span = erluv_telemetry:start(worker, Begun, fun() ->
                                                                maps:merge(erluv_telemetry:program(Server, Cmd, undefined), name(Options))
                                                        end),
            ok = erluv_telemetry:failed(Span, error, Reason),
            Error
    end.

%% Its log and telemetry are told of it.
told(Server, Begun, #state{worker = Worker, cmd = Cmd, metadata = Metadata} = State) ->
    ok = logger:update_process_metadata(maps:with([worker, name, command], Metadata)),
    Span = erluv_telemetry:start(worker, Begun, fun() ->
                                                        maps:merge(erluv_telemetry:program(Server, Cmd, Worker),
                                                                   maps:with([os_pid, name], Metadata))
                                                end),
    State#state{span = Span}.

when_ready(#{ready := _}, State) -> await(State);
when_ready(_, State) -> {ok, State}.

%% How output comes, unless the options say. What nothing looks at is not cut into lines,
%% each of which would be a message.
reading(#{output := none}) -> #{packet => raw, flow => {active, ?RAW_CREDIT}};
reading(_) -> #{packet => lines, flow => {active, ?CREDIT}}.

%% While erluv has no child this waits: a supervisor would try again at once, and give
%% up. It takes no longer than erluv's die_timeout, after which there is no node.
program(Start, Cmd, Options) when is_function(Start) ->
    Start(Cmd, Options);
program(Server, Cmd, Options) ->
    case erluv:spawn_link(Server, Cmd, Options) of
        {error, child_down} ->
            receive
                {'EXIT', _, Reason} -> erluv_log:ends(Reason, none, #{}) % the parent has ended
            after ?CHILD_DOWN ->
                program(Server, Cmd, Options)
            end;
        Answer ->
            Answer
    end.

%% What it writes before it is ready is output as any.
reply(#{ready := _} = Options) -> Options#{ready_reply => message};
reply(Options) -> Options.

state(Worker, Cmd, #{packet := Packet, flow := Flow}, Options) ->
    Output = case maps:get(output, Options, log) of
                 log -> {log, notice};
                 Other -> Other
             end,
    #state{worker = Worker, cmd = Cmd, output = Output, lists = is_map_key(packet, Options),
           metadata = maps:merge(#{domain => [erluv, worker], worker => Worker, os_pid => os_pid(Worker),
                                   command => Cmd}, name(Options)),
           credit = case Flow of
                        {active, N} when is_integer(N) -> N;
                        _ -> undefined
                    end,
           kept = erluv_last:new(maps:get(keep, Options, 20), Packet),
           reason = maps:get(reason, Options, undefined)}.

name(#{register := Name}) -> #{name => Name};
name(Options) -> maps:with([name], Options).

os_pid(Worker) ->
    case erluv_call:call(Worker, info) of
        #{os_pid := OsPid} -> OsPid;
        {error, _} -> undefined % it has ended
    end.

%% The options that erluv does not know; the others it checks itself.
check(Options) ->
    Checks = [{output, fun is_output/1,
               "log, {log, Level}, {pid, Pid}, a function of two arguments or none"},
              {keep, fun(N) -> is_integer(N) andalso N >= 0 end, "a number of lines"},
              {log_ring, fun(N) -> is_boolean(N) orelse is_integer(N) andalso N >= 4096 andalso N =< 1048576 end,
               "true, false or a number of bytes from 4096 to 1048576"},
              {reason, fun(F) -> is_function(F, 1) orelse is_function(F, 2) end, "a function of one or two arguments"},
              {register, fun is_atom/1, "an atom"},
              {owner, fun(_) -> false end, "the process itself is the owner"},
              {link, fun(_) -> false end, "the process is linked with its worker, always"},
              {proxy, fun(_) -> false end, "the process itself is beside the worker"},
              {ready_reply, fun(_) -> false end, "start_link waits, always"}],
    Wrong = [{bad_option, Key, list_to_binary(Right)}
             || {Key, Is, Right} <- Checks, is_map_key(Key, Options),
                not Is(maps:get(Key, Options))],
    case Wrong of
        [] -> ok;
        [Reason | _] -> {error, Reason}
    end.

is_output({log, Level}) -> is_atom(Level);
is_output({pid, Pid}) -> is_pid(Pid);
is_output(Output) -> is_function(Output, 2) orelse Output =:= none orelse Output =:= log.

%% Until it is ready. Only a start calls this.
await(#state{worker = Worker} = State) ->
    receive
        {Worker, ready} -> {ok, State};
        {Worker, Message} -> await(message(Message, State));
        {'EXIT', Worker, {not_ready, Why}} -> not_ready(Why, State);
        {'EXIT', Worker, Reason} -> not_ready(Reason, State);
        {'EXIT', _, Reason} when Reason =/= normal ->
            end_worker(Reason, State),
            erluv_log:ends(Reason, none, #{})
    end.

not_ready(Why, #state{span = Span} = State) ->
    ok = erluv_telemetry:failed(Span, error, {not_ready, Why}),
    {error, {not_ready, Why, last(State)}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(worker, _From, #state{worker = Worker} = State) ->
    {reply, Worker, State};
handle_call(last_output, _From, State) ->
    {reply, last(State), State};
handle_call(Request, _From, State) ->
    {reply, {error, {bad_request, Request}}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Worker, Message}, #state{worker = Worker} = State) ->
    {noreply, message(Message, State)};
handle_info({'EXIT', Worker, Reason}, #state{worker = Worker, span = Span} = State) ->
    ok = tell_end(Reason, Span),
    {Exit, Words} = ended(Reason, State),
    case Exit of
        _ when Exit =:= normal; Exit =:= shutdown; element(1, Exit) =:= shutdown ->
            {stop, Exit, State#state{ended = true}};
        _ ->
            erluv_log:ends(Exit, Words, State#state.metadata)
    end;
handle_info({'EXIT', _, Reason}, State) when Reason =/= normal ->
    {stop, Reason, State};
handle_info(_Message, State) ->
    {noreply, State}.

tell_end(Reason, Span) when Reason =:= normal; Reason =:= shutdown; element(1, Reason) =:= shutdown ->
    erluv_telemetry:stop(Span, #{reason => Reason});
tell_end(Reason, Span) ->
    erluv_telemetry:failed(Span, exit, Reason).

%% The exit reason, and a line for the log. What output is logged is in there before.
ended(Reason, #state{reason = undefined, cmd = Cmd, output = Output} = State) ->
    Lines = case Output of
                {log, _} -> [];
                _ -> last(State)
            end,
    {Reason, [command(Cmd), ": ", erluv_error:exit_text(Reason) | said(Lines)]};
ended(Reason, #state{reason = F} = State) when is_function(F, 2) -> {F(Reason, last(State)), none};
ended(Reason, #state{reason = F}) -> {F(Reason), none}.

said(Lines) -> [["\n    ", erluv_log:text(Line)] || Line <- Lines].

%% The beginning of a command.
command({class, Name, Args}) when is_list(Args) ->
    command([Name | Args]);
command([Word | _] = Words) when not is_integer(Word) ->
    beginning(lists:join(" ", [text(W) || W <- Words]));
command(Command) ->
    beginning(text(Command)).

beginning(Text) -> string:slice(Text, 0, ?MAX_SHOWN).

text(Word) when is_atom(Word) -> atom_to_list(Word);
text(Word) when is_binary(Word) -> erluv_log:text(Word);
text(Word) ->
    try unicode:characters_to_list(Word) of
        Text when is_list(Text) -> Text;
        _ -> io_lib:format("~0tp", [Word])
    catch
        error:badarg -> io_lib:format("~0tp", [Word]) % a program in memory
    end.

message({Stream, Data}, State) when is_binary(Data), Stream =/= status ->
    output(Stream, Data, State#state.output, State),
    State#state{kept = erluv_last:add(Stream, Data, State#state.kept)};
message({Stream, Lines}, #state{output = Output} = State) when is_list(Lines) ->
    case State of
        #state{lists = true, output = {pid, _}} -> output(Stream, Lines, Output, State);
        #state{lists = true} when is_function(Output) -> output(Stream, Lines, Output, State);
        #state{} -> lists:foreach(fun(Line) -> output(Stream, Line, Output, State) end, Lines)
    end,
    State#state{kept = lists:foldl(fun(Line, Kept) -> erluv_last:add(Stream, Line, Kept) end,
                                   State#state.kept, Lines)};
message({Stream, eof}, #state{kept = Kept} = State) ->
    State#state{kept = erluv_last:eof(Stream, Kept)};
message(passive, #state{worker = Worker, credit = Credit} = State) when is_integer(Credit) ->
    _ = erluv:setopts(Worker, [{active, Credit}]), % noproc: it has ended
    State;
message({restarted, OsPid, N}, #state{metadata = Metadata} = State) ->
    ?LOG_NOTICE("started again, for the ~b. time", [N], Metadata#{os_pid := OsPid}),
    State#state{metadata = Metadata#{os_pid := OsPid}};
message({restart_failed, Reason}, #state{metadata = Metadata} = State) ->
    ?LOG_WARNING("could not be started again: ~ts", [erluv:format_error(Reason)], Metadata),
    State;
message({status, Text}, #state{metadata = Metadata} = State) ->
    erluv_log:line(notice, Text, Metadata),
    State;
message({Stream, {error, Errno}}, #state{metadata = Metadata} = State) ->
    ?LOG_WARNING("the file of ~p cannot be written: ~ts",
                 [Stream, erluv:format_error(Errno)], Metadata),
    State;
message(_, State) ->
    State.

output(_, _, none, _) -> ok;
output(Stream, Data, {pid, Pid}, _) -> Pid ! {self(), {Stream, Data}};
output(Stream, Data, {log, Level}, #state{metadata = Metadata}) ->
    erluv_log:line(Level, erluv_last:chomp(Data), Metadata#{stream => Stream});
output(Stream, Data, F, _) -> F(Stream, Data).

last(#state{kept = Kept}) ->
    erluv_last:lines(Kept).

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(Reason, State)
  when Reason =:= normal; Reason =:= shutdown; element(1, Reason) =:= shutdown ->
    end_worker(Reason, State);
terminate(Reason, State) ->
    % What is done with output may be what has failed.
    end_worker(Reason, State#state{output = none}).

%% Until all of it is gone. What it says meanwhile is output as any: a worker that is
%% told to end drops what nobody has asked for, so more is asked for now.
end_worker(_, #state{ended = true}) ->
    ok;
end_worker(Reason, #state{worker = Worker, credit = Credit} = State) ->
    _ = is_integer(Credit) andalso erluv:setopts(Worker, [{active, ?LAST_CREDIT}]),
    exit(Worker, case Reason of normal -> shutdown; _ -> Reason end),
    drain(State).

drain(#state{worker = Worker, span = Span} = State) ->
    receive
        {Worker, Message} -> drain(message(Message, State));
        {'EXIT', Worker, Reason} -> erluv_telemetry:stop(Span, #{reason => Reason})
    end.

%% @private
%% What a crash report shows: not the options, which may have secrets.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{worker = Worker, cmd = Cmd} = State} = Status) ->
    Status#{state := #{worker => Worker, cmd => Cmd, last_output => last(State)}};
format_status(Status) ->
    Status.
