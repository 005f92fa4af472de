%% Terms as a real node encodes them, and the text form in which the tests of package etf compare
%% terms.
%%
%% write/1 makes the files otp25.txt, otp27.txt and otp29.txt in this directory:
%%
%%     ERLUV_ERL=/path/to/erl go test ./wire/etf -run '^TestVectors$' -update
%%
%% writes the file of that release (of the erl in the PATH without ERLUV_ERL). Each line is NAME TAB
%% HEX TAB TEXT: the purpose of the vector, the bytes of term_to_binary without the version byte,
%% and the term.
%%
%% decode/0 is the other direction. It reads lines of HEX, calls binary_to_term, and prints TEXT, or
%% "badarg".
-module(vectors).

-export([write/1]).
-export([decode/0]).
-export([inc/1]).

write(File) ->
    Lines = [line(Name, Bin, T) || {Name, Bin, T} <- vectors()],
    ok = file:write_file(File, Lines).

line(Name, <<131, Term/binary>>, T) ->
    [Name, $\t, hex(Term), $\t, text(T), $\n].

vectors() ->
    [{N, term_to_binary(T), T} || {N, T} <- terms()] ++
    [{[N, " minor_version ", integer_to_list(V)], term_to_binary(T, [{minor_version, V}]), T}
     || V <- [0, 1, 2], {N, T} <- versioned()].

terms() -> integers() ++ floats() ++ atoms() ++ lists() ++ binaries() ++ containers() ++ identifiers() ++ funs().

