package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestEnvironment(t *testing.T) {
	e := common(t)
	for name, tc := range map[string]struct{ opts, want string }{
		"empty":     {`#{}`, `<<>>`},
		"exactly":   {`#{env => #{"A" => "1", <<"B">> => <<"x y=z">>}}`, `<<"A=1\nB=x y=z\n">>`},
		"list":      {`[{env, [{"A", "ä"}]}]`, `<<"A=ä\n"/utf8>>`},
		"inherit":   {`#{inherit => ["PATH", "NOT_THERE"]}`, `<<"PATH=/usr/local/bin:/usr/bin:/bin\n">>`},
		"both":      {`#{inherit => ["LC_ALL"], env => #{"A" => "1"}}`, `<<"A=1\nLC_ALL=C.UTF-8\n">>`},
		"overrides": {`#{inherit => ["PATH"], env => #{"PATH" => "/x"}}`, `<<"PATH=/x\n">>`},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, tc.want, `
				{Out, <<>>, {exit_status, 0}, normal} = e2e:outcome(e2e:start(E, ["/usr/bin/env"], `+tc.opts+`)),
				iolist_to_binary([[L, $\n] || L <- lists:sort(binary:split(Out, <<"\n">>, [global, trim]))])`)
		})
	}
}

// TestPath: a program is looked up in the option path, else in the PATH of its environment, else in
// erluv's.
//
//erluv:users
func TestPath(t *testing.T) {
	e := common(t)
	at := shelf(t, 0o755)
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Mkdir(filepath.Join(at, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, name, "id"), []byte("#!/bin/sh\necho "+name+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(at, "c"), 0o700); err != nil { // programs may not execute it
		t.Fatal(err)
	}
	for opts, want := range map[string]string{
		`#{path => P(["a", "b"])}`:                                  "a",
		`#{path => P(["none", "b", "a"])}`:                          "b",
		`#{path => P(["b"]), env => #{"PATH" => P(["a"])}}`:         "b",
		`#{env => #{"PATH" => P(["a"])}}`:                           "a",
		`#{env => #{'PATH' => P(["b"])}, inherit => ["PATH"]}`:      "b",
		`#{path => "a", cd => At}`:                                  "a",
		`#{path => ":a", cd => filename:join(At, "b")}`:             "b",
		`#{path => P(["a"]), env => #{"PATH" => "/x"}, nice => 1}`:  "a",
		`#{path => P(["a"]), oom_score_adj => 500}`:                 "a",
		`#{path => P(["a"]), sandbox => #{no => x}, nice => wrong}`: "",
		`#{path => ""}`:              "",
		`#{path => [<<"/bin">>, 0]}`: "",
	} {
		e.expect(t, map[bool]string{true: "error", false: `<<"` + want + `\n">>`}[want == ""], `
			P = fun(Dirs) -> iolist_to_binary(lists:join(":", [filename:join(At, D) || D <- Dirs])) end,
			case e2e:call(E, {run, ["id"], `+opts+`}) of {ok, #{stdout := Out}} -> Out; {error, {bad_option, _, _}} -> error end`, bind{"At": at})
	}
	e.expect(t, `{error,enoent}`, `e2e:call(E, {run, ["sh"], #{path => At}})`, bind{"At": at})
	if !ordinary {
		e.expect(t, `{error,enoent}`, `e2e:call(E, {run, ["id"], #{path => filename:join(At, "c")}})`, bind{"At": at})
	}
	e.expect(t, `{error,enoent}`, `e2e:call(E, {run, ["sh"], #{env => #{"PATH" => "/no/where"}}})`)
	e.expect(t, `<<"x\n">>`, `{ok, #{stdout := Out}} = e2e:call(E, {run, ["echo", "x"], #{env => #{"A" => "1"}}}), Out`)
}

//erluv:users
func TestDirectory(t *testing.T) {
	e := common(t)
	e.expect(t, `<<"/\n">>`, `element(1, e2e:outcome(e2e:start(E, ["pwd"])))`)
	e.expect(t, `<<"/usr/bin\n">>`, `element(1, e2e:outcome(e2e:start(E, ["pwd"], #{cd => "/usr/bin"})))`)
	e.expect(t, `<<"true\n">>`, `element(1, e2e:outcome(e2e:start(E, ["./ls", "true"], #{cd => <<"/usr/bin">>})))`)
}

func TestStdin(t *testing.T) {
	e := common(t)
	file := filepath.Join(dir, "input")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.expect(t, `{<<>>,<<>>,{exit_status,0},normal}`, `e2e:outcome(e2e:start(E, ["cat"], #{stdin => null}))`)
	e.expect(t, `{<<"from a file\n">>,<<>>,{exit_status,0},normal}`,
		`e2e:outcome(e2e:start(E, ["cat"], #{stdin => {file, File}}))`, bind{"File": file})
	e.expect(t, `{error,epipe}`, `W = e2e:start(E, ["sleep", "100"], #{stdin => null}), e2e:call(W, {write, "x"})`)
	e.expect(t, `{<<"abc">>,<<>>,{exit_status,0},normal}`, `
		W = e2e:start(E, ["cat"], #{stdin => pipe}),
		ok = e2e:call(W, {write, ["a", [<<"b">>]]}),
		ok = e2e:call(W, {write, []}),
		ok = e2e:call(W, {write, "c"}),
		ok = e2e:call(W, {close, stdin}),
		e2e:outcome(W)`)
}

func TestWhereOutputGoes(t *testing.T) {
	e := common(t)
	cmd := `Cmd = "echo a; echo b >&2; echo c", `
	for name, tc := range map[string]struct{ source, want string }{
		"merged": {
			`e2e:outcome(e2e:start(E, Cmd, #{stderr => stdout}))`,
			`{<<"a\nb\nc\n">>,none,{exit_status,0},normal}`,
		},
		"null": {
			`e2e:outcome(e2e:start(E, Cmd, #{stdout => null}))`,
			`{none,<<"b\n">>,{exit_status,0},normal}`,
		},
		"nothing": {
			`e2e:outcome(e2e:start(E, Cmd, #{stdout => null, stderr => null}))`,
			`{none,none,{exit_status,0},normal}`,
		},
		"merged to nothing": {
			`e2e:outcome(e2e:start(E, Cmd, #{stderr => stdout, stdout => null}))`,
			`{none,none,{exit_status,0},normal}`,
		},
	} {
		t.Run(name, func(t *testing.T) { e.expect(t, tc.want, cmd+tc.source) })
	}
}

// Another process gets the whole output and eof. The owner gets the end.
//
//erluv:releases
func TestOutputToAnotherProcess(t *testing.T) {
	e := common(t)
	e.expect(t, `{[{stdout,<<"a\n">>},{stdout,eof}],{none,<<"b\n">>,{exit_status,3},{exit_status,3}}}`, `
		Self = self(),
		P = spawn(fun() ->
			W = receive {worker, V} -> V end,
			First = e2e:next(W),
			Second = e2e:next(W),
			[] = e2e:messages(W),
			Self ! {seen, [First, Second]}
		end),
		W = e2e:start(E, "echo a; echo b >&2; exit 3", #{stdout => {pid, P}}),
		Outcome = e2e:outcome(W),
		P ! {worker, W},
		receive {seen, Seen} -> {Seen, Outcome} after 120000 -> nothing end`)
}

//erluv:users
func TestOutputToFiles(t *testing.T) {
	e := common(t)
	out, err := os.MkdirTemp(dir, "out-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(out, 0o777); err != nil {
		t.Fatal(err)
	}
	binds := bind{"Out": filepath.Join(out, "out"), "Err": filepath.Join(out, "err")}
	runs := func(opts string) {
		t.Helper()
		e.expect(t, `{none,none,{exit_status,0},normal}`,
			`e2e:outcome(e2e:start(E, "echo out; echo err >&2", `+opts+`))`, binds)
	}
	has := func(file, want string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(out, file)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v; want %q", file, text, err, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want mode %v", file, info.Mode(), err, mode)
		}
	}
	runs(`#{stdout => {file, Out, []}, stderr => {file, Err, [{mode, 8#600}]}}`)
	has("out", "out\n", 0o644)
	has("err", "err\n", 0o600)
	runs(`#{stdout => {file, Out, [append]}, stderr => {file, Err}}`)
	has("out", "out\nout\n", 0o644)
	has("err", "err\n", 0o600)
	runs(`#{stdout => {file, Out}, stderr => stdout}`)
	has("out", "out\nerr\n", 0o644)
}

