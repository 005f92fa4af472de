package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// place makes a directory that the child can read, and only the test can write to.
func place(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp(dir, "watch-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(path); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, path string) {
	t.Helper()
	try(t, os.WriteFile(path, nil, 0o644))
}

// extend writes to an existing file: emptying it first would be one more event.
func extend(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	try(t, err)
	_, err = f.WriteString("text")
	try(t, err)
	try(t, f.Close())
}

// Each operation on files, and the events that it causes.
//
//erluv:check
func TestFileEvents(t *testing.T) {
	e := common(t)
	d, away := place(t), place(t)
	s := e.session(t)
	s.eval(t, `W = e2e:watch(E, D), ok`, bind{"D": d})
	for i, tc := range []struct {
		do   func()
		want string
	}{
		{func() { create(t, d+"/a") }, `[{[created],<<"/a">>}]`},
		{func() { extend(t, d+"/a") }, `[{[modified],<<"/a">>}]`},
		{func() { try(t, os.Chmod(d+"/a", 0o600)) }, `[{[attrib],<<"/a">>}]`},
		{func() { try(t, os.Rename(d+"/a", d+"/b")) }, `[{[renamed],<<"/a">>},{[renamed],<<"/b">>}]`},
		{func() { try(t, os.Rename(d+"/b", away+"/b")) }, `[{[renamed],<<"/b">>}]`},
		{func() { try(t, os.Rename(away+"/b", d+"/c")) }, `[{[renamed],<<"/c">>}]`},
		{func() { try(t, os.Remove(d+"/c")) }, `[{[deleted],<<"/c">>}]`},
		{func() { try(t, os.Mkdir(d+"/d", 0o755)); create(t, d+"/d/x") }, `[{[created],<<"/d">>}]`},
		{func() { try(t, os.RemoveAll(d+"/d")) }, `[{[deleted],<<"/d">>}]`},
		{func() { create(t, d+"/\xff\x01") }, `[{[created],<<47,255,1>>}]`},
		{func() { try(t, os.Chmod(d, 0o775)) }, `[{[attrib],<<>>}]`},
	} {
		tc.do()
		fence := fmt.Sprintf("%s/fence%d", d, i)
		create(t, fence)
		s.expect(t, tc.want, `
			[{What, binary:part(Path, byte_size(D), byte_size(Path) - byte_size(D))} || {What, Path} <- e2e:changes(W, Fence`+fmt.Sprint(i)+`)]`,
			bind{fmt.Sprintf("Fence%d", i): fence})
	}
	s.expect(t, `{#{cmd => [],os_pid => 0,path => true,recursive => false,restarts => 0,state => watching},1,{ok,[]}}`, `
		Info = e2e:call(W, info),
		[{W, Brief}] = e2e:call(E, workers),
		Brief = maps:with(maps:keys(Brief), Info),
		{maps:without([started], Brief#{path := maps:get(path, Brief) =:= D}), e2e:call(E, {info, workers}),
		 {e2e:call(W, stop), e2e:call(E, workers)}}`)
}

// The watcher watches one file. Without the file there is nothing to watch, so the watcher ends
// too.
func TestFileIsWatched(t *testing.T) {
	e := common(t)
	for name, tc := range map[string]struct {
		do   func(path string)
		want string
	}{
		"deleted": {func(path string) { try(t, os.Remove(path)) }, `[{fs,[attrib],true},{fs,[deleted],true}]`},
		"renamed": {func(path string) { try(t, os.Rename(path, path+"2")) }, `[{fs,[renamed],true}]`},
		"written, replaced": {func(path string) {
			create(t, path+"2")
			try(t, os.Rename(path+"2", path))
		}, `[{fs,[attrib],true},{fs,[deleted],true}]`},
	} {
		t.Run(name, func(t *testing.T) {
			path := place(t) + "/file"
			create(t, path)
			s := e.session(t)
			s.eval(t, `W = e2e:watch(E, P), ok`, bind{"P": path})
			extend(t, path)
			s.expect(t, `{fs,[modified],true}`, `{fs, What, Path} = e2e:next(W), {fs, What, Path =:= P}`)
			tc.do(path)
			s.expect(t, "{"+tc.want+",normal}", `
				F = fun F() -> receive {'EXIT', W, R} -> {[], R}; {W, {fs, How, Where}} -> {L, R} = F(), {[{fs, How, Where =:= P} | L], R} end end,
				F()`)
		})
	}
}

// A new directory is watched at once. Files that were made in it before are reported.
func TestTreeIsWatched(t *testing.T) {
	e := common(t)
	d := place(t)
	try(t, os.MkdirAll(d+"/old/old", 0o755))
	s := e.session(t)
	s.eval(t, `W = e2e:watch(E, D, [recursive, {events, [created]}]), ok`, bind{"D": d})
	const rounds = 200
	for i := range rounds {
		path := fmt.Sprintf("%s/old/old/%d/a/b/c", d, i)
		out, err := exec.Command("sh", "-c", `mkdir -p "$0" && : >"$0/file"`, path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	create(t, d+"/fence")
	s.expect(t, "true", fmt.Sprintf(`
		Told = e2e:changes(W, <<D/binary, "/fence">>),
		Want = [{[created], iolist_to_binary([D, "/old/old/", integer_to_list(I), P])} || I <- lists:seq(0, %d),
			P <- ["", "/a", "/a/b", "/a/b/c", "/a/b/c/file"]],
		lists:sort(Told) =:= lists:sort(Want) orelse {length(Told), Want -- Told, Told -- Want}`, rounds-1))
	try(t, os.Rename(d+"/old", d+"/new"))
	create(t, d+"/new/old/0/a/b/c/later")
	s.expect(t, "true", `{fs, [created], P} = e2e:next(W), P =:= <<D/binary, "/new/old/0/a/b/c/later">>`)
}

func TestTenThousandFiles(t *testing.T) {
	e := common(t)
	d := place(t)
	s := e.session(t)
	s.eval(t, `W = e2e:watch(E, D, #{recursive => true, events => [created, closed, deleted]}), ok`, bind{"D": d})
	var doing sync.WaitGroup
	for i := range 4 {
		doing.Go(func() {
			for j := range 25 {
				sub := fmt.Sprintf("%s/%d/%d/sub", d, i, j)
				if err := os.MkdirAll(sub, 0o755); err != nil {
					t.Error(err)
				}
				for k := range 100 {
					if err := os.WriteFile(fmt.Sprintf("%s/%d", sub, k), nil, 0o644); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	doing.Wait()
	create(t, d+"/fence")
	s.expect(t, "{10204,10204,10000}", `
		Told = e2e:changes(W, <<D/binary, "/fence">>),
		Created = [P || {What, P} <- Told, lists:member(created, What)],
		{length(Created), length(lists:usort(Created)), length(lists:usort([P || {What, P} <- Told, lists:member(closed, What)]))}`)
	try(t, exec.Command("rm", "-r", d+"/0", d+"/1", d+"/2", d+"/3").Run())
	create(t, d+"/fence2")
	s.expect(t, "{10204,1}", `
		Deleted = [P || {[deleted], P} <- e2e:changes(W, <<D/binary, "/fence2">>)],
		#{watched := Watched} = e2e:call(W, info),
		{length(lists:usort(Deleted)), Watched}`)
}

// The node stands still. Nothing grows, since only the kernel's queue holds events. The watcher
// reports that the queue overflowed.
func TestFileEventsOverflow(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n)
	d := place(t)
	child := e.roles(t).child
	s := e.session(t)
	s.eval(t, `W = e2e:watch(E, D, #{events => [created], recursive => true}), ok`, bind{"D": d})
	before := resident(t, child)
	try(t, n.cmd.Process.Signal(syscall.SIGSTOP))
	defer func() { _ = n.cmd.Process.Signal(syscall.SIGCONT) }()
	// The same name twice in a row would be one event.
	for i := range 100_000 {
		path := fmt.Sprintf("%s/%0240d", d, i%10)
		if i >= 10 {
			try(t, os.Remove(path))
		}
		create(t, path)
	}
	try(t, os.MkdirAll(d+"/new/new", 0o755))
	if after := resident(t, child); after > before+8<<20 {
		t.Errorf("the child has grown from %d to %d bytes", before, after)
	}
	try(t, n.cmd.Process.Signal(syscall.SIGCONT))
	s.expect(t, "true", `
		F = fun F(N) -> case e2e:next(W) of {fs, [overflow], D} -> N; {fs, [created], _} -> F(N + 1) end end,
		Told = F(0),
		Told >= 16000 andalso Told < 100000 orelse Told`)
	// Everything is watched again, the new directories too.
	create(t, d+"/new/new/x")
	s.expect(t, "true", `{fs, [created], P} = e2e:next(W), P =:= <<D/binary, "/new/new/x">>`)
}

// A watcher sees what its user may see.
//
//erluv:users
func TestWatchPermissions(t *testing.T) {
	e := common(t)
	d := place(t)
	shut := d + "/shut"
	try(t, os.Mkdir(shut, 0))
	create(t, d+"/secret")
	try(t, os.Chmod(d+"/secret", 0))
	s := e.session(t)
	s.expect(t, "{{error,eacces},{error,eacces},{error,enoent},{error,enotdir}}",
		`{e2e:call(E, {watch, <<D/binary, "/shut">>, #{}}), e2e:call(E, {watch, <<D/binary, "/secret">>, #{}}),
		  e2e:call(E, {watch, <<D/binary, "/none">>, #{}}), e2e:call(E, {watch, <<D/binary, "/secret/x">>, #{}})}`, bind{"D": d})
	s.expect(t, `{unwatched,true,eacces}`,
		`W = e2e:watch(E, D, [recursive]), {unwatched, P, Why} = e2e:next(W), {unwatched, P =:= <<D/binary, "/shut">>, Why}`)
	try(t, os.Mkdir(d+"/later", 0))
	s.expect(t, `{{fs,[created],true},{unwatched,true,eacces}}`, `
		Later = <<D/binary, "/later">>,
		{fs, What, Q} = e2e:next(W),
		{unwatched, Q, eacces} = e2e:next(W),
		{{fs, What, Q =:= Later}, {unwatched, Q =:= Later, eacces}}`)
	// The directory may be read now.
	create(t, d+"/fence")
	s.expect(t, `[]`, `e2e:changes(W, <<D/binary, "/fence">>)`)
	try(t, os.Chmod(d+"/later", 0o755))
	create(t, d+"/later/x")
	s.expect(t, `true`, `
		{fs, [attrib], Later} = e2e:next(W),
		{fs, [created], X} = e2e:next(W),
		X =:= <<Later/binary, "/x">>`)
}

// A watcher is a process, and its end is reported as any other's.
//
//erluv:releases
func TestWatcherIsAProcess(t *testing.T) {
	e := common(t)
	d := bind{"D": place(t)}
	for name, tc := range map[string]struct{ source, want string }{
		"exit":       {`exit(W, boom)`, "boom"},
		"kill":       {`exit(W, kill)`, "killed"},
		"stop":       {`ok = e2e:call(W, stop)`, "normal"},
		"close":      {`W ! {self(), close}, closed = e2e:next(W)`, "normal"},
		"not normal": {`exit(W, normal), #{state := watching} = e2e:call(W, info), exit(W, shutdown)`, "shutdown"},
		"a link":     {`spawn(fun() -> link(W), exit(linked) end)`, "linked"},
		"command":    {`W ! {self(), {command, "x"}}, {'EXIT', W, badsig} = e2e:next(), exit(W, used)`, "used"},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, tc.want, `W = e2e:watch(E, D), R = monitor(process, W), `+tc.source+`,
				receive {'EXIT', W, Why} -> Why = e2e:down(W) end`, d)
		})
	}
	e.expect(t, "{owner_ended,noproc}", `
		Me = self(),
		Owner = spawn(fun() -> Me ! {w, e2e:watch(E, D, #{link => false})}, receive Why -> exit(Why) end end),
		W = receive {w, Pid} -> Pid end,
		_ = monitor(process, W),
		Owner ! owner_ended,
		Reason = e2e:down(W),
		_ = monitor(process, W),
		{Reason, e2e:down(W)}`, d)
	e.expect(t, "{watching,ok}", `
		Me = self(),
		Owner = spawn(fun() -> Me ! {w, e2e:watch(E, D, #{detached => true, name => files})}, receive Why -> exit(Why) end end),
		receive {w, _} -> ok end,
		Ref = monitor(process, Owner),
		Owner ! boom,
		receive {'DOWN', Ref, _, _, _} -> ok end,
		#{state := State} = gen_server:call({files, E}, info),
		{State, gen_server:call({files, E}, stop)}`, d)
	// A watcher works directly under a supervisor, and its end is no error.
	e.expect(t, "[]", `
		Child = #{id => files, start => {gen_server, call, [{erluv, E}, {watch, D, #{owner => none}}]}, restart => permanent},
		{ok, S} = supervisor:start_link(e2e_sup, {#{}, [Child]}),
		[{files, W, _, _}] = supervisor:which_children(S),
		true = is_pid(W),
		exit(W, kill),
		ok = e2e:until(fun() -> case supervisor:which_children(S) of [{files, V, _, _}] when is_pid(V), V =/= W -> true; Other -> Other end end),
		unlink(S),
		exit(S, shutdown),
		ok = e2e:until(fun() -> e2e:call(E, workers) =:= [] end),
		[_] = e2e_server:errors(), % of the one that was killed
		e2e:call(E, workers)`, d)
}

// All watchers of one erluv share one inotify instance, because a user may have few of them.
//
//erluv:users
func TestManyWatchers(t *testing.T) {
	e := common(t)
	d := place(t)
	const many = 2000
	for i := range many {
		create(t, filepath.Join(d, fmt.Sprint(i)))
	}
	s := e.session(t)
	s.eval(t, `Ws = [e2e:watch(E, iolist_to_binary([D, "/", integer_to_list(I)])) || I <- lists:seq(0, `+fmt.Sprint(many-1)+`)], ok`, bind{"D": d})
	for i := range many {
		extend(t, filepath.Join(d, fmt.Sprint(i)))
	}
	s.expect(t, "true", `lists:all(fun(W) -> case e2e:next(W) of {fs, [modified], _} -> true end end, Ws)`)
	count := 0
	for _, line := range descriptors(t, e.roles(t).child) {
		if strings.HasSuffix(line, "anon_inode:inotify") {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%d inotify instances", count)
	}
	s.expect(t, "ok", `[ok = e2e:call(W, stop) || W <- Ws], ok`)
}
