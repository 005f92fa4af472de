%% @doc The functions, options and messages of erlexec's module `exec', on erluv.
%%
%% A project that uses erlexec changes the name of the module: `doc/from-erlexec.md'
%% says what is the same and what is not. What is new should use {@link erluv}.
%%
%% A program is known by the pid of an Erlang process and by its number in the operating
%% system, and each function takes either, or a port, which has one too. In the
%% examples the process `erluv_exec' has been started.
-module(erluv_exec).

-export([start/0]).
-export([start/1]).
-export([start_link/1]).
-export([run/2]).
-export([run/3]).
-export([run_link/2]).
-export([run_link/3]).
-export([send/2]).
-export([stop/1]).
-export([stop_and_wait/2]).
-export([kill/2]).
-export([winsz/3]).
-export([pty_opts/2]).
-export([which_children/0]).
-export([ospid/1]).
-export([pid/1]).
-export([status/1]).
-export([signal/1]).
-export([signal_to_int/1]).
-export([debug/1]).
-export([default/0]).
-export([default/1]).

-export_type([cmd/0]).
-export_type([ospid/0]).
-export_type([program/0]).
-export_type([exec_options/0]).
-export_type([cmd_options/0]).
-export_type([output/0]).

-type cmd() :: binary() | string() | [string() | binary(), ...].
-type ospid() :: pos_integer().
-type program() :: pid() | ospid() | port().
-type exec_options() :: [{node, erluv:server()} | {erluv, erluv_node:options()} | {user, string()}
                         | {portexe, string()} | {alarm, non_neg_integer()}
                         | debug | {debug, term()} | verbose | {verbose, boolean()}
                         | {args, term()} | {env, term()}].
-type cmd_options() :: [atom() | tuple()].
-type output() :: [{stdout | stderr, [binary()]} | {exit_status, non_neg_integer()}].

%% @equiv start([])
-spec start() -> {ok, pid()} | {error, term()}.
start() ->
    start([]).

