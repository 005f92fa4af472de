%% The workloads of doc/performance.md, each run by open_port and by erluv on this
%% node, in turns. Prints a line for each measurement: what, by whom, the figure.
-module(bench).

-export([main/1]).

%% Erluv is the name of the erluv node, Static a program that ends at once, Echo the
%% port of a plain TCP echo server, Only the workloads to run ([]: all).
main([Erluv, Rounds, Static, Echo, Executable, Cookie | Only]) ->
    process_flag(trap_exit, true),
    E = list_to_atom(Erluv),
    ok = wait(E),
    put(erluv, E),
    put(static, Static),
    put(echo, list_to_integer(Echo)),
    put(executable, {Executable, Cookie}),
    [run(Name, list_to_integer(Rounds)) || Name <- names(), Only =:= [] orelse lists:member(Name, Only)],
    init:stop().

names() ->
    ["o", "p", "a", "b", "a1", "a8", "c", "d", "e", "f4", "f8", "g", "n", "h", "i", "j", "ja", "je", "k", "l", "m"].

wait(E) ->
    case lists:member(E, nodes(hidden)) of
        true -> ok;
        false -> timer:sleep(20), wait(E)
    end.

run(Name, Rounds) ->
    [[measure(Name, Peer) || Peer <- peers(Name)] || _ <- lists:seq(1, rounds(Name, Rounds))].

peers("h") -> [port, tcp, erluv];
peers([C | _]) when C =:= $j; C =:= $o; C =:= $p; C =:= $m -> [erluv];
peers(_) -> [port, erluv].

%% Those that take long, and vary little, are run fewer times.
rounds(Name, N) when Name =:= "k"; Name =:= "l" -> min(N, 2);
rounds(_, N) -> N.

measure(Name, Peer) ->
    flush(),
    erlang:garbage_collect(),
    Results = work(Name, Peer),
    [io:format("~s\t~s\t~s\t~w~n", [Name, Peer, What, Figure]) || {What, Figure} <- Results].

%% Starting programs, one after another and from eight processes.
work("a", Peer) -> [{"starts/s", starts(Peer, "/bin/true", 1000)}];
work("b", Peer) -> [{"starts/s", starts8(Peer, "/bin/true", 2000)}];
work("a1", Peer) -> [{"starts/s", starts(Peer, get(static), 2000)}];
work("a8", Peer) -> [{"starts/s", starts8(Peer, get(static), 4000)}];
work("ja", Peer) ->
    with_idle(4500, fun() -> [{"starts/s", starts(Peer, get(static), 2000)}] end);
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
work("je", Peer) -> with_idle(1000, fun() -> [{"GB/s", flood(Peer, 1 bsl 30)}] end);
work("g", Peer) -> [{"GB/s", there_and_back(Peer, 256 bsl 20)}];
work("n", Peer) -> [{"M lines/s", lines(Peer, 5000000)}];
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
work("j", Peer) -> with_idle(1000, fun() -> echo(Peer, 5000) end);
%% Memory.
work("k", Peer) -> idle(Peer, 4500);
work("l", Peer) -> slow(Peer);
work("m", _) -> unread();
work("o", _) -> [{"ms", start_up()}];
work("p", _) -> [{"MB PSS", pss(roles()) / 1.0e6}].

%% The two peers.

start(port, [Program | Args], Opts) ->
    open_port({spawn_executable, path(Program)}, [{args, Args}, binary, exit_status | Opts]);
start(erluv, Cmd, Opts) ->
    {ok, W} = gen_server:call({erluv, get(erluv)}, {spawn, Cmd, Opts}, 60000),
    W.

path("/" ++ _ = Program) -> Program;
path(Program) -> os:find_executable(Program).

send(port, P, Data) -> true = port_command(P, Data);
send(erluv, W, Data) -> W ! {self(), {command, Data}}.

%% The end of a program, after its output.
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

%% erluv is asked for all at once, for it answers; open_port returns when the program
%% has been forked.
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
    [ended(P) || P <- Ps];
kill(erluv, Ws) ->
    [exit(W, kill) || W <- Ws],
    [ended(W) || W <- Ws].

with_idle(N, Fun) ->
    Ws = sleepers(erluv, N),
    Result = Fun(),
    kill(erluv, Ws),
    Result.

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

%% How many bytes a program writes until it ends.
count(W, N) ->
    receive
        {W, {data, B}} -> count(W, N + byte_size(B));
        {W, {stdout, B}} when is_binary(B) -> count(W, N + byte_size(B));
        {W, {exit_status, 0}} -> N
    end.

%% What was written comes back; the bytes are compared when the time was taken.
there_and_back(Peer, Bytes) ->
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