//erluv:releases
func TestOwner(t *testing.T) {
	e := common(t)
	// Another process gets the messages, and is linked.
	e.expect(t, `{{<<"a\n">>,<<>>,{exit_status,0},normal},[]}`, `
		Self = self(),
		P = spawn(fun() ->
			process_flag(trap_exit, true),
			receive {worker, W} -> Self ! {outcome, e2e:outcome(W)} end
		end),
		W = e2e:start(E, "read x; echo a", #{owner => P}),
		true = lists:member(W, element(2, process_info(P, links))),
		false = lists:member(W, element(2, process_info(self(), links))),
		P ! {worker, W},
		ok = e2e:call(W, {write, "\n"}),
		receive {outcome, Outcome} -> {Outcome, e2e:messages(W)} after 120000 -> nothing end`)
	// Without an owner the messages go nowhere. The caller is linked.
	e.expect(t, `{none,none,none,{exit_status,2}}`, `
		W = e2e:start(E, "read x; echo a; exit 2", #{owner => none}),
		true = lists:member(W, element(2, process_info(self(), links))),
		ok = e2e:call(W, {write, "\n"}),
		e2e:outcome(W)`)
	// An owner without a link still gets the messages.
	e.expect(t, `[{stdout,<<"a\n">>},{exit_status,2}]`, `
		W = e2e:start(E, "read x; exec 2>&-; echo a; exit 2", [{link, false}, {stderr, null}]),
		{links, Links} = process_info(self(), links),
		false = lists:member(W, Links),
		R = monitor(process, W),
		ok = e2e:call(W, {write, "\n"}),
		{exit_status, 2} = e2e:down(W),
		[Data, {stdout, eof}, End] = e2e:messages(W),
		true = e2e:silent(),
		[Data, End]`)
}

