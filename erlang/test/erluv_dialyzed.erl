%% Calls for dialyzer (erlang/lint), never made: those of functions wrong_...() must have a
%% warning each, all others none.
-module(erluv_dialyzed).

-compile([export_all, nowarn_export_all]).

wrong_name() -> erluv:spawn(erluv, ["cat"], #{sdtin => pipe}).
wrong_value() -> erluv:spawn_link(erluv, ["cat"], #{pty => 17}).
wrong_value_within() -> erluv:spawn_monitor(erluv, ["cat"], #{pty => #{rows => large}}).
wrong_name_within() -> erluv:spawn(erluv, ["cat"], #{limits => #{memroy => 1 bsl 30}}).
wrong_path() -> erluv:spawn(erluv, ["cat"], #{cd => tmp}).
wrong_stream() -> erluv:spawn(erluv, ["cat"], #{stdout => stderr}).
wrong_steps() -> erluv:spawn(erluv, ["cat"], #{stop_sequence => sigterm}).
wrong_for_run() -> erluv:run(erluv, ["cat"], #{owner => self()}).
wrong_for_spawn() -> erluv:spawn(erluv, ["cat"], #{input => <<"hello">>}).
wrong_for_watch() -> erluv:watch(erluv, "/tmp", #{recursive => 1}).
wrong_setting(Worker) -> erluv:setopts(Worker, #{actve => once}).
wrong_for_worker() -> erluv_worker:start_link(erluv, ["cat"], #{owner => self()}).
wrong_output() -> erluv_worker:child_spec({erluv, ["cat"], #{output => stdout}}).
wrong_node() -> erluv_node:start_link(#{nmae => second}).
wrong_hold() -> erluv_fleet:start_link(#{hold => never}).
wrong_filter() -> erluv_fleet:nodes(#{colour => red}).
wrong_strategy() -> erluv_fleet:place(#{}, best).
wrong_name_placed() -> erluv_fleet:spawn(#{}, ["cat"], #{sdtin => pipe}).
wrong_respawn() -> erluv_node:child_spec(#{respawn => 10}).

wrong_name_in_list() -> erluv:spawn(erluv, ["cat"], [{tiemout, 3}]).
wrong_value_in_list() -> erluv:spawn(erluv, ["cat"], [{restart, sometimes}]).
wrong_path_in_list() -> erluv:spawn_link(erluv, ["cat"], [{cd, tmp}]).
wrong_time_in_list() -> erluv:spawn_monitor(erluv, ["cat"], [{kill_timeout, x}]).
wrong_stream_in_list() -> erluv:spawn(erluv, ["cat"], [{stdout, stderr}]).
wrong_flag() -> erluv:spawn(erluv, ["cat"], [detatched]).
wrong_name_within_list() -> erluv:spawn(erluv, ["cat"], [{limits, [{memroy, 1 bsl 30}]}]).
wrong_list_for_run() -> erluv:run(erluv, ["cat"], [{timeout, "x"}]).
wrong_list_for_spawn() -> erluv:spawn(erluv, ["cat"], [{input, <<"hello">>}]).
wrong_list_for_watch() -> erluv:watch(erluv, "/tmp", [{recursvie, true}]).
wrong_list_of_settings(Worker) -> erluv:setopts(Worker, [{actve, once}]).
wrong_list_for_worker() -> erluv_worker:start_link(erluv, ["cat"], [{owner, self()}]).
wrong_output_in_list() -> erluv_worker:start_link(erluv, ["cat"], [{output, stdout}]).
wrong_list_for_node() -> erluv_node:start_link([{settngs, []}]).

right_worker() ->
    erluv:spawn(erluv, ["cat"],
                #{allow => [userns], cd => "/tmp", cpus => [0], detached => false, env => #{"A" => <<"b">>, 'C' => false},
                  fds => #{3 => pipe, 4 => {pipe, in}, 5 => {file, "/tmp/x", [read]}}, flow => {active, 10}, group => games,
                  groups => ["audio", 29], idle_timeout => infinity, inherit => ["LANG"], kill_signal => sigint,
                  kill_timeout => 0, limits => #{memory => infinity, pids => 10}, link => true, login => true,
                  max_restarts => {5, 1000}, name => x, nice => -5, no_new_privs => true, oom_score_adj => 500,
                  owner => none, packet => {line, 100}, path => <<"/bin">>, proxy => {m, f, []}, ready => {line, "^up"},
                  ready_reply => message, ready_timeout => 100, restart => permanent, backoff => {1, 2},
                  rlimits => #{core => 0, nofile => {1024, infinity}}, sandbox => #{read => ["/usr"], net => none},
                  setsid => true, stderr => stdout, stdin => {file, "/dev/null"},
                  stdout => [owner, {pid, self()}], stop_sequence => [close, 2000, {signal, 10}, sigkill],
                  timeout => 1, tree => leave, umask => 8#77, user => "games", watchdog => 1000}).

right_terminal() -> erluv:spawn(erluv, <<"cat">>, #{pty => #{rows => 50, echo => false, vintr => 3}}).
right_file() ->
    Rotate = #{size => 4096, count => 1},
    erluv:spawn(erluv, "cat", #{stdout => {file, "/tmp/x", [append, {mode, 8#640}, {rotate, Rotate}]}, stderr => null}).
right_fleet() ->
    [erluv_fleet:start_link([{hold, 1}, {refresh, infinity}, {respawn, false}]),
     erluv_fleet:place(#{meta => #{{core, "group"} => g1, <<"size">> => 2, gpu => true}, class => backup, status => ready}, random),
     erluv_fleet:place(fun(#{free := Free}) -> Free > 1 end, fun([#{node := Node} | _]) -> Node end),
     erluv_fleet:spawn({#{}, spread}, ["cat"], #{packet => line}), erluv_fleet:run(a@b, "true", [{timeout, 1}])].
right_lists(Key, Value, More) ->
    [erluv:spawn(erluv, ["cat"], L)
     || L <- [[], [link, {stdin, null}, {cd, "/"}, {user, games}], [{timeout, 3} | More], [{Key, Value}], [{nice, Value}], More]],
    [erluv:run(erluv, ["cat"], L) || L <- [[], [{input, "a"}, {stderr, stdout}, {limits, [{pids, 3}]}, setsid], More]],
    [erluv_worker:start_link(erluv, ["cat"], L) || L <- [[], [detached, {output, none}, {register, x}], More]],
    erluv_node:start_link([{name, x}, {settings, [{user, "games"}]}, {timeout, Value}]),
    erluv:watch(erluv, "/tmp", [recursive, {events, [created]}]).
right_types(Options) -> erluv:spawn(erluv, ["cat"], typed(Options)).
-spec typed(term()) -> erluv:options().
typed(Options) -> binary_to_term(Options).
right_list() -> erluv:spawn(erluv, ["cat"], [detached, {stdin, null}]).
right_run() -> erluv:run(erluv, ["cat"], #{input => ["a", <<"b">>], max_output => 100, stderr => stdout, timeout => 500}).
right_watch() -> erluv:watch(erluv, "/tmp", #{events => [created], recursive => true}).
right_settings(Worker) -> erluv:setopts(Worker, #{active => -5, owner => self(), stdout => owner}).
right_child() ->
    erluv_worker:child_spec({erluv, ["cat"], #{output => {log, debug}, keep => 3, reason => fun(_) -> normal end,
                                               register => x, ready => notify}}).
right_child_of_elixir() -> erluv_worker:child_spec([erluv, ["cat"], []]).
right_start() -> erluv_worker:start_link(erluv, ["cat"], #{output => fun(_, Data) -> io:put_chars(Data) end}).
right_node() ->
    erluv_node:start_link(#{name => x, executable => ["sudo", "erluv"], settings => #{user => games, max_workers => 1},
                            config => none, cookie => file, timeout => infinity, respawn => false}).
right_attached() -> erluv_node:child_spec(#{attach => any, respawn => {1, 1000}, settings => [{user, "games"}]}).
