package e2e

import "testing"

// The cases of Go's os/exec, and of syscall's tests that start programs.
func TestOsExec(t *testing.T) {
	e := common(t)
	at := stocked(t, map[string]string{
		"good": "a good file\n", "prog": "#!/bin/sh\necho \"$0 $PWD\"\n",
	})
	e.cases(t, []foreign{
		{"TestEcho", `<<"foo bar baz\n">>`, `element(1, e2e:outcome(e2e:start(E, ["echo", "foo bar", "baz"])))`},
		{"TestCommandRelativeName", `<<"./prog">>`, `
			[Name, _] = binary:split(element(1, e2e:outcome(e2e:start(E, ["./prog"], #{cd => At}))), <<" ">>), Name`},
		{"TestCatStdin", `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<"Input string\nLine 2">>}}`, `
			e2e:call(E, {run, ["cat"], #{input => "Input string\nLine 2"}})`},
		// Both streams are one file, and many processes write to it at once: no line is lost.
		{"TestEchoFileRace", `{200,200}`, `
			Cmd = "for i in 1 2 3 4; do (for j in $(seq 50); do echo out; echo err >&2; done) & done; wait",
			{Out, none, {exit_status, 0}, normal} = e2e:outcome(e2e:start(E, Cmd, #{stderr => stdout})),
			{length(binary:matches(Out, <<"out\n">>)), length(binary:matches(Out, <<"err\n">>))}`},
		{"TestCatGoodAndBadFile", `{<<"a good file\n">>,true,{exit_status,1},{exit_status,1}}`, `
			{Out, Err, End, Reason} = e2e:outcome(e2e:start(E, ["cat", "/bogus/file.foo", "good"], #{cd => At})),
			{Out, nomatch =/= binary:match(Err, <<"/bogus/file.foo">>), End, Reason}`},
		{"TestNoExistExecutable", `{error,enoent}`, `e2e:call(E, {spawn, ["/no-exist-executable"], #{}})`},
		{"TestExitStatus", `{exit_status,42}`, `element(3, e2e:outcome(e2e:start(E, "exit 42")))`},
		{"TestExitCode", `[{exit_status,0},{exit_status,255},{signal,sigkill}]`, `
			[element(3, e2e:outcome(e2e:start(E, Cmd))) || Cmd <- ["exit 0", "exit 255", "kill -9 $$"]]`},
		{"TestPipes", `ok`, `
			W = e2e:start(E, "while read what x; do case $what in O) echo O:$x;; E) echo E:$x >&2;; esac; done"),
			Say = fun(Line) -> ok = e2e:call(W, {write, Line}), e2e:next(W) end,
			{stdout, <<"O:I am output\n">>} = Say("O I am output\n"),
			{stderr, <<"E:I am error\n">>} = Say("E I am error\n"),
			{stdout, <<"O:I am output2\n">>} = Say("O I am output2\n"),
			ok = e2e:call(W, {close, stdin}),
			{<<>>, <<>>, {exit_status, 0}, normal} = e2e:outcome(W), ok`},
		{"TestStdinClose", `{ok,{<<"Some bytes">>,<<>>,{exit_status,0},normal}}`, `
			W = e2e:start(E, "cat; read x <&3", #{fds => #{3 => {pipe, in}}}),
			ok = e2e:call(W, {write, "Some bytes"}), ok = e2e:call(W, {close, stdin}),
			Again = e2e:call(W, {close, stdin}),
			ok = e2e:call(W, {write, 3, "\n"}),
			{Again, e2e:outcome(W)}`},
		// Closing and writing may happen independently.
		{"TestStdinCloseRace", `{20,[]}`, `
			Race = fun() ->
				W = e2e:start(E, ["cat"], #{stdout => null}),
				Writer = spawn_monitor(fun() ->
					Write = fun Go() ->
						case catch e2e:call(W, {write, "words"}) of
							ok -> Go();
							{error, epipe} -> exit(fine);
							{'EXIT', {R, _}} when R =:= noproc; R =:= normal -> exit(fine)
						end
					end, Write() end),
				_ = [catch e2e:call(W, {close, stdin}) || _ <- [1, 2]],
				{none, <<>>, {exit_status, 0}, normal} = e2e:outcome(W),
				receive {'DOWN', _, process, Pid, Why} when Pid =:= element(1, Writer) -> Why end
			end,
			Is = [Race() || _ <- lists:seq(1, 20)],
			{length(Is), [R || R <- Is, R =/= fine]}`},
		{"TestExtraFiles", `{{3,<<"three\n">>},{7,<<"seven\n">>}}`, `
			W = e2e:start(E, "echo three >&3; read x <&5; echo $x >&7", #{stdout => null, stderr => null,
				fds => #{3 => pipe, 4 => null, 5 => {pipe, in}, 7 => pipe}}),
			A = e2e:next(W),
			ok = e2e:call(W, {write, 5, "seven\n"}),
			{A, e2e:next(W)}`},
		{"TestIgnorePipeErrorOnSuccess", `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<"foo\n">>}}`, `
			e2e:call(E, {run, ["echo", "foo"], #{input => binary:copy(<<"foo">>, 300000)}})`},
		{"TestOutputStderrCapture", `{ok,#{exit => {exit_status,1},stderr => <<"some stderr text\n">>,stdout => <<>>}}`, `
			e2e:call(E, {run, "echo some stderr text >&2; exit 1", #{}})`},
		{"TestContext", `{timeout,<<>>}`, `
			{Out, <<>>, {signal, sigterm}, Reason} = e2e:outcome(e2e:start(E, ["cat"], #{timeout => 50})), {Reason, Out}`},
		{"TestContextCancel", `{enough,{signal,sigterm}}`, `
			W = e2e:start(E, ["cat"]),
			exit(W, enough),
			{<<>>, <<>>, End, Reason} = e2e:outcome(W), {Reason, End}`},
		// Of two entries the first is used, as for every property.
		{"TestDedupEnvEcho", `<<"foo=good\n">>`, `
			element(1, e2e:outcome(e2e:start(E, ["/usr/bin/env"], #{inherit => ["foo", "foo"], env => #{"foo" => "good"}})))`},
		{"TestEnvNULCharacter", `{error,env}`, `
			{error, {bad_option, Key, _}} = e2e:call(E, {spawn, ["env"], #{env => #{"FOO" => <<"foo", 0, "bar">>}}}), {error, Key}`},
		{"TestImplicitPWD", `<<"0\n">>`, `
			element(1, e2e:outcome(e2e:start(E, ["sh", "-c", "tr '\\0' '\\n' </proc/self/environ | grep -c PWD="], #{cd => At})))`},
		{"TestExplicitPWD", `true`, `
			{Out, _, _, _} = e2e:outcome(e2e:start(E, ["/usr/bin/env"], #{cd => At, env => #{"PWD" => "/etc"}})),
			Out =:= <<"PWD=/etc\n">>`},
		{"TestConcurrentExec", `{[{signal,sigkill}],[enoent]}`, `
			Self = self(),
			Do = fun(F) -> [spawn(fun() -> Self ! {done, F()} end) || _ <- lists:seq(1, 20)],
				lists:usort([receive {done, X} -> X end || _ <- lists:seq(1, 20)]) end,
			Hang = fun() -> process_flag(trap_exit, true), W = e2e:start(E, ["sleep", "100"]), exit(W, kill), element(3, e2e:outcome(W)) end,
			Miss = fun() -> {error, R} = e2e:call(E, {spawn, ["/no-exist"], #{}}), R end,
			{Do(Hang), Do(Miss)}`},
		{"TestAbsPathExec", `{{<<"x\n">>,<<>>,{exit_status,0},normal},{error,enotdir}}`, `
			{e2e:outcome(e2e:start(E, ["/bin/echo", "x"], #{cd => "/etc"})), e2e:call(E, {spawn, ["/bin/echo/"], #{}})}`},
		{"TestWaitid", `{{stopped,sigstop},continued,{exit_status,3}}`, `
			W = e2e:start(E, "read x; exit 3", #{stdout => null, stderr => null}),
			ok = e2e:call(W, {signal, sigstop}), A = e2e:next(W),
			ok = e2e:call(W, {signal, sigcont}), B = e2e:next(W),
			ok = e2e:call(W, {close, stdin}), {A, B, e2e:next(W)}`},
		// A process that holds the pipe after the program's end delays nothing, unless an option
		// asks for it.
		{"TestWaitInterrupt", `{<<"out\n">>,{exit_status,0},{<<"out\nlate\n">>,{exit_status,0}}}`, `
			Cmd = "echo out; (sleep 0.3; echo late) & exit 0",
			{A, <<>>, EndA, normal} = e2e:outcome(e2e:start(E, Cmd)),
			{B, <<>>, EndB, normal} = e2e:outcome(e2e:start(E, Cmd, #{tree => wait})),
			{A, EndA, {B, EndB}}`},
		{"TestLookPathNotFound", `[{error,enoent},{error,enoent},{error,eacces}]`, `
			[e2e:call(E, {spawn, [P], #{cd => At}}) || P <- ["not-there", "./not-there", "/etc"]]`},
		{"TestFindExecutableVsNoexec", `{error,eacces}`, `e2e:call(E, {spawn, ["/proc/self/status"], #{}})`},
		{"TestInvalidExec", `{error,enoexec}`, `e2e:call(E, {spawn, ["./good"], #{cd => At}})`},
		{"TestSetpgid", `true`, `
			W = e2e:start(E, ["cat", "/proc/self/stat"]),
			[Pid, _, _, _, Group, Session | _] = binary:split(element(1, e2e:outcome(W)), <<" ">>, [global]),
			Pid =:= Group andalso Pid =:= Session`},
		// Programs have the limit that erluv was started with, not its present one.
		{"TestRlimitRestored", `true`, `
			{Out, _, _, _} = e2e:outcome(e2e:start(E, "ulimit -Sn; ulimit -Hn")),
			Out =:= list_to_binary(os:cmd("ulimit -Sn; ulimit -Hn"))`},
	}, bind{"At": at})
}
