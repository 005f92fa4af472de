%% @private
%% The erluv executable as a port of an erluv_node: what it is started with, what it
%% says, and how it ended. Its stdin is the port's: when that closes, erluv stops.
-module(erluv_executable).

-export([open/2]).
-export([which/0]).
-export([os_type/0]).
-export([runs_here/0]).
-export([options/0]).
-export([durations/0]).
-export([lists/0]).
-export([is_named/2]).
-export([message/3]).
-export([connected/1]).
-export([recovered/1]).
-export([words/1]).
-export([is_node/3]).
-export([await_exit/2]).
-export([close/1]).

-include_lib("kernel/include/logger.hrl").

-export_type([executable/0]).

-record(executable, {
    port :: port(),
    os_pid :: non_neg_integer() | undefined, % undefined: it has ended already
    prefix :: string(),                      % of its node name, with the @
    settings :: [atom()],                    % those that it was given as flags
    listener :: erluv_listener:listener() | undefined, % until it has connected
    said = [] :: [binary()]                  % its last lines, the newest first
}).

-opaque executable() :: #executable{}.

%% A line of its log that is longer comes as several: bytes.
-define(MAX_LINE, 16384).
%% So many lines are kept for an exit reason.
-define(MAX_SAID, 20).

%% @doc The options of an erluv_node that are for the executable.
-spec options() -> [atom()].
options() -> [executable, settings, config, cookie].

%% @doc Starts it, for the controller with this name.
-spec open(atom(), map()) -> {ok, executable()} | {error, term()}.
open(Controller, Options) ->
    try
        [Program | Args] = command(Options),
        Settings = settings(Options),
        Path = find(Program),
        Env = environment(Options),
        TLS = erluv_tls:settings(Settings),
        Listener = listener(Settings, TLS =/= none),
        Port = open_port({spawn_executable, Path},
                         [{args, Args ++ ["run", "--config", config(Options), flag(controller, Controller)]
                                 ++ [flag(Key, Value)
                                     || {Key, Value} <- served(here(Listener, quiet(Options, Settings ++ [S || TLS =/= none, S <- TLS])))]},
                          {env, Env},
                          {line, ?MAX_LINE}, exit_status, use_stdio, stderr_to_stdout,
                          binary, hide]),
        OsPid = case erlang:port_info(Port, os_pid) of
                    {os_pid, Number} -> Number;
                    undefined -> undefined
                end,
        {ok, #executable{port = Port, os_pid = OsPid, listener = Listener,
                         settings = proplists:get_keys(Settings),
                         prefix = text(proplists:get_value(name, Settings)) ++ "@"}}
    catch
        throw:Reason -> {error, Reason};
        error:Errno when is_atom(Errno), Errno =/= badarg ->
            {error, {executable, executable(Options), Errno}}
    end.

