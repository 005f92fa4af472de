%% @doc Runs programs of the operating system on an erluv node.
%%
%% A worker is a program that runs, and is a process of the erluv node: its pid can
%% be linked, monitored, supervised and sent to. What it sends to its owner, and
%% every option of {@link spawn/3}, {@link run/3} and {@link watch/3}, is told in
%% erluv-protocol(7).
%%
%% The first argument of what starts something names the erluv node: its node name,
%% or the `erluv_node' process (its registered name or pid). All functions return
%% `{error, nodedown}' when that node is not connected, and nothing was done;
%% `{error, noconnection}' when it is lost before it has answered, and what was asked for may
%% have been done; `{error, noproc}' when the worker is not there; and `{error, {no_node, Name}}'
%% when no `erluv_node' process runs under that name. While that process starts, or starts its
%% erluv anew, they wait for it.
%% The default one, `erluv', is started by the first call that names it, unless the variable
%% `start' of the application is `manual', or a supervisor of yours has had it as a child.
%% None of them has a timeout unless it takes one: how long a program may run is an
%% option.
%%
%% In the examples an `erluv_node' is registered as `erluv', as it is by default.
-module(erluv).

-export([spawn/2]).
-export([spawn/3]).
-export([spawn_link/2]).
-export([spawn_link/3]).
-export([spawn_monitor/2]).
-export([spawn_monitor/3]).
-export([run/2]).
-export([run/3]).
-export([watch/2]).
-export([watch/3]).
-export([put_file/4]).
-export([write/2]).
-export([write/3]).
-export([close/1]).
-export([close/2]).
-export([read/2]).
-export([read/3]).
-export([setopts/2]).
-export([signal/2]).
-export([stop/1]).
-export([stop/2]).
-export([restart/1]).
-export([kill/1]).
-export([resize/3]).
-export([info/1]).
-export([info/2]).
-export([workers/1]).
-export([status/1]).
-export([status/2]).
-export([drain/2]).
-export([meta/1]).
-export([meta/2]).
-export([classes/1]).
-export([log/1]).
-export([log/2]).
-export([history/1]).
-export([top/0]).
-export([top/1]).
-export([top/2]).
-export([respawn/1]).
-export([start_distribution/0]).
-export([start_distribution/1]).
-export([format_error/1]).

-include("erluv.hrl").

-export_type([server/0]).
-export_type([worker/0]).
-export_type([cmd/0]).
-export_type([host_status/0]).
-export_type([label/0]).
-export_type([options/0]).
-export_type([run_options/0]).
-export_type([top_options/0]).
-export_type([watch_options/0]).
-export_type([put_options/0]).
-export_type([source/0]).
-export_type([worker_settings/0]).
-export_type([text/0]).
-export_type([limit/0]).
-export_type([account/0]).
-export_type([env/0]).
-export_type([packet/0]).
-export_type([output/0]).
-export_type([receivers/0]).
-export_type([descriptor/0]).
-export_type([file/0]).
-export_type([pty/0]).
-export_type([rlimits/0]).
-export_type([limits/0]).
-export_type([result/0]).
-export_type([sandbox/0]).
-export_type([exit/0]).
-export_type([stream/0]).
-export_type([signal/0]).
-export_type([error/0]).

-type server() :: node() | atom() | pid().
%% The name of an erluv node, or an `erluv_node' process of this node.

-type worker() :: pid() | {Name :: atom(), node()}.
%% The pid that the spawn functions return, or the name that the option `name' gave
%% and the erluv node.

-type cmd() ::
        [unicode:chardata() | atom() | {memory, pid()} | {memory, pid(), Name :: text()}, ...]
        | binary() | string()
        | {class, Name :: text() | atom(), Args :: [text()]}.
%% A list of program and arguments, started without a shell, the program being one in memory perhaps
%% ({@link put_file/4}); one string or binary, which is a command for `/bin/sh'; or a program that the host of the erluv node
%% offers ({@link classes/1}), with further arguments.

-type host_status() :: launching | connecting | ready | standby | stopping | stopped.
%% Where a host stands: new workers are started in `ready' alone.

-type label() :: {Name :: binary(), [Key :: binary() | {Key :: binary(), Value :: binary()}]}.
%% What a host says of itself, to be chosen by.

-type options() ::
        #{?PROGRAM_OPTIONS,
          ?WORKER_OPTIONS,
          keep => boolean() | 4096..1048576,
          link => boolean(),
          owner => pid() | none,
          proxy => {module(), Function :: atom(), Args :: [term()]},
          ready_reply => call | message}
        | ?OPTION_LIST.
%% As in erluv-protocol(7).

-type option_map() ::
        #{?PROGRAM_OPTIONS,
          ?WORKER_OPTIONS,
          keep => boolean() | 4096..1048576,
          link => boolean(),
          owner => pid() | none,
          proxy => {module(), Function :: atom(), Args :: [term()]},
          ready_reply => call | message}.
%% The same without property lists, of which the specs have the keys.

-type log_options() ::
        #{lines => non_neg_integer(),
          since => Milliseconds :: integer(),
          stream => stdout | stderr,
          from => non_neg_integer(),
          wait => 0..60000}
        | ?OPTION_LIST.
%% Which of the last output: so many lines, what has come since a time in milliseconds of
%% `erlang:system_time/1', one stream alone, what has come behind the `next' of an answer before, and
%% how long to wait for it, in milliseconds.

-type program_log() ::
        #{output := [{Milliseconds :: integer(), stdout | stderr, binary()}],
          next := non_neg_integer(),
          lost := non_neg_integer(),
          open := boolean()}.
%% The last output of a program.

-type top_options() ::
        #{interval => 200..60000,
          once => boolean(),
          order => cpu | memory | output | since | name | state | restarts,
          rows => pos_integer()}
        | [{interval, 200..60000} | {once, boolean()} | once
           | {order, cpu | memory | output | since | name | state | restarts}
           | {rows, pos_integer()}].