// TestTree: processes that the program leaves behind when it ends.
//
//erluv:check
func TestTree(t *testing.T) {
	e := common(t)
	left := `Cmd = "sleep 100 & echo $!; exit 5", `
	pid := `e2e:os_pid_of(E, binary_to_integer(string:trim(Line)))`
	e.expect(t, "{<<>>,{exit_status,5},{exit_status,5},false}", left+`
		{Line, Err, End, Reason} = e2e:outcome(e2e:start(E, Cmd)),
		{Err, End, Reason, e2e:alive(`+pid+`)}`)
	e.expect(t, "{<<>>,{exit_status,5},{exit_status,5},false}", `
		Cmd = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & read x; exit 5",
		W = e2e:start(E, Cmd, #{tree => kill, kill_timeout => 100}),
		{stdout, Line} = e2e:next(W),
		ok = e2e:call(W, {write, "\n"}),
		{<<>>, Err, End, Reason} = e2e:outcome(W),
		{Err, End, Reason, e2e:alive(`+pid+`)}`)
	e.expect(t, "{<<\"late\\n\">>,<<>>,{exit_status,5},{exit_status,5}}", `
		e2e:outcome(e2e:start(E, "(sleep 0.3; echo late) & exit 5", #{tree => wait}))`)
	e.expect(t, "{true,{exit_status,5},{exit_status,5},true}", left+`
		{Line, <<>>, End, Reason} = e2e:outcome(e2e:start(E, Cmd, #{tree => leave})),
		OsPid = `+pid+`,
		Lives = e2e:alive(OsPid),
		[] = os:cmd("kill " ++ integer_to_list(OsPid)),
		ok = e2e:until(fun() -> not e2e:alive(OsPid) end),
		{Lives, End, Reason, true}`)
}

// With tree => leave, a process that still holds the pipe delays nothing. All earlier output is
// delivered, of any length.
func TestLeaveDeliversAll(t *testing.T) {
	e := common(t)
	e.expect(t, "{1000000,true}", `
		W = e2e:start(E, "sleep 100 >&1 & echo $! >&2; head -c 1000000 /dev/zero", #{tree => leave}),
		{Out, Line, {exit_status, 0}, normal} = e2e:outcome(W),
		OsPid = e2e:os_pid_of(E, binary_to_integer(string:trim(Line))),
		Lives = e2e:alive(OsPid),
		[] = os:cmd("kill " ++ integer_to_list(OsPid)),
		{byte_size(Out), Lives}`)
}

func TestKillSignalAndTimeout(t *testing.T) {
	e := common(t)
	loop := "echo ready; exec 2>/dev/null; while :; do sleep 0.05; done"
	for name, tc := range map[string]struct{ cmd, opts, want string }{
		"default":        {"echo ready; exec sleep 100", "#{}", "{ok,{signal,sigterm}}"},
		"named":          {"trap 'exit 9' USR1; " + loop, "#{kill_signal => sigusr1}", "{ok,{exit_status,9}}"},
		"a number":       {"trap 'exit 9' INT; " + loop, "#{kill_signal => 2}", "{ok,{exit_status,9}}"},
		"after the time": {"trap '' TERM; " + loop, "#{kill_timeout => 100}", "{ok,{signal,sigkill}}"},
		"ends well":      {"trap 'echo bye; exit 0' TERM; " + loop, "#{}", "{ok,{exit_status,0}}"},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, fmt.Sprintf("{%s,true,true}", tc.want), `
				W = e2e:start(E, Cmd, `+tc.opts+`),
				ok = e2e:ready(W),
				OsPid = e2e:os_pid(W),
				{ok, Exit} = Answer = e2e:call(W, stop),
				false = e2e:alive(OsPid),
				{_, <<>>, Exit, _} = e2e:outcome(W),
				{Answer, true, true}`, bind{"Cmd": tc.cmd})
		})
	}
}

