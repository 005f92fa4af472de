%% @doc Programs on many hosts: a few control nodes, and one erluv on each host.
%%
%% {@link child_spec/1} is a child for a supervisor of each control node. An erluv is one of its
%% hosts when it serves that node with `controller = "erluv_fleet"': see erluv.conf(5). Control
%% nodes that are connected with each other know each other's hosts, and run programs there through
%% the one that is connected.
%%
%% A host is chosen by a filter: a map, in which `status', `node', `version' and `via' are as in
%% {@link nodes/0}, `class' is one that it offers, and `meta' is a map of labels: a key, or the name
%% of a label, and its value, or `true'; `{Name, Key}' is a key of that label alone. Or a fun that
%% takes a host, as it is in {@link nodes/0}, and returns whether it is one.
%%
%% Only a host that is `ready' and has room is chosen. A program is counted from the choice on, so
%% that a thousand that are placed at once are not all on one host. How many run is known by
%% the beginning and the end of each. What was started without the fleet is found when a host
%% connects, says that it is full, or is asked for its load.
%%
%% The options, a map or a list:
%% <dl>
%% <dt>`hold'</dt><dd>How long {@link place/2} keeps a place, in milliseconds. By default 10000.</dd>
%% <dt>`refresh'</dt><dd>How often a host is asked for `load', `memory' and `disks', in
%%   milliseconds, or `infinity'. By default 30000.</dd>
%% <dt>`respawn'</dt><dd>`{N, Milliseconds}', or `false': how often a child of a host that crashes
%%   is replaced. By default `{10, 60000}'.</dd>
%% </dl>
%%
%% Errors say whether something runs: with `{unreachable, Host}' nothing was started; with `{lost,
%% Host}' it may have been, and the connection went. All other reasons are those of {@link erluv}:
%% the host has answered.
-module(erluv_fleet).

-compile({no_auto_import, [nodes/0, nodes/1, spawn/3]}).

-export([start_link/0]).
-export([start_link/1]).
-export([child_spec/1]).
-export([nodes/0]).
-export([nodes/1]).
-export([place/2]).
-export([run/3]).
-export([spawn/3]).
-export([task/4]).
-export([tasks/0]).
-export([tasks/1]).
-export([command/2]).
-export([drain/2]).
-export([set_status/2]).
-export([put_file/4]).
-export([put_file_all/4]).
-export([call_all/2]).
-export([subscribe/0]).

-include("erluv.hrl").

-export_type([options/0]).
-export_type([host/0]).
-export_type([filter/0]).
-export_type([strategy/0]).
-export_type([where/0]).
-export_type([id/0]).
-export_type([task/0]).
-export_type([event/0]).

-type options() ::
        #{hold => pos_integer(),
          refresh => pos_integer() | infinity,
          respawn => {N :: non_neg_integer(), Milliseconds :: pos_integer()} | false}
        | [{hold, pos_integer()} | {refresh, pos_integer() | infinity}
           | {respawn, {N :: non_neg_integer(), Milliseconds :: pos_integer()} | false}].
%% As above.

-type host() ::
        #{node := node(),
          status := erluv:host_status() | not_connected,
          meta := [erluv:label()],
          class := [Name :: binary()],
          load := #{atom() => number()},
          memory := #{atom() => non_neg_integer() | undefined},
          disks := [#{atom() => term()}],
          max_workers := non_neg_integer(),
          version := binary(),
          via := node(),
          since := integer(),
          workers => non_neg_integer(),
          free => non_neg_integer()}.
%% A host: `load', `memory', `disks' and `max_workers' are as `info' has them in erluv-protocol(7), `via'
%% is the control node that is connected with it, `since' when that was, in milliseconds of Unix time,
%% `workers' how many programs run, and `free' how many more can be placed.

-type filter() ::
        #{class => erluv:text() | atom(),
          meta => #{key() | {Name :: key(), key()} => true | erluv:text() | atom() | integer()},
          node => node(),
          status => erluv:host_status(),
          version => erluv:text(),
          via => node()}
        | fun((host()) -> boolean()).
-type key() :: erluv:text() | atom().

-type strategy() :: least_loaded | spread | random | fun(([host(), ...]) -> node()).
%% `least_loaded' is the host with the fewest programs for each of its processors, `spread' with the
%% fewest, whatever it is; of equals it is the first by name. A fun takes the hosts that have room.