%% Milliseconds between two pictures; one picture of all programs, and no more; what programs are sorted
%% by; how many are shown, by default as many as the terminal has room for.

-type run_options() ::
        #{?PROGRAM_OPTIONS,
          input => iodata(),
          max_output => non_neg_integer(),
          stderr => null | stdout | file(),
          stdout => null | file()}
        | ?OPTION_LIST.
%% As in erluv-protocol(7).

-type run_option_map() ::
        #{?PROGRAM_OPTIONS,
          input => iodata(),
          max_output => non_neg_integer(),
          stderr => null | stdout | file(),
          stdout => null | file()}.
%% The same without property lists.

-type result() :: #{exit := exit(), stdout := binary(), stderr := binary()}.
%% How a program ended, and what it wrote.

-type watch_options() ::
        #{detached => boolean(),
          events => [created | modified | closed | attrib | renamed | deleted, ...],
          link => boolean(),
          name => atom(),
          owner => pid() | none,
          recursive => boolean()}
        | [{detached | link | recursive, boolean()} | detached | link | recursive
           | {events, [created | modified | closed | attrib | renamed | deleted, ...]}
           | {name, atom()}
           | {owner, pid() | none}].
%% As in FILE EVENTS of erluv-protocol(7).

-type put_options() ::
        #{mkdir => boolean(),
          mode => 0..8#777,
          size => non_neg_integer(),
          user => account()}
        | [{mkdir, boolean()} | mkdir
           | {mode, 0..8#777}
           | {size, non_neg_integer()}
           | {user, account()}].
%% As in UPLOADS of erluv-protocol(7). The size is known of what is put whole.

-type source() :: iodata() | {file, file:name_all()}.
%% What is put: data, or a file of this node.

-type worker_settings() ::
        #{active => boolean() | once | -32768..32767,
          flow => auto | {active, boolean() | once | 0..32767},
          owner => pid(),
          packet => packet(),
          stderr => receivers(),
          stdout => receivers()}
        | [{active, boolean() | once | -32768..32767} | active
           | {flow, auto | {active, boolean() | once | 0..32767}}
           | {owner, pid()}
           | {packet, packet()}
           | {stderr | stdout, receivers()}].
%% What of a worker can be changed.

-type text() :: binary() | string().
%% Bytes as they are, or a string, which becomes UTF-8.

-type limit() :: pos_integer() | infinity.
%% Milliseconds.

-type account() :: text() | atom() | non_neg_integer().
%% The name or number of a user or a group.

-type env() :: #{atom() | text() => text() | false} | [{atom() | text(), text() | false}].
%% With `false' the variable is removed.

-type packet() :: raw | line | {line, Max :: 1..1048576} | lines | {lines, Max :: 1..1048576}
                | 1 | 2 | 4.
%% How output is cut into messages. `{line, Max}' is a line of at most so many bytes. With
%% `lines' a message is a list of all lines that are complete. A number is how many bytes the
%% length of a packet has.

-type output() :: receivers() | null | file().
%% Where output goes.

-type receivers() :: owner | {pid, pid()} | [owner | {pid, pid()}, ...].

-type descriptor() :: pipe | {pipe, in} | output() | {file, text(), [read]}.
%% A further descriptor of a program.

-type file() ::
        {file, text()}
        | {file, text(), [append | {mode, 0..8#777} | {rotate, #{size := pos_integer(), count := pos_integer()}}]}.

-type pty() :: boolean() | pty_settings() | ?OPTION_LIST.
-type pty_settings() ::
        #{rows => 1..65535,
          cols => 1..65535,
          reopen => boolean(),
          Mode :: atom() => boolean() | non_neg_integer()}.
%% Mode is one of RFC 4254 and RFC 8160, in lower case.

-type rlimits() :: #{Name :: atom() => rlimit() | {Soft :: rlimit(), Hard :: rlimit()}} | ?OPTION_LIST.
%% The names are those of getrlimit(2) in lower case, such as `nofile'.
-type rlimit() :: non_neg_integer() | infinity.

-type limits() ::
        #{memory => pos_integer() | infinity,
          pids => pos_integer() | infinity,
          cpu => pos_integer() | infinity}
        | [{memory | pids | cpu, pos_integer() | infinity}].
%% Bytes, processes and threads, percent of one processor.

-type sandbox() ::
        #{read => [text()],
          write => [text()],
          exec => [text()],
          net => none,
          connect => [1..65535, ...]}
        | [{read | write | exec, [text()]} | {net, none} | {connect, [1..65535, ...]}].

-type exit() :: {exit_status, byte()} | {signal, signal()} | {signal, signal(), core | oom}.
%% `core': it left a core. `oom': the kernel killed it, for its `limits' left it no memory.
-type stream() :: stdout | stderr | 3..255.
-type signal() :: atom() | 1..64.

