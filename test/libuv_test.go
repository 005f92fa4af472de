package e2e

import (
	"path/filepath"
	"testing"
)

// The cases of libuv's test-spawn.c.
func TestLibuv(t *testing.T) {
	e := common(t)
	at := stocked(t, map[string]string{"prog": "#!/bin/sh\necho \"$0\"\n"})
	both := `"echo hello world; echo hello errworld >&2; exit 1"`
	e.cases(t, []foreign{
		{"spawn_fails", `{{error,enoent},{error,enoent},[],true}`, `
			Name = "program-that-had-better-not-exist",
			A = e2e:call(E, {spawn, [Name], #{}}), B = e2e:call(E, {run, [Name], #{}}),
			{A, B, e2e:call(E, workers), e2e:silent()}`},
		{"spawn_empty_env", `<<>>`, `element(1, e2e:outcome(e2e:start(E, ["/usr/bin/env"], #{env => #{}})))`},
		{"spawn_exit_code", `[]`, `
			Ws = [{N, e2e:start(E, ["sh", "-c", "exit " ++ integer_to_list(N)])} || N <- lists:seq(0, 255)],
			Reason = fun(0) -> normal; (N) -> {exit_status, N} end,
			[{N, Is} || {N, W} <- Ws, Is <- [e2e:outcome(W)], Is =/= {<<>>, <<>>, {exit_status, N}, Reason(N)}]`},
		{"spawn_stdout", `{<<"hello world\n">>,none,{exit_status,1},{exit_status,1}}`, `
			e2e:outcome(e2e:start(E, ` + both + `, #{stdin => null, stderr => null}))`},
		{"spawn_stdin", `{<<"hello-from-spawn_stdin">>,<<>>,{exit_status,0},normal}`, `
			W = e2e:start(E, ["cat"]),
			ok = e2e:call(W, {write, "hello-from-spawn_stdin"}), ok = e2e:call(W, {close, stdin}),
			e2e:outcome(W)`},
		{"spawn_stdio_greater_than_3", `{{3,<<"fourth stdio!\n">>},{3,eof},{exit_status,0}}`, `
			W = e2e:start(E, "echo fourth 'stdio!' >&3",
				#{stdin => null, stdout => null, stderr => null, fds => #{3 => pipe}}),
			{e2e:next(W), e2e:next(W), e2e:next(W)}`},
		{"spawn_ignored_stdio", `{none,none,{exit_status,1},{exit_status,1}}`, `
			e2e:outcome(e2e:start(E, ` + both + `, #{stdin => null, stdout => null, stderr => null}))`},
		{"spawn_and_kill", `{ok,{<<>>,<<>>,{signal,sigterm},{signal,sigterm}},false,{error,noproc}}`, `
			W = e2e:start(E, ["sleep", "100"]),
			OsPid = e2e:os_pid(W),
			Ok = e2e:call(W, {signal, sigterm}),
			Is = e2e:outcome(W),
			Late = try e2e:call(W, {signal, sigterm}) catch exit:{R, _} -> {error, R} end,
			{Ok, Is, e2e:alive(OsPid), Late}`},
		{"kill", `{{ok,{signal,sigterm}},false}`, `
			W = e2e:start(E, ["sleep", "100"]),
			OsPid = e2e:os_pid(W), true = e2e:alive(OsPid),
			{e2e:call(W, stop), e2e:alive(OsPid)}`},
		{"spawn_and_kill_with_std", `{ok,{<<>>,<<>>,{signal,sigterm},{signal,sigterm}}}`, `
			W = e2e:start(E, ["sleep", "100"]),
			Ok = e2e:call(W, {write, binary:copy(<<"a message ">>, 8)}),
			ok = e2e:call(W, {signal, sigterm}),
			{Ok, e2e:outcome(W)}`},
		{"spawn_and_ping", `{running,<<"TEST">>,{<<>>,<<>>,{exit_status,0},normal}}`, `
			W = e2e:start(E, ["cat"]),
			#{state := State} = e2e:call(W, info),
			ok = e2e:call(W, {write, "TEST"}),
			ok = e2e:said(W, stdout, <<"TEST">>),
			ok = e2e:call(W, {close, stdin}),
			{State, <<"TEST">>, e2e:outcome(W)}`},
		// The reverse: a program inherits only the variables that it asks for.
		{"spawn_preserve_env", `{<<>>,<<"/usr/local/bin:/usr/bin:/bin\n">>}`, `
			Env = fun(Opts) -> element(1, e2e:outcome(e2e:start(E, ["/usr/bin/printenv", "PATH"], Opts))) end,
			{Env(#{}), Env(#{inherit => ["PATH"]})}`},
		{"spawn_same_stdout_stderr", `{<<"1\n2\n3\n4\n">>,none,{exit_status,0},normal}`, `
			e2e:outcome(e2e:start(E, "echo 1; echo 2 >&2; echo 3; echo 4 >&2", #{stderr => stdout}))`},
		{"spawn_fs_open", `<<"0\n1\n2\n3\n">>`, `
			% ls itself opens the directory.
			element(1, e2e:outcome(e2e:start(E, ["ls", "/proc/self/fd"])))`},
		{"spawn_reads_child_path", `{true,{error,enoent},<<"Dir=/nowhere:/bin\n">>}`, `
			{iolist_to_binary([At, "/prog\n"]) =:= element(1, e2e:outcome(e2e:start(E, ["prog"], #{env => #{"PATH" => At}}))),
			 e2e:call(E, {spawn, ["sh"], #{env => #{"PATH" => "/nowhere"}}}),
			 element(1, e2e:outcome(e2e:start(E, ["sh", "-c", "echo Dir=$PATH"], #{env => #{"PATH" => "/nowhere:/bin"}})))}`},
		{"spawn_inherit_streams", `{true,<<>>,{exit_status,0},normal}`, `
			Bytes = << <<(N band 255)>> || N <- lists:seq(0, 1022) >>,
			W = e2e:start(E, ["cat"]),
			ok = e2e:call(W, {write, Bytes}), ok = e2e:call(W, {close, stdin}),
			{Out, Err, End, Reason} = e2e:outcome(W), {Out =:= Bytes, Err, End, Reason}`},
		{"spawn_relative_path", `{<<"./prog\n">>,<<>>,{exit_status,0},normal}`, `
			e2e:outcome(e2e:start(E, ["./prog"], #{cd => At}))`},
		{"spawn_quoted_path", `{error,enoent}`, `e2e:call(E, {spawn, ["\"/bin/true\""], #{}})`},
		{"argument_escaping", `true`, `
			Args = [<<>>, <<"HelloWorld">>, <<"Hello World">>, <<"Hello\"World">>, <<"Hello World\\">>,
				<<"Hello\\\"World">>, <<"Hello\\\\World">>, <<"$(id)">>, <<"*">>, <<"'">>, <<"a\nb\tc">>],
			{Out, _, _, _} = e2e:outcome(e2e:start(E, ["printf", "%s\\0" | Args])),
			Args =:= lists:droplast(binary:split(Out, <<0>>, [global]))`},
		{"environment_creation", `[<<"BAR=">>,<<"FOO=BAR">>,<<"ROOT =x y">>,<<"SYSTEM=A=B">>,<<98,226,130,172,122,61,255>>]`, `
			{Out, _, _, _} = e2e:outcome(e2e:start(E, ["/usr/bin/env", "-0"], #{env => #{"FOO" => "BAR",
				"SYSTEM" => "A=B", "BAR" => "", "ROOT " => "x y", <<"b", 226, 130, 172, "z">> => <<255>>}})),
			lists:sort(lists:droplast(binary:split(Out, <<0>>, [global])))`},
		{"spawn_exercise_sigchld_issue", `{[enoent],{exit_status,1},{exit_status,0}}`, `
			First = e2e:start(E, "read x; exit 1"),
			Errors = [R || _ <- lists:seq(1, 100), {error, R} <- [e2e:call(E, {spawn, ["no-such-program"], #{}})]],
			100 = length(Errors),
			ok = e2e:call(First, {close, stdin}),
			{_, _, End, _} = e2e:outcome(First),
			{lists:usort(Errors), End, element(3, e2e:outcome(e2e:start(E, ["true"])))}`},
	}, bind{"At": at})
}

