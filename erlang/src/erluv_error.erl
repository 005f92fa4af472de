%% @private
%% Texts for what can go wrong: for the reasons in `{error, Reason}', for exit
%% reasons, and for the arguments of badarg, as OTP's error_info wants them.
-module(erluv_error).

-export([text/1]).
-export([exit_text/1]).
-export([format_error/2]).

%% One line that says what is wrong and, where that is known, what to do.
-spec text(term()) -> unicode:chardata().
text({error, Reason}) -> text(Reason);
%% Between node and node.
text(nodedown) -> "the erluv node is not connected: is erluv running, and for this node?";
text(noproc) -> "there is no such worker, or no such process; it may have ended";
text(not_found) -> "no program is known by this pid or number; it may have ended";
text({exit, Reason}) -> ["the worker ended before it answered: ", exit_text(Reason)];
text(child_down) -> "erluv's child has crashed and is being replaced: ask again in a moment";
text(temporary) -> "the worker was started without the option restart, with transient or permanent";
text(stopping) -> "erluv is about to end and takes no more requests";
text({too_large, Size, Limit}) ->
    io_lib:format("the request has ~b bytes, and ~b are allowed", [Size, Limit]);
text({bad_request, Request}) -> ["erluv does not know the request ", term(Request)];
text({invalid_pty_value, Modes}) -> ["pty: no terminal has these settings, or not with these values: ", term(Modes)];
text({bad_option, Key, Why}) -> [option(Key), ": ", why(Why)];
%% Starting a program.
text(enoent) -> "there is no such program (a name without a slash is looked up in erluv's path)";
text(eacces) -> "the program may not be executed by the user that erluv runs programs as";
text(enoexec) -> "the file is neither a program nor a script with a #! line";
text(e2big) -> "arguments and environment are longer than the system allows";
text({source, badarg}) -> "what is to be put is no iodata";
text({source, Reason}) -> ["what is to be put cannot be read: ", text(Reason)];
text({bad_sum, Sum}) -> ["what has come is not what was sent: its SHA-256 is ", binary:encode_hex(Sum)];
text({bad_size, Size}) -> io_lib:format("it has another size than the ~b bytes that were announced", [Size]);
text({put_file, Reason}) -> ["the file was not put: ", exit_text(Reason)];
text(max_uploads) -> "as many files come in at once as the erluv node takes";
text({memory, Errno}) -> ["the machine keeps no programs in memory: ", errno(Errno)];
text(max_workers) -> "as many workers run as max_workers allows";
text({node_not_ready, State}) -> ["the erluv node takes no new workers, for it is ", term(State)];
text(not_kept) -> "the output of the program is not kept: it was started without the option keep";
text(lost) -> "the output of the program is lost: erluv's child has crashed since";
text({class, unknown}) -> "the erluv node offers no such class";
text({class, full}) -> "as many workers of the class run as its max allows";
text({class, required}) -> "the erluv node runs programs of its classes alone";
text(not_allowed) -> "the state of the erluv node cannot be changed now";
text(invalid_tokens) -> "these are no labels: they are written as name;key;key=value, name2";
text(too_many_labels) -> "these are more labels, or longer ones, than a host can have";
%% erluv_fleet.
text({unreachable, Host}) -> ["no control node is connected with the host ", term(Host), ": nothing was started"];
text({lost, Host}) ->
    ["the connection to the host ", term(Host), ", or to the control node that has it, was lost: the program may have run"];
text({full, Counted}) when is_map(Counted) ->
    ["all hosts that are meant run as many programs as their max_workers: ", term(Counted)];
text({none, Filter}) -> ["no host is ready of which this holds: ", term(Filter)];
text({already_registered, Pid}) -> ["the name is taken by ", term(Pid)];
text({name_taken, Name, Pid}) -> ["the name ", term(Name), " is taken by the process ", term(Pid)];
text({proxy, Reason}) -> ["the proxy process was not started: ", term(Reason)];
text({max_output, _}) -> "the program wrote more than max_output and was killed";
text({timeout, #{stdout := _}}) -> "the program ran longer than its timeout and was stopped";
text({cd, Errno}) -> ["cd: the directory cannot be used: ", errno(Errno)];
text({limits, {Limit, not_supported}}) ->
    ["limits: the machine lets erluv limit no ", term(Limit), ": see contain in erluv.conf(5)"];
text({limits, {Limit, Errno}}) ->
    ["limits: ", term(Limit), " cannot be limited so: ", errno(Errno)];
text({user, unknown}) -> "user: there is no such user";
text({user, not_allowed}) ->
    "user: erluv's allow_users, in its configuration file, does not name this user";
text({group, not_allowed}) ->
    "group: erluv's allow_users, in its configuration file, does not name this group for the user";
text({groups, not_allowed}) ->
    "groups: erluv's allow_users, in its configuration file, does not name these groups for the user";
%% Calls to a worker.
text(epipe) -> "stdin is closed, or the program does not read it any more";
text(esrch) -> "the program has ended";
text(enotty) -> "the worker has no terminal: pty was not asked for";
text(active) -> "output is sent as messages: only a worker with {active, false} is read from";
text(timeout) -> "there was no answer in time";
%% erluv_node and erluv_worker.
text(not_alive) ->
    ["this node is not distributed: start it with ", to_be_typed("-sname or -name", "--sname or --name"),
     ", or, unless this is to attach, let erluv make it a node, by ", configured("{distribution, local}", "distribution: :local")];
text(dynamic_name) ->
    ["this node has no name until another node gives it one (-sname undefined): start it with a ",
     "name, or without -sname and -name, and erluv makes it a node"];
text({distribution, Words}) -> ["this node cannot be made a distributed one: ", Words];
text({listen, Errno}) -> ["there can be no listener on 127.0.0.1 for erluv: ", errno(Errno)];
text({no_node, Name}) ->
    ["no erluv_node runs as ", language(Name), ": start one under a supervisor, as ",
     to_be_typed(["erluv_node:child_spec(#{name => ", term(Name), "})"], ["{:erluv_node, name: ", language(Name), "}"]),
     ", or by ", configured(["{nodes, [#{name => ", term(Name), "}]}"], ["nodes: [[name: ", language(Name), "]]"]),
     ", or give a node's name"];
text({already_started, Worker}) when node(Worker) =/= node() -> ["a program with this id runs already: ", term(Worker)];
text({already_started, Process}) ->
    ["an erluv_node has this name already, ", term(Process), ": the first call that names the default one ",
     "starts it, so a supervisor has it in front of those that use it, or gives it another name"];
text({no_executable, Name}) ->
    ["there is no executable ", name(Name), where(erluv_executable:runs_here())];
text({executable, Name, Errno}) -> [name(Name), " cannot be executed: ", errno(Errno)];
text({exited, Status, Words}) ->
    [io_lib:format("erluv ended with status ~b (~ts)", [Status, status(Status)]), words(Words)];
text({not_up, Time, Words}) ->
    [io_lib:format("erluv was not up within ~b ms", [Time]), words(Words)];
text({shutdown, {stopping, unknown}}) ->
    "the executable ended with status 0 and did not say why: was it told to, and is it erluv?";
text({shutdown, {stopping, _} = Why}) -> text(Why);
text({stopping, Reason}) -> ["erluv has left: ", exit_text(Reason)];
text({child_crashed, Reason}) ->
    ["erluv's child crashed more often than respawn allows: ", exit_text(Reason)];
text({not_ready, Why}) -> not_ready(Why);
text({not_ready, Why, Last}) -> [not_ready(Why), said(Last)];
text({signal, _} = Reason) -> exit_text(Reason);
text({shutdown, drained} = Reason) -> exit_text(Reason);
text({Key, Errno}) when is_atom(Errno), is_atom(Key); is_atom(Errno), is_integer(Key) ->
    [option(Key), ": ", errno(Errno)];
text(Reason) when Reason =:= normal; Reason =:= child_crashed; Reason =:= restart_intensity;
                  Reason =:= watchdog; Reason =:= noconnection ->
    exit_text(Reason);
text(Errno) when is_atom(Errno) -> errno(Errno);
text(Other) -> exit_text(Other).

%% The reason for which a worker has ended.
-spec exit_text(term()) -> unicode:chardata().
exit_text(normal) -> "it ended with status 0";
exit_text({exit_status, N}) -> io_lib:format("it ended with status ~b", [N]);
exit_text({signal, Signal}) -> ["it was ended by ", term(Signal)];
exit_text({signal, Signal, core}) -> ["it was ended by ", term(Signal), " and left a core"];
exit_text({signal, Signal, oom}) ->
    ["it was ended by ", term(Signal), ": it had used up the memory of its limits"];
exit_text(child_crashed) -> "erluv's child crashed, and all workers ended with it";
exit_text(watchdog) -> "its watchdog was not told in time that it is well, and it was stopped";
exit_text(restart_intensity) -> "it ended more often than max_restarts allows";
exit_text(noconnection) -> "the connection to the erluv node was lost, and its programs end with it";
exit_text(timeout) -> "it ran longer than its timeout and was stopped";
exit_text({shutdown, drained}) -> "it was stopped, for its host is drained";
exit_text(Reason) -> term(Reason).

where(true) ->
    [": ", case filelib:is_regular(code:which(?MODULE)) of
               true -> "compile the dependency where Go is, ";
               false -> "what lies in an archive, as an escript, has none with it: "
           end,
     "put it into PATH, or name its path by ", configured("{executable, Path}", "executable: \"/path/of/erluv\"")];
where(false) ->
    [", which runs on Linux only: name an erluv node that serves this one from there; in Elixir programs ",
     "can run by ports, with config :erluv_ex, fallback: :port"].

%% What is to be written depends on the language that the project is written in.
to_be_typed(Erlang, Elixir) ->
    case is_elixir() of
        true -> Elixir;
        false -> Erlang
    end.

configured(Erlang, Elixir) ->
    to_be_typed([Erlang, " in the environment of the application erluv"], ["config :erluv, ", Elixir]).

language(Atom) when is_atom(Atom) -> to_be_typed(term(Atom), [":", term(Atom)]);
language(Term) -> term(Term).

%% The callback module of Elixir's application.
is_elixir() -> erlang:module_loaded(elixir).

%% What exit statuses mean, by erluv(8).
status(0) -> "it was told to stop";
status(1) -> "failure";
status(2) -> "usage or configuration";
status(3) -> "the node refused it";
status(4) -> "its child crashed and nobody had it respawned in time";
status(N) when N > 128, N =< 192 -> ["ended by ", signal(erluv_signal:name(N - 128))];
status(_) -> "not a status of erluv's".

signal(Signal) when is_atom(Signal) -> string:uppercase(atom_to_list(Signal));
signal(Number) -> io_lib:format("signal ~b", [Number]).

words(<<>>) -> "";
words(Words) -> [": ", erluv_log:text(Words)].

not_ready(timeout) -> "the program was not ready in time";
not_ready(Why) -> ["the program ended before it was ready: ", exit_text(Why)].

said([]) -> "";
said(Lines) -> [": " | lists:join("; ", [erluv_log:text(Line) || Line <- Lines])].

option(Key) when is_atom(Key) -> atom_to_list(Key);
option(Key) -> term(Key).

why(Why) when is_binary(Why) -> erluv_log:text(Why);
why(Why) -> term(Why).

name(Name) when is_list(Name); is_binary(Name) -> io_lib:format("~ts", [Name]);
name(Name) -> term(Name).

term(Term) -> io_lib:format("~0tp", [Term]).

%% The system's words, where OTP knows them.
errno(Errno) ->
    case file:format_error(Errno) of
        "unknown POSIX error" ++ _ -> atom_to_list(Errno);
        Text -> [Text, " (", atom_to_list(Errno), ")"]
    end.

%% For error_info: the cause maps the positions of arguments to what they should be.
-spec format_error(term(), [tuple()]) -> #{pos_integer() => unicode:chardata()}.
format_error(_Reason, [{_, _, _, Info} | _]) ->
    #{cause := Cause} = proplists:get_value(error_info, Info, #{cause => #{}}),
    maps:map(fun(_Position, What) -> argument(What) end, Cause).

argument(server) -> "neither the name of an erluv node nor an erluv_node process";
argument(worker) -> "neither the pid of a worker nor {Name, Node}";
argument(pid) -> "not the pid of a worker";
argument(process) -> "not a process of this module";
argument(stream) -> "neither stdout nor stderr nor the number of a descriptor";
argument(descriptor) -> "not the number of a descriptor";
argument(positive) -> "not a positive integer";
argument(timeout) -> "neither a number of milliseconds nor infinity";
argument(source) -> "neither iodata nor {file, Name}";
argument(host_status) -> "none of ready, standby and stopped";
argument(meta) -> "neither {update, Text} nor {remove, Name}";
argument(host) -> "not the name of a host";
argument(filter) -> "neither a map with class, meta, node, status, version or via, nor a fun that takes a host";
argument(id) -> "no id: it is text of 1 to 255 bytes, or an atom";
argument(strategy) -> "neither least_loaded, spread nor random, nor a fun that takes hosts";
argument(distribution) -> "neither local nor none";
argument(options) -> "neither a map nor a list of options".