%% @doc Starts the process `erluv_exec' without a supervisor. See {@link start_link/1}.
%%
%% ```
%% {error, {already_started, _}} = erluv_exec:start([{node, erluv}]).
%% '''
-spec start(exec_options()) -> {ok, pid()} | {error, term()}.
start(Options) ->
    erluv_exec_server:start(Options).

%% @doc Starts the process `erluv_exec', which all other functions need.
%%
%% With `{node, Server}' it uses the erluv that {@link erluv} knows as `Server'. Without,
%% it owns one: `{erluv, Options}' are those of {@link erluv_node:start_link/1},
%% `{user, User}' and `{portexe, Path}' the setting `user' and the `executable' among them.
%% `debug', `verbose', `alarm', `args' and `env' are taken and have no effect: there is no
%% port program. It ends all programs
%% when it ends.
%%
%% ```
%% {error, {already_started, _}} = erluv_exec:start_link([]).
%% '''
-spec start_link(exec_options()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    erluv_exec_server:start_link(Options).

%% @equiv run(Cmd, Options, infinity)
-spec run(cmd(), cmd_options()) -> {ok, pid(), ospid()} | {ok, output()} | {error, term()}.
run(Cmd, Options) ->
    run(Cmd, Options, infinity).

%% @doc Runs a program, with `sync' until it has ended.
%%
%% `Timeout' is how long that may take, with `sync', in milliseconds: then the program is
%% stopped, and the answer is `{error, timeout}'.
%%
%% ```
%% {ok, _, OsPid} = erluv_exec:run("read x; echo got $x", [stdin, stdout, monitor]),
%% ok = erluv_exec:send(OsPid, <<"this\n">>),
%% receive {stdout, OsPid, <<"got this\n">>} -> ok end,
%% receive {'DOWN', OsPid, process, _, normal} -> ok end,
%% {ok, [{stdout, [<<"ok\n">>]}]} = erluv_exec:run(["/bin/echo", "ok"], [sync, stdout], 60000),
%% {error, [{exit_status, 256}]} = erluv_exec:run("exit 1", [sync]).
%% '''
-spec run(cmd(), cmd_options(), timeout()) ->
          {ok, pid(), ospid()} | {ok, output()} | {error, term()}.
run(Cmd, Options, Timeout) ->
    case erluv_exec_options:read(Cmd, Options) of
        {ok, #{sync := true} = Run} -> sync(Run, Timeout);
        {ok, Run} -> erluv_exec_process:start(Run);
        {error, _} = Error -> Error
    end.

sync(Run, Timeout) ->
    case erluv_exec_process:start(Run) of
        {ok, Pid, _} -> erluv_exec_process:await(Pid, Timeout);
        {error, _} = Error -> Error
    end.

%% @equiv run_link(Cmd, Options, infinity)
-spec run_link(cmd(), cmd_options()) -> {ok, pid(), ospid()} | {ok, output()} | {error, term()}.
run_link(Cmd, Options) ->
    run_link(Cmd, Options, infinity).

%% @doc Runs a program, and links the caller with its process: if one ends, so does the
%% other.
%%
%% ```
%% process_flag(trap_exit, true),
%% {ok, Pid, _} = erluv_exec:run_link("exit 3", []),
%% receive {'EXIT', Pid, {exit_status, 768}} -> {status, 3} = erluv_exec:status(768) end.
%% '''
-spec run_link(cmd(), cmd_options(), timeout()) ->
          {ok, pid(), ospid()} | {ok, output()} | {error, term()}.
run_link(Cmd, Options, Timeout) ->
    run(Cmd, [link | Options], Timeout).

%% @doc Writes to the stdin of a program that was run with `stdin' or `pty'; `eof'
%% closes it.
%%
%% It returns when all of it is in the pipe.
%%
%% ```
%% {ok, _, OsPid} = erluv_exec:run(["sort"], [stdin, stdout]),
%% ok = erluv_exec:send(OsPid, <<"b\na\n">>),
%% ok = erluv_exec:send(OsPid, eof),
%% receive {stdout, OsPid, <<"a\nb\n">>} -> ok end.
%% '''
-spec send(program(), iodata() | eof) -> ok | {error, term()}.
send(Program, eof) ->
    with_worker(Program, fun erluv:close/1);
send(Program, Data) ->
    with_worker(Program, fun(Worker) -> erluv:write(Worker, Data) end).

%% @doc Stops a program, and returns at once: by the command of the option `kill' or by
%% SIGTERM, and by SIGKILL after `kill_timeout'. The command is run by this node, and has
%% the program's number in the variable CHILD_PID.
%%
%% Its process ends with the reason `normal'.
%%
%% ```
%% {ok, Pid, OsPid} = erluv_exec:run(["sleep", "60"], [monitor]),
%% ok = erluv_exec:stop(Pid),
%% receive {'DOWN', OsPid, process, Pid, normal} -> ok end.
%% '''
-spec stop(program()) -> ok | {error, term()}.
stop(Program) ->
    with_process(Program, fun erluv_exec_process:stop/1).

%% @doc Stops a program and waits until it has ended, for so many milliseconds.
%%
%% Returns the reason with which its process has ended.
%%
%% ```
%% {ok, _, OsPid} = erluv_exec:run(["sleep", "60"], []),
%% normal = erluv_exec:stop_and_wait(OsPid, 10000),
%% {error, not_found} = erluv_exec:stop_and_wait(OsPid, 10000).
%% '''
-spec stop_and_wait(program(), timeout()) -> term() | {error, term()}.
stop_and_wait(Program, Timeout) ->
    with_process(Program, fun(Pid) -> stop_process(Pid, Timeout) end).

stop_process(Pid, Timeout) ->
    Ref = erlang:monitor(process, Pid),
    _ = erluv_exec_process:stop(Pid),
    receive
        {'DOWN', Ref, process, Pid, Reason} -> Reason
    after Timeout ->
        true = erlang:demonitor(Ref, [flush]),
        {error, timeout}
    end.

%% @doc Sends a signal, by number or name, to the program alone.
%%
%% ```
%% {ok, Pid, OsPid} = erluv_exec:run(["sleep", "60"], [monitor]),
%% ok = erluv_exec:kill(OsPid, 9),
%% receive {'DOWN', OsPid, process, Pid, {exit_status, 9}} -> ok end.
%% '''
-spec kill(program(), integer() | atom()) -> ok | {error, term()}.
kill(Program, Signal) ->
    with_worker(Program, fun(Worker) -> erluv:signal(Worker, Signal) end).

%% @doc Sets the size of the terminal of a program that was run with `pty'.
%%
%% ```
%% {ok, _, OsPid} = erluv_exec:run("read x; stty size", [stdin, stdout, pty, {winsz, {24, 80}}]),
%% ok = erluv_exec:winsz(OsPid, 50, 132),
%% ok = erluv_exec:send(OsPid, <<"\n">>),
%% receive {stdout, OsPid, <<"50 132\r\n">>} -> ok end.
%% '''
-spec winsz(program(), pos_integer(), pos_integer()) -> ok | {error, term()}.
winsz(Program, Rows, Cols) ->
    with_worker(Program, fun(Worker) -> erluv:resize(Worker, Rows, Cols) end).

%% @doc Changes modes of the terminal of a program that was run with `pty', as
%% {@link run/3} takes them for a new one.
%%
%% It runs stty(1) on this machine, as the user of this node, who must be root. The user of
%% the program does too, if erluv was not started by root, or the program was run with
%% `{pty, [reopen]}'.
%%
%% ```
%% {ok, _, OsPid} = erluv_exec:run("read x; stty -a | grep -o -e -opost", [stdin, stdout, pty]),
%% ok = erluv_exec:pty_opts(OsPid, [{opost, 0}, {vintr, 7}]),
%% ok = erluv_exec:send(OsPid, <<"\n">>),
%% receive {stdout, OsPid, <<"-opost\n">>} -> ok end.
%% '''
-spec pty_opts(program(), [{atom(), integer() | boolean()}]) -> ok | {error, term()}.
pty_opts(Program, Modes) ->
    case {erluv_exec_options:stty(Modes), with_process(Program, fun erluv_exec_process:ospid/1)} of
        {{error, _} = Error, _} -> Error;
        {_, {error, _} = Error} -> Error;
        {{ok, Words}, OsPid} -> stty(OsPid, Words)
    end.

stty(OsPid, Words) ->
    Terminal = "/proc/" ++ integer_to_list(OsPid) ++ "/fd/0",
    case erluv_exec_local:run(["stty", "-F", Terminal | Words], []) of
        {0, _} -> ok;
        {error, _} = Error -> Error;
        {_, Why} -> {error, string:trim(Why)}
    end.

%% @doc The numbers of all programs that run.
%%
%% ```
%% {ok, _, OsPid} = erluv_exec:run(["sleep", "60"], []),
%% true = lists:member(OsPid, erluv_exec:which_children()).
%% '''
-spec which_children() -> [ospid()].
which_children() ->
    erluv_exec_server:ospids().

%% @doc The number of the program of a process.
%%
%% ```
%% {ok, Pid, OsPid} = erluv_exec:run(["sleep", "60"], []),
%% OsPid = erluv_exec:ospid(Pid).
%% '''
-spec ospid(pid()) -> ospid() | {error, term()}.
ospid(Pid) ->
    erluv_exec_process:ospid(Pid).

%% @doc The process of the program with this number.
%%
%% ```
%% {ok, Pid, OsPid} = erluv_exec:run(["sleep", "60"], []),
%% Pid = erluv_exec:pid(OsPid),
%% undefined = erluv_exec:pid(1).
%% '''
-spec pid(ospid()) -> pid() | undefined.
pid(OsPid) ->
    erluv_exec_server:pid(OsPid).

%% @doc What the number in `{exit_status, Status}' says, which is that of wait(2).
%%
%% ```
%% {status, 1} = erluv_exec:status(256),
%% {signal, sigsegv, true} = erluv_exec:status(139).
%% '''
-spec status(non_neg_integer()) ->
          {status, byte()} | {signal, Signal :: atom() | integer(), Core :: boolean()}.
status(Status) ->
    case Status band 127 of
        0 -> {status, Status bsr 8 band 255};
        Signal -> {signal, signal(Signal), Status band 128 =/= 0}
    end.

%% @doc The name of a signal; the number itself if it has none.
%%
%% ```
%% sigterm = erluv_exec:signal(15),
%% 40 = erluv_exec:signal(40).
%% '''
-spec signal(integer()) -> atom() | integer().
signal(Number) ->
    erluv_signal:name(Number).

%% @doc The number of a signal.
%%
%% ```
%% 15 = erluv_exec:signal_to_int(sigterm),
%% 40 = erluv_exec:signal_to_int(40).
%% '''
-spec signal_to_int(atom() | integer()) -> integer().
signal_to_int(Signal) ->
    erluv_signal:number(Signal).

%% @doc Sets how much is told for debugging, which is nothing: the old level is 0, too. What
%% erluv tells is its setting `log_level'.
%%
%% ```
%% {ok, 0} = erluv_exec:debug(2).
%% '''
-spec debug(non_neg_integer()) -> {ok, 0}.
debug(Level) when is_integer(Level), Level >= 0 ->
    {ok, 0}.

%% @doc What the options of {@link start_link/1} are when they are not given.
%%
%% ```
%% true = lists:member({user, ""}, erluv_exec:default()).
%% '''
-spec default() -> [{atom(), term()}].
default() ->
    [{debug, 0}, {verbose, false}, {args, ""}, {alarm, 0}, {portexe, default(portexe)}, {user, ""}].

%% @doc One of them.
%%
%% ```
%% "" = erluv_exec:default(user).
%% '''
-spec default(atom()) -> term().
default(portexe) ->
    case erluv_executable:which() of
        {ok, [File | _]} -> File;
        {error, _} -> ""
    end;
default(Option) ->
    proplists:get_value(Option, default()).

with_worker(Program, F) ->
    with_process(Program, fun(Pid) -> erluv_exec_process:with_worker(Pid, F) end).

with_process(Pid, F) when is_pid(Pid) ->
    F(Pid);
with_process(OsPid, F) when is_integer(OsPid) ->
    case pid(OsPid) of
        undefined -> {error, not_found};
        Pid -> F(Pid)
    end;
with_process(Port, F) when is_port(Port) ->
    case erlang:port_info(Port, os_pid) of
        {os_pid, OsPid} -> with_process(OsPid, F);
        undefined -> {error, not_found}
    end.
