%% @private
%% erlexec's options in erluv's terms.
-module(erluv_exec_options).

-export([read/2]).
-export([start/2]).
-export([stty/1]).

-export_type([run/0]).

-type run() :: #{cmd := erluv:cmd(),
                 spawn => map(),            % the options of erluv:spawn_link/3
                 devices := #{stdout | stderr => term()},
                 success := byte(),
                 merged => stderr,          % what comes as stdout is
                 sync => true, monitor => true, link => true,
                 kill => erluv:cmd(),       % for the shell of this node
                 kill_timeout := non_neg_integer(), % milliseconds
                 caller => pid()}.

%% The settings of a terminal that erlexec takes, by what their values are.
-define(CHARACTERS, [vintr, vquit, verase, vkill, veof, veol, veol2, vstart, vstop, vsusp, vdsusp,
                     vreprint, vwerase, vlnext, vflush, vswtch, vstatus, vdiscard]).
-define(SWITCHES, [ignpar, parmrk, inpck, istrip, inlcr, igncr, icrnl, iuclc, ixon, ixany, ixoff,
                   imaxbel, iutf8, isig, icanon, xcase, echo, echoe, echok, echonl, noflsh, tostop,
                   iexten, echoctl, echoke, pendin, opost, olcuc, onlcr, ocrnl, onocr, onlret,
                   cs7, cs8, parenb, parodd]).
%% Of these a terminal of Linux knows nothing, or stty(1).
-define(WITHOUT_EFFECT, [vdsusp, vflush, vstatus, pendin, cs7, cs8, parenb, parodd]).

-define(IS_TEXT(Text), (is_list(Text) orelse is_binary(Text))).

%% What is said in an option as erlexec has it, which some other part is to act upon.
-define(FLAGS, [sync, monitor, link]).
%% From SIGTERM to SIGKILL, as in erlexec: milliseconds.
-define(KILL_TIMEOUT, 5000).

