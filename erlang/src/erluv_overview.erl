%% @private
%% What a client of an erluv knows that looks again and again: all its programs, and what they use.
%% erluv_top and Erluv.LiveDashboard have one each. It starts nothing, and asks nothing between two looks.
%%
%% A look is the request {figures, Since, Workers, Then} of erluv-protocol(7). It brings the programs that
%% are new, and measures those that are shown and others in turn.
-module(erluv_overview).

-export([new/0]).
-export([look/3]).
-export([sums/1]).
-export([programs/1]).
-export([sorted/2]).
-export([orders/0]).
-export([called/1]).
-export([words/1]).
-export([age/1]).
-export([size/1]).

-export_type([overview/0, program/0, order/0]).

-record(overview, {
    node :: node() | undefined,
    newest = 0 :: non_neg_integer(),
    known = #{} :: #{pid() => program()},
    turn = [] :: [pid()],                  % to be measured though they are not shown
    sums = #{} :: map(),
    rates = #{} :: map()                   % output and paused, over the time since the look before
}).

-opaque overview() :: #overview{}.

-type program() :: #{worker := pid(), atom() => term()}.
%% What `new' and `measured' of the answer have, and once it is known: `at', the uptime of erluv when
%% it was measured, `share', how many processors it has had since the time before, and `rate', bytes of
%% output a second.

-type order() :: cpu | memory | output | since | name | state | restarts.

%% So many one request measures, of erluv-protocol(7).
-define(MOST, 1000).
%% So many requests a look makes at most: half a million programs in answers of 2000.
-define(MOST_REQUESTS, 256).
%% The shortest time over which a rate means something, as the kernel counts processor time in
%% hundredths of a second: milliseconds.
-define(LEAST, 200).
%% How long an answer is waited for: milliseconds.
-define(ANSWER, 5000).

%% @doc One that knows nothing.
-spec new() -> overview().
new() -> #overview{}.

%% @doc Looks at what is connected under this name. Programs in the list are measured for certain.
-spec look(erluv:server(), [pid()], overview()) -> {ok, overview()} | {error, term()}.
look(Server, Shown, Overview) ->
    case connected(Server) of
        {ok, Node} -> look_at(Node, Shown, Overview);
        {error, _} = Error -> Error
    end.

%% A look starts no erluv.
connected(Server) when is_atom(Server) ->
    case lists:member($@, atom_to_list(Server)) orelse whereis(Server) =/= undefined of
        true -> erluv_call:connected(Server);
        false -> {error, {no_node, Server}}
    end;
connected(Server) ->
    erluv_call:connected(Server).

