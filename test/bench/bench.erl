%% The workloads of doc/performance.md. open_port and erluv run each of them on this node, in turns.
%% For each measurement it prints a line: workload, peer, unit, figure. With BENCH_BEFORE, the
%% executable of another erluv, the peer before takes erluv's turn too.
-module(bench).

-export([main/1]).

%% The node of the peer before.
-define(BEFORE, 'before@127.0.0.1').

%% Erluv is the name of the erluv node. Static is a program that ends at once. Echo is the port of a
%% plain TCP echo server. Executable and Cookie are for starting another erluv. Only has the
%% workloads to run ([]: all).
main([Erluv, Rounds, Static, Echo, Executable, Cookie | Only]) ->
    process_flag(trap_exit, true),
    E = list_to_atom(Erluv),
    ok = wait(E),
    put(erluv, E),
    put(before, os:getenv("BENCH_BEFORE", "")),
    Others = [?BEFORE || get(before) =/= ""],
    [ok = wait(Other) || Other <- Others],
    put(static, Static),
    put(echo, list_to_integer(Echo)),
    put(executable, {Executable, Cookie}),
    put(peers, [list_to_atom(P) || P <- string:lexemes(os:getenv("BENCH_PEERS", ""), " ")]),
    [peers:prepare(P, E) || P <- get(peers)],
    [told(What, Is) || {What, Is} <- facts()],
    [told("before", maps:get(version, gen_server:call({erluv, Other}, info))) || Other <- Others],
    [run([Name || Name <- Group, Only =:= [] orelse lists:member(Name, Only)], list_to_integer(Rounds)) || Group <- groups()],
    [ok = gen_server:call({erluv, Node}, {stop, finished}) || Node <- [E | Others]],
    init:stop().

%% Workloads that are compared with each other run in the same rounds. Idle programs and starts come
%% before workloads that leave garbage behind.
groups() ->
    [
        ["o"], ["p"], ["k"], ["a"], ["b"], ["a1", "ja"], ["a8"], ["c"], ["d"],
        ["e", "f4", "f8", "je"], ["g"], ["n", "nl"], ["h", "i", "j"], ["m"], ["l"],
        ["xa"], ["xb"], ["xe"], ["xl"], ["xg"], ["xh"]
    ].

%% Waits until an erluv is connected, for 20 seconds at most.
wait(E) -> wait(E, 1000).

wait(E, Left) ->
    case lists:member(E, nodes(hidden)) of
        true -> ok;
        false when Left > 0 -> timer:sleep(20), wait(E, Left - 1);
        false -> {not_connected, E}
    end.

%% Facts about the node and erluv.
facts() ->
    Release = erlang:system_info(otp_release),
    Version = case file:read_file(filename:join([code:root_dir(), "releases", Release, "OTP_VERSION"])) of
        {ok, B} -> string:trim(B);
        {error, _} -> Release
    end,
    #{version := Erluv, contained := Contained} = gen_server:call({erluv, get(erluv)}, info),
    [
        {"otp", Version}, {"erts", erlang:system_info(version)},
        {"schedulers", integer_to_list(erlang:system_info(schedulers_online))},
        {"version", Erluv}, {"contained", atom_to_list(Contained)}
    ].

told(What, Is) -> io:format("is\t~s\t~s~n", [What, Is]).

run([], _) -> [];
run(Names, Rounds) ->
    [begin
        Now = [Name || Name <- Names, Round =< rounds(Name, Rounds)],
        [io:format("at\t~s\t~p~n", [lists:join(" ", Now), Round]) || Now =/= []],
        [measure(Name, Peer) || Name <- Now, Peer <- turns(peers(Name), Round)]
    end || Round <- lists:seq(1, Rounds)].

%% The peers of a round. The peer before is right beside erluv: after it in odd rounds, and before it in
%% even ones, so that neither always profits.
turns(Peers, Round) ->
    Pair = case get(before) of
        "" -> [erluv];
        _ when Round rem 2 =:= 0 -> [before, erluv];
        _ -> [erluv, before]
    end,
    lists:append([if Peer =:= erluv -> Pair; true -> [Peer] end || Peer <- Peers]).

peers("h") -> [port, tcp, erluv];
peers("xg") -> [P || P <- [port, exile, elixir], P =:= port orelse lists:member(P, get(peers))];
peers("xl") -> [port, elixir];
peers("xh") -> [port | get(peers) -- [muontrap]];
peers("x" ++ _) -> [port | get(peers)];
peers(Name) when Name =:= "j"; Name =:= "je"; Name =:= "o"; Name =:= "p"; Name =:= "m" -> [erluv];
peers(_) -> [port, erluv].