-type error() :: {error, nodedown | noconnection | noproc | {no_node, atom() | pid()} | stopping | child_down | {exit, term()} | term()}.
%% {@link format_error/1} has words for each. `{exit, Reason}': the worker ended with
%% this reason before it answered.

-define(IS_WORKER(W),
        (is_pid(W) orelse
         is_tuple(W) andalso tuple_size(W) =:= 2 andalso
         is_atom(element(1, W)) andalso is_atom(element(2, W)))).
-define(IS_SERVER(S), (is_atom(S) orelse is_pid(S))).
-define(IS_OPTIONS(O), (is_map(O) orelse is_list(O))).
-define(IS_STREAM(S), (S =:= stdout orelse S =:= stderr orelse is_integer(S))).

%% @equiv spawn(Server, Cmd, #{})
-spec spawn(server(), cmd()) -> {ok, pid()} | error().
spawn(Server, Cmd) ->
    ?MODULE:spawn(Server, Cmd, #{}).

%% @doc Starts a program.
%%
%% The caller is its owner, which is sent what it writes and how it ended. The worker
%% is stopped when its owner ends. They are not linked, unless the option `link' says
%% so.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["echo", "hello"], #{packet => line}),
%% receive {W, {stdout, <<"hello\n">>}} -> ok end,
%% receive {W, {exit_status, 0}} -> ok end,
%% {error, enoent} = erluv:spawn(erluv, ["no-such-program"]).
%% '''
-spec spawn(server(), cmd(), option_map()) -> {ok, pid()} | error();
           (server(), cmd(),
            [{link, boolean()} | link
             | {owner, pid() | none}
             | {proxy, {module(), Function :: atom(), Args :: [term()]}}
             | {ready_reply, call | message}
             | {keep, boolean() | 4096..1048576} | keep, ...]) -> {ok, pid()} | error();
           ?PROGRAM_LISTS({ok, pid()} | error());
           ?WORKER_LISTS({ok, pid()} | error()).
spawn(Server, Cmd, Options) when ?IS_SERVER(Server), ?IS_OPTIONS(Options) ->
    erluv_call:request(Server, {spawn, Cmd, default(link, false, Options)});
spawn(Server, Cmd, Options) ->
    ?BADARG([Server, Cmd, shown(Options)], bad_start(Server, Options)).

%% @equiv spawn_link(Server, Cmd, #{})
-spec spawn_link(server(), cmd()) -> {ok, pid()} | error().
spawn_link(Server, Cmd) ->
    ?MODULE:spawn_link(Server, Cmd, #{}).

%% @doc Starts a program and links it with its owner, before the program can end.
%%
%% With `owner => none' it is linked with the caller, and nobody is sent messages.
%% The exit reason is `normal' for the exit status 0, else `{exit_status, N}' or
%% `{signal, Signal}'.
%%
%% ```
%% process_flag(trap_exit, true),
%% {ok, W} = erluv:spawn_link(erluv, <<"exit 3">>),
%% receive {'EXIT', W, {exit_status, 3}} -> ok end.
%% '''
-spec spawn_link(server(), cmd(), option_map()) -> {ok, pid()} | error();
           (server(), cmd(),
            [{link, boolean()} | link
             | {owner, pid() | none}
             | {proxy, {module(), Function :: atom(), Args :: [term()]}}
             | {ready_reply, call | message}
             | {keep, boolean() | 4096..1048576} | keep, ...]) -> {ok, pid()} | error();
           ?PROGRAM_LISTS({ok, pid()} | error());
           ?WORKER_LISTS({ok, pid()} | error()).
spawn_link(Server, Cmd, Options) when ?IS_SERVER(Server), ?IS_OPTIONS(Options) ->
    erluv_call:request(Server, {spawn, Cmd, with(link, true, Options)});
spawn_link(Server, Cmd, Options) ->
    ?BADARG([Server, Cmd, shown(Options)], bad_start(Server, Options)).

