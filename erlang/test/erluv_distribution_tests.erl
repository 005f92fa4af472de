%% VMs that are no nodes, and nodes that are not found by EPMD.
-module(erluv_distribution_tests).

-export([distribution_test_/0]).
-export([t_made_a_node/0]).
-export([t_nothing_is_left/0]).
-export([t_nobody_else_can_connect/0]).
-export([t_strangers/0]).
-export([t_no_temporary_directory/0]).
-export([t_many_at_once/0]).
-export([t_again/0]).
-export([t_ends_with_the_application/0]).
-export([t_stays_for_others/0]).
-export([t_none/0]).
-export([t_wrong_mode/0]).
-export([t_dynamic_name/0]).
-export([t_cookie_file_of_others/0]).
-export([t_attach_needs_a_name/0]).
-export([t_does_not_listen/0]).
-export([t_fixed_port_without_epmd/0]).
-export([t_interface/0]).
-export([t_unknown_host/0]).
-export([t_ipv6/0]).
-export([t_inet_backend/0]).
-export([t_address_is_given/0]).
-export([t_several_need_epmd/0]).
-export([t_tls_by_its_optfile/0]).
-export([t_tls_by_its_arguments/0]).
-export([t_tls_that_is_not_handed_on/0]).
-export([t_tls_by_settings/0]).

-include_lib("stdlib/include/assert.hrl").

-import(erluv_harness, [with_vm/2, with_vm/3, dir/0]).

distribution_test_() ->
    erluv_harness:tests(?MODULE, plain).

t_made_a_node() ->
    with_vm([], fun(Call) ->
        ?assertEqual(nonode@nohost, Call(erlang, node, [])),
        run(Call),
        ?assertMatch("vm_" ++ _, atom_to_list(Call(erlang, node, []))),
        ?assertEqual([], Call(erlang, nodes, [])),
        ?assertMatch([_], Call(erlang, nodes, [hidden])),
        ?assertEqual([], Call(erluv_harness, listeners, []))
    end).

%% The directories exist during the start only; the home directory is not written to.
t_nothing_is_left() ->
    Temporary = dir(),
    Home = dir(),
    with_vm([], [{"TMPDIR", Temporary}, {"HOME", Home}, {"XDG_CONFIG_HOME", "/before"}], fun(Call) ->
        run(Call),
        ?assertEqual("/before", Call(os, getenv, ["XDG_CONFIG_HOME"])),
        ?assertEqual({ok, []}, file:list_dir(Temporary)),
        ?assertEqual({ok, []}, file:list_dir(Home))
    end),
    with_vm([], [{"TMPDIR", Temporary}, {"HOME", Home}], fun(Call) ->
        true = Call(os, unsetenv, ["XDG_CONFIG_HOME"]),
        run(Call),
        ?assertEqual(false, Call(os, getenv, ["XDG_CONFIG_HOME"]))
    end).

