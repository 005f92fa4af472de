%% What the test modules share. Each test is a function t_...() and runs in a process
%% of its own, so that its mailbox is empty and its workers end with it.
-module(erluv_harness).

-export([main/1]).
-export([executable/0]).
-export([tests/1]).
-export([tests/2]).
-export([until/1]).
-export([next/1]).
-export([alive/1]).
-export([os_pid/1]).
-export([running/1]).
-export([logged/2]).
-export([peer/1]).
-export([call/4]).
-export([with_vm/2]).
-export([with_vm/3]).
-export([at_once/4]).
-export([listeners/0]).
-export([dir/0]).
-export([paths/0]).
-export([open/1]).
-export([open/2]).
-export([log/2]).
-export([serve_io/1]).

%% Bounds, for what hangs: seconds of a test, milliseconds of a wait within one.
-define(TEST_TIME, 240).
-define(WAIT, 120000).

%% Runs test modules (erl -s erluv_harness main ...), then ends the node.
main(Modules) ->
    ok = logger:remove_handler(default), % what they crash on purpose is not to be read
    ok = application:set_env(erluv, timeout, ?WAIT),
    halt(case eunit:test(Modules, [no_tty, {report, {erluv_tally, []}}]) of
             ok -> 0;
             error -> 1
         end).

%% The erluv that is tested, and arguments that go before all others.
executable() ->
    application:get_env(erluv, executable, [filename:join(code:priv_dir(erluv), "erluv")]).

%% All t_...() of a module, with an erluv_node registered as erluv.
tests(Module) ->
    {setup,
     fun() -> {ok, Pid} = erluv_node:start_link(), unlink(Pid), Pid end,
     fun(Pid) -> ok = gen_server:stop(Pid) end,
     tests(Module, plain)}.

%% All t_...() of a module, with nothing.
tests(Module, plain) ->
    [{spawn, {timeout, ?TEST_TIME, {Module, F}}}
     || {F, 0} <- Module:module_info(exports), lists:prefix("t_", atom_to_list(F))].

%% Waits until a condition holds that no message tells of.
until(F) ->
    until(F, erlang:monotonic_time(millisecond) + ?WAIT).

until(F, Deadline) ->
    case F() of
        true ->
            ok;
        false ->
            erlang:monotonic_time(millisecond) < Deadline orelse error(too_late),
            receive after 10 -> until(F, Deadline) end
    end.

%% The next message from whom it is wanted.
next(From) ->
    receive
        {From, Message} -> Message;
        {'EXIT', From, Reason} -> {'EXIT', Reason};
        {'DOWN', From, process, _, Reason} -> {'DOWN', Reason}
    after ?WAIT -> error({silent, From})
    end.

%% Whether a process of the system is there; a zombie is not.
alive(OsPid) ->
    case file:read_file(["/proc/", integer_to_list(OsPid), "/stat"]) of
        {ok, Stat} ->
            [Char | _] = string:lexemes(lists:last(binary:split(Stat, <<")">>, [global])), " "),
            Char =/= <<"Z">>;
        {error, _} ->
            false
    end.

%% The numbers of processes of the system with this command line.
running(Args) ->
    Wanted = iolist_to_binary([[Arg, 0] || Arg <- Args]),
    [list_to_binary(OsPid) || "/proc/" ++ Rest <- filelib:wildcard("/proc/[0-9]*/cmdline"),
                              {ok, Wanted} =:= file:read_file("/proc/" ++ Rest),
                              [OsPid, _] <- [string:split(Rest, "/")]].

%% The number of a worker's program.
os_pid(Worker) ->
    #{os_pid := OsPid} = erluv:info(Worker),
    OsPid.

