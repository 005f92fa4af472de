package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

//erluv:releases
//erluv:users
//erluv:check
func TestPty(t *testing.T) {
	e := common(t)
	e.expect(t, `{<<"three\r\n24 80\r\nto the terminal\r\nerror\r\nleader\r\n">>,none,{exit_status,3},{exit_status,3}}`, `
		e2e:outcome(e2e:start(E, "test -t 0 && test -t 1 && test -t 2 && echo three; stty size;
			echo to the terminal >/dev/tty; echo error >&2;
			read pid name state parent group session tty foreground rest </proc/$$/stat;
			[ $group = $$ ] && [ $session = $$ ] && [ $foreground = $$ ] && echo leader;
			exit 3", #{pty => true}))`)
	e.expect(t, `{<<"none\n">>,<<>>,{exit_status,0},normal}`,
		`e2e:outcome(e2e:start(E, "test -t 0 || test -t 1 || test -t 2 || sh -c '</dev/tty' 2>/dev/null || echo none", #{pty => false, stderr => owner}))`)
}

func TestPtySettings(t *testing.T) {
	e := common(t)
	e.expect(t, `[true,true,true,true,true,true,true]`, `
		Pty = #{rows => 50, cols => 132, echo => false, onlcr => 1, vintr => 24, veof => 255, iutf8 => true, tty_op_ospeed => 9600},
		{Out, none, {exit_status, 0}, normal} = e2e:outcome(e2e:start(E, ["stty", "-a"], #{pty => Pty})),
		[nomatch =/= string:find(Out, S) || S <- ["9600 baud", "rows 50; columns 132", " -echo ", " onlcr ", "intr = ^X;", "eof = <undef>;", " iutf8"]]`)
	// A list works as well, and the modes of an SSH client are taken unchanged.
	e.expect(t, `<<"25 80\n">>`, `
		Modes = [{vintr, 3}, {vquit, 28}, {vstatus, 20}, {cs7, 1}, {cs8, 1}, {parenb, 0}, {tty_op_ispeed, 38400}, {opost, 0}, {rows, 25}],
		element(1, e2e:outcome(e2e:start(E, ["stty", "size"], [{pty, Modes}])))`)
	e.expect(t, `true`, `{error, {bad_option, pty, Why}} = e2e:call(E, {spawn, ["true"], #{pty => #{vfoo => 1}}}), is_binary(Why)`)
	for _, other := range []string{"stdin => null", "stdout => null", "stderr => stdout", "setsid => false"} {
		e.expect(t, `true`, `{error, {bad_option, Key, Why}} = e2e:call(E, {spawn, ["true"], #{pty => true, `+other+`}}), is_atom(Key) and is_binary(Why)`)
	}
}

// Typed text is echoed, edited, and turned into signals.
func TestPtyTyped(t *testing.T) {
	e := common(t)
	e.expect(t, `{<<"ready\r\nabd\b \bc\r\nabc\r\n">>,none,{exit_status,0},normal}`, `
		W = e2e:start(E, "echo ready; exec cat", #{pty => true, packet => line}),
		{stdout, <<"ready\r\n">> = Ready} = e2e:next(W),
		ok = e2e:call(W, {write, "abd\dc\n"}),
		ok = e2e:call(W, {close, stdin}),
		{Out, none, End, Reason} = e2e:outcome(W),
		{<<Ready/binary, Out/binary>>, none, End, Reason}`)
	e.expect(t, `{<<"^C">>,none,{signal,sigint},{signal,sigint}}`, `
		W = e2e:start(E, "echo ready; exec sleep 1000", #{pty => true, packet => line}),
		ok = e2e:said(W, stdout, <<"ready\r\n">>),
		W ! {self(), {command, [3]}},
		e2e:outcome(W)`)
}

