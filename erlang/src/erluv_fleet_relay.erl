%% @private
%% Runs programs for processes of other control nodes, on a host that is connected with this
%% node and not with theirs. A program that goes on has a process here that stands for its
%% worker: it is the worker's owner, hands on messages in both directions, and ends with it.
%%
%% As erluv does, it does not fill the mailbox of an owner that does not read: each time it
%% has handed on a certain number of bytes it goes on once the owner has taken most of them. Until then
%% what the worker sends waits here, and erluv, which sees that, stops reading from the program.
-module(erluv_fleet_relay).

-export([at/4]).
-export([run/4]).
-export([counted_run/3]).
-export([start/4]).

-export([system_continue/3]).
-export([system_terminate/4]).
-export([system_get_state/1]).

%% Bytes that are handed on before the owner is looked at; then how often, in milliseconds, and
%% after how long it is enough that the owner has taken anything.
-define(WINDOW, 1048576).
-define(LOOK, 20).
-define(SLOW, 50).

-record(state, {
    worker :: pid(),
    owner :: pid() | none,
    ref :: reference() | none,             % its monitor
    asked = [] :: [reference()],           % processes that ask the worker, by their monitors
    bytes = 0 :: non_neg_integer(),        % handed on since the owner was looked at
    messages = 0 :: non_neg_integer(),
    least :: non_neg_integer() | undefined, % the shortest mailbox of the owner that was seen
    last = infinity :: non_neg_integer() | infinity,
    looks = 0 :: non_neg_integer()
}).

%% @doc Calls a function at another control node.
-spec at(node(), module(), atom(), [term()]) -> term().
at(Via, Module, Function, Args) ->
    case lists:member(Via, erlang:nodes(connected)) of
        true ->
            try
                erpc:call(Via, Module, Function, Args)
            catch
                error:{erpc, noconnection} -> {error, noconnection};
                error:{exception, badarg, _} -> error(badarg);
                Class:Reason -> {error, {exit, {Class, Reason}}}
            end;
        false ->
            {error, nodedown}
    end.

%% @doc Runs a program to its end. It is stopped when the caller, of another node, ends before.
-spec run(pid(), node(), erluv:cmd(), erluv:run_options()) -> term().
run(Caller, Node, Cmd, Options) ->
    Self = self(),
    Guard = spawn(fun() ->
                          _ = monitor(process, Caller),
                          Ref = monitor(process, Self),
                          receive
                              {'DOWN', Ref, _, _, _} -> ok;
                              {'DOWN', _, _, _, _} -> exit(Self, kill)
                          end
                  end),
    Answer = counted_run(Node, Cmd, Options),
    true = exit(Guard, kill),
    Answer.

%% @doc Runs a program to its end in a place that is held, which is where it counts.
-spec counted_run(node(), erluv:cmd(), erluv:run_options()) -> term().
counted_run(Node, Cmd, Options) ->
    Run = erluv_fleet_table:runs(Node),
    try
        erluv:run(Node, Cmd, Options)
    after
        ok = erluv_fleet_server:run_over(Run)
    end.

%% @doc Starts a program, and the process that stands for its worker.
-spec start(pid(), node(), erluv:cmd(), map()) -> {ok, pid()} | {error, term()}.
start(Caller, Node, Cmd, Options) ->
    case [Key || Key <- [stdout, stderr, fds], foreign(maps:get(Key, Options, none))] of
        [] ->
            Self = self(),
            {Pid, Ref} = spawn_monitor(fun() -> init(Self, Caller, Node, Cmd, Options) end),
            receive
                {Pid, Answer} -> true = demonitor(Ref, [flush]), Answer;
                {'DOWN', Ref, process, Pid, Reason} -> {error, {exit, Reason}}
            end;
        [Key | _] ->
            {error, {bad_option, Key, <<"the host does not reach a process of that node: let the owner hand it on">>}}
    end.

foreign(Pid) when is_pid(Pid) -> node(Pid) =/= node();
foreign([Term | Terms]) -> foreign(Term) orelse foreign(Terms);
foreign(Term) when is_tuple(Term) -> foreign(tuple_to_list(Term));
foreign(Term) when is_map(Term) -> foreign(maps:values(Term));
foreign(_) -> false.

