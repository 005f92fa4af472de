package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// notifier is a program in Perl that sends messages through its NOTIFY_SOCKET, and then executes
// then.
func notifier(say, then string) string {
	return `["perl", "-MIO::Socket::UNIX", "-MSocket", "-e",
		"sub say { my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}) or die; $s->send($_[0]); } $| = 1; ` +
		say + `; ` + then + `"]`
}

// listener is a program in Perl that listens on a port and then sleeps.
func listener(port string, before string) string {
	return `["perl", "-MIO::Socket::INET", "-e", "` + before + `; my $l = IO::Socket::INET->new(Listen => 1, ReuseAddr => 1, LocalAddr => '127.0.0.1:` + port + `') or exit 7; sleep 1000"]`
}

// The call is answered once the program is ready, and not before.
//
//erluv:users
func TestReady(t *testing.T) {
	e := common(t)
	dir := shelf(t, 0o777)
	for name, tc := range map[string]struct{ source, want string }{
		"line": {
			`
			W = e2e:start(E, "echo starting; echo 'listening on port 80' >&2; exec cat", #{ready => {line, "port [0-9]+$"}}),
			ok = e2e:call(W, {write, "x"}), ok = e2e:call(W, {close, stdin}),
			e2e:outcome(W)`,
			`{<<"starting\nx">>,<<"listening on port 80\n">>,{exit_status,0},normal}`,
		},
		"line in pieces": {
			`
			W = e2e:start(E, "printf rea; sleep 0.1; printf 'dy\\r\\n'; exec cat", #{ready => {line, <<"^ready$">>}}),
			{ok, _} = e2e:call(W, stop), element(1, e2e:outcome(W))`,
			`<<"ready\r\n">>`,
		},
		"the last line": {
			`
			W = e2e:start(E, "printf ready", #{ready => {line, "^ready$"}}), e2e:outcome(W)`,
			`{<<"ready">>,<<>>,{exit_status,0},normal}`,
		},
		"a line after much else": {
			`
			W = e2e:start(E, "head -c 900000 /dev/zero | tr '\\0' x; echo; echo ready; exec cat", #{ready => {line, "^ready$"}}),
			ok = e2e:call(W, {close, stdin}),
			{Out, _, _, normal} = e2e:outcome(W), byte_size(Out)`,
			`900007`,
		},
		"a line of a terminal": {
			`
			W = e2e:start(E, "stty -echo; echo ready; exec cat", #{pty => true, ready => {line, "^ready$"}}),
			{ok, _} = e2e:call(W, stop), element(1, e2e:outcome(W))`,
			`<<"ready\r\n">>`,
		},
		"a line nobody is sent": {
			`
			W = e2e:start(E, "echo ready; exec cat", #{owner => none, ready => {line, "^ready$"}}),
			{ok, _} = e2e:call(W, stop)`,
			`{ok,{signal,sigterm}}`,
		},
		"lines on demand": {
			`
			W = e2e:start(E, "echo ready; echo steady; exec cat", #{flow => {active, false}, packet => line, ready => {line, "steady"}}),
			[e2e:call(W, {read, stdout, 100}), e2e:call(W, {read, stdout, 100})]`,
			`[{ok,<<"ready\n">>},{ok,<<"steady\n">>}]`,
		},
		"file": {
			`
			F = filename:join(Dir, "file"), 
			W = e2e:start(E, ["sh", "-c", "echo a > $0; exec cat", F], #{ready => {file, F}}),
			{ok, _} = file:read_file(F), {ok, _} = e2e:call(W, stop)`,
			`{ok,{signal,sigterm}}`,
		},
		"a file seen from cd": {
			`
			W = e2e:start(E, ["sh", "-c", "echo a > there; exec cat"], #{cd => Dir, ready => {file, "there"}}),
			{ok, _} = file:read_file(filename:join(Dir, "there")), {ok, _} = e2e:call(W, stop)`,
			`{ok,{signal,sigterm}}`,
		},
		"a file that was there": {
			`
			F = filename:join(Dir, "old"), {ok, #{exit := {exit_status, 0}}} = e2e:call(E, {run, ["touch", F], #{}}),
			Start = erlang:monotonic_time(millisecond),
			W = e2e:start(E, ["sh", "-c", "sleep 0.3; echo a > $0; exec cat", F], #{ready => {file, F}}),
			{erlang:monotonic_time(millisecond) - Start >= 300, element(1, e2e:call(W, stop))}`,
			`{true,ok}`,
		},
		"notify": {
			`
			W = e2e:start(E, ` + notifier(`print 'out'; say(qq(READY=1\\nSTATUS=fine))`, `sleep 1000`) + `, #{ready => notify}),
			ok = e2e:said(W, stdout, <<"out">>), {status, S} = e2e:next(W), #{ready := true, status := S} = e2e:call(W, info), {ok, _} = e2e:call(W, stop), S`,
			`<<"fine">>`,
		},
		"notify at the very end": {
			`
			W = e2e:start(E, ` + notifier(`say('READY=1')`, `exit 3`) + `, #{ready => notify}),
			element(3, e2e:outcome(W))`,
			`{exit_status,3}`,
		},
		"its environment": {
			`
			{error, {not_ready, {exit_status, N}}} = e2e:call(E, {spawn, "test \"$WATCHDOG_USEC\" = 5000000 && test -S \"$NOTIFY_SOCKET\" && test -z \"$WATCHDOG_PID\"",
				#{ready => notify, watchdog => 5000, env => #{"NOTIFY_SOCKET" => "x", "WATCHDOG_USEC" => "7", "WATCHDOG_PID" => "1"}}}), N`,
			`0`,
		},
		"message": {
			`
			W = e2e:start(E, "echo starting; sleep 0.1; echo ready; exec cat", #{packet => line, ready => {line, "^ready"}, ready_reply => message}),
			A = e2e:next(W), B = e2e:next(W), C = e2e:next(W), {ok, _} = e2e:call(W, stop), [A, lists:sort([B, C])]`,
			`[{stdout,<<"starting\n">>},[ready,{stdout,<<"ready\n">>}]]`,
		},
		"with a proxy": {
			`
			W = e2e:start(E, "echo ready; exec cat", #{ready => {line, "ready"}, proxy => {e2e, proxy, [self()]}}),
			receive {proxy, W, P} -> true = is_pid(P) end, {ok, _} = e2e:call(W, stop), true`,
			`true`,
		},
		"again after a restart": {
			`
			W = e2e:start(E, "echo ready; sleep 0.05; exit 1", #{ready => {line, "ready"}, restart => permanent, backoff => {10, 10}, max_restarts => {2, 10000}}),
			R = fun R() -> receive {W, {stdout, _}} -> R(); {W, {stderr, _}} -> R(); {W, {restarted, _, N}} -> [N | R()]; {W, M} -> [M | R()]; {'EXIT', W, Why} -> [Why] end end, R()`,
			`[{exit_status,1},1,ready,{exit_status,1},2,ready,{exit_status,1},restart_intensity]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, tc.want, tc.source, bind{"Dir": dir})
		})
	}
	t.Run("tcp", func(t *testing.T) {
		port := freePort(t)
		e.expect(t, "ok", `
			W = e2e:start(E, `+listener(port, "sleep 0.1")+`, #{ready => {tcp, `+port+`}}),
			{ok, S} = gen_tcp:connect("127.0.0.1", `+port+`, []),
			{ok, _} = e2e:call(W, stop), gen_tcp:close(S)`)
	})
	t.Run("a port that was taken", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		e.expect(t, "{error,{not_ready,{exit_status,7}}}",
			`e2e:call(E, {spawn, `+listener(port, "select(undef, undef, undef, 0.1)")+`, #{ready => {tcp, `+port+`}}})`)
	})
}

// A program that does not become ready is ended. Its caller gets an error, and no other message.
func TestNotReady(t *testing.T) {
	e := common(t)
	for name, tc := range map[string]struct{ source, want string }{
		"in time":        {`{R, true} = {e2e:call(E, {spawn, "echo x; exec sleep 1000", #{ready => {line, "y"}, ready_timeout => 100}}), e2e:silent()}, R`, `{error,{not_ready,timeout}}`},
		"it ends":        {`{R, true} = {e2e:call(E, {spawn, "echo x; exit 3", #{ready => {line, "y"}}}), e2e:silent()}, R`, `{error,{not_ready,{exit_status,3}}}`},
		"it crashes":     {`e2e:call(E, {spawn, "kill -SEGV $$", #{ready => notify}})`, `{error,{not_ready,{signal,sigsegv}}}`},
		"no program":     {`e2e:call(E, {spawn, ["/no/such"], #{ready => notify}})`, `{error,enoent}`},
		"no restart":     {`e2e:call(E, {spawn, "exit 3", #{ready => {line, "y"}, restart => permanent}})`, `{error,{not_ready,{exit_status,3}}}`},
		"nothing left":   {`{error, _} = e2e:call(E, {spawn, "sleep 1000 & exec sleep 1001", #{ready => {line, "y"}, ready_timeout => 50}}), e2e:call(E, workers)`, `[]`},
		"killed by name": {`S = self(), spawn(fun() -> S ! {answer, e2e:call(E, {spawn, ["cat"], #{ready => notify, name => unready}})} end), ok = e2e:until(fun() -> [] =/= [1 || {_, #{cmd := [<<"cat">>]}} <- e2e:call(E, workers)] end), [W] = [V || {V, #{cmd := [<<"cat">>]}} <- e2e:call(E, workers)], {ok, {signal, sigterm}} = e2e:call(W, stop), receive {answer, A} -> A end`, `{error,{not_ready,normal}}`},
		"the owner ends": {`S = self(), P = spawn(fun() -> S ! {answer, e2e:call(E, {spawn, ["sleep", "1234"], #{ready => notify, owner => S}})} end), Q = fun() -> [V || {V, #{cmd := [<<"sleep">>, <<"1234">>]}} <- e2e:call(E, workers)] end, ok = e2e:until(fun() -> Q() =/= [] end), exit(P, kill), [W] = Q(), exit(W, kill), ok = e2e:until(fun() -> Q() =:= [] end)`, `ok`},
		"message": {
			`W = e2e:start(E, ["sleep", "1000"], #{ready => notify, ready_timeout => 50, ready_reply => message}), receive {W, {not_ready, timeout}} -> ok end, {_, _, End, Reason} = e2e:outcome(W), {End, Reason}`,
			`{{signal,sigterm},{not_ready,timeout}}`,
		},
		"message, it ends": {`W = e2e:start(E, "exit 3", #{ready => notify, ready_reply => message}), e2e:outcome(W)`, `{<<>>,<<>>,{exit_status,3},{exit_status,3}}`},
		"refused": {
			`[K || {K, V} <- [{ready, x}, {ready, {tcp, 0}}, {ready, {tcp, 65536}}, {ready, {line, "("}}, {ready, {line, 1}}, {ready, {file, ""}}, {ready, {x, 1}},
			{ready_timeout, 1}, {ready_reply, call}, {watchdog, 1}], {error, {bad_option, K1, _}} <- [e2e:call(E, {spawn, ["cat"], #{K => V}})], K1 =:= K]`,
			`[ready,ready,ready,ready,ready,ready,ready,ready_timeout,ready_reply,watchdog]`,
		},
		"refused together": {
			`[K || O <- [#{ready => {line, "a"}, watchdog => 10}, #{ready => notify, ready_reply => x}, #{ready => notify, ready_timeout => 0},
			#{ready => {line, "a"}, stdout => null, stderr => null}], {error, {bad_option, K, _}} <- [e2e:call(E, {spawn, ["cat"], O})]]`,
			`[watchdog,ready_reply,ready_timeout,ready]`,
		},
		"run": {`{error, {bad_option, ready, _}} = e2e:call(E, {run, ["cat"], #{ready => notify}}), ok`, `ok`},
	} {
		t.Run(name, func(t *testing.T) {
			e.expect(t, tc.want, tc.source)
		})
	}
}

// A program that promises signs of life but gives none is stopped.
func TestWatchdog(t *testing.T) {
	e := common(t)
	e.expect(t, "{true,{{signal,sigterm},watchdog}}", `
		W = e2e:start(E, `+notifier(`say('READY=1'); for (1..8) { select(undef, undef, undef, 0.1); say('WATCHDOG=1') }`, `sleep 1000`)+`, #{ready => notify, watchdog => 400}),
		Start = erlang:monotonic_time(millisecond),
		{_, _, End, Reason} = e2e:outcome(W),
		{erlang:monotonic_time(millisecond) - Start >= 1100, {End, Reason}}`)
	e.expect(t, "{{signal,sigterm},watchdog}", `
		W = e2e:start(E, `+notifier(`say('READY=1'); say('WATCHDOG=trigger')`, `sleep 1000`)+`, #{ready => notify, watchdog => 100000}),
		{_, _, End, Reason} = e2e:outcome(W), {End, Reason}`)
}

// Of a flood of status messages the owner gets a few, and the last one.
func TestStatusFlood(t *testing.T) {
	e := common(t)
	e.expect(t, "{true,<<\"end\">>}", `
		W = e2e:start(E, `+notifier(`say('READY=1'); say(qq(STATUS=$_)) for 1..5000; say('STATUS=end')`, `sleep 1000`)+`, #{ready => notify}),
		R = fun R(N) -> receive {W, {status, <<"end">> = S}} -> {N < 300, S}; {W, {status, _}} -> R(N + 1) after 120000 -> none end end, R(0)`)
}

// No socket is left after an orderly end. After a kill, the sockets are removed once another erluv
// needs one.
//
//erluv:users
func TestNotifySocketsAreRemoved(t *testing.T) {
	n := newNode(t, nodeOptions{})
	sockets := func() []string {
		list, err := filepath.Glob("/tmp/erluv-notify-*")
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	before := map[string]bool{}
	for _, d := range sockets() {
		before[d] = true
	}
	ours := func() (list []string) {
		for _, d := range sockets() {
			if !before[d] {
				list = append(list, d)
			}
		}
		return list
	}
	start := `e2e:start(E, ` + notifier(`say('READY=1')`, `sleep 1000`) + `, #{ready => notify, link => false, detached => true})`
	e := newErluv(t, n)
	e.eval(t, `W = `+start+`, {ok, _} = e2e:call(W, stop), V = `+start)
	dirs := ours()
	if len(dirs) != 1 {
		t.Fatalf("directories: %q", dirs)
	}
	deadline := time.Now().Add(endTime)
	for entries := 3; entries != 2; { // the lock, and one socket
		list, err := os.ReadDir(dirs[0])
		if err == nil {
			entries = len(list)
		} else if os.IsPermission(err) {
			break // it belongs to another user, as it should
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d entries in %s", entries, dirs[0])
		}
	}
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	if left := ours(); len(left) != 0 {
		t.Errorf("left: %q", left)
	}

	killed := newErluv(t, n)
	killed.fails = true
	killed.eval(t, start)
	dirs = ours()
	r := killed.roles(t)
	for _, pid := range []int{r.spawner, r.main} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	killed.exits(t, endTime)
	if left := ours(); len(left) != 1 || len(dirs) != 1 || left[0] != dirs[0] {
		t.Fatalf("with the spawner: %q, when it was killed: %q", dirs, left)
	}
	e = newErluv(t, n)
	e.eval(t, start)
	if now := ours(); len(now) != 1 || now[0] == dirs[0] {
		t.Errorf("with the next erluv: %q, of the killed one: %q", now, dirs)
	}
}
