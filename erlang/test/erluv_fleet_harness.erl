%% What the tests of the fleet share: control nodes, which are this one and peers, and hosts, which
%% are erluvs of different names.
-module(erluv_fleet_harness).

-export([fleet/0]).
-export([fleet/1]).
-export([control/0]).
-export([stranger/0]).
-export([stay/0]).
-export([hidden/1]).
-export([up/1]).
-export([up/2]).
-export([event/2]).
-export([started/2]).
-export([stopped/1]).
-export([end_host/1]).
-export([end_control/1]).
-export([signal/2]).
-export([names/1]).
-export([one/1]).
-export([workers/1]).

-import(erluv_harness, [until/1, alive/1]).

%% The fleet ends with the test, and so do the hosts, whose ports it owns.
fleet() -> fleet(#{refresh => infinity}).

fleet(Options) ->
    until(fun() -> whereis(erluv_fleet_sup) =:= undefined end),
    {ok, _} = erluv_fleet:start_link(Options),
    ok = erluv_fleet:subscribe().

%% A control node that is connected with this one.
control() ->
    {Peer, Node} = stranger(),
    pong = net_adm:ping(Node),
    {Peer, Node}.

%% A control node that is not, until one of the two calls the other.
stranger() ->
    {ok, Peer, Node} =
        peer:start_link(#{name => peer:random_name(control), wait_boot => 120000, host => "127.0.0.1", longnames => true,
                          connection => standard_io,
                          args => ["-start_epmd", "false", "-setcookie", atom_to_list(erlang:get_cookie()),
                                   "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-kernel", "logger_level", "none"
                                   | erluv_harness:paths()]}),
    true = erluv_harness:call(Peer, ?MODULE, stay, []),
    {Peer, Node}.

%% Its fleet, which ends with that node.
stay() ->
    Self = self(),
    Pid = spawn(fun() ->
                        {ok, _} = erluv_fleet:start_link(#{refresh => infinity}),
                        Self ! {self(), true},
                        receive never -> ok end
                end),
    erluv_harness:next(Pid).

%% An erluv that serves this node, or others.
host(Nodes, Args) ->
    Name = "host" ++ integer_to_list(erlang:unique_integer([positive])),
    [Program | First] = erluv_harness:executable(),
    Port = open_port({spawn_executable, Program},
                     [{args, First ++ configured(Args) ++ ["--controller", "erluv_fleet", "--name", Name, "--nodes",
                                       lists:flatten(lists:join(",", [atom_to_list(Node) || Node <- Nodes])) | Args]},
                      {env, [{"ERLUV_COOKIE", atom_to_list(erlang:get_cookie())}]}, exit_status, {line, 10000}, stderr_to_stdout]),
    {list_to_atom(Name ++ "@127.0.0.1"), Port}.

configured(["--config" | _]) -> [];
configured(_) -> ["--config", "none"].

up(Args) -> up([node()], Args).

up(Nodes, Args) ->
    {Node, Port} = host(Nodes, Args),
    #{node := Node} = event(up, Node),
    {Node, Port}.

event(What, Node) ->
    receive {erluv_fleet, {What, Node, Info}} -> Info after 120000 -> error({no, What, Node, messages()}) end.

started(Node, Worker) ->
    receive {erluv_fleet, {task_started, Node, Worker, Info}} -> Info after 120000 -> error({not_counted, Worker, messages()}) end.

stopped(Worker) ->
    receive {erluv_fleet, {task_stopped, _, Worker, Reason}} -> Reason after 120000 -> error({runs, Worker, messages()}) end.

messages() -> process_info(self(), messages).

end_host({Node, Port}) ->
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    signal("KILL", OsPid),
    Node.

signal(Signal, OsPid) ->
    [] = os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(OsPid)).

end_control(Peer) ->
    OsPid = list_to_integer(erluv_harness:call(Peer, os, getpid, [])),
    unlink(Peer),
    signal("KILL", OsPid),
    until(fun() -> not alive(OsPid) end).

names(Filter) -> [Node || #{node := Node} <- erluv_fleet:nodes(Filter)].

one(Node) ->
    [Host] = erluv_fleet:nodes(#{node => Node}),
    Host.

workers(Node) -> maps:get(workers, one(Node)).

%% The name of an erluv that serves others, and of which no event comes here.
hidden(Nodes) ->
    {Node, _} = host(Nodes, []),
    Node.