%% Workloads that take long, and vary little, run fewer times.
rounds(Name, N) when Name =:= "k"; Name =:= "l" -> min(N, 2);
rounds(_, N) -> N.

measure(Name, Peer) ->
    flush(),
    erlang:garbage_collect(),
    Results = turn(Name, Peer),
    [io:format("~s\t~s\t~s\t~w~n", [Name, Peer, What, Figure]) || {What, Figure} <- Results].

%% The peer before is erluv, by another node and executable. It may be too old for an option.
turn(Name, before) ->
    {Executable, Cookie} = get(executable),
    Erluv = put(erluv, ?BEFORE),
    put(executable, {get(before), Cookie}),
    try work(Name, erluv)
    catch error:{refused, Why} ->
        io:format(standard_error, "bench: before does not run ~s: ~p~n", [Name, Why]),
        []
    after
        put(erluv, Erluv),
        put(executable, {Executable, Cookie})
    end;
turn(Name, Peer) -> work(Name, Peer).

%% Starting programs, one after another and from eight processes.
work("a", Peer) -> [{"starts/s", starts(Peer, "/bin/true", 1000)}];
work("b", Peer) -> [{"starts/s", starts8(Peer, "/bin/true", 2000)}];
work("a1", Peer) -> [{"starts/s", starts(Peer, get(static), 2000)}];
work("a8", Peer) -> [{"starts/s", starts8(Peer, get(static), 4000)}];
work("ja", Peer) ->
    with_idle(Peer, 4500, fun() -> [{"starts/s", starts(Peer, get(static), 2000)}] end);
%% A thousand programs, and their end.
work("c", Peer) ->
    {T, Ws} = timed(fun() -> sleepers(Peer, 1000) end),
    kill(Peer, Ws),
    [{"ms", T / 1000}];
work("d", Peer) ->
    lists:append([begin
        Ws = sleepers(Peer, N),
        {T, _} = timed(fun() -> kill(Peer, Ws) end),
        [{io_lib:format("ms for ~b", [N]), T / 1000}]
    end || N <- [1000, 4500]]);
%% Bytes.
work("e", Peer) -> [{"GB/s", flood(Peer, 1 bsl 30)}];
work("f4", Peer) -> [{"GB/s", floods(Peer, 4)}];
work("f8", Peer) -> [{"GB/s", floods(Peer, 8)}];
work("je", Peer) -> with_idle(Peer, 1000, fun() -> [{"GB/s", flood(Peer, 1 bsl 30)}] end);
work("g", Peer) -> [{"GB/s", in_and_out(Peer, 256 bsl 20)}];
work("n", Peer) -> [{"M lines/s", lines(Peer, line, 5000000)}];
work("nl", Peer) -> [{"M lines/s", lines(Peer, lines, 5000000)}];
%% Conversations.
work("h", Peer) -> echo(Peer, 5000);
work("i", Peer) ->
    Self = self(),
    Flood = spawn_link(fun() ->
        put(erluv, element(2, receive {e, X} -> {e, X} end)),
        W = start(Peer, ["cat", "/dev/zero"], []),
        Self ! flooding,
        swallow(W)
    end),
    Flood ! {e, get(erluv)},
    receive flooding -> ok end,
    Result = echo(Peer, 2000),
    unlink(Flood),
    exit(Flood, kill),
    Result;
work("j", Peer) -> with_idle(Peer, 1000, fun() -> echo(Peer, 5000) end);
%% Memory.
work("k", port) -> idle(port, 4500);
work("k", erluv) -> element(2, fresh(fun() -> idle(erluv, 4500) end));
work("l", Peer) -> slow(Peer);
work("m", _) -> element(2, fresh(fun unread/0));
work("o", _) -> [{"ms", element(1, fresh(fun() -> ok end)) / 1000}];
work("p", _) ->
    {_, Bytes} = fresh(fun() -> Roles = roles(), settled(fun() -> pss(Roles) end) end),
    [{"MB PSS", Bytes / 1.0e6}];
%% From libraries; see peers.erl.
work("xa", Peer) -> [{"starts/s", rate(500, fun() -> begun(Peer, "/bin/true", 500) end)}];
work("xb", Peer) ->
    E = get(erluv),
    [{"starts/s", rate(1000, fun() -> parallel(8, fun() -> put(erluv, E), begun(Peer, "/bin/true", 125) end) end)}];