init(Parent, Caller, Node, Cmd, Options) ->
    process_flag(trap_exit, true),
    Owner = maps:get(owner, Options, Caller),
    Own = case Owner of
              none -> none;
              _ -> self()
          end,
    Answer = erluv:spawn_link(Node, Cmd, (maps:remove(link, Options))#{owner => Own}),
    begun(Answer, Parent, Caller, Owner, Node, Cmd, Options).

begun({ok, Worker}, Parent, Caller, Owner, Node, Cmd, Options) ->
    Self = self(),
    _ = spawn(fun() -> kill_with(Self, Worker) end),
    Linked = case Owner of
                 none -> Caller;
                 _ -> Owner
             end,
    _ = maps:get(link, Options, false) andalso link(Linked),
    ok = release(Worker, Owner, Options),
    Ref = watch(Owner, Options),
    ok = erluv_fleet_server:ran(Node, Worker, (erluv_fleet_host:info(Cmd, Options))#{task => Self}),
    Parent ! {Self, {ok, Self}},
    loop(#state{worker = Worker, owner = Owner, ref = Ref});
begun(Error, Parent, _, _, _, _, _) ->
    Parent ! {self(), Error}.

%% A worker without an owner that is detached may outlive this node, which a link forbids. One that has ended
%% before has sent its reason.
release(Worker, none, #{detached := true}) ->
    _ = monitor(process, Worker),
    true = unlink(Worker),
    ok;
release(_, _, _) ->
    ok.

watch(none, _) -> none;
watch(_, #{detached := true}) -> none;
watch(Owner, _) -> monitor(process, Owner).

own(Owner, #state{owner = Owner} = State) ->
    State;
own(Owner, #state{ref = none} = State) ->
    State#state{owner = Owner};
own(Owner, #state{ref = Ref} = State) ->
    true = demonitor(Ref, [flush]),
    State#state{owner = Owner, ref = watch(Owner, #{})}.

%% exit(Pid, kill) is for the program: SIGKILL, and not the stop that the end of an owner is.
kill_with(Relay, Worker) ->
    Ref = monitor(process, Relay),
    receive
        {'DOWN', Ref, process, Relay, killed} -> exit(Worker, kill);
        {'DOWN', Ref, process, Relay, _} -> true
    end.

loop(#state{worker = Worker, bytes = Bytes} = State) when Bytes >= ?WINDOW ->
    receive
        {'$gen_call', _, _} = Call -> loop(call(Call, State));
        {'DOWN', Ref, process, Pid, _} when Pid =/= Worker -> loop(down(Ref, State))
    after ?LOOK -> loop(look(State))
    end;
loop(#state{worker = Worker} = State) ->
    receive
        {Worker, Message} -> loop(hand_on(Message, State));
        {'EXIT', Worker, Reason} -> ended(Reason, State);
        {'DOWN', _, process, Worker, Reason} -> ended(Reason, State);
        {'EXIT', _, normal} -> loop(State);
        {'EXIT', _, Reason} -> true = exit(Worker, Reason), loop(State);
        {'DOWN', Ref, process, _, _} -> loop(down(Ref, State));
        {'$gen_call', _, _} = Call -> loop(call(Call, State));
        {system, From, Request} -> sys:handle_system_msg(Request, From, self(), ?MODULE, [], State);
        {io_request, From, As, _} -> From ! {io_reply, As, {error, enotsup}}, loop(State);
        {_, {connect, New}} when is_pid(New) -> loop(own(New, State));
        {_, {command, _} = Command} -> Worker ! {self(), Command}, loop(State);
        {_, close} -> Worker ! {self(), close}, loop(State);
        _ -> loop(State)
    end.

%% With the owner it ends, and so the worker's owner does, which stops that.
down(Ref, #state{ref = Ref}) -> exit(normal);
down(Ref, #state{asked = Asked} = State) -> State#state{asked = lists:delete(Ref, Asked)}.

%% Those who have asked the worker have their answers first.
-spec ended(term(), #state{}) -> no_return().
ended(Reason, #state{asked = Asked}) ->
    lists:foreach(fun(Ref) -> receive {'DOWN', Ref, process, _, _} -> ok end end, Asked),
    exit(Reason).

hand_on(_, #state{owner = none} = State) ->
    State;
hand_on(Message, #state{owner = Owner, bytes = Bytes, messages = Messages} = State) ->
    Owner ! {self(), Message},
    State#state{bytes = Bytes + size_of(Message), messages = Messages + 1}.

size_of({_, Data}) when is_binary(Data) -> byte_size(Data);
size_of(_) -> 0.

%% Messages of others may lie in its mailbox for good. Where there are more and more of these,
%% whoever takes any goes on getting a little.
look(#state{owner = Owner, least = undefined} = State) ->
    State#state{bytes = 0, messages = 0, least = waiting(Owner)};
look(#state{owner = Owner, messages = Messages, least = Least, last = Last, looks = Looks} = State) ->
    Length = waiting(Owner),
    New = State#state{last = Length, least = min(Least, Length)},
    case Length =< Least + Messages div 2 orelse Looks >= ?SLOW andalso Length < Last of
        true -> New#state{bytes = 0, messages = 0, looks = 0};
        false -> New#state{looks = Looks + 1}
    end.

waiting(Owner) ->
    try erpc:call(node(Owner), erlang, process_info, [Owner, message_queue_len], 5000) of
        {message_queue_len, Length} -> Length;
        undefined -> 0
    catch
        error:{erpc, _} -> 0 % its end is told by the monitor
    end.

%% What is for the owner is done here; the worker is asked by a process of its own, since an
%% answer may be long in coming.
call({_, From, {setopts, Options}}, #state{owner = Old} = State) when is_map(Options); length(Options) >= 0 ->
    Map = case Options of
              #{} -> Options;
              _ -> proplists:to_map(Options)
          end,
    Asked = ask({setopts, maps:remove(owner, Map)}, From, State),
    case maps:get(owner, Map, Old) of
        New when is_pid(New) -> own(New, Asked);
        _ -> Asked
    end;
call({_, From, Request}, State) ->
    ask(Request, From, State).

ask(Request, From, #state{worker = Worker, asked = Asked} = State) ->
    {_, Ref} = spawn_monitor(fun() -> gen_server:reply(From, erluv_call:call(Worker, Request)) end),
    State#state{asked = [Ref | Asked]}.

%% @private
-spec system_continue(pid(), [sys:dbg_opt()], #state{}) -> no_return().
system_continue(_, _, State) -> loop(State).

%% @private
-spec system_terminate(term(), pid(), [sys:dbg_opt()], #state{}) -> no_return().
system_terminate(Reason, _, _, #state{worker = Worker} = State) ->
    true = exit(Worker, Reason),
    loop(State).

%% @private
-spec system_get_state(#state{}) -> {ok, map()}.
system_get_state(#state{worker = Worker, owner = Owner}) -> {ok, #{worker => Worker, owner => Owner}}.
