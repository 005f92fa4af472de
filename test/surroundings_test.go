package e2e

import (
	"fmt"
	"testing"
)

// however starts an erluv through a shell script that becomes "$@".
func however(t *testing.T, script string) *erluv {
	t.Helper()
	n := newNode(t, nodeOptions{})
	name := fmt.Sprintf("odd%d", serial.Add(1))
	e, err := n.exec(nil, "/bin/sh", "-c", script, "sh", executable,
		"--node", n.name, "--name", name, "--host=127.0.0.1", n.cookieFile())
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "@127.0.0.1"
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	e.expect(t, "ok", "e2e:wait_hidden(E), ok")
	return e
}

// However erluv was started, its programs have the same signals, descriptors and ends as always.
// libuv: spawn_closed_process_io. os/exec: TestSIGCHLD. CPython: test_close_fd_0 to _2,
// test_small_errpipe_write_fd, test_swap_std_fds_with_one_closed, test_wait_when_sigchild_ignored,
// test_restore_signals.
//
//erluv:users
func TestHoweverItWasStarted(t *testing.T) {
	for name, script := range map[string]string{
		"without descriptor 0":        `exec "$@" 0<&-`,
		"without descriptors 1 and 2": `exec "$@" 1>&- 2>&-`,
		"without 0, 1 and 2":          `exec "$@" 0<&- 1>&- 2>&-`,
		"with many descriptors":       `exec 3</dev/null 4</dev/null 9</dev/null; exec "$@"`,
		"nohup":                       `exec nohup "$@"`,
		"signals ignored":             `trap "" HUP INT QUIT PIPE CHLD USR1 TSTP TTOU; exec "$@"`,
		"signals blocked":             `exec env --block-signal=HUP,TERM,CHLD,PIPE,USR1,CONT,URG "$@"`,
		"umask 777":                   `umask 777; exec "$@"`,
	} {
		t.Run(name, func(t *testing.T) {
			e := however(t, script)
			e.expect(t, `ok`, `
				Run = fun(Cmd) -> {ok, #{exit := {exit_status, 0}, stdout := Out, stderr := <<>>}} = e2e:call(E, {run, Cmd, #{}}), Out end,
				<<"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n">> = Run(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]),
				<<"0\n1\n2\n3\n">> = Run(["ls", "/proc/self/fd"]),
				<<"0022\n">> = Run("umask"),
				<<>> = Run(["env"]),
				% SIGPIPE ends who writes to nobody.
				<<"141\n">> = Run("exec 3>&1; { yes; echo $? >&3; } | true"),
				[{<<"out\n">>, <<"err\n">>, {exit_status, 7}, {exit_status, 7}} =
					e2e:outcome(e2e:start(E, "read x; echo out; echo err >&2; exit 7", #{stdin => null})) || _ <- lists:seq(1, 20)],
				W = e2e:start(E, ["cat"]),
				ok = e2e:call(W, {write, "x"}), ok = e2e:said(W, stdout, <<"x">>),
				ok = e2e:call(W, {signal, sigusr1}),
				{<<>>, <<>>, {signal, sigusr1}, {signal, sigusr1}} = e2e:outcome(W),
				ok`)
		})
	}
}

// The end of a program names the signal that ended it. Signals that do not end programs are only
// received.
func TestEverySignalByName(t *testing.T) {
	e := common(t)
	e.expect(t, `[]`, `
		Signals = [sighup, sigint, sigquit, sigill, sigtrap, sigabrt, sigbus, sigfpe, sigkill, sigusr1, sigsegv, sigusr2,
			sigpipe, sigalrm, sigterm, sigstkflt, sigxcpu, sigxfsz, sigvtalrm, sigprof, sigio, sigpwr, sigsys] ++ lists:seq(34, 64),
		End = fun(Sig) ->
			W = e2e:start(E, ["sleep", "100"], #{rlimits => #{core => 0}}),
			_ = [ok = e2e:call(W, {signal, S}) || S <- [sigchld, sigcont, sigurg, sigwinch]],
			ok = e2e:call(W, {signal, Sig}),
			e2e:outcome(W)
		end,
		[{Sig, Is} || Sig <- Signals, Is <- [End(Sig)], Is =/= {<<>>, <<>>, {signal, Sig}, {signal, Sig}}]`)
}

// Where a system resource is exhausted, the answer says so. Everything works again when there is
// more.
//
//erluv:users
func TestNoMoreToBeHad(t *testing.T) {
	e := newErluv(t, newNode(t, nodeOptions{}))
	r := e.roles(t)
	for want, tc := range map[string]struct {
		pid   int
		limit string
	}{
		"emfile": {r.child, "nofile"},
		"eagain": {r.spawner, "nproc"},
	} {
		t.Run(want, func(t *testing.T) {
			for range 3 {
				restore := lower(t, tc.pid, tc.limit, 3)
				e.expect(t, `[{error,`+want+`}]`, `
					lists:usort([e2e:call(E, {What, ["true"], #{}}) || _ <- lists:seq(1, 20), What <- [spawn, run]])`)
				restore()
				e.expect(t, `{<<>>,<<>>,{exit_status,0},normal}`, `e2e:outcome(e2e:start(E, ["true"]))`)
			}
		})
	}
}

// A program can be spawned as soon as it has been written, although another process still has a
// copy of the descriptor. It cannot be spawned while it is being written.
func TestSpawnWhatWasJustWritten(t *testing.T) {
	e := common(t)
	path := stocked(t, nil) + "/prog"
	script := `cp /bin/echo "$0"; chmod 755 "$0"; exec 7<>"$0"; echo written >&2; sleep "$1"`
	e.expect(t, `{{error,etxtbsy},{<<"x\n">>,<<>>,{exit_status,0},normal}}`, `
		Writer = fun(Seconds) ->
			V = e2e:start(E, ["/bin/sh", "-c", Script, Path, Seconds]),
			ok = e2e:said(V, stderr, <<"written\n">>), V
		end,
		V = Writer("100"),
		Busy = e2e:call(E, {spawn, [Path, "x"], #{}}),
		{ok, _} = e2e:call(V, stop),
		Writer("0.02"),
		{Busy, e2e:outcome(e2e:start(E, [Path, "x"]))}`, bind{"Path": path, "Script": script})
}
