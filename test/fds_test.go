package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFurtherDescriptors(t *testing.T) {
	e := common(t)
	// One descriptor out and one in, beside the standard streams.
	e.expect(t, `{[{3,<<"one\n">>},{3,<<"two\n">>},{3,eof}],{<<"out\n">>,<<>>,{exit_status,0},normal}}`, `
		W = e2e:start(E, "while read x <&4; do echo $x >&3; done; exec 3>&-; read x; echo out", #{fds => #{3 => pipe, 4 => {pipe, in}}}),
		ok = e2e:call(W, {write, 4, ["one", $\n]}),
		One = e2e:next(W),
		ok = e2e:call(W, {write, 4, <<"two\n">>}),
		Two = e2e:next(W),
		ok = e2e:call(W, {close, 4}),
		Eof = e2e:next(W),
		{error, epipe} = e2e:call(W, {write, 4, <<"three\n">>}),
		{error, ebadf} = e2e:call(W, {write, 5, <<"x">>}),
		ok = e2e:call(W, {write, "\n"}),
		{[One, Two, Eof], e2e:outcome(W)}`)
	// The output goes to another process, and only to that one.
	e.expect(t, `{{3,<<"x\n">>},{3,eof},{none,none,{exit_status,0},normal}}`, `
		Self = self(),
		P = spawn(fun() ->
			W = receive {worker, V} -> V end,
			A = e2e:next(W),
			B = e2e:next(W),
			Self ! {seen, A, B}
		end),
		W = e2e:start(E, "echo x >&3", #{stdout => null, stderr => null, fds => [{3, {pid, P}}]}),
		Outcome = e2e:outcome(W),
		P ! {worker, W},
		receive {seen, A, B} -> {A, B, Outcome} after 120000 -> nothing end`)
	// Much data in both directions arrives whole.
	e.expect(t, `true`, `
		Part = << <<N:32>> || N <- lists:seq(1, 65536) >>,
		W = e2e:start(E, "cat <&4 >&3", #{fds => #{3 => pipe, 4 => {pipe, in}}, stdout => null, stderr => null}),
		spawn(fun() ->
			[ok = e2e:call(W, {write, 4, Part}) || _ <- lists:seq(1, 32)],
			ok = e2e:call(W, {close, 4})
		end),
		Loop = fun Loop(Ctx) ->
			case e2e:next(W) of
				{3, eof} -> erlang:md5_final(Ctx);
				{3, Bin} -> Loop(erlang:md5_update(Ctx, Bin))
			end
		end,
		Sum = Loop(erlang:md5_init()),
		{none, none, {exit_status, 0}, normal} = e2e:outcome(W),
		Sum =:= erlang:md5(binary:copy(Part, 32))`)
	// The descriptor is read on demand.
	e.expect(t, `[{ok,<<"ab">>},{ok,<<"c\n">>},eof]`, `
		W = e2e:start(E, "echo abc >&3", #{fds => #{3 => pipe}, flow => {active, false}}),
		Answers = [e2e:call(W, {read, 3, 2}) || _ <- [1, 2, 3]],
		{exit_status, 0} = e2e:next(W),
		Answers`)
}

func TestDescriptorsAsFiles(t *testing.T) {
	e := common(t)
	files, err := os.MkdirTemp(dir, "fds-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(files, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(files, "in"), []byte("text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.expect(t, `{{<<"0\n1\n2\n5\n6\n8\ntext\n">>,<<>>,{exit_status,0},normal},{ok,<<"text\n">>}}`, `
		Outcome = e2e:outcome(e2e:start(E, "ls /proc/$$/fd; cat <&8; cat in >&6; echo x >&5",
			#{cd => Dir, fds => #{5 => null, 6 => {file, "out"}, 8 => {file, "in", [read]}}})),
		{Outcome, file:read_file(filename:join(Dir, "out"))}`, bind{"Dir": files})
	e.expect(t, `{error,{9,enoent}}`, `e2e:call(E, {spawn, ["true"], #{fds => #{9 => {file, "/no/such"}}}})`)
	e.expect(t, `{error,{9,eacces}}`, `e2e:call(E, {spawn, ["true"], #{fds => #{9 => {file, "/etc/no_such"}}}})`)
	e.expect(t, `{error,{bad_option,fds,<<"a descriptor is a number from 3 to 255">>}}`, `e2e:call(E, {spawn, ["true"], #{fds => #{2 => null}}})`)
}
