package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sumOf writes the SHA-256 sum of a text in Erlang.
func sumOf(text string) source {
	return source(fmt.Sprintf(`binary:decode_hex(<<"%x">>)`, sha256.Sum256([]byte(text))))
}

// stands checks that a file is there with a text and a mode, and that its directory has nothing
// else.
func stands(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != text {
		t.Errorf("%s holds %d bytes (%v), not %d", path, len(got), err, len(text))
	}
	if st, err := os.Stat(path); err == nil && st.Mode() != mode {
		t.Errorf("%s has the mode %v, not %v", path, st.Mode(), mode)
	}
	alone(t, path)
}

// alone checks that the directory of a file has nothing else.
func alone(t *testing.T, path string) {
	t.Helper()
	if left := entries(t, filepath.Dir(path)); !slices.Equal(left, []string{filepath.Base(path)}) {
		t.Errorf("%s holds %v", filepath.Dir(path), left)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestPutFile: a file appears once it is whole, with its mode. It replaces another one, and new
// directories are made for it. Wrong requests are refused.
//
//erluv:users
//erluv:releases
//erluv:check
func TestPutFile(t *testing.T) {
	e := common(t)
	text := strings.Repeat("0123456789", 12345)
	file := filepath.Join(shelf(t, 0o777), "file")
	for i, opts := range []string{"#{}", "#{mode => 8#604}", "[mkdir, {size, 123450}, {mode, 8#777}]"} {
		want, mode := text[i:], []os.FileMode{0o644, 0o604, 0o777}[i]
		if i == 2 {
			want = text
			file = filepath.Join(filepath.Dir(file), "a", "b", "file")
			os.Remove(filepath.Join(filepath.Dir(file), "..", "..", "file"))
		}
		e.expect(t, fmt.Sprintf("{ok,#{sha256 => ok,size => %d}}", len(want)), `
			Sum = Want,
			{ok, #{sha256 := Sum} = M} = e2e:put(E, Path, Data, Opts),
			{ok, M#{sha256 := ok}}`,
			bind{"Path": file, "Data": source(fmt.Sprintf(`binary:part(binary:copy(<<"0123456789">>, 12345), %d, %d)`, len(text)-len(want), len(want))), "Opts": source(opts), "Want": sumOf(want)})
		stands(t, file, want, mode)
	}
	dir := filepath.Dir(file)
	for _, c := range []struct{ path, opts, want string }{
		{dir, "#{}", "{error,eisdir}"},
		{"/dev/null", "#{}", "{error,eexist}"},
		{dir + "/no/file", "#{}", "{error,enoent}"},
		{file + "/x", "#{mkdir => true}", "{error,enotdir}"},
		{"/proc/x", "#{}", "{error,eacces}"},
		{dir + "/" + strings.Repeat("x", 256), "#{}", "{error,enametoolong}"},
		{"file", "#{}", `{error,{bad_option,path,<<"must be an absolute path, or the atom memory">>}}`},
		{file, "#{mode => 8#4755}", `{error,{bad_option,mode,<<"must be a number up to 8#777">>}}`},
		{file, "#{user => <<\"no-such-user\">>}", "{error,{user,unknown}}"},
		{file, "#{user => root}", "{error,{user,not_allowed}}"},
		{file, "#{size => 1 bsl 50}", "{error,too_big}"},
	} {
		e.expect(t, c.want, `
			case e2e:call(E, {put_file, Path, Opts}) of
				{error, Big} when Big =:= enospc; Big =:= efbig -> {error, too_big};
				Answer -> Answer
			end`, bind{"Path": c.path, "Opts": source(c.opts)})
	}
	alone(t, file)
}

// TestPutFileCalls: chunks are written in the order of the calls, from any caller. A chunk that
// does not fit is refused and changes nothing. An upload that is ended leaves nothing.
func TestPutFileCalls(t *testing.T) {
	e := common(t)
	file := filepath.Join(shelf(t, 0o777), "file")
	s := e.session(t)
	path := bind{"Path": file}
	s.expect(t, "{ok,{error,{bad_offset,3}},{error,{bad_size,5}},{error,{too_large,1048577,1048576}},{error,bad_request},ok}", `
		U = e2e:upload(E, Path, #{size => 5}),
		{e2e:call(U, {chunk, 0, <<"abc">>}), e2e:call(U, {chunk, 2, <<"x">>}), e2e:call(U, {chunk, 3, <<"defg">>}),
			case e2e:call(U, {chunk, 3, binary:copy(<<0>>, 1048577)}) of {error, {too_large, _, Max}} -> {error, {too_large, 1048577, Max}}; Other -> Other end,
			case e2e:call(U, {chunk, x, <<>>}) of {error, {bad_request, _}} -> {error, bad_request}; O -> O end,
			e2e:call(U, {chunk, 3, ["d", <<"e">>]})}`, path)
	if left := entries(t, filepath.Dir(file)); len(left) > 0 {
		t.Errorf("while it comes in there is %v", left)
	}
	s.expect(t, "{open,5,5,true}", `
		#{state := State, bytes := Bytes, size := Size, path := Path, os_pid := Pid, owner := Owner} = e2e:call(U, info),
		true = Owner =:= self(),
		{State, Bytes, Size, lists:keymember(U, 1, e2e:call(E, workers)) andalso Pid > 0}`)
	s.expect(t, "{ok,<<\"abcde\">>,{error,noproc}}", `
		M = monitor(process, U),
		{ok, #{size := 5}} = e2e:call(U, {commit, Sum}),
		receive {'DOWN', M, _, _, normal} -> ok after 120000 -> error(alive) end,
		{ok, Is} = file:read_file(Path),
		{ok, Is, case catch e2e:call(U, info) of {'EXIT', {noproc, _}} -> {error, noproc} end}`, bind{"Sum": sumOf("abcde")})
	stands(t, file, "abcde", 0o644)
	s.expect(t, "{error,{bad_sum,ok}}", `
		V = e2e:upload(E, Path, #{}),
		N = monitor(process, V),
		ok = e2e:call(V, {chunk, 0, <<"other">>}),
		{error, {bad_sum, Real}} = e2e:call(V, {commit, Sum}),
		receive {'DOWN', N, _, _, normal} -> ok after 120000 -> error(alive) end,
		{error, {bad_sum, Real =:= Other andalso ok}}`, bind{"Sum": sumOf("abcde"), "Other": sumOf("other")})
	stands(t, file, "abcde", 0o644)
	s.expect(t, "{[ok,ok,ok,ok],ok}", `
		W = e2e:upload(E, Path, #{}),
		Big = binary:copy(<<"x">>, 1000000),
		Calls = [gen_server:send_request(W, {chunk, I * 1000000, Big}) || I <- [0, 1, 2]],
		{[element(2, gen_server:receive_response(C, 60000)) || C <- Calls] ++ [e2e:call(W, abort)],
			receive {'EXIT', W, _} -> told after 0 -> ok end}`)
	stands(t, file, "abcde", 0o644)
	s.expect(t, "as_it_is", `
		X = e2e:upload(E, Path, #{}),
		{reply, ok} = gen_server:receive_response(gen_server:send_request(X, {chunk, 0, <<"last">>}), 60000),
		Last = [gen_server:send_request(X, Request) || Request <- [{commit, none}, abort]],
		case {[element(2, gen_server:receive_response(C, 60000)) || C <- Last], file:read_file(Path)} of
			{[{ok, _}, {error, committed}], {ok, <<"last">>}} -> as_it_is;
			{[{error, _}, ok], {ok, <<"abcde">>}} -> as_it_is; % on a machine so busy that the process was killed
			Other2 -> Other2
		end`)
	alone(t, file)
}

// TestPutFileEnds: if a process or the connection ends before the file is whole, nothing of the
// file is left. The test ends the caller, the process that writes, the spawner, the child, the
// connection and erluv.
func TestPutFileEnds(t *testing.T) {
	file := filepath.Join(shelf(t, 0o777), "file")
	if err := os.WriteFile(file, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	e, s := crashing(t, "--die-timeout", "60s")
	open := func(round int) int {
		t.Helper()
		s.eval(t, fmt.Sprintf(`
			{Owner%[1]d, _} = spawn_monitor(fun() -> receive after infinity -> ok end end),
			U%[1]d = e2e:upload(E, Path, #{}),
			R%[1]d = monitor(process, U%[1]d),
			ok = e2e:call(U%[1]d, {setopts, #{owner => Owner%[1]d}}),
			ok = e2e:call(U%[1]d, {chunk, 0, binary:copy(<<"x">>, 1000000)})`, round), bind{"Path": file})
		pid := 0
		fmt.Sscan(s.eval(t, fmt.Sprintf("maps:get(os_pid, e2e:call(U%d, info))", round)), &pid)
		return pid
	}
	ended := func(round int, want string) {
		t.Helper()
		s.expect(t, want, fmt.Sprintf("receive {'DOWN', R%d, _, _, Why%[1]d} -> Why%[1]d after 120000 -> alive end", round))
	}
	open(1)
	s.eval(t, "exit(Owner1, kill)")
	ended(1, "killed")
	stands(t, file, "before", 0o644)

	kill(t, open(2), syscall.SIGKILL)
	ended(2, "{put_file,{signal,sigkill}}")
	stands(t, file, "before", 0o644)

	pid := open(3)
	kill(t, pid, syscall.SIGSTOP)
	s.eval(t, `C3 = gen_server:send_request(U3, {chunk, 1000000, <<"x">>}), ok`)
	kill(t, pid, syscall.SIGKILL)
	s.expect(t, "{reply,{error,{signal,sigkill}}}", `gen_server:receive_response(C3, 60000)`)
	ended(3, "normal") // the call already has the answer
	stands(t, file, "before", 0o644)

	writer := writerOf(t, open(4))
	kill(t, e.roles(t).spawner, syscall.SIGKILL)
	ended(4, "{put_file,{signal,sigkill}}")
	if !until(endTime, writer.gone) {
		t.Error("the process that writes outlives its spawner")
	}
	stands(t, file, "before", 0o644)

	writer = writerOf(t, open(5))
	kill(t, e.roles(t).child, syscall.SIGKILL)
	ended(5, "child_crashed")
	if !until(endTime, writer.gone) {
		t.Error("the process that writes outlives the child")
	}
	stands(t, file, "before", 0o644)
	s.expect(t, "child_up", `
		receive {erluv, E, {child_down, _, _}} -> ok after 120000 -> error(not_down) end,
		{erluv_main, E} ! respawn,
		receive {erluv, E, {child_up, _}} -> child_up after 120000 -> none end`)

	writer = writerOf(t, open(6))
	s.eval(t, "erlang:disconnect_node(E), receive {erluv, E, {up, _}} -> up after 120000 -> error(down) end")
	ended(6, "noconnection")
	if !until(endTime, writer.gone) {
		t.Error("the process that writes outlives the connection")
	}
	stands(t, file, "before", 0o644)

	open(7)
	s.expect(t, "ok", "e2e:call(E, {status, set, stopped})")
	ended(7, "{shutdown,drained}")
	stands(t, file, "before", 0o644)
	s.eval(t, "e2e:call(E, {status, set, ready})")

	writer = writerOf(t, open(8))
	before := family(e.cmd.Process.Pid)
	e.fails = true
	for _, p := range before { // all of erluv, at once
		_ = syscall.Kill(p.pid, syscall.SIGSTOP)
	}
	for _, p := range before {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	if !until(endTime, writer.gone) {
		t.Error("the process that writes outlives erluv")
	}
	stands(t, file, "before", 0o644)
}

func writerOf(t *testing.T, pid int) process {
	t.Helper()
	for _, p := range family(os.Getpid()) {
		if p.pid == pid {
			return p
		}
	}
	t.Fatalf("no process %d writes", pid)
	return process{}
}

// TestPutFileOnAFullDisk: the error comes at once when the size is known, and the old file stays.
// The same holds for a directory that may not be written to.
func TestPutFileOnAFullDisk(t *testing.T) {
	closed := shelf(t, 0o755)
	common(t).expect(t, "{error,eacces}", `e2e:put(E, Path, <<"x">>, #{})`, bind{"Path": filepath.Join(closed, "file")})
	if left := entries(t, closed); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if os.Getuid() != 0 {
		return
	}
	small := shelf(t, 0o777)
	if err := syscall.Mount("none", small, "tmpfs", 0, "size=1m,mode=777"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
	file := filepath.Join(small, "file")
	e := newErluv(t, newNode(t, nodeOptions{})) // its programs see the present mounts
	e.expect(t, "{ok,{error,enospc},{error,enospc}}", `
		{ok, _} = e2e:put(E, Path, <<"before">>, #{}),
		M = binary:copy(<<"x">>, 1048576),
		{ok, e2e:call(E, {put_file, Path, #{size => 2000000}}), e2e:put(E, Path, M, #{})}`, bind{"Path": file})
	stands(t, file, "before", 0o644)
}

// TestPutFileAs: the file belongs to the requested user, and a process of that user writes it.
//
//erluv:users
func TestPutFileAs(t *testing.T) {
	e := allowing(t, newNode(t, nodeOptions{}), `["mail"]`)
	if e == nil {
		return // an ordinary user
	}
	uid, gid := idOf(t, "mail")
	dir := shelf(t, 0o700)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	e.expect(t, "{{error,eacces},ok}", `{e2e:put(E, Path, <<"x">>, #{}), element(1, e2e:put(E, Path, <<"x">>, #{user => mail}))}`, bind{"Path": file})
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if is := st.Sys().(*syscall.Stat_t); int(is.Uid) != uid || int(is.Gid) != gid {
		t.Errorf("the file is that of %d and %d", is.Uid, is.Gid)
	}
}

// TestPutFileIsLogged: the log names the caller, the file and its place.
func TestPutFileIsLogged(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n)
	file := filepath.Join(shelf(t, 0o777), "file")
	e.expect(t, "{ok,{error,enoent}}", `{element(1, e2e:put(E, Path, <<"x">>, #{})), e2e:put(E, <<"/nowhere/x">>, <<"x">>, #{})}`, bind{"Path": file})
	sum := sha256.Sum256([]byte("x"))
	for _, words := range []string{`msg="a file was put"`, "path=" + file, "bytes=1", "sum=" + hex.EncodeToString(sum[:]), `msg="a file was not put"`, "why=enoent", "path=/nowhere/x"} {
		if !until(endTime, func() bool { return strings.Contains(e.stderr.String(), words) }) {
			t.Errorf("the log has no %s:\n%s", words, e.stderr.String())
		}
	}
}

// TestPutFileState: a host that is ready or standby accepts files. A host that offers classes
// accepts none.
func TestPutFileState(t *testing.T) {
	e, s := crashing(t)
	file := bind{"Path": filepath.Join(shelf(t, 0o777), "file")}
	s.expect(t, "{ok,{error,{node_not_ready,stopped}},ok,ok}", `
		ok = e2e:call(E, {status, set, standby}),
		A = element(1, e2e:put(E, Path, <<"x">>, #{})),
		ok = e2e:call(E, {status, set, stopped}),
		e2e:until(fun() -> e2e:call(E, {status, get}) =:= stopped end),
		B = e2e:put(E, Path, <<"x">>, #{}),
		{A, B, e2e:call(E, {status, set, ready}), element(1, e2e:put(E, Path, <<"x">>, #{}))}`, file)
	e.report(t)
	c := configured(t, "run = \"classes\"\n\n[class.x]\ncommand = [\"/bin/true\"]\n")
	c.expect(t, "[{error,{class,required}},{error,{class,required}}]", `[e2e:put(E, P, <<"x">>, #{}) || P <- [Path, memory]]`, file)
}

// TestProgramInMemory: a program that is not a file runs, by itself and as a script, any number of
// times until its upload ends. Running programs then go on.
//
//erluv:users
//erluv:check
func TestProgramInMemory(t *testing.T) {
	e := common(t)
	s := e.session(t)
	s.eval(t, "process_flag(trap_exit, true)")
	s.expect(t, "{error,{bad_option,cmd,<<\"the upload is not a complete program in memory\">>}}", `
		{ok, Cat} = file:read_file("/bin/cat"),
		put(cat, Cat),
		U = e2e:upload(E, memory, #{size => byte_size(Cat)}),
		ok = lists:foldl(fun(Offset, ok) ->
			e2e:call(U, {chunk, Offset, binary:part(Cat, Offset, min(10000, byte_size(Cat) - Offset))})
		end, ok, lists:seq(0, byte_size(Cat) - 1, 10000)),
		e2e:call(E, {run, [{memory, U}], #{}})`)
	s.expect(t, "ok", `{ok, #{sha256 := _, size := Size}} = e2e:call(U, {commit, none}), Size = byte_size(get(cat)), ok`)
	s.expect(t, "[true,true,true]", `
		[begin
			{ok, #{exit := {exit_status, 0}, stdout := Out}} = e2e:call(E, {run, [{memory, U} | Args], #{input => "hello", nice => Nice}}),
			Out =:= Want
		end || {Args, Nice, Want} <- [{[], 0, <<"hello">>}, {["-n"], 5, <<"     1\thello">>}, {["/proc/self/fd/3"], 0, get(cat)}]]`)
	s.expect(t, "{{error,kept},{error,kept},kept}", `{e2e:call(U, {chunk, 0, <<>>}), e2e:call(U, {commit, none}), maps:get(state, e2e:call(U, info))}`)
	s.expect(t, `{ok,<<"applet not found\n">>,<<"hi there\n">>}`, `
		S = e2e:upload(E, memory, []),
		ok = e2e:call(S, {chunk, 0, <<"#!/bin/sh\necho hi $1\n">>}),
		{ok, _} = e2e:call(S, {commit, none}),
		{ok, #{stdout := Hi}} = e2e:call(E, {run, [{memory, S, "script"}, "there"], #{env => #{"PATH" => "/bin"}}}),
		{ok, <<"applet not found\n">>, Hi}`)
	s.expect(t, "{error,{bad_option,sandbox,ok}}", `
		{error, {bad_option, sandbox, _}} = e2e:call(E, {run, [{memory, S}], #{sandbox => #{read => ["/"], exec => ["/bin"]}}}),
		{ok, _} = e2e:call(E, {run, [{memory, S}], #{sandbox => #{read => ["/"], exec => ["/"]}}}),
		{error, {bad_option, sandbox, ok}}`)
	s.expect(t, `{ok,<<"more">>,cmd}`, `
		W = e2e:start(E, [{memory, U}], #{restart => permanent}),
		ok = e2e:call(U, abort),
		ok = e2e:call(W, {write, <<"more">>}),
		receive {W, {stdout, More}} -> ok after 120000 -> More = none end,
		{error, {bad_option, Key, _}} = e2e:call(E, {run, [{memory, U}], #{}}),
		{ok, More, Key}`)
	s.expect(t, "{restart_failed,enoent}", `
		e2e:call(W, {signal, sigkill}),
		(fun Next() -> receive {W, {restart_failed, _} = F} -> F; {W, _} -> Next() after 120000 -> none end end)()`)
	s.eval(t, "e2e:call(W, stop)")
	s.expect(t, "{error,enospc}", `
		X = e2e:upload(E, memory, #{}),
		Big = binary:copy(<<0>>, 1048576),
		Full = (fun Fill(At) -> case e2e:call(X, {chunk, At, Big}) of ok -> Fill(At + 1048576); Error -> Error end end)(0),
		ok = e2e:call(X, abort),
		Full`)
}

// TestManyUploads: a host takes a limited number of uploads at once, and others when these have
// ended.
func TestManyUploads(t *testing.T) {
	e := common(t)
	dir := shelf(t, 0o777)
	e.expect(t, "{32,{error,max_uploads},ok}", `
		Paths = [iolist_to_binary([Dir, "/", integer_to_list(N)]) || N <- lists:seq(1, 32)],
		Us = [e2e:upload(E, P, #{}) || P <- Paths],
		Error = e2e:call(E, {put_file, hd(Paths), #{}}),
		[ok = e2e:call(U, {chunk, 0, <<"x">>}) || U <- Us],
		[{ok, _} = e2e:call(U, {commit, none}) || U <- Us],
		{length(Us), Error, element(1, e2e:put(E, hd(Paths), <<"y">>, #{}))}`, bind{"Dir": dir})
	for _, name := range entries(t, dir) {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, []byte(map[bool]string{true: "y", false: "x"}[name == "1"])) {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
}

var putMiB = flag.Int("put", 64, "MiB of the file that TestPutLarge puts; doc/fleet.md has the figures of 1024")

// TestPutLarge: a large file needs no more memory than a small one, however many chunks are under
// way. This holds for the child and the process that writes. Programs start meanwhile.
func TestPutLarge(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n)
	file := filepath.Join(shelf(t, 0o777), "file")
	s := e.session(t)
	child := e.roles(t).child
	before := peak(t, child)
	begin := time.Now()
	s.expect(t, "ok", `
		U = e2e:upload(E, Path, #{}),
		Self = self(),
		Runner = spawn_link(fun() -> (fun Run(N) ->
			{ok, _} = e2e:call(E, {run, ["/bin/true"], #{}}),
			receive stop -> Self ! {ran, N} after 0 -> Run(N + 1) end
		end)(1) end),
		Chunk = binary:copy(<<"0123456789abcdef">>, 65536),
		Send = fun(I) -> gen_server:send_request(U, {chunk, I * 1048576, Chunk}) end,
		Take = fun(Request) -> {reply, ok} = gen_server:receive_response(Request, 60000) end,
		(fun Put(I, [First | Rest]) when I < MiB -> Take(First), Put(I + 1, Rest ++ [Send(I)]);
			 Put(_, Rest) -> lists:foreach(Take, Rest)
		end)(2, [Send(0), Send(1)])`, bind{"Path": file, "MiB": *putMiB})
	writer := 0
	fmt.Sscan(s.eval(t, `maps:get(os_pid, e2e:call(U, info))`), &writer)
	written, inChild := peak(t, writer), peak(t, child)-before
	sent := time.Since(begin)
	s.expect(t, fmt.Sprintf("{ok,%d,true}", *putMiB<<20), `
		{ok, #{size := Size}} = e2e:call(U, {commit, none}),
		Runner ! stop,
		{ok, Size, receive {ran, N} -> N > 1 after 60000 -> none end}`)
	if st, err := os.Stat(file); err != nil || st.Size() != int64(*putMiB)<<20 {
		t.Errorf("%v, %v", st, err)
	}
	// Two chunks, each once as a frame and once waiting for the pipe, and the same amount of
	// garbage.
	if inChild > 32<<20 || written > 32<<20 {
		t.Errorf("%d MiB need %d kB more of the child, and %d kB of the process that writes", *putMiB, inChild>>10, written>>10)
	}
	t.Logf("%d MiB: sent in %.1f s, on disk after %.1f s; %d kB more in the child, %d kB in the process that writes",
		*putMiB, sent.Seconds(), time.Since(begin).Seconds(), inChild>>10, written>>10)
}