%% @equiv spawn_monitor(Server, Cmd, #{})
-spec spawn_monitor(server(), cmd()) -> {ok, {pid(), reference()}} | error().
spawn_monitor(Server, Cmd) ->
    ?MODULE:spawn_monitor(Server, Cmd, #{}).

%% @doc Starts a program and monitors it.
%%
%% The reason in `DOWN' is the worker's exit reason, or `noproc' when the program has
%% ended before the monitor was there: its last message to the owner,
%% `{W, {exit_status, N}}' for example, is always sent.
%%
%% ```
%% {ok, {W, Ref}} = erluv:spawn_monitor(erluv, ["cat"]),
%% ok = erluv:close(W),
%% receive {'DOWN', Ref, process, W, normal} -> ok end.
%% '''
-spec spawn_monitor(server(), cmd(), option_map()) -> {ok, {pid(), reference()}} | error();
           (server(), cmd(),
            [{link, boolean()} | link
             | {owner, pid() | none}
             | {proxy, {module(), Function :: atom(), Args :: [term()]}}
             | {ready_reply, call | message}
             | {keep, boolean() | 4096..1048576} | keep, ...]) -> {ok, {pid(), reference()}} | error();
           ?PROGRAM_LISTS({ok, {pid(), reference()}} | error());
           ?WORKER_LISTS({ok, {pid(), reference()}} | error()).
spawn_monitor(Server, Cmd, Options) when ?IS_SERVER(Server), ?IS_OPTIONS(Options) ->
    case erluv_call:request(Server, {spawn, Cmd, default(link, false, Options)}) of
        {ok, Worker} -> {ok, {Worker, erlang:monitor(process, Worker)}};
        {error, _} = Error -> Error
    end;
spawn_monitor(Server, Cmd, Options) ->
    ?BADARG([Server, Cmd, shown(Options)], bad_start(Server, Options)).

%% @equiv run(Server, Cmd, #{})
-spec run(server(), cmd()) ->
          {ok, result()} | error().
run(Server, Cmd) ->
    run(Server, Cmd, #{}).

%% @doc Runs a program and returns when it has ended, with all that it wrote.
%%
%% It is stopped when the caller ends before that. An exit status other than 0 is a
%% result, not an error.
%%
%% ```
%% {ok, #{exit := {exit_status, 0}, stdout := <<"HELLO">>}} =
%%     erluv:run(erluv, ["tr", "a-z", "A-Z"], #{input => <<"hello">>}),
%% {ok, #{exit := {exit_status, 1}}} = erluv:run(erluv, ["false"]),
%% {error, {timeout, #{stdout := <<"1\n">>}}} =
%%     erluv:run(erluv, <<"echo 1; sleep 60">>, #{timeout => 500}).
%% '''
-spec run(server(), cmd(), run_option_map()) -> {ok, result()} | error();
         (server(), cmd(),
          [{input, iodata()}
           | {max_output, non_neg_integer()}
           | {stderr, null | stdout | file()}
           | {stdout, null | file()}, ...]) -> {ok, result()} | error();
         ?PROGRAM_LISTS({ok, result()} | error()).
run(Server, Cmd, Options) when ?IS_SERVER(Server), ?IS_OPTIONS(Options) ->
    erluv_telemetry:run(Server, Cmd, fun() -> erluv_call:request(Server, {run, Cmd, Options}) end);
run(Server, Cmd, Options) ->
    ?BADARG([Server, Cmd, shown(Options)], bad_start(Server, Options)).

%% @equiv watch(Server, Path, #{})
-spec watch(server(), text()) -> {ok, pid()} | error().
watch(Server, Path) ->
    watch(Server, Path, #{}).

%% @doc Watches a file, a directory, or all that is below it.
%%
%% The caller is the owner, as of a worker: it is sent `{W, {fs, What, Path}}'. They
%% are linked, unless the option `link' is `false'.
%%
%% ```
%% {ok, W} = erluv:watch(erluv, "/tmp", #{events => [created]}),
%% {ok, _} = erluv:run(erluv, <<"f=$(mktemp /tmp/example-XXXXXX) && rm $f">>),
%% receive {W, {fs, [created | _], <<"/tmp/example-", _/binary>>}} -> ok end,
%% ok = erluv:stop(W).
%% '''
-spec watch(server(), text(), watch_options()) -> {ok, pid()} | error().
watch(Server, Path, Options) when ?IS_SERVER(Server), ?IS_OPTIONS(Options) ->
    erluv_call:request(Server, {watch, Path, Options});
watch(Server, Path, Options) ->
    ?BADARG([Server, Path, shown(Options)], bad_start(Server, Options)).

%% @doc Puts a file on the host of an erluv node, and returns when all of it is there, on the disk.
%%
%% Before that there is nothing, or what was there. `{error, {source, Reason}}': what is to be put
%% cannot be read. With `memory' in the place of a path it is a program that is kept in memory,
%% and the answer the pid by which it is named in a command, until the caller ends or calls {@link
%% stop/1} with it.
%%
%% ```
%% Path = "/tmp/erluv-example-" ++ os:getpid(),
%% {ok, #{size := 6}} = erluv:put_file(erluv, <<"hello\n">>, Path, #{mode => 8#600}),
%% {ok, #{stdout := <<"hello\n">>}} = erluv:run(erluv, ["cat", Path]),
%% {error, enoent} = erluv:put_file(erluv, <<>>, "/no/such/directory/file", #{}),
%% {ok, Tool} = erluv:put_file(erluv, {file, "/bin/echo"}, memory, #{}),
%% {ok, #{stdout := <<"hi\n">>}} = erluv:run(erluv, [{memory, Tool}, "hi"]),
%% ok = erluv:stop(Tool).
%% '''
-spec put_file(server(), source(), text() | memory, put_options()) ->
          {ok, #{size := non_neg_integer(), sha256 := binary()}} | {ok, pid()} | error().
put_file(Server, Source, Path, Options) when ?IS_SERVER(Server), is_map(Options) ->
    case erluv_put:is_source(Source) of
        true -> erluv_put:put_file(Server, Source, Path, Options);
        false -> ?BADARG([Server, Source, Path, Options], #{2 => source})
    end;
put_file(Server, Source, Path, Options) when ?IS_SERVER(Server), length(Options) >= 0 ->
    put_file(Server, Source, Path, proplists:to_map(Options));
put_file(Server, Source, Path, Options) when ?IS_SERVER(Server) ->
    ?BADARG([Server, Source, Path, Options], #{4 => options});
put_file(Server, Source, Path, Options) ->
    ?BADARG([Server, Source, Path, Options], #{1 => server}).

%% @doc Writes to the program's stdin.
%%
%% It returns when all of it is in the pipe: so a writer does not run ahead of a
%% program that reads slowly. `{error, epipe}': stdin is closed, or nobody reads it.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["cat"], #{packet => line}),
%% ok = erluv:write(W, [<<"one">>, $\n]),
%% receive {W, {stdout, <<"one\n">>}} -> ok end,
%% {ok, V} = erluv:spawn(erluv, ["sleep", "60"]),
%% ok = erluv:close(V),
%% {error, epipe} = erluv:write(V, <<"two">>).
%% '''
-spec write(worker(), iodata()) -> ok | error().
write(Worker, Data) when ?IS_WORKER(Worker) ->
    erluv_call:call(Worker, {write, Data});
write(Worker, Data) ->
    ?BADARG([Worker, Data], #{1 => worker}).

%% @doc Writes to a descriptor that the option `fds' has made `{pipe, in}'.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, <<"cat <&3">>, #{fds => #{3 => {pipe, in}}, packet => line}),
%% ok = erluv:write(W, 3, <<"hello\n">>),
%% ok = erluv:close(W, 3),
%% receive {W, {stdout, <<"hello\n">>}} -> ok end.
%% '''
-spec write(worker(), 3..255, iodata()) -> ok | error().
write(Worker, N, Data) when ?IS_WORKER(Worker), is_integer(N) ->
    erluv_call:call(Worker, {write, N, Data});
write(Worker, N, Data) when is_integer(N) ->
    ?BADARG([Worker, N, Data], #{1 => worker});
write(Worker, N, Data) ->
    ?BADARG([Worker, N, Data], #{2 => descriptor}).

%% @doc Closes stdin, once what was written before is in the pipe.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["sort"], #{packet => line}),
%% ok = erluv:write(W, <<"b\na\n">>),
%% ok = erluv:close(W),
%% receive {W, {stdout, <<"a\n">>}} -> ok end,
%% receive {W, {stdout, <<"b\n">>}} -> ok end.
%% '''
-spec close(worker()) -> ok | error().
close(Worker) when ?IS_WORKER(Worker) ->
    erluv_call:call(Worker, {close, stdin});
close(Worker) ->
    ?BADARG([Worker], #{1 => worker}).

%% @doc Closes stdin or a descriptor as {@link write/3} takes.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["cat"]),
%% ok = erluv:close(W, stdin),
%% receive {W, {exit_status, 0}} -> ok end.
%% '''
-spec close(worker(), stdin | 3..255) -> ok | error().
close(Worker, N) when ?IS_WORKER(Worker), is_integer(N); ?IS_WORKER(Worker), N =:= stdin ->
    erluv_call:call(Worker, {close, N});
close(Worker, N) when is_integer(N); N =:= stdin ->
    ?BADARG([Worker, N], #{1 => worker});
close(Worker, N) ->
    ?BADARG([Worker, N], #{2 => descriptor}).

%% @equiv read(Worker, stdout, Max)
-spec read(worker(), pos_integer()) -> {ok, binary() | [binary()]} | eof | error().
read(Worker, Max) ->
    read(Worker, stdout, Max).

%% @doc Reads output of a worker whose `flow' is `{active, false}': as soon as there is
%% some, at most `Max' bytes of it, or with `packet' the next line or packet. With `lines' it
%% is a list of lines, at most `Max' bytes of them, and one line at least.
%%
%% The program waits, in its `write', while nobody reads and its pipe is full.
%% `{error, active}': output is sent as messages.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["seq", "2"], #{flow => {active, false}, packet => line}),
%% {ok, <<"1\n">>} = erluv:read(W, stdout, 65536),
%% {ok, <<"2\n">>} = erluv:read(W, 65536),
%% eof = erluv:read(W, 65536).
%% '''
-spec read(worker(), stream(), pos_integer()) -> {ok, binary() | [binary()]} | eof | error().
read(Worker, Stream, Max)
  when ?IS_WORKER(Worker), ?IS_STREAM(Stream), is_integer(Max), Max > 0 ->
    erluv_call:call(Worker, {read, Stream, Max});
read(Worker, Stream, Max) when not ?IS_STREAM(Stream) ->
    ?BADARG([Worker, Stream, Max], #{2 => stream});
read(Worker, Stream, Max) when ?IS_WORKER(Worker) ->
    ?BADARG([Worker, Stream, Max], #{3 => positive});
read(Worker, Stream, Max) ->
    ?BADARG([Worker, Stream, Max], #{1 => worker}).

%% @doc Changes `owner', `packet', `flow', `active', `stdout' or `stderr' of a worker: all of
%% them, or nothing.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["cat"], #{flow => {active, false}, packet => line}),
%% ok = erluv:write(W, <<"hello\n">>),
%% ok = erluv:setopts(W, #{active => once}),
%% receive {W, {stdout, <<"hello\n">>}} -> ok end,
%% {error, {bad_option, colour, _}} = erluv:setopts(W, [{colour, red}]).
%% '''
%%
%% With `#{owner => self()}' a process of any node takes over a worker, also one that
%% `on_disconnect' keeps because its owner's node is gone (erluv.conf(5)): {@link workers/1} lists it,
%% and `lost' of {@link info/1} says whose it was.
-spec setopts(worker(), worker_settings()) -> ok | error().
setopts(Worker, Options) when ?IS_WORKER(Worker), is_map(Options) ->
    erluv_call:call(Worker, {setopts, maps:to_list(Options)});
setopts(Worker, Options) when ?IS_WORKER(Worker), is_list(Options) ->
    erluv_call:call(Worker, {setopts, Options});
setopts(Worker, Options) when ?IS_WORKER(Worker) ->
    ?BADARG([Worker, Options], #{2 => options});
setopts(Worker, Options) ->
    ?BADARG([Worker, Options], #{1 => worker}).

%% @doc Sends a signal, to the program alone or to all processes of its group.
%%
%% `{error, esrch}': it has ended.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["sleep", "60"]),
%% ok = erluv:signal(W, sigstop),
%% receive {W, {stopped, sigstop}} -> ok end,
%% ok = erluv:signal(W, {group, sigkill}),
%% receive {W, {signal, sigkill}} -> ok end.
%% '''
-spec signal(worker(), signal() | {group, signal()}) -> ok | error().
signal(Worker, {group, Signal}) when ?IS_WORKER(Worker) ->
    erluv_call:call(Worker, {signal, group, Signal});
signal(Worker, Signal) when ?IS_WORKER(Worker) ->
    erluv_call:call(Worker, {signal, Signal});
signal(Worker, Signal) ->
    ?BADARG([Worker, Signal], #{1 => worker}).

%% @equiv stop(Worker, infinity)
-spec stop(worker()) -> {ok, exit()} | ok | error().
stop(Worker) ->
    stop(Worker, infinity).

%% @doc Stops a worker and returns when all that it started is gone: by its
%% `kill_signal', and by SIGKILL after its `kill_timeout'.
%%
%% For a watcher of files and an upload the answer is `ok'. With `{error, timeout}', after `Timeout'
%% milliseconds, the worker goes on being stopped.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["sleep", "60"]),
%% {ok, {signal, sigterm}} = erluv:stop(W),
%% {error, noproc} = erluv:stop(W).
%% '''
-spec stop(worker(), timeout()) -> {ok, exit()} | ok | error().
stop(Worker, Timeout)
  when ?IS_WORKER(Worker), is_integer(Timeout), Timeout >= 0;
       ?IS_WORKER(Worker), Timeout =:= infinity ->
    erluv_call:call(Worker, stop, Timeout);
stop(Worker, Timeout) when ?IS_WORKER(Worker) ->
    ?BADARG([Worker, Timeout], #{2 => timeout});
stop(Worker, Timeout) ->
    ?BADARG([Worker, Timeout], #{1 => worker}).

%% @doc Starts a program again that has the option `restart' with `transient' or `permanent'.
%%
%% The worker stays, and stops its program as {@link stop/1} does. The exit status does not matter, and
%% `max_restarts' does not count this restart. `ok' comes first: the owner gets
%% `{W, {restarted, OsPid, N}}' when the next program runs. `{error, temporary}': the worker does not
%% have the option. `{error, stopping}': the worker ends, or erluv does.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["sleep", "60"], #{restart => permanent}),
%% ok = erluv:restart(W),
%% receive {W, {restarted, _OsPid, 1}} -> ok end,
%% {ok, _} = erluv:stop(W),
%% {error, noproc} = erluv:restart(W).
%% '''
-spec restart(worker()) -> ok | error().
restart(Worker) when ?IS_WORKER(Worker) ->
    erluv_call:call(Worker, restart);
restart(Worker) ->
    ?BADARG([Worker], #{1 => worker}).

%% @doc Sends SIGKILL to everything that the worker has started, and returns at once.
%%
%% The worker ends with the reason `killed'. It is `exit(Worker, kill)': also for a
%% worker that has ended, and for a node that is gone, it is `ok'.
%%
%% ```
%% {ok, {W, Ref}} = erluv:spawn_monitor(erluv, ["sleep", "60"]),
%% ok = erluv:kill(W),
%% receive {'DOWN', Ref, process, W, killed} -> ok end.
%% '''
-spec kill(pid()) -> ok.
kill(Worker) when is_pid(Worker) ->
    true = exit(Worker, kill),
    ok;
kill(Worker) ->
    ?BADARG([Worker], #{1 => pid}).

%% @doc Tells a program with a terminal (option `pty') how large that is now.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, <<"read x; stty size">>,
%%                       #{pty => #{echo => false}, packet => line}),
%% ok = erluv:resize(W, 50, 132),
%% ok = erluv:write(W, <<"\n">>),
%% receive {W, {stdout, <<"50 132\r\n">>}} -> ok end,
%% {ok, V} = erluv:spawn(erluv, ["cat"]),
%% {error, enotty} = erluv:resize(V, 50, 132).
%% '''
-spec resize(worker(), 1..65535, 1..65535) -> ok | error().
resize(Worker, Rows, Cols)
  when ?IS_WORKER(Worker), is_integer(Rows), Rows > 0, is_integer(Cols), Cols > 0 ->
    erluv_call:call(Worker, {resize, Rows, Cols});
resize(Worker, Rows, Cols) when not ?IS_WORKER(Worker) ->
    ?BADARG([Worker, Rows, Cols], #{1 => worker});
resize(Worker, Rows, Cols) when is_integer(Rows), Rows > 0 ->
    ?BADARG([Worker, Rows, Cols], #{3 => positive});
resize(Worker, Rows, Cols) ->
    ?BADARG([Worker, Rows, Cols], #{2 => positive}).

%% @doc What a worker or an erluv node says of itself: `os_pid', `cmd', `state', `cpu',
%% `rss' and more of a worker, `version', `user', `workers', `uptime' and more of a
%% node.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["sleep", "60"]),
%% #{os_pid := OsPid, state := running} = erluv:info(W),
%% true = is_integer(OsPid),
%% #{workers := N} = erluv:info(erluv),
%% true = N >= 1.
%% '''
-spec info(server() | worker()) -> #{atom() => term()} | error().
info(Pid) when is_pid(Pid), node(Pid) =/= node() ->
    erluv_call:call(Pid, info);
info(Server) when ?IS_SERVER(Server) ->
    erluv_call:request(Server, info);
info(Worker) when ?IS_WORKER(Worker) ->
    erluv_call:call(Worker, info);
info(Other) ->
    ?BADARG([Other], #{1 => server}).

%% @doc One thing that an erluv node says of itself.
%%
%% ```
%% <<"erluv_", _/binary>> = atom_to_binary(erluv:info(erluv, node)),
%% {error, _} = erluv:info(erluv, colour).
%% '''
-spec info(server(), atom()) -> term() | error().
info(Server, Key) when ?IS_SERVER(Server) ->
    erluv_call:request(Server, {info, Key});
info(Server, Key) ->
    ?BADARG([Server, Key], #{1 => server}).

%% @doc All workers of an erluv node, each with what is known of it.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, ["sleep", "60"]),
%% {W, #{cmd := [<<"sleep">>, <<"60">>]}} = lists:keyfind(W, 1, erluv:workers(erluv)).
%% '''
-spec workers(server()) -> [{pid(), #{atom() => term()}}] | error().
workers(Server) when ?IS_SERVER(Server) ->
    erluv_call:request(Server, workers);
workers(Server) ->
    ?BADARG([Server], #{1 => server}).

%% @equiv log(Worker, #{})
-spec log(worker()) -> {ok, program_log()} | error().
log(Worker) ->
    log(Worker, #{}).

%% @doc The last output of a program that has the option `keep', also when it has ended, as long
%% as its end is in {@link history/1}.
%%
%% `next' and the options `from' and `wait' are for those who go on from there: an answer begins
%% where the one before ended, and `lost' says how many bytes were driven out in between. `open' is
%% false when nothing more comes. `{error, not_kept}': it has no `keep'. `{error, lost}': erluv's
%% child has crashed since.
%%
%% ```
%% {ok, W} = erluv:spawn(erluv, <<"echo one; echo two; sleep 60">>,
%%                       #{keep => true, ready => {line, "two"}}),
%% {ok, #{output := [{_Time, stdout, <<"two\n">>}]}} = erluv:log(W, #{lines => 1}).
%% '''
-spec log(worker(), log_options()) -> {ok, program_log()} | error().
log({Name, Node} = Worker, Options) when ?IS_WORKER(Worker), ?IS_OPTIONS(Options) ->
    erluv_call:call({erluv, Node}, {log, Name, Options});
log(Worker, Options) when is_pid(Worker), ?IS_OPTIONS(Options) ->
    erluv_call:call({erluv, node(Worker)}, {log, Worker, Options});
log(Worker, Options) ->
    ?BADARG([Worker, Options], maps:from_list([{1, worker} || not ?IS_WORKER(Worker)] ++ [{2, options} || not ?IS_OPTIONS(Options)])).

%% @doc The last ends of programs of an erluv node, the last one first: how each has ended and
%% why, what it has used, and its last output if it is kept. The keys are in erluv-protocol(7).
%%
%% ```
%% {ok, _} = erluv:run(erluv, ["false"]),
%% [#{cmd := [<<"false">>], cause := exit, exit := {exit_status, 1}} | _] = erluv:history(erluv).
%% '''
-spec history(server()) -> [#{atom() => term()}] | error().
history(Server) when ?IS_SERVER(Server) ->
    erluv_call:request(Server, {info, history});
history(Server) ->
    ?BADARG([Server], #{1 => server}).

%% @equiv top(erluv)
-spec top() -> ok | error().
top() ->
    top(erluv).

%% @equiv top(Server, #{})
-spec top(server()) -> ok | error().
top(Server) ->
    top(Server, #{}).

%% @doc Shows the programs of an erluv node, what they use, and what erluv itself uses, live: what `erluv
%% top' shows on its host.
%%
%% It is for a shell, also a remote one, and ends with Enter. It starts no erluv. An erluv that
%% is lost while it shows one is told of, and waited for.
%%
%% ```
%% {ok, _} = erluv:spawn(erluv, ["sleep", "60"], #{name => sleeper}),
%% ok = erluv:top(erluv, #{once => true, order => memory, rows => 3, interval => 200}).
%% '''
-spec top(server(), top_options()) -> ok | error().
top(Server, Options) when ?IS_SERVER(Server), is_map(Options) ->
    case wrong_top(maps:to_list(Options)) of
        [] -> erluv_top:run(Server, Options);
        [Key | _] -> {error, {bad_option, Key, <<"interval, once, order or rows, as erluv(3erl) has them">>}}
    end;
top(Server, Options) when ?IS_SERVER(Server), is_list(Options) ->
    top(Server, maps:from_list(proplists:unfold(Options)));
top(Server, Options) when ?IS_SERVER(Server) ->
    ?BADARG([Server, Options], #{2 => options});
top(Server, Options) ->
    ?BADARG([Server, Options], #{1 => server}).

wrong_top(Options) -> [Key || {Key, Value} <- Options, not is_top(Key, Value)].

is_top(interval, Time) -> is_integer(Time) andalso Time >= 200 andalso Time =< 60000;
is_top(once, Once) -> is_boolean(Once);
is_top(order, Order) -> lists:member(Order, erluv_overview:orders());
is_top(rows, Rows) -> is_integer(Rows) andalso Rows > 0;
is_top(_, _) -> false.

%% @doc Where the host of an erluv node stands: see HOSTS in erluv-protocol(7).
%%
%% ```
%% ready = erluv:status(erluv).
%% '''
-spec status(server()) -> host_status() | error().
status(Server) when ?IS_SERVER(Server) ->
    erluv_call:request(Server, {status, get});
status(Server) ->
    ?BADARG([Server], #{1 => server}).

%% @doc Asks for another state of a host. In `standby' no new worker is started, and those that
%% run go on. `stopped' asks all workers to stop too, and does not wait for them: {@link drain/2}
%% does.
%%
%% `{error, not_allowed}': the workers are being stopped, and until none is left the state
%% cannot be changed; or erluv is about to end.
%%
%% ```
%% ok = erluv:status(erluv, standby),
%% {error, {node_not_ready, standby}} = erluv:spawn(erluv, ["cat"]),
%% ok = erluv:status(erluv, ready).
%% '''
-spec status(server(), ready | standby | stopped) -> ok | error().
status(Server, Status)
  when ?IS_SERVER(Server), Status =:= ready;
       ?IS_SERVER(Server), Status =:= standby;
       ?IS_SERVER(Server), Status =:= stopped ->
    erluv_call:request(Server, {status, set, Status});
status(Server, Status) when ?IS_SERVER(Server) ->
    ?BADARG([Server, Status], #{2 => host_status});
status(Server, Status) ->
    ?BADARG([Server, Status], #{1 => server}).

%% @doc Asks all workers of a host to stop, starts no new ones, and returns when none is left.
%%
%% After `Deadline' milliseconds those that are left are killed: they are the list that is
%% returned. The host is `stopped' then, until {@link status/2} makes it `ready' again. Workers
%% end with the reason `{shutdown, drained}', and with `killed'.
%%
%% ```
%% {ok, {W, Ref}} = erluv:spawn_monitor(erluv, ["sleep", "60"]),
%% {ok, []} = erluv:drain(erluv, 10000),
%% receive {'DOWN', Ref, process, W, {shutdown, drained}} -> ok end,
%% stopped = erluv:status(erluv),
%% ok = erluv:status(erluv, ready).
%% '''
-spec drain(server(), timeout()) -> {ok, Killed :: [pid()]} | error().
drain(Server, Deadline)
  when ?IS_SERVER(Server), is_integer(Deadline), Deadline >= 0;
       ?IS_SERVER(Server), Deadline =:= infinity ->
    erluv_call:request(Server, {drain, Deadline});
drain(Server, Deadline) when ?IS_SERVER(Server) ->
    ?BADARG([Server, Deadline], #{2 => timeout});
drain(Server, Deadline) ->
    ?BADARG([Server, Deadline], #{1 => server}).

%% @doc The labels of a host.
%%
%% ```
%% ok = erluv:meta(erluv, {update, "core;group=g1;master"}),
%% [{<<"core">>, [{<<"group">>, <<"g1">>}, <<"master">>]}] = erluv:meta(erluv),
%% ok = erluv:meta(erluv, {remove, "core"}),
%% [] = erluv:meta(erluv).
%% '''
-spec meta(server()) -> [label()] | error().
meta(Server) when ?IS_SERVER(Server) ->
    erluv_call:request(Server, {meta, get});
meta(Server) ->
    ?BADARG([Server], #{1 => server}).

%% @doc Changes the labels of a host. `update' puts each entry of the text in the place of the
%% one with its name, or at the end; `remove' removes an entry, if there is one.
%%
%% ```
%% {error, invalid_tokens} = erluv:meta(erluv, {update, "core;;"}),
%% ok = erluv:meta(erluv, {update, "core;group=g1, gpu"}),
%% ok = erluv:meta(erluv, {update, "core;group=g2"}),
%% [{<<"core">>, [{<<"group">>, <<"g2">>}]}, {<<"gpu">>, []}] = erluv:meta(erluv),
%% [ok, ok] = [erluv:meta(erluv, {remove, Name}) || Name <- [core, gpu]].
%% '''
-spec meta(server(), {update, text()} | {remove, text() | atom()}) -> ok | error().
meta(Server, {What, _} = Change) when ?IS_SERVER(Server), What =:= update; ?IS_SERVER(Server), What =:= remove ->
    erluv_call:request(Server, {meta, Change});
meta(Server, Change) when ?IS_SERVER(Server) ->
    ?BADARG([Server, Change], #{2 => meta});
meta(Server, Change) ->
    ?BADARG([Server, Change], #{1 => server}).

%% @doc The programs that the host of an erluv node offers, as its configuration says: maps with
%% `name', `command', `args', `user', `max' and `running'. One is started by
%% `{class, Name, Args}' in the place of a command.
%%
%% ```
%% [] = erluv:classes(erluv),
%% {error, {class, unknown}} = erluv:run(erluv, {class, backup, ["/srv"]}).
%% '''
-spec classes(server()) -> [#{atom() => term()}] | error().
classes(Server) when ?IS_SERVER(Server) ->
    erluv_call:request(Server, {classes});
classes(Server) ->
    ?BADARG([Server], #{1 => server}).

%% @doc Tells an erluv whose child has crashed to start a new one.
%%
%% It returns at once. An `erluv_node' does this by itself: this is for who listens to
%% the events of an erluv without one. A child that runs is not touched.
%%
%% ```
%% ok = erluv:respawn(erluv),
%% {error, nodedown} = erluv:respawn('no_such@node').
%% '''
-spec respawn(server()) -> ok | error().
respawn(Server) when ?IS_SERVER(Server) ->
    case erluv_call:connected(Server) of
        {ok, Node} ->
            _ = {erluv_main, Node} ! respawn,
            ok;
        {error, _} = Error ->
            Error
    end;
respawn(Server) ->
    ?BADARG([Server], #{1 => server}).

%% @equiv start_distribution(local)
-spec start_distribution() -> ok | {error, term()}.
start_distribution() ->
    start_distribution(local).

%% @doc Makes this VM a node, if it is none: an `erluv_node' does this by itself.
%%
%% With `local' it gets a random name at 127.0.0.1 and a random cookie; it is hidden, does
%% not listen, and is not registered with EPMD. A VM that is a node stays as it is. With `none'
%% it is only looked at: `{error, not_alive}'. The variable `distribution' of the
%% application says which of them an `erluv_node' does; `local' is the default.
%%
%% Pids that were made binaries before are those of another node afterwards, and
%% `net_kernel:start/2' says that it has been started.
%%
%% ```
%% ok = erluv:start_distribution(),
%% ok = erluv:start_distribution(none),
%% true = is_alive().
%% '''
-spec start_distribution(local | none) -> ok | {error, term()}.
start_distribution(Mode) when Mode =:= local; Mode =:= none ->
    erluv_distribution:ensure(Mode);
start_distribution(Mode) ->
    ?BADARG([Mode], #{1 => distribution}).

%% @doc Words for what the functions of this application return as `{error, Reason}',
%% for `Reason' alone, and for the exit reasons of workers and of `erluv_node'.
%%
%% ```
%% {error, Reason} = erluv:spawn(erluv, ["cat"], #{cd => "/no/such/directory"}),
%% "cd: the directory cannot be used: no such file or directory (enoent)" =
%%     erluv:format_error(Reason).
%% '''
-spec format_error(term()) -> string().
format_error(Reason) ->
    case unicode:characters_to_list(erluv_error:text(Reason)) of
        Text when is_list(Text) -> Text;
        {_, Valid, _} -> Valid
    end.

%% What a wrong argument of a function that starts something is.
bad_start(Server, _) when not ?IS_SERVER(Server) -> #{1 => server};
bad_start(_, _) -> #{3 => options}.

%% An error is logged, and secrets may be in an environment.
shown(Options) when is_map(Options) -> maps:remove(env, Options);
shown(Options) when length(Options) >= 0 -> lists:keydelete(env, 1, Options);
shown(Options) -> Options.

with(Key, Value, Options) when is_map(Options) -> Options#{Key => Value};
with(Key, Value, Options) -> [{Key, Value} | lists:keydelete(Key, 1, delete(Key, Options))].

default(Key, Value, Options) when is_map(Options) ->
    maps:merge(#{Key => Value}, Options);
default(Key, Value, Options) ->
    case lists:keymember(Key, 1, Options) orelse lists:member(Key, Options) of
        true -> Options;
        false -> [{Key, Value} | Options]
    end.

delete(Key, Options) -> [Option || Option <- Options, Option =/= Key].
