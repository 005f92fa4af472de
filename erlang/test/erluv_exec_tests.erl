-module(erluv_exec_tests).

-export([exec_test_/0]).
-export([own_node_test_/0]).
-export([t_output_to_pid_and_function/0]).
-export([t_output_to_files/0]).
-export([t_output_printed_or_dropped/0]).
-export([t_merged_streams/0]).
-export([t_sync/0]).
-export([t_sync_timeout/0]).
-export([t_sync_caller_ends/0]).
-export([t_environment/0]).
-export([t_directory/0]).
-export([t_executable/0]).
-export([t_success_exit_code/0]).
-export([t_stdin/0]).
-export([t_linked_both_ways/0]).
-export([t_unlinked_goes_on/0]).
-export([t_killed_process/0]).
-export([t_kill_timeout/0]).
-export([t_kill_command/0]).
-export([t_kill_group/0]).
-export([t_failed_program_logs_nothing/0]).
-export([t_short_programs_all_have_numbers/0]).
-export([t_terminal/0]).
-export([t_by_port/0]).
-export([t_not_found/0]).
-export([t_not_started/0]).
-export([t_bad_options/0]).
-export([t_bad_terminal/0]).
-export([t_terminal_modes/0]).
-export([t_user/0]).
-export([o_own_node/0]).
-export([o_not_running/0]).
-export([o_start_options/0]).
-export([o_every_order/0]).
-export([o_name_taken/0]).
-export([o_run_while_starting/0]).
-export([o_watchers_of_a_stop/0]).
-export([o_application_stops/0]).
-export([t_sync_stopped/0]).
-export([t_no_stray_messages/0]).
-export([t_terminal_and_files/0]).

-include_lib("stdlib/include/assert.hrl").

-import(erluv_harness, [next/1, until/1, alive/1]).

exec_test_() ->
    {setup,
     fun() ->
             {ok, Node} = erluv_node:start_link(),
             {ok, Exec} = erluv_exec:start_link([{node, erluv}]),
             [unlink(Pid) || Pid <- [Node, Exec]],
             [Exec, Node]
     end,
     fun(Pids) -> [ok = gen_server:stop(Pid) || Pid <- Pids] end,
     erluv_harness:tests(?MODULE, plain)}.

own_node_test_() ->
    [{spawn, {timeout, 240, fun ?MODULE:F/0}}
     || F <- [o_own_node, o_not_running, o_start_options, o_name_taken, o_run_while_starting,
              o_watchers_of_a_stop, o_application_stops]]
        ++ [{spawn, {timeout, 600, fun ?MODULE:o_every_order/0}}].

t_output_to_pid_and_function() ->
    Self = self(),
    {ok, Pid, OsPid} = erluv_exec:run("echo one; echo two >&2; read x",
                                      [stdin, {stdout, fun(S, P, D) -> Self ! {f, {S, P, D}} end}, {stderr, Self}]),
    ?assertEqual({stdout, OsPid, <<"one\n">>}, next(f)),
    receive {stderr, OsPid, <<"two\n">>} -> ok end,
    ok = erluv_exec:stop(Pid).