%% @doc Reads the options of `run', and says what is wrong before anything is asked or started.
-spec read(erluv_exec:cmd(), erluv_exec:cmd_options()) -> {ok, run()} | {error, term()}.
read(Cmd, Options) ->
    try
        Run = lists:foldl(fun option/2, defaults(), pairs(Options)),
        {ok, finish(Cmd, Run)}
    catch
        throw:Reason -> {error, Reason}
    end.

%% Each option as a pair, which {stdout, File, FileOptions} is not.
pairs(Options) when length(Options) >= 0 -> [pair(Option) || Option <- Options];
pairs(Options) -> bad(Options, "the options must be a list").

pair({Stream, File, FileOptions}) -> {Stream, {file, File, FileOptions}};
pair({_, _} = Pair) -> Pair;
pair(Key) when is_atom(Key) -> {Key, true};
pair(Other) -> bad(Other, "an option is an atom or a tuple that begins with one").

%% The program sees what the node sees, as a port would. By default it neither reads
%% nor writes.
defaults() ->
    {ok, Cwd} = file:get_cwd(),
    #{spawn => #{cd => Cwd, stdin => null, tree => leave},
      env => maps:from_list(erluv_environment:all()), stdout => null, stderr => null, terminal => #{echo => false},
      success => 0, kill_timeout => ?KILL_TIMEOUT}.

option({Flag, true}, Run) when Flag =:= sync; Flag =:= monitor; Flag =:= link -> Run#{Flag => true};
option({Flag, false}, Run) when Flag =:= sync; Flag =:= monitor; Flag =:= link -> Run;
option({executable, File}, Run) when ?IS_TEXT(File) -> Run#{executable => File};
option({cd, Dir}, Run) when ?IS_TEXT(Dir) -> spawn_option(cd, Dir, Run);
option({env, Env}, Run) when length(Env) >= 0 -> lists:foldl(fun env/2, Run, Env);
option({kill, Cmd}, Run) when ?IS_TEXT(Cmd) -> Run#{kill => Cmd};
option({kill_timeout, Seconds}, Run) when is_integer(Seconds), Seconds >= 0 ->
    Run#{kill_timeout => Seconds * 1000};
option({kill_group, true}, Run) -> spawn_option(tree, kill, Run);
option({kill_group, false}, Run) -> Run;
option({group, Group}, Run) when Group =:= 0; Group =:= "0" -> Run; % each program has its own
option({group, _}, _) -> bad(group, "a program has a group of its own: only 0 is possible");
option({user, User}, Run) when User =/= "", User =/= <<>>, ?IS_TEXT(User); is_integer(User); is_atom(User), User =/= true ->
    spawn_option(user, User, Run);
option({nice, Nice}, Run) when is_integer(Nice), Nice >= -20, Nice =< 20 ->
    spawn_option(nice, min(Nice, 19), Run); % as the kernel takes 20
option({success_exit_code, Code}, Run) when is_integer(Code), Code >= 0, Code < 256 ->
    Run#{success => Code};
option({stdin, true}, Run) -> spawn_option(stdin, pipe, Run);
option({stdin, None}, Run) when None =:= null; None =:= close ->
    spawn_option(stdin, null, Run);
option({stdin, File}, Run) when is_list(File); is_binary(File) ->
    spawn_option(stdin, {file, File}, Run);
option({Stream, Device}, Run) when Stream =:= stdout; Stream =:= stderr ->
    Run#{Stream => device(Stream, Device)};
option({pty, true}, Run) -> Run#{pty => #{}};
option({pty, false}, Run) -> Run;
option({pty, Modes}, Run) when length(Modes) >= 0 ->
    ok = check_pty(Modes, fun(Mode) -> is_mode(Mode) orelse is_terminal(Mode) end),
    Run#{pty => maps:from_list(pairs(Modes))};
option({pty_echo, Echo}, Run) when is_boolean(Echo) -> terminal(#{echo => Echo}, Run);
option({winsz, {Rows, Cols}}, Run) when is_integer(Rows), Rows > 0, is_integer(Cols), Cols > 0 ->
    terminal(#{rows => Rows, cols => Cols}, Run);
option({debug, _}, Run) -> Run;
option({Key, _}, _) -> bad(Key, "there is no such option, or not with this value").

spawn_option(Key, Value, #{spawn := Spawn} = Run) -> Run#{spawn := Spawn#{Key => Value}}.

%% What is said of a terminal, whether there is to be one or not.
terminal(Modes, #{terminal := Others} = Run) -> Run#{terminal := maps:merge(Others, Modes)}.

env(clear, Run) -> Run#{env := #{}};
env({Name, false}, #{env := Env} = Run) -> Run#{env := maps:remove(text(Name), Env)};
env({Name, Value}, #{env := Env} = Run) -> Run#{env := Env#{text(Name) => Value}};
env(Pair, #{env := Env} = Run) ->
    case string:split(text(Pair), "=") of
        [Name, Value] -> Run#{env := Env#{Name => Value}};
        _ -> bad_env(Pair)
    end.

%% As the names that are inherited are.
text(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
text(Bytes) when is_binary(Bytes) -> Bytes;
text(Given) ->
    try unicode:characters_to_binary(Given) of
        Text when is_binary(Text) -> Text;
        _ -> bad_env(Given)
    catch
        error:badarg -> bad_env(Given)
    end.

-spec bad_env(term()) -> no_return().
bad_env(Given) ->
    bad(env, ["NAME=value, {Name, Value}, {Name, false} or clear, not ",
              io_lib:format("~0tp", [Given])]).

%% Where output goes: null and files at once, all else by way of the process.
device(_, true) -> caller;
device(_, false) -> null;
device(_, close) -> null;
device(_, Device) when Device =:= null; Device =:= print -> Device;
device(_, Device) when is_pid(Device); is_function(Device, 3) -> Device;
device(stdout, stderr) -> stderr;
device(stderr, stdout) -> stdout;
device(_, {file, _, _} = File) -> File;
device(_, File) when is_list(File); is_binary(File) -> {file, File};
device(Stream, _) ->
    bad(Stream, "null, close, print, a pid, a function of three arguments or a file").

finish(Cmd, #{env := Env, kill_timeout := Time} = Run) ->
    Spawn = streams(Run#{spawn := (maps:get(spawn, Run))#{env => Env, kill_timeout => Time}}),
    Keep = maps:with([success, kill, kill_timeout | ?FLAGS], Run),
    maps:merge(Keep, Spawn#{cmd => command(Cmd, Run)}).

%% A list is a program and arguments, anything else is for a shell.
command([Arg | _] = Cmd, #{executable := File}) when not is_integer(Arg) -> [File | tl(Cmd)];
command(Cmd, #{executable := Shell}) -> [Shell, "-c", Cmd];
command(Cmd, _) -> Cmd.

%% With a terminal there is one stream, and no other stdin. What comes of it is stdout.
streams(#{stdout := stderr, stderr := stdout}) ->
    bad(stdout, "stdout and stderr cannot each go to the other");
streams(#{pty := _, spawn := #{stdin := {file, _}}}) ->
    bad(stdin, "a terminal is the stdin of its program, which cannot read a file");
streams(#{pty := _, stdout := Stdout}) when is_tuple(Stdout) ->
    bad(stdout, "the output of a terminal cannot go to a file");
streams(#{pty := _, stderr := Stderr}) when is_tuple(Stderr) ->
    bad(stderr, "the output of a terminal cannot go to a file: with pty, stderr comes as stdout");
streams(#{pty := Modes, terminal := Terminal, spawn := Spawn} = Run) ->
    Pty = maps:merge(Terminal, Modes),
    merged(Run, #{spawn => (maps:remove(stdin, Spawn))#{pty => Pty}, devices => devices(Run)});
streams(#{stdout := stderr, stderr := Device, spawn := Spawn} = Run) ->
    merged(Run, #{spawn => Spawn#{stdout => stream(Device), stderr => stdout},
                  devices => devices(Run)});
streams(#{stdout := Device, stderr := Stderr, spawn := Spawn} = Run) ->
    #{spawn => Spawn#{stdout => stream(Device), stderr => stream(Stderr)},
      devices => devices(Run)}.

merged(#{stdout := stderr}, Streams) -> Streams#{merged => stderr};
merged(_, Streams) -> Streams.

stream(stdout) -> stdout;
stream(null) -> null;
stream(File) when is_tuple(File) -> File;
stream(_) -> owner.

devices(#{stdout := Stdout, stderr := Stderr} = Run) ->
    Collect = fun(caller) when is_map_key(sync, Run) -> collect;
                 (Device) -> Device
              end,
    #{stdout => Collect(Stdout), stderr => Collect(Stderr)}.

-spec bad(term(), unicode:chardata()) -> no_return().
bad(Key, Why) -> throw({bad_option, Key, unicode:characters_to_binary(Why)}).

%% Says all that is wrong, as erlexec does.
check_pty(Modes, Is) ->
    case [Mode || Mode <- Modes, not Is(Mode)] of
        [] -> ok;
        Wrong -> throw({invalid_pty_value, Wrong})
    end.

is_mode({Name, Value}) when Name =:= tty_op_ispeed; Name =:= tty_op_ospeed ->
    is_integer(Value) andalso Value >= 0;
is_mode({Name, Value}) ->
    lists:member(Name, ?CHARACTERS) andalso is_integer(Value) andalso Value >= 0 andalso Value =< 255
        orelse lists:member(Name, ?SWITCHES) andalso lists:member(Value, [true, false, 0, 1]);
is_mode(_) ->
    false.

%% What erluv takes besides.
is_terminal(reopen) -> true;
is_terminal({reopen, Is}) -> is_boolean(Is);
is_terminal({Name, N}) when Name =:= rows; Name =:= cols -> is_integer(N) andalso N > 0 andalso N < 65536;
is_terminal(_) -> false.

%% @doc Reads the options of `start': the erluv that is used, or the options of an
%% erluv_node with this name.
-spec start(atom(), erluv_exec:exec_options()) ->
          {ok, {server, erluv:server()} | {own, map()}} | {error, term()}.