%% What F logs, as {Level, Text, Metadata}, up to the first event that Wanted holds of.
logged(F, Wanted) ->
    Id = list_to_atom("t" ++ integer_to_list(erlang:unique_integer([positive]))),
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, all),
    ok = logger:add_handler(Id, ?MODULE, #{config => self()}),
    try
        _ = F(),
        collect(Wanted, [])
    after
        ok = logger:remove_handler(Id),
        ok = logger:set_primary_config(level, Level)
    end.

collect(Wanted, Seen) ->
    receive
        {?MODULE, {_, _, _} = Event} ->
            case Wanted(Event) of
                true -> lists:reverse([Event | Seen]);
                false -> collect(Wanted, [Event | Seen])
            end
    after ?WAIT -> error({not_logged, lists:reverse(Seen)})
    end.

%% The handler of logged/2.
log(#{level := Level, meta := Meta} = Event, #{config := Pid}) ->
    Text = unicode:characters_to_binary(logger_formatter:format(Event, #{template => [msg], single_line => true})),
    Pid ! {?MODULE, {Level, Text, Meta}}.

%% Another VM, driven over its standard input, so that distribution is not needed.
peer(Args) ->
    {ok, Peer, _} = peer:start_link(#{connection => standard_io, wait_boot => ?WAIT,
                                      args => ["-start_epmd", "false" | paths()] ++ Args}),
    Peer.

%% Calls a function in another VM, which may be slow: peer itself waits for 5 seconds.
call(Peer, Module, Function, Args) ->
    peer:call(Peer, Module, Function, Args, ?WAIT).

%% A VM that is no node unless the flags say so, has no EPMD and an empty home, is driven
%% by a function as apply/3, and has nothing in its log.
with_vm(Args, F) ->
    with_vm(Args, [{"HOME", dir()}], F).

with_vm(Args, Env, F) ->
    {ok, Peer, _} = peer:start_link(#{connection => standard_io, wait_boot => ?WAIT, env => Env,
                                      args => ["-start_epmd", "false", "-kernel", "logger_level", "none"
                                               | paths()] ++ Args}),
    ok = call(Peer, application, set_env, [erluv, executable, executable()]),
    ok = call(Peer, application, set_env, [erluv, timeout, ?WAIT]),
    F(fun(Module, Function, Arguments) -> call(Peer, Module, Function, Arguments) end),
    peer:stop(Peer).

%% What so many processes get for a call that they make at the same moment.
at_once(N, Module, Function, Args) ->
    Self = self(),
    Pids = [spawn_link(fun() ->
                               receive go -> Self ! {self(), apply(Module, Function, Args)} end
                       end) || _ <- lists:seq(1, N)],
    [Pid ! go || Pid <- Pids],
    [next(Pid) || Pid <- Pids].

%% The addresses at which this VM listens for anything.
listeners() ->
    [Address || P <- erlang:ports(), erlang:port_info(P, name) =:= {name, "tcp_inet"},
                inet:peername(P) =:= {error, enotconn}, {ok, Address} <- [inet:sockname(P)]].

%% A new and empty directory.
dir() ->
    {ok, [[Home]]} = init:get_argument(home),
    Dir = filename:join(Home, integer_to_list(erlang:unique_integer([positive]))),
    ok = file:make_dir(Dir),
    Dir.

%% The flags by which another VM finds our modules.
paths() ->
    ["-pa" | [filename:dirname(code:which(Module)) || Module <- [?MODULE, erluv, erluv_exec]]].

%% An erluv that no erluv_node has started, as an administrator would.
open(Args) ->
    open(Args, atom_to_list(erlang:get_cookie())).

open(Args, Cookie) ->
    [Program | First] = executable(),
    open_port({spawn_executable, Program},
              [{args, First ++ ["--config", "none", "--node", atom_to_list(node()) | Args]},
               {env, [{"ERLUV_COOKIE", Cookie}]}, exit_status, {line, 10000}, stderr_to_stdout]).

%% A group leader that hands on what is written.
serve_io(To) ->
    receive
        {io_request, From, As, {put_chars, unicode, M, F, A}} ->
            To ! {self(), unicode:characters_to_binary(apply(M, F, A))},
            From ! {io_reply, As, ok},
            serve_io(To)
    end.
