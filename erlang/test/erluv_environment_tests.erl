%% What a program inherits has the bytes that it has in the environment of the VM, whatever
%% text that is for the VM.
-module(erluv_environment_tests).

-export([environment_test_/0]).
-export([t_latin1/0]).
-export([t_utf8/0]).

-include_lib("stdlib/include/assert.hrl").

%% é in UTF-8, and in Latin-1; both.
-define(UTF8, 195, 169).
-define(LATIN1, 233).

environment_test_() ->
    erluv_harness:tests(?MODULE, plain).

t_latin1() ->
    inherits("C", latin1).

t_utf8() ->
    inherits("C.UTF-8", utf8).

%% What the VM itself has set is encoded as the VM does it.
inherits(Locale, Encoding) ->
    Dir = erluv_harness:dir(),
    Bin = iolist_to_binary([Dir, "/jos", <<?LATIN1>>]),
    ok = file:make_dir(Bin),
    Program = <<Bin/binary, "/jtool">>,
    ok = file:write_file(Program, "#!/bin/sh\necho found\n"),
    ok = file:change_mode(Program, 8#755),
    Script = ["e=$(printf '\\303\\251') l=$(printf '\\351'); export LC_ALL=", Locale, "; ",
              "export O_UTF8=$e O_LATIN1=$l O_BOTH=$l$e O_SET=$l O_PLAIN=x=y; PATH=\"", Dir, "/jos$l:$PATH\"; ",
              "exec \"$0\" \"$@\""],
    vm(Script, fun(Call) ->
        ?assertEqual(Encoding, Call(file, native_name_encoding, [])),
        true = Call(os, putenv, ["O_SET", [?LATIN1, $x]]),
        Set = unicode:characters_to_binary([?LATIN1, $x], unicode, Encoding),
        {ok, [{stdout, Out}]} = Call(erluv_exec, run, [["env"], [sync, stdout]]),
        Lines = [Line || <<"O_", _/binary>> = Line <- binary:split(iolist_to_binary(Out), <<"\n">>, [global])],
        ?assertEqual([<<"O_BOTH=", ?LATIN1, ?UTF8>>, <<"O_LATIN1=", ?LATIN1>>, <<"O_PLAIN=x=y">>,
                      <<"O_SET=", Set/binary>>, <<"O_UTF8=", ?UTF8>>], lists:sort(Lines)),
        ?assertEqual({ok, [{stdout, [<<"found\n">>]}]}, Call(erluv_exec, run, [["jtool"], [sync, stdout]])),
        ?assertMatch({ok, #{stdout := <<"found\n">>}}, Call(erluv, run, [erluv, ["jtool"]]))
    end).

%% A VM with an environment that a port cannot give to it.
vm(Script, F) ->
    {ok, Erl} = init:get_argument(progname),
    {ok, Peer, _} = peer:start_link(#{connection => standard_io, wait_boot => 120000,
                                      exec => {"/bin/sh", ["-c", lists:flatten(Script), os:find_executable(hd(hd(Erl)))]},
                                      args => ["-start_epmd", "false" | erluv_harness:paths()]}),
    ok = erluv_harness:call(Peer, application, set_env, [erluv, executable, erluv_harness:executable()]),
    {ok, _} = erluv_harness:call(Peer, erluv_exec, start, []),
    F(fun(Module, Function, Args) -> erluv_harness:call(Peer, Module, Function, Args) end),
    peer:stop(Peer).