start(Name, Options) ->
    try
        Pairs = pairs(Options),
        case proplists:get_value(node, Pairs) of
            undefined ->
                IsUser = fun({Key, _}) -> Key =:= user end,
                {Users, Others} = lists:partition(IsUser, proplists:delete(node, Pairs)),
                {ok, {own, lists:foldl(fun node_option/2, #{name => Name}, Others ++ Users)}};
            Server when is_atom(Server); is_pid(Server) ->
                {ok, {server, Server}};
            _ ->
                bad(node, "must be the name of a node or process, or a pid")
        end
    catch
        throw:Reason -> {error, Reason}
    end.

node_option({erluv, Given}, Node) when is_map(Given) -> maps:merge(Node, Given);
node_option({erluv, Given}, Node) ->
    maps:merge(Node, maps:from_list(pairs(Given)));
node_option({user, User}, Node) ->
    Settings = case maps:get(settings, Node, #{}) of
                   Map when is_map(Map) -> Map#{user => User};
                   List when is_list(List) -> [{user, User} | List];
                   Other -> Other
               end,
    Node#{settings => Settings};
node_option({portexe, File}, Node) -> Node#{executable => File};
node_option({Key, _}, Node)
  when Key =:= debug; Key =:= verbose; Key =:= alarm; Key =:= args; Key =:= env; Key =:= noportexe -> Node;
node_option({capabilities, _}, _) -> bad(capabilities, "programs of erluv have none");
node_option({limit_users, _}, _) ->
    bad(limit_users, "allow_users in erluv's configuration file does this");
node_option({root, _}, _) -> bad(root, "erluv runs no program as root");
node_option({Key, _}, _) -> bad(Key, "there is no such option").

%% @doc Terminal modes as arguments of stty(1).
-spec stty([{atom(), integer() | boolean()}]) -> {ok, [string()]} | {error, term()}.
stty(Modes) when length(Modes) >= 0 ->
    try check_pty(Modes, fun is_mode/1) of
        ok -> {ok, lists:append([mode(Mode) || {Name, _} = Mode <- Modes, not lists:member(Name, ?WITHOUT_EFFECT)])}
    catch
        throw:Reason -> {error, Reason}
    end;
stty(Modes) ->
    {error, {invalid_pty_value, Modes}}.

mode({tty_op_ispeed, Speed}) -> ["ispeed", integer_to_list(Speed)];
mode({tty_op_ospeed, Speed}) -> ["ospeed", integer_to_list(Speed)];
mode({Name, Value}) ->
    case {lists:member(Name, ?CHARACTERS), Value} of
        {true, None} when None =:= 0; None =:= 255 -> [character(Name), "undef"];
        {true, Char} -> [character(Name), "0x" ++ integer_to_list(Char, 16)];
        {false, On} when On =:= true; On =:= 1 -> [atom_to_list(Name)];
        {false, _} -> ["-" ++ atom_to_list(Name)]
    end.

character(vreprint) -> "rprnt";
character(Name) -> tl(atom_to_list(Name)).
