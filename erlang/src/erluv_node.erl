%% @doc Owns an erluv: starts the executable and stops it, or attaches to one that runs.
%%
%% The process is a child for a supervisor, registered as `erluv' unless the option
%% `name' says otherwise. The functions of {@link erluv} take it as their first
%% argument.
%%
%% It starts the executable as a port, which ends with it and with the VM, however
%% they end, and it waits until the node is up. What the executable logs goes to
%% {@link //kernel/logger. logger}, with the domain `[erluv]'. When erluv's child
%% crashes it has a new one started, and when the executable ends it starts that anew. So what
%% uses it needs one restart by its supervisor, in which it waits for the new erluv. The process
%% ends when this happens more often than the option `respawn' allows, or the executable ends
%% before it is up, with the executable's words in its exit reason. It ends itself once all
%% workers are gone: that takes as long as they need.
%%
%% The options, a map or a list:
%% <dl>
%% <dt>`name'</dt><dd>An atom: what the process is registered as, and the controller
%%   that is sent erluv's events. By default `erluv'. Another erluv of this node needs
%%   another name.</dd>
%% <dt>`executable'</dt><dd>The path of erluv, or a list of a program and its
%%   arguments, such as `["sudo", "-n", "erluv"]'. By default it is what the variable
%%   `executable' of the application says, else `priv/erluv', which compiling the application
%%   has made if there was Go, else it is looked for in PATH.</dd>
%% <dt>`settings'</dt><dd>A map or list of keys of erluv.conf(5) and their values: atoms,
%%   strings, binaries, numbers, and lists of names; times in milliseconds or as strings. With
%%   `nodes' or `discover' this node is served with those that they name: `serve' is `all'
%%   then, unless it is said otherwise, and EPMD must know this node.
%%   A VM that speaks TLS with other nodes hands on its options for that, unless the settings
%%   have `tls': see erluv(3erl).</dd>
%% <dt>`config'</dt><dd>A configuration file, which goes before all settings, or
%%   `none', the default. Variables ERLUV_... of the environment have no effect.</dd>
%% <dt>`cookie'</dt><dd>An atom; by default the cookie of this node. It is handed over in
%%   the environment, not among the arguments. With `file' it is not handed over: erluv
%%   takes it from the setting `cookie_file', as it must under sudo.</dd>
%% <dt>`attach'</dt><dd>Instead of all this: the name of an erluv node, or `any', which is
%%   whichever erluv has this process as its controller. It is not started and not
%%   stopped. When it is lost it is waited for.</dd>
%% <dt>`timeout'</dt><dd>How long it may take until the node is up, in milliseconds, or
%%   `infinity'. By default the application's variable `timeout', or 10000.</dd>
%% <dt>`respawn'</dt><dd>`{N, Milliseconds}': a child that crashes is replaced, and an
%%   executable that ends is started anew, together up to N times in this time; then the process
%%   ends. By default `{10, 60000}'. `false': the child is not replaced, erluv ends after its
%%   `die_timeout', and the process with it. An executable that was told to stop by the request
%%   `{stop, Reason}' of erluv-protocol(7), for another reason than `shutdown', is not
%%   started anew.</dd>
%% </dl>
-module(erluv_node).
-behaviour(gen_server).

-export([start_link/0]).
-export([start_link/1]).
-export([child_spec/1]).
-export([node/1]).
-export([stop/1]).

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
        #{attach => node() | any,
          config => erluv:text() | atom(),
          cookie => atom(),
          executable => erluv:text() | [erluv:text(), ...],
          name => atom(),
          respawn => {N :: non_neg_integer(), Milliseconds :: pos_integer()} | false,
          settings => settings(),
          timeout => timeout()}
        | [{attach, node() | any} | {config, erluv:text() | atom()} | {cookie | name, atom()}
           | {executable, erluv:text() | [erluv:text(), ...]}
           | {respawn, {N :: non_neg_integer(), Milliseconds :: pos_integer()} | false}
           | {settings, settings()} | {timeout, timeout()}].
