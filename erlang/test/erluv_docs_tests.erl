%% Every public function has a spec and an example, and every example runs: those in
%% the sources, those in the manuals, and those in the guides and in README.md that end with a
%% full stop.
%% The manual has every function, and no other. The shell shows what the sources say.
-module(erluv_docs_tests).

-export([docs_test_/0]).
-export([exec_test_/0]).
-export([t_documented/0]).
-export([t_manual_has_all/0]).
-export([t_shell_shows_all/0]).
-export([t_options/0]).
-export([t_lists_of_options/0]).
-export([t_settings/0]).

-define(PUBLIC, [erluv, erluv_node, erluv_worker, erluv_fleet, erluv_telemetry, erluv_exec]).

docs_test_() ->
    {setup,
     fun() ->
             {ok, Node} = erluv_node:start_link(),
             {ok, Exec} = erluv_exec:start([{node, erluv}]),
             unlink(Node),
             {ok, Fleet} = erluv_fleet:start_link(),
             unlink(Fleet),
             Host = erluv_harness:open(["--controller", "erluv_fleet", "--meta", "core;group=g1"]),
             erluv_harness:until(fun() -> erluv_fleet:nodes() =/= [] end),
             {Host, [Exec, Node, Fleet]}
     end,
     fun({Host, Pids}) ->
             true = port_close(Host),
             [ok = gen_server:stop(Pid) || Pid <- Pids]
     end,
     erluv_harness:tests(?MODULE, plain)
     ++ [{spawn, {timeout, 240, {Name, fun() -> run(Example) end}}} || {Name, Example} <- examples()]
     ++ [{spawn, {timeout, 240, {Name, fun() -> run_protocol(Example) end}}} || {Name, Example} <- protocol_examples()]}.

%% The example of doc/from-erlexec.md that starts an erluv of its own, which this executable is.
exec_test_() ->
    {timeout, 240,
     fun() ->
             {ok, Text} = file:read_file(beside("from-erlexec.md")),
             [Example] = between(binary_to_list(Text), "```erlang\n", "\n```"),
             [Executable | _] = erluv_harness:executable(),
             run(lists:flatten(string:replace(Example, "/usr/bin/erluv", Executable)) ++ ", ok = gen_server:stop(erluv_exec).")
     end}.

examples() ->
    [{atom_to_list(Module) ++ ":" ++ Function, Example}
     || Module <- ?PUBLIC, {Function, Comment, _} <- functions(Module),
        Example <- between(Comment, "```", "'''")]
    ++ [{"erluv.3erl:" ++ integer_to_list(N), Example}
        || {N, Example} <- lists:enumerate(manual_examples())]
    ++ [{filename:basename(File), Example} || File <- filelib:wildcard(beside("{from-*,README}.md")),
                                              Example <- guide_examples(File)].

%% Expressions, evaluated one after the other, each to match as it says.
%%
%% The process has room enough never to collect garbage: after that OTP 29.1.2 ends the VM by
%% SIGSEGV when a process that erl_eval runs in ends (seen on 29 alone, with 25 and 27 never).
run(Example) ->
    alone(fun() -> evaluate(Example, []) end).

alone(F) ->
    {_, Ref} = spawn_opt(F, [monitor, {min_heap_size, 1 bsl 20}]),
    receive {'DOWN', Ref, process, _, Reason} -> normal = Reason end.

evaluate(Example, Bindings) ->
    {ok, Tokens, _} = erl_scan:string(Example),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, _, _} = erl_eval:exprs(Expressions, Bindings).

