%% @private
%% One host of the fleet, as long as it is connected with this node: it asks the host what it
%% is, monitors its programs, and tells erluv_fleet_server what changes. What the host
%% itself says comes from there, and which programs were started: with a tag, which goes back when
%% they are counted. A host that answers late holds up nothing but this process.
-module(erluv_fleet_host).
-behaviour(gen_server).

-export([start_link/2]).
-export([enter/2]).
-export([event/2]).
-export([look/1]).
-export([run_over/2]).
-export([info/2]).

-export([init/1]).
-export([handle_call/3]).
-export([handle_cast/2]).
-export([handle_info/2]).

-include_lib("kernel/include/logger.hrl").

%% For an answer: what does not come is asked for again. A hidden node that is no erluv is
%% given up after so many times.
-define(ANSWER, 5000).
-define(AGAIN, 1000).
-define(TRIES, 10).

-record(state, {
    node :: node(),
    host :: map() | undefined,             % undefined: it is not known yet
    tasks = #{} :: #{pid() => map()},      % the programs that are monitored
    unsure = [] :: [pid()],                % of these: either they have ended, as their owner's node has gone,
                                           % or the connection has
    tries = 0 :: non_neg_integer(),
    refresh :: timeout(),
    respawn :: {non_neg_integer(), pos_integer()} | false,
    crashes = [] :: [integer()]
}).

%% @doc Does not wait for the process: the caller would search its mailbox for each of
%% ten thousand hosts, in which the events of the others are.
-spec start_link(node(), map()) -> pid().
start_link(Node, Options) ->
    proc_lib:spawn_link(?MODULE, enter, [Node, Options]).

-spec enter(node(), map()) -> no_return().
enter(Node, Options) ->
    {ok, State} = init({Node, Options}),
    case load(State) of
        {noreply, New} -> gen_server:enter_loop(?MODULE, [], New);
        {stop, normal, _} -> exit(normal)
    end.

