%% @private
%% The signals of Linux: their names, which are erluv's and OTP's, and their numbers.
-module(erluv_signal).

-export([name/1]).
-export([number/1]).

%% @doc The name of a signal; the number itself if it has none.
-spec name(integer()) -> atom() | integer().
name(Number) ->
    case lists:keyfind(Number, 2, signals()) of
        {Name, Number} -> Name;
        false -> Number
    end.

%% @doc The number of a signal.
-spec number(atom() | integer()) -> integer().
number(Number) when is_integer(Number) ->
    Number;
number(Name) when is_atom(Name) ->
    {Name, Number} = lists:keyfind(Name, 1, signals()),
    Number.

%% As in signal(7).
signals() ->
    [{sighup, 1}, {sigint, 2}, {sigquit, 3}, {sigill, 4}, {sigtrap, 5}, {sigabrt, 6},
     {sigbus, 7}, {sigfpe, 8}, {sigkill, 9}, {sigusr1, 10}, {sigsegv, 11}, {sigusr2, 12},
     {sigpipe, 13}, {sigalrm, 14}, {sigterm, 15}, {sigstkflt, 16}, {sigchld, 17},
     {sigcont, 18}, {sigstop, 19}, {sigtstp, 20}, {sigttin, 21}, {sigttou, 22},
     {sigurg, 23}, {sigxcpu, 24}, {sigxfsz, 25}, {sigvtalrm, 26}, {sigprof, 27},
     {sigwinch, 28}, {sigio, 29}, {sigpwr, 30}, {sigsys, 31}].
