package e2e

import "testing"

// A worker's messages and exit reason: {Stdout, Stderr, End, ExitReason}.
//
//erluv:releases
//erluv:users
//erluv:check
func TestPrograms(t *testing.T) {
	e := common(t)
	for name, tc := range map[string]struct{ cmd, want string }{
		"both streams":      {`"echo out; echo err >&2; exit 3"`, `{<<"out\n">>,<<"err\n">>,{exit_status,3},{exit_status,3}}`},
		"no output":         {`[<<"true">>]`, `{<<>>,<<>>,{exit_status,0},normal}`},
		"false":             {`["false"]`, `{<<>>,<<>>,{exit_status,1},{exit_status,1}}`},
		"status 255":        {`<<"exit 255">>`, `{<<>>,<<>>,{exit_status,255},{exit_status,255}}`},
		"arguments":         {`["printf", "%s|", "a b", <<"">>, "$HOME", "*"]`, `{<<"a b||$HOME|*|">>,<<>>,{exit_status,0},normal}`},
		"not ASCII":         {`["printf", "%s", [228, 8364]]`, `{<<"` + "ä€" + `"/utf8>>,<<>>,{exit_status,0},normal}`},
		"bytes as they are": {`["printf", "%s", <<255, 1>>]`, `{<<255,1>>,<<>>,{exit_status,0},normal}`},
		"absolute path":     {`["/bin/echo", "x"]`, `{<<"x\n">>,<<>>,{exit_status,0},normal}`},
		"killed by itself":  {`"kill -SEGV $$"`, `{<<>>,<<>>,{signal,sigsegv},{signal,sigsegv}}`},
		"killed, output":    {`"echo x; kill -KILL $$"`, `{<<"x\n">>,<<>>,{signal,sigkill},{signal,sigkill}}`},
		"closes its output": {`"exec >&- 2>&-; exit 7"`, `{<<>>,<<>>,{exit_status,7},{exit_status,7}}`},
		"binary output":     {`"printf '\\000\\377\\n'"`, `{<<0,255,10>>,<<>>,{exit_status,0},normal}`},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, tc.want, `e2e:outcome(e2e:start(E, Cmd))`, bind{"Cmd": source(tc.cmd)})
		})
	}
}

// Messages come in the order of the events.
//
//erluv:releases
func TestOrderOfMessages(t *testing.T) {
	e := common(t)
	e.expect(t, "ok", `
		W = e2e:start(E, "echo a; read x; echo b >&2; read x; exec >&-; read x; exit 4"),
		ok = e2e:said(W, stdout, <<"a\n">>),
		W ! {self(), {command, "1\n"}},
		ok = e2e:said(W, stderr, <<"b\n">>),
		W ! {self(), {command, ["2", <<"\n">>]}},
		{stdout, eof} = e2e:next(W),
		ok = e2e:call(W, {write, <<"3\n">>}),
		{stderr, eof} = e2e:next(W),
		{exit_status, 4} = e2e:next(W),
		{'EXIT', W, {exit_status, 4}} = e2e:next(),
		true = e2e:silent(),
		ok`)
}

//erluv:releases
//erluv:users
//erluv:check
func TestRun(t *testing.T) {
	e := common(t)
	for name, tc := range map[string]struct{ request, want string }{
		"streams":      {`{run, "echo o; echo e >&2; exit 2", #{}}`, `{ok,#{exit => {exit_status,2},stderr => <<"e\n">>,stdout => <<"o\n">>}}`},
		"stdin null":   {`{run, [<<"cat">>], #{}}`, `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<>>}}`},
		"input":        {`{run, [<<"cat">>], #{input => ["a", [<<"b">>, $c]]}}`, `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<"abc">>}}`},
		"empty input":  {`{run, [<<"cat">>], [{input, []}]}`, `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<>>}}`},
		"unread input": {`{run, [<<"true">>], #{input => binary:copy(<<"x">>, 1000000)}}`, `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<>>}}`},
		"signal":       {`{run, "kill -9 $$", []}`, `{ok,#{exit => {signal,sigkill},stderr => <<>>,stdout => <<>>}}`},
		"max_output":   {`{run, "echo 12345; exec sleep 100", #{max_output => 3}}`, `{error,{max_output,#{stderr => <<>>,stdout => <<"123">>}}}`},
		"enoent":       {`{run, ["/no/such/program"], #{}}`, `{error,enoent}`},
	} {
		t.Run(name, func(t *testing.T) { e.expect(t, tc.want, "e2e:call(E, "+tc.request+")") })
	}
	e.expect(t, "true", `
		Input = binary:copy(<<"0123456789abcdef">>, 500000),
		{ok, #{stdout := Output}} = e2e:call(E, {run, [<<"cat">>], #{input => Input}}),
		Output =:= Input`)
	// The caller gets only the answer, and is not linked.
	e.expect(t, "true", `{ok, _} = e2e:call(E, {run, "echo x; exit 1", #{}}), e2e:silent()`)
}

// One gibibyte, counted and hashed. The receiver keeps none of it.
func TestMuchOutput(t *testing.T) {
	e := common(t)
	e.expect(t, `{{1073741824,<<"CD573CFAACE07E7949BC0C46028904FF">>},<<>>,{exit_status,0},normal}`,
		`e2e:digest(e2e:start(E, [<<"head">>, <<"-c">>, <<"1G">>, <<"/dev/zero">>]))`)
}

// Input comes back through cat, whole, while more is being written.
func TestMuchInput(t *testing.T) {
	e := common(t)
	e.expect(t, "true", `
		Part = << <<N:32>> || N <- lists:seq(1, 65536) >>,
		Sum = binary:encode_hex(erlang:md5(binary:copy(Part, 64))),
		W = e2e:start(E, [<<"cat">>]),
		spawn(fun() ->
			[ok = e2e:call(W, {write, Part}) || _ <- lists:seq(1, 64)],
			ok = e2e:call(W, {close, stdin})
		end),
		{{64 * 262144, Sum}, <<>>, {exit_status, 0}, normal} =:= e2e:digest(W)`)
}
