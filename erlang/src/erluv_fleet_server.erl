%% @private
%% What a control node knows of the fleet, and who of its processes is promised a place.
%%
%% A view is what one control node has of a host that is connected with it: the host and its
%% programs. This process has those of its own hosts from their erluv_fleet_host processes, and
%% those of the other control nodes from their erluv_fleet_server, which pg names. One view of a
%% host is shown, its own before others: in the table, and to subscribers by how it changes.
%%
%% A place is held from the choice of a host until its program is counted there, or has not
%% been started. Every control node knows how many each of them holds.
-module(erluv_fleet_server).
-behaviour(gen_server).

-export([start_link/1]).
-export([scope/0]).
-export([hosts/0]).
-export([via/1]).
-export([counted/1]).
-export([choose/3]).
-export([take/2]).
-export([began/4]).
-export([ran/3]).
-export([release/1]).
-export([asked/2]).
-export([sync/1]).
-export([full/2]).
-export([subscribe/0]).

-export([init/1]).
-export([handle_call/3]).
-export([handle_cast/2]).
-export([handle_info/2]).

-define(TABLE, erluv_fleet_hosts).

%% Before a host's process that has failed is started anew.
-define(AGAIN, 1000).

-type tasks() :: #{pid() => map()}.
-type views() :: #{node() => {Host :: map(), tasks()}}.
-type kind() :: place | start.
-type tag() :: {release, reference()} | {reply, gen_server:from()}.

-record(hold, {
    node :: node(),
    caller :: pid(),
    kind :: kind(),
    timer :: reference() | undefined       % of a place that nobody has used yet
}).

-record(state, {
    options :: map(),
    hosts = #{} :: #{node() => pid()},     % the processes of the hosts that are connected here
    own = #{} :: views(),
    peers = #{} :: #{pid() => {views(), Held :: #{node() => non_neg_integer()}}},
    shown = #{} :: #{node() => {Host :: map(), tasks()}},
    holds = #{} :: #{reference() => #hold{}},        % by the monitor of the caller
    placed = #{} :: #{{pid(), node()} => [reference()]}, % of the kind place
    held = #{} :: #{node() => non_neg_integer()},    % how many holds
    waiting = #{} :: #{tag() => node()},   % until the host's process has come to it
    pg :: reference(),
    subscribers = #{} :: #{pid() => reference()}
}).

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    case gen_server:start_link({local, erluv_fleet}, ?MODULE, Options, []) of
        {ok, _} = Started -> Started;
        {error, _} = Error -> Error;
        ignore -> {error, ignore}
    end.

-spec scope() -> atom().
scope() -> erluv_fleet_scope.

%% @doc All hosts that are shown, read by the caller.
-spec hosts() -> [erluv_fleet:host()].
hosts() ->
    try ets:tab2list(?TABLE) of
        Rows -> [host(Row) || Row <- Rows]
    catch
        error:badarg -> exit({noproc, {erluv_fleet, nodes, []}})
    end.

host({_, Host, Workers, Held, Max, _}) ->
    Host#{workers => Workers, free => max(0, Max - Workers - Held)}.

