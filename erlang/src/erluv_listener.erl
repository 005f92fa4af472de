%% @private
%% Where the executable of an erluv_node connects to this node.
%%
%% That is the node's own listener. A node that has none (-dist_listen false, or made by
%% erluv_distribution), or whose listener speaks TLS and erluv does not (erluv_tls), gets one here: on
%% the loopback, until erluv has connected. What it accepts is authenticated by the cookie, as
%% what the node's own accepts is.
-module(erluv_listener).

-export([open/1]).
-export([address/1]).
-export([close/1]).

-export_type([listener/0]).

-record(listener, {
    address :: string(),
    acceptor :: pid() | undefined % undefined: it is the node's own
}).

-opaque listener() :: #listener{}.

%% As long as net_kernel gives a node to shake hands: milliseconds.
-define(SETUP_TIME, 7000).

%% @doc One for an erluv that speaks TLS with this node, or not. One that is made here is linked with
%% the caller.
-spec open(boolean()) -> {ok, listener()} | {error, {listen, term()}}.
open(TLS) ->
    case own(TLS, init:get_argument(proto_dist)) of
        [Address | _] -> {ok, #listener{address = text(Address)}};
        [] -> make()
    end.

%% @doc As erluv's setting `address' wants it.
-spec address(listener()) -> string().
address(#listener{address = Address}) -> Address.

-spec close(listener()) -> ok.
close(#listener{acceptor = undefined}) ->
    ok;
close(#listener{acceptor = Acceptor}) ->
    true = unlink(Acceptor),
    true = exit(Acceptor, kill),
    ok.

%% Addresses at which the node listens, if that is for what erluv speaks. Nothing else of
%% net_kernel's is a port with an address.
own(false, {ok, [[Protocol]]}) when Protocol =/= "inet_tcp", Protocol =/= "inet6_tcp" ->
    [];
own(_, _) ->
    Kernel = {connected, whereis(net_kernel)},
    [{IP, Port} || P <- erlang:ports(), erlang:port_info(P, connected) =:= Kernel,
                   {ok, {IP, Port}} <- [inet:sockname(P)], is_tuple(IP)].

text({{0, 0, 0, 0}, Port}) -> text({{127, 0, 0, 1}, Port});
text({{0, 0, 0, 0, 0, 0, 0, 0}, Port}) -> text({{0, 0, 0, 0, 0, 0, 0, 1}, Port});
text({IP, Port}) when tuple_size(IP) =:= 4 -> lists:concat([inet:ntoa(IP), ":", Port]);
text({IP, Port}) -> lists:concat(["[", inet:ntoa(IP), "]:", Port]).

make() ->
    % A distribution port must be one of the inet driver, whatever inet_backend says.
    case gen_tcp:listen(0, [{inet_backend, inet}, {ip, {127, 0, 0, 1}}, {active, false},
                            {packet, 2}, {nodelay, true}]) of
        {ok, Socket} ->
            {ok, Address} = inet:sockname(Socket),
            Acceptor = spawn_link(fun() -> receive owner -> accept(Socket) end end),
            ok = gen_tcp:controlling_process(Socket, Acceptor),
            Acceptor ! owner,
            {ok, #listener{address = text(Address), acceptor = Acceptor}};
        {error, Reason} ->
            {error, {listen, Reason}}
    end.

%% What the acceptor of inet_tcp_dist and net_kernel do together. do_accept/7 is exported,
%% though not documented, and the same from OTP 25 to 29.
accept(Listener) ->
    case gen_tcp:accept(Listener) of
        {ok, Socket} ->
            shake_hands(Socket),
            accept(Listener);
        {error, Reason} ->
            exit({listen, Reason})
    end.

shake_hands(Socket) ->
    Acceptor = self(),
    Kernel = whereis(net_kernel),
    Controller = spawn_opt(
                   fun() ->
                           true = link(Kernel),
                           inet_tcp_dist:do_accept(inet_tcp, Kernel, Acceptor, Socket, node(), [], ?SETUP_TIME)
                   end, [{priority, max}]),
    _ = gen_tcp:controlling_process(Socket, Controller), % of a closed one too
    Controller ! {Acceptor, controller},
    ok.