look_at(Node, Shown, #overview{node = Node} = Overview) ->
    {Ask, Turn} = asked(Shown, Overview),
    ask(Ask, ?MOST_REQUESTS, Overview#overview{turn = Turn});
look_at(Node, _, _) ->
    look_at(Node, [], #overview{node = Node}). % it is another one

%% As many as one request measures: those shown first.
asked(Shown, #overview{known = Known, turn = Turn}) ->
    First = lists:sublist([Pid || Pid <- Shown, is_map_key(Pid, Known)], ?MOST),
    Others = case [Pid || Pid <- Turn, is_map_key(Pid, Known)] of
                 [] -> maps:keys(Known);
                 Left -> Left
             end,
    {Next, Rest} = lists:split(min(length(Others), ?MOST - length(First)), Others),
    {lists:usort(First ++ Next), Rest}.

ask(_, 0, Overview) ->
    {ok, Overview}; % programs come faster than they are told of: the next look goes on
ask(Ask, Tries, #overview{node = Node, newest = Newest, sums = Sums, known = Known} = Overview) ->
    % Of a program that was never measured all is new.
    Then = lists:min([0 || Ask =:= []] ++ [maps:get(at, maps:get(Pid, Known), 0) || Pid <- Ask]),
    case erluv_call:call({erluv, Node}, {figures, Newest, Ask, Then}, ?ANSWER) of
        #{crashes := Crashes} when map_size(Sums) > 0, map_get(crashes, Sums) =/= Crashes ->
            look_at(Node, [], #overview{node = Node}); % another child, which has other programs
        #{new := New} = Answer ->
            case take(Answer, Ask, Overview) of
                {0, Taken} -> {ok, Taken};
                {_, Taken} -> ask(lists:sublist([Pid || #{worker := Pid} <- New], ?MOST), Tries - 1, Taken)
            end;
        {error, _} = Error ->
            Error
    end.

take(#{new := New, measured := Measured, gone := Gone, newest := Newest, uptime := At} = Answer, Ask, #overview{known = Known} = Overview) ->
    All = lists:foldl(fun(#{worker := Pid} = P, Seen) -> maps:merge(#{Pid => P}, Seen) end, Known, New),
    Changed = maps:from_list([{Pid, M} || #{worker := Pid} = M <- Measured]),
    Kept = lists:foldl(fun(Pid, Seen) ->
                               case Seen of
                                   #{Pid := P} -> Seen#{Pid := measure(maps:get(Pid, Changed, P), At, P)};
                                   #{} -> Seen
                               end
                       end, maps:without(Gone, All), Ask),
    Sums = maps:without([new, measured, gone, newest], Answer),
    {length(New), sum(Sums, Overview#overview{known = Kept, newest = Newest})}.

measure(#{os_pid := OsPid, restarts := N, cpu := Cpu, output := Output} = M, At,
        #{at := Before, os_pid := OsPid, restarts := N, cpu := CpuBefore, output := OutputBefore} = P) ->
    case At - Before of
        Elapsed when Elapsed < ?LEAST ->
            maps:merge(P, maps:with([state, held], M));
        Elapsed ->
            maps:merge(P, M#{at => At, share => share(Cpu, CpuBefore, Elapsed), rate => max(0, Output - OutputBefore) * 1000 / Elapsed})
    end;
measure(M, At, P) ->
    maps:merge(maps:without([share, rate], P), M#{at => At}).

share(Cpu, Before, Elapsed) when is_integer(Cpu), is_integer(Before), Cpu >= Before -> (Cpu - Before) / Elapsed;
share(_, _, _) -> undefined.

sum(#{uptime := At} = Sums, #overview{sums = #{uptime := Before}} = Overview) when At - Before < ?LEAST, At >= Before ->
    Old = maps:with([uptime, output, paused, roles], Overview#overview.sums),
    Overview#overview{sums = maps:merge(Sums, Old)}; % a second request of one look
sum(#{uptime := At, output := Output, paused := Paused, roles := Roles} = Sums,
    #overview{sums = #{uptime := Before, output := OldOutput, paused := OldPaused, roles := OldRoles}} = Overview) ->
    Elapsed = max(1, At - Before),
    Cpu = maps:from_list([{OsPid, N} || #{os_pid := OsPid, cpu := N} <- OldRoles]),
    Shared = [case Role of
                  #{os_pid := OsPid, cpu := N} when is_map_key(OsPid, Cpu) -> Role#{share => share(N, maps:get(OsPid, Cpu), Elapsed)};
                  _ -> Role
              end || Role <- Roles],
    Overview#overview{sums = Sums#{roles := Shared},
                      rates = #{output_rate => max(0, Output - OldOutput) * 1000 / Elapsed,
                                paused_streams => max(0, Paused - OldPaused) / Elapsed}};
sum(Sums, Overview) ->
    Overview#overview{sums = Sums}.

%% @doc What erluv says of itself, with `node', `output_rate' and `paused_streams' if they are known.
-spec sums(overview()) -> map().
sums(#overview{node = Node, sums = Sums, rates = Rates}) ->
    maps:merge(Sums#{node => Node}, Rates).

-spec programs(overview()) -> [program()].
programs(#overview{known = Known}) -> maps:values(Known).

-spec orders() -> [order()].
orders() -> [cpu, memory, output, since, name, state, restarts].

%% @doc In an order. Those of what programs use begin with the most, the others with the least; the
%% oldest of those that are alike comes first.
-spec sorted(order(), [program()]) -> [program()].
sorted(By, Programs) ->
    [P || {_, _, P} <- lists:sort([{key(By, P), maps:get(worker, P), P} || P <- Programs])].

key(cpu, P) -> {-number(share, P), -number(cpu, P)};
key(memory, P) -> -number(rss, P);
key(output, P) -> {-number(rate, P), -number(output, P)};
key(restarts, P) -> -number(restarts, P);
key(name, P) -> {called(P), maps:get(cmd, P, [])};
key(state, P) -> maps:get(state, P, undefined);
key(since, P) ->
    case number(started, P) of
        0 -> infinity; % an atom is behind all numbers
        Started -> Started
    end.

number(Key, P) ->
    case P of
        #{Key := N} when is_number(N) -> N;
        _ -> 0
    end.

%% @doc The name of a program, or the number of its worker.
-spec called(program()) -> string().
called(#{name := Name}) when is_atom(Name) -> words([atom_to_binary(Name)]);
called(#{worker := Worker}) ->
    [_, Number] = string:split(pid_to_list(Worker), "."), % <Node.Number>
    lists:droplast(Number).

%% @doc A command as one line, without what a terminal would take for a command of its own.
-spec words([binary()]) -> string().
words(Words) ->
    [case is_command(C) of
         true -> $?;
         false -> C
     end || C <- unicode:characters_to_list(lists:join(" ", [erluv_log:text(Word) || Word <- Words]))].

%% Control characters, and those that change the direction or the place of others, or are not seen.
is_command(C) ->
    C < 32 orelse C >= 127 andalso C < 160 orelse C >= 16#200b andalso C =< 16#200f orelse
    C >= 16#2028 andalso C =< 16#202e orelse C >= 16#2060 andalso C =< 16#206f orelse C =:= 16#feff.

%% @doc A duration in milliseconds in its two largest units.
-spec age(number()) -> string().
age(Milliseconds) ->
    case max(0, trunc(Milliseconds)) of
        T when T < 60_000 -> format("~.1fs", [T / 1000]);
        T when T < 3_600_000 -> format("~bm~2..0bs", [T div 60_000, T rem 60_000 div 1000]);
        T when T < 86_400_000 -> format("~bh~2..0bm", [T div 3_600_000, T rem 3_600_000 div 60_000]);
        T -> format("~bd~2..0bh", [T div 86_400_000, T rem 86_400_000 div 3_600_000])
    end.

%% @doc A number of bytes, in the unit that leaves it below 1024.
-spec size(number()) -> string().
size(Bytes) when Bytes < 1024 -> format("~bB", [trunc(Bytes)]);
size(Bytes) -> size(Bytes / 1024, "KMGTPE").

size(N, [_ | [_ | _] = Units]) when N >= 1023.95 -> size(N / 1024, Units);
size(N, [Unit | _]) -> format("~.1f~c", [N, Unit]).

format(Format, Args) -> lists:flatten(io_lib:format(Format, Args)).
