%% The node's side of the tests. It evaluates Erlang source from file descriptor 3, answers on file
%% descriptor 4, and keeps the errors that the node logs. It ends the node when descriptor 3 closes,
%% so no test leaves one behind.
%%
%% Requests are frames of 4 bytes length and "ID SESSION TIMEOUT\nSOURCE". SESSION is - for a fresh
%% process. Otherwise it is the registered name of a process with a mailbox and bindings of its own,
%% which lives as long as the node. Answers are "ID ok\nVALUE" or "ID error\nWHY".
-module(e2e_server).

-export([start/0]).
-export([errors/0]).
-export([log/2]).

start() ->
    spawn(fun() ->
        register(?MODULE, self()),
        ok = logger:add_handler(?MODULE, ?MODULE, #{level => error}),
        ok = load(init:get_argument(proto_dist)),
        Port = open_port({fd, 3, 4}, [binary, {packet, 4}, eof]),
        loop(Port, #{}, [])
    end).

%% Loads the code for a TLS handshake. Otherwise the first handshake would load it, and on a busy
%% machine take longer than its peer waits.
load({ok, [["inet_tls"]]}) ->
    {ok, _} = application:ensure_all_started(ssl),
    Keys = [application:get_key(App, modules) || App <- [crypto, asn1, public_key, ssl]],
    code:ensure_modules_loaded([dist_util | lists:append([Modules || {ok, Modules} <- Keys])]);
load(_) ->
    ok.

%% The errors logged since the last call, oldest first.
errors() ->
    Ref = make_ref(),
    ?MODULE ! {errors, self(), Ref},
    receive
        {Ref, Errors} -> Errors
    end.

%% The logger's callback, in the process that logs.
log(Event, _Config) ->
    ?MODULE ! {log, logger_formatter:format(Event, #{single_line => true})},
    ok.

%% Running: #{Pid => {Id, Timer}}.
loop(Port, Running, Errors) ->
    receive
        {Port, {data, Frame}} ->
            {Id, Session, Timeout, Source} = parse(Frame),
            Pid = session(Session),
            Pid ! {?MODULE, eval, Source},
            Timer = erlang:start_timer(Timeout, self(), Pid),
            loop(Port, Running#{Pid => {Id, Timer}}, Errors);
        {Port, eof} ->
            erlang:halt(0, [{flush, false}]);
        {value, Pid, Result} ->
            loop(Port, answer(Port, Pid, Result, Running), Errors);
        {'DOWN', _, process, Pid, Reason} ->
            Why = text("the process that evaluates ended: ~tP", [Reason, 30]),
            loop(Port, answer(Port, Pid, {error, Why}, Running), Errors);
        {timeout, _, Pid} ->
            Why = text("timeout; the process that evaluates: ~tP", [
                process_info(Pid, [messages, current_stacktrace, status]), 60
            ]),
            exit(Pid, kill),
            loop(Port, answer(Port, Pid, {error, Why}, Running), Errors);
        {log, Text} ->
            loop(Port, Running, [unicode:characters_to_binary(Text) | Errors]);
        {errors, From, Ref} ->
            From ! {Ref, lists:reverse(Errors)},
            loop(Port, Running, [])
    end.

answer(Port, Pid, {Status, Text}, Running) ->
    case maps:take(Pid, Running) of
        {{Id, Timer}, Rest} ->
            _ = erlang:cancel_timer(Timer),
            port_command(Port, [Id, " ", atom_to_list(Status), "\n", Text]),
            Rest;
        error ->
            Running
    end.

parse(Frame) ->
    [Head, Source] = binary:split(Frame, <<"\n">>),
    [Id, Session, Timeout] = binary:split(Head, <<" ">>, [global]),
    {Id, Session, binary_to_integer(Timeout), Source}.

session(<<"-">>) ->
    start(false, fun(_, _) -> ok end);
session(Name) ->
    Atom = binary_to_atom(Name),
    case whereis(Atom) of
        undefined -> start(Atom, fun evaluate/2);
        Pid -> Pid
    end.

start(Name, Next) ->
    Server = self(),
    Started = make_ref(),
    {Pid, _} = spawn_monitor(fun() ->
        Name =:= false orelse register(Name, self()),
        process_flag(trap_exit, true),
        Server ! Started,
        evaluate(Server, erl_eval:new_bindings(), Next)
    end),
    receive
        Started -> Pid
    end.

evaluate(Server, Bindings) ->
    evaluate(Server, Bindings, fun evaluate/2).

evaluate(Server, Bindings, Next) ->
    Source =
        receive
            {?MODULE, eval, S} -> S
        end,
    try
        {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Source)),
        {ok, Exprs} = erl_parse:parse_exprs(Tokens),
        erl_eval:exprs(Exprs, Bindings)
    of
        {value, Value, New} ->
            Server ! {value, self(), {ok, value(Value)}},
            Next(Server, New)
    catch
        Class:Reason:Stack ->
            Why = text("~p: ~tP~n~tP", [Class, Reason, 30, Stack, 30]),
            Server ! {value, self(), {error, Why}},
            Next(Server, Bindings)
    end.

%% Maps in the order of their keys. From OTP 26 on a modifier does that, which 25 does not know.
value(Value) ->
    case erlang:system_info(otp_release) >= "26" of
        true -> text("~0tkp", [Value]);
        false -> text("~0tp", [Value])
    end.

text(Format, Args) ->
    unicode:characters_to_binary(io_lib:format(Format, Args)).
