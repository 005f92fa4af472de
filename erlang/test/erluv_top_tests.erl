%% erluv:top/0,1,2: one picture, and the live one in a shell on a terminal, also a remote shell.
-module(erluv_top_tests).

-export([top_test_/0]).
-export([t_once/0]).
-export([t_order_and_rows/0]).
-export([t_many/0]).
-export([t_nothing_is_started/0]).
-export([t_wrong_options/0]).
-export([t_no_commands_for_the_terminal/0]).
-export([t_units/0]).
-export([t_shell/0]).
-export([t_remote_shell/0]).
-export([t_child_crashes/0]).

-include_lib("stdlib/include/assert.hrl").

-define(WAIT, 120000).

top_test_() ->
    erluv_harness:tests(?MODULE).

t_once() ->
    {ok, W} = erluv:spawn(erluv, ["sleep", "60"], #{name => sleeper}),
    {ok, V} = erluv:spawn(erluv, <<"while :; do :; done">>),
    Text = once(#{}),
    Pid = integer_to_list(erluv_harness:os_pid(W)),
    [?assertMatch({_, {match, _}}, {Line, re:run(Text, Line, [multiline])})
     || Line <- ["^erluv_[0-9a-f]+@127.0.0.1  ready  up \\d", "^programs \\d+ of 10000: \\d+ running  started \\d+", "^main [0-9.]+M [0-9.]+  child ",
                 "^PROGRAM +STATE +USER +PID +SINCE +RESTARTS +CPU% +CPU +MEMORY +OUTPUT/s +COMMAND$",
                 "^sleeper +running +\\S+ +" ++ Pid ++ " +\\S+s +0 +[0-9.]+ +\\S+s +[0-9.]+M +0B +sleep 60$"]],
    % The one that works is the first.
    {match, [{First, _}]} = re:run(Text, "^" ++ number(V) ++ " ", [multiline]),
    {match, [{Second, _}]} = re:run(Text, "^sleeper ", [multiline]),
    ?assert(First < Second).

number(Worker) ->
    [_, Number] = string:split(pid_to_list(Worker), "."),
    lists:droplast(Number).

t_order_and_rows() ->
    [{ok, _} = erluv:spawn(erluv, ["sleep", "60"], #{name => Name}) || Name <- [cherry, apple, banana]],
    Shown = fun(Options) ->
                {match, Names} = re:run(once(Options), "^(apple|banana|cherry) ", [multiline, global, {capture, all_but_first, list}]),
                [list_to_atom(Name) || [Name] <- Names]
            end,
    ?assertEqual([apple, banana, cherry], Shown([{order, name}])),
    ?assertEqual([apple, banana], Shown([{order, name}, {rows, 2}])),
    ?assertEqual([cherry, apple, banana], Shown([{order, since}])),
    [?assertEqual(3, length(Shown([{order, Order}]))) || Order <- [cpu, memory, output, state, restarts]].

%% More than one request measures, and more than one answer lists.
t_many() ->
    Workers = [begin {ok, W} = erluv:spawn(erluv, ["sleep", "60"]), W end || _ <- lists:seq(1, 60)],
    {ok, First} = erluv_overview:look(erluv, [], erluv_overview:new()),
    ?assertEqual(lists:sort(Workers), lists:sort([Pid || #{worker := Pid, rss := _} <- erluv_overview:programs(First)])),
    [Gone | Left] = Workers,
    {ok, _} = erluv:stop(Gone),
    {ok, Second} = erluv_overview:look(erluv, Workers, First),
    ?assertEqual(lists:sort(Left), lists:sort([Pid || #{worker := Pid} <- erluv_overview:programs(Second)])).

t_nothing_is_started() ->
    ?assertEqual({error, {no_node, gone}}, erluv:top(gone, #{once => true})),
    ?assertEqual({error, nodedown}, erluv:top('no_such@node')).

t_wrong_options() ->
    [?assertMatch({_, {error, {bad_option, _, _}}}, {Wrong, erluv:top(erluv, Wrong)})
     || Wrong <- [#{interval => 0}, #{once => 1}, [{order, colour}], #{rows => 0}, [tiemout]]],
    ?assertError(badarg, erluv:top(erluv, nonsense)),
    ?assertError(badarg, erluv:top("erluv")).

t_no_commands_for_the_terminal() ->
    {ok, _} = erluv:spawn(erluv, ["sh", "-c", "sleep 60", <<"\e[2J\x{9b}2J", 7, 200>>, <<"\x{202e}\x{200b}"/utf8>>]),
    Text = once(#{}),
    ?assertEqual(nomatch, re:run(Text, "[\e\x{7}\x{9b}\x{200b}\x{202e}]", [unicode])),
    ?assertMatch({match, _}, re:run(Text, "sleep 60 ")).

t_units() ->
    ?assertEqual(["0.0s", "59.9s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h"],
                 [erluv_overview:age(T) || T <- [-5, 59_900, 60_000, 3_599_999, 3_600_000, 86_399_999, 86_400_000]]),
    ?assertEqual(["0B", "1023B", "1.0K", "1.5M", "1.0G"],
                 [erluv_overview:size(N) || N <- [0, 1023, 1024, 1572864, 1073741824 - 1]]).

%% What is written to the group leader, which is no terminal: this process.
once(Options) ->
    Self = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
                                       group_leader(Self, self()),
                                       exit(erluv:top(erluv, with_once(Options)))
                               end),
    written(Pid, Ref, []).

with_once(Options) when is_map(Options) -> Options#{once => true, interval => 300};
with_once(Options) -> [once, {interval, 300} | Options].

written(Pid, Ref, Text) ->
    receive
        {io_request, From, As, {put_chars, unicode, More}} ->
            From ! {io_reply, As, ok},
            written(Pid, Ref, [Text | More]);
        {io_request, From, As, {get_geometry, _}} ->
            From ! {io_reply, As, {error, enotsup}},
            written(Pid, Ref, Text);
        {'DOWN', Ref, process, Pid, Reason} ->
            ?assertEqual(ok, Reason),
            unicode:characters_to_list(Text)
    after ?WAIT -> error({too_late, Text})
    end.

%% A VM with an erluv of its own, which is a program on a terminal.
t_shell() ->
    W = shell(["-eval", lists:flatten(io_lib:format("application:set_env(erluv, executable, ~0p).", [erluv_harness:executable()]))]),
    type(W, "{ok, _} = erluv:spawn(erluv, [\"sleep\", \"60\"], #{name => sleeper}).\r", "{ok,<"),
    live(W, "erluv:top().").

t_remote_shell() ->
    {ok, _} = erluv:spawn(erluv, ["sleep", "61"], #{name => sleeper}),
    W = shell(["-remsh", atom_to_list(node()), "-hidden", "-name", "remote@127.0.0.1", "-setcookie", atom_to_list(erlang:get_cookie())]),
    live(W, "erluv:top(erluv, [{interval, 200}]).").

%% The table comes again and again, Enter ends it, and the shell goes on.
live(W, Command) ->
    type(W, Command ++ "\r", "sleeper +running"),
    [seen(W, "sleeper +running") || _ <- lists:seq(1, 3)],
    type(W, "\r", "\nok|\rok|ok\r"),
    type(W, "40 + 2.\r", "\\b42\\b"),
    {ok, _} = erluv:stop(W).

%% What is lost while it is shown is told of, and comes again.
t_child_crashes() ->
    W = shell(["-eval", lists:flatten(io_lib:format("application:set_env(erluv, executable, ~0p).", [erluv_harness:executable()]))]),
    type(W, "{ok, _} = erluv:spawn(erluv, [\"sleep\", \"60\"], #{name => sleeper}).\r", "{ok,<"),
    type(W, "spawn(fun() -> timer:sleep(2000), os:cmd(\"kill -9 \" ++ integer_to_list(erluv:info(erluv, child_os_pid))) end).\r", "<0"),
    type(W, "erluv:top().\r", "sleeper +running"),
    seen(W, "crashes of the child 1"),
    seen(W, "programs 0 of"),
    type(W, "\r", "\nok|\rok|ok\r"),
    {ok, _} = erluv:stop(W).

shell(Args) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    {ok, W} = erluv:spawn(erluv, [Erl, "-start_epmd", "false", "-kernel", "logger_level", "none" | erluv_harness:paths()] ++ Args,
                          #{pty => #{rows => 24, cols => 132}, packet => raw,
                            env => #{"HOME" => "/tmp", "TERM" => "xterm", "LC_ALL" => "C.UTF-8", "PATH" => os:getenv("PATH"),
                                     "ERL_EPMD_PORT" => os:getenv("ERL_EPMD_PORT"), "ERL_EPMD_ADDRESS" => "127.0.0.1"}}),
    seen(W, "1> "),
    W.

type(W, Keys, Wanted) ->
    ok = erluv:write(W, Keys),
    seen(W, Wanted).

%% Output up to what is wanted; what is behind that in the same message is not looked at again.
seen(W, Wanted) -> seen(W, Wanted, <<>>).

seen(W, Wanted, Text) ->
    receive
        {W, {stdout, Data}} ->
            All = <<Text/binary, Data/binary>>,
            case re:run(All, Wanted) of
                {match, _} -> ok;
                nomatch -> seen(W, Wanted, All)
            end;
        {W, Other} -> error({ended, Other, Text})
    after ?WAIT -> error({not_seen, Wanted, Text})
    end.
