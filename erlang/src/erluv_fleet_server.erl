%% @private
%% The process of a control node that has its fleet: what is known of the hosts
%% (erluv_fleet_views), and which processes are promised a place (erluv_fleet_places).
%%
%% It learns of its own hosts from their erluv_fleet_host processes, and of the other hosts from
%% the erluv_fleet_server of other control nodes, which pg names. What it learns and what it
%% holds it tells these.
-module(erluv_fleet_server).
-behaviour(gen_server).

-export([start_link/1]).
-export([scope/0]).
-export([controls/0]).
-export([choose/3]).
-export([take/2]).
-export([began/4]).
-export([ran/3]).
-export([run_over/1]).
-export([release/1]).
-export([asked/2]).
-export([sync/1]).
-export([full/2]).
-export([tasks/1]).
-export([subscribe/0]).

-export([init/1]).
-export([handle_call/3]).
-export([handle_cast/2]).
-export([handle_info/2]).

%% Before a host's process that has failed is started anew.
-define(AGAIN, 1000).

-type tag() :: {release, reference()} | {reply, gen_server:from()}.

-record(state, {
    options :: map(),
    hosts = #{} :: #{node() => pid()},     % the processes of the hosts that are connected here
    peers = [] :: [pid()],                 % of the other control nodes
    views = erluv_fleet_views:new() :: erluv_fleet_views:views(),
    places = erluv_fleet_places:new() :: erluv_fleet_places:places(),
    waiting = #{} :: #{tag() => node()},   % until the host's process has come to it
    pg :: reference()
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

%% @doc The control nodes that this one sees, and itself.
-spec controls() -> [node()].
controls() -> lists:usort([node() | [node(Pid) || Pid <- pg:get_members(scope(), control)]]).

%% @doc Holds a place on one of these hosts, or of those that are ready and of which a filter holds.
-spec choose([node()] | #{atom() => term()}, least_loaded | spread | random, erluv_fleet_places:kind()) ->
          {ok, node(), Via :: node(), reference()} | {full, #{node() => non_neg_integer()}} | none.
choose(Where, How, Kind) ->
    gen_server:call(erluv_fleet, {choose, Where, How, Kind}, infinity).

%% @doc Holds a place on this host, or takes one that was given to the caller.
-spec take(node(), erluv_fleet_places:kind()) -> {ok, node(), Via :: node(), reference()} | unknown.
take(Node, Kind) ->
    gen_server:call(erluv_fleet, {take, Node, Kind}, infinity).

%% @doc A program has been started in a place, which is held until it is counted.
-spec began(reference(), node(), pid(), map()) -> ok.
began(Ref, Node, Worker, Info) ->
    gen_server:cast(erluv_fleet, {began, Ref, Node, Worker, Info}).

%% @doc A program has been started: returns when it is counted.
-spec ran(node(), pid(), map()) -> ok.
ran(Node, Worker, Info) ->
    gen_server:call(erluv_fleet, {ran, Node, Worker, Info}, infinity).

%% @doc A run has ended.
-spec run_over(erluv_fleet_table:run()) -> ok.
run_over(Run) ->
    gen_server:cast(erluv_fleet, {run_over, Run}).

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

%% @doc The programs of these hosts.
-spec tasks([node()]) -> [erluv_fleet:task()].
tasks(Nodes) ->
    gen_server:call(erluv_fleet, {tasks, Nodes}, infinity).

-spec subscribe() -> ok.
subscribe() ->
    gen_server:call(erluv_fleet, subscribe, infinity).

-spec init(map()) -> {ok, #state{}}.
init(Options) ->
    process_flag(trap_exit, true),
    ok = erluv_fleet_table:new(),
    ok = net_kernel:monitor_nodes(true, [{node_type, hidden}]),
    {Pg, Peers} = pg:monitor(scope(), control),
    State = #state{options = Options, pg = Pg},
    ok = pg:join(scope(), control, self()),
    {ok, lists:foldl(fun connected/2, lists:foldl(fun peer/2, State, Peers), nodes(hidden))}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call({choose, Where, How, Kind}, {Caller, _}, #state{views = Views} = State) ->
    Picked = case Where of
                 #{} -> erluv_fleet_table:pick(How, fun(Node) -> erluv_fleet_views:meant(Node, Where, Views) end);
                 _ -> erluv_fleet_table:pick_of(How, Where)
             end,
    case Picked of
        {ok, Node} -> hold(Node, Caller, Kind, State);
        _ -> {reply, Picked, State}
    end;
handle_call({take, Node, Kind}, {Caller, _}, #state{places = Places, views = Views} = State) ->
    case erluv_fleet_places:use(Caller, Node, Places) of
        {Ref, New} ->
            {reply, {ok, Node, via(Node), Ref}, State#state{places = New}};
        none ->
            case erluv_fleet_views:shows(Node, Views) of
                true -> hold(Node, Caller, Kind, State);
                false -> {reply, unknown, State}
            end
    end;
handle_call({ran, Node, Worker, Info}, From, State) ->
    {noreply, tell_host(Node, {began, Worker, Info, {reply, From}}, {reply, From}, State)};
handle_call({sync, Node}, From, State) ->
    {noreply, tell_host(Node, {sync, {reply, From}}, {reply, From}, State)};
handle_call({tasks, Nodes}, _From, #state{views = Views} = State) ->
    {reply, erluv_fleet_views:tasks(Nodes, Views), State};
handle_call(subscribe, {Pid, _}, #state{views = Views} = State) ->
    {reply, ok, State#state{views = erluv_fleet_views:subscribe(Pid, Views)}};
handle_call(Request, _From, State) ->
    {reply, {error, {bad_request, Request}}, State}.

hold(Node, Caller, Kind, #state{places = Places, options = Options} = State) ->
    {Ref, New} = erluv_fleet_places:hold(Node, Caller, Kind, maps:get(hold, Options, 10000), Places),
    {reply, {ok, Node, via(Node), Ref}, held(Node, State#state{places = New})}.

via(Node) ->
    case erluv_fleet_table:via(Node) of
        {ok, Via} -> Via;
        error -> node() % it has gone meanwhile, and the call says so
    end.

%% The number of places that this node holds there has changed.
held(Node, #state{places = Places} = State) ->
    ok = broadcast({held, Node, maps:get(Node, erluv_fleet_places:own(Places), 0)}, State),
    show_held(Node, State).

show_held(Node, #state{places = Places} = State) ->
    ok = erluv_fleet_table:set_held(Node, erluv_fleet_places:count(Node, Places)),
    State.

released(Ref, #state{places = Places} = State) ->
    case erluv_fleet_places:release(Ref, Places) of
        {Node, New} -> held(Node, State#state{places = New});
        none -> State
    end.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({began, Ref, Node, Worker, Info}, #state{places = Places} = State) ->
    New = State#state{places = erluv_fleet_places:hand_over(Ref, Places)},
    {noreply, tell_host(Node, {began, Worker, Info, {release, Ref}}, {release, Ref}, New)};
handle_cast({run_over, {_, Node, _} = Run}, #state{hosts = Hosts} = State) ->
    ok = case Hosts of
             #{Node := Pid} -> erluv_fleet_host:run_over(Pid, Run);
             #{} -> erluv_fleet_table:run_over(Run)
         end,
    {noreply, State};
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
handle_info({erluv_fleet_peer, Pid, What}, #state{peers = Peers} = State) ->
    case {lists:member(Pid, Peers), What} of
        {true, _} -> {noreply, of_peer(What, Pid, State)};
        {false, {hello, _, _}} -> {noreply, of_peer(What, Pid, peer(Pid, State))}; % before pg says that it is there
        {false, _} -> {noreply, State}
    end;
handle_info({nodedown, Node, _}, State) ->
    {noreply, disconnected(Node, State)};
handle_info({timeout, _, {hold, Ref}}, #state{places = Places} = State) ->
    {noreply, abandoned(Ref, erluv_fleet_places:unused(Ref, Places), State)};
handle_info({Pg, join, control, Pids}, #state{pg = Pg} = State) ->
    {noreply, lists:foldl(fun peer/2, State, Pids -- [self()])};
handle_info({'DOWN', Ref, process, Pid, _}, #state{views = Views, places = Places, peers = Peers} = State) ->
    case erluv_fleet_views:unsubscribe({Pid, Ref}, Views) of
        {true, New} -> {noreply, State#state{views = New}};
        false ->
            case lists:member(Pid, Peers) of
                true -> {noreply, no_peer(Pid, State)};
                false -> {noreply, abandoned(Ref, erluv_fleet_places:of_caller(Ref, Places), State)}
            end
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

%% Whether its caller has started something there without the fleet, only the host knows.
abandoned(_, none, State) ->
    State;
abandoned(Ref, Node, State) ->
    ok = look(Node, State),
    released(Ref, State).

connected(Node, #state{hosts = Hosts} = State) when is_map_key(Node, Hosts) ->
    State;
connected(Node, #state{hosts = Hosts, options = Options} = State) ->
    case lists:member(Node, nodes(hidden)) of
        true -> State#state{hosts = Hosts#{Node => erluv_fleet_host:start_link(Node, Options)}};
        false -> State
    end.

disconnected(Node, #state{hosts = Hosts, views = Views, waiting = Waiting} = State) ->
    case maps:take(Node, Hosts) of
        {Pid, Others} ->
            true = unlink(Pid),
            true = exit(Pid, kill),
            ok = broadcast({gone, Node}, State),
            New = State#state{hosts = Others, views = erluv_fleet_views:delete(Node, own, Views)},
            lists:foldl(fun done/2, New, [Tag || {Tag, Of} <- maps:to_list(Waiting), Of =:= Node]);
        error ->
            State
    end.

of_host({counted, Tag}, _, _, State) ->
    done(Tag, State);
of_host({started, Worker, Info, Tag}, Node, true, #state{views = Views} = State) ->
    ok = broadcast({started, Node, Worker, Info, Tag =/= none}, State),
    done(Tag, State#state{views = erluv_fleet_views:started(Node, Worker, Info, own, Views)});
of_host({started, _, _, Tag}, _, false, State) ->
    done(Tag, State);
of_host(_, _, false, State) ->
    State; % of a connection that has ended
of_host({known, Host, Tasks}, Node, true, State) ->
    ok = broadcast({view, Node, {Host, Tasks}}, State),
    shown(Node, {Host, Tasks}, own, State);
of_host({host, Host}, Node, true, #state{views = Views} = State) ->
    ok = broadcast({host, Node, Host}, State),
    State#state{views = erluv_fleet_views:put_host(Node, Host, own, Views)};
of_host({stopped, Worker, Reason}, Node, true, #state{views = Views} = State) ->
    ok = broadcast({stopped, Node, Worker, Reason}, State),
    State#state{views = erluv_fleet_views:stopped(Node, Worker, Reason, own, Views)}.

%% Places may be held on a host that is shown from now on.
shown(Node, View, Of, #state{views = Views} = State) ->
    show_held(Node, State#state{views = erluv_fleet_views:put(Node, View, Of, Views)}).

done(Tag, #state{waiting = Waiting} = State) when is_map_key(Tag, Waiting) ->
    finish(Tag, State#state{waiting = maps:remove(Tag, Waiting)});
done(_, State) ->
    State.

finish({release, Ref}, State) -> released(Ref, State);
finish({reply, From}, State) -> ok = gen_server:reply(From, ok), State.

%% Control nodes.

broadcast(What, #state{peers = Peers}) ->
    lists:foreach(fun(Peer) -> Peer ! {erluv_fleet_peer, self(), What} end, Peers).

peer(Pid, #state{peers = Peers, views = Views, places = Places} = State) ->
    case lists:member(Pid, Peers) of
        true ->
            State;
        false ->
            _ = monitor(process, Pid),
            Pid ! {erluv_fleet_peer, self(), {hello, erluv_fleet_views:own(Views), erluv_fleet_places:own(Places)}},
            State#state{peers = [Pid | Peers]}
    end.

no_peer(Pid, #state{peers = Peers, views = Views, places = Places} = State) ->
    {Nodes, Left} = erluv_fleet_places:no_others(Pid, Places),
    New = State#state{peers = lists:delete(Pid, Peers), views = erluv_fleet_views:no_peer(Pid, Views), places = Left},
    lists:foldl(fun show_held/2, New, Nodes).

of_peer({hello, Theirs, Held}, Pid, #state{views = Views, places = Places} = State) ->
    New = State#state{views = erluv_fleet_views:peer(Pid, Theirs, Views), places = erluv_fleet_places:others(Pid, Held, Places)},
    lists:foldl(fun show_held/2, New, maps:keys(maps:merge(Theirs, Held)));
of_peer({held, Node, Count}, Pid, #state{places = Places} = State) ->
    show_held(Node, State#state{places = erluv_fleet_places:others(Pid, Node, Count, Places)});
of_peer({view, Node, View}, Pid, State) ->
    shown(Node, View, Pid, State);
of_peer({host, Node, Host}, Pid, #state{views = Views} = State) ->
    State#state{views = erluv_fleet_views:put_host(Node, Host, Pid, Views)};
of_peer({gone, Node}, Pid, #state{views = Views} = State) ->
    show_held(Node, State#state{views = erluv_fleet_views:delete(Node, Pid, Views)});
of_peer({started, Node, Worker, Info, Here}, Pid, #state{hosts = Hosts, views = Views} = State) ->
    % It was started there: who has the same host monitors it as well.
    case Hosts of
        #{Node := Host} when Here -> gen_server:cast(Host, {began, Worker, Info, none});
        #{} -> ok
    end,
    State#state{views = erluv_fleet_views:started(Node, Worker, Info, Pid, Views)};
of_peer({stopped, Node, Worker, Reason}, Pid, #state{views = Views} = State) ->
    State#state{views = erluv_fleet_views:stopped(Node, Worker, Reason, Pid, Views)}.
