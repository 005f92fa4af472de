%% The default node, which is started when it is needed, and starts that fail.
-module(erluv_sup_tests).

-export([sup_test_/0]).
-export([t_on_demand/0]).
-export([t_many_at_once/0]).
-export([t_many_fail/0]).
-export([t_again_and_again/0]).
-export([t_manual/0]).
-export([t_application_stopped/0]).
-export([t_of_another_supervisor/0]).
-export([t_of_the_variable/0]).
-export([t_failed_start_is_one_line/0]).
-export([t_failed_application_is_one_line/0]).
-export([t_wrong_name/0]).
-export([t_wrong_variable/0]).
-export([t_escript/0]).
-export([main/1]).

-include_lib("stdlib/include/assert.hrl").
-include_lib("kernel/include/logger.hrl").

-import(erluv_harness, [with_vm/2]).

-define(ECHO, [erluv, ["echo", "hello"]]).

sup_test_() ->
    erluv_harness:tests(?MODULE, plain).

t_on_demand() ->
    with_vm([], fun(Call) ->
        ?assertMatch({ok, #{stdout := <<"hello\n">>}}, Call(erluv, run, ?ECHO)),
        ?assertMatch([{erluv, _, worker, _} | _], Call(supervisor, which_children, [erluv_sup]))
    end).

t_many_at_once() ->
    with_vm([], fun(Call) ->
        Results = Call(erluv_harness, at_once, [20, erluv, run, ?ECHO]),
        [?assertMatch({ok, #{stdout := <<"hello\n">>}}, Result) || Result <- Results],
        ?assertMatch([_], Call(erlang, nodes, [hidden]))
    end).

t_many_fail() ->
    with_vm([], fun(Call) ->
        ok = Call(application, set_env, [erluv, executable, "/no/such/erluv"]),
        Results = Call(erluv_harness, at_once, [20, erluv, run, ?ECHO]),
        ?assertEqual([{error, {no_executable, "/no/such/erluv"}}], lists:usort(Results))
    end).

%% More often than a supervisor would restart it, and than it starts its erluv anew, and the
%% application goes on.
t_again_and_again() ->
    with_vm([], fun(Call) ->
        [begin
             ?assertMatch({ok, _}, Call(erluv, run, ?ECHO)),
             {ok, Node} = Call(erluv_node, node, [erluv]),
             [] = os:cmd("kill -KILL " ++ integer_to_list(Call(erluv, info, [erluv, main_os_pid]))),
             erluv_harness:until(fun() -> not lists:member(Node, Call(erlang, nodes, [hidden])) end)
         end || _ <- lists:seq(1, 12)],
        ?assertMatch({ok, _}, Call(erluv, run, ?ECHO))
    end).

t_manual() ->
    with_vm([], fun(Call) ->
        ok = Call(application, set_env, [erluv, start, manual]),
        ?assertEqual({error, {no_node, erluv}}, Call(erluv, run, ?ECHO))
    end).

t_application_stopped() ->
    with_vm([], fun(Call) ->
        {ok, _} = Call(erluv, run, ?ECHO),
        ok = Call(application, stop, [erluv]),
        ?assertEqual({error, {no_node, erluv}}, Call(erluv, run, ?ECHO)),
        ok = Call(application, start, [erluv]),
        ?assertMatch({ok, _}, Call(erluv, run, ?ECHO))
    end).

%% Who has it as a child restarts it, and must find its name free.
t_of_another_supervisor() ->
    with_vm([], fun(Call) ->
        {ok, Pid} = Call(gen_server, start, [{local, erluv}, erluv_node, #{}, []]),
        {ok, _} = Call(erluv, run, ?ECHO),
        ok = Call(erluv_node, stop, [Pid]),
        ?assertEqual({error, {no_node, erluv}}, Call(erluv, run, ?ECHO))
    end).

t_of_the_variable() ->
    with_vm([], fun(Call) ->
        ok = Call(application, set_env, [erluv, nodes, [[{settings, #{prefix => "first_"}}], [{name, second}]]]),
        ok = Call(application, start, [erluv]),
        ?assertMatch({ok, _}, Call(erluv, run, [second, ["true"]])),
        {ok, Node} = Call(erluv_node, node, [erluv]),
        ?assertMatch("first_" ++ _, atom_to_list(Node))
    end).

t_failed_start_is_one_line() ->
    process_flag(trap_exit, true),
    ?assertMatch([<<"the erluv_node none is not started: there is no executable /no/such/erluv: ", _/binary>>],
                 failures(fun() ->
                                  {error, {no_executable, _}} =
                                      erluv_node:start_link(#{name => none, executable => "/no/such/erluv"})
                          end)),
    ?assertMatch([<<"the erluv_node none is not started: erluv ended with status 2 (usage or configuration): ",
                    "settings: there is no colour", _/binary>>],
                 failures(fun() ->
                                  {error, {exited, 2, _}} =
                                      erluv_node:start_link(#{name => none, settings => #{colour => red}})
                          end)).

t_failed_application_is_one_line() ->
    process_flag(trap_exit, true),
    ?assertMatch([<<"the erluv_node none is not started: ", _/binary>>],
                 failures(fun() ->
                                  {error, {no_executable, _}} =
                                      erluv_sup:start_link([[{name, none}, {executable, "/no/such/erluv"}]])
                          end)).

%% A name that no process can have is no other failure.
t_wrong_name() ->
    process_flag(trap_exit, true),
    [?assertEqual([iolist_to_binary(["the erluv_node ", Shown, " is not started: name: an atom"])],
                  failures(fun() ->
                                   {error, {bad_option, name, <<"an atom">>}} = Start()
                           end))
     || {Name, Shown} <- [{"x", "\"x\""}, {undefined, "undefined"}, {3, "3"}],
        Start <- [fun() -> erluv_node:start_link([{name, Name}]) end, fun() -> erluv_sup:start_link([#{name => Name}]) end]].

%% A variable that is not what it is to be.
t_wrong_variable() ->
    process_flag(trap_exit, true),
    [?assertMatch({Nodes, {error, {bad_option, nodes, _}}}, {Nodes, erluv_sup:start_link(Nodes)})
     || Nodes <- [#{}, none, [none], [{settings, []}], [[{"name", x}]], [[] | none]]].

%% An archive has no executable with it, and says what to do.
t_escript() ->
    File = filename:join(erluv_harness:dir(), "script"),
    Ebin = filename:dirname(code:which(erluv)),
    Test = filename:rootname(code:which(?MODULE)) ++ ".beam",
    Files = [{filename:join("erluv/ebin", filename:basename(Path)), Binary}
             || Path <- [Test | filelib:wildcard(Ebin ++ "/*.{app,beam}")], {ok, Binary} <- [file:read_file(Path)]],
    ok = escript:create(File, [shebang, {emu_args, "-escript main " ?MODULE_STRING}, {archive, Files, []}]),
    Run = "PATH=/nowhere " ++ filename:join([code:root_dir(), "bin", "escript"]) ++ " " ++ File,
    ?assertMatch({match, _}, re:run(os:cmd(Run), "^there is no executable erluv: what lies in an archive, as an escript, "
                                                 "has none with it: put it into PATH, or name its path by "
                                                 "{executable, Path} in the environment of the application erluv$",
                                    [multiline])).

%% The escript's.
main([]) ->
    {error, Reason} = erluv:run(erluv, ["true"]),
    io:put_chars(erluv:format_error(Reason) ++ "\n").

%% What a function logs in warnings and worse.
failures(F) ->
    Events = erluv_harness:logged(fun() -> F(), ?LOG_NOTICE("the end of it") end,
                                  fun({_, Text, _}) -> Text =:= <<"the end of it">> end),
    [Text || {Level, Text, _} <- Events, logger:compare_levels(Level, notice) =:= gt].