%% @doc What the host has said: `{erluv, Node, Event}'.
-spec event(pid(), term()) -> ok.
event(Pid, Event) -> gen_server:cast(Pid, {event, Event}).

%% @doc Programs may run there that are not known.
-spec look(pid()) -> ok.
look(Pid) -> gen_server:cast(Pid, look).

%% @doc A run on this host has ended: its process is forgotten when no answer that has its program is
%% looked at any more.
-spec run_over(pid(), erluv_fleet_table:run()) -> ok.
run_over(Pid, Run) -> gen_server:cast(Pid, {run_over, Run}).

%% @doc What the host will say of a program that is started by this.
-spec info(erluv:cmd(), map()) -> #{cmd := term(), id => binary(), class => binary()}.
info(Cmd, Options) ->
    Info = case Cmd of
               {class, Name, _} -> #{cmd => Cmd, class => text(Name)};
               [Char | _] when is_integer(Char) -> #{cmd => shell(Cmd)};
               Text when is_binary(Text) -> #{cmd => shell(Cmd)};
               Args -> #{cmd => [text(Arg) || Arg <- Args]}
           end,
    case Options of
        #{id := Id} -> Info#{id => text(Id)};
        #{} -> Info
    end.

shell(Text) -> [<<"/bin/sh">>, <<"-c">>, unicode:characters_to_binary(Text)].

text(Arg) when is_atom(Arg) -> atom_to_binary(Arg);
text({memory, _}) -> <<"memory">>;
text({memory, _, Name}) -> text(Name);
text(Arg) -> unicode:characters_to_binary(Arg).

-spec init({node(), map()}) -> {ok, #state{}}.
init({Node, Options}) ->
    Refresh = maps:get(refresh, Options, 30000),
    ok = later(Refresh, refresh),
    {ok, #state{node = Node, refresh = Refresh, respawn = maps:get(respawn, Options, {10, 60000})}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(Request, _From, State) ->
    {reply, {error, {bad_request, Request}}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_cast({event, Event}, State) ->
    event_of(Event, State);
handle_cast({sync, Tag}, #state{node = Node} = State) ->
    New = case ask(Node, info) of
              #{status := _, meta := _} = Info -> changed(maps:with([status, meta], Info), State);
              {error, _} -> State
          end,
    ok = tell({counted, Tag}, New),
    {noreply, New};
handle_cast({began, Worker, Info, Tag}, State) ->
    {noreply, add(Worker, Info, Tag, State)};
handle_cast({run_over, Run}, State) ->
    ok = erluv_fleet_table:run_over(Run),
    {noreply, State};
handle_cast(look, State) ->
    {noreply, add_all(State)}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info(load, State) ->
    load(State);
handle_info(refresh, #state{refresh = Refresh} = State) ->
    ok = later(Refresh, refresh),
    {noreply, refresh(State)};
handle_info({'DOWN', _, process, Worker, noconnection}, #state{unsure = Unsure} = State) ->
    _ = Unsure =:= [] andalso (self() ! unsure),
    {noreply, State#state{unsure = [Worker | Unsure]}};
handle_info({'DOWN', _, process, Worker, Reason}, State) ->
    {noreply, ended(Worker, Reason, State)};
handle_info(unsure, #state{node = Node, unsure = Unsure} = State) ->
    case ask(Node, {status, get}) of
        {error, Lost} when Lost =:= nodedown; Lost =:= noconnection ->
            {noreply, State}; % the server is told so, and says it of all programs at once
        {error, _} ->
            ok = later(?AGAIN, unsure),
            {noreply, State};
        _ ->
            {noreply, lists:foldr(fun(Worker, Seen) -> ended(Worker, noconnection, Seen) end, State#state{unsure = []}, Unsure)}
    end;
handle_info(_, State) ->
    {noreply, State}.

ended(Worker, Reason, #state{tasks = Tasks} = State) ->
    ok = tell({stopped, Worker, Reason}, State),
    State#state{tasks = maps:remove(Worker, Tasks)}.

load(#state{node = Node} = State) ->
    case ask(Node, info) of
        #{controller := erluv_fleet} = Info -> loaded(host(Info, State), ask(Node, workers), State);
        #{} -> {stop, normal, State};
        {error, noproc} -> {stop, normal, State};
        {error, _} -> again(State)
    end.

loaded(Host, Workers, State) when is_list(Workers) ->
    New = lists:foldl(fun known/2, State#state{host = Host, tries = 0}, to_count(Workers, State)),
    ok = tell({known, Host, New#state.tasks}, New),
    {noreply, New};
loaded(_, _, State) ->
    again(State).

known({Worker, _}, #state{tasks = Tasks} = State) when is_map_key(Worker, Tasks) ->
    State;
known({Worker, Info}, #state{tasks = Tasks} = State) ->
    _ = monitor(process, Worker),
    State#state{tasks = Tasks#{Worker => Info}}.

%% The programs that a host tells of, but for those of runs whose place is held: by a process of
%% this node, or of another control node, which counts its own.
to_count(Workers, #state{node = Node}) ->
    Callers = [Caller || {_, #{caller := Caller}} <- Workers],
    Runners = erluv_fleet_table:runners(Node),
    ok = erluv_fleet_table:forget_runs(Node, Callers),
    Others = erluv_fleet_server:controls() -- [node()],
    Held = [Caller || Caller <- Callers, lists:member(Caller, Runners) orelse lists:member(node(Caller), Others)],
    [{Worker, maps:with([cmd, id, class], Info)}
     || {Worker, Info} <- Workers, not lists:member(maps:get(caller, Info, none), Held)].

again(#state{tries = ?TRIES, host = undefined} = State) ->
    {stop, normal, State};
again(#state{tries = Tries} = State) ->
    ok = later(?AGAIN, load),
    {noreply, State#state{tries = Tries + 1}}.

later(infinity, _) -> ok;
later(Time, What) -> _ = erlang:send_after(Time, self(), What), ok.

host(Info, #state{node = Node, host = Old}) ->
    Since = case Old of
                #{since := Time} -> Time;
                undefined -> erlang:system_time(millisecond)
            end,
    Kept = maps:with([status, meta, load, memory, disks, max_workers, version], Info),
    Kept#{node => Node, class => maps:get(classes, Info, []), since => Since, via => node()}.

event_of({up, _}, #state{host = undefined} = State) ->
    load(State#state{tries = 0});
event_of({child_up, _}, State) ->
    load(State#state{tries = 0});
event_of({child_down, Reason, _}, #state{node = Node} = State) ->
    ?LOG_WARNING("the child of ~ts crashed: ~ts", [Node, erluv_error:exit_text(Reason)], #{domain => [erluv], node => Node}),
    {noreply, respawn(changed(#{status => launching}, State))};
event_of({status, Status}, State) ->
    {noreply, changed(#{status => Status}, State)};
event_of({meta, Labels}, State) ->
    {noreply, changed(#{meta => Labels}, State)};
event_of({stopping, _}, State) ->
    {noreply, changed(#{status => stopping}, State)};
event_of(_, State) ->
    {noreply, State}.

changed(_, #state{host = undefined} = State) ->
    State; % it is being asked
changed(Changes, #state{host = Host} = State) ->
    case maps:merge(Host, Changes) of
        Host ->
            State;
        New ->
            ok = tell({host, New}, State),
            State#state{host = New}
    end.

%% As erluv_node does: so often, and no more.
respawn(#state{respawn = false} = State) ->
    State;
respawn(#state{respawn = {Max, Period}, crashes = Crashes, node = Node} = State) ->
    Now = erlang:monotonic_time(millisecond),
    Recent = [Now | [Time || Time <- Crashes, Now - Time < Period]],
    _ = length(Recent) =< Max andalso ({erluv_main, Node} ! respawn),
    State#state{crashes = Recent}.

%% Figures of the machine; and whether more runs there than is counted, as when it was
%% started without the fleet.
refresh(#state{host = undefined} = State) ->
    State;
refresh(#state{node = Node} = State) ->
    case ask(Node, info) of
        #{workers := Workers} = Info ->
            New = changed(maps:with([load, memory, disks], Info), State),
            case Workers > erluv_fleet_table:counted(Node) of
                true -> add_all(New);
                false -> New
            end;
        {error, _} ->
            State
    end.

add_all(#state{node = Node} = State) ->
    case ask(Node, workers) of
        Workers when is_list(Workers) ->
            lists:foldl(fun({Worker, Info}, Seen) -> add(Worker, Info, none, Seen) end, State, to_count(Workers, State));
        {error, _} ->
            State
    end.

%% One that the host told of before the process that stands for it did is told of again.
add(Worker, Info, Tag, #state{tasks = Tasks} = State) ->
    case Tasks of
        #{Worker := Known} when is_map_key(task, Known); not is_map_key(task, Info) ->
            ok = tell({counted, Tag}, State),
            State;
        #{} ->
            _ = is_map_key(Worker, Tasks) orelse monitor(process, Worker),
            ok = tell({started, Worker, Info, Tag}, State),
            State#state{tasks = Tasks#{Worker => Info}}
    end.

tell(What, #state{node = Node}) ->
    erluv_fleet ! {erluv_fleet_host, self(), Node, What},
    ok.

ask(Node, Request) ->
    erluv_call:call({erluv, Node}, Request, ?ANSWER).