t_output_to_files() ->
    {ok, #{stdout := Dir0}} = erluv:run(erluv, ["mktemp", "-d"]),
    Dir = string:trim(binary_to_list(Dir0)),
    File = Dir ++ "/out",
    {ok, []} = erluv_exec:run("echo one; echo two >&2", [sync, {stdout, File}, {stderr, stdout}]),
    {ok, []} = erluv_exec:run("echo three", [sync, {stdout, list_to_binary(File), [append, {mode, 8#600}]}]),
    {ok, [{stdout, Read}]} = erluv_exec:run(["cat", File], [sync, stdout]),
    ?assertEqual(<<"one\ntwo\nthree\n">>, iolist_to_binary(Read)),
    {ok, []} = erluv_exec:run(["rm", "-r", Dir], [sync]).

t_output_printed_or_dropped() ->
    Self = self(),
    Printer = spawn_link(fun() -> erluv_harness:serve_io(Self) end),
    {ok, _, OsPid} = run_with_leader(Printer, "echo hi", [{stdout, print}, {stderr, null}, monitor]),
    Printed = next(Printer),
    ?assertEqual(unicode:characters_to_binary(io_lib:format("Got stdout from ~w: <<\"hi\\n\">>\n", [OsPid])), Printed),
    next_down(OsPid),
    {ok, []} = erluv_exec:run("echo hi; echo ho >&2", [sync, {stdout, close}]).

%% The leader is inherited by the process of the program.
run_with_leader(Leader, Cmd, Options) ->
    Old = group_leader(),
    true = group_leader(Leader, self()),
    try erluv_exec:run(Cmd, Options) after group_leader(Old, self()) end.

next_down(OsPid) ->
    receive {'DOWN', OsPid, process, _, Reason} -> Reason after 120000 -> error(silent) end.

t_merged_streams() ->
    ?assertMatch({ok, [{stdout, [_ | _]}]}, erluv_exec:run("echo a >&2", [sync, stdout, {stderr, stdout}])),
    ?assertMatch({ok, [{stderr, [_ | _]}]}, erluv_exec:run("echo a", [sync, stderr, {stdout, stderr}])).

t_sync() ->
    ?assertEqual({ok, []}, erluv_exec:run("echo dropped", [sync])),
    ?assertEqual({error, [{exit_status, 2 bsl 8}, {stderr, [<<"bad\n">>]}]},
                 erluv_exec:run("echo bad >&2; exit 2", [sync, stdout, stderr])),
    ?assertEqual({error, [{exit_status, 9}]}, erluv_exec:run("kill -9 $$", [sync])),
    {error, [{exit_status, Segv}]} = erluv_exec:run("ulimit -c 0; kill -11 $$", [sync]),
    ?assertMatch({signal, sigsegv, _}, erluv_exec:status(Segv)).

t_sync_timeout() ->
    ?assertEqual({error, timeout}, erluv_exec:run(["sleep", "61"], [sync], 200)),
    until(fun() -> numbers("61") =:= [] end).

%% It is not linked, and goes on.
t_sync_caller_ends() ->
    Caller = spawn(fun() -> erluv_exec:run(["sh", "-c", "read x", "62"], [stdin, sync]) end),
    until(fun() -> numbers("62") =/= [] end),
    [OsPid] = numbers("62"),
    exit(Caller, kill),
    ?assertEqual(ok, erluv_exec:send(OsPid, eof)),
    until(fun() -> erluv_exec:pid(OsPid) =:= undefined end).

%% The numbers of programs with this argument.
numbers(Arg) ->
    [OsPid || {_, #{cmd := Cmd, os_pid := OsPid}} <- erluv:workers(erluv),
              is_list(Cmd), lists:member(list_to_binary(Arg), Cmd), erluv_exec:pid(OsPid) =/= undefined].

t_environment() ->
    true = os:putenv("OF_THE_VM", "yes"),
    Env = fun(Options) ->
                  {ok, [{stdout, Text}]} = erluv_exec:run(["env"], [sync, stdout | Options]),
                  lists:sort(string:lexemes(binary_to_list(iolist_to_binary(Text)), "\n"))
          end,
    ?assert(lists:member("OF_THE_VM=yes", Env([]))),
    ?assertNot(lists:member("OF_THE_VM=yes", Env([{env, [{"OF_THE_VM", false}]}]))),
    ?assertEqual(["A=1", "B=x=y"], Env([{env, [clear, {"A", "1"}, "B=x=y"]}])),
    true = os:unsetenv("OF_THE_VM").

t_directory() ->
    {ok, [{stdout, [Here]}]} = erluv_exec:run(["pwd"], [sync, stdout]),
    {ok, Cwd} = file:get_cwd(),
    ?assertEqual(Cwd ++ "\n", binary_to_list(Here)),
    ?assertEqual({ok, [{stdout, [<<"/usr\n">>]}]}, erluv_exec:run(["pwd"], [sync, stdout, {cd, "/usr"}])).

t_executable() ->
    ?assertEqual({ok, [{stdout, [<<"a\n">>]}]},
                 erluv_exec:run(["any name", "a"], [sync, stdout, {executable, "/bin/echo"}])),
    ?assertEqual({ok, [{stdout, [<<"-c a b\n">>]}]},
                 erluv_exec:run("a b", [sync, stdout, {executable, "/bin/echo"}])).

t_success_exit_code() ->
    ?assertEqual({ok, []}, erluv_exec:run("exit 3", [sync, {success_exit_code, 3}])),
    ?assertEqual({error, [{exit_status, 0}]}, erluv_exec:run("exit 0", [sync, {success_exit_code, 3}])).

t_stdin() ->
    ?assertEqual({ok, []}, erluv_exec:run(["cat"], [sync, stdout])),
    ?assertEqual({ok, []}, erluv_exec:run(["cat"], [sync, stdout, {stdin, close}])),
    ?assertMatch({ok, [{stdout, _}]}, erluv_exec:run(["cat"], [sync, stdout, {stdin, "/etc/passwd"}])).

t_linked_both_ways() ->
    process_flag(trap_exit, true),
    {ok, Pid, OsPid} = erluv_exec:run_link(["sleep", "60"], []),
    ok = erluv_exec:kill(Pid, 15),
    ?assertEqual({'EXIT', {exit_status, 15}}, next(Pid)),
    ?assertNot(alive(OsPid)),
    Self = self(),
    Caller = spawn(fun() -> Self ! {self(), erluv_exec:run(["sleep", "60"], [link])}, receive after infinity -> ok end end),
    {ok, _, Other} = next(Caller),
    exit(Caller, shutdown),
    until(fun() -> not alive(Other) end).

t_unlinked_goes_on() ->
    Self = self(),
    Caller = spawn(fun() -> Self ! {self(), erluv_exec:run(["sleep", "60"], [])} end),
    {ok, Pid, OsPid} = next(Caller),
    until(fun() -> not is_process_alive(Caller) end),
    ?assertEqual(OsPid, erluv_exec:ospid(Pid)),
    ?assertEqual(normal, erluv_exec:stop_and_wait(Pid, infinity)).

t_killed_process() ->
    {ok, Pid, OsPid} = erluv_exec:run(["sleep", "60"], [monitor]),
    exit(Pid, kill),
    ?assertEqual(killed, next_down(OsPid)),
    until(fun() -> not alive(OsPid) end),
    ?assertEqual(undefined, erluv_exec:pid(OsPid)).

t_kill_timeout() ->
    {ok, Pid, OsPid} = erluv_exec:run("trap '' TERM; echo; while :; do sleep 0.1; done", [stdout, {kill_timeout, 1}]),
    receive {stdout, OsPid, _} -> ok end,
    ?assertEqual({error, timeout}, erluv_exec:stop_and_wait(Pid, 100)),
    ?assertEqual(normal, erluv_exec:stop_and_wait(Pid, 30000)),
    ?assertNot(alive(OsPid)).

t_kill_command() ->
    {ok, Pid, OsPid} = erluv_exec:run("trap 'echo by hup; exit' HUP; echo; while :; do sleep 0.1; done",
                                      [stdout, monitor, {kill, "kill -HUP $CHILD_PID"}, {kill_timeout, 60}]),
    receive {stdout, OsPid, <<"\n">>} -> ok end,
    ok = erluv_exec:stop(Pid),
    receive {stdout, OsPid, <<"by hup\n">>} -> ok end,
    ?assertEqual(normal, next_down(OsPid)).

%% What a program leaves behind is left alone, unless it is told otherwise.
t_kill_group() ->
    Leave = fun(Time, Options) ->
                    {ok, []} = erluv_exec:run("sleep " ++ Time ++ " >/dev/null 2>&1 &", [sync | Options])
            end,
    Running = fun(Time) -> erluv_harness:running([<<"sleep">>, list_to_binary(Time)]) end,
    {ok, []} = Leave("60.111" ++ os:getpid(), [kill_group]),
    Own = os:getpid(), % other nodes test beside this one
    ?assertEqual([], Running("60.111" ++ Own)),
    {ok, []} = Leave("60.112" ++ Own, []),
    until(fun() -> Running("60.112" ++ Own) =/= [] end), % it may not have got so far
    [Left] = Running("60.112" ++ Own),
    ?assertEqual("", os:cmd("kill " ++ binary_to_list(Left))).

t_failed_program_logs_nothing() ->
    Events = erluv_harness:logged(
               fun() ->
                       {error, _} = erluv_exec:run("exit 1", [sync]),
                       {ok, _, OsPid} = erluv_exec:run("exit 1", [monitor]),
                       ?assertEqual({exit_status, 256}, next_down(OsPid)),
                       logger:notice("the end")
               end, fun({_, Text, _}) -> Text =:= <<"the end">> end),
    ?assertEqual([], [Event || {error, _, _} = Event <- Events]).

t_short_programs_all_have_numbers() ->
    OsPids = [begin {ok, _, OsPid} = erluv_exec:run(["true"], [monitor]), OsPid end || _ <- lists:seq(1, 200)],
    ?assert(lists:all(fun(OsPid) -> is_integer(OsPid) andalso OsPid > 0 end, OsPids)),
    [?assertEqual(normal, next_down(OsPid)) || OsPid <- OsPids].

t_terminal() ->
    {ok, _, OsPid} = erluv_exec:run("stty size; stty -a | grep -o -e '-echo ' -e 'intr = ^.'; read x",
                                    [stdin, stdout, {pty, [{vintr, 7}]}, {winsz, {30, 90}}]),
    Text = receive_until(OsPid, <<>>, <<"-echo">>),
    ?assertMatch(<<"30 90\r\n", _/binary>>, Text),
    ?assertNotEqual(nomatch, binary:match(Text, <<"intr = ^G">>)),
    {ok, _, Echo} = erluv_exec:run(["cat"], [stdin, stdout, pty, pty_echo]),
    ok = erluv_exec:send(Echo, <<"x\n">>),
    _ = receive_until(Echo, <<>>, <<"x\r\nx\r\n">>),
    {error, {invalid_pty_value, [{row, 300}, {vintr, true}, echo]}} =
        erluv_exec:pty_opts(Echo, [{row, 300}, {isig, 0}, {vintr, true}, echo]),
    {ok, [{stdout, [_ | _] = Size}]} = erluv_exec:run("stty -F $(tty) size", [sync, stdout, {pty, [reopen, {rows, 30}]}]),
    <<"30 80\r\n">> = iolist_to_binary(Size).

receive_until(OsPid, Seen, Wanted) ->
    case binary:match(Seen, Wanted) of
        nomatch ->
            receive {stdout, OsPid, Data} -> receive_until(OsPid, <<Seen/binary, Data/binary>>, Wanted)
            after 120000 -> error({seen, Seen})
            end;
        _ -> Seen
    end.

%% A number from a port is a number as any.
t_by_port() ->
    Port = open_port({spawn_executable, "/bin/cat"}, []),
    ?assertEqual({error, not_found}, erluv_exec:stop(Port)),
    true = port_close(Port),
    ?assertEqual({error, not_found}, erluv_exec:stop(Port)).

t_not_found() ->
    [?assertEqual({error, not_found}, F(1))
     || F <- [fun erluv_exec:stop/1, fun(P) -> erluv_exec:kill(P, 9) end, fun(P) -> erluv_exec:send(P, eof) end,
              fun(P) -> erluv_exec:winsz(P, 1, 1) end, fun(P) -> erluv_exec:pty_opts(P, []) end,
              fun(P) -> erluv_exec:stop_and_wait(P, 1) end]],
    ?assertEqual({error, {invalid_pty_value, [{row, 300}]}}, erluv_exec:pty_opts(1, [{row, 300}])),
    {ok, Pid, OsPid} = erluv_exec:run(["true"], [monitor]),
    normal = next_down(OsPid),
    ?assertEqual({error, not_found}, erluv_exec:ospid(Pid)).

t_not_started() ->
    ?assertEqual({error, enoent}, erluv_exec:run(["no-such-program"], [])),
    ?assertEqual({error, {cd, enoent}}, erluv_exec:run(["true"], [sync, {cd, "/no/such/dir"}])).

-define(NO_LISTS, [foo, 7, #{}, [sync | foo], {node, erluv}]).

t_bad_options() ->
    [?assertMatch({Key, {error, {bad_option, Key, <<_, _/binary>>}}}, {Key, erluv_exec:run("true", [Option])})
     || {Key, Option} <- [{colour, {colour, red}}, {group, {group, 17}}, {stdout, {stdout, 7}}, {env, {env, ["x"]}},
                          {success_exit_code, {success_exit_code, 300}}, {kill_timeout, {kill_timeout, x}},
                          {stdin, {stdin, 7}}, {nice, {nice, low}}, {env, {env, [5]}}, {env, {env, [<<255>>]}},
                          {env, {env, ["A=1" | b]}}, {7, 7}, {{}, {}},
                          {cd, {cd, 7}}, {executable, {executable, 7}}, {kill, {kill, 7}}, {user, {user, ""}}, {user, user},
                          {nice, {nice, 21}}, {winsz, {winsz, {0, 80}}}, {env, {env, [[16#65e5]]}}, {pty, {pty, [echo | x]}}]],
    [?assertMatch({error, {bad_option, Options, <<_, _/binary>>}}, erluv_exec:run("true", Options)) || Options <- ?NO_LISTS],
    {error, {bad_option, stdout, _}} = erluv_exec:run("true", [{stdout, stderr}, {stderr, stdout}]),
    {error, {bad_option, stdout, _}} = erluv_exec:run("true", [pty, {stdout, "/tmp/x"}]),
    {ok, []} = erluv_exec:run("true", [sync, {debug, 3}, {group, 0}, {nice, 1}, {kill_group, false}, {pty, false}]),
    {ok, []} = erluv_exec:run("true", [sync, {nice, 20}]).

%% Every wrong one is said, as it was given; the right ones are those of erlexec, and of erluv.
t_bad_terminal() ->
    Wrong = [echo, {echo, 2}, {vintr, 256}, {vintr, -1}, {vintr, true}, {tty_op_ispeed, true}, {colour, 1}, [], {rows, 0},
             {reopen, 1}, {cols, 65536}],
    Right = [{echo, false}, {isig, 1}, {vintr, 255}, {vquit, 0}, {tty_op_ospeed, 38400}, reopen, {reopen, false}, {rows, 1},
             {cols, 65535}, {cs7, 1}, {vflush, 3}],
    {error, {invalid_pty_value, Wrong}} = erluv_exec:run("true", [{pty, Right ++ Wrong}]),
    {ok, []} = erluv_exec:run("true", [sync, {pty, Right}]).

%% All that pty_opts/2 takes stty(1) knows; a number that means no character is one.
t_terminal_modes() ->
    {ok, _, OsPid} = erluv_exec:run("read x; stty -a", [stdin, stdout, {pty, [reopen]}]),
    Switches = [ignpar, parmrk, inpck, istrip, inlcr, igncr, icrnl, iuclc, ixon, ixany, ixoff, imaxbel, iutf8, isig, xcase,
                echo, echoe, echok, echonl, noflsh, tostop, iexten, echoctl, echoke, pendin, opost, olcuc, onlcr, ocrnl,
                onocr, onlret, cs7, cs8, parenb, parodd],
    Characters = [vquit, verase, vkill, veof, veol, veol2, vstart, vstop, vsusp, vdsusp, vreprint, vwerase, vlnext, vflush,
                  vswtch, vstatus, vdiscard],
    ok = erluv_exec:pty_opts(OsPid, [{Name, 1} || Name <- Switches] ++ [{Name, 7} || Name <- Characters]),
    ok = erluv_exec:pty_opts(OsPid, [{Name, false} || Name <- Switches] ++ [{vintr, 0}, {veol, 255}, {tty_op_ispeed, 38400}]),
    ok = erluv_exec:send(OsPid, <<"\n">>),
    Text = receive_until(OsPid, <<>>, <<"-extproc">>),
    [?assertMatch({Part, {_, _}}, {Part, binary:match(Text, Part)})
     || Part <- [<<"intr = <undef>">>, <<"quit = ^G">>, <<"eol = <undef>">>, <<"rprnt = ^G">>, <<"swtch = ^G">>, <<"-echo ">>]].

t_user() ->
    ?assertMatch({error, {bad_option, user, _}}, case erluv_exec:run("true", [{user, "root"}]) of
                                                     {error, {user, Why}} -> {error, {bad_option, user, Why}};
                                                     Other -> Other
                                                 end).

o_own_node() ->
    {ok, Exec} = erluv_exec:start_link([verbose, {debug, 1}, {alarm, 5}, {erluv, [{settings, #{max_workers => 1}}]}]),
    {ok, _, OsPid} = erluv_exec:run(["sleep", "60"], []),
    ?assertEqual({error, max_workers}, erluv_exec:run(["sleep", "60"], [])),
    ok = gen_server:stop(Exec),
    ?assertNot(alive(OsPid)),
    ?assertEqual(undefined, whereis(erluv_exec_node)).

o_not_running() ->
    ?assertEqual({error, noproc}, erluv_exec:run("true", [])),
    ?assertMatch({error, {bad_option, cd, _}}, erluv_exec:run("true", [{cd, 7}])), % what is wrong comes first
    ?assertEqual({error, {invalid_pty_value, [colour]}}, erluv_exec:run("true", [{pty, [colour]}])),
    "pty: no terminal has these settings, or not with these values: [colour]" =
        erluv:format_error({invalid_pty_value, [colour]}).

o_start_options() ->
    process_flag(trap_exit, true),
    [?assertMatch({Key, {error, {bad_option, Key, _}}}, {Key, erluv_exec:start_link([Option])})
     || {Key, Option} <- [{root, root}, {capabilities, {capabilities, all}}, {limit_users, {limit_users, ["x"]}}, {colour, {colour, red}}, {node, {node, "x"}},
                          {7, 7}, {{}, {}}, {7, {erluv, [7]}}, {7, {erluv, 7}}]],
    [?assertMatch({error, {bad_option, Options, <<_, _/binary>>}}, erluv_exec:Start(Options))
     || Start <- [start, start_link], Options <- ?NO_LISTS],
    ?assertMatch({error, {no_executable, _}}, erluv_exec:start([{args, ""}, {env, [{"A", "b"}]}, {portexe, "/no/such/file"}])),
    {error, {exited, 2, _}} = erluv_exec:start([{user, "no-such-user-here"}]).

%% Every event in every state of the process erluv_exec. A state is reached from none;
%% afterwards a start and a run succeed, whatever was before.
o_every_order() ->
    process_flag(trap_exit, true),
    {ok, Node} = erluv_node:start_link(#{name => other}),
    States = [none, failed, running, killed, killed_owner, stopped, left],
    Events = [start, start_link, supervised, fail_executable, fail_node, fail_option, kill, stop, run, look],
    Starts = [start, start_link, supervised],
    [begin
         reach(State, Own),
         {State, Event, Own, ok} = {State, Event, Own, event(Event, State, Own)},
         finish(Own)
     end || Own <- [owned, given], State <- States, Event <- Events,
            % What it owns differs in what a start finds; with a program left each takes a second.
            Own =:= given andalso State =/= left orelse lists:member(Event, Starts)],
    ok = gen_server:stop(Node).

options(owned) -> [];
options(given) -> [{node, other}].

reach(none, _) -> ok;
reach(failed, _) -> {error, {no_executable, _}} = erluv_exec:start([{portexe, "/no/such/file"}]), ok;
reach(running, Own) -> {ok, _} = erluv_exec:start(options(Own)), ok;
reach(left, Own) -> % killed with a program that takes its time
    {ok, Exec} = erluv_exec:start(options(Own)),
    {ok, _, OsPid} = erluv_exec:run("trap '' TERM; echo; while :; do sleep 0.1; done", [stdout, {kill_timeout, 1}]),
    receive {stdout, OsPid, _} -> ok end,
    true = exit(Exec, kill), ok;
reach(killed, Own) -> {ok, Exec} = erluv_exec:start(options(Own)), true = exit(Exec, kill), ok;
reach(killed_owner, Own) ->
    Self = self(),
    Owner = spawn(fun() -> Self ! {self(), erluv_exec:start_link(options(Own))}, receive after infinity -> ok end end),
    {ok, Exec} = next(Owner),
    true = exit(Owner, kill),
    ended(Exec);
reach(stopped, Own) -> {ok, Exec} = erluv_exec:start(options(Own)), gen_server:stop(Exec).

ended(Pid) ->
    Ref = monitor(process, Pid),
    receive {'DOWN', Ref, process, Pid, _} -> ok after 120000 -> error({still_there, Pid}) end.

event(Start, running, Own) when Start =:= start; Start =:= start_link ->
    {error, {already_started, _}} = erluv_exec:Start(options(Own)), ok;
event(Start, _, Own) when Start =:= start; Start =:= start_link ->
    {ok, _} = erluv_exec:Start(options(Own)), ok;
event(supervised, State, Own) ->
    Child = #{id => exec, start => {erluv_exec, start_link, [options(Own)]}, shutdown => infinity},
    case supervisor:start_link(erluv_worker_tests, [Child]) of
        {error, {shutdown, {failed_to_start_child, exec, {already_started, _}}}} when State =:= running -> ok;
        {ok, Sup} when State =/= running ->
            Exec = whereis(erluv_exec),
            {ok, _, OsPid} = erluv_exec:run(["sleep", "60"], []),
            true = exit(Exec, kill), % and it is restarted
            ended(Exec),
            until(fun() -> is_pid(whereis(erluv_exec)) end),
            {ok, []} = erluv_exec:run("true", [sync]),
            until(fun() -> not alive(OsPid) end),
            ok = gen_server:stop(Sup)
    end;
event(Fail, running, _) when Fail =:= fail_executable; Fail =:= fail_node; Fail =:= fail_option ->
    {error, {already_started, _}} = erluv_exec:start([root]), ok;
event(fail_executable, _, _) -> {error, {no_executable, _}} = erluv_exec:start_link([{portexe, "/no/such/file"}]), ok;
event(fail_node, _, _) -> {error, {exited, _, _}} = erluv_exec:start([{erluv, [{cookie, wrong}]}]), ok;
event(fail_option, _, _) -> {error, {bad_option, root, _}} = erluv_exec:start_link([root]), ok;
event(kill, _, _) ->
    case whereis(erluv_exec) of
        undefined -> ok;
        Exec -> exit(Exec, kill), ok
    end;
event(stop, running, _) -> gen_server:stop(erluv_exec);
event(stop, _, _) ->
    _ = try gen_server:stop(erluv_exec) catch exit:_ -> ok end, ok;
event(run, running, _) -> {ok, []} = erluv_exec:run("true", [sync]), ok;
event(run, _, _) -> {error, noproc} = erluv_exec:run("true", [sync]), ok;
event(look, running, _) -> [] = erluv_exec:which_children(), undefined = erluv_exec:pid(1), ok;
event(look, _, _) ->
    true = is_list(erluv_exec:which_children()), % one that was killed may be there yet
    undefined = erluv_exec:pid(1),
    {error, not_found} = erluv_exec:stop(1), ok.

finish(Own) ->
    Exec = case erluv_exec:start(options(Own)) of
               {ok, Pid} -> Pid;
               {error, {already_started, Pid}} -> Pid
           end,
    {ok, [{stdout, [<<"on\n">>]}]} = erluv_exec:run("echo on", [sync, stdout]),
    unlink(Exec),
    ok = gen_server:stop(Exec),
    undefined = whereis(erluv_exec_node).

%% The name of the owned erluv_node is another's.
o_name_taken() ->
    true = register(erluv_exec_node, self()),
    Self = self(),
    {error, {name_taken, erluv_exec_node, Self} = Reason} = erluv_exec:start([]),
    ?assertNotEqual(nomatch, string:find(erluv:format_error(Reason), "erluv_exec_node is taken")),
    true = unregister(erluv_exec_node),
    finish(owned).

%% Who runs programs while it starts waits; while it fails to start, it is not there.
o_run_while_starting() ->
    Run = fun(Options) ->
                  Self = self(),
                  Start = spawn(fun() -> receive go -> Self ! {self(), erluv_exec:start(Options)} end end),
                  1 = erlang:trace(Start, true, [procs, set_on_spawn]),
                  Start ! go,
                  receive {trace, _, register, erluv_exec} -> ok after 120000 -> error(not_registered) end,
                  Result = erluv_exec:run("true", [sync]),
                  {Result, next(Start)}
          end,
    ?assertMatch({{ok, []}, {ok, _}}, Run([])),
    ok = gen_server:stop(erluv_exec),
    ?assertMatch({{error, noproc}, {error, {exited, _, _}}}, Run([{erluv, [{cookie, wrong}]}])).

%% The watchers of its programs are told, whatever it ends them by.
o_watchers_of_a_stop() ->
    {ok, Node} = erluv_node:start_link(#{name => other}),
    [begin
         {ok, Exec} = erluv_exec:start(options(Own)),
         {ok, Pid, OsPid} = erluv_exec:run(["sleep", "60"], [monitor]),
         ok = gen_server:stop(Exec),
         receive {'DOWN', OsPid, process, Pid, _} -> ok after 0 -> error({not_told, Own}) end
     end || Own <- [owned, given]],
    ok = gen_server:stop(Node).

%% The application that has the erluv ends and starts; the process goes on.
o_application_stops() ->
    ok = application:set_env(erluv, nodes, [[]]),
    {ok, _} = application:ensure_all_started(erluv),
    {ok, Exec} = erluv_exec:start([{node, erluv}]),
    {ok, Pid, OsPid} = erluv_exec:run(["sleep", "60"], [monitor]),
    ok = application:stop(erluv),
    ?assertMatch({'DOWN', _}, begin receive {'DOWN', OsPid, process, Pid, R} -> {'DOWN', R} end end),
    ?assertEqual({error, {no_node, erluv}}, erluv_exec:run("true", [sync])),
    ok = application:start(erluv),
    {ok, []} = erluv_exec:run("true", [sync]),
    ok = gen_server:stop(Exec),
    ok = application:stop(erluv),
    ok = application:unset_env(erluv, nodes).

%% A stopped program of sync, waited for: the answer is of the program, not of what
%% watched its worker.
t_sync_stopped() ->
    [begin
         Self = self(),
         Caller = spawn_link(fun() -> Self ! {self(), erluv_exec:run(["sleep", "63"], [sync])} end),
         until(fun() -> numbers("63") =/= [] end),
         [OsPid] = numbers("63"),
         ok = erluv_exec:stop(OsPid),
         ?assertEqual({ok, []}, next(Caller))
     end || _ <- lists:seq(1, 20)].

%% The port of stty is no concern of a caller that traps exits.
t_no_stray_messages() ->
    process_flag(trap_exit, true),
    {ok, _, OsPid} = erluv_exec:run(["cat"], [stdin, pty]),
    _ = erluv_exec:pty_opts(OsPid, [{opost, 0}]),
    ok = erluv_exec:send(OsPid, <<"x\n">>),
    normal = erluv_exec:stop_and_wait(OsPid, infinity),
    ?assertEqual({messages, []}, process_info(self(), messages)).

t_terminal_and_files() ->
    [?assertMatch({error, {bad_option, Key, <<_, _/binary>>}}, erluv_exec:run("true", [pty, Option]))
     || {Key, Option} <- [{stdin, {stdin, "/etc/passwd"}}, {stdout, {stdout, "/tmp/x"}}, {stdout, {stdout, "/tmp/x", [append]}},
                          {stderr, {stderr, "/tmp/x"}}, {stderr, {stderr, <<"/tmp/x">>, [append]}}]],
    {error, {bad_option, stdout, _}} = erluv_exec:run("true", [pty, {stdout, stderr}, {stderr, stdout}]),
    [?assertEqual({ok, [{Stream, <<"a\r\nb\r\n">>}]}, whole(erluv_exec:run("echo a; echo b >&2", [sync, pty | Options])))
     || {Stream, Options} <- [{stdout, [stdout]}, {stdout, [stdout, stderr]}, {stdout, [stdout, {stderr, stdout}]},
                              {stderr, [stderr, {stdout, stderr}]}]],
    ?assertEqual({ok, []}, erluv_exec:run("echo a; echo b >&2", [sync, pty, {stdout, null}, {stderr, null}])).

whole({ok, Streams}) -> {ok, [{Stream, iolist_to_binary(Data)} || {Stream, Data} <- Streams]}.
