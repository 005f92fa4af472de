%% @private
%% Programs of the system that erluv_exec needs for itself, run by this VM and not by
%% erluv, whose programs can neither signal nor look into one another.
-module(erluv_exec_local).

-export([run/2]).

%% Of what a command writes, so much is returned: bytes.
-define(MAX_READ, 4096).

%% @doc Runs a command, a string for the shell or a list without one, with variables
%% beside those of the VM. Returns the exit status and the beginning of what it has
%% written.
%%
%% A process of its own has the port: nothing of it reaches a caller that traps exits.
-spec run(erluv:cmd(), [{string(), string()}]) -> {byte(), binary()} | {error, term()}.
run([Arg | _] = Cmd, Env) when not is_integer(Arg) ->
    Self = self(),
    {Pid, Ref} = spawn_monitor(fun() -> Self ! {self(), execute(Cmd, Env)} end),
    receive
        {Pid, Result} ->
            true = erlang:demonitor(Ref, [flush]),
            Result;
        {'DOWN', Ref, process, Pid, Reason} ->
            {error, Reason}
    end;
run(Cmd, Env) ->
    run(["/bin/sh", "-c", Cmd], Env).

execute(Cmd, Env) ->
    [Program | Args] = [unicode:characters_to_list(Word) || Word <- Cmd],
    case os:find_executable(Program) of
        false -> {error, enoent};
        File -> execute(File, Args, Env)
    end.

execute(File, Args, Env) ->
    try open_port({spawn_executable, File}, [{args, Args} | options(Env)]) of
        Port -> read(Port, <<>>)
    catch
        error:Errno -> {error, Errno}
    end.

options(Env) -> [{env, Env}, exit_status, stderr_to_stdout, binary, hide].

read(Port, Read) when byte_size(Read) >= ?MAX_READ ->
    receive
        {Port, {data, _}} -> read(Port, Read);
        {Port, {exit_status, Status}} -> {Status, Read}
    end;
read(Port, Read) ->
    receive
        {Port, {data, Data}} ->
            Part = binary:part(Data, 0, min(byte_size(Data), ?MAX_READ - byte_size(Read))),
            read(Port, <<Read/binary, Part/binary>>);
        {Port, {exit_status, Status}} ->
            {Status, Read}
    end.
