%% @doc The events of this application for `telemetry'.
%%
%% They are emitted when the module `telemetry' is there, and cost nothing to speak of when it
%% is not. Nothing needs to be configured. `telemetry:attach_many/4' takes {@link events/0}:
%%
%% <pre>
%% telemetry:attach_many(my_metrics, erluv_telemetry:events(), fun my_metrics:handle/4, []).
%% </pre>
%%
%% Each event has `monotonic_time' among its measurements, and the others that are listed. Times
%% are in native units.
%% <dl>
%% <dt>`[erluv, run, start]'</dt><dd>A program runs to its end: {@link erluv:run/3},
%%   `Erluv.cmd/3', `Erluv.stream/2'. Measured: `system_time'. Metadata: those of a program.</dd>
%% <dt>`[erluv, run, stop]'</dt><dd>It has ended, or was stopped. Measured: `duration'. Metadata:
%%   also `exit', as {@link erluv:run/3} returns it.</dd>
%% <dt>`[erluv, run, exception]'</dt><dd>It was not started, a limit such as `timeout' has stopped
%%   it, or it was lost. Measured: `duration'. Metadata: also `kind', `reason' and `stacktrace'.</dd>
%% <dt>`[erluv, worker, start]'</dt><dd>The program of an {@link erluv_worker} or an
%%   `Erluv.Daemon' has started. Measured: `system_time'. Metadata: those of a program.</dd>
%% <dt>`[erluv, worker, stop]'</dt><dd>It has ended with status 0, or was stopped. Measured:
%%   `duration'. Metadata: also `reason', the exit reason of the worker.</dd>
%% <dt>`[erluv, worker, exception]'</dt><dd>It has ended otherwise, was not ready in time, or was
%%   not started. Measured: `duration'. Metadata: also `kind', `reason' and `stacktrace'.</dd>
%% <dt>`[erluv, node, up]'</dt><dd>An {@link erluv_node} has its erluv. Measured: `system_time'.
%%   Metadata: `server' and `node'.</dd>
%% <dt>`[erluv, node, down]'</dt><dd>It has lost its erluv, or has stopped it. Measured: `duration',
%%   for how long it was up. Metadata: also `reason'.</dd>
%% <dt>`[erluv, node, child_crashed]'</dt><dd>erluv's child has crashed, and all its programs have
%%   ended. Measured: `system_time'. Metadata: `server', `node' and `reason'.</dd>
%% <dt>`[erluv, flow, paused]'</dt><dd>Output of a program with `flow => auto' has waited for a
%%   receiver on this node for a second. Measured: `duration', so far. Metadata: `server', `node',
%%   `worker', `name', `program', `stream' and `receiver'.</dd>
%% <dt>`[erluv, flow, resumed]'</dt><dd>The receiver has caught up, or the stream is over. Measured:
%%   `duration', for how long it has waited. Metadata: the same.</dd>
%% </dl>
%%
%% `server' is the erluv node as the caller names it, or the name of the `erluv_node'. The metadata
%% of a program are
%% <dl>
%% <dt>`server', `node'</dt><dd>`node' is there once the worker is known.</dd>
%% <dt>`program', `arguments'</dt><dd>The name of the program, not more than 200 bytes of it, and
%%   how many arguments it has. Arguments and the environment are no metadata, for they may have
%%   secrets. A command for the shell is `/bin/sh' with 2 arguments, a class its name.</dd>
%% <dt>`worker', `os_pid', `name'</dt><dd>The pid of the worker, the number of its process, and the
%%   option `name' or `register', each if there is one. {@link erluv:run/3} has no worker.</dd>
%% <dt>`telemetry_span_context'</dt><dd>The same in all events of one program.</dd>
%% </dl>
%%
%% The `stacktrace' is empty, and `kind' is `exit', or `error' for what was not started. Each program
%% has one `start', and one `stop' or `exception', unless the process that has it is killed. A
%% program that {@link erluv:spawn/3} starts has no events: its messages and its exit signal
%% tell its owner the same. While an erluv node has more than 1 MiB to send to this one it leaves
%% events of `flow' out.
%%
%% Handlers run in the process that has the program, or in the `erluv_node': they must be
%% quick, and must not ask that `erluv_node'.
-module(erluv_telemetry).

-export([events/0]).
-export([begun/0]).
-export([execute/3]).
-export([failed/3]).
-export([flow/4]).
-export([follow/1]).
-export([load/0]).
-export([over/2]).
-export([program/3]).
-export([run/3]).
-export([start/3]).
-export([stop/2]).

-export_type([begun/0, span/0]).

-type begun() :: {Monotonic :: integer(), System :: integer()} | off.
-type span() :: {run | worker, Monotonic :: integer(), map()} | off.
%% off: there is no telemetry.

%% So much of a program's name is metadata: bytes.
-define(MAX_NAME, 200).

%% @doc The names of all events.
%%
%% ```
%% true = lists:member([erluv, worker, stop], erluv_telemetry:events()).
%% '''
-spec events() -> [[atom()]].
events() ->
    [[erluv, Of, What] || Of <- [run, worker], What <- [start, stop, exception]]
    ++ [[erluv, node, What] || What <- [up, down, child_crashed]]
    ++ [[erluv, flow, What] || What <- [paused, resumed]].

%% @private
%% A VM that loads modules when they are first called does it now, if telemetry is there.
-spec load() -> ok.
load() ->
    _ = code:ensure_loaded(telemetry()),
    ok.

%% It is no dependency, and nothing that checks calls may miss it.
telemetry() -> telemetry.

is_on() -> erlang:function_exported(telemetry(), execute, 3).

%% @private
%% What happens in telemetry, and in a handler, is no concern of the caller.
-spec execute([atom()], map(), map()) -> ok.
execute(Event, Measurements, Metadata) ->
    case is_on() of
        true ->
            Module = telemetry(),
            Measured = Measurements#{monotonic_time => erlang:monotonic_time()},
            try
                Module:execute([erluv | Event], Measured, Metadata)
            catch
                _:_ -> ok
            end,
            ok;
        false ->
            ok
    end.

%% @private
%% The moment at which something begins of which {@link start/3} tells.
-spec begun() -> begun().
begun() ->
    case is_on() of
        true -> {erlang:monotonic_time(), erlang:system_time()};
        false -> off
    end.

%% @private
-spec start(run | worker, begun(), fun(() -> map())) -> span().
start(_, off, _) ->
    off;
start(Of, {Monotonic, System}, F) ->
    Metadata = (F())#{telemetry_span_context => make_ref()},
    ok = execute([Of, start], #{system_time => System}, Metadata),
    {Of, Monotonic, Metadata}.

%% @private
-spec stop(span(), map()) -> ok.
stop(Span, More) -> ends(Span, stop, More).

%% @private
-spec failed(span(), exit | error | throw, term()) -> ok.
failed(Span, Kind, Reason) -> ends(Span, exception, #{kind => Kind, reason => without_output(Reason), stacktrace => []}).

ends(off, _, _) ->
    ok;
ends({Of, Since, Metadata}, What, More) ->
    execute([Of, What], #{duration => erlang:monotonic_time() - Since}, maps:merge(Metadata, More)).

%% @private
%% A run is over, for this exit reason of its worker.
-spec over(span(), term()) -> ok.
over(Span, normal) -> stop(Span, #{exit => {exit_status, 0}});
over(Span, {exit_status, _} = Exit) -> stop(Span, #{exit => Exit});
over(Span, Exit) when element(1, Exit) =:= signal -> stop(Span, #{exit => Exit});
over(Span, Reason) -> failed(Span, exit, Reason).

%% @private
%% A program that runs to its end within a function.
-spec run(erluv:server(), erluv:cmd(), fun(() -> Result)) -> Result.
run(Server, Cmd, F) ->
    case begun() of
        off -> F();
        Begun -> run_in(start(run, Begun, fun() -> program(Server, Cmd, undefined) end), F)
    end.

run_in(Span, F) ->
    try F() of
        Result ->
            ok = ran(Span, Result),
            Result
    catch
        Class:Reason:Trace ->
            ok = failed(Span, Class, Reason),
            erlang:raise(Class, Reason, Trace)
    end.

ran(Span, {ok, #{exit := Exit}}) -> over(Span, Exit);
ran(Span, {error, Reason}) -> failed(Span, error, Reason).

%% How much that is, the program decides.
without_output({What, #{stdout := _}}) -> What;
without_output({not_ready, Why, _}) -> {not_ready, Why};
without_output(Reason) -> Reason.

%% @private
%% The metadata of a program.
-spec program(term(), erluv:cmd(), pid() | undefined) -> map().
program(Server, Cmd, Worker) ->
    {Program, Arguments} = named(Cmd),
    Metadata = #{server => named_server(Server), program => Program, arguments => Arguments},
    case Worker of
        undefined -> Metadata;
        _ -> Metadata#{node => node(Worker), worker => Worker}
    end.

%% erluv_ex has a function for where there is no erluv.
named_server(Server) when is_function(Server) -> port;
named_server(Server) -> Server.

named({class, Name, Args}) -> {name(Name), count(Args)};
named([{memory, _} | Args]) -> {<<"memory">>, count(Args)};
named([{memory, _, Name} | Args]) -> {name(Name), count(Args)};
named([Word | Args]) when not is_integer(Word) -> {name(Word), count(Args)};
named(_) -> {<<"/bin/sh">>, 2}.

name(Name) when is_atom(Name) -> name(atom_to_binary(Name));
name(Name) ->
    try
        beginning(text(Name))
    catch
        error:badarg -> <<>> % erluv says what is wrong with it
    end.

text(Name) ->
    case unicode:characters_to_binary([Name]) of
        Text when is_binary(Text) -> Text;
        _ -> iolist_to_binary(Name) % bytes that are no text
    end.

%% A text is not cut within a character.
beginning(Text) when byte_size(Text) =< ?MAX_NAME ->
    Text;
beginning(Text) ->
    Beginning = binary:part(Text, 0, ?MAX_NAME),
    case unicode:characters_to_binary(Beginning) of
        {incomplete, Whole, _} -> Whole;
        _ -> Beginning
    end.

count(Args) when length(Args) >= 0 -> length(Args);
count(_) -> 0.

%% @private
%% Has an erluv node send its controller, which is the caller, the events of flow control. The
%% answer is a message that means nothing.
-spec follow(node()) -> ok.
follow(Node) ->
    _ = is_on() andalso gen_server:send_request({erluv, Node}, {events, [flow]}),
    ok.

%% @private
-spec flow(atom(), node(), paused | resumed, map()) -> ok.
flow(Server, Node, What, #{cmd := Cmd, paused := Milliseconds} = Info) ->
    {Program, _} = named(Cmd),
    Metadata = maps:with([worker, name, stream, receiver], Info),
    execute([flow, What], #{duration => erlang:convert_time_unit(Milliseconds, millisecond, native)},
            Metadata#{server => Server, node => Node, program => Program}).