work("xe", port) -> [{"MB/s", rate(256, fun() -> count(start(port, ["head", "-c", "256000000", "/dev/zero"], []), 0) end)}];
work("xe", Peer) ->
    [{"MB/s", rate(256, fun() -> 256000000 = peers:bytes(Peer, ["head", "-c", "256000000", "/dev/zero"], 1 bsl 20) end)}];
work("xl", port) -> [{"M lines/s", lines(port, line, 2000000)}];
work("xl", Peer) -> [{"M lines/s", rate(2.0, fun() -> 2000000 = peers:lines(Peer, ["seq", "1", "2000000"]) end)}];
work("xg", port) -> [{"MB/s", in_and_out(port, 128 bsl 20) * 1000}];
work("xg", Peer) ->
    Piece = crypto:strong_rand_bytes(64 bsl 10),
    [{"MB/s", rate((128 bsl 20) / 1.0e6, fun() -> 134217728 = peers:through(Peer, ["cat"], Piece, 2048) end)}];
work("xh", port) ->
    P = start(port, ["cat"], []),
    Ts = [element(1, timed(fun() -> send(port, P, <<"x">>), take(P, 1, []) end)) || _ <- lists:seq(1, 5000)],
    close(port, P),
    quantiles(Ts);
work("xh", Peer) ->
    {Turn, End} = peers:echo(Peer, ["cat"], <<"x">>),
    Ts = [element(1, timed(Turn)) || _ <- lists:seq(1, 5000)],
    End(),
    quantiles(Ts).

%% The two peers.

start(port, [Program | Args], Opts) ->
    open_port({spawn_executable, path(Program)}, [{args, Args}, binary, exit_status | Opts]);
start(erluv, Cmd, Opts) ->
    case gen_server:call({erluv, get(erluv)}, {spawn, Cmd, Opts}, 60000) of
        {ok, W} -> W;
        {error, Why} -> error({refused, Why})
    end.

path("/" ++ _ = Program) -> Program;
path(Program) -> os:find_executable(Program).

send(port, P, Data) -> true = port_command(P, Data);
send(erluv, W, Data) -> W ! {self(), {command, Data}}.

%% Waits for the end of a program, after its output.
ended(P) when is_port(P) ->
    receive {P, {exit_status, _}} -> ok end;
ended(W) ->
    receive
        {W, {exit_status, _}} -> ok;
        {W, {signal, _}} -> ok;
        {W, {_, eof}} -> ended(W)
    end.

starts(Peer, Program, N) ->
    {T, _} = timed(fun() -> [ended(start(Peer, [Program], [])) || _ <- lists:seq(1, N)] end),
    N * 1.0e6 / T.

starts8(Peer, Program, N) ->
    E = get(erluv),
    {T, _} = timed(fun() ->
        parallel(8, fun() ->
            put(erluv, E),
            [ended(start(Peer, [Program], [])) || _ <- lists:seq(1, N div 8)]
        end)
    end),
    N * 1.0e6 / T.

begun(port, Program, N) -> starts(port, Program, N);
begun(Peer, Program, N) -> peers:starts(Peer, Program, N).

%% The rate a second, if Fun does something N times.
rate(N, Fun) ->
    {T, _} = timed(Fun),
    N * 1.0e6 / T.

%% All requests go to erluv at once, because it answers each. open_port returns when the program has
%% been forked.
sleepers(port, N) ->
    Ps = [start(port, ["sleep", "1000"], []) || _ <- lists:seq(1, N)],
    [{os_pid, _} = erlang:port_info(P, os_pid) || P <- Ps],
    Ps;
sleepers(erluv, N) ->
    Rs = [gen_server:send_request({erluv, get(erluv)}, {spawn, ["sleep", "1000"], []}) || _ <- lists:seq(1, N)],
    [begin {reply, {ok, W}} = gen_server:receive_response(R, 60000), W end || R <- Rs].

kill(port, Ps) ->
    OsPids = [integer_to_list(element(2, erlang:port_info(P, os_pid))) || P <- Ps],
    [] = os:cmd(lists:append(["kill -9 " | lists:join(" ", OsPids)])),
    told(length(Ps));
kill(erluv, Ws) ->
    [exit(W, kill) || W <- Ws],
    told(length(Ws)).