%% @doc Program and arguments that are started, unless the options say otherwise.
-spec which() -> {ok, [string(), ...]} | {error, term()}.
which() ->
    try
        [Program | Args] = command(#{}),
        {ok, [find(Program) | Args]}
    catch
        throw:Reason -> {error, Reason}
    end.

%% @doc The operating system. A test has another one.
-spec os_type() -> {unix | win32, atom()}.
os_type() ->
    application:get_env(erluv, os_type, os:type()).

%% @doc Whether there is an erluv for this operating system.
-spec runs_here() -> boolean().
runs_here() ->
    os_type() =:= {unix, linux}.

%% @doc Whether the settings give it the name of this node.
-spec is_named(node(), map()) -> boolean().
is_named(Node, Options) ->
    try text(proplists:get_value(name, settings(Options))) of
        Name -> lists:prefix(Name ++ "@", atom_to_list(Node) ++ "@")
    catch
        throw:_ -> false % open/2 says what is wrong
    end.

%% Program and arguments.
command(Options) ->
    case executable(Options) of
        [First | _] = Command when length(Command) > 0, not is_integer(First) -> [path(Word) || Word <- Command];
        Program -> [path(Program)]
    end.

path(Path) when is_list(Path), Path =/= []; is_binary(Path), Path =/= <<>> -> text(Path);
path(_) -> throw({bad_option, executable, <<"a path, or a list of a program and its arguments">>}).

executable(#{executable := Executable}) ->
    Executable;
executable(_) ->
    case application:get_env(erluv, executable) of
        {ok, Executable} -> Executable;
        undefined -> installed(code:which(?MODULE))
    end.

%% It lies beside ebin, if it was made; the directory above may have any name. Else in PATH.
installed(Beam) when is_list(Beam) ->
    File = filename:join([filename:dirname(filename:dirname(Beam)), "priv", "erluv"]),
    case filelib:is_regular(File) of
        true -> File;
        false -> "erluv"
    end;
installed(_) ->
    "erluv".

find(Program) ->
    case os:find_executable(Program) of
        false -> throw({no_executable, Program});
        Path -> Path
    end.

config(#{config := none}) -> "none";
config(#{config := File}) -> text(File);
config(_) -> "none".

%% The name is drawn here, so that we know whose event it is that comes.
settings(Options) ->
    Settings = case maps:get(settings, Options, #{}) of
                   Map when is_map(Map) -> maps:to_list(Map);
                   List when is_list(List) -> List;
                   _ -> throw({bad_option, settings, <<"a map or list of keys and values">>})
               end,
    lists:foreach(fun check/1, Settings),
    case lists:keymember(name, 1, Settings) of
        true -> Settings;
        false ->
            Prefix = text(proplists:get_value(prefix, Settings, "erluv_")),
            % Not from a generator of the process, which a crash report would show.
            {N, _} = rand:uniform_s(1 bsl 32, rand:seed_s(default)),
            Random = io_lib:format("~8.16.0b", [N - 1]),
            [{name, Prefix ++ lists:flatten(Random)} | lists:keydelete(prefix, 1, Settings)]
    end.

check({Key, _}) when Key =:= node; Key =:= controller; Key =:= reconnect; Key =:= detach ->
    throw({bad_option, Key, <<"erluv_node sets this itself">>});
check({allow_users, _}) ->
    throw({bad_option, allow_users, <<"it stands in a configuration file alone, which the option config names">>});
check({cookie, _}) ->
    throw({bad_option, cookie, <<"here it is an option: others could see it in settings">>});
check({nodes, Nodes}) when not is_list(Nodes); Nodes =:= []; is_integer(hd(Nodes)) ->
    throw({bad_option, nodes, <<"a list of node names">>});
check({Key, Value}) when is_atom(Key), is_atom(Value);
                         is_atom(Key), is_integer(Value);
                         is_atom(Key), is_binary(Value);
                         is_atom(Key), is_list(Value) ->
    ok;
check({Key, _}) when is_atom(Key) ->
    throw({bad_option, Key, <<"an atom, a string, a binary or an integer">>});
check(_) ->
    throw({bad_option, settings, <<"a map or list of keys and values">>}).

%% This node, and those that are served with it: each by itself, as each may come and go while
%% this one runs. Without others erluv ends with the connection, and is started anew.
served(Settings) ->
    case {lists:keytake(nodes, 1, Settings), others(Settings)} of
        {false, []} -> [{node, erlang:node()}, {reconnect, exit} | Settings];
        {false, _} -> [{node, erlang:node()} | default(serve, all, Settings)];
        {{value, {nodes, Nodes}, Rest}, _} ->
            This = text(erlang:node()),
            [{nodes, [This | [Name || Node <- Nodes, Name <- [text(Node)], Name =/= This]]} | default(serve, all, Rest)]
    end.

%% The settings that name other nodes than this one.
others(Settings) ->
    [Key || Key <- [nodes, discover], lists:keymember(Key, 1, Settings)].

flag(Key, Value) -> dashed(Key) ++ "=" ++ value(Key, Value).

dashed(Key) -> "--" ++ [case C of $_ -> $-; _ -> C end || C <- atom_to_list(Key)].

value(Key, Value) when is_integer(Value) ->
    case lists:member(Key, durations()) of
        true -> integer_to_list(Value) ++ "ms";
        false -> text(Value)
    end;
value(Key, [First | _] = Words) when not is_integer(First) ->
    case lists:member(Key, lists()) of
        true -> lists:flatten(lists:join(",", [text(Word) || Word <- Words]));
        false -> text(Words)
    end;
value(_, Value) -> text(Value).

%% @doc The settings whose numbers are milliseconds.
-spec durations() -> [atom()].
durations() -> [die_timeout, discover_interval, kill_timeout, lost_after, max_kill_timeout].

%% @doc The settings that are a list of words.
-spec lists() -> [atom()].
lists() -> [allow_nodes, disks, limits, nodes, tls_nodes].

%% This node knows better than EPMD where it listens. But erluv may be told to run elsewhere.
listener(Settings, TLS) ->
    case {lists:keymember(address, 1, Settings) orelse lists:keymember(epmd_port, 1, Settings), others(Settings)} of
        {true, _} -> undefined;
        {false, [Key | _]} -> in_epmd(Key);
        {false, []} ->
            case erluv_listener:open(TLS) of
                {ok, Listener} -> Listener;
                {error, Reason} -> throw(Reason)
            end
    end.

%% Of several nodes erluv asks EPMD, of this one too.
in_epmd(Key) ->
    [Alive, Host] = string:split(atom_to_list(erlang:node()), "@"),
    case erl_epmd:port_please(Alive, Host) of
        {port, _, _} -> undefined;
        _ -> throw({bad_option, Key, <<"erluv would look for this node too, and EPMD does not know it: "
                                       "start the VM with a name">>})
    end.

%% It is on the host of this node, whose name the system may not know.
here(undefined, Settings) ->
    Settings;
here(Listener, Settings) ->
    [_, Host] = string:split(atom_to_list(erlang:node()), "@"),
    default(host, Host, [{address, erluv_listener:address(Listener)} | Settings]).

%% That it is up is no news in a program that uses it. A file has its own mind.
quiet(#{config := File}, Settings) when File =/= none -> Settings;
quiet(_, Settings) -> default(log_level, warn, Settings).

default(Key, Value, Settings) ->
    case lists:keymember(Key, 1, Settings) of
        true -> Settings;
        false -> [{Key, Value} | Settings]
    end.

%% Nothing of ERLUV_... reaches it but the cookie, which would be seen in argv.
environment(Options) ->
    Inherited = [{Name, false} || {"ERLUV_" ++ _ = Name, _} <- os:env()],
    case maps:get(cookie, Options, erlang:get_cookie()) of
        file -> Inherited;
        Cookie when is_atom(Cookie) ->
            [{"ERLUV_COOKIE", atom_to_list(Cookie)}
             | lists:keydelete("ERLUV_COOKIE", 1, Inherited)];
        _ -> throw({bad_option, cookie, <<"an atom, or file">>})
    end.

text(Atom) when is_atom(Atom) -> atom_to_list(Atom);
text(Integer) when is_integer(Integer) -> integer_to_list(Integer);
text(Text) ->
    try unicode:characters_to_list(Text) of
        List when is_list(List) -> List;
        _ -> throw({bad_option, settings, <<"text is to be UTF-8">>})
    catch
        error:badarg -> throw({bad_option, settings, <<"text is to be a string, a binary or an atom">>})
    end.

%% @doc Takes a message of the port.
-spec message(port(), term(), executable() | undefined) ->
          {ok, executable()} | {exited, non_neg_integer(), binary()} | ignore.
message(Port, {data, {_, Line}}, #executable{port = Port, said = Said} = E) ->
    log(Line),
    {ok, E#executable{said = lists:sublist([Line | Said], ?MAX_SAID)}};
message(Port, {exit_status, Status}, #executable{port = Port}) when Status > 128 ->
    {exited, Status, <<>>}; % a signal ended it, of which it could say nothing
message(Port, {exit_status, Status}, #executable{port = Port} = E) ->
    {exited, Status, words(E)};
message(_, _, _) ->
    ignore.

%% @doc It has connected, and does not do so again.
-spec connected(executable() | undefined) -> executable() | undefined.
connected(#executable{listener = Listener} = E) when Listener =/= undefined ->
    ok = erluv_listener:close(Listener),
    E#executable{listener = undefined};
connected(E) ->
    E.

%% @doc What it said up to now is of no importance for its end.
-spec recovered(executable() | undefined) -> executable() | undefined.
recovered(undefined) -> undefined;
recovered(E) -> E#executable{said = []}.

%% What it ends with is told by the process, as the reason for which it has ended.
log(<<"erluv: warning: ", _/binary>> = Line) -> erluv_log:executable(Line);
log(<<"erluv: ", _/binary>>) -> ok;
log(Line) -> erluv_log:executable(Line).

%% @doc Its complaints, or if there are none the end of its log, without what is no problem.
-spec words(executable() | undefined) -> binary().
words(undefined) ->
    <<>>;
words(#executable{said = Said, settings = Settings}) ->
    Levels = [{Level, of_settings(Words, Settings)} || Line <- Said, {Level, Words} <- [erluv_log:level(Line)]],
    Words = case [Words || {error, Words} <- Levels] of
                [] -> lists:sublist([Words || {Level, Words} <- Levels, Level =/= info, Level =/= debug], 3);
                Complaints -> Complaints
            end,
    iolist_to_binary(lists:join("; ", lists:reverse(Words))).

%% A flag that nobody has typed is called what it was here.
of_settings(Words, Settings) ->
    lists:foldl(fun of_setting/2, Words, Settings).

of_setting(Key, Words) ->
    case string:prefix(Words, ["unknown flag: ", dashed(Key)]) of
        <<": is --", Rest/binary>> ->
            [Flag | _] = string:split(Rest, " meant?"),
            join(["settings: there is no ", atom_to_list(Key), ": is ", string:replace(Flag, "-", "_", all), " meant?"]);
        <<"; see erluv ", _/binary>> -> % run --help
            join(["settings: there is no ", atom_to_list(Key), ": erluv.conf(5) has all that there are"]);
        _ ->
            its_value(string:prefix(Words, dashed(Key)), Key, Words)
    end.

%% Flags of other settings begin alike.
its_value(<<" ", _/binary>> = Rest, Key, _) -> join(["settings: ", atom_to_list(Key), Rest]);
its_value(_, _, Words) -> Words.

join(Text) -> unicode:characters_to_binary(Text).

%% @doc Whether an event is of this executable.
-spec is_node(node(), map(), executable()) -> boolean().
is_node(Node, Info, #executable{prefix = Prefix, os_pid = OsPid}) ->
    lists:prefix(Prefix, atom_to_list(Node))
        orelse OsPid =/= undefined andalso maps:get(main_os_pid, Info, none) =:= OsPid.

%% @doc Waits until it has ended, logging what it says, not longer than this from its
%% last words: milliseconds.
-spec await_exit(timeout(), executable()) -> exited | timeout.
await_exit(Timeout, #executable{port = Port} = Executable) ->
    receive
        {Port, Message} ->
            case message(Port, Message, Executable) of
                {ok, Kept} -> await_exit(Timeout, Kept);
                {exited, 0, _} -> exited;
                {exited, Status, Words} ->
                    ?LOG_ERROR("~ts", [erluv_error:text({exited, Status, Words})], #{domain => [erluv]}),
                    exited;
                ignore -> await_exit(Timeout, Executable)
            end
    after Timeout -> timeout
    end.

%% @doc Closes its stdin, at which it stops.
-spec close(executable()) -> ok.
close(#executable{port = Port} = E) ->
    _ = connected(E),
    try port_close(Port) of
        true -> ok
    catch
        error:badarg -> ok % it has ended
    end.