lines(Peer, N) ->
    Opts = case Peer of port -> [{line, 65536}]; erluv -> [{packet, line}] end,
    {T, N} = timed(fun() -> count_lines(start(Peer, ["seq", "1", integer_to_list(N)], Opts), 0) end),
    N / T.

count_lines(W, N) ->
    receive
        {W, {data, {eol, _}}} -> count_lines(W, N + 1);
        {W, {stdout, B}} when is_binary(B) -> count_lines(W, N + 1);
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
    Ts = [element(1, timed(fun() -> send(Peer, W, piece()), take(W, 64, []) end)) || _ <- lists:seq(1, N)],
    close(Peer, W),
    quantiles(Ts).

piece() -> binary:copy(<<"x">>, 64).

tcp_back(_, 0) -> ok;
tcp_back(S, Left) -> receive {tcp, S, B} -> tcp_back(S, Left - byte_size(B)) end.

quantiles(Ts) ->
    Sorted = lists:sort(Ts),
    N = length(Ts),
    [{"us median", lists:nth(N div 2, Sorted)}, {"us 99 %", lists:nth(N * 99 div 100, Sorted)}].

swallow(W) -> receive {W, _} -> swallow(W) end.

%% What an idle program with its pipes costs, in memory, threads and processor time.
idle(port, N) ->
    Before = erlang:memory(total) + pss(helpers()),
    Ps = [start(port, ["cat"], []) || _ <- lists:seq(1, N)],
    [{os_pid, _} = erlang:port_info(P, os_pid) || P <- Ps],
    After = erlang:memory(total) + pss(helpers()),
    kill(port, Ps),
    [{"bytes each", (After - Before) / N}];
idle(erluv, N) ->
    Roles = roles(),
    Before = pss(Roles),
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

%% A consumer of one message a millisecond, for six seconds.
slow(Peer) ->
    Before = erlang:memory(total),
    W = start(Peer, ["cat", "/dev/zero"], []),
    End = erlang:monotonic_time(millisecond) + 6000,
    Most = slow(W, End, 0),
    close_flood(Peer, W),
    [{"MB of the node", (Most - Before) / 1.0e6}].

slow(W, End, Most) ->
    receive {W, {_, _}} -> ok end,
    receive after 1 -> ok end,
    case erlang:monotonic_time(millisecond) < End of
        true -> slow(W, End, max(Most, erlang:memory(total)));
        false -> Most
    end.

close_flood(port, P) ->
    {os_pid, OsPid} = erlang:port_info(P, os_pid),
    port_close(P),
    os:cmd("kill -9 " ++ integer_to_list(OsPid));
close_flood(erluv, W) ->
    exit(W, kill),
    receive {'EXIT', W, _} -> ok end.

%% A gigabyte is written to a program that does not read.
unread() ->
    Roles = roles(),
    Before = pss(Roles),
    W = start(erluv, ["sleep", "1000"], []),
    E = self(),
    Writers = [spawn(fun() -> E ! {tried, catch gen_server:call(W, {write, <<0:(8 bsl 20)/unit:8>>}, 4000)} end) || _ <- lists:seq(1, 128)],
    timer:sleep(3000),
    After = pss(Roles),
    [exit(P, kill) || P <- Writers],
    close_flood(erluv, W),
    timer:sleep(500),
    [{"MB of erluv", (After - Before) / 1.0e6}].

%% From the start of the executable to its {up, Info}.
start_up() ->
    true = register(erluv, self()),
    {Executable, Cookie} = get(executable),
    {T, Port} = timed(fun() ->
        Port = open_port({spawn_executable, Executable},
            [{args, ["--node", atom_to_list(node()), "--name", "started", "--host", "127.0.0.1", "--cookie-file", Cookie]}]),
        receive {erluv, 'started@127.0.0.1', {up, _}} -> Port end
    end),
    port_close(Port),
    receive {erluv, 'started@127.0.0.1', {stopping, _}} -> ok end,
    true = unregister(erluv),
    timer:sleep(300),
    T / 1000.

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

%% Milliseconds of processor time.
cpu(OsPid) ->
    [_, Rest] = string:split(read(["/proc/", integer_to_list(OsPid), "/stat"]), ") ", trailing),
    Fields = string:lexemes(Rest, " "),
    10 * (list_to_integer(lists:nth(12, Fields)) + list_to_integer(lists:nth(13, Fields))).

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

timed(Fun) ->
    T = erlang:monotonic_time(nanosecond),
    Result = Fun(),
    {(erlang:monotonic_time(nanosecond) - T) / 1000, Result}.

parallel(N, Fun) ->
    Ps = [spawn_monitor(Fun) || _ <- lists:seq(1, N)],
    [receive {'DOWN', Ref, process, P, normal} -> ok end || {P, Ref} <- Ps].

flush() ->
    receive _ -> flush() after 0 -> ok end.