%% Waits for the ends of N programs, in any order. Looking for each one in a long mailbox would
%% dominate the measurement.
told(0) -> ok;
told(N) ->
    receive
        {_, {exit_status, _}} -> told(N - 1);
        {_, {signal, _}} -> told(N - 1);
        _ -> told(N)
    end.

%% A program that has been started goes on loading for a while. The programs are idle after that.
with_idle(Peer, N, Fun) ->
    Ws = sleepers(Peer, N),
    rested(),
    Result = Fun(),
    kill(Peer, Ws),
    Result.

%% Waits until the machine has been idle for half a second, for a minute at most.
rested() -> rested(120, busy_time()).

rested(0, _) -> ok;
rested(Looks, Before) ->
    timer:sleep(500),
    case busy_time() of
        Now when Now - Before < 5 -> ok;
        Now -> rested(Looks - 1, Now)
    end.

%% Ticks of all processors in user and kernel mode and in interrupts (proc(5), /proc/stat).
busy_time() ->
    {ok, Stat} = file:read_file("/proc/stat"),
    [<<"cpu">>, User, Nice, System, _Idle, _Wait, Hard, Soft | _] = string:lexemes(hd(string:split(Stat, "\n")), " "),
    lists:sum([binary_to_integer(B) || B <- [User, Nice, System, Hard, Soft]]).

flood(Peer, Bytes) ->
    {T, Bytes} = timed(fun() -> count(start(Peer, ["head", "-c", integer_to_list(Bytes), "/dev/zero"], []), 0) end),
    Bytes / T / 1000.

floods(Peer, N) ->
    E = get(erluv),
    Bytes = 512 bsl 20,
    {T, _} = timed(fun() ->
        parallel(N, fun() ->
            put(erluv, E),
            Bytes = count(start(Peer, ["head", "-c", integer_to_list(Bytes), "/dev/zero"], []), 0)
        end)
    end),
    N * Bytes / T / 1000.

%% Counts the bytes that a program writes until it ends.
count(W, N) ->
    receive
        {W, {data, B}} -> count(W, N + byte_size(B));
        {W, {stdout, B}} when is_binary(B) -> count(W, N + byte_size(B));
        {W, {exit_status, 0}} -> N
    end.

%% The input comes back. The bytes are compared after the time is taken.
in_and_out(Peer, Bytes) ->
    Piece = crypto:strong_rand_bytes(256 bsl 10),
    N = Bytes div byte_size(Piece),
    W = start(Peer, ["cat"], []),
    {T, Back} = timed(fun() ->
        Writer = spawn_link(fun() -> write(Peer, W, Piece, N) end),
        Back = take(W, Bytes, []),
        receive {'EXIT', Writer, normal} -> ok end,
        Back
    end),
    close(Peer, W),
    true = crypto:hash(sha256, lists:duplicate(N, Piece)) =:= crypto:hash(sha256, Back),
    Bytes / T / 1000.

write(_, _, _, 0) -> ok;
write(port, P, Piece, N) -> true = port_command(P, Piece), write(port, P, Piece, N - 1);
write(erluv, W, Piece, N) -> ok = gen_server:call(W, {write, Piece}, infinity), write(erluv, W, Piece, N - 1).

take(_, 0, Back) -> lists:reverse(Back);
take(W, Left, Back) ->
    receive
        {W, {data, B}} -> take(W, Left - byte_size(B), [B | Back]);
        {W, {stdout, B}} -> take(W, Left - byte_size(B), [B | Back])
    end.

close(port, P) -> port_close(P);
close(erluv, W) ->
    exit(W, kill),
    ended(W).

lines(Peer, Packet, N) ->
    Opts = case Peer of port -> [{line, 65536}]; erluv -> [{packet, Packet}] end,
    {T, N} = timed(fun() -> count_lines(start(Peer, ["seq", "1", integer_to_list(N)], Opts), 0) end),
    N / T.

count_lines(W, N) ->
    receive
        {W, {data, {eol, _}}} -> count_lines(W, N + 1);
        {W, {stdout, B}} when is_binary(B) -> count_lines(W, N + 1);
        {W, {stdout, Lines}} when is_list(Lines) ->
            count_lines(W, lists:foldl(fun(B, Sum) when is_binary(B) -> Sum + 1 end, N, Lines));
        {W, {exit_status, 0}} -> N
    end.

%% 64 bytes there and back.
echo(tcp, N) ->
    {ok, S} = gen_tcp:connect("127.0.0.1", get(echo), [binary, {active, true}, {nodelay, true}]),
    Ts = [element(1, timed(fun() -> ok = gen_tcp:send(S, piece()), tcp_back(S, 64) end)) || _ <- lists:seq(1, N)],
    gen_tcp:close(S),
    quantiles(Ts);