%% As above.

-type settings() :: #{atom() => setting()} | [{atom(), setting()}].
-type setting() :: atom() | integer() | erluv:text() | [atom() | erluv:text()].
%% A key of erluv.conf(5) and its value.

-record(state, {
    name :: atom(),
    executable :: erluv_executable:executable() | undefined, % undefined: attached
    attach :: node() | any | undefined,
    options :: map(),                       % to start it anew
    node :: node() | undefined,             % while it is up
    since = 0 :: integer(),                 % that it is, in native units of monotonic time
    served = false :: boolean(),            % this executable was up
    leaving :: {because, term()} | undefined, % what the event stopping said
    waiting = [] :: [gen_server:from()],    % who asks for the node while there is none
    timeout :: timeout(),
    timer :: reference() | undefined,       % while it is not up
    respawn :: {non_neg_integer(), pos_integer()} | false,
    crashes = [] :: [integer()]             % and ends: when, in ms of monotonic time, newest first
}).

%% Whether an erluv that takes long to stop is still alive is asked after this time,
%% and once more: milliseconds.
-define(STOP_CHECK, 5000).

%% @equiv start_link(#{})
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    start_link(#{}).

%% @doc Starts the process, and returns when the erluv node is up, or says why not:
%% {@link erluv:format_error/1} has it in words, those of the executable included.
%% `{error, {already_started, Pid}}' for the default name may mean that a call has started
%% it: a supervisor has it in front of those that use it.
%%
%% ```
%% {ok, Second} = erluv_node:start_link(#{name => second, settings => #{max_workers => 1}}),
%% {ok, W} = erluv:spawn(second, ["sleep", "60"]),
%% {error, max_workers} = erluv:spawn(Second, ["sleep", "60"]),
%% ok = erluv_node:stop(second).
%% '''
-spec start_link(options()) -> {ok, pid()} | {error, term()}.
start_link(#{name := Name}) when not is_atom(Name); Name =:= undefined -> % no process can have it
    not_started(Name, {bad_option, name, <<"an atom">>});
start_link(Options) when is_map(Options) ->
    case gen_server:start_link({local, name(Options)}, ?MODULE, Options, []) of
        {error, {shutdown, {not_started, Reason}}} -> {error, Reason};
        Started -> Started
    end;
start_link(Options) when is_list(Options) ->
    start_link(maps:from_list(Options));
start_link(Options) ->
    ?BADARG([Options], #{1 => options}).

%% @doc A child for a supervisor, from Elixir too: `{:erluv_node, name: :erluv}'.
%%
%% ```
%% #{id := erluv, shutdown := infinity} = erluv_node:child_spec([]),
%% #{id := other} = erluv_node:child_spec(#{name => other}).
%% '''
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) when is_map(Options) ->
    % infinity: terminate/2 sees to it that the end does not take for ever.
    #{id => name(Options), start => {?MODULE, start_link, [Options]}, shutdown => infinity};
child_spec(Options) when is_list(Options) ->
    child_spec(maps:from_list(Options));
child_spec(Options) ->
    ?BADARG([Options], #{1 => options}).

%% @doc The name of the erluv node. A process that is starting, or has lost its erluv, answers
%% once the node is up: its option `timeout' limits that. `{error, {no_node, Process}}': there
%% is no such process. What is said when it does not start is said here too, as is the reason
%% for which it ended before it answered. The default one, `erluv', is started when it does
%% not run.
%%
%% ```
%% {ok, Node} = erluv_node:node(erluv),
%% true = lists:member(Node, nodes(hidden)),
%% pong = net_adm:ping(Node).
%% '''
-spec node(atom() | pid()) -> {ok, node()} | {error, {no_node, atom() | pid()} | term()}.
node(Process) when is_atom(Process); is_pid(Process) ->
    erluv_call:node(Process);
node(Process) ->
    ?BADARG([Process], #{1 => process}).

%% @doc Ends the process, and the erluv that it owns with all workers; returns when they
%% are gone. As `gen_server:stop/1' it exits with `noproc' when there is no such process.
%%
%% ```
%% {ok, _} = erluv_node:start_link([{name, third}]),
%% {ok, {W, Ref}} = erluv:spawn_monitor(third, ["sleep", "60"]),
%% ok = erluv_node:stop(third),
%% receive {'DOWN', Ref, process, W, shutdown} -> ok end.
%% '''
-spec stop(atom() | pid()) -> ok.
stop(Process) when is_atom(Process); is_pid(Process) ->
    gen_server:stop(Process);
stop(Process) ->
    ?BADARG([Process], #{1 => process}).

name(Options) -> maps:get(name, Options, erluv).

%% @private
-spec init(map()) -> {ok, #state{}} | {stop, term()}.
init(Given) ->
    Options = maps:merge(#{timeout => application:get_env(erluv, timeout, 10000)}, Given),
    process_flag(trap_exit, true),
    ok = erluv_log:admit(),
    ok = erluv_telemetry:load(),
    ok = take_charge(name(Options), get('$ancestors')),
    case start(check(Options), Options) of
        {ok, _} = Ok -> Ok;
        {error, Reason} ->
            % One line, which nothing that starts it needs to add to: `shutdown' is not reported.
            _ = not_started(name(Options), Reason),
            {stop, {shutdown, {not_started, Reason}}}
    end.

not_started(Name, Reason) ->
    ?LOG_ERROR("the erluv_node ~0tp is not started: ~ts", [Name, erluv_error:text(Reason)], #{domain => [erluv]}),
    {error, Reason}.

%% Two who start the default node would be in each other's way.
take_charge(erluv, [Parent | _]) when Parent =/= erluv_sup -> erluv_sup:on_demand(elsewhere);
take_charge(_, _) -> ok.

start(ok, Options) -> start_on(distribution(Options), Options);
start({error, _} = Error, _) -> Error.

%% Who attaches needs a node that an erluv can know of.
distribution(#{attach := _}) -> erluv_distribution:ensure(none);
distribution(_) -> erluv_distribution:ensure().

start_on({error, _} = Error, _) ->
    Error;
start_on(ok, Options) ->
    State = #state{name = name(Options), options = Options, attach = maps:get(attach, Options, undefined),
                   timeout = maps:get(timeout, Options),
                   respawn = maps:get(respawn, Options, {10, 60000})},
    case start_executable(State) of
        {ok, Started} -> await(start_timer(find(Started)));
        {error, _} = Error -> Error
    end.

start_executable(#state{attach = undefined, timeout = Timeout, options = Options} = State) ->
    case await_name(Options, Timeout) of
        ok -> open(State);
        {error, _} = Error -> Error
    end;
start_executable(State) ->
    {ok, State}.

open(#state{options = Options} = State) ->
    case erluv_executable:open(name(Options), Options) of
        {ok, Executable} -> {ok, State#state{executable = Executable}};
        {error, _} = Error -> Error
    end.

%% When this process was killed, the erluv of its predecessor has its name until its
%% workers have ended. If it does not go, the new executable says that the name is taken.
await_name(Options, Timeout) ->
    ok = net_kernel:monitor_nodes(true, [{node_type, hidden}]),
    Before = [Node || Node <- nodes(hidden), erluv_executable:is_named(Node, Options)],
    Result = await_nodedown(Before, Timeout),
    ok = net_kernel:monitor_nodes(false, [{node_type, hidden}]),
    forget_nodes(),
    Result.

await_nodedown([], _) ->
    ok;
await_nodedown([Node | Nodes], Timeout) ->
    ?LOG_NOTICE("~ts is still connected: its end is awaited", [Node],
                #{domain => [erluv], node => Node}),
    receive
        {nodedown, Node, _} -> await_nodedown(Nodes, Timeout);
        {'EXIT', Pid, Reason} when is_pid(Pid) -> {error, Reason} % a port's is that of the one that has ended
    after Timeout -> ok
    end.

forget_nodes() ->
    receive
        {Event, _, _} when Event =:= nodedown; Event =:= nodeup -> forget_nodes()
    after 0 -> ok
    end.

%% The options that are not for the executable alone.
check(Options) ->
    Checks = [{name, fun is_atom/1, "an atom"},
              {attach, fun is_atom/1, "the name of an erluv node, or any"},
              {timeout, fun is_timeout/1, "a number of milliseconds, or infinity"},
              {respawn, fun is_respawn/1, "{N, Milliseconds}, or false"}],
    Wrong = [{bad_option, Key, Right}
             || {Key, Is, Right} <- Checks, is_map_key(Key, Options),
                not Is(maps:get(Key, Options))],
    Known = [Key || {Key, _, _} <- Checks] ++ erluv_executable:options(),
    Unknown = [{bad_option, Key, "there is no such option"}
               || Key <- maps:keys(maps:without(Known, Options))],
    Both = [{bad_option, Key, "has no effect together with attach"}
            || is_map_key(attach, Options), Key <- erluv_executable:options(),
               is_map_key(Key, Options)],
    case Wrong ++ Unknown ++ Both of
        [] -> ok;
        [{bad_option, Key, Why} | _] -> {error, {bad_option, Key, list_to_binary(Why)}}
    end.

is_timeout(Time) -> Time =:= infinity orelse is_integer(Time) andalso Time >= 0.

is_respawn({N, Time}) -> is_integer(N) andalso N >= 0 andalso is_integer(Time) andalso Time > 0;
is_respawn(Respawn) -> Respawn =:= false.

%% An erluv to attach to may be up already, and its event in the past.
find(#state{attach = undefined} = State) -> State;
find(#state{attach = any, name = Name} = State) ->
    Ours = [Node || Node <- nodes(hidden), is_ours(Node, Name)],
    case Ours of
        [Node | _] -> up(Node, State);
        [] -> State
    end;
find(#state{attach = Node} = State) ->
    case lists:member(Node, nodes(hidden)) of
        true -> up(Node, State);
        false -> State
    end.

%% Other hidden nodes than erluv's have no process erluv, or none that answers this.
is_ours(Node, Name) ->
    try gen_server:call({erluv, Node}, {info, controller}, 1000) of
        Controller -> Controller =:= Name
    catch
        exit:_ -> false
    end.

%% Until the node is up. Only init calls this, before which nobody knows the process
%% but by its name: what they send waits.
await(#state{node = undefined, executable = Executable} = State) ->
    receive
        {erluv, _, _} = Event -> await_more(handle_info(Event, State));
        {timeout, _, not_up} = Timeout -> await_more(handle_info(Timeout, State));
        {'EXIT', _, _} = Exit -> await_more(handle_info(Exit, State));
        {Port, _} = Message when is_port(Port), Executable =/= undefined ->
            await_more(info(Message, State))
    end;
await(State) ->
    {ok, State}.

await_more({noreply, State}) -> await(State);
await_more({stop, Reason, State}) ->
    close(State),
    {error, Reason}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(node, From, #state{node = Node, leaving = Leaving, waiting = Waiting} = State) ->
    % Who asks because it was lost may be faster than the message that says so.
    case Leaving =:= undefined andalso lists:member(Node, nodes(connected)) of
        true -> {reply, {ok, Node}, State};
        false -> {noreply, State#state{waiting = [From | Waiting]}}
    end;
handle_call(Request, _From, State) ->
    {reply, {error, {bad_request, Request}}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info(Message, State) ->
    case info(Message, State) of
        {stop, Reason, New} when element(1, Reason) =:= exited; element(1, Reason) =:= not_up;
                                 element(1, Reason) =:= child_crashed ->
            ok = terminate(Reason, New),
            erluv_log:ends(Reason, ["erluv_node ", atom_to_list(New#state.name), " ends: ", erluv_error:text(Reason)],
                           #{domain => [erluv]});
        Result ->
            Result
    end.

info({erluv, Node, {up, Info}}, #state{node = undefined} = State) ->
    case is_wanted(Node, Info, State) of
        true -> {noreply, up(Node, State)};
        false -> {noreply, State}
    end;
info({erluv, Node, Event}, #state{node = Node} = State) ->
    event(Event, State);
info({nodedown, Node}, #state{node = Node} = State) ->
    % An executable of ours ends now, and says more.
    ok = down(noconnection, State),
    {noreply, start_timer(State#state{node = undefined})};
info({timeout, Timer, not_up}, #state{timer = Timer, executable = Executable} = State) ->
    Reason = {not_up, State#state.timeout, erluv_executable:words(Executable)},
    {stop, Reason, State#state{timer = undefined}};
info({Port, Message}, #state{executable = Executable} = State) when is_port(Port) ->
    case erluv_executable:message(Port, Message, Executable) of
        {ok, Kept} -> {noreply, State#state{executable = Kept}};
        {exited, Status, Words} -> exited(exit_reason(Status, Words, State), State#state{executable = undefined});
        ignore -> {noreply, State}
    end;
info({'EXIT', Pid, Reason}, State) when is_pid(Pid), Reason =/= normal ->
    {stop, Reason, State};
info(_Message, State) ->
    {noreply, State}.

%% An orderly end is no crash. It is asked for by this process, which does not come here then,
%% by a signal, or by a request.
exit_reason(0, _, #state{leaving = {because, Reason}}) -> {shutdown, {stopping, Reason}};
exit_reason(0, _, _) -> {shutdown, {stopping, unknown}};
exit_reason(Status, Words, _) -> {exited, Status, Words}.

%% One that was never up is the supervisor's matter: nothing says that the next will be.
exited(Reason, #state{served = false} = State) ->
    {stop, Reason, State};
exited({shutdown, {stopping, Why}} = Reason, State) when Why =/= shutdown, Why =/= unknown ->
    {stop, Reason, State};
exited(Reason, #state{name = Name} = State) ->
    case allowed(State) of
        {true, Counted} ->
            ?LOG_ERROR("erluv_node ~ts: ~ts: it is started anew", [Name, how(Reason)], #{domain => [erluv]}),
            start_again(stop_timer(forget(Reason, Counted)));
        false ->
            {stop, Reason, State}
    end.

how({shutdown, _}) -> "erluv was told to stop";
how(Reason) -> erluv_error:text(Reason).

%% Its end may be known before the end of its connection.
forget(_, #state{node = undefined} = State) ->
    State;
forget(Reason, #state{node = Node} = State) ->
    true = erlang:monitor_node(Node, false),
    ok = down(Reason, State),
    State#state{node = undefined}.

start_again(State) ->
    case start_executable(State#state{served = false}) of
        {ok, Started} -> {noreply, start_timer(Started)};
        {error, Reason} -> {stop, Reason, State}
    end.

is_wanted(_, _, #state{attach = any}) -> true;
is_wanted(Node, _, #state{attach = Attach}) when Attach =/= undefined -> Node =:= Attach;
is_wanted(Node, Info, #state{executable = Executable}) ->
    erluv_executable:is_node(Node, Info, Executable).

up(Node, #state{name = Name, executable = Executable, waiting = Waiting} = State) ->
    true = erlang:monitor_node(Node, true),
    [gen_server:reply(From, {ok, Node}) || From <- Waiting],
    ok = erluv_telemetry:follow(Node),
    ok = erluv_telemetry:execute([node, up], #{system_time => erlang:system_time()}, #{server => Name, node => Node}),
    stop_timer(State#state{node = Node, since = erlang:monotonic_time(), leaving = undefined, served = true, waiting = [],
                           executable = erluv_executable:connected(Executable)}).

%% What it has said of its end goes before how that is seen here.
down(Seen, #state{name = Name, node = Node, since = Since, leaving = Leaving}) ->
    Reason = case Leaving of
                 {because, Said} -> Said;
                 undefined when Seen =:= normal -> shutdown; % that is what it was told
                 undefined -> Seen
             end,
    erluv_telemetry:execute([node, down], #{duration => erlang:monotonic_time() - Since},
                            #{server => Name, node => Node, reason => Reason}).

start_timer(#state{timer = undefined, node = undefined, timeout = Time} = State)
  when is_integer(Time) ->
    State#state{timer = erlang:start_timer(Time, self(), not_up)};
start_timer(State) ->
    State.

stop_timer(#state{timer = undefined} = State) ->
    State;
stop_timer(#state{timer = Timer} = State) ->
    _ = erlang:cancel_timer(Timer), % one that has fired is not this state's any more
    State#state{timer = undefined}.

event({child_down, Reason, DieTimeout}, #state{name = Name, node = Node, respawn = Policy} = State) ->
    ok = erluv_telemetry:execute([node, child_crashed], #{system_time => erlang:system_time()},
                                 #{server => Name, node => Node, reason => Reason}),
    % In words: other formatters break a term over lines.
    ?LOG_ERROR("the child of ~ts crashed: ~ts; it ends in ~b ms unless there is a new one",
               [Node, erluv_error:exit_text(Reason), DieTimeout], #{domain => [erluv], node => Node}),
    respawn(Policy, Reason, State);
event({child_up, OsPid}, #state{node = Node, executable = Executable} = State) ->
    ?LOG_NOTICE("~ts has a new child, ~b", [Node, OsPid], #{domain => [erluv], node => Node}),
    ok = erluv_telemetry:follow(Node),
    {noreply, State#state{executable = erluv_executable:recovered(Executable)}};
event({flow, What, #{cmd := _, paused := _} = Info}, #state{name = Name, node = Node} = State) ->
    ok = erluv_telemetry:flow(Name, Node, What, Info),
    {noreply, State};
event({stopping, Reason}, State) ->
    {noreply, State#state{leaving = {because, Reason}}};
event(_, State) ->
    {noreply, State}.

respawn(false, _, State) ->
    {noreply, State};
respawn(_, Reason, #state{node = Node} = State) ->
    case allowed(State) of
        {true, Counted} ->
            _ = {erluv_main, Node} ! respawn,
            {noreply, Counted};
        false ->
            {stop, {child_crashed, Reason}, State}
    end.

%% Whether this may be mended, by the option respawn.
allowed(#state{respawn = false}) ->
    false;
allowed(#state{respawn = {Max, Period}, crashes = Crashes} = State) ->
    Now = erlang:monotonic_time(millisecond),
    Recent = [Now | [Time || Time <- Crashes, Now - Time < Period]],
    length(Recent) =< Max andalso {true, State#state{crashes = Recent}}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{executable = Executable, node = undefined} = State) ->
    _ = Executable =/= undefined andalso close(State),
    ok;
terminate(Reason, #state{executable = undefined} = State) ->
    down(Reason, State);
terminate(Reason, #state{node = Node} = State) ->
    ok = case ask(Node, {stop, shutdown}) of
             ok -> await_exit(2, State);
             _ -> close(State)
         end,
    down(Reason, State).

%% It ends when its workers have: nobody but it knows how long they may take. One that
%% neither ends nor answers is left to its fate: its stdin is closed.
await_exit(0, State) ->
    close(State);
await_exit(Tries, #state{node = Node, executable = Executable} = State) ->
    case erluv_executable:await_exit(?STOP_CHECK, Executable) of
        exited -> ok;
        timeout ->
            case ask(Node, {info, status}) of
                no_answer -> await_exit(Tries - 1, State);
                {error, child_down} -> close(State); % it crashed meanwhile, and nothing is left
                _ -> await_exit(2, State)
            end
    end.

ask(Node, Request) ->
    try
        gen_server:call({erluv, Node}, Request, ?STOP_CHECK)
    catch
        exit:_ -> no_answer
    end.

close(#state{executable = undefined}) -> ok;
close(#state{executable = Executable}) -> erluv_executable:close(Executable).

%% @private
%% What a crash report shows: not the options, of which the cookie is one.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{name = Name, node = Node}} = Status) ->
    Status#{state := #{name => Name, node => Node}};
format_status(Status) ->
    Status.
