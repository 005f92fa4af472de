%% Programs of the operating system as processes of an Erlang node. The demo uses only plain Erlang:
%% messages, links, gen_server:call.
-module(demo).

-export([main/1]).

-define(NODE, 'erluv_demo@127.0.0.1').

main(Binary) ->
    process_flag(trap_exit, true),
    ok = net_kernel:monitor_nodes(true, #{node_type => hidden}),
    Home = filename:dirname(Binary),
    Port = open_port({spawn_executable, Binary}, [
        exit_status,
        {args, [
            "run", "--node", atom_to_list(node()), "--name", "erluv_demo", "--host", "127.0.0.1",
            "--config", "none", "--cookie-file", Home ++ "/.erlang.cookie", "--log-level", "warn"
        ]}
    ]),
    receive
        {nodeup, ?NODE, _} -> ok;
        {Port, {exit_status, Status}} -> fail("erluv ended with status ~p", [Status])
    after 10000 -> fail("erluv does not come up", [])
    end,
    title("a hidden node"),
    show("nodes()", nodes()),
    show("nodes(hidden)", nodes(hidden)),
    show("net_adm:ping(Node)", net_adm:ping(?NODE)),

    title("output on both streams, and an exit status"),
    drain(spawn_worker("echo to stdout; echo to stderr >&2; exit 3")),

    title("cat, fed and closed"),
    Cat = spawn_worker(["cat"]),
    show("write", gen_server:call(Cat, {write, <<"hello, ">>})),
    show("write", gen_server:call(Cat, {write, <<"world\n">>})),
    show("close", gen_server:call(Cat, {close, stdin})),
    drain(Cat),

    title("killed by a signal"),
    Sleep = spawn_worker(["sleep", "1000"]),
    show("signal", gen_server:call(Sleep, {signal, sigkill})),
    drain(Sleep),

    title("no such program"),
    show("spawn", gen_server:call({erluv, ?NODE}, {spawn, ["/no/such/program"], #{}})),

    title("an empty environment"),
    show("/usr/bin/env", gen_server:call({erluv, ?NODE}, {run, ["/usr/bin/env"], #{}})),

    title("1 GiB of output"),
    Zeros = ["-c", "1G", "/dev/zero"],
    flood("erluv", fun() -> spawn_worker(["head" | Zeros]) end),
    flood("open_port", fun() ->
        open_port({spawn_executable, os:find_executable("head")}, [{args, Zeros}, binary, exit_status])
    end),

    title("who they are"),
    who(),

    title("the end"),
    unlink(Port),
    Port ! {self(), close},
    receive
        {nodedown, ?NODE, _} -> show("nodes(hidden)", nodes(hidden))
    after 5000 -> fail("erluv does not end", [])
    end,
    halt(0).

spawn_worker(Cmd) ->
    {ok, W} = gen_server:call({erluv, ?NODE}, {spawn, Cmd, #{}}),
    io:format("  ~-22s ~0tp~n", ["spawn", Cmd]),
    W.

%% Prints the worker's messages until it exits.
drain(W) ->
    receive
        {W, Message} ->
            show("message", Message),
            drain(W);
        {'EXIT', W, Reason} ->
            show("exit signal", Reason)
    after 10000 -> fail("~p does not end", [W])
    end.

%% The speed of a program's output, through a worker or a port.
flood(Who, Start) ->
    Begin = erlang:monotonic_time(millisecond),
    Size = count(Start(), 0),
    Took = max(1, erlang:monotonic_time(millisecond) - Begin),
    say(Who, "~p bytes in ~p ms: ~.2f GB/s", [Size, Took, Size / Took / 1.0e6]),
    1 bsl 30 = Size.

count(W, Size) ->
    receive
        {W, {stdout, Bin}} when is_binary(Bin) -> count(W, progress(Size, byte_size(Bin)));
        {W, {data, Bin}} -> count(W, progress(Size, byte_size(Bin)));
        {W, {_, eof}} -> count(W, Size);
        {W, {exit_status, 0}} -> ended(W), Size
    after 60000 -> fail("only ~p bytes came", [Size])
    end.

ended(W) ->
    receive
        {'EXIT', W, normal} -> ok
    after 10000 -> fail("~p does not end", [W])
    end.

progress(Size, More) ->
    Quarter = 1 bsl 28,
    [say("", "~p MiB", [(Size + More) div Quarter * 256]) || Size div Quarter < (Size + More) div Quarter],
    Size + More.

who() ->
    Sleep = spawn_worker(["sleep", "1000"]),
    #{main_os_pid := Main} = gen_server:call({erluv, ?NODE}, info),
    %% Programs see only the processes of their own pid namespace, so the node looks.
    Text = unicode:characters_to_binary(os:cmd("ps -eo user:10,pid,ppid,args")),
    [Head | Lines] = [binary_to_list(L) || L <- binary:split(Text, <<"\n">>, [global, trim])],
    io:format("  ~ts~n", [Head]),
    family(integer_to_list(Main), "", [{lists:nth(2, string:lexemes(L, " ")), lists:nth(3, string:lexemes(L, " ")), L} || L <- Lines]),
    show("stop", gen_server:call(Sleep, stop)),
    drain(Sleep).

%% A process and its descendants, in lines of ps.
family(Pid, Indent, All) ->
    [io:format("  ~ts~ts~n", [Indent, Line]) || {P, _, Line} <- All, P =:= Pid],
    [family(P, Indent ++ "  ", All) || {P, Parent, _} <- All, Parent =:= Pid].

title(Text) ->
    io:format("~n~ts~n", [Text]).

show(What, Value) ->
    io:format("  ~-22ts ~0tp~n", [What, Value]).

say(What, Format, Args) ->
    io:format("  ~-22ts " ++ Format ++ "~n", [What | Args]).

fail(Format, Args) ->
    io:format(standard_error, Format ++ "~n", Args),
    halt(1).
