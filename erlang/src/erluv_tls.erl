%% @private
%% What the executable of an erluv_node is told of TLS: the options that this node has itself, if
%% it speaks TLS with other nodes (-proto_dist inet_tls).
%%
%% They are handed on if erluv can keep them, and check this node by them as another node would.
%% Otherwise erluv connects without TLS, on the loopback: see erluv_listener.
-module(erluv_tls).

-export([settings/1]).

%% @doc The settings for TLS that are not among these; none: erluv does not speak it.
-spec settings([{atom(), term()}]) -> [{atom(), term()}] | none.
settings(Given) ->
    case proplists:get_value(tls, Given) of
        undefined -> own(speaks(init:get_argument(proto_dist)), single(Given));
        Off when Off =:= off; Off =:= "off"; Off =:= <<"off">> -> none;
        _ ->
            case own(speaks(init:get_argument(proto_dist)), single(Given)) of
                none -> [];
                Own -> lists:keydelete(tls, 1, Own)
            end
    end.

speaks({ok, [["inet_tls"]]}) -> true;
speaks({ok, [["inet6_tls"]]}) -> true;
speaks(_) -> false.

%% Settings that say how, of which none is added to others.
single(Given) ->
    [] =/= [Key || {Key, _} <- Given, lists:member(Key, [tls_ca, tls_cert, tls_key, tls_verify,
                                                         tls_server_name, tls_optfile])].

own(false, _) -> none;
own(true, true) -> [{tls, on}];
own(true, false) ->
    case {init:get_argument(ssl_dist_optfile), init:get_argument(ssl_dist_opt)} of
        {{ok, [[File]]}, error} -> of_file(filename:absname(File));
        {error, {ok, Words}} -> of_words(pairs(lists:append(Words)));
        _ -> none
    end.

%% Those of the file for the client, as ssl has read them at the start of the VM.
of_file(File) ->
    Options = try ets:lookup(ssl_dist_opts, client) of
                  [{client, List}] -> List;
                  [] -> []
              catch
                  error:badarg -> []
              end,
    Paths = [Path || {Key, Path} <- Options, lists:member(Key, [cacertfile, certfile, keyfile])],
    case keeps(Options) andalso lists:all(fun is_absolute/1, Paths) of
        true -> [{tls, on}, {tls_optfile, File}];
        false -> none
    end.

%% Whether this node is checked by them, and erluv knows all that say whom to trust.
keeps(Options) ->
    lists:keymember(cacertfile, 1, Options)
        andalso proplists:get_value(verify, Options) =:= verify_peer
        andalso [] =:= [Key || Key <- [password, verify_fun, partial_chain, customize_hostname_check, crl_check,
                                       cert, key, cacerts, certs_keys, psk_identity, srp_identity],
                               lists:keymember(Key, 1, Options)].

%% In the file a path of another kind than an absolute one begins where the VM was started.
is_absolute(Path) -> filename:pathtype(Path) =:= absolute.

pairs([Key, Value | Rest]) -> [{Key, Value} | pairs(Rest)];
pairs(_) -> [].

of_words(Words) ->
    Find = fun(Key) -> proplists:get_value("client_" ++ Key, Words) end,
    case {Find("cacertfile"), Find("verify"), [Key || Key <- ["password", "verify_fun", "crl_check"], Find(Key) =/= undefined]} of
        {File, "verify_peer", []} when File =/= undefined ->
            [{tls, on} | [{Setting, filename:absname(Path)}
                          || {Setting, Key} <- [{tls_ca, "cacertfile"}, {tls_cert, "certfile"}, {tls_key, "keyfile"}],
                             Path <- [Find(Key)], Path =/= undefined]];
        _ ->
            none
    end.
