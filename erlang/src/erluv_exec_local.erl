%% @private
%% Programs of the system that erluv_exec needs for itself, run by this VM and not by
%% erluv, whose programs can neither signal nor look into one another.
-module(erluv_exec_local).

-export([run/2]).

%% @doc Runs a command, a string for the shell or a list without one, with variables
%% beside those of the VM. Returns the exit status and what it has written.
-spec run(erluv:cmd(), [{string(), string()}]) -> {byte(), binary()} | {error, term()}.
run([Arg | _] = Cmd, Env) when not is_integer(Arg) ->
    [Program | Args] = [unicode:characters_to_list(Word) || Word <- Cmd],
    case os:find_executable(Program) of
        false -> {error, enoent};
        File -> read(open_port({spawn_executable, File}, [{args, Args} | options(Env)]), [])
    end;
run(Cmd, Env) ->
    run(["/bin/sh", "-c", Cmd], Env).

options(Env) -> [{env, Env}, exit_status, stderr_to_stdout, binary, hide].

read(Port, Read) ->
    receive
        {Port, {data, Data}} -> read(Port, [Read, Data]);
        {Port, {exit_status, Status}} -> {Status, iolist_to_binary(Read)}
    end.
