%% Functions for the tests' Erlang source. E is the name of an erluv node, W a worker.
-module(e2e).

-export([call/2]).
-export([start/2, start/3]).
-export([watch/2, watch/3]).
-export([upload/3]).
-export([put/4]).
-export([changes/2]).
-export([outcome/1, outcome/2]).
-export([digest/1]).
-export([seq/2]).
-export([messages/1]).
-export([all/1]).
-export([down/1]).
-export([os_pid/1]).
-export([os_pid_of/2]).
-export([alive/1]).
-export([rss/1]).
-export([until/1, until/2]).
-export([said/3]).
-export([next/0, next/1]).
-export([ready/1]).
-export([silent/0]).
-export([wait_hidden/1]).
-export([in_process/1]).
-export([child_of/0, child_of/1]).
-export([junk/1]).
-export([proxy/2]).
-export([flood/1, flooded/1]).
-export([shove/1]).
-export([talk/1, talked/1]).
-export([take/1]).
-export([pour/2, pours/2]).

-define(TIMEOUT, 120000).

call(To, Request) when is_pid(To) ->
    gen_server:call(To, Request, ?TIMEOUT);
call(E, Request) ->
    gen_server:call({erluv, E}, Request, ?TIMEOUT).

start(E, Cmd) ->
    start(E, Cmd, #{}).

start(E, Cmd, Opts) ->
    {ok, W} = call(E, {spawn, Cmd, Opts}),
    true = is_pid(W),
    E = node(W),
    W.

watch(E, Path) ->
    watch(E, Path, #{}).

watch(E, Path, Opts) ->
    {ok, W} = call(E, {watch, Path, Opts}),
    true = is_pid(W),
    E = node(W),
    W.

upload(E, Path, Opts) ->
    {ok, Upload} = call(E, {put_file, Path, Opts}),
    true = is_pid(Upload),
    E = node(Upload),
    Upload.

%% Puts the data at Path in chunks of 1000 bytes, and returns the result.
put(E, Path, Data, Opts) ->
    case call(E, {put_file, Path, Opts}) of
        {ok, Upload} -> put_on(Upload, 0, Data);
        Error -> Error
    end.

%% Bytes are not matched, because OTP 29 does not load the code that OTP 25 compiles for that.
put_on(Upload, Offset, Data) when byte_size(Data) >= 1000 ->
    {Chunk, Rest} = split_binary(Data, 1000),
    case call(Upload, {chunk, Offset, Chunk}) of
        ok -> put_on(Upload, Offset + 1000, Rest);
        Error -> Error
    end;
put_on(Upload, Offset, Data) ->
    case call(Upload, {chunk, Offset, Data}) of
        ok -> call(Upload, {commit, none});
        Error -> Error
    end.

%% The changes that W reports before any change of Fence, a path: [{What, Path}].
changes(W, Fence) ->
    case next(W) of
        {fs, _, Fence} -> [];
        {fs, What, Path} -> [{What, Path} | changes(W, Fence)];
        {unwatched, Path, Why} -> [{Why, Path} | changes(W, Fence)]
    end.

%% The messages of a linked worker to its owner until it exits: {Stdout, Stderr, End, ExitReason}. A
%% stream is a binary, or none without messages about it. The function also checks the contract.
%% Each stream has one eof, after its data. The end comes once, as the last message, and the exit
%% signal after it.
outcome(W) ->
    outcome(W, ?TIMEOUT).

outcome(W, Timeout) ->
    {Messages, Reason} = until_exit(W, Timeout, []),
    {Output, End} = ended(Messages),
    {stream(stdout, Output), stream(stderr, Output), End, Reason}.

until_exit(W, Timeout, Messages) ->
    receive
        {'EXIT', W, Reason} ->
            receive
                {W, Late} -> error({after_exit, Late, lists:reverse(Messages)})
            after 0 ->
                {lists:reverse(Messages), Reason}
            end;
        {W, Message} ->
            until_exit(W, Timeout, [Message | Messages])
    after Timeout ->
        error({no_exit, lists:reverse(Messages)})
    end.

ended(Messages) ->
    IsEnd = fun(M) -> lists:member(element(1, M), [exit_status, signal]) end,
    case lists:partition(IsEnd, Messages) of
        {[], Output} -> {Output, none};
        {[End], Output} ->
            End = lists:last(Messages),
            {Output, End}
    end.

stream(Name, Output) ->
    case [Data || {N, Data} <- Output, N =:= Name] of
        [] ->
            none;
        All ->
            {Data, [eof]} = lists:split(length(All) - 1, All),
            true = lists:all(fun(D) -> is_binary(D) andalso D =/= <<>> end, Data),
            iolist_to_binary(Data)
    end.

%% outcome for much output: {{Bytes, Md5}, Stderr, End, ExitReason}.
digest(W) ->
    digest(W, 0, erlang:md5_init(), []).

digest(W, Size, Md5, Rest) ->
    receive
        {W, {stdout, Bin}} when is_binary(Bin) ->
            digest(W, Size + byte_size(Bin), erlang:md5_update(Md5, Bin), Rest);
        {W, {stdout, eof}} ->
            {none, Stderr, End, Reason} = outcome(W),
            [] = Rest,
            {{Size, binary:encode_hex(erlang:md5_final(Md5))}, Stderr, End, Reason}
    after 120000 ->
        error({no_output, Size, Rest})
    end.

%% The output of seq(1). Compiled code makes it quickly.
seq(From, To) -> << <<(integer_to_binary(I))/binary, "\n">> || I <- lists:seq(From, To) >>.

%% The messages of a linked worker to its owner until it exits.
all(W) ->
    {Messages, _Reason} = until_exit(W, ?TIMEOUT, []),
    Messages.

%% The messages of W in the mailbox.
messages(W) ->
    receive
        {W, Message} -> [Message | messages(W)]
    after 0 -> []
    end.

%% The reason of the next 'DOWN' of W.
down(W) ->
    receive
        {'DOWN', _, process, W, Reason} -> Reason
    after ?TIMEOUT -> error({no_down, W})
    end.

os_pid(W) ->
    #{os_pid := OsPid} = call(W, info),
    true = is_integer(OsPid) andalso OsPid > 1,
    OsPid.

%% The number, in this pid namespace, of a process that a program of E calls Inside. The program may
%% be in a pid namespace with its spawner (proc_pid_status(5), NSpid).
os_pid_of(E, Inside) ->
    Spawner = call(E, {info, spawner_os_pid}),
    case ns_pids(integer_to_list(Spawner)) of
        [_] ->
            Inside;
        [_, 1] ->
            Namespace = fun(P) -> file:read_link("/proc/" ++ P ++ "/ns/pid") end,
            Same = Namespace(integer_to_list(Spawner)),
            {ok, Names} = file:list_dir("/proc"),
            case [list_to_integer(P) || [D | _] = P <- Names, D >= $0, D =< $9, lists:last(ns_pids(P)) =:= Inside, Namespace(P) =:= Same] of
                [OsPid] -> OsPid;
                [] -> none
            end
    end.

ns_pids(P) ->
    case file:read_file("/proc/" ++ P ++ "/status") of
        {ok, Status} ->
            {match, [Text]} = re:run(Status, "NSpid:(.*)", [{capture, all_but_first, list}]),
            [list_to_integer(N) || N <- string:lexemes(Text, "\t ")];
        {error, _} ->
            [none]
    end.

%% Is there such a process of the operating system? A zombie does not count.
alive(none) ->
    false;
alive(OsPid) ->
    case file:read_file("/proc/" ++ integer_to_list(OsPid) ++ "/stat") of
        {ok, Stat} ->
            [_, State | _] = string:split(Stat, ") ", trailing),
            not lists:member(binary:first(State), "ZX");
        {error, _} ->
            false
    end.

%% Resident memory of the processes together, in bytes.
rss(OsPids) ->
    lists:sum([rss_of(P) || P <- OsPids]).

rss_of(OsPid) ->
    {ok, Status} = file:read_file("/proc/" ++ integer_to_list(OsPid) ++ "/status"),
    {match, [KiB]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(KiB) * 1024.

until(Condition) ->
    until(Condition, ?TIMEOUT).

%% Waits until Condition is true, for Timeout ms at most.
until(Condition, Timeout) ->
    until_deadline(Condition, erlang:monotonic_time(millisecond) + Timeout).

until_deadline(Condition, Deadline) ->
    case Condition() of
        true ->
            ok;
        Other ->
            erlang:monotonic_time(millisecond) < Deadline orelse error({not_until, Other}),
            receive
            after 5 -> until_deadline(Condition, Deadline)
            end
    end.

%% The next message of any kind.
next() ->
    receive
        Message -> Message
    after ?TIMEOUT -> error(no_message)
    end.

%% The next message of W.
next(W) ->
    receive
        {W, Message} -> Message
    after ?TIMEOUT -> error({no_message_of, W, process_info(self(), messages)})
    end.

%% The next messages of W are Text on a stream, in any number of pieces.
said(W, Stream, Text) ->
    said(W, Stream, Text, <<>>).

said(_, _, Text, Text) ->
    ok;
said(W, Stream, Text, Sofar) when byte_size(Sofar) < byte_size(Text) ->
    case next(W) of
        {Stream, Bin} when is_binary(Bin) -> said(W, Stream, Text, <<Sofar/binary, Bin/binary>>);
        Other -> error({Other, instead_of, Text, 'after', Sofar})
    end;
said(_, _, Text, Sofar) ->
    error({Sofar, instead_of, Text}).

%% W has written that it is ready.
ready(W) ->
    said(W, stdout, <<"ready\n">>).

%% No message has come, and none comes in the next 100 ms.
silent() ->
    receive
        Message -> error({unexpected, Message})
    after 100 -> true
    end.

wait_hidden(E) ->
    ok = net_kernel:monitor_nodes(true, #{node_type => hidden}),
    lists:member(E, nodes(hidden)) orelse
        receive
            {nodeup, E, _} -> true
        after ?TIMEOUT -> error({not_up, E, nodes(hidden)})
        end,
    net_kernel:monitor_nodes(false, #{node_type => hidden}).

%% Runs Fun in a process of its own that traps no exits: {Pid, its exit reason}.
in_process(Fun) ->
    {Pid, Ref} = spawn_monitor(Fun),
    receive
        {'DOWN', Ref, process, Pid, Reason} -> {Pid, Reason}
    after ?TIMEOUT -> error(no_end)
    end.

%% A process that waits for orders: Pid ! Fun runs Fun, exit(Pid, R) ends it.
child_of() ->
    child_of(fun() -> ok end).

child_of(First) ->
    spawn(fun() ->
        First(),
        child_loop()
    end).

child_loop() ->
    receive
        Fun when is_function(Fun, 0) -> Fun();
        _ -> ok
    end,
    child_loop().

%% The N-th term of a series with every kind of term in odd places.
junk(N) ->
    Kinds = {
        fun() -> N end,
        fun() -> -(1 bsl (N rem 4000)) end,
        fun() -> N / 7 end,
        fun() -> make_ref() end,
        fun() -> self() end,
        fun() -> hd(erlang:ports()) end,
        fun() -> fun() -> N end end,
        fun() -> fun lists:map/2 end,
        fun() -> <<N:(N rem 61)>> end,
        fun() -> binary:copy(<<N>>, N rem 5000) end,
        fun() -> [1, 2 | N] end,
        fun() -> lists:seq(1, N rem 300) end,
        fun() -> nested(N rem 3000, N) end,
        fun() -> nested_list(N rem 3000, N) end,
        fun() -> #{N => #{[] => {}, {a} => N}, 1.5 => self()} end,
        fun() -> list_to_tuple(lists:seq(1, N rem 600)) end,
        fun() -> '' end,
        fun() -> {'$gen_call', self(), N} end,
        fun() -> {'$gen_call', {self(), make_ref()}, request(N)} end,
        fun() -> {'$gen_call', {N, [alias | make_ref()]}, {spawn, N, N}} end,
        fun() -> {'$gen_cast', {stop, N}} end,
        fun() -> {'EXIT', self(), kill} end,
        fun() -> {self(), {command, [N | N]}} end,
        fun() -> {self(), {connect, N}} end,
        fun() -> {system, {self(), make_ref()}, get_state} end,
        fun() -> {io_request, self(), make_ref(), N} end
    },
    (element(1 + N rem tuple_size(Kinds), Kinds))().

%% Requests that are nearly correct.
request(N) ->
    Requests = {
        {spawn},
        {spawn, [], #{}},
        {spawn, [[]], []},
        {spawn, [<<"true">> | N], #{}},
        {spawn, [<<"a", 0, "b">>], #{}},
        {spawn, [<<"true">>], #{N => N}},
        {spawn, [<<"true">>], #{env => [N]}},
        {spawn, [<<"true">>], #{owner => N}},
        {spawn, [<<"true">>], [{stdout, {pid, N}} | N]},
        {spawn, [<<"true">>], #{stdin => {file, N}}},
        {spawn, [<<"true">>], #{cd => [1114112]}},
        {spawn, nested(N rem 500, <<"true">>), #{}},
        {run, N, N},
        {run, <<>>, #{input => [N | self()]}},
        {info, N, N},
        {info, nested(N rem 500, info)},
        {set, N},
        {stop},
        {write, N},
        {signal, group, N, N},
        {signal, -N},
        {close, stdout},
        {watch, N, #{}},
        {watch, <<"relative">>, []},
        {watch, <<"/">>, #{events => [N]}}
    },
    element(1 + (N div 26) rem tuple_size(Requests), Requests).

nested(0, Term) -> Term;
nested(N, Term) -> nested(N - 1, {Term}).

nested_list(0, Term) -> Term;
nested_list(N, Term) -> nested_list(N - 1, [Term]).

%% proxy tells To its own pid and the worker's, and lives until it is killed.
proxy(W, To) ->
    To ! {proxy, W, self()},
    receive after infinity -> ok end.

%% A process that takes the output of a flooding program, and checks every byte. flooded/1 waits for
%% its end.
flood(E) ->
    Self = self(),
    F = spawn(fun() ->
        process_flag(trap_exit, true),
        W = start(E, ["yes", "0123456789"]),
        Lines = binary:copy(<<"0123456789\n">>, 1000000 div 11),
        Self ! {self(), flood_loop(W, Lines, 0, Self)}
    end),
    receive {F, flowing} -> F end.

flood_loop(W, Lines, At, Self) ->
    receive
        {W, {stdout, Bin}} ->
            case binary:part(Lines, At rem 11, byte_size(Bin)) of
                Bin when At =:= 0 -> Self ! {self(), flowing};
                Bin -> ok
            end,
            flood_loop(W, Lines, At + byte_size(Bin), Self);
        {'EXIT', W, Reason} ->
            Reason;
        Other ->
            {other, Other}
    end.

flooded(F) ->
    receive {F, Reason} -> Reason after ?TIMEOUT -> error({floods, process_info(F)}) end.

%% A process that sends large frames to an absent name on E until it is killed.
shove(E) ->
    Bin = binary:copy(<<"large">>, 1000000),
    spawn_link(fun() -> shove_loop(E, Bin) end).

shove_loop(E, Bin) ->
    {nobody, E} ! Bin,
    shove_loop(E, Bin).

%% A process that writes to a program and reads the text back, in pieces of all sizes, and checks
%% every byte. At most one piece is on its way, however slow the connection is. talked/1 waits for
%% its end.
talk(E) ->
    Self = self(),
    T = spawn(fun() ->
        process_flag(trap_exit, true),
        W = start(E, ["cat"]),
        Self ! {self(), talking},
        Self ! {self(), talk_loop(W, 0)}
    end),
    receive {T, talking} -> T end.

talk_loop(W, N) ->
    Bin = binary:copy(<<N:32>>, rand:uniform(20000)),
    try gen_server:call(W, {write, Bin}, infinity) of
        ok ->
            case heard(W, Bin) of
                ok -> talk_loop(W, N + 1);
                Other -> Other
            end;
        Other ->
            {other, Other}
    catch
        exit:_ -> receive {'EXIT', W, Reason} -> Reason end
    end.

heard(_, <<>>) ->
    ok;
heard(W, Bin) ->
    receive
        {W, {stdout, Some}} ->
            case split_binary(Bin, min(byte_size(Some), byte_size(Bin))) of
                {Some, Rest} -> heard(W, Rest);
                _ -> {other, Some}
            end;
        {'EXIT', W, Reason} ->
            Reason
    end.

talked(T) ->
    receive {T, Reason} -> Reason after 120000 -> error({talks, process_info(T)}) end.

%% N bytes from another node, in messages of 64 KiB. Returns how many came.
pour(Node, N) ->
    spawn(Node, ?MODULE, pours, [self(), N]),
    poured(N, 0).

pours(To, N) ->
    Bin = binary:copy(<<0>>, 65536),
    [To ! {poured, Bin} || _ <- lists:seq(1, N div 65536)].

poured(N, N) -> N;
poured(N, Got) -> receive {poured, Bin} -> poured(N, Got + byte_size(Bin)) after 120000 -> {stuck, Got} end.

%% How many bytes W writes to stdout, up to its end. It takes no other messages.
take(W) ->
    take(W, 0).

take(W, N) ->
    receive
        {W, {stdout, eof}} -> N;
        {W, {stdout, Data}} -> take(W, N + iolist_size(Data))
    after 120000 -> {stuck, N}
    end.