//erluv:users
func TestErrorsThatStartNothing(t *testing.T) {
	e := common(t)
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no program\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ request, want string }{
		"no such file":      {`{spawn, ["/no/such"], #{}}`, "{error,enoent}"},
		"not in the path":   {`{spawn, ["no_such_program"], #{}}`, "{error,enoent}"},
		"no loader":         {`{spawn, [Text], #{}}`, "{error,enoexec}"},
		"not executable":    {`{spawn, ["/etc/passwd"], #{}}`, "{error,eacces}"},
		"a directory":       {`{spawn, ["/usr"], #{}}`, "{error,eacces}"},
		"too much":          {`{spawn, ["true", binary:copy(<<"x">>, 200000)], #{}}`, "{error,e2big}"},
		"no such directory": {`{spawn, ["true"], #{cd => "/no/such"}}`, "{error,{cd,enoent}}"},
		"not a directory":   {`{spawn, ["true"], #{cd => "/etc/passwd"}}`, "{error,{cd,enotdir}}"},
		"no such input":     {`{spawn, ["true"], #{stdin => {file, "/no/such"}}}`, "{error,{stdin,enoent}}"},
		"output to /etc":    {`{spawn, ["true"], #{stdout => {file, "/etc/no_such"}}}`, "{error,{stdout,eacces}}"},
		"run, no such file": {`{run, ["/no/such"], #{}}`, "{error,enoent}"},
		"arity":             {`{spawn, ["true"]}`, "{error,{bad_request,{spawn,[\"true\"]}}}"},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, tc.want, "e2e:call(E, "+tc.request+")", bind{"Text": text})
		})
	}
}

//erluv:releases
//erluv:check
func TestBadOptions(t *testing.T) {
	e := common(t)
	for key, opts := range map[string][]string{
		"no_such_option": {`#{no_such_option => 1}`, `[{no_such_option, 1}]`, `[no_such_option]`},
		"owner":          {`#{owner => 1}`, `#{owner => nobody}`, `#{owner => E}`},
		"link":           {`#{link => 1}`},
		"detached":       {`#{detached => yes}`},
		"tree":           {`#{tree => cut}`},
		"env":            {`#{env => 1}`, `#{env => #{"A=B" => "c"}}`, `#{env => #{"A" => <<0>>}}`, `#{env => #{"" => "c"}}`, `#{env => [a | b]}`},
		"inherit":        {`#{inherit => ["A=B"]}`, `#{inherit => [""]}`, `#{inherit => [<<0>>]}`, `#{inherit => ["A" | b]}`, `#{inherit => "PATH"}`, `#{inherit => [$A]}`},
		"cd":             {`#{cd => 1}`, `#{cd => "relative"}`, `#{cd => <<"/a", 0>>}`},
		"stdin":          {`#{stdin => owner}`, `#{stdin => {file, 1}}`},
		"stdout":         {`#{stdout => stdout}`, `#{stdout => {pid, 1}}`, `#{stdout => {file, "/tmp/x", [write]}}`, `#{stdout => {file, "/tmp/x", [{mode, -1}]}}`},
		"stderr":         {`#{stderr => 17}`},
		"kill_signal":    {`#{kill_signal => sigfoo}`, `#{kill_signal => 0}`, `#{kill_signal => 100}`},
		"kill_timeout":   {`#{kill_timeout => -1}`, `#{kill_timeout => soon}`, `#{kill_timeout => 1 bsl 70}`},
		"input":          {`#{input => "x"}`},
	} {
		for _, o := range opts {
			t.Run(key+" "+o, func(t *testing.T) {
				e.expect(t, "{true,[]}", `
					{error, {bad_option, `+key+`, Why}} = e2e:call(E, {spawn, ["true"], `+o+`}),
					{is_binary(Why) andalso Why =/= <<>>, e2e:call(E, workers)}`)
			})
		}
	}
	for _, cmd := range []string{"[]", "<<>>", "1", "[[]]", "[<<\"a\">> | b]", "[<<\"a\">>, b]", "[<<\"true\">>, <<0>>]"} {
		t.Run("cmd "+cmd, func(t *testing.T) {
			e.expect(t, "cmd", `{error, {bad_option, Key, _}} = e2e:call(E, {spawn, `+cmd+`, #{}}), Key`)
		})
	}
}