// Both streams write to files, to one and crosswise.
func TestLibuvFiles(t *testing.T) {
	e := common(t)
	at := stocked(t, nil)
	for name, tc := range map[string]struct {
		opts string
		want map[string]string
	}{
		"spawn_stdout_to_file":             {`#{stdout => {file, "a"}, stderr => null}`, map[string]string{"a": "out\n"}},
		"spawn_stdout_and_stderr_to_file":  {`#{stdout => {file, "b"}, stderr => stdout}`, map[string]string{"b": "out\nerr\n"}},
		"spawn_stdout_and_stderr_to_file2": {`#{stdout => {file, "c", [append]}, stderr => {file, "c", [append]}}`, map[string]string{"c": "out\nerr\n"}},
		"spawn_stdout_and_stderr_to_file_swap": {
			`#{stdout => {file, "stderr_file"}, stderr => {file, "stdout_file"}}`,
			map[string]string{"stderr_file": "out\n", "stdout_file": "err\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, `{none,none,{exit_status,0},normal}`, `
				Opts = `+tc.opts+`,
				e2e:outcome(e2e:start(E, "echo out; echo err >&2", Opts#{stdin => null, cd => At}))`, bind{"At": at})
			for file, want := range tc.want {
				holds(t, filepath.Join(at, file), want)
			}
		})
	}
}