-type where() :: node() | filter() | {filter(), strategy()}.
%% One host, or one that is chosen, by default the `least_loaded'.

-type id() :: erluv:text() | atom().
%% The id of a task: text of 1 to 255 bytes. An atom is the text of its name.

-type task() :: #{node := node(), worker := pid(), cmd := term(), id => binary(), class => binary()}.
%% A program of a host, `worker' being what {@link spawn/3} has returned.

-type event() ::
        {up | down | status, node(), host()}
        | {task_started, node(), pid(), #{atom() => term()}}
        | {task_stopped, node(), pid(), Reason :: term()}
        | {task_conflict, Id :: binary(), [pid(), ...]}.

%% @equiv start_link(#{})
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    start_link(#{}).

%% @doc Starts what a control node has of the fleet.
%%
%% ```
%% {error, {already_started, _}} = erluv_fleet:start_link(),
%% {error, {bad_option, hold, _}} = erluv_fleet:start_link(#{hold => never}).
%% '''
-spec start_link(options()) -> {ok, pid()} | {error, term()}.
start_link(Options) when is_map(Options) ->
    case check(maps:to_list(Options)) of
        ok -> start_on(erluv_distribution:ensure(none), Options);
        {error, _} = Error -> Error
    end;
start_link(Options) when length(Options) >= 0 ->
    start_link(proplists:to_map(Options));
start_link(Options) ->
    ?BADARG([Options], #{1 => options}).

start_on(ok, Options) -> erluv_fleet_sup:start_link(Options);
start_on({error, _} = Error, _) -> Error.

check([]) -> ok;
check([{hold, Time} | Options]) when is_integer(Time), Time > 0 -> check(Options);
check([{refresh, Time} | Options]) when is_integer(Time), Time > 0; Time =:= infinity -> check(Options);
check([{respawn, false} | Options]) -> check(Options);
check([{respawn, {N, Time}} | Options]) when is_integer(N), N >= 0, is_integer(Time), Time > 0 -> check(Options);
check([{hold, _} | _]) -> {error, {bad_option, hold, <<"a number of milliseconds">>}};
check([{refresh, _} | _]) -> {error, {bad_option, refresh, <<"a number of milliseconds, or infinity">>}};
check([{respawn, _} | _]) -> {error, {bad_option, respawn, <<"{N, Milliseconds}, or false">>}};
check([{Key, _} | _]) -> {error, {bad_option, Key, <<"there is no such option">>}}.

%% @doc A child for a supervisor, from Elixir too: `{:erluv_fleet, []}'.
%%
%% ```
%% #{id := erluv_fleet, type := supervisor} = erluv_fleet:child_spec(#{hold => 5000}).
%% '''
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) when is_map(Options); length(Options) >= 0 ->
    #{id => ?MODULE, start => {?MODULE, start_link, [Options]}, type => supervisor};
child_spec(Options) ->
    ?BADARG([Options], #{1 => options}).

%% @doc All hosts that are connected with this control node, or with one that it is connected with.
%%
%% ```
%% [#{node := Node, status := ready, via := Via} | _] = erluv_fleet:nodes(),
%% true = lists:member(Node, nodes(hidden)),
%% Via = node().
%% '''
-spec nodes() -> [host()].
nodes() ->
    lists:sort(fun(#{node := A}, #{node := B}) -> A =< B end, erluv_fleet_table:hosts()).

%% @doc Those of which a filter holds.
%%
%% ```
%% [#{node := Node}] = erluv_fleet:nodes(#{meta => #{group => g1}, status => ready}),
%% [] = erluv_fleet:nodes(#{meta => #{{core, group} => g2}}),
%% [#{node := Node}] = erluv_fleet:nodes(fun(#{free := Free}) -> Free > 10 end).
%% '''
-spec nodes(filter()) -> [host()].
nodes(Filter) ->
    case erluv_fleet_filter:is_filter(Filter) of
        true -> [Host || Host <- nodes(), erluv_fleet_filter:matches(Filter, Host)];
        false -> ?BADARG([Filter], #{1 => filter})
    end.

%% @doc Chooses a host for a program, and keeps a place there for it: until the caller starts one on
%% that host by {@link spawn/3} or {@link run/3}, ends, or the option `hold' is over.
%%
%% `{error, {full, Counted}}': as many run, or have a place, as each of them takes; `Counted' is a
%% map of hosts and how many that are. `{error, {none, Filter}}': there is no such host that is ready.
%%
%% ```
%% {ok, Node} = erluv_fleet:place(#{meta => #{group => g1}}, least_loaded),
%% {ok, #{stdout := <<"hi\n">>}} = erluv_fleet:run(Node, ["echo", "hi"], #{}),
%% {error, {none, #{class := gpu}}} = erluv_fleet:place(#{class => gpu}, spread).
%% '''
-spec place(filter(), strategy()) -> {ok, node()} | {error, {full, #{node() => non_neg_integer()}} | {none, filter()}}.
place(Filter, Strategy) ->
    case erluv_fleet_choice:choose(Filter, Strategy, place) of
        {ok, Node, _, _} -> {ok, Node};
        {error, _} = Error -> Error
    end.

%% @doc Runs a program to its end on a host, as {@link erluv:run/3}. A host that is named is taken; else
%% one is chosen as by {@link place/2}, and no other is tried when that one fails.
%%
%% ```
%% {ok, #{exit := {exit_status, 0}, stdout := <<"hi\n">>}} =
%%     erluv_fleet:run(#{meta => #{group => g1}}, ["echo", "hi"], #{}),
%% {ok, #{exit := {exit_status, 1}}} = erluv_fleet:run({#{}, random}, ["false"], #{}),
%% {error, {unreachable, 'no_such@host'}} = erluv_fleet:run('no_such@host', ["true"], #{}),
%% {error, enoent} = erluv_fleet:run(#{}, ["no-such-program"], #{}).
%% '''
-spec run(where(), erluv:cmd(), erluv:run_options()) -> {ok, erluv:result()} | {error, term()}.
run(Where, Cmd, Options) when is_map(Options); length(Options) >= 0 ->
    case erluv_fleet_choice:taken(Where) of
        {ok, Node, Via, Ref} ->
            Answer = case Via =:= node() of
                         true -> erluv_fleet_relay:counted_run(Node, Cmd, Options);
                         false -> erluv_fleet_relay:at(Via, erluv_fleet_relay, run, [self(), Node, Cmd, Options])
                     end,
            ok = ended(Answer, Ref, Node),
            answer(Answer, Node);
        {error, _} = Error ->
            Error
    end;
run(Where, Cmd, Options) ->
    ?BADARG([Where, Cmd, Options], #{3 => options}).

%% @doc Starts a program on a host, as {@link erluv:spawn/3}. Where it runs is as with {@link run/3}.
%%
%% On a host that is not connected with this node the pid is that of a process of the control
%% node that is. It is used as the worker is: by the functions of {@link erluv}, by links and monitors, and
%% it sends the same messages. The program ends with that control node.
%%
%% ```
%% {ok, W} = erluv_fleet:spawn(#{meta => #{group => g1}}, ["cat"], #{packet => line}),
%% ok = erluv:write(W, <<"hello\n">>),
%% receive {W, {stdout, <<"hello\n">>}} -> ok end,
%% {ok, _} = erluv:stop(W).
%% '''
-spec spawn(where(), erluv:cmd(), erluv:options()) -> {ok, pid()} | {error, term()}.
spawn(Where, Cmd, Options) when is_map(Options) ->
    case erluv_fleet_choice:taken(Where) of
        {ok, Node, Via, Ref} -> answer(spawned(Node, Via, Ref, Cmd, Options), Node);
        {error, _} = Error -> Error
    end;
spawn(Where, Cmd, Options) when length(Options) >= 0 ->
    spawn(Where, Cmd, proplists:to_map(Options));
spawn(Where, Cmd, Options) ->
    ?BADARG([Where, Cmd, Options], #{3 => options}).

spawned(Node, Via, Ref, Cmd, Options) when Via =:= node() ->
    case erluv:spawn(Node, Cmd, Options) of
        {ok, Worker} = Ok ->
            ok = erluv_fleet_server:began(Ref, Node, Worker, erluv_fleet_host:info(Cmd, Options)),
            Ok;
        Error ->
            ok = ended(Error, Ref, Node),
            Error
    end;
spawned(Node, Via, Ref, Cmd, Options) ->
    Answer = erluv_fleet_relay:at(Via, erluv_fleet_relay, start, [self(), Node, Cmd, Options]),
    ok = ended(Answer, Ref, Node),
    Answer.

%% @doc Starts a task: a program as of {@link spawn/3}, with an id that no other program in the
%% fleet has. The id is the option `id' of the program: it is free again when the program has ended.
%%
%% `{error, {already_started, Task}}': a program with this id runs. Control nodes that see each other
%% never start the same id twice, and on one host it never runs twice. After a split both
%% sides may have started one, on different hosts. Then both go on, and subscribers are
%% sent `{task_conflict, Id, Tasks}' when the control nodes see each other again.
%%
%% ```
%% Nightly = #{owner => none},
%% {ok, W} = erluv_fleet:task("nightly", #{meta => #{group => g1}}, ["cat"], Nightly),
%% {error, {already_started, W}} = erluv_fleet:task("nightly", {#{}, random}, ["cat"], Nightly),
%% {ok, {signal, sigterm}} = erluv_fleet:command("nightly", stop).
%% '''
-spec task(id(), where(), erluv:cmd(), erluv:options()) -> {ok, pid()} | {error, term()}.
task(Id, Where, Cmd, Options) when is_map(Options) ->
    case erluv_fleet_task:id(Id) of
        {ok, Text} -> erluv_fleet_task:start(Text, fun() -> counted(Where, Cmd, Options#{id => Text}) end);
        error -> ?BADARG([Id, Where, Cmd, Options], #{1 => id})
    end;
task(Id, Where, Cmd, Options) when length(Options) >= 0 ->
    task(Id, Where, Cmd, proplists:to_map(Options));
task(Id, Where, Cmd, Options) ->
    ?BADARG([Id, Where, Cmd, Options], #{4 => options}).

%% Returns when the program is counted.
counted(Where, Cmd, Options) ->
    case spawn(Where, Cmd, Options) of
        {ok, Worker} = Ok ->
            ok = erluv_fleet_server:ran(node(Worker), Worker, erluv_fleet_host:info(Cmd, Options)),
            Ok;
        {error, _} = Error ->
            Error
    end.

%% @equiv tasks(#{})
-spec tasks() -> [task()].
tasks() ->
    tasks(#{}).

%% @doc The programs that are counted on a host, or on all of which a filter holds.
%%
%% ```
%% {ok, W} = erluv_fleet:task(watch, #{}, ["cat"], #{owner => none}),
%% [#{node := Node, worker := W, id := <<"watch">>, cmd := [<<"cat">>]}] = erluv_fleet:tasks(),
%% [_] = [Task || #{id := <<"watch">>} = Task <- erluv_fleet:tasks(Node)],
%% {ok, _} = erluv_fleet:command(watch, stop).
%% '''
-spec tasks(node() | filter()) -> [task()].
tasks(Node) when is_atom(Node) ->
    erluv_fleet_server:tasks([Node]);
tasks(Filter) ->
    erluv_fleet_server:tasks(names(nodes(Filter))).

names(Hosts) -> [Node || #{node := Node} <- Hosts].

%% @doc Asks a program of any host, from any control node: a task by its id, or any by its pid. The
%% requests are those of a worker in erluv-protocol(7), as `{write, Data}', `{close, stdin}',
%% `{signal, Signal}', `{resize, Rows, Columns}', `info' and `stop', and so are the answers.
%%
%% ```
%% {ok, _} = erluv_fleet:task(sorter, #{}, ["sort"], #{packet => line}),
%% ok = erluv_fleet:command(sorter, {write, "b\na\n"}),
%% {error, enotty} = erluv_fleet:command(sorter, {resize, 24, 80}),
%% ok = erluv_fleet:command(sorter, {signal, sigcont}),
%% ok = erluv_fleet:command(sorter, {close, stdin}),
%% receive {_, {stdout, <<"a\n">>}} -> ok end,
%% {error, noproc} = erluv_fleet:command(no_such_task, {signal, sigterm}).
%% '''
-spec command(id() | pid(), Request :: term()) -> Answer :: term().
command(Worker, Request) when is_pid(Worker) ->
    asked(node(Worker), Worker, Request);
command(Id, Request) ->
    case erluv_fleet_task:id(Id) of
        {ok, Text} ->
            case erluv_fleet_table:with_id(Text) of
                [{_, _, Task} | _] -> asked(node(Task), Task, Request);
                [] -> {error, noproc}
            end;
        error ->
            ?BADARG([Id, Request], #{1 => id})
    end.

%% A worker is reached through its control node; a process that stands for one is at a control node.
asked(Node, Worker, Request) ->
    case erluv_fleet_table:via(Node) of
        {ok, Via} when Via =/= node() -> answer(erluv_fleet_relay:at(Via, erluv_call, call, [Worker, Request]), Node);
        _ -> answer(erluv_call:call(Worker, Request), Node)
    end.

%% The answer has what the host has, and not the place of this call.
ended({error, max_workers}, Ref, Node) ->
    ok = erluv_fleet_server:full(Ref, Node),
    erluv_fleet_server:sync(Node);
ended(_, Ref, _) ->
    erluv_fleet_server:release(Ref).

answer({error, nodedown}, Node) -> {error, {unreachable, Node}};
answer({error, noconnection}, Node) -> {error, {lost, Node}};
answer({error, max_workers}, Node) -> {error, {full, #{Node => erluv_fleet_table:counted(Node)}}};
answer(Answer, _) -> Answer.

%% @doc Drains a host, as {@link erluv:drain/2}, from any control node.
%%
%% ```
%% [#{node := Node}] = erluv_fleet:nodes(#{meta => #{group => g1}}),
%% {ok, []} = erluv_fleet:drain(Node, 10000),
%% {error, {node_not_ready, _}} = erluv_fleet:run(Node, ["true"], #{}),
%% ok = erluv_fleet:set_status(Node, ready).
%% '''
-spec drain(node(), timeout()) -> {ok, Killed :: [pid()]} | {error, term()}.
drain(Node, Deadline) when is_atom(Node), is_integer(Deadline), Deadline >= 0; is_atom(Node), Deadline =:= infinity ->
    call(Node, {drain, Deadline});
drain(Node, Deadline) when is_atom(Node) ->
    ?BADARG([Node, Deadline], #{2 => timeout});
drain(Node, Deadline) ->
    ?BADARG([Node, Deadline], #{1 => host}).

%% @doc Asks a host for another state, as {@link erluv:status/2}, from any control node.
%%
%% ```
%% [#{node := Node}] = erluv_fleet:nodes(#{meta => #{group => g1}}),
%% ok = erluv_fleet:set_status(Node, standby),
%% {error, {node_not_ready, standby}} = erluv_fleet:run(Node, ["true"], #{}),
%% ok = erluv_fleet:set_status(Node, ready).
%% '''
-spec set_status(node(), ready | standby | stopped) -> ok | {error, term()}.
set_status(Node, Status) when is_atom(Node), Status =:= ready;
                              is_atom(Node), Status =:= standby;
                              is_atom(Node), Status =:= stopped ->
    call(Node, {status, set, Status});
set_status(Node, Status) when is_atom(Node) ->
    ?BADARG([Node, Status], #{2 => host_status});
set_status(Node, Status) ->
    ?BADARG([Node, Status], #{1 => host}).

%% @doc Puts a file on a host, as {@link erluv:put_file/4}, from any control node: it is read here, and
%% goes through the control node that is connected.
%%
%% ```
%% [#{node := Node}] = erluv_fleet:nodes(#{meta => #{group => g1}}),
%% Path = "/tmp/fleet-example-" ++ os:getpid(),
%% {ok, #{size := 6}} = erluv_fleet:put_file(Node, <<"hello\n">>, Path, #{}),
%% {ok, #{stdout := <<"hello\n">>}} = erluv_fleet:run(Node, ["cat", Path], #{}),
%% {ok, Tool} = erluv_fleet:put_file(Node, {file, "/bin/echo"}, memory, #{}),
%% {ok, #{stdout := <<"hi\n">>}} = erluv_fleet:run(Node, [{memory, Tool}, "hi"], #{}),
%% {error, {unreachable, 'no_such@host'}} = erluv_fleet:put_file('no_such@host', <<>>, "/tmp/x", #{}).
%% '''
-spec put_file(node(), erluv:source(), erluv:text() | memory, erluv:put_options()) ->
          {ok, #{size := non_neg_integer(), sha256 := binary()}} | {ok, pid()} | {error, term()}.
put_file(Node, Source, Path, Options) when is_atom(Node) ->
    put_on(Node, checked(Source, [Node, Source, Path, Options]), Path, checked_options([Node, Source, Path, Options]));
put_file(Node, Source, Path, Options) ->
    ?BADARG([Node, Source, Path, Options], #{1 => host}).

%% @doc Puts a file on all hosts of which a filter holds, on eight at once, and returns what
%% {@link put_file/4} has for each. One that fails stops no other.
%%
%% ```
%% Path = "/tmp/fleet-example-" ++ os:getpid(),
%% [{Node, {ok, #{size := 6}}}] =
%%     erluv_fleet:put_file_all(#{meta => #{group => g1}}, <<"hello\n">>, Path, #{mode => 8#600}),
%% [{Node, {error, eacces}}] = erluv_fleet:put_file_all(#{node => Node}, <<>>, "/proc/erluv-example", #{}).
%% '''
-spec put_file_all(filter(), erluv:source(), erluv:text() | memory, erluv:put_options()) ->
          [{node(), {ok, #{size := non_neg_integer(), sha256 := binary()}} | {ok, pid()} | {error, term()}}].
put_file_all(Filter, Source, Path, Options) ->
    From = checked(Source, [Filter, Source, Path, Options]),
    With = checked_options([Filter, Source, Path, Options]),
    erluv_fleet_put:all(names(nodes(Filter)), fun(Node) -> put_on(Node, From, Path, With) end).

checked(Source, Args) ->
    case erluv_put:is_source(Source) of
        true -> Source;
        false -> ?BADARG(Args, #{2 => source})
    end.

checked_options([_, _, _, Options]) when is_map(Options) -> Options;
checked_options([_, _, _, Options]) when length(Options) >= 0 -> proplists:to_map(Options);
checked_options(Args) -> ?BADARG(Args, #{4 => options}).

put_on(Node, Source, Path, Options) ->
    case erluv_fleet_table:via(Node) of
        {ok, Via} when Via =:= node() -> answer(erluv_put:put_file(Node, Source, Path, Options), Node);
        {ok, Via} -> answer(put_through(Via, erluv_put:reader(Source), Node, Path, Options), Node);
        error -> {error, {unreachable, Node}}
    end.

put_through(Via, {ok, {reader, Pid, _} = Reader}, Node, Path, Options) ->
    Answer = erluv_fleet_relay:at(Via, erluv_fleet_put, relayed, [self(), Reader, Node, Path, Options]),
    true = exit(Pid, kill),
    Answer;
put_through(_, Error, _, _, _) ->
    Error.

%% @doc Sends a request of erluv-protocol(7) to all hosts of which a filter holds, at once, and returns
%% what each has answered.
%%
%% ```
%% [{Node, ready}] = erluv_fleet:call_all(#{meta => #{group => g1}}, {status, get}),
%% [{Node, ok}] = erluv_fleet:call_all(#{node => Node}, {meta, {update, "blue"}}),
%% [{Node, ok}] = erluv_fleet:call_all(#{node => Node}, {meta, {remove, "blue"}}).
%% '''
-spec call_all(filter(), Request :: term()) -> [{node(), Answer :: term()}].
call_all(Filter, Request) ->
    Nodes = names(nodes(Filter)),
    Calls = [{Node, erpc:send_request(node(), erlang, apply, [fun call/2, [Node, Request]])} || Node <- Nodes],
    [{Node, erpc:receive_response(Call)} || {Node, Call} <- Calls].

call(Node, Request) ->
    case erluv_fleet_table:via(Node) of
        {ok, Via} when Via =:= node() ->
            answer(erluv_fleet_server:asked(Node, Request), Node);
        {ok, Via} ->
            Answer = erluv_fleet_relay:at(Via, erluv_fleet_server, asked, [Node, Request]),
            ok = erluv_fleet_server:sync(Node),
            answer(Answer, Node);
        error -> {error, {unreachable, Node}}
    end.

%% @doc Has the caller sent `{erluv_fleet, Event}', see {@link event()}, until it ends.
%%
%% `task_started' and `task_stopped' are of each program that is counted, with the pid that
%% {@link spawn/3} has returned; those of {@link run/3} are not told. When a host goes, `down' comes
%% first, then the programs stop, with the reason `noconnection'.
%%
%% ```
%% ok = erluv_fleet:subscribe(),
%% {ok, W} = erluv_fleet:spawn(#{meta => #{group => g1}}, ["true"], #{}),
%% receive {erluv_fleet, {task_started, Node, W, #{cmd := [<<"true">>]}}} -> ok end,
%% receive {erluv_fleet, {task_stopped, Node, W, Reason}} -> ok end,
%% true = Reason =:= normal orelse Reason =:= noproc.
%% '''
-spec subscribe() -> ok.
subscribe() ->
    erluv_fleet_server:subscribe().
