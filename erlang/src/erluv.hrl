%% An argument is wrong: badarg, with words for the shell and the log (error_info).
-define(BADARG(Args, Cause),
        erlang:error(badarg, Args, [{error_info, #{module => erluv_error, cause => Cause}}])).

%% The options of a program, for the types of the functions that take them: those of all,
%% and those of a worker.
-define(PROGRAM_OPTIONS,
        allow => [attributes | userns | io_uring | userfaultfd | keyctl | process_vm | perf | bpf | fanotify | tiocsti],
        cd => erluv:text(),
        cpus => [non_neg_integer(), ...],
        env => erluv:env(),
        fds => #{3..255 => erluv:descriptor()} | [{3..255, erluv:descriptor()}],
        group => erluv:account(),
        groups => [erluv:account()],
        idle_timeout => erluv:limit(),
        inherit => [atom() | erluv:text()],
        kill_signal => erluv:signal(),
        kill_timeout => non_neg_integer(),
        limits => erluv:limits(),
        login => boolean(),
        nice => -20..19,
        no_new_privs => true,
        oom_score_adj => -1000..1000,
        path => erluv:text(),
        pty => erluv:pty(),
        rlimits => erluv:rlimits(),
        sandbox => erluv:sandbox(),
        setsid => boolean(),
        stop_sequence => [close | erluv:signal() | {signal, erluv:signal()} | non_neg_integer(), ...],
        timeout => erluv:limit(),
        tree => kill | wait | leave,
        umask => 0..8#777,
        user => erluv:account()).
-define(WORKER_OPTIONS,
        backoff => {From :: non_neg_integer(), To :: non_neg_integer()},
        detached => boolean(),
        flow => auto | {active, boolean() | once | 0..32767},
        max_restarts => {N :: non_neg_integer(), Milliseconds :: non_neg_integer()},
        id => erluv:text() | atom(),
        name => atom(),
        packet => erluv:packet(),
        ready => {tcp, 1..65535} | {line, RegExp :: erluv:text()} | {file, erluv:text()} | notify,
        ready_timeout => erluv:limit(),
        restart => temporary | transient | permanent,
        stderr => erluv:output() | stdout,
        stdin => pipe | null | {file, erluv:text()},
        stdout => erluv:output(),
        watchdog => erluv:limit()).
%% A property list is taken for each map.
-define(OPTION_LIST, [{atom(), term()} | atom()]).

%% What a spec has for such lists, so that dialyzer sees what is wrong in one. It knows no more than
%% five kinds of tuples in a list apart, so the options are in several clauses: of other keys each and
%% without the empty list, for it heeds no clauses that overlap. An element that is right hides
%% those that are wrong. erluv_docs_tests holds that the types are those above.
-define(PROGRAM_LISTS(Answer),
        (erluv:server(), erluv:cmd(), []) -> Answer;
        (erluv:server(), erluv:cmd(),
         [{allow, [attributes | userns | io_uring | userfaultfd | keyctl | process_vm | perf | bpf | fanotify | tiocsti]}
          | {cd, erluv:text()}
          | {cpus, [non_neg_integer(), ...]}
          | {env, erluv:env()}
          | {fds, #{3..255 => erluv:descriptor()} | [{3..255, erluv:descriptor()}]}, ...]) -> Answer;
        (erluv:server(), erluv:cmd(),
         [{group, erluv:account()}
          | {groups, [erluv:account()]}
          | {idle_timeout, erluv:limit()}
          | {inherit, [atom() | erluv:text()]}
          | {kill_signal, erluv:signal()}, ...]) -> Answer;
        (erluv:server(), erluv:cmd(),
         [{kill_timeout, non_neg_integer()}
          | {limits, erluv:limits()}
          | {login, boolean()} | login
          | {nice, -20..19}
          | {no_new_privs, true} | no_new_privs, ...]) -> Answer;
        (erluv:server(), erluv:cmd(),
         [{oom_score_adj, -1000..1000}
          | {path, erluv:text()}
          | {pty, erluv:pty()} | pty
          | {rlimits, erluv:rlimits()}
          | {sandbox, erluv:sandbox()}, ...]) -> Answer;
        (erluv:server(), erluv:cmd(),
         [{setsid, boolean()} | setsid
          | {stop_sequence, [close | erluv:signal() | {signal, erluv:signal()} | non_neg_integer(), ...]}
          | {timeout, erluv:limit()}
          | {tree, kill | wait | leave}
          | {umask, 0..8#777}, ...]) -> Answer;
        (erluv:server(), erluv:cmd(),
         [{user, erluv:account()}, ...]) -> Answer).
-define(WORKER_LISTS(Answer),
        (erluv:server(), erluv:cmd(),
         [{backoff, {From :: non_neg_integer(), To :: non_neg_integer()}}
          | {detached, boolean()} | detached
          | {flow, auto | {active, boolean() | once | 0..32767}}
          | {max_restarts, {N :: non_neg_integer(), Milliseconds :: non_neg_integer()}}
          | {id, erluv:text() | atom()}, ...]) -> Answer;
        (erluv:server(), erluv:cmd(),
         [{name, atom()}
          | {packet, erluv:packet()}
          | {ready, {tcp, 1..65535} | {line, RegExp :: erluv:text()} | {file, erluv:text()} | notify}
          | {ready_timeout, erluv:limit()}
          | {restart, temporary | transient | permanent}, ...]) -> Answer;
        (erluv:server(), erluv:cmd(),
         [{stderr, erluv:output() | stdout}
          | {stdin, pipe | null | {file, erluv:text()}}
          | {stdout, erluv:output()}
          | {watchdog, erluv:limit()}, ...]) -> Answer).