%% A cookie that others may know is not the node's.
t_nobody_else_can_connect() ->
    Home = dir(),
    File = filename:join(Home, ".erlang.cookie"),
    ok = file:write_file(File, "KNOWN"),
    ok = file:change_mode(File, 8#400),
    with_vm([], [{"HOME", Home}], fun(Call) ->
        run(Call),
        ?assertNotEqual('KNOWN', Call(erlang, get_cookie, []))
    end),
    with_vm(["-setcookie", "KNOWN"], fun(Call) ->
        run(Call),
        ?assertNotEqual('KNOWN', Call(erlang, get_cookie, []))
    end).

%% Until erluv has connected others may try, which neither keeps it out nor lets them in.
t_strangers() ->
    Go = filename:join(dir(), "go"),
    Executable = ["/bin/sh", "-c", "until [ -e $0 ]; do sleep 0.1; done; exec \"$@\"", Go
                  | erluv_harness:executable()],
    with_vm([], fun(Call) ->
        Self = self(),
        spawn_link(fun() -> Self ! {started, start(Call, #{executable => Executable})} end),
        erluv_harness:until(fun() -> Call(erluv_harness, listeners, []) =/= [] end),
        [{{127, 0, 0, 1}, Port}] = Call(erluv_harness, listeners, []),
        {ok, Silent} = gen_tcp:connect({127, 0, 0, 1}, Port, []),
        {ok, Wrong} = gen_tcp:connect({127, 0, 0, 1}, Port, [{active, true}]),
        ok = gen_tcp:send(Wrong, <<0, 3, "abc">>),
        receive {tcp_closed, Wrong} -> ok end,
        ok = file:write_file(Go, ""),
        ?assertMatch({ok, _}, receive {started, Result} -> Result end),
        ?assertMatch({ok, #{stdout := <<"hello\n">>}}, Call(erluv, run, [erluv, ["echo", "hello"]])),
        ?assertEqual({error, econnrefused}, gen_tcp:connect({127, 0, 0, 1}, Port, [])),
        ?assertMatch([_], Call(erlang, nodes, [hidden])),
        ok = gen_tcp:close(Silent)
    end).

t_no_temporary_directory() ->
    with_vm([], [{"TMPDIR", "/no/such/directory"}, {"HOME", dir()}], fun run/1).

t_many_at_once() ->
    with_vm([], fun(Call) ->
        ?assertEqual([ok], lists:usort(Call(erluv_harness, at_once, [20, erluv, start_distribution, []]))),
        run(Call)
    end).

%% Somebody else has ended the node.
t_again() ->
    with_vm([], fun(Call) ->
        ok = Call(erluv, start_distribution, []),
        First = Call(erlang, node, []),
        ok = Call(erluv, start_distribution, [none]),
        ok = Call(net_kernel, stop, []),
        ok = Call(erluv, start_distribution, []),
        ?assertNotEqual(First, Call(erlang, node, [])),
        run(Call)
    end).

t_ends_with_the_application() ->
    with_vm([], fun(Call) ->
        ok = Call(erluv, start_distribution, []),
        ok = Call(application, stop, [erluv]),
        ?assertEqual(nonode@nohost, Call(erlang, node, []))
    end).

t_stays_for_others() ->
    with_vm([], fun(Call) ->
        ok = Call(erluv, start_distribution, []),
        Node = Call(erlang, node, []),
        true = Call(erlang, set_cookie, [node(), erlang:get_cookie()]),
        true = Call(net_kernel, connect_node, [node()]),
        ok = Call(application, stop, [erluv]),
        ?assertEqual(Node, Call(erlang, node, []))
    end).

t_none() ->
    with_vm([], fun(Call) ->
        ok = Call(application, set_env, [erluv, distribution, none]),
        ?assertEqual({error, not_alive}, start(Call, #{})),
        ?assertEqual({error, not_alive}, Call(erluv, start_distribution, [none])),
        ?assertEqual(nonode@nohost, Call(erlang, node, []))
    end).

t_wrong_mode() ->
    with_vm([], fun(Call) ->
        ok = Call(application, set_env, [erluv, distribution, yes]),
        ?assertMatch({error, {bad_option, distribution, _}}, start(Call, #{}))
    end),
    ?assertError(badarg, erluv:start_distribution(yes)).

t_dynamic_name() ->
    with_vm(["-sname", "undefined"], fun(Call) ->
        {error, Reason} = start(Call, #{}),
        ?assertEqual(dynamic_name, Reason),
        ?assertMatch({match, _}, re:run(erluv:format_error(Reason), "-sname undefined"))
    end).

t_cookie_file_of_others() ->
    Home = dir(),
    File = filename:join(Home, ".erlang.cookie"),
    ok = file:write_file(File, "KNOWN"),
    ok = file:change_mode(File, 8#644),
    with_vm([], [{"HOME", Home}], fun(Call) ->
        {error, Reason} = start(Call, #{}),
        ?assertEqual("this node cannot be made a distributed one: Cookie file " ++ File
                     ++ " must be accessible by owner only", erluv:format_error(Reason))
    end).

t_attach_needs_a_name() ->
    with_vm([], fun(Call) ->
        ?assertEqual({error, not_alive}, start(Call, #{attach => any}))
    end).

t_does_not_listen() ->
    with_vm(["-name", "quiet@127.0.0.1", "-dist_listen", "false"], fun run/1).

t_fixed_port_without_epmd() ->
    with_vm(["-name", "fixed@127.0.0.1", "-erl_epmd_port", free_port()], fun run/1).

t_interface() ->
    with_vm(["-name", "other@127.0.0.1", "-erl_epmd_port", free_port(),
             "-kernel", "inet_dist_use_interface", "{127,0,0,3}"], fun run/1).

%% What only another source of the system's knows is not known to a static program.
t_unknown_host() ->
    with_vm(["-name", "far@host.invalid", "-erl_epmd_port", free_port()], fun(Call) ->
        run(Call),
        [Node] = Call(erlang, nodes, [hidden]),
        ?assertMatch([_, "host.invalid"], string:split(atom_to_list(Node), "@"))
    end).

t_ipv6() ->
    with_vm(["-proto_dist", "inet6_tcp", "-name", "six@::1", "-erl_epmd_port", free_port()], fun run/1).

t_inet_backend() ->
    with_vm(["-kernel", "inet_backend", "socket"], fun run/1).

%% An erluv that is told where to connect is not told otherwise.
t_address_is_given() ->
    with_vm(["-name", "given@127.0.0.1", "-erl_epmd_port", free_port()], fun(Call) ->
        {error, {exited, 1, Words}} = start(Call, #{settings => #{address => "127.0.0.1:1"}}),
        ?assertMatch({match, _}, re:run(Words, "127.0.0.1:1:"))
    end).

%% Of several nodes erluv asks EPMD, which does not know this one.
t_several_need_epmd() ->
    with_vm([], fun(Call) ->
        [begin
             {error, {bad_option, Key, Why}} = start(Call, #{settings => maps:merge(Settings, #{Key => Value})}),
             ?assertMatch({match, _}, re:run(Why, "EPMD does not know it"))
         end || {Key, Value, Settings} <- [{nodes, ['other@127.0.0.1'], #{}},
                                           {discover, "dns:x.example", #{discover_name => "shop@%h"}}]]
    end).

%% It is not linked with the process that makes the call, which ends.
start(Call, Options) ->
    case Call(gen_server, start, [{local, erluv}, erluv_node, Options, []]) of
        {error, {shutdown, {not_started, Reason}}} -> {error, Reason};
        Started -> Started
    end.

%% A node that speaks TLS hands on how, and erluv speaks it with the node's own listener.
t_tls_by_its_optfile() ->
    #{client := Client} = Files = tls_files(),
    with_tls(optfile(Files, Client), fun(Call) ->
        run(Call),
        ?assertEqual(["erluv_relay"], relays(Call)),
        ?assertMatch([_], Call(erluv_harness, listeners, []))
    end).

t_tls_by_its_arguments() ->
    #{client := Client, server := Server} = tls_files(),
    Words = fun(Side, Options) ->
        [Word || {Key, Value} <- Options, Word <- [Side ++ atom_to_list(Key), text(Value)]]
    end,
    with_tls(["-ssl_dist_opt" | Words("server_", Server) ++ Words("client_", Client)], fun(Call) ->
        run(Call),
        ?assertEqual(["erluv_relay"], relays(Call))
    end).

%% What erluv could not keep is no reason for it not to start: it connects on the loopback.
t_tls_that_is_not_handed_on() ->
    #{client := Client} = Files = tls_files(),
    lists:foreach(fun(Options) ->
        with_tls(optfile(Files, Options), fun(Call) ->
            run(Call),
            ?assertEqual([], relays(Call)),
            ?assertMatch([_], Call(erluv_harness, listeners, [])) % the node's own
        end)
    end, [[], lists:keyreplace(verify, 1, Client, {verify, verify_none}), [{crl_check, false} | Client]]),
    with_tls(optfile(Files, Client), fun(Call) ->
        {ok, _} = start(Call, #{settings => #{tls => off}}),
        ?assertEqual([], relays(Call))
    end).

t_tls_by_settings() ->
    #{client := [{certfile, Cert}, {keyfile, Key}, {cacertfile, CA} | _]} = Files = tls_files(),
    with_tls(optfile(Files, []), fun(Call) ->
        {ok, _} = start(Call, #{settings => #{tls => on, tls_ca => CA, tls_cert => Cert, tls_key => Key}}),
        ?assertEqual(["erluv_relay"], relays(Call))
    end),
    with_tls(optfile(Files, []), fun(Call) -> % and nothing else is known
        ?assertMatch({error, {exited, 2, <<"tls: no authority is named", _/binary>>}}, start(Call, #{settings => #{tls => on}}))
    end).

with_tls(Args, F) ->
    Name = "tls" ++ integer_to_list(erlang:unique_integer([positive])) ++ "@127.0.0.1",
    with_vm(["-name", Name, "-setcookie", "MONSTER", "-proto_dist", "inet_tls",
             "-kernel", "inet_dist_use_interface", "{127,0,0,1}" | Args], F).

%% What ps(1) calls the relays of erluv: children of its main process.
relays(Call) ->
    Main = integer_to_list(Call(erluv, info, [erluv, main_os_pid])),
    [Name || Stat <- filelib:wildcard("/proc/[0-9]*/stat"), {ok, Text} <- [file:read_file(Stat)],
             [_, Name, _, Parent | _] <- [string:lexemes(binary_to_list(Text), " ()")],
             Parent =:= Main, Name =:= "erluv_relay"].

optfile(#{server := Server, dir := Dir}, Client) ->
    File = filename:join(Dir, "options" ++ integer_to_list(erlang:unique_integer([positive]))),
    ok = file:write_file(File, io_lib:format("~p.~n", [[{server, Server}, {client, Client}]])),
    ["-ssl_dist_optfile", File].

%% The options of a node, and its files.
tls_files() ->
    {ok, _} = application:ensure_all_started(public_key),
    Dir = dir(),
    %% subjectAltName, not critical. OTP 27 and 29 of the tests have no public_key.hrl.
    Names = {'Extension', {2, 5, 29, 17}, false, [{dNSName, "127.0.0.1"}]},
    Key = [{key, {namedCurve, secp256r1}}, {digest, sha256}], % others need not be Go's
    Chain = #{root => Key, intermediates => [], peer => [{extensions, [Names]} | Key]},
    #{server_config := Server, client_config := Client} =
        public_key:pkix_test_data(#{server_chain => Chain, client_chain => Chain}),
    Write = fun(Name, Entries) ->
        File = filename:join(Dir, Name),
        ok = file:write_file(File, public_key:pem_encode(Entries)),
        ok = file:change_mode(File, 8#400),
        File
    end,
    Options = fun(Side, Config) ->
        {Type, Private} = proplists:get_value(key, Config),
        [{certfile, Write(Side ++ "cert", [{'Certificate', proplists:get_value(cert, Config), not_encrypted}])},
         {keyfile, Write(Side ++ "key", [{Type, Private, not_encrypted}])},
         {cacertfile, Write(Side ++ "ca", [{'Certificate', C, not_encrypted} || C <- proplists:get_value(cacerts, Config)])},
         {verify, verify_peer}]
    end,
    #{dir => Dir, server => Options("server", Server), client => Options("client", Client)}.

text(Atom) when is_atom(Atom) -> atom_to_list(Atom);
text(Text) -> Text.

run(Call) ->
    {ok, _} = start(Call, #{}),
    ?assertMatch({ok, #{stdout := <<"hello\n">>}}, Call(erluv, run, [erluv, ["echo", "hello"]])).

%% One that the kernel gives to no connection meanwhile: those are from 32768 on.
free_port() ->
    Port = 10000 + rand:uniform(22000),
    case gen_tcp:listen(Port, []) of
        {ok, Socket} ->
            ok = gen_tcp:close(Socket),
            integer_to_list(Port);
        {error, eaddrinuse} ->
            free_port()
    end.
