%% @private
%% The live table of erluv:top/2. It is written to the group leader, so that it also comes to a remote
%% shell, and ends when a line is read there.
-module(erluv_top).

-export([run/2]).

-record(top, {
    server :: erluv:server(),
    order :: erluv_overview:order(),
    rows :: pos_integer() | undefined,
    interval :: pos_integer(),
    known = erluv_overview:new() :: erluv_overview:overview(),
    shown = [] :: [pid()],
    trouble = none :: term() % why there is nothing new
}).

%% How wide a column may become but for the last: characters.
-define(MAX_CELL, 24).
%% What is assumed where the group leader does not say how large its terminal is.
-define(WIDTH, 120).
-define(HEIGHT, 24).

-spec run(erluv:server(), map()) -> ok | erluv:error().
run(Server, Options) ->
    Top = #top{server = Server, order = maps:get(order, Options, cpu), rows = maps:get(rows, Options, undefined),
               interval = maps:get(interval, Options, 1000)},
    case maps:get(once, Options, false) of
        true -> once(Top);
        false -> live(look(Top))
    end.

%% Rates are those between two looks.
once(#top{interval = Interval} = Top) ->
    case look(Top) of
        #top{trouble = none} = First ->
            receive after Interval -> ok end,
            case look(First) of
                #top{trouble = none} = Second ->
                    {Lines, _} = picture(Second, width(), infinity),
                    io:put_chars([[Line, $\n] || Line <- Lines]);
                #top{trouble = Reason} -> {error, Reason}
            end;
        #top{trouble = Reason} ->
            {error, Reason}
    end.

live(#top{trouble = Reason}) when Reason =/= none ->
    {error, Reason};
live(Top) ->
    % A line is waited for by a process of its own, whose group leader is this one's.
    {Reader, Ref} = spawn_monitor(fun() -> _ = io:get_line("") end),
    try
        ok = io:put_chars("\e[2J"),
        loop(Reader, Ref, Top)
    after
        exit(Reader, kill),
        erlang:demonitor(Ref, [flush])
    end.

loop(Reader, Ref, #top{interval = Interval} = Top) ->
    {Lines, Shown} = picture(Top, width(), height() - 2),
    % Each line replaces one, and nothing is cleared before: that would flicker.
    ok = io:put_chars(["\e[H", [[Line, "\e[K\n"] || Line <- Lines], "\e[J"]),
    receive
        {'DOWN', Ref, process, Reader, _} -> ok
    after Interval ->
        loop(Reader, Ref, look(Top#top{shown = Shown}))
    end.

look(#top{server = Server, shown = Shown, known = Known} = Top) ->
    case erluv_overview:look(Server, Shown, Known) of
        {ok, Looked} -> Top#top{known = Looked, trouble = none};
        {error, Reason} -> Top#top{trouble = Reason}
    end.

width() -> size_of(io:columns(), ?WIDTH).

height() -> size_of(io:rows(), ?HEIGHT).

size_of({ok, N}, _) when N > 0 -> N;
size_of(_, Assumed) -> Assumed.

%% The lines, none wider than that, and the workers that are in it.
picture(#top{known = Known, order = Order, rows = Rows, trouble = Trouble}, Width, Height) ->
    Sums = erluv_overview:sums(Known),
    Head = head(Sums) ++ [["! ", erluv_error:text(Trouble)] || Trouble =/= none],
    All = erluv_overview:sorted(Order, erluv_overview:programs(Known)),
    Room = case Height of
               infinity -> length(All);
               _ -> max(1, Height - length(Head) - 3)
           end,
    Programs = lists:sublist(All, min(Room, case Rows of undefined -> Room; _ -> Rows end)),
    Hidden = length(All) - length(Programs),
    Foot = [io_lib:format("by ~ts~ts  ends with Enter", [Order, [io_lib:format("  ~b more", [Hidden]) || Hidden > 0]]) || Height =/= infinity],
    Now = erlang:system_time(millisecond),
    Lines = Head ++ [""] ++ grid([columns() | [cells(P, Now) || P <- Programs]]) ++ Foot,
    {[cut(Line, Width) || Line <- Lines], [Pid || #{worker := Pid} <- Programs]}.

head(#{uptime := Uptime, status := Status, nodes := Nodes, programs := N, max_workers := Max, states := States, started := Started,
       ended := Ended, crashes := Crashes, roles := Roles, node := Node} = Sums) ->
    [[atom_to_list(Node), "  ", atom_to_list(Status), "  up ", erluv_overview:age(Uptime), io_lib:format("  nodes ~b", [Nodes]), load(Sums), memory(Sums)],
     [io_lib:format("programs ~b of ~b", [N, Max]), counts(States),
      io_lib:format("  started ~b", [Started]), [io_lib:format("  ~ts ~b", [Why, M]) || {Why, M} <- lists:sort(maps:to_list(Ended)), M > 0],
      [io_lib:format("  crashes of the child ~b", [Crashes]) || Crashes > 0]],
     [[[atom_to_list(maps:get(role, Role)), " ", memory_of(Role), " ", percent(Role), "  "] || Role <- Roles],
      [["output ", erluv_overview:size(Rate), "/s"] || {ok, Rate} <- [maps:find(output_rate, Sums)]],
      [io_lib:format("  paused ~.1f", [Paused]) || {ok, Paused} <- [maps:find(paused_streams, Sums)]]]];
head(_) ->
    []. % there was no look yet

counts(States) ->
    case lists:sort(maps:to_list(States)) of
        [] -> "";
        List -> [": ", lists:join(", ", [io_lib:format("~b ~ts", [N, State]) || {State, N} <- List])]
    end.

load(#{load := #{avg1 := A, avg5 := B, avg15 := C, cpus := Cpus}}) -> io_lib:format("  load ~.2f ~.2f ~.2f of ~b", [float(A), float(B), float(C), Cpus]);
load(_) -> "".

memory(#{memory := #{available := Free, total := Total}}) when is_integer(Free), is_integer(Total) ->
    ["  memory ", erluv_overview:size(Free), " free of ", erluv_overview:size(Total)];
memory(_) -> "".

columns() -> ["PROGRAM", "STATE", "USER", "PID", "SINCE", "RESTARTS", "CPU%", "CPU", "MEMORY", "OUTPUT/s", "COMMAND"].

cells(P, Now) ->
    [erluv_overview:called(P),
     [atom_to_list(maps:get(state, P)) | case P of #{held := true} -> " paused"; _ -> "" end],
     erluv_overview:words([maps:get(user, P, <<>>)]),
     with(os_pid, P, fun integer_to_list/1),
     with(started, P, fun(Started) -> erluv_overview:age(Now - Started) end),
     with(restarts, P, fun integer_to_list/1),
     percent(P),
     with(cpu, P, fun erluv_overview:age/1),
     memory_of(P),
     with(rate, P, fun erluv_overview:size/1),
     erluv_overview:words(maps:get(cmd, P))].

percent(Of) -> with(share, Of, fun(Share) -> io_lib:format("~.1f", [Share * 100.0]) end).

memory_of(Of) -> with(rss, Of, fun erluv_overview:size/1).

with(Key, Of, F) ->
    case Of of
        #{Key := N} when is_number(N) -> F(N);
        _ -> "-"
    end.

grid(Table) ->
    Rows = [[cut(Cell, ?MAX_CELL) || Cell <- lists:droplast(Row)] || Row <- Table],
    Widths = [lists:max([string:length(Cell) || Cell <- Column]) || Column <- transposed(Rows)],
    [[[[string:pad(Cell, Wide), "  "] || {Cell, Wide} <- lists:zip(Row, Widths)], lists:last(Whole)] || {Row, Whole} <- lists:zip(Rows, Table)].

transposed([[] | _]) -> [];
transposed(Rows) -> [[hd(Row) || Row <- Rows] | transposed([tl(Row) || Row <- Rows])].

%% Text of at most so many characters; the last says that there was more.
cut(Text, Width) ->
    case string:length(Text) > Width of
        true -> [string:slice(Text, 0, Width - 1), $…];
        false -> Text
    end.
