%% @private
%% Puts a file on the host of an erluv node, piece by piece: see UPLOADS in erluv-protocol(7).
%%
%% What is put is a binary, a file of this node, or what a reader has: a process, of another node
%% perhaps, that reads for who asks it, and ends with the process that has started it.
-module(erluv_put).

-include_lib("kernel/include/file.hrl").

-export([put_file/4]).
-export([reader/1]).
-export([is_source/1]).

-export_type([reader/0]).

-type reader() :: {reader, pid(), Size :: non_neg_integer() | unknown}.

%% Bytes that are under way at once, which is the most that one message may have; and how long a
%% chunk waits that erluv cannot keep, in milliseconds.
-define(CHUNK, 1048576).
-define(AGAIN, 50).

-spec is_source(term()) -> boolean().
is_source({file, _}) -> true;
is_source({reader, _, _}) -> true;
is_source(Source) -> is_binary(Source) orelse is_list(Source).

%% @doc Puts it, and returns when it is there. The upload belongs to the caller.
-spec put_file(erluv:server(), erluv:source() | reader(), erluv:text() | memory, map()) ->
          {ok, #{size := non_neg_integer(), sha256 := binary()}} | {ok, pid()} | {error, term()}.
put_file(Server, Source, Path, Options) ->
    case open(Source) of
        {ok, Size, Read, Close} ->
            Answer = begun(erluv_call:request(Server, {put_file, Path, sized(Size, Options)}), Read),
            ok = Close(),
            kept(Path, Answer);
        {error, Reason} ->
            {error, {source, Reason}}
    end.

sized(unknown, Options) -> Options;
sized(Size, Options) -> maps:merge(#{size => Size}, Options).

%% What is in memory lasts as long as its upload.
kept(memory, {{ok, _}, Upload}) -> {ok, Upload};
kept(_, {Answer, _}) -> Answer.

%% @doc Starts a process that reads for another node.
-spec reader(erluv:source()) -> {ok, reader()} | {error, term()}.
reader(Source) ->
    Self = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
                                       End = monitor(process, Self),
                                       opened(open(Source), Self, End)
                               end),
    receive
        {Pid, Answer} -> true = demonitor(Ref, [flush]), Answer;
        {'DOWN', Ref, process, Pid, Reason} -> {error, {exit, Reason}}
    end.

opened({ok, Size, Read, _}, Parent, End) ->
    Parent ! {self(), {ok, {reader, self(), Size}}},
    serve(Read, End);
opened({error, Reason}, Parent, _) ->
    Parent ! {self(), {error, {source, Reason}}}.

serve(Read, End) ->
    receive
        {'$gen_call', From, read} ->
            case Read() of
                {ok, Data, Next} -> gen_server:reply(From, {ok, Data}), serve(Next, End);
                Other -> gen_server:reply(From, Other)
            end;
        {'DOWN', End, process, _, _} ->
            ok
    end.

%% A source: its size, what reads the next chunk, and what closes it.
open({file, Name}) ->
    case file:open(Name, [read, raw, binary]) of
        {ok, File} -> {ok, size_of(Name), fun() -> from_file(File) end, fun() -> file:close(File) end};
        {error, _} = Error -> Error
    end;
open({reader, Pid, Size}) ->
    {ok, Size, fun() -> from_reader(Pid) end, fun() -> ok end};
open(Data) ->
    try iolist_to_binary(Data) of
        Bin -> {ok, byte_size(Bin), fun() -> from_binary(Bin) end, fun() -> ok end}
    catch
        error:badarg -> {error, badarg}
    end.

%% A pipe has no size, nor has a device. Files of /proc and /sys say 0 and have more.
size_of(Name) ->
    case file:read_file_info(Name, [raw]) of
        {ok, #file_info{type = regular, size = Size}} when Size > 0 -> Size;
        _ -> unknown
    end.

from_file(File) ->
    case file:read(File, ?CHUNK) of
        {ok, Data} -> {ok, Data, fun() -> from_file(File) end};
        Other -> Other
    end.

from_binary(<<>>) -> eof;
from_binary(<<Data:?CHUNK/binary, Rest/binary>>) -> {ok, Data, fun() -> from_binary(Rest) end};
from_binary(Data) -> {ok, Data, fun() -> from_binary(<<>>) end}.

from_reader(Pid) ->
    case erluv_call:call(Pid, read) of
        {ok, Data} -> {ok, Data, fun() -> from_reader(Pid) end};
        Other -> Other
    end.

begun({ok, Upload}, Read) -> {chunks(Upload, 0, Read, sum()), Upload};
begun(Error, _) -> {Error, none}.

chunks(Upload, Offset, Read, Sum) ->
    case Read() of
        {ok, Data, Next} ->
            case chunk(Upload, Offset, Data) of
                ok -> chunks(Upload, Offset + byte_size(Data), Next, sum(Sum, Data));
                {error, _} = Error -> aborted(Upload, Error)
            end;
        eof -> committed(Upload, erluv_call:call(Upload, {commit, sum(Sum)}));
        {error, Reason} -> aborted(Upload, {error, {source, Reason}})
    end.

chunk(Upload, Offset, Data) ->
    case erluv_call:call(Upload, {chunk, Offset, Data}) of
        {error, eagain} ->
            receive after ?AGAIN -> chunk(Upload, Offset, Data) end;
        {error, noconnection} ->
            {error, nodedown}; % whatever has become of the chunk, nothing was put
        Answer ->
            Answer
    end.

committed(_, {ok, _} = Ok) -> Ok;
committed(Upload, Error) -> aborted(Upload, Error).

aborted(Upload, Error) ->
    _ = erluv_call:call(Upload, abort),
    Error.

%% The sum is compared where there is an application crypto, which needs OpenSSL.
sum() ->
    Crypto = crypto,
    case code:ensure_loaded(Crypto) of
        {module, _} -> {Crypto, Crypto:hash_init(sha256)};
        {error, _} -> none
    end.

sum(none, _) -> none;
sum({Crypto, Sum}, Data) -> {Crypto, Crypto:hash_update(Sum, Data)}.

sum(none) -> none;
sum({Crypto, Sum}) -> Crypto:hash_final(Sum).