%% @doc The control node through which a host is reached.
-spec via(node()) -> {ok, node()} | error.
via(Node) ->
    case ets:lookup(?TABLE, Node) of
        [{_, #{via := Via}, _, _, _, _}] -> {ok, Via};
        [] -> error
    end.

%% @doc How many programs a host has and is promised.
-spec counted(node()) -> non_neg_integer().
counted(Node) ->
    case ets:lookup(?TABLE, Node) of
        [Row] -> count(Row);
        [] -> 0
    end.

count({_, _, Workers, Held, _, _}) -> Workers + Held.

%% @doc Holds a place on one of these hosts.
-spec choose([node()], least_loaded | spread | random, kind()) ->
          {ok, node(), Via :: node(), reference()} | {full, #{node() => non_neg_integer()}}.
choose(Nodes, How, Kind) ->
    gen_server:call(erluv_fleet, {choose, Nodes, How, Kind}, infinity).

%% @doc Holds a place on this host, or takes one that was given to the caller.
-spec take(node(), kind()) -> {ok, node(), Via :: node(), reference()} | unknown.
take(Node, Kind) ->
    gen_server:call(erluv_fleet, {take, Node, Kind}, infinity).

%% @doc A program has been started in a place, which is held until it is counted.
-spec began(reference(), node(), pid(), map()) -> ok.
began(Ref, Node, Worker, Info) ->
    gen_server:cast(erluv_fleet, {began, Ref, Node, Worker, Info}).

%% @doc A program has been started for another control node: returns when it is counted.
-spec ran(node(), pid(), map()) -> ok.
ran(Node, Worker, Info) ->
    gen_server:call(erluv_fleet, {ran, Node, Worker, Info}, infinity).

%% @doc What a host that is connected here answers. What that has changed is shown then: its event
%% may come later.
-spec asked(node(), term()) -> term().
asked(Node, Request) ->
    Answer = erluv_call:call({erluv, Node}, Request),
    ok = sync(Node),
    Answer.

%% @doc Returns when the host, if it is connected here, has been asked how it is, and all is shown
%% that another control node has said before.
-spec sync(node()) -> ok.
sync(Node) ->
    gen_server:call(erluv_fleet, {sync, Node}, infinity).

%% @doc Nothing runs in this place.
-spec release(reference()) -> ok.
release(Ref) ->
    gen_server:cast(erluv_fleet, {release, Ref}).

%% @doc The host said that it is full, which it is not by what is counted.
-spec full(reference(), node()) -> ok.
full(Ref, Node) ->
    gen_server:cast(erluv_fleet, {full, Ref, Node}).

-spec subscribe() -> ok.
subscribe() ->
    gen_server:call(erluv_fleet, subscribe, infinity).

-spec init(map()) -> {ok, #state{}}.
init(Options) ->
    process_flag(trap_exit, true),
    ?TABLE = ets:new(?TABLE, [named_table, {read_concurrency, true}]),
    ok = net_kernel:monitor_nodes(true, [{node_type, hidden}]),
    {Pg, Peers} = pg:monitor(scope(), control),
    State = #state{options = Options, pg = Pg},
    ok = pg:join(scope(), control, self()),
    {ok, lists:foldl(fun connected/2, lists:foldl(fun peer/2, State, Peers), nodes(hidden))}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call({choose, Nodes, How, Kind}, {Caller, _}, State) ->
    Rows = [Row || Node <- Nodes, Row <- ets:lookup(?TABLE, Node)],
    case [Row || {_, _, Workers, Held, Max, _} = Row <- Rows, Workers + Held < Max] of
        [] -> {reply, {full, maps:from_list([{element(1, Row), count(Row)} || Row <- Rows])}, State};
        Free -> held(pick(How, Free), Caller, Kind, State)
    end;
handle_call({take, Node, Kind}, {Caller, _}, #state{placed = Placed} = State) ->
    case Placed of
        #{{Caller, Node} := [Ref | _]} -> {reply, {ok, Node, via_of(Node), Ref}, used(Ref, State)};
        #{} when is_map_key(Node, State#state.shown) -> held(Node, Caller, Kind, State);
        #{} -> {reply, unknown, State}
    end;
handle_call({ran, Node, Worker, Info}, From, State) ->
    {noreply, tell_host(Node, {began, Worker, Info, {reply, From}}, {reply, From}, State)};
handle_call({sync, Node}, From, State) ->
    {noreply, tell_host(Node, {sync, {reply, From}}, {reply, From}, State)};
handle_call(subscribe, {Pid, _}, #state{subscribers = Subscribers} = State) ->
    Ref = case Subscribers of
              #{Pid := Known} -> Known;
              #{} -> monitor(process, Pid)
          end,
    {reply, ok, State#state{subscribers = Subscribers#{Pid => Ref}}};
handle_call(Request, _From, State) ->
    {reply, {error, {bad_request, Request}}, State}.

%% Of equals the first by name, so that it can be told in advance.
pick(random, Rows) ->
    element(1, lists:nth(rand:uniform(length(Rows)), Rows));
pick(How, Rows) ->
    {_, Node} = lists:min([{burden(How, Row), element(1, Row)} || Row <- Rows]),
    Node.

burden(spread, Row) -> count(Row);
burden(least_loaded, Row) -> count(Row) / element(6, Row).

via_of(Node) ->
    case via(Node) of
        {ok, Via} -> Via;
        error -> node() % it has gone meanwhile, and the call says so
    end.

held(Node, Caller, Kind, #state{holds = Holds, placed = Placed, options = Options} = State) ->
    Ref = monitor(process, Caller),
    Hold = #hold{node = Node, caller = Caller, kind = Kind, timer = timer(Kind, Ref, Options)},
    New = State#state{holds = Holds#{Ref => Hold},
                      placed = case Kind of
                                   place -> maps:update_with({Caller, Node}, fun(Refs) -> Refs ++ [Ref] end, [Ref], Placed);
                                   start -> Placed
                               end},
    {reply, {ok, Node, via_of(Node), Ref}, hold(Node, 1, New)}.

timer(start, _, _) -> undefined;
timer(place, Ref, Options) -> erlang:start_timer(maps:get(hold, Options, 10000), self(), {hold, Ref}).

%% A place becomes the program's that is started in it.
used(Ref, #state{holds = Holds} = State) ->
    #{Ref := Hold} = Holds,
    unplaced(Ref, Hold, State#state{holds = Holds#{Ref := Hold#hold{kind = start, timer = undefined}}}).

unplaced(_, #hold{kind = start}, State) ->
    State;
unplaced(Ref, #hold{caller = Caller, node = Node, timer = Timer}, #state{placed = Placed} = State) ->
    _ = erlang:cancel_timer(Timer),
    #{{Caller, Node} := Refs} = Placed,
    State#state{placed = case lists:delete(Ref, Refs) of
                             [] -> maps:remove({Caller, Node}, Placed);
                             Others -> Placed#{{Caller, Node} := Others}
                         end}.

released(Ref, #state{holds = Holds} = State) ->
    case maps:take(Ref, Holds) of
        {#hold{node = Node} = Hold, Others} ->
            _ = demonitor(Ref, [flush]),
            hold(Node, -1, unplaced(Ref, Hold, State#state{holds = Others}));
        error ->
            State
    end.

hold(Node, N, #state{held = Held} = State) ->
    Count = maps:get(Node, Held, 0) + N,
    ok = broadcast({held, Node, Count}, State),
    count_held(Node, State#state{held = case Count of
                                            0 -> maps:remove(Node, Held);
                                            _ -> Held#{Node => Count}
                                        end}).

count_held(Node, State) ->
    _ = ets:update_element(?TABLE, Node, {4, held_by_all(Node, State)}), % false: it is not shown now
    State.

held_by_all(Node, #state{held = Held, peers = Peers}) ->
    lists:sum([maps:get(Node, Of, 0) || Of <- [Held | [Of || {_, Of} <- maps:values(Peers)]]]).

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({began, Ref, Node, Worker, Info}, #state{holds = Holds} = State) ->
    New = case Holds of
              #{Ref := Hold} -> State#state{holds = Holds#{Ref := Hold#hold{caller = self()}}};
              #{} -> State
          end,
    {noreply, tell_host(Node, {began, Worker, Info, {release, Ref}}, {release, Ref}, New)};
handle_cast({release, Ref}, State) ->
    {noreply, released(Ref, State)};
handle_cast({full, Ref, Node}, State) ->
    ok = look(Node, State),
    {noreply, released(Ref, State)};
handle_cast(_, State) ->
    {noreply, State}.

tell_host(Node, What, Tag, #state{hosts = Hosts, waiting = Waiting} = State) ->
    case Hosts of
        #{Node := Pid} ->
            ok = gen_server:cast(Pid, What),
            State#state{waiting = Waiting#{Tag => Node}};
        #{} ->
            finish(Tag, State) % it has gone, and its programs
    end.

look(Node, #state{hosts = Hosts}) ->
    case Hosts of
        #{Node := Pid} -> erluv_fleet_host:look(Pid);
        #{} -> ok
    end.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({erluv, Node, Event}, State) ->
    #state{hosts = Hosts} = New = connected(Node, State),
    case Hosts of
        #{Node := Pid} -> ok = erluv_fleet_host:event(Pid, Event);
        #{} -> ok
    end,
    {noreply, New};
handle_info({erluv_fleet_host, Pid, Node, What}, State) ->
    {noreply, of_host(What, Node, maps:get(Node, State#state.hosts, undefined) =:= Pid, State)};
handle_info({erluv_fleet_peer, Pid, What}, #state{peers = Peers} = State) when is_map_key(Pid, Peers) ->
    {noreply, of_peer(What, Pid, State)};
handle_info({erluv_fleet_peer, Pid, {hello, _, _} = Hello}, State) ->
    {noreply, of_peer(Hello, Pid, peer(Pid, State))}; % before pg says that it is there
handle_info({nodedown, Node, _}, State) ->
    {noreply, disconnected(Node, State)};
handle_info({timeout, _, {hold, Ref}}, #state{holds = Holds} = State) ->
    {noreply, case Holds of
                  #{Ref := #hold{kind = place}} -> abandoned(Ref, State);
                  #{} -> State
              end};
handle_info({Pg, join, control, Pids}, #state{pg = Pg} = State) ->
    {noreply, lists:foldl(fun peer/2, State, Pids -- [self()])};
handle_info({'DOWN', Ref, process, Pid, _}, #state{subscribers = Subscribers, peers = Peers} = State) ->
    case Subscribers of
        #{Pid := Ref} -> {noreply, State#state{subscribers = maps:remove(Pid, Subscribers)}};
        #{} when is_map_key(Pid, Peers) -> {noreply, no_peer(Pid, State)};
        #{} -> {noreply, caller_down(Ref, State)}
    end;
handle_info({'EXIT', Pid, Reason}, #state{hosts = Hosts} = State) ->
    case [Node || {Node, P} <- maps:to_list(Hosts), P =:= Pid] of
        [Node] ->
            _ = Reason =:= normal orelse erlang:send_after(?AGAIN, self(), {again, Node}),
            {noreply, disconnected(Node, State)};
        [] ->
            {noreply, State}
    end;
handle_info({again, Node}, State) ->
    {noreply, connected(Node, State)};
handle_info(_, State) ->
    {noreply, State}.

%% One whose program is about to be counted is not waited for by its caller any more.
caller_down(Ref, #state{holds = Holds} = State) ->
    Self = self(),
    case Holds of
        #{Ref := #hold{caller = Self}} -> State;
        #{Ref := _} -> abandoned(Ref, State);
        #{} -> State
    end.

%% Whether its caller has started something there without the fleet, only the host knows.
abandoned(Ref, #state{holds = Holds} = State) ->
    #{Ref := #hold{node = Node}} = Holds,
    ok = look(Node, State),
    released(Ref, State).

connected(Node, #state{hosts = Hosts} = State) when is_map_key(Node, Hosts) ->
    State;
connected(Node, #state{hosts = Hosts, options = Options} = State) ->
    case lists:member(Node, nodes(hidden)) andalso erluv_fleet_host:start_link(Node, Options) of
        {ok, Pid} -> State#state{hosts = Hosts#{Node => Pid}};
        _ -> State
    end.

disconnected(Node, #state{hosts = Hosts, own = Own, waiting = Waiting} = State) ->
    case maps:take(Node, Hosts) of
        {Pid, Others} ->
            true = unlink(Pid),
            true = exit(Pid, kill),
            ok = broadcast({gone, Node}, State),
            Shown = show(Node, State#state{hosts = Others, own = maps:remove(Node, Own)}),
            lists:foldl(fun done/2, Shown, [Tag || {Tag, Of} <- maps:to_list(Waiting), Of =:= Node]);
        error ->
            State
    end.

of_host({counted, Tag}, _, _, State) ->
    done(Tag, State);
of_host({started, Worker, Info, Tag}, Node, true, State) ->
    ok = broadcast({started, Node, Worker, Info, Tag =/= none}, State),
    done(Tag, started(Node, Worker, Info, own, State));
of_host({started, _, _, Tag}, _, false, State) ->
    done(Tag, State);
of_host(_, _, false, State) ->
    State; % of a connection that has ended
of_host({known, Host, Tasks}, Node, true, #state{own = Own} = State) ->
    ok = broadcast({view, Node, {Host, Tasks}}, State),
    show(Node, State#state{own = Own#{Node => {Host, Tasks}}});
of_host({host, Host}, Node, true, #state{own = Own} = State) ->
    #{Node := {_, Tasks}} = Own,
    ok = broadcast({host, Node, Host}, State),
    show(Node, State#state{own = Own#{Node := {Host, Tasks}}});
of_host({stopped, Worker, Reason}, Node, true, State) ->
    ok = broadcast({stopped, Node, Worker, Reason}, State),
    stopped(Node, Worker, Reason, own, State).

done(Tag, #state{waiting = Waiting} = State) when is_map_key(Tag, Waiting) ->
    finish(Tag, State#state{waiting = maps:remove(Tag, Waiting)});
done(_, State) ->
    State.

finish({release, Ref}, State) -> released(Ref, State);
finish({reply, From}, State) -> ok = gen_server:reply(From, ok), State.

%% Control nodes, each with the views of its hosts.

broadcast(What, #state{peers = Peers}) ->
    _ = [Peer ! {erluv_fleet_peer, self(), What} || Peer <- maps:keys(Peers)],
    ok.

peer(Pid, #state{peers = Peers} = State) when is_map_key(Pid, Peers) ->
    State;
peer(Pid, #state{peers = Peers, own = Own, held = Held} = State) ->
    _ = monitor(process, Pid),
    Pid ! {erluv_fleet_peer, self(), {hello, Own, Held}},
    State#state{peers = Peers#{Pid => {#{}, #{}}}}.

no_peer(Pid, #state{peers = Peers} = State) ->
    case maps:take(Pid, Peers) of
        {{Views, Held}, Others} ->
            New = lists:foldl(fun show/2, State#state{peers = Others}, maps:keys(Views)),
            lists:foldl(fun count_held/2, New, maps:keys(Held));
        error ->
            State
    end.

of_peer({hello, Views, Held}, Pid, #state{peers = Peers} = State) ->
    New = lists:foldl(fun show/2, State#state{peers = Peers#{Pid := {Views, Held}}}, maps:keys(Views)),
    lists:foldl(fun count_held/2, New, maps:keys(Held));
of_peer({held, Node, Count}, Pid, #state{peers = Peers} = State) ->
    #{Pid := {Views, Held}} = Peers,
    count_held(Node, State#state{peers = Peers#{Pid := {Views, Held#{Node => Count}}}});
of_peer({view, Node, View}, Pid, State) ->
    show(Node, put_view(Node, View, Pid, State));
of_peer({host, Node, Host}, Pid, State) ->
    case view(Node, Pid, State) of
        {_, Tasks} -> show(Node, put_view(Node, {Host, Tasks}, Pid, State));
        none -> State
    end;
of_peer({gone, Node}, Pid, #state{peers = Peers} = State) ->
    #{Pid := {Views, Held}} = Peers,
    show(Node, State#state{peers = Peers#{Pid := {maps:remove(Node, Views), Held}}});
of_peer({started, Node, Worker, Info, Here}, Pid, #state{hosts = Hosts} = State) ->
    % It was started there: who has the same host monitors it as well.
    case Hosts of
        #{Node := Host} when Here -> gen_server:cast(Host, {began, Worker, Info, none});
        #{} -> ok
    end,
    started(Node, Worker, Info, Pid, State);
of_peer({stopped, Node, Worker, Reason}, Pid, State) ->
    stopped(Node, Worker, Reason, Pid, State).

view(Node, own, #state{own = Own}) -> maps:get(Node, Own, none);
view(Node, Pid, #state{peers = Peers}) ->
    #{Pid := {Views, _}} = Peers,
    maps:get(Node, Views, none).

put_view(Node, View, own, #state{own = Own} = State) -> State#state{own = Own#{Node => View}};
put_view(Node, View, Pid, #state{peers = Peers} = State) ->
    #{Pid := {Views, Held}} = Peers,
    State#state{peers = Peers#{Pid := {Views#{Node => View}, Held}}}.

started(Node, Worker, Info, Of, State) ->
    case view(Node, Of, State) of
        {Host, Tasks} ->
            New = put_view(Node, {Host, Tasks#{Worker => Info}}, Of, State),
            case source(Node, State) of
                Of -> begin_task(Node, Worker, Info, New);
                _ -> New
            end;
        none ->
            State
    end.

stopped(Node, Worker, Reason, Of, State) ->
    case view(Node, Of, State) of
        {Host, Tasks} ->
            New = put_view(Node, {Host, maps:remove(Worker, Tasks)}, Of, State),
            case source(Node, State) of
                Of -> end_task(Node, Worker, Reason, New);
                _ -> New
            end;
        none ->
            State
    end.

%% Whose view is shown.
source(Node, #state{own = Own}) when is_map_key(Node, Own) -> own;
source(Node, #state{peers = Peers}) ->
    case [Pid || {Pid, {Views, _}} <- maps:to_list(Peers), is_map_key(Node, Views)] of
        [] -> none;
        Pids -> lists:min(Pids)
    end.

%% What is shown, and how it has changed: first the host, then its programs.
show(Node, #state{shown = Shown} = State) ->
    Old = maps:get(Node, Shown, none),
    New = case source(Node, State) of
              none -> none;
              Of -> view(Node, Of, State)
          end,
    show(Node, Old, New, State).

show(_, none, none, State) ->
    State;
show(Node, {Host, Tasks}, none, State) ->
    true = ets:delete(?TABLE, Node),
    ok = notify({down, Node, Host#{status := not_connected}}, State),
    [ok = notify_stopped(Node, Worker, Info, noconnection, State) || {Worker, Info} <- maps:to_list(Tasks)],
    State#state{shown = maps:remove(Node, State#state.shown)};
show(Node, Old, {Host, Tasks} = New, #state{shown = Shown} = State) ->
    #{max_workers := Max, load := #{cpus := Cpus}} = Host,
    true = ets:insert(?TABLE, {Node, Host, map_size(Tasks), held_by_all(Node, State), Max, max(1, Cpus)}),
    ok = told(Node, Old, New, State),
    State#state{shown = Shown#{Node => New}}.

told(Node, none, {Host, Tasks}, State) ->
    ok = notify({up, Node, Host}, State),
    lists:foreach(fun({Worker, Info}) -> notify_started(Node, Worker, Info, State) end, maps:to_list(Tasks));
told(Node, {Old, Before}, {New, Now}, State) ->
    ok = case maps:get(status, Old) =:= maps:get(status, New) of
             true -> ok;
             false -> notify({status, Node, New}, State)
         end,
    [ok = notify_stopped(Node, Worker, Info, noconnection, State)
     || {Worker, Info} <- maps:to_list(Before), not is_map_key(Worker, Now)],
    lists:foreach(fun({Worker, Info}) -> notify_started(Node, Worker, Info, State) end,
                  [Task || {Worker, _} = Task <- maps:to_list(Now), not is_map_key(Worker, Before)]).

begin_task(Node, Worker, Info, #state{shown = Shown} = State) ->
    case Shown of
        #{Node := {_, Tasks}} when is_map_key(Worker, Tasks) ->
            State;
        #{Node := {Host, Tasks}} ->
            true = ets:update_element(?TABLE, Node, {3, map_size(Tasks) + 1}),
            ok = notify_started(Node, Worker, Info, State),
            State#state{shown = Shown#{Node := {Host, Tasks#{Worker => Info}}}}
    end.

end_task(Node, Worker, Reason, #state{shown = Shown} = State) ->
    case Shown of
        #{Node := {Host, #{Worker := Info} = Tasks}} ->
            Left = maps:remove(Worker, Tasks),
            true = ets:update_element(?TABLE, Node, {3, map_size(Left)}),
            ok = notify_stopped(Node, Worker, Info, Reason, State),
            State#state{shown = Shown#{Node := {Host, Left}}};
        #{} ->
            State
    end.

notify_started(Node, Worker, Info, State) ->
    notify({task_started, Node, task(Worker, Info), maps:remove(task, Info)}, State).

notify_stopped(Node, Worker, Info, Reason, State) ->
    notify({task_stopped, Node, task(Worker, Info), Reason}, State).

%% What spawn has returned.
task(Worker, Info) -> maps:get(task, Info, Worker).

notify(Event, #state{subscribers = Subscribers}) ->
    lists:foreach(fun(Pid) -> Pid ! {erluv_fleet, Event} end, maps:keys(Subscribers)).
