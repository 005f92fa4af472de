%% @private
%% Makes this VM a node when it is none, so that an erluv can connect to it.
%%
%% It is a hidden node with a random name and cookie. It does not listen, it is not
%% registered with EPMD, and it leaves nothing on disk. erluv_listener lets erluv in.
%% A VM that is a node already is used as it is.
-module(erluv_distribution).
-behaviour(gen_server).

-export([start_link/0]).
-export([ensure/0]).
-export([ensure/1]).

-export([init/1]).
-export([handle_call/3]).
-export([handle_cast/2]).
-export([terminate/2]).

-include_lib("kernel/include/file.hrl").

-type error() :: not_alive | dynamic_name | {distribution, string()}
               | {bad_option, distribution, binary()}.

%% Bytes of randomness: of the name, and of a cookie.
-define(NAME_SIZE, 4).
-define(COOKIE_SIZE, 16).

%% The state: the name of the node that this process has started, or undefined.

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc The same as the variable `distribution' of the application says.
-spec ensure() -> ok | {error, error()}.
ensure() ->
    ensure(application:get_env(erluv, distribution, local)).

%% @doc Returns when the VM is a node.
-spec ensure(term()) -> ok | {error, error()}.
ensure(Mode) ->
    ensure(Mode, is_node()).

ensure(_, true) -> ok;
ensure(none, false) -> {error, not_alive};
ensure(local, false) -> start(whereis(?MODULE));
ensure(_, false) -> {error, {bad_option, distribution, <<"local or none">>}}.

%% With -sname undefined a VM is alive, but has no name until another node gives it one.
is_node() -> node() =/= nonode@nohost.

%% One process starts it, however many ask.
start(undefined) ->
    case application:ensure_all_started(erluv) of
        {ok, _} -> gen_server:call(?MODULE, start, infinity);
        {error, _} -> {error, not_alive} % nothing says where the application is
    end;
start(_) ->
    gen_server:call(?MODULE, start, infinity).

%% @private
-spec init([]) -> {ok, undefined}.
init([]) ->
    process_flag(trap_exit, true), % so that terminate is called
    {ok, undefined}.

%% @private
-spec handle_call(start, gen_server:from(), node() | undefined) ->
          {reply, ok | {error, error()}, node() | undefined}.
handle_call(start, _From, Ours) ->
    case is_node() of
        true -> {reply, ok, Ours};
        false -> make_node(net_kernel:get_state(), Ours)
    end.

%% @private
-spec handle_cast(term(), State) -> {noreply, State}.
handle_cast(_Message, State) ->
    {noreply, State}.

make_node(#{name_type := dynamic}, Ours) ->
    {reply, {error, dynamic_name}, Ours};
make_node(_, Ours) ->
    Name = list_to_atom("vm_" ++ random(?NAME_SIZE) ++ "@127.0.0.1"),
    case start_net_kernel(Name) of
        {ok, _} ->
            true = erlang:set_cookie(list_to_atom(random(?COOKIE_SIZE))),
            {reply, ok, Name};
        {error, {already_started, _}} ->
            {reply, ok, Ours};
        {error, Reason} ->
            {reply, {error, {distribution, unicode:characters_to_list(words(Reason))}}, Ours}
    end.

start_net_kernel(Name) ->
    Start = fun() ->
                    net_kernel:start(Name, #{name_domain => longnames, dist_listen => false,
                                             hidden => true})
            end,
    case cookie_source() of
        known -> Start();
        none -> with_cookie_file(Start);
        {error, _} = Error -> Error
    end.

%% net_kernel does not start without a cookie: it takes that of -setcookie or of the file
%% in the home directory. That file it would make, so another one is shown to it.
cookie_source() ->
    case {init:get_argument(setcookie), init:get_argument(home)} of
        {{ok, [[_]]}, _} -> known;
        {_, {ok, [[Home]]}} -> cookie_file(filename:join(Home, ".erlang.cookie"));
        _ -> none
    end.

%% What it does not like of the file it would say in a crash report.
cookie_file(File) ->
    case file:read_file_info(File) of
        {ok, #file_info{mode = Mode}} when Mode band 8#077 =/= 0 ->
            {error, ["Cookie file ", File, " must be accessible by owner only"]};
        {ok, _} -> known;
        {error, _} -> none
    end.

%% It looks there too, when there is none in the home directory.
with_cookie_file(Start) ->
    case make_dir("erluv-" ++ random(?COOKIE_SIZE), [os:getenv("TMPDIR", "/tmp"), "/tmp", "/dev/shm"]) of
        {ok, Dir} -> with_cookie_file(Start, Dir);
        {error, _} = Error -> Error
    end.

with_cookie_file(Start, Dir) ->
    File = filename:join([Dir, "erlang", ".erlang.cookie"]),
    Old = os:getenv("XDG_CONFIG_HOME"),
    try
        ok = file:change_mode(Dir, 8#700),
        ok = file:make_dir(filename:dirname(File)),
        ok = file:write_file(File, random(?COOKIE_SIZE)),
        ok = file:change_mode(File, 8#400),
        true = os:putenv("XDG_CONFIG_HOME", Dir),
        Start()
    after
        restore("XDG_CONFIG_HOME", Old),
        _ = file:del_dir_r(Dir)
    end.

make_dir(Name, [Parent | Others]) ->
    Dir = filename:join(Parent, Name),
    case file:make_dir(Dir) of
        ok -> {ok, Dir};
        {error, _} when Others =/= [] -> make_dir(Name, Others);
        {error, Reason} -> {error, ["cannot make ", Dir, ": ", file:format_error(Reason)]}
    end.

restore(Name, false) -> true = os:unsetenv(Name);
restore(Name, Value) -> true = os:putenv(Name, Value).

%% From the system: the generators of stdlib can be foretold.
random(Size) ->
    {ok, File} = file:open("/dev/urandom", [read, raw, binary]),
    {ok, Bytes} = file:read(File, Size),
    ok = file:close(File),
    string:lowercase(binary_to_list(binary:encode_hex(Bytes))).

%% The words of a process of net_kernel's that did not start, or the term.
words({{shutdown, {failed_to_start_child, _, {[_ | _] = Words, _}}}, _}) -> Words;
words(Words) when is_list(Words) -> Words;
words(Reason) -> io_lib:format("~0tp", [Reason]).

%% @private
%% The node ends with the application, unless others use it.
-spec terminate(term(), node() | undefined) -> ok.
terminate(_Reason, Ours) ->
    case Ours =:= node() andalso nodes(connected) =:= [] of
        true -> _ = net_kernel:stop(), ok;
        false -> ok
    end.