echo(Peer, N) ->
    W = start(Peer, ["cat"], []),
    Ts = [there_and_back(Peer, W) || _ <- lists:seq(1, N)],
    close(Peer, W),
    quantiles(Ts).

there_and_back(Peer, W) -> element(1, timed(fun() -> send(Peer, W, piece()), take(W, 64, []) end)).

piece() -> binary:copy(<<"x">>, 64).

tcp_back(_, 0) -> ok;
tcp_back(S, Left) -> receive {tcp, S, B} -> tcp_back(S, Left - byte_size(B)) end.

quantiles(Ts) -> [{"us median", quantile(Ts, 0.5)}, {"us 99 %", quantile(Ts, 0.99)}].

quantile(Ts, Q) -> lists:nth(max(1, trunc(length(Ts) * Q)), lists:sort(Ts)).

swallow(W) -> receive {W, _} -> swallow(W) end.

%% The cost of an idle program with its pipes: memory, threads and processor time.
idle(port, N) ->
    Before = memory() + pss(helpers()),
    Ps = [start(port, ["cat"], []) || _ <- lists:seq(1, N)],
    [{os_pid, _} = erlang:port_info(P, os_pid) || P <- Ps],
    After = erlang:memory(total) + pss(helpers()),
    kill(port, Ps),
    [{"bytes each", (After - Before) / N}];
idle(erluv, N) ->
    Roles = roles(),
    Before = settled(fun() -> pss(Roles) end),
    Rs = [gen_server:send_request({erluv, get(erluv)}, {spawn, ["cat"], []}) || _ <- lists:seq(1, N)],
    Ws = [begin {reply, {ok, W}} = gen_server:receive_response(R, 60000), W end || R <- Rs],
    timer:sleep(3000),
    After = pss(Roles),
    Threads = lists:sum([threads(P) || P <- Roles]),
    Cpu = lists:sum([cpu(P) || P <- Roles]),
    timer:sleep(15000),
    Cpu2 = lists:sum([cpu(P) || P <- Roles]),
    kill(erluv, Ws),
    [{"bytes each", (After - Before) / N}, {"threads", Threads}, {"ms of processor a minute", (Cpu2 - Cpu) * 4}].

%% A consumer takes one message a millisecond, for six seconds. Meanwhile another program of the
%% same peer echoes.
slow(Peer) ->
    Roles = [P || Peer =:= erluv, P <- roles()],
    Erluv = settled(fun() -> pss(Roles) end),
    Before = memory(),
    Echo = another(Peer),
    W = start(Peer, ["cat", "/dev/zero"], []),
    End = erlang:monotonic_time(millisecond) + 6000,
    {Most, MostErluv} = slow(W, Roles, End, 1, {Before, Erluv}),
    Echo ! {self(), stop},
    Ts = receive {Echo, List} -> List end,
    close_flood(Peer, W),
    [{"MB of erluv", (MostErluv - Erluv) / 1.0e6} || Peer =:= erluv] ++
        [{"MB of the node", (Most - Before) / 1.0e6}, {"us 99 % of another's echo", quantile(Ts, 0.99)}].

%% It looks at erluv only now and then, because a look takes more than a millisecond.
slow(W, Roles, End, N, {Node, Erluv}) ->
    receive {W, {_, _}} -> ok end,
    receive after 1 -> ok end,
    Most = {max(Node, erlang:memory(total)), if N rem 100 =:= 0 -> max(Erluv, pss(Roles)); true -> Erluv end},
    case erlang:monotonic_time(millisecond) < End of
        true -> slow(W, Roles, End, N + 1, Most);
        false -> Most
    end.

%% A process that echoes now and then until it gets stop. It returns how long each echo took.
another(Peer) ->
    {Self, E} = {self(), get(erluv)},
    spawn_link(fun() ->
        put(erluv, E),
        W = start(Peer, ["cat"], []),
        Self ! {self(), now_and_then(Self, Peer, W, [])},
        close(Peer, W)
    end).

now_and_then(Until, Peer, W, Ts) ->
    receive {Until, stop} -> Ts
    after 1 -> now_and_then(Until, Peer, W, [there_and_back(Peer, W) | Ts])
    end.

close_flood(port, P) ->
    {os_pid, OsPid} = erlang:port_info(P, os_pid),
    port_close(P),
    os:cmd("kill -9 " ++ integer_to_list(OsPid));