func TestPtyEndOfInput(t *testing.T) {
	e := common(t)
	for input, want := range map[string]string{
		``:       `<<"end\r\n">>`,
		`a\n`:    `<<"a\r\nend\r\n">>`,
		`a`:      `<<"aend\r\n">>`,
		`a\nb`:   `<<"a\r\nbend\r\n">>`,
		`abc\^U`: `<<"end\r\n">>`,
	} {
		e.expect(t, `{{error,epipe},`+want+`}`, `
			W = e2e:start(E, "cat; echo end; exec sleep 1000", #{pty => #{echo => false}}),
			ok = e2e:call(W, {write, "`+input+`"}),
			ok = e2e:call(W, {close, stdin}),
			Epipe = e2e:call(W, {write, "x"}),
			Collect = fun F(Sofar) ->
				case binary:longest_common_suffix([Sofar, <<"end\r\n">>]) of
					5 -> Sofar;
					_ -> {stdout, More} = e2e:next(W), F(<<Sofar/binary, More/binary>>)
				end
			end,
			Out = Collect(<<>>),
			{ok, {signal, _}} = e2e:call(W, stop),
			{Epipe, Out}`)
	}
}

func TestPtyResize(t *testing.T) {
	e := common(t)
	e.expect(t, `ok`, `
		W = e2e:start(E, "trap 'stty size' WINCH; stty size; while :; do sleep 0.01; done", #{pty => true}),
		ok = e2e:said(W, stdout, <<"24 80\r\n">>),
		ok = e2e:call(W, {resize, 40, 132}),
		ok = e2e:said(W, stdout, <<"40 132\r\n">>),
		{error, {bad_request, {resize, 0, 1}}} = e2e:call(W, {resize, 0, 1}),
		{ok, {signal, By}} = e2e:call(W, stop), % SIGTERM, or SIGHUP if it comes before that is seen
		[{stdout, eof}, {signal, By}] = e2e:messages(W),
		ok`)
	e.expect(t, `{error,enotty}`, `e2e:call(e2e:start(E, ["cat"]), {resize, 40, 132})`)
}

// An interactive shell works as at a terminal, including job control.
func TestPtyInteractive(t *testing.T) {
	e := common(t)
	e.expect(t, `{exit_status,4}`, `
		W = e2e:start(E, ["bash", "--norc", "--noediting", "-i"],
			#{pty => #{echo => false}, env => #{"PS1" => "$ ", "PATH" => "/usr/bin:/bin"}}),
		Shell = integer_to_list(e2e:os_pid(W)),
		Read = fun F(Sofar, Want) -> % what comes behind it
			case binary:split(Sofar, Want) of
				[_, Rest] -> Rest;
				_ -> {stdout, More} = e2e:next(W), F(<<Sofar/binary, More/binary>>, Want)
			end
		end,
		Job = fun(State) ->
			ok = e2e:until(fun() ->
				{ok, Children} = file:read_file("/proc/" ++ Shell ++ "/task/" ++ Shell ++ "/children"),
				[State] =:= [S || Pid <- string:lexemes(Children, " "),
					{ok, Stat} <- [file:read_file("/proc/" ++ binary_to_list(Pid) ++ "/stat")],
					[_, <<"(sleep)">>, S | _] <- [string:lexemes(Stat, " ")]]
			end)
		end,
		A = Read(<<>>, <<"$ ">>),
		ok = e2e:call(W, {write, "sleep 1000\n"}),
		Job(<<"S">>),
		ok = e2e:call(W, {write, [26]}),
		B = Read(Read(A, <<"Stopped">>), <<"$ ">>),
		ok = e2e:call(W, {write, "fg\n"}),
		C = Read(B, <<"sleep 1000\r\n">>),
		Job(<<"S">>),
		ok = e2e:call(W, {write, [3]}),
		D = Read(C, <<"$ ">>),
		ok = e2e:call(W, {write, "(exit 4)\n"}),
		_ = Read(D, <<"$ ">>),
		ok = e2e:call(W, {close, stdin}),
		{_, none, End, End} = e2e:outcome(W),
		End`)
}

