%% @private
%% Calls to an erluv node and its workers: what a gen_server:call exits with becomes
%% `{error, Reason}'.
-module(erluv_call).

-compile({no_auto_import, [node/1]}).

-export([request/2]).
-export([call/2]).
-export([call/3]).
-export([ask/2]).
-export([answer/1]).
-export([connected/1]).
-export([node/1]).

%% Before an erluv that ends is asked again whether it has ended: milliseconds.
-define(PAUSE, 20).

%% @doc Asks the manager of an erluv node.
%%
%% What it has certainly not done is asked for again, of the erluv that comes next: when the
%% request was not sent, and when what starts something came to an erluv that ends, which an
%% erluv_node starts anew. Nothing is done twice. That is why child_down is for the caller: a
%% child that is killed within the moment of a start has started what main then refuses.
-spec request(erluv:server(), term()) -> term().
request(Server, Request) ->
    case connected(Server) of
        {ok, Node} -> answer(call({erluv, Node}, located(Node, Request)), Server, Request);
        {error, _} = Error -> Error
    end.

answer({error, nodedown} = Error, Server, Request) ->
    % It was lost after its process had named it, which waits for the next one.
    case is_local(Server) of
        true -> request(Server, Request);
        false -> Error
    end;
answer({error, stopping} = Error, Server, Request) ->
    case starts(Request) andalso is_local(Server) of
        true -> receive after ?PAUSE -> request(Server, Request) end;
        false -> Error
    end;
answer(Answer, _, _) ->
    Answer.

starts({What, _, _}) -> What =:= spawn orelse What =:= run orelse What =:= watch orelse What =:= put_file;
starts(_) -> false.

%% An erluv_node here, whose word for what is connected is also ours.
is_local(Server) when is_pid(Server) -> erlang:node(Server) =:= erlang:node();
is_local(Server) -> not is_node_name(Server).

is_node_name(Server) -> lists:member($@, atom_to_list(Server)).

located(_, {_, {class, _, _}, _} = Request) ->
    Request; % the host says where its program is
located(Node, {What, Cmd, Options}) when What =:= spawn; What =:= run ->
    {What, Cmd, erluv_path:options(Node, Options)};
located(_, Request) ->
    Request.

%% @doc The node of a server, if it is connected.
-spec connected(erluv:server()) -> {ok, node()} | {error, term()}.
connected(Server) when is_pid(Server) ->
    node(Server);
connected(Server) ->
    case is_node_name(Server) of
        true -> reachable(Server);
        false -> node(Server)
    end.

%% @doc The node of an erluv_node process. One that is starting, or starts its erluv anew, is
%% waited for: how long that may take is its own option. The default one is started.
-spec node(atom() | pid()) -> {ok, node()} | {error, term()}.
node(Process) ->
    case ask(Process) of
        {ended, Reason} -> started(Process, Reason, is_default(Process) andalso erluv_sup:start_default());
        Answer -> Answer
    end.

is_default(Process) -> Process =:= erluv.

%% Nothing was asked of one that ended before it answered.
ask(Process) ->
    case call(Process, node) of
        {error, noproc} -> {ended, noproc};
        {error, {exit, {shutdown, {not_started, Reason}}}} -> {error, Reason};
        {error, {exit, {shutdown, {stopping, _} = Reason}}} -> {ended, Reason};
        {error, {exit, Reason}} when Reason =:= normal; Reason =:= shutdown -> {ended, noproc};
        {error, {exit, Reason}} -> {ended, Reason};
        Answer -> Answer
    end.

started(Process, Reason, ok) ->
    case ask(Process) of
        {ended, _} -> ended(Process, Reason); % it has ended again
        Answer -> Answer
    end;
started(Process, Reason, {error, {no_node, _}}) ->
    ended(Process, Reason);
started(_, _, {error, _} = Error) ->
    Error;
started(Process, Reason, false) ->
    ended(Process, Reason).

ended(Process, noproc) -> {error, {no_node, Process}};
ended(_, Reason) -> {error, Reason}.

%% A call must not have the runtime look for a node that is not there, which can take
%% seconds: erluv connects to us, never we to erluv.
reachable(Node) ->
    case Node =:= erlang:node() orelse lists:member(Node, nodes(connected)) of
        true -> {ok, Node};
        false -> {error, nodedown}
    end.

%% @doc Asks a process of an erluv node, and waits for as long as it takes. `nodedown': it was
%% not asked. `noconnection': it was, and is lost.
-spec call(erluv:worker() | atom(), term()) -> term().
call(Name, Request) ->
    call(Name, Request, infinity).

%% @doc The same, not longer than this: milliseconds.
-spec call(erluv:worker() | atom(), term(), timeout()) -> term().
call(Name, Request, Timeout) ->
    case reachable(host(Name)) of
        {ok, _} -> reply(Name, Request, Timeout);
        {error, _} = Error -> Error
    end.

%% @doc Asks a worker. Its answer is that of {@link answer/1}, so that more can be asked meanwhile.
-spec ask(erluv:worker(), term()) -> gen_server:request_id() | {error, nodedown}.
ask(Worker, Request) ->
    case reachable(host(Worker)) of
        {ok, _} -> gen_server:send_request(Worker, Request);
        {error, _} = Error -> Error
    end.

%% @doc Waits for the answer, as {@link call/2} does.
-spec answer(gen_server:request_id() | {error, nodedown}) -> term().
answer({error, _} = Error) ->
    Error;
answer(Id) ->
    case gen_server:receive_response(Id, infinity) of
        {reply, Answer} -> Answer;
        {error, {Reason, _}} when Reason =:= noproc; Reason =:= noconnection -> {error, Reason};
        {error, {Reason, _}} -> {error, {exit, Reason}}
    end.

host(Pid) when is_pid(Pid) -> erlang:node(Pid);
host({_, Node}) -> Node;
host(Name) when is_atom(Name) -> erlang:node().

reply(Name, Request, Timeout) ->
    try
        gen_server:call(Name, Request, Timeout)
    catch
        exit:{{nodedown, _}, _} -> {error, noconnection};
        exit:{noconnection, _} -> {error, noconnection};
        exit:{noproc, _} -> {error, noproc};
        exit:{timeout, {gen_server, call, _}} when Timeout =/= infinity -> {error, timeout};
        exit:{Reason, {gen_server, call, _}} -> {error, {exit, Reason}}
    end.
