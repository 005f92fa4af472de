package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// shelf makes a directory where a worker may write.
func shelf(t *testing.T, mode os.FileMode) string {
	t.Helper()
	path, err := os.MkdirTemp(dir, "shelf-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// erluv does not follow a link that another user has put in place of an output file. It does not
// write to a file of another user either.
//
//erluv:users
func TestOutputThatOthersHavePlaced(t *testing.T) {
	e := common(t)
	place := shelf(t, 0o777|os.ModeSticky)
	target := filepath.Join(shelf(t, 0o777), "target")
	if err := os.WriteFile(target, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o666); err != nil {
		t.Fatal(err)
	}
	makes := map[string]int{"mine": int(workerID)}
	if os.Getuid() == 0 {
		makes["root's"], makes["another's"] = 0, 4001
	}
	for who, uid := range makes {
		link, file, folder := filepath.Join(place, who+" link"), filepath.Join(place, who+" file"), filepath.Join(place, who+" folder")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Dir(target), folder); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{link, file, folder} {
			if err := os.Lchown(path, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(file, 0o666); err != nil {
			t.Fatal(err)
		}
		want := "{error,{stdout,eacces}}"
		if uid == 0 || uid == int(workerID) {
			want = "{none,<<>>,{exit_status,0},normal}"
		}
		for _, path := range []string{link, file, folder + "/inside"} {
			e.expect(t, want, `
				case e2e:call(E, {spawn, "echo new", #{stdout => {file, Path}}}) of
					{ok, W} -> e2e:outcome(W);
					Error -> Error
				end`, bind{"Path": path})
		}
		text, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		if followed := string(text) == "new\n"; followed != (want[1] == 'n') {
			t.Errorf("%s: the target holds %q", link, text)
		}
		if err := os.WriteFile(target, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		inside, err := os.Stat(filepath.Join(filepath.Dir(target), "inside"))
		if (err == nil) != (want[1] == 'n') {
			t.Errorf("%s/inside: %v", folder, err)
		} else if err == nil && inside.Sys().(*syscall.Stat_t).Uid != workerID {
			t.Errorf("%s/inside belongs to %d", folder, inside.Sys().(*syscall.Stat_t).Uid)
		}
		_ = os.Remove(filepath.Join(filepath.Dir(target), "inside"))
	}
}

// A worker's log consists of files of a fixed size, of which a fixed number is kept. All lines are
// there, in order and whole, and the worker's user owns the files.
//
//erluv:users
func TestRotatedFiles(t *testing.T) {
	e := common(t)
	place := shelf(t, 0o777)
	log := filepath.Join(place, "log")
	expect := func(want, source string) {
		t.Helper()
		e.expect(t, want, source, bind{"Log": log})
	}
	const all = `Name = fun(N) -> <<Log/binary, ".", (integer_to_binary(N))/binary>> end,
		All = fun() ->
			Numbers = [N || N <- lists:seq(100, 1, -1), filelib:is_file(Name(N))],
			Old = [begin {ok, B} = file:read_file(Name(N)), B end || N <- Numbers],
			{ok, Last} = file:read_file(Log),
			{Old, Last}
		end,`
	expect(`{{none,<<>>,{exit_status,0},normal},true,true,true}`, all+`
		Outcome = e2e:outcome(e2e:start(E, ["seq", "100000", "200000"],
			#{stdout => {file, Log, [{mode, 8#640}, {rotate, #{size => 10000, count => 50}}]}})),
		{Old, Last} = All(),
		Lines = binary:split(iolist_to_binary([Old, Last]), <<"\n">>, [global, trim]),
		{Outcome,
		 Lines =:= [integer_to_binary(N) || N <- lists:seq(100001 + 100000 - length(Lines), 200000)],
		 length(Old) =:= 50 andalso length(Lines) > 60000,
		 lists:all(fun(B) -> byte_size(B) =< 10000 andalso binary:last(B) =:= $\n end, Old)}`)
	for _, name := range []string{"log", "log.1", "log.50"} {
		info, err := os.Stat(filepath.Join(place, name))
		if err != nil || info.Mode() != 0o640 || info.Sys().(*syscall.Stat_t).Uid != workerID {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	// The next run continues the log, and so does a restarted one.
	expect(`{<<"one\none\none\n">>,3}`, `
		Fresh = <<Log/binary, "-fresh">>,
		W = e2e:start(E, "echo one", #{stdout => {file, Fresh, [{rotate, #{size => 10000, count => 1}}]}, stderr => null,
			restart => permanent, max_restarts => {2, 60000}, backoff => {0, 0}}),
		{exit_status, 0} = e2e:next(W),
		{restarted, _, 1} = e2e:next(W),
		{exit_status, 0} = e2e:next(W),
		{restarted, _, 2} = e2e:next(W),
		{exit_status, 0} = e2e:next(W),
		{'EXIT', W, restart_intensity} = e2e:next(),
		{ok, Text} = file:read_file(Fresh),
		{Text, length(binary:matches(Text, <<"\n">>))}`)
	// An obstacle is reported once. Here it is a directory.
	if err := os.MkdirAll(filepath.Join(place, "stuck.1", "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	expect(`{[{stdout,{error,eisdir}},{exit_status,0}],700007}`, `
		W = e2e:start(E, ["seq", "100000", "200000"],
			#{cd => filename:dirname(Log), stderr => null, stdout => {file, "stuck", [{rotate, #{size => 10000, count => 1}}]}}),
		Messages = [e2e:next(W), e2e:next(W)],
		{Messages, filelib:file_size(filename:join(filename:dirname(Log), "stuck"))}`)
	expect(`{error,{stdout,einval}}`, `e2e:call(E, {spawn, ["true"], #{stdout => {file, "/dev/null", [{rotate, #{size => 10000, count => 1}}]}}})`)
	expect(`{error,{stderr,eacces}}`, `e2e:call(E, {spawn, ["true"], #{stderr => {file, "/etc/log", [{rotate, #{size => 10000, count => 1}}]}}})`)
}