// When the worker ends, its terminal is hung up for every process that is left there.
func TestPtyHangUp(t *testing.T) {
	e := common(t)
	out, err := os.MkdirTemp(dir, "pty-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(out, 0o777); err != nil {
		t.Fatal(err)
	}
	e.expect(t, `{{<<"begun\r\n">>,none,{exit_status,5},{exit_status,5}},ok}`, `
		W = e2e:start(E, ["sh", "-c", "trap '' HUP; (cat; echo hung up >\"$0\") & echo begun; exit 5", File], #{pty => true, tree => leave}),
		Outcome = e2e:outcome(W),
		{Outcome, e2e:until(fun() -> file:read_file(File) =:= {ok, <<"hung up\n">>} end)}`,
		bind{"File": filepath.Join(out, "file")})
}

// Programs hold their own terminal and no descriptor of another's.
func TestPtyHolds(t *testing.T) {
	e := common(t)
	e.expect(t, `true`, `
		Ws = [e2e:start(E, "echo ready; exec cat", #{pty => true}) || _ <- lists:seq(1, 5)],
		Terminals = [begin
			ok = e2e:said(W, stdout, <<"ready\r\n">>),
			Links = string:lexemes(os:cmd("ls -l /proc/" ++ integer_to_list(e2e:os_pid(W)) ++ "/fd 2>&1 | sed -n 's/.* -> //p'"), "\n"),
			Links
		end || W <- Ws],
		[{ok, {signal, _}} = e2e:call(W, stop) || W <- Ws],
		5 = length(lists:usort(Terminals)),
		lists:all(fun([T, T, T]) -> lists:prefix("/dev/pts/", T); (_) -> false end, Terminals)`)
}

// No output is lost, however short the program is and however many processes read.
func TestPtySessions(t *testing.T) {
	e := common(t)
	e.expect(t, `[true]`, `
		Self = self(),
		Sizes = [1, 100, 4095, 4097, 20000, 70000],
		One = fun(Size, Flow) ->
			Script = "head -c " ++ integer_to_list(Size) ++ " /dev/zero; exit 7",
			W = e2e:start(E, Script, #{pty => #{opost => false}, flow => Flow, tree => lists:nth(1 + Size rem 3, [kill, wait, leave])}),
			case Flow of
				auto ->
					{Out, none, {exit_status, 7}, {exit_status, 7}} = e2e:outcome(W),
					Out =:= <<0:(8 * Size)>>;
				_ ->
					Read = fun F(N) ->
						case e2e:call(W, {read, stdout, 100000}) of
							{ok, Bin} -> F(N + byte_size(Bin));
							eof -> N
						end
					end,
					Size =:= Read(0)
			end
		end,
		Ps = [spawn_link(fun() ->
			process_flag(trap_exit, true),
			Self ! {self(), [One(Size, Flow) || Flow <- [auto, {active, false}], Size <- Sizes]}
		end) || _ <- lists:seq(1, 8)],
		lists:usort(lists:append([receive {P, Result} -> Result after 120000 -> late end || P <- Ps]))`)
}

// Output that has not been sent delays the end. Without output nothing delays it.
func TestPtyPassive(t *testing.T) {
	e := common(t)
	e.expect(t, `[{exit_status,0}]`, `e2e:all(e2e:start(E, ["true"], #{pty => true, flow => {active, false}}))`)
	e.expect(t, `{{ok,<<"a\r\n">>},eof,[{exit_status,0}]}`, `
		W = e2e:start(E, ["echo", "a"], #{pty => true, flow => {active, false}}),
		ok = e2e:until(fun() -> #{state := S} = e2e:call(W, info), S =:= draining end),
		A = e2e:call(W, {read, stdout, 100}),
		B = e2e:call(W, {read, stdout, 100}),
		{A, B, e2e:all(W)}`)
}

func TestPtyRun(t *testing.T) {
	e := common(t)
	e.expect(t, `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<"one\r\ntwoend\r\n">>}}`,
		`e2e:call(E, {run, "cat; echo end >&2", #{pty => #{echo => false}, input => "one\ntwo"}})`)
	e.expect(t, `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<"end\r\n">>}}`,
		`e2e:call(E, {run, "cat; echo end >&2", #{pty => true}})`)
}
