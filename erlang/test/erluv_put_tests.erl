%% Files that are put on hosts, and programs in memory.
-module(erluv_put_tests).

-export([put_test_/0]).
-export([t_put/0]).
-export([t_sources/0]).
-export([t_caller_ends/0]).
-export([t_memory/0]).
-export([t_host_gone/0]).
-export([t_all/0]).
-export([t_through_another/0]).
-export([t_reader_ends/0]).
-export([t_wrong_arguments/0]).

-include_lib("stdlib/include/assert.hrl").

-import(erluv_harness, [next/1, until/1]).
-import(erluv_fleet_harness, [fleet/0, control/0, up/1, up/2, end_host/1]).

put_test_() ->
    erluv_harness:tests(?MODULE, plain).

%% A directory where every user may write.
dir() ->
    Dir = erluv_harness:dir(),
    ok = file:change_mode(Dir, 8#777),
    Dir.

started(Name) ->
    {ok, _} = erluv_node:start_link(#{name => Name}),
    Name.

t_put() ->
    E = started(put),
    Dir = dir(),
    File = filename:join([Dir, "a", "b"]),
    Data = binary:copy(<<"0123456789">>, 250000), % three chunks
    ?assertEqual({error, enoent}, erluv:put_file(E, Data, File, #{})),
    ?assertMatch({ok, #{size := 2500000, sha256 := <<_:32/binary>>}}, erluv:put_file(E, Data, File, [mkdir, {mode, 8#444}])),
    ?assertEqual({ok, Data}, file:read_file(File)),
    ?assertMatch({ok, #{size := 0}}, erluv:put_file(E, [], File, #{})),
    ?assertEqual({ok, <<>>}, file:read_file(File)),
    ?assertEqual({error, {bad_size, 9}}, erluv:put_file(E, <<"x">>, File, #{size => 9})),
    ?assertEqual({error, {bad_size, 0}}, erluv:put_file(E, <<"x">>, File, #{size => 0})),
    ?assertEqual({error, eisdir}, erluv:put_file(E, <<"x">>, Dir, #{})),
    ?assertMatch({error, {bad_option, colour, _}}, erluv:put_file(E, <<"x">>, File, #{colour => red})),
    ?assertEqual({ok, ["b"]}, file:list_dir(filename:dirname(File))),
    ?assertEqual([], erluv:workers(E)),
    [?assertMatch([_ | _], erluv:format_error(Reason))
     || Reason <- [{bad_size, 9}, {bad_sum, <<1>>}, {source, enoent}, {source, badarg}, {put_file, {signal, sigkill}}, max_uploads, {memory, eacces}]],
    ok = erluv_node:stop(E).

%% A file of this node, a pipe, iodata.
t_sources() ->
    E = started(sources),
    Dir = dir(),
    File = filename:join(Dir, "file"),
    From = filename:join(Dir, "from"),
    ok = file:write_file(From, "of a file"),
    {ok, _} = erluv:put_file(E, {file, From}, File, #{}),
    ?assertEqual({ok, <<"of a file">>}, file:read_file(File)),
    {ok, _} = erluv:put_file(E, ["a", [<<"b">>, $c]], File, #{}),
    ?assertEqual({ok, <<"abc">>}, file:read_file(File)),
    Pipe = filename:join(Dir, "pipe"),
    [] = os:cmd("mkfifo " ++ Pipe),
    [] = os:cmd("echo through it >" ++ Pipe ++ " &"),
    {ok, #{size := 11}} = erluv:put_file(E, {file, Pipe}, File, #{}),
    ?assertEqual({ok, <<"through it\n">>}, file:read_file(File)),
    {ok, #{size := Size}} = erluv:put_file(E, {file, "/proc/self/status"}, File, #{}),
    ?assertEqual(Size, filelib:file_size(File)),
    ?assert(Size > 0),
    ?assertEqual({error, {source, enoent}}, erluv:put_file(E, {file, filename:join(Dir, "none")}, File, #{})),
    ?assertEqual({error, {source, badarg}}, erluv:put_file(E, [x], File, #{})),
    ok = erluv_node:stop(E).

%% While it waits for what it reads.
t_caller_ends() ->
    E = started(caller),
    Dir = dir(),
    Caller = spawn(fun() -> erluv:put_file(E, {file, "/dev/zero"}, filename:join(Dir, "file"), #{size => 1 bsl 40}) end),
    Larger = spawn(fun() -> erluv:put_file(E, {file, "/dev/zero"}, filename:join(Dir, "other"), #{}) end),
    until(fun() -> [B || {_, #{bytes := B}} <- erluv:workers(E), B > 0] =/= [] end),
    [exit(Pid, kill) || Pid <- [Caller, Larger]],
    until(fun() -> erluv:workers(E) =:= [] end),
    ?assertEqual({ok, []}, file:list_dir(Dir)),
    ok = erluv_node:stop(E).

t_memory() ->
    E = started(memory),
    Self = self(),
    Owner = spawn(fun() ->
                          Self ! {self(), erluv:put_file(E, {file, "/bin/cat"}, memory, #{})},
                          receive done -> ok end
                  end),
    {ok, Cat} = next(Owner),
    ?assertMatch({ok, #{stdout := <<"hi">>}}, erluv:run(E, [{memory, Cat}], #{input => <<"hi">>})),
    {ok, W} = erluv:spawn(E, [{memory, Cat, "a cat"}], #{}),
    Ref = monitor(process, Cat),
    Owner ! done,
    receive {'DOWN', Ref, process, _, normal} -> ok end,
    ok = erluv:write(W, <<"on">>),
    ?assertEqual({stdout, <<"on">>}, next(W)),
    ?assertMatch({error, {bad_option, cmd, _}}, erluv:run(E, [{memory, Cat}])),
    ?assertMatch({error, {bad_option, mode, _}}, erluv:put_file(E, <<"x">>, memory, #{mode => 8#700})),
    ok = erluv_node:stop(E).

t_host_gone() ->
    E = started(gone),
    {ok, Node} = erluv_node:node(E),
    ok = erluv_node:stop(E),
    until(fun() -> not lists:member(Node, nodes(hidden)) end),
    ?assertEqual({error, nodedown}, erluv:put_file(Node, <<"x">>, "/tmp/x", #{})),
    fleet(),
    ?assertEqual({error, {unreachable, Node}}, erluv_fleet:put_file(Node, <<"x">>, "/tmp/x", #{})),
    ?assertEqual([], erluv_fleet:put_file_all(#{node => Node}, <<"x">>, "/tmp/x", #{})).

%% One that fails, because it offers classes alone, stops none of the others.
t_all() ->
    fleet(),
    Dir = dir(),
    Conf = filename:join(erluv_harness:dir(), "classes.conf"), % where others cannot write
    ok = file:write_file(Conf, "run = \"classes\"\n\n[class.x]\ncommand = [\"/bin/true\"]\n"),
    {Bad, _} = up(["--config", Conf, "--meta", "x"]),
    Hosts = [up(["--meta", "x"]) || _ <- lists:seq(1, 10)],
    {Other, _} = up(["--meta", "y"]),
    File = filename:join(Dir, "file"),
    Answers = erluv_fleet:put_file_all(#{meta => #{x => true}}, <<"hello">>, File, #{}),
    ?assertEqual(lists:sort([Bad | [Node || {Node, _} <- Hosts]]), [Node || {Node, _} <- Answers]),
    ?assertEqual([{Bad, {error, {class, required}}}], [Answer || {_, {error, _}} = Answer <- Answers]),
    ?assertEqual(10, length([x || {_, {ok, #{size := 5}}} <- Answers])),
    ?assertEqual({ok, <<"hello">>}, file:read_file(File)),
    InMemory = erluv_fleet:put_file_all(fun(#{node := Node}) -> Node =/= Bad end, {file, "/bin/echo"}, memory, []),
    ?assertEqual(11, length(InMemory)),
    [?assertMatch({ok, #{stdout := <<"hi\n">>}}, erluv_fleet:run(Node, [{memory, U}, "hi"], #{})) || {Node, {ok, U}} <- InMemory],
    {Other, {ok, Last}} = lists:keyfind(Other, 1, InMemory),
    ok = erluv:stop(Last),
    ?assertMatch({error, {bad_option, cmd, _}}, erluv_fleet:run(Other, [{memory, Last}], #{})).

%% From a control node that is not connected with the host: it reads, and the other one writes.
t_through_another() ->
    fleet(),
    {Peer, Control} = control(),
    {A, _} = up([Control], []),
    ?assertNot(lists:member(A, nodes(connected))),
    Dir = dir(),
    File = filename:join(Dir, "file"),
    Data = binary:copy(<<"0123456789">>, 250000),
    ?assertMatch({ok, #{size := 2500000}}, erluv_fleet:put_file(A, Data, File, #{})),
    ?assertEqual({ok, Data}, file:read_file(File)),
    ?assertMatch([{A, {ok, #{size := 2500000}}}], erluv_fleet:put_file_all(#{}, {file, File}, File, #{})),
    ?assertEqual({error, eisdir}, erluv_fleet:put_file(A, Data, Dir, #{})),
    ?assertEqual({error, {source, enoent}}, erluv_fleet:put_file(A, {file, filename:join(Dir, "none")}, File, #{})),
    Self = self(),
    Owner = spawn(fun() ->
                          Self ! {self(), erluv_fleet:put_file(A, {file, "/bin/echo"}, memory, #{})},
                          receive done -> ok end
                  end),
    {ok, Echo} = next(Owner),
    ?assertMatch({ok, #{stdout := <<"hi\n">>}}, erluv_fleet:run(A, [{memory, Echo}, "hi"], #{})),
    {ok, W} = erluv_fleet:spawn(A, [{memory, Echo}, "hi"], #{}),
    ?assertEqual({stdout, <<"hi\n">>}, next(W)),
    Owner ! done,
    until(fun() -> peer:call(Peer, erluv, workers, [A]) =:= [] end),
    peer:stop(Peer).

%% The process that reads ends with its caller, and the other control node gives up.
t_reader_ends() ->
    fleet(),
    {Peer, Control} = control(),
    {A, Port} = up([Control], []),
    Dir = dir(),
    Caller = spawn(fun() -> erluv_fleet:put_file(A, {file, "/dev/zero"}, filename:join(Dir, "file"), #{}) end),
    Uploads = fun() -> [B || {_, #{bytes := B}} <- peer:call(Peer, erluv, workers, [A])] end,
    until(fun() -> [B || B <- Uploads(), B > 0] =/= [] end),
    exit(Caller, kill),
    until(fun() -> Uploads() =:= [] end),
    ?assertEqual({ok, []}, file:list_dir(Dir)),
    Self = self(),
    Other = spawn(fun() -> Self ! {self(), erluv_fleet:put_file(A, {file, "/dev/zero"}, filename:join(Dir, "file"), #{})} end),
    until(fun() -> Uploads() =/= [] end),
    A = end_host({A, Port}),
    {error, {Why, A}} = next(Other), % it depends on what was under way
    ?assert(lists:member(Why, [unreachable, lost])),
    peer:stop(Peer).

t_wrong_arguments() ->
    [?assertError(badarg, F())
     || F <- [fun() -> erluv:put_file("x", <<>>, "/x", #{}) end, fun() -> erluv:put_file(x, y, "/x", #{}) end,
              fun() -> erluv:put_file(x, <<>>, "/x", y) end, fun() -> erluv_fleet:put_file("x", <<>>, "/x", #{}) end,
              fun() -> erluv_fleet:put_file(x, y, "/x", #{}) end, fun() -> erluv_fleet:put_file(x, <<>>, "/x", y) end,
              fun() -> erluv_fleet:put_file_all(#{}, y, "/x", #{}) end, fun() -> erluv_fleet:put_file_all(#{}, <<>>, "/x", y) end]].
