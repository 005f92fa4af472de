%% @private
%% Where a program is looked up. What starts one here says so by its options; else it is
%% the PATH of this VM, as for a port, when erluv runs on the same host.
-module(erluv_path).

-export([options/2]).

-spec options(node(), term()) -> term().
options(Node, Options) when is_map(Options) ->
    case path(Node, maps:to_list(Options)) of
        false -> Options;
        Path -> Options#{path => Path}
    end;
options(Node, Options) when length(Options) >= 0 ->
    case path(Node, Options) of
        false -> Options;
        Path -> [{path, Path} | Options]
    end;
options(_, Options) ->
    Options. % erluv says what is wrong

path(Node, Options) ->
    case host(Node) =/= host(node()) orelse lists:any(fun says/1, Options) of
        true -> false;
        false -> path(erluv_environment:value("PATH"))
    end.

path(<<>>) -> false;
path(Path) -> Path.

host(Node) ->
    [_, Host] = string:split(atom_to_list(Node), "@"),
    Host.

%% A PATH that the program has is where it is looked up.
says({path, _}) -> true;
says({inherit, Names}) when length(Names) >= 0 -> lists:any(fun is_path/1, Names);
says({env, Env}) when is_map(Env) -> lists:any(fun sets_path/1, maps:to_list(Env));
says({env, Env}) when length(Env) >= 0 -> lists:any(fun sets_path/1, Env);
says(_) -> false.

sets_path({Name, Value}) -> Value =/= false andalso is_path(Name);
sets_path(_) -> false.

is_path(Name) -> Name =:= "PATH" orelse Name =:= <<"PATH">> orelse Name =:= 'PATH'.
