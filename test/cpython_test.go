package e2e

import (
	"path/filepath"
	"testing"
)

// The cases of CPython's test_subprocess.py about what a program receives and returns.
func TestCPython(t *testing.T) {
	e := common(t)
	at := stocked(t, map[string]string{
		"stdin": "banana", "the prog": "#!/bin/sh\necho \"$#\" \"$@\"\n", "\377prog": "#!/bin/sh\necho bytes \"$1\"\n",
	})
	// This is large enough to fill any pipe.
	large := `"dd if=/dev/zero bs=1000 count=1000 status=none; dd if=/dev/zero bs=1000 count=1000 status=none >&2"`
	e.cases(t, []foreign{
		{"test_call_timeout", `{error,{timeout,#{stderr => <<>>,stdout => <<"BDFL\n">>}}}`, `
			e2e:call(E, {run, "echo BDFL; exec sleep 100", #{timeout => 300}})`},
		{"test_check_output_stdin_arg", `<<"BANANA">>`, `
			element(1, e2e:outcome(e2e:start(E, ["tr", "a-z", "A-Z"], #{stdin => {file, filename:join(At, "stdin")}})))`},
		{"test_check_output_input_arg", `<<"PEAR">>`, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, ["tr", "a-z", "A-Z"], #{input => "pear"}}), Out`},
		{"test_check_output_input_none", `<<>>`, `{ok, #{stdout := Out}} = e2e:call(E, {run, ["cat"], #{}}), Out`},
		{"test_cwd", `true`, `{ok, #{stdout := Out}} = e2e:call(E, {run, ["pwd"], #{cd => At}}), Out =:= <<At/binary, "\n">>`},
		{"test_cwd_with_relative_arg", `{error,{bad_option,cd,<<"must be an absolute path">>}}`, `
			e2e:call(E, {run, ["pwd"], #{cd => "tmp"}})`},
		{"test_cwd_with_relative_executable", `{{error,enoent},{ok,<<"0\n">>}}`, `
			Run = fun(Dir) -> e2e:call(E, {run, ["./the prog"], #{cd => Dir}}) end,
			{ok, #{stdout := Out}} = Run(At), {Run("/"), {ok, Out}}`},
		{"test_stderr_redirect_with_no_stdout_redirect", `{none,none,{exit_status,0},normal}`, `
			e2e:outcome(e2e:start(E, "echo out; echo err >&2", #{stdout => null, stderr => stdout}))`},
		{"test_one_environment_variable", `<<"fruit=orange\n">>`, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, ["/usr/bin/env"], #{env => [{fruit, "orange"}]}}), Out`},
		{"test_invalid_cmd", `[cmd,cmd,cmd]`, `
			[begin {error, {bad_option, Key, _}} = e2e:call(E, {spawn, Cmd, #{}}), Key end ||
				Cmd <- [[<<"/bin/tr", 0, "ue">>], ["echo", <<"a", 0>>], <<"echo ", 0>>]]`},
		{"test_invalid_env", `[env,env,env]`, `
			[begin {error, {bad_option, Key, _}} = e2e:call(E, {spawn, ["env"], #{env => Env}}), Key end ||
				Env <- [#{<<"FRUIT", 0, "VEG">> => "cabbage"}, #{"FRUIT" => <<"orange", 0>>}, #{"FRUIT=ORANGE" => "lemon"}]]`},
		{"test_communicate", `{ok,#{exit => {exit_status,0},stderr => <<"pineapple">>,stdout => <<"banana">>}}`, `
			e2e:call(E, {run, "printf pineapple >&2; cat", #{input => "banana"}})`},
		{"test_communicate_timeout_large_output", `{{1000000,1000000},{signal,sigterm},timeout}`, `
			W = e2e:start(E, ` + large[:len(large)-1] + `; exec sleep 100", #{timeout => 2000}),
			{Out, Err, End, Reason} = e2e:outcome(W), {{byte_size(Out), byte_size(Err)}, End, Reason}`},
		{"test_communicate_pipe_buf", `{2000000,2000000,true}`, `
			Data = binary:copy(<<"0123456789">>, 200000),
			{ok, #{stdout := Out, stderr := Err}} = e2e:call(E, {run, "head -c 2000000 /dev/zero >&2; cat", #{input => Data}}),
			{byte_size(Out), byte_size(Err), Out =:= Data}`},
		{"test_writes_before_communicate", `{<<"bananasplit">>,<<>>,{exit_status,0},normal}`, `
			W = e2e:start(E, ["cat"]),
			W ! {self(), {command, "banana"}},
			ok = e2e:call(W, {write, "split"}), ok = e2e:call(W, {close, stdin}),
			e2e:outcome(W)`},
		{"test_no_leaking", `300`, `
			length([ok || _ <- lists:seq(1, 300), {ok, #{stdout := <<"x">>}} <- [e2e:call(E, {run, ["cat"], #{input => "x"}})]])`},
		{"test_leaking_fds_on_error", `[{error,enoent}]`, `
			lists:usort([e2e:call(E, {spawn, ["/no such"], #{fds => #{3 => pipe, 4 => {pipe, in}}}}) || _ <- lists:seq(1, 300)])`},
		{"test_threadsafe_wait", `[{ok,{signal,sigterm}}]`, `
			% Who comes too late finds nobody.
			W = e2e:start(E, ["sleep", "100"]), Self = self(),
			Stop = fun() -> try e2e:call(W, stop) catch exit:{_, _} -> noproc end end,
			[spawn(fun() -> Self ! {is, Stop()} end) || _ <- lists:seq(1, 50)],
			lists:usort([receive {is, Is} -> Is end || _ <- lists:seq(1, 50)]) -- [noproc]`},
		{"test_communicate_epipe", `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<>>}}`, `
			e2e:call(E, {run, "exec <&-; exit 0", #{input => binary:copy(<<"x">>, 1 bsl 20)}})`},
		{"test_communicate_epipe_only_stdin", `{{error,epipe},{<<>>,<<>>,{exit_status,0},normal}}`, `
			W = e2e:start(E, "exec <&-; read x <&3", #{fds => #{3 => {pipe, in}}}),
			Fill = fun Go() -> case e2e:call(W, {write, binary:copy(<<"x">>, 1 bsl 18)}) of ok -> Go(); Error -> Error end end,
			Error = Fill(),
			ok = e2e:call(W, {write, 3, "\n"}),
			{Error, e2e:outcome(W)}`},
		{"test_file_not_found_with_bad_cwd", `{error,{cd,enoent}}`, `e2e:call(E, {run, ["/no/such"], #{cd => "/some/nonexistent/directory"}})`},
		{"test_run_with_bytes_path_and_arguments", `true`, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, [<<At/binary, "/", 255, "prog">>, <<255, 254>>], #{}}), Out =:= <<"bytes ", 255, 254, "\n">>`},
		{"test_run_with_shell_timeout_and_capture_output", `{{error,{timeout,#{stderr => <<>>,stdout => <<>>}}},true}`, `
			{Micro, Is} = timer:tc(fun() -> e2e:call(E, {run, "sleep 100 & sleep 100", #{timeout => 100}}) end),
			{Is, Micro < 10000000}`},
		{"test_bytes_program", `[<<"x\n">>,<<"x\n">>,<<"x\n">>]`, `
			[begin {ok, #{stdout := Out}} = e2e:call(E, {run, [Prog, <<"x">>], #{}}), Out end || Prog <- ["echo", <<"echo">>, <<"/bin/echo">>]]`},
		{"test_undecodable_env", `true`, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, ["/usr/bin/env", "-0"], #{env => [{<<"k">>, <<"abc", 255>>}, {<<255>>, "1"}]}}),
			[<<"k=abc", 255>>, <<255, "=1">>] =:= lists:sort(binary:split(Out, <<0>>, [global, trim]))`},
		{"test_shell_string_with_spaces", `{<<"2 ab cd\n">>,<<"2 ab cd\n">>,<<"2  ab cd\n">>}`, `
			Out = fun(Cmd) -> {ok, #{stdout := O}} = e2e:call(E, {run, Cmd, #{cd => At}}), O end,
			{Out("./the\\ prog ab cd"), Out(["./the prog", "ab", "cd"]), Out(["./the prog", "", "ab cd"])}`},
		{"test_noshell_string_with_spaces", `{ok,#{exit => {exit_status,127},stdout => <<>>}}`, `
			{ok, Is} = e2e:call(E, {run, "./the prog", #{cd => At}}), {ok, maps:remove(stderr, Is)}`},
		{"test_broken_pipe_cleanup", `{<<>>,<<>>,{exit_status,0},normal}`, `
			W = e2e:start(E, ["true"]),
			_ = [W ! {self(), {command, binary:copy(<<"x">>, 100000)}} || _ <- lists:seq(1, 5)],
			e2e:outcome(W)`},
	}, bind{"At": at})
}

// The cases about processes and signals.
func TestCPythonPOSIX(t *testing.T) {
	e := common(t)
	at := stocked(t, map[string]string{"stdin": "STDIN"})
	e.cases(t, []foreign{
		{"test_exception_cwd", `{error,{cd,enoent}}`, `e2e:call(E, {spawn, ["true"], #{cd => "/_this/pa.th/does/not/exist"}})`},
		{"test_exception_bad_executable", `{error,enoent}`, `e2e:call(E, {spawn, ["/_this/pa.th/does/not/exist"], #{}})`},
		{"test_restore_signals", `<<"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n">>`, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], #{}}), Out`},
		{"test_umask", `[<<"0022\n">>,<<"0077\n">>,<<"0000\n">>]`, `
			[begin {ok, #{stdout := Out}} = e2e:call(E, {run, "umask", Opts}), Out end || Opts <- [#{}, #{umask => 8#077}, #{umask => 0}]]`},
		{"test_run_abort", `{signal,sigabrt}`, `
			element(3, e2e:outcome(e2e:start(E, "kill -ABRT $$", #{rlimits => #{core => 0}})))`},
		{"test_CalledProcessError_str_unknown_signal", `{signal,60}`, `
			W = e2e:start(E, ["sleep", "100"]), ok = e2e:call(W, {signal, 60}), element(3, e2e:outcome(W))`},
		{"test_shell_string", `<<"apple\n">>`, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, "echo $FRUIT", #{env => #{"FRUIT" => "apple"}}}), Out`},
		{"test_shell_sequence", `<<"apple\n">>`, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, ["/bin/sh", "-c", "echo $FRUIT"], #{env => #{"FRUIT" => "apple"}}}), Out`},
		{"test_specific_shell", `[<<"sh\n">>,<<"bash\n">>]`, `
			[begin {ok, #{stdout := Out}} = e2e:call(E, {run, [Shell, "-c", "echo $0"], #{}}), Out end || Shell <- ["sh", "bash"]]`},
		{"test_send_signal", `[{signal,sigint},{signal,sigkill},{signal,sigterm}]`, `
			[begin W = e2e:start(E, ["sleep", "100"]), ok = e2e:call(W, {signal, Sig}), element(3, e2e:outcome(W)) end ||
				Sig <- [sigint, sigkill, sigterm]]`},
		// The program has ended, but a process of it is left.
		{"test_send_signal_dead", `{{error,esrch},ok,{exit_status,4}}`, `
			W = e2e:start(E, "sleep 100 & exit 4", #{tree => wait, stdout => null, stderr => null}),
			ok = e2e:until(fun() -> #{state := S} = e2e:call(W, info), S =:= waiting end),
			Is = e2e:call(W, {signal, sigterm}),
			{Is, e2e:call(W, {signal, group, sigterm}), element(3, e2e:outcome(W))}`},
		{"test_send_signal_race", `[]`, `
			Race = fun(N) -> W = e2e:start(E, ["true"], #{stdout => null, stderr => null}), _ = [catch e2e:call(W, {signal, sigterm}) || _ <- lists:seq(0, N rem 3)],
				element(3, e2e:outcome(W)) end,
			lists:usort([Race(N) || N <- lists:seq(1, 30)]) -- [{exit_status, 0}, {signal, sigterm}]`},
		{"test_close_fds_0_1_2", `[ok,ok,ok,ok,ok,ok,ok]`, `
			% Whatever of its streams a program closes: its end is its end.
			Close = ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"],
			[begin {_, _, {exit_status, 6}, {exit_status, 6}} =
				e2e:outcome(e2e:start(E, "exec " ++ C ++ "; /bin/true; exit 6")), ok end || C <- Close]`},
		// The end of a program's input does not depend on other programs.
		{"test_pipe_cloexec", `{<<>>,<<>>,{exit_status,0},normal}`, `
			[A | More] = [e2e:start(E, ["cat"]) || _ <- lists:seq(1, 10)],
			ok = e2e:call(A, {close, stdin}),
			Is = e2e:outcome(A),
			[{ok, _} = e2e:call(W, stop) || W <- More], Is`},
		{"test_close_fds", `[<<"0">>,<<"1">>,<<"2">>,<<"3">>]`, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, ["ls", "/proc/self/fd"], #{}}), binary:split(Out, <<"\n">>, [global, trim])`},
		{"test_pass_fds", `[<<"0">>,<<"1">>,<<"2">>,<<"3">>,<<"5">>,<<"7">>,<<"9">>]`, `
			W = e2e:start(E, ["ls", "/proc/self/fd"], #{fds => #{5 => pipe, 7 => null, 9 => {pipe, in}}}),
			{Out, _, _, _} = e2e:outcome(W), binary:split(Out, <<"\n">>, [global, trim])`},
		{"test_stdout_stdin_are_single_inout_fd", `true`, `
			{ok, #{stdout := Out}} = e2e:call(E, {run, "readlink /proc/self/fd/0; readlink /proc/self/fd/1; readlink /proc/self/fd/2", #{pty => true}}),
			[A, A, A, <<>>] = binary:split(Out, <<"\r\n">>, [global]), true`},
		{"test_select_unbuffered", `{<<"app">>,<<"le">>}`, `
			W = e2e:start(E, "printf apple; exec sleep 100", #{flow => {active, false}, stderr => null}),
			{ok, A} = e2e:call(W, {read, stdout, 3}), {ok, B} = e2e:call(W, {read, stdout, 100}), {ok, _} = e2e:call(W, stop), {A, B}`},
		// The owner is gone. The program goes too, with its descriptors.
		{"test_zombie_fast_process_del", `ok`, `
			{_, normal} = e2e:in_process(fun() -> e2e:start(E, ["sleep", "0.1"]) end),
			e2e:until(fun() -> [] =:= e2e:call(E, workers) end)`},
		{"test_leak_fast_process_del_killed", `ok`, `
			{_, killed} = e2e:in_process(fun() -> e2e:start(E, ["sleep", "100"]), exit(self(), kill), receive never -> ok end end),
			e2e:until(fun() -> [] =:= e2e:call(E, workers) end)`},
		{"test_stopped", `{{stopped,sigstop},{signal,sigterm}}`, `
			W = e2e:start(E, ["sleep", "100"], #{stdout => null, stderr => null}),
			ok = e2e:call(W, {signal, sigstop}), Is = e2e:next(W),
			{ok, End} = e2e:call(W, stop), {Is, End}`},
		{"test_communicate_repeated_call_after_stdout_close", `{<<>>,<<>>,{exit_status,0},normal}`, `
			e2e:outcome(e2e:start(E, "exec 1>&-; sleep 0.2"))`},
	})
	// Each of the three streams may be any of the files.
	for name, tc := range map[string][2]string{
		"test_remapping_std_fds": {"out", "err"}, "test_swap_fds": {"err", "out"},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, `{none,none,{exit_status,0},normal}`, `e2e:outcome(e2e:start(E, "read x; printf \"got $x\"; printf err >&2",
				#{cd => At, stdin => {file, "stdin"}, stdout => {file, Out}, stderr => {file, Err}}))`,
				bind{"At": at, "Out": tc[0], "Err": tc[1]})
			holds(t, filepath.Join(at, tc[0]), "got STDIN")
			holds(t, filepath.Join(at, tc[1]), "err")
		})
	}
}
