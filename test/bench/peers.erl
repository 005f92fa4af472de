%% Libraries that Elixir and Erlang programmers use to run programs, including erluv's. Each runs
%% the same workloads as its documentation shows. A library is measured if a directory with its
%% compiled modules is in the code path.
-module(peers).

-export([prepare/2, starts/3, bytes/3, lines/2, through/4, echo/3]).

%% prepare starts a library. Erluv is the node that erluv's own library uses.
prepare(erlexec, _) ->
    [application:set_env(erlexec, Key, Value) || {Key, Value} <- [{root, true}, {user, "root"}, {limit_users, ["root"]}]],
    started(erlexec);
prepare(elixir, Erluv) ->
    application:set_env(erluv_ex, node, Erluv),
    started(erluv_ex);
prepare(Peer, _) ->
    started(Peer).

started(App) ->
    {ok, _} = application:ensure_all_started(App),
    ok.

%% starts starts a program N times, and waits each time for its end.
starts(Peer, Program, N) ->
    [start(Peer, Program) || _ <- lists:seq(1, N)],
    ok.

start(erlexec, Program) -> {ok, []} = exec:run([Program], [sync]);
start(muontrap, Program) -> {<<>>, 0} = 'Elixir.MuonTrap':cmd(list_to_binary(Program), [], []);
start(exile, Program) -> 0 = 'Elixir.Enum':count('Elixir.Exile':'stream!'([list_to_binary(Program)]));
start(elixir, Program) -> {<<>>, 0} = 'Elixir.Erluv':cmd(list_to_binary(Program), []).

%% bytes returns how many bytes of a program's stdout have come.
bytes(erlexec, Cmd, _) ->
    {ok, _, OsPid} = exec:run(Cmd, [stdout, monitor]),
    collected(OsPid, 0);
bytes(muontrap, [Program | Args], Window) ->
    {Pieces, 0} = 'Elixir.MuonTrap':cmd(list_to_binary(Program), binaries(Args), [{into, []}, {stdio_window, Window}]),
    iolist_size(Pieces);
bytes(exile, Cmd, _) -> size_of('Elixir.Exile':'stream!'(binaries(Cmd)));
bytes(elixir, Cmd, _) -> size_of('Elixir.Erluv':'stream!'(binaries(Cmd))).

collected(OsPid, N) ->
    receive
        {stdout, OsPid, B} -> collected(OsPid, N + byte_size(B));
        {'DOWN', OsPid, process, _, normal} -> N
    end.

size_of(Stream) -> 'Elixir.Enum':reduce(Stream, 0, fun(B, N) -> N + iolist_size(B) end).

binaries(Strings) -> [list_to_binary(S) || S <- Strings].

%% lines returns how many lines of a program's stdout have come, one by one.
lines(elixir, Cmd) -> 'Elixir.Enum':count('Elixir.Erluv':'stream!'(binaries(Cmd), [{lines, 1024}])).

%% through sends Count pieces to a program, and returns how many bytes have come back. It leaves out
%% libraries without back-pressure on stdin, which would hold all pieces.
through(exile, Cmd, Piece, Count) ->
    size_of('Elixir.Exile':'stream!'(binaries(Cmd), [{input, lists:duplicate(Count, Piece)}]));
through(elixir, Cmd, Piece, Count) ->
    size_of('Elixir.Erluv':'stream!'(binaries(Cmd), [{input, lists:duplicate(Count, Piece)}])).

%% echo returns two functions. One sends a piece to a program and waits until it is back. The other
%% ends the program.
echo(erlexec, Cmd, Piece) ->
    {ok, _, OsPid} = exec:run(Cmd, [stdin, stdout, monitor]),
    {
        fun() -> exec:send(OsPid, Piece), receive {stdout, OsPid, Piece} -> ok end end,
        fun() -> exec:stop(OsPid) end
    };
echo(exile, Cmd, Piece) ->
    {ok, P} = 'Elixir.Exile.Process':start_link(binaries(Cmd)),
    {
        fun() -> ok = 'Elixir.Exile.Process':write(P, Piece), {ok, Piece} = 'Elixir.Exile.Process':read(P, byte_size(Piece)) end,
        fun() -> 'Elixir.Exile.Process':close_stdin(P), 'Elixir.Exile.Process':await_exit(P) end
    };
echo(elixir, Cmd, Piece) ->
    {ok, W} = erluv:spawn(application:get_env(erluv_ex, node, undefined), Cmd, #{}),
    {
        fun() -> W ! {self(), {command, Piece}}, receive {W, {stdout, Piece}} -> ok end end,
        fun() -> exit(W, kill) end
    }.