versioned() ->
    [{"float", 0.1},
     {"small float", -2.2250738585072014e-308},
     {"atom", atom},
     {"latin-1 atom", binary_to_atom(<<"caf\303\251">>)},
     {"utf-8 atom", binary_to_atom(<<"\346\227\245\346\234\254">>)},
     {"mixed", {ok, 1.0, [a, 2.5e300], #{pi => 3.141592653589793}}}].

integers() ->
    [{"integer", I} || I <- [0, 1, 127, 128, 255, 256, -1, -128, 65535, 65536,
        1 bsl 27 - 1, 1 bsl 27, -(1 bsl 27), 1 bsl 31 - 1, -(1 bsl 31), 1 bsl 31, -(1 bsl 31) - 1,
        1 bsl 32, 1 bsl 40 + 12345, 1 bsl 59 - 1, 1 bsl 59, -(1 bsl 59), -(1 bsl 59) - 1,
        1 bsl 63 - 1, 1 bsl 63, -(1 bsl 63), -(1 bsl 63) - 1,
        1 bsl 64 - 1, -(1 bsl 64 - 1), 1 bsl 64, 1 bsl 72 + 7,
        1 bsl 2040 - 1, -(1 bsl 2040 - 1)]] ++
    [{"large big", I} || I <- [1 bsl 2040, -(1 bsl 2040), 1 bsl 2100 - 99]].

floats() ->
    [{"float", F} || F <- [0.0, -0.0, 1.0, -1.5, 0.1, 3.141592653589793, 1.0e100, 5.0e-324,
        2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308]].

atoms() ->
    [{"atom", A} || A <- ['', a, true, undefined, '$gen_call', 'with space', 'it\'s', 'back\\slash', '\n']] ++
    [{"atom", binary_to_atom(B)} || B <- [
        <<"caf\303\251">>,                              % in Latin-1
        <<"\316\273">>, <<"\346\227\245\346\234\254">>, % not in Latin-1: two, three bytes
        <<"\360\237\220\247">>,                         % four bytes
        binary:copy(<<"a">>, 255),
        binary:copy(<<"\303\251">>, 127),               % 254 bytes
        binary:copy(<<"\303\251">>, 255),               % 510 bytes
        binary:copy(<<"\346\227\245">>, 255),           % 765 bytes
        binary:copy(<<"\360\237\220\247">>, 255)]].     % 1020 bytes

lists() ->
    [{"nil", []},
     {"string", "a"}, {"string", "hello, world"}, {"string", [0, 255, 128]},
     {"string", lists:seq(0, 255)}, {"string", lists:duplicate(300, $x)},
     {"list", [256]}, {"list", [1, 2, 3, -1]}, {"list", [955, 960]}, {"list", [[]]},
     {"list", [a, "b", <<"c">>, 4.0, {5}, #{}]}, {"list", lists:seq(250, 560)},
     {"list in list", [[1, [2, [3, [4000]]]]]},
     {"improper list", [a | b]}, {"improper list", [1, 2 | 3]}, {"improper list", ["x" | <<"y">>]},
     {"improper list", [alias | {nested, [1000 | 2]}]}].

binaries() ->
    [{"binary", <<>>}, {"binary", <<0>>}, {"binary", <<"hello">>}, {"binary", binary:copy(<<"0123456789abcdef">>, 64)},
     {"bit string", <<1:1>>}, {"bit string", <<5:3>>}, {"bit string", <<127:7>>},
     {"bit string", <<"abc", 2:2>>}, {"bit string", <<1:9>>}, {"bit string", <<0:15>>},
     {"unaligned bit string", unaligned(<<16#FFFF:16, 16#F:4>>)}].

unaligned(<<_:3, Rest/bitstring>>) -> Rest.

containers() ->
    [{"tuple", {}}, {"tuple", {a}}, {"tuple", {a, 1, "s", <<"b">>}}, {"tuple", {{{{}}}}},
     {"tuple", erlang:make_tuple(255, x)}, {"large tuple", erlang:make_tuple(256, y)},
     {"map", #{}}, {"map", #{a => 1}}, {"map", #{1 => a, 1.0 => b, <<"1">> => c, "1" => d, {1} => e, [] => f}},
     {"map", maps:from_list([{I, I * I} || I <- lists:seq(1, 32)])},
     {"large map", maps:from_list([{I, I * I} || I <- lists:seq(1, 33)])},
     {"large map", maps:from_list([{{key, integer_to_binary(I)}, [I]} || I <- lists:seq(1, 200)])},
     {"map in map", #{#{a => #{}} => #{#{} => [#{b => c}]}}},
     {"deep", lists:foldl(fun(I, T) -> {I, [T]} end, bottom, lists:seq(1, 30))},
     {"nested", [{ok, #{pid => [<<"x">>, {y, "z"}], "k" => {[], {}}}} | tail]},
     {"request", {spawn, [<<"/bin/cat">>, "-n"], #{env => #{<<"A">> => "b"}, stdin => {file, "/dev/null"}}}}].

identifiers() ->
    P = self(),
    R = make_ref(),
    Port = hd(erlang:ports()),
    Alias = alias(),
    [{"local pid", P}, {"local port", Port}, {"local ref", R}, {"alias", Alias},
     {"call", {'$gen_call', {P, [alias | Alias]}, {write, <<"data">>}}},
     {"identifiers as keys", #{P => pid, R => ref, Port => port}}] ++
    [{Name, binary_to_term(<<131, B/binary>>)} || {Name, B} <- remote()].

%% Identifiers of another node, as they come from there.
remote() ->
    N = <<119, 14, "remote@example">>,
    U = <<118, 0, 8, "r@", 16#E697A5:24, 16#E69CAC:24>>,
    [{"remote pid", <<88, N/binary, 1:32, 0:32, 7:32>>},
     {"remote pid", <<88, N/binary, 16#7FFFFFFF:32, 16#1FFF:32, 16#FFFFFFFF:32>>},
     {"remote pid", <<88, U/binary, 99:32, 3:32, 16#6553F00D:32>>},
     {"remote pid of a node without creation", <<88, N/binary, 2:32, 0:32, 0:32>>},
     {"remote old pid", <<103, N/binary, 3:32, 4:32, 2>>},
     {"remote port", <<89, N/binary, 5:32, 7:32>>},
     {"remote old port", <<102, N/binary, 5:32, 2>>},
     {"remote 64-bit port", <<120, N/binary, 16#123456789ABCDEF0:64, 7:32>>},
     {"remote ref of 3 words", <<90, 3:16, N/binary, 7:32, 1:32, 2:32, 3:32>>},
     {"remote ref of 5 words", <<90, 5:16, N/binary, 7:32, 1:32, 2:32, 3:32, 4:32, 5:32>>},
     {"remote ref of 1 word", <<90, 1:16, N/binary, 7:32, 1:32>>},
     {"remote old ref", <<114, 3:16, N/binary, 2, 1:32, 2:32, 3:32>>},
     {"remote oldest ref", <<101, N/binary, 9:32, 2>>},
     {"remote exit", <<104, 2, 119, 4, "EXIT", 88, U/binary, 1:32, 2:32, 3:32>>}].

funs() ->
    X = 42,
    Y = {list, [1, 2], #{m => make_ref()}},
    [{"external fun", fun lists:map/2}, {"external fun", fun erlang:'+'/2},
     {"external fun of no module", fun nothing:'here is'/255},
     {"fun", fun inc/1},
     {"fun", fun() -> ok end},
     {"fun with variables", fun(A) -> {A, X, Y} end},
     {"fun in fun", begin F = fun() -> X end, fun(Z) -> {F, Z} end end},
     {"funs in a term", [fun lists:map/2, #{fun() -> X end => fun() -> Y end}]}].

inc(X) -> X + 1.

%% decode/0

decode() ->
    ok = io:setopts([binary, {encoding, latin1}]),
    decode(io:get_line("")).

decode(eof) ->
    ok;
decode(Line) ->
    Bin = unhex(string:trim(Line)),
    Size = byte_size(Bin) + 1,
    Text = try binary_to_term(<<131, Bin/binary>>, [used]) of
        {T, Size} -> text(T);
        {_, _} -> <<"badarg: bytes follow">>
    catch
        error:badarg -> <<"badarg">>
    end,
    ok = file:write(standard_io, [Text, $\n]),
    decode(io:get_line("")).

%% The text form, as bytes in UTF-8: Erlang's own syntax where there is one. Atoms are always
%% quoted, and the keys of a map are in the order of their texts.

text(I) when is_integer(I) ->
    integer_to_binary(I);
text(F) when is_float(F) ->
    float_to_binary(F, [{scientific, 20}]);
text(A) when is_atom(A) ->
    [$', [escape(C) || <<C>> <= atom_to_binary(A)], $'];
text(B) when is_binary(B) ->
    ["<<16#", hex(B), ">>"];
text(B) when is_bitstring(B) ->
    Pad = -bit_size(B) band 7,
    ["<<16#", hex(<<B/bitstring, 0:Pad>>), $:, integer_to_binary(bit_size(B)), ">>"];
text(L) when is_list(L) ->
    [$[, list(L), $]];
text(T) when is_tuple(T) ->
    [${, lists:join($,, [text(E) || E <- tuple_to_list(T)]), $}];
text(M) when is_map(M) ->
    ["#{", lists:join($,, lists:sort([iolist_to_binary([text(K), " => ", text(V)])
        || {K, V} <- maps:to_list(M)])), $}];
text(F) when is_function(F) ->
    case erlang:fun_info(F, type) of
        {type, external} ->
            [{module, M}, {name, N}, {arity, A}] = [erlang:fun_info(F, I) || I <- [module, name, arity]],
            ["fun ", text(M), $:, text(N), $/, text(A)];
        {type, local} ->
            [{module, M}, {new_uniq, U}, {new_index, I}, {arity, A}, {env, E}] =
                [erlang:fun_info(F, K) || K <- [module, new_uniq, new_index, arity, env]],
            ["fun ", text(M), $/, text(A), $\s, text(I), $\s, hex(U), $\s, text(E)]
    end;
text(Id) ->
    <<131, B/binary>> = term_to_binary(Id),
    identifier(B).

list([E]) -> text(E);
list([E | T]) when is_list(T) -> [text(E), $, | list(T)];
list([E | T]) -> [text(E), $|, text(T)];
list([]) -> [].

escape(C) when C =:= $'; C =:= $\\ -> [$\\, C];
escape(C) when C < 32; C =:= 127 -> io_lib:format("\\x~2.16.0B", [C]);
escape(C) -> C.

identifier(<<88, B/binary>>) ->
    {Node, <<Id:32, Serial:32, Creation:32>>} = node_name(B),
    ["pid(", Node, numbers([Id, Serial, Creation]), $)];
identifier(<<89, B/binary>>) ->
    {Node, <<Id:32, Creation:32>>} = node_name(B),
    ["port(", Node, numbers([Id, Creation]), $)];
identifier(<<120, B/binary>>) ->
    {Node, <<Id:64, Creation:32>>} = node_name(B),
    ["port(", Node, numbers([Id, Creation]), $)];
identifier(<<90, _:16, B/binary>>) ->
    {Node, <<Creation:32, Words/binary>>} = node_name(B),
    ["ref(", Node, numbers([Creation | [W || <<W:32>> <= Words]]), $)].

numbers(Ns) -> [[$,, integer_to_binary(N)] || N <- Ns].

%% An atom before other bytes.
node_name(<<119, L, A:L/binary, Rest/binary>>) -> {text(binary_to_atom(A)), Rest};
node_name(<<118, L:16, A:L/binary, Rest/binary>>) -> {text(binary_to_atom(A)), Rest};
node_name(<<100, L:16, A:L/binary, Rest/binary>>) -> {text(binary_to_atom(A, latin1)), Rest}.

hex(B) -> [[hexdigit(H), hexdigit(L)] || <<H:4, L:4>> <= B].

hexdigit(D) when D < 10 -> $0 + D;
hexdigit(D) -> $A + D - 10.

unhex(B) -> << <<(binary_to_integer(<<H, L>>, 16))>> || <<H, L>> <= B >>.