close_flood(erluv, W) ->
    exit(W, kill),
    receive {'EXIT', W, _} -> ok end.

%% A gigabyte goes to a program that does not read.
unread() ->
    Roles = roles(),
    Before = settled(fun() -> pss(Roles) end),
    W = start(erluv, ["sleep", "1000"], []),
    Writers = [spawn(fun() -> catch gen_server:call(W, {write, <<0:(1 bsl 20)/unit:8>>}, 4000) end) || _ <- lists:seq(1, 1024)],
    Most = lists:max([begin timer:sleep(100), pss(Roles) end || _ <- lists:seq(1, 30)]),
    [exit(P, kill) || P <- Writers],
    close_flood(erluv, W),
    [{"MB of erluv", (Most - Before) / 1.0e6}].

%% Runs Fun with an erluv of its own, whose memory has no traces of earlier work. Returns the time
%% from the start of the executable to its {up, Info}, in microseconds, and the result of Fun.
fresh(Fun) ->
    true = register(erluv, self()),
    {Executable, Cookie} = get(executable),
    Args = ["--node", atom_to_list(node()), "--name", "started", "--host", "127.0.0.1", "--cookie-file", Cookie],
    {T, Port} = timed(fun() ->
        Port = open_port({spawn_executable, Executable}, [{args, Args}]),
        receive {erluv, 'started@127.0.0.1', {up, _}} -> Port end
    end),
    Measured = put(erluv, 'started@127.0.0.1'),
    Result = Fun(),
    put(erluv, Measured),
    port_close(Port),
    receive {erluv, 'started@127.0.0.1', {stopping, _}} -> ok end,
    true = unregister(erluv),
    timer:sleep(300),
    {T, Result}.

%% Processes.

roles() ->
    E = get(erluv),
    Main = gen_server:call({erluv, E}, {info, main_os_pid}),
    [Main | children(Main)].

helpers() ->
    [P || P <- children(list_to_integer(os:getpid())), comm(P) =:= "erl_child_setup"].

children(OsPid) ->
    lists:usort([list_to_integer(P) || T <- tasks(OsPid), P <- string:lexemes(read(["/proc/", integer_to_list(OsPid), "/task/", T, "/children"]), " \n")]).

tasks(OsPid) ->
    {ok, Ts} = file:list_dir("/proc/" ++ integer_to_list(OsPid) ++ "/task"),
    Ts.

threads(OsPid) -> length(tasks(OsPid)).

comm(OsPid) -> string:trim(read(["/proc/", integer_to_list(OsPid), "/comm"])).

%% Milliseconds of processor time (proc(5), schedstat; stat counts in steps of 10 ms).
cpu(OsPid) ->
    lists:sum([list_to_integer(hd(string:lexemes(read(["/proc/", integer_to_list(OsPid), "/task/", T, "/schedstat"]), " "))) || T <- tasks(OsPid)]) / 1.0e6.

pss(OsPids) -> lists:sum([pss1(P) || P <- OsPids]).

pss1(OsPid) ->
    {match, [KiB]} = re:run(read(["/proc/", integer_to_list(OsPid), "/smaps_rollup"]), "\nPss:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(KiB) * 1024.

read(Path) ->
    case file:read_file(Path) of
        {ok, B} -> binary_to_list(B);
        {error, _} -> ""
    end.

%% Helpers.

%% The node's memory without garbage.
memory() ->
    [erlang:garbage_collect(P) || P <- processes()],
    settled(fun() -> erlang:memory(total) end).

%% A size in bytes once it is steady, within 64 KiB in 200 ms, or its value after ten seconds.
settled(Size) -> settled(Size, Size(), 50).

settled(_, Last, 0) -> Last;
settled(Size, Last, N) ->
    timer:sleep(200),
    case Size() of
        Now when abs(Now - Last) =< 65536 -> Now;
        Now -> settled(Size, Now, N - 1)
    end.

timed(Fun) ->
    T = erlang:monotonic_time(nanosecond),
    Result = Fun(),
    {(erlang:monotonic_time(nanosecond) - T) / 1000, Result}.

parallel(N, Fun) ->
    Ps = [spawn_monitor(Fun) || _ <- lists:seq(1, N)],
    [receive {'DOWN', Ref, process, P, normal} -> ok end || {P, Ref} <- Ps].

flush() ->
    receive _ -> flush() after 0 -> ok end.