%% The process is the controller of an erluv of its own. The example about a crash needs one.
run_protocol(Example) ->
    alone(fun() ->
                  true = register(?MODULE, self()),
                  Port = erluv_harness:open(["--controller", atom_to_list(?MODULE)]),
                  {Node, Child} = receive {erluv, N, {up, #{child_os_pid := C}}} -> {N, C} end,
                  [] = case string:find(Example, "child_down") of
                           nomatch -> [];
                           _ -> os:cmd("kill -KILL " ++ integer_to_list(Child))
                       end,
                  evaluate(Example, orddict:from_list([{'Node', Node}, {'Erluv', {erluv, Node}}])),
                  ok = gen_server:call({erluv, Node}, {stop, normal}, infinity),
                  receive {Port, {exit_status, Status}} -> 0 = Status end
          end).

protocol_examples() ->
    [{"erluv-protocol.7:" ++ integer_to_list(N), unescaped(Example)}
     || {N, Example} <- lists:enumerate(between(text(beside("erluv-protocol.7")), "Erlang:\n.Bd -literal\n", ".Ed"))].

t_documented() ->
    Missing = [{Module, Function} || Module <- ?PUBLIC, {Function, Comment, _} <- functions(Module),
                                     not documented(Comment)],
    [] = Missing,
    Unspecified = [{Module, F, A} || Module <- ?PUBLIC, {F, A} <- exports(Module),
                                     not lists:keymember({F, A}, 3, functions(Module))],
    [] = Unspecified.

documented(Comment) ->
    string:find(Comment, "@private") =/= nomatch
        orelse string:find(Comment, "@equiv") =/= nomatch
        orelse string:find(Comment, "@doc") =/= nomatch andalso between(Comment, "```", "'''") =/= [].

t_manual_has_all() ->
    Manual = [string:lexemes(Line, " ") || ".It Fn " ++ Line <- manual()],
    Told = lists:sort([{Name, length(Args)} || [Name | Args] <- Manual]),
    Public = lists:sort([{lists:concat([Module, ":", F]), A} || Module <- ?PUBLIC -- [erluv_exec], {F, A} <- public(Module)]),
    {[], []} = {Public -- Told, Told -- Public}, % of erluv_exec doc/from-erlexec.md tells
    Table = lists:sort([{Name, list_to_integer(Arity)} || ".It Li erluv" ++ Row <- manual(),
                                                          {match, [Rest, Arities]} <- [re:run(Row, "^(\\S*:\\w+)/([0-9,]+) Ta ", [{capture, all_but_first, list}])],
                                                          Name <- ["erluv" ++ Rest], Arity <- string:lexemes(Arities, ",")]),
    {[], []} = {Public -- Table, Table -- Public}.

%% h/1,2,3 and ht/2 of a shell, with the comments as they are above.
t_shell_shows_all() ->
    Shown = shell("[c:h(M) || M <- [erluv, erluv_node, erluv_worker, erluv_exec]], c:h(erluv, spawn, 3),"
                  " c:ht(erluv, options), c:h(erluv_exec, kill)"),
    Missing = [Text || Text <- ["Runs programs of the operating system on an erluv node.",
                                "Owns an erluv: starts the executable and stops it, or attaches to one that runs.",
                                "A process of this node that has a worker, for a supervisor",
                                "The functions, options and messages of erlexec's module exec, on erluv.",
                                "The caller is its owner, which is sent what it writes and how it ended.",
                                "{ok, W} = erluv:spawn(erluv, [\"echo\", \"hello\"], #{packet => line}),",
                                "-type options() ::", "As in erluv-protocol(7).",
                                "Sends a signal, by number or name, to the program alone."],
                       string:find(Shown, Text) =:= nomatch],
    nomatch = string:find(shell("c:h(erluv, spawn, 3)"), "kill_timeout"), % of a map, and no pages of lists
    {[], _} = {Missing, Shown},
    Undocumented = [{Module, F} || Module <- ?PUBLIC, {ok, Docs} <- [code:get_doc(Module)],
                                   F <- public(Module), not has_text(F, element(7, Docs))],
    [] = Undocumented.

has_text({F, A}, Entries) ->
    case lists:keyfind({function, F, A}, 1, Entries) of
        {_, _, _, #{<<"en">> := _}, _} -> true;
        _ -> false
    end.

%% What another VM prints, with one space for any between words.
shell(Expressions) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Port = open_port({spawn_executable, Erl},
                     [{args, ["-noinput", "-boot", "start_clean", "-kernel", "shell_docs_ansi", "false",
                              "-eval", Expressions ++ ", halt()." | erluv_harness:paths()]},
                      exit_status, stderr_to_stdout, binary]),
    re:replace(read(Port), "\\s+", " ", [global, {return, list}]).

read(Port) ->
    receive
        {Port, {data, Data}} -> [Data | read(Port)];
        {Port, {exit_status, 0}} -> []
    after 120000 -> error(timeout)
    end.

%% The settings that are not written as they are, by the forms that erluv.conf(5) has for them.
t_settings() ->
    {ok, Text} = file:read_file(beside("erluv.conf.5")),
    Forms = [{binary_to_atom(Key), Form} || <<".It Ic ", Line/binary>> <- binary:split(Text, <<"\n">>, [global]),
                                            [Key, <<"No = ", Form/binary>>] <- [binary:split(Line, <<" ">>)]],
    true = length(Forms) > 40,
    Durations = lists:sort([Key || {Key, <<"Ar \\(dqduration\\(dq">>} <- Forms]),
    {Durations, Durations} = {erluv_executable:durations(), Durations},
    % allow_users stands in a file alone.
    Lists = lists:sort([Key || {Key, <<"Bo ", _/binary>>} <- Forms]) -- [allow_users],
    {Lists, Lists} = {erluv_executable:lists(), Lists}.

%% The types of options have those that are in the manual, and that are understood.
t_options() ->
    process_flag(trap_exit, true),
    [Spawn, Run, Watch, Setopts] = Types = [keys(erluv, T) || T <- [options, run_options, watch_options, worker_settings]],
    Worker = keys(erluv_worker, options),
    All = lists:usort([sdtin | lists:append([Worker | Types])]),
    {ok, W} = erluv:spawn(erluv, ["sleep", "60"]),
    Taken = fun(F) -> [Key || Key <- All, is_taken(Key, F(#{Key => 1.5}))] end,
    Spawn = Taken(fun(Options) -> erluv:spawn(erluv, ["true"], Options) end),
    Run = Taken(fun(Options) -> erluv:run(erluv, ["true"], Options) end),
    Watch = Taken(fun(Options) -> erluv:watch(erluv, "/tmp", Options) end),
    Setopts = Taken(fun(Options) -> erluv:setopts(W, Options) end),
    Worker = Taken(fun(Options) -> erluv_worker:start_link(erluv, ["true"], Options) end),
    Manual = manual_options(),
    {[], [input, max_output]} = {Spawn -- Manual, Manual -- Spawn},
    % keep is another one than that of spawn, which is log_ring here.
    Own = lists:sort([keep | Worker -- Spawn]),
    {worker, Own} = {worker, told(erluv_worker)},
    {node, Told} = {node, told(erluv_node)},
    Told = keys(erluv_node, options),
    {fleet, Fleet} = {fleet, told(erluv_fleet)},
    Fleet = keys(erluv_fleet, options).

%% What the specs have for property lists is of the same types as the maps, for dialyzer: five
%% tuples at most in each clause.
t_lists_of_options() ->
    [begin
         Forms = forms(Module),
         [Spec] = [Clauses || {attribute, _, spec, {FA, Clauses}} <- Forms, FA =:= {F, 3}],
         [Fields] = [Fields || {attribute, _, type, {T, {type, _, map, Fields}, []}} <- Forms, T =:= Type],
         Lists = [case List of
                      {type, _, union, Elements} -> Elements;
                      Element -> [Element]
                  end || {type, _, 'fun', [{type, _, product, [_, _, {type, _, nonempty_list, [List]}]}, _]} <- Spec],
         Pairs = [[{Key, bare(Value)} || {type, _, tuple, [{atom, _, Key}, Value]} <- List] || List <- Lists],
         [] = [List || List <- Pairs, length(List) > 5],
         Wanted = lists:sort([{Key, bare(Value)} || {type, _, map_field_assoc, [{atom, _, Key}, Value]} <- Fields]),
         {F, Wanted} = {F, lists:sort(lists:append(Pairs))},
         Flags = lists:sort([Flag || {atom, _, Flag} <- lists:append(Lists)]),
         {F, Flags} = {F, [Key || {Key, Value} <- Wanted, is_flag(Value)]}
     end || {Module, F, Type} <- [{erluv, spawn, option_map}, {erluv, spawn_link, option_map}, {erluv, spawn_monitor, option_map},
                                  {erluv, run, run_option_map}, {erluv_worker, start_link, option_map}]].

%% An atom in a list stands for true.
is_flag({type, _, boolean, []}) -> true;
is_flag({type, _, union, Types}) -> lists:any(fun is_flag/1, Types);
is_flag({atom, _, true}) -> true;
is_flag({user_type, _, pty, []}) -> true;
is_flag({remote_type, _, [_, {atom, _, pty}, []]}) -> true;
is_flag(_) -> false.

bare(Type) -> erl_parse:map_anno(fun(_) -> 0 end, Type).

%% Whether it is not the option but its value that is refused.
is_taken(Key, {error, {bad_option, Key, Why}}) ->
    re:run(Why, "^(there is no such option|is not for run|is for run only|the process |start_link waits)") =:= nomatch.

keys(Module, Type) ->
    [Fields] = [Fields || {attribute, _, type, {T, {type, _, union, [{type, _, map, Fields} | _]}, []}} <- forms(Module), T =:= Type],
    lists:sort([Key || {type, _, map_field_assoc, [{atom, _, Key}, _]} <- Fields]).

forms(Module) ->
    {ok, {_, [{_, {_, Forms}}]}} = beam_lib:chunks(code:which(Module), [abstract_code]),
    Forms.

%% The options that the comment above a module has in its list.
told(Module) ->
    {ok, Text} = file:read_file(filename:join([code:lib_dir(erluv), "src", atom_to_list(Module) ++ ".erl"])),
    {match, Names} = re:run(Text, "<dt>`([a-z_]+)'", [global, {capture, all_but_first, list}]),
    lists:sort([list_to_atom(Name) || [Name] <- Names]).

%% The items of the list of options in erluv-protocol(7), not of those within it.
manual_options() ->
    [_ | Lines] = lists:dropwhile(fun(Line) -> Line =/= ".Ss Opts" end, lines(beside("erluv-protocol.7"))),
    Section = lists:takewhile(fun(Line) -> not lists:prefix(".Ss", Line) end, Lines),
    {_, Names} = lists:foldl(fun item/2, {0, []}, Section),
    lists:usort([list_to_atom(Name) || Name <- Names]).

item(".Bl" ++ _, {Depth, Names}) -> {Depth + 1, Names};
item(".El" ++ _, {Depth, Names}) -> {Depth - 1, Names};
item(".It Li " ++ Items, {1, Names}) ->
    {1, [hd(string:lexemes(Item, " ")) || Item <- string:split(Items, " , ", all)] ++ Names};
item(_, Seen) -> Seen.

%% What is exported and not private.
public(Module) ->
    [FA || {_, Comment, FA} <- functions(Module), lists:member(FA, exports(Module)),
           string:find(Comment, "@private") =:= nomatch].

exports(Module) ->
    [FA || {F, _} = FA <- Module:module_info(exports), F =/= module_info].

%% The functions with a spec: name, the comment above it, name and arity.
functions(Module) ->
    Application = case Module of erluv_exec -> erluv_exec; _ -> erluv end,
    File = filename:join([code:lib_dir(Application), "src", atom_to_list(Module) ++ ".erl"]),
    {ok, Forms} = epp:parse_file(File, []),
    Lines = list_to_tuple(lines(File)),
    [{atom_to_list(F), comment_above(Line - 1, Lines, []), {F, A}}
     || {attribute, Line, spec, {{F, A}, _}} <- [without_column(Form) || Form <- Forms]].

without_column({attribute, At, spec, Spec}) -> {attribute, erl_anno:line(At), spec, Spec};
without_column(Form) -> Form.

comment_above(N, Lines, Comment) when N > 0 ->
    case element(N, Lines) of
        "%%" ++ Text -> comment_above(N - 1, Lines, [Text, $\n | Comment]);
        _ -> unicode:characters_to_list(Comment)
    end.

manual() ->
    lines(beside("erluv.3erl")).

beside(Name) ->
    filename:join(filename:dirname(code:which(?MODULE)), Name).

guide_examples(File) ->
    [Text || Text <- between(lists:flatten(lists:join($\n, lines(File))), "```erlang\n", "```"),
             lists:suffix(".\n", Text)].

manual_examples() ->
    Erlang = re:replace(text(beside("erluv.3erl")), "^Elixir:\n\\.Bd -literal\n.*?^\\.Ed", "",
                        [global, multiline, dotall, unicode, {return, list}]),
    [unescaped(Text) || Text <- between(Erlang, ".Bd -literal\n", ".Ed")].

%% A display, with mdoc's \e as the backslash that it is.
unescaped(Display) ->
    lists:flatten(string:replace(Display, "\\e", "\\", all)).

lines(File) ->
    string:split(text(File), "\n", all).

text(File) ->
    {ok, Text} = file:read_file(File),
    unicode:characters_to_list(Text).

%% All texts that stand between two marks.
between(Text, From, To) ->
    case string:split(Text, From) of
        [_, Rest] ->
            [Found, After] = string:split(Rest, To),
            [Found | between(After, From, To)];
        [_] ->
            []
    end.
