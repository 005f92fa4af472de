package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashing starts an erluv of its own whose controller is the session.
func crashing(t *testing.T, args ...string) (*erluv, session) {
	t.Helper()
	return crashingOn(t, newNode(t, nodeOptions{}), args...)
}

// crashingOn is crashing on this node.
func crashingOn(t *testing.T, n *node, args ...string) (*erluv, session) {
	t.Helper()
	s := n.session(t)
	s.eval(t, "process_flag(trap_exit, true), ok")
	e := newErluv(t, n, append([]string{"--controller", s.name}, args...)...)
	s.eval(t, e.binds().String()+"receive {erluv, E, {up, _}} -> ok after 120000 -> error(controller) end, monitor_node(E, true)")
	return e, s
}

// kill sends a signal to a process and does not wait.
func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// socket returns the connection to the node, as main and the child share it.
func (e *erluv) socket(t *testing.T) string {
	t.Helper()
	r := e.roles(t)
	var shared []string
	sockets := func(pid int) (list []string) {
		for _, d := range descriptors(t, pid) {
			if _, target, _ := strings.Cut(d, " "); strings.HasPrefix(target, "socket:") {
				list = append(list, target)
			}
		}
		return list
	}
	theirs := sockets(r.child)
	for _, s := range sockets(r.main) {
		if slices.Contains(theirs, s) && !slices.Contains(shared, s) {
			shared = append(shared, s)
		}
	}
	// Standard error can be a socket as well.
	if len(shared) == 0 {
		t.Fatalf("main and child share no socket: %q", theirs)
	}
	return strings.Join(shared, " ")
}

// round gives the variables of source that end in _ a number, since a session binds each only once.
func round(n int, source string) string {
	return strings.ReplaceAll(source, "_ ", fmt.Sprintf("_%d ", n))
}

// TestCrash checks section 2.3 of the contract: the crash of the child, on one connection.
//
//erluv:releases
//erluv:users
//erluv:check
func TestCrash(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "60s")
	socket := e.socket(t)
	for n := range 3 {
		s.eval(t, round(n, `
			W_ = e2e:start(E, ["sleep", "1000"]),
			V_ = e2e:start(E, ["sleep", "1000"], #{link => false, name => v}),
			M_ = monitor(process, V_ ), N_ = monitor(process, {v, E}), O_ = monitor(process, {erluv, E}),
			Q_ = monitor(process, {erluv_main, E}),
			ok`))
		r := e.roles(t)
		programs := family(r.spawner)
		kill(t, r.child, syscall.SIGKILL)
		s.expect(t, "{child_down,{signal,sigkill},60000}", round(n, "receive {erluv, E, {child_down, _, _} = Down_ } -> Down_ after 120000 -> none end"))
		for _, p := range programs {
			if !p.gone() {
				t.Errorf("process %v lives when the crash is reported: %s", p, cmdline(p.pid))
			}
		}
		// All these messages came before.
		s.expect(t, "{child_crashed,child_crashed,child_crashed,child_crashed}", round(n, `{
			receive {'EXIT', W_ , R1_ } -> R1_ after 0 -> none end,
			receive {'DOWN', M_ , process, V_ , R2_ } -> R2_ after 0 -> none end,
			receive {'DOWN', N_ , process, {v, E}, R3_ } -> R3_ after 0 -> none end,
			receive {'DOWN', O_ , process, {erluv, E}, R4_ } -> R4_ after 0 -> none end}`))
		s.expect(t, "{true,pong,{error,child_down},{error,child_down},noproc}", round(n, `{
			lists:member(E, nodes(hidden)), net_adm:ping(E), e2e:call(E, info), e2e:call(E, {spawn, ["true"], []}),
			begin monitor(process, W_ ), e2e:down(W_ ) end}`))
		s.eval(t, "{erluv_main, E} ! respawn")
		s.expect(t, "true", round(n, `
			Child_ = receive {erluv, E, {child_up, C_ }} -> C_ after 120000 -> none end,
			Child_ =:= e2e:call(E, {info, child_os_pid})`))
		s.expect(t, `{<<"x\n">>,<<>>,{exit_status,0},normal}`, round(n, `X_ = e2e:start(E, ["echo", "x"]), e2e:outcome(X_ )`))
		if got := e.socket(t); got != socket {
			t.Errorf("the connection is %s, it was %s", got, socket)
		}
		s.expect(t, "none", round(n, `receive Other_ -> Other_ after 0 -> none end`))
	}
	// No pid is used twice, and each child has a serial of its own.
	s.expect(t, "{9,[0,1,2]}", `
		Pids = lists:usort([W_0, W_1, W_2, V_0, V_1, V_2, X_0, X_1, X_2]),
		Serials = [begin <<131, 88, Bin/binary>> = term_to_binary(P), binary:decode_unsigned(binary:part(Bin, byte_size(Bin) - 8, 4)) end || P <- [W_0, W_1, W_2]],
		{length(Pids), Serials}`)
}

// respawn has the session ask for a new child and wait for it.
func (s session) respawn(t *testing.T) {
	t.Helper()
	s.expect(t, "ok", `
		{erluv_main, E} ! respawn,
		receive {erluv, E, {child_up, _}} -> ok after 120000 -> none end`)
}

// down waits for the report of a crash, and returns how the child ended.
func (s session) down(t *testing.T, n int) string {
	t.Helper()
	return s.eval(t, round(n, "receive {erluv, E, {child_down, Why_ , _}} -> Why_ after 120000 -> none end"))
}

// The child is killed while it writes floods and reads large frames. No byte is lost or wrong, and
// the connection goes on.
//
//erluv:releases
func TestCrashUnderLoad(t *testing.T) {
	const rounds = 6
	e, s := crashing(t, "--die-timeout", "60s")
	socket := e.socket(t)
	s.eval(t, "Shove = e2e:shove(E)")
	for n := range rounds {
		s.eval(t, round(n, "F_ = e2e:flood(E), G_ = e2e:flood(E)"))
		kill(t, e.roles(t).child, syscall.SIGKILL)
		if how := s.down(t, n); how != "{signal,sigkill}" {
			t.Fatalf("round %d: %s", n, how)
		}
		s.expect(t, "{child_crashed,child_crashed}", round(n, "{e2e:flooded(F_ ), e2e:flooded(G_ )}"))
		s.expect(t, "{error,child_down}", "e2e:call(E, info)")
		s.respawn(t)
	}
	s.expect(t, "true", "unlink(Shove), exit(Shove, kill)")
	if got := e.socket(t); got != socket {
		t.Errorf("the connection is %s, it was %s", got, socket)
	}
	s.expect(t, "{true,none}", "{lists:member(E, nodes(hidden)), receive {nodedown, E} -> nodedown after 0 -> none end}")
}

// If the answer to a request is child_down, nothing was started, and the request can be repeated.
// The test stops main, so that the child soon cannot report to it any more.
func TestChildDownHasStartedNothing(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "60s")
	dir := t.TempDir()
	for d := dir; d != filepath.Clean(os.TempDir()); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	s.eval(t, fmt.Sprintf("Dir = fun(N) -> filename:join(%q, integer_to_list(N)) end, ok", dir))
	r := e.roles(t)
	kill(t, r.main, syscall.SIGSTOP)
	s.eval(t, `
		Ask = fun(N) ->
			[monitor(process, {erluv, E}) || _ <- lists:seq(1, 300)],
			{N, gen_server:send_request({erluv, E}, {run, ["mkdir", Dir(N)], []})}
		end,
		Self = self(),
		Caller = spawn(fun() ->
			Asked = [Ask(N) || N <- lists:seq(1, 60)],
			timer:sleep(1000), % in which they would be made
			Self ! asked,
			Self ! {answered, [{N, catch gen_server:receive_response(R, 20000)} || {N, R} <- Asked]}
		end),
		receive asked -> ok end`)
	kill(t, r.child, syscall.SIGKILL)
	kill(t, r.main, syscall.SIGCONT)
	s.down(t, 0)
	s.expect(t, "{true,[]}", `
		Answers = receive {answered, As} -> As after 120000 -> none end,
		Down = [N || {N, {reply, {error, child_down}}} <- Answers],
		{length(Down) > 10, [N || N <- Down, filelib:is_dir(Dir(N))]}`)
	s.respawn(t)
}

// A child that hangs counts as crashed.
//
//erluv:releases
//erluv:users
func TestHang(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "60s")
	s.eval(t, `W = e2e:start(E, ["sleep", "1000"])`)
	r := e.roles(t)
	programs := family(r.spawner)
	kill(t, r.child, syscall.SIGSTOP)
	if how := s.down(t, 0); how != "hung" {
		t.Errorf("it is down: %s", how)
	}
	s.expect(t, "child_crashed", "receive {'EXIT', W, Reason} -> Reason after 0 -> none end")
	if err := endOf(programs); err != nil {
		t.Error(err)
	}
	s.respawn(t)
	s.expect(t, `{<<"x\n">>,<<>>,{exit_status,0},normal}`, `X = e2e:start(E, ["echo", "x"]), e2e:outcome(X)`)
}

// No node asks for a new child. erluv ends, with a status of its own.
//
//erluv:releases
//erluv:users
func TestDieTimeout(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "300ms")
	e.fails = true
	s.eval(t, `W = e2e:start(E, ["sleep", "1000"])`)
	before := family(e.cmd.Process.Pid)
	kill(t, e.roles(t).child, syscall.SIGKILL)
	if status := e.exits(t, endTime); status != 4 {
		t.Errorf("exit status %d", status)
	}
	s.expect(t, "[child_crashed,{child_down,{signal,sigkill},300},{stopping,die_timeout},nodedown]", `[
		receive {'EXIT', W, Reason} -> Reason after 120000 -> none end,
		receive {erluv, E, {child_down, _, _} = Down} -> Down after 120000 -> none end,
		receive {erluv, E, {stopping, _} = Stopping} -> Stopping after 120000 -> none end,
		receive {nodedown, E} -> nodedown after 120000 -> none end]`)
	if err := endOf(before); err != nil {
		t.Error(err)
	}
}

// Calls that are under way when the child dies end as with any process that dies.
//
//erluv:releases
func TestCrashEndsCalls(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "60s")
	s.eval(t, `
		W = e2e:start(E, ["sleep", "1000"]),
		Self = self(),
		Call = fun(To, Request) ->
			spawn(fun() -> Self ! {self(), catch gen_server:call(To, Request, infinity)} end)
		end,
		Calls = [
			Call({erluv, E}, {run, ["sleep", "1000"], []}),
			Call(W, {write, binary:copy(<<"x">>, 1000000)})],
		e2e:until(fun() -> length(e2e:call(E, workers)) =:= 2 end)`)
	kill(t, e.roles(t).child, syscall.SIGKILL)
	s.expect(t, "[child_crashed,child_crashed]", `
		[receive {P, {'EXIT', {Reason, _}}} -> Reason after 120000 -> none end || P <- Calls]`)
	s.respawn(t)
}

// When the child dies, each waiting stop is answered once, by the end of the worker. The program is
// gone by then.
//
//erluv:releases
func TestCrashEndsStops(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "60s")
	s.eval(t, `
		Opts = #{link => false, kill_timeout => 600000},
		Deaf = fun(More) -> W = e2e:start(E, "trap '' TERM HUP; echo ready; while :; do sleep 0.02; done", maps:merge(Opts, More)), {_, <<"ready", _/binary>>} = e2e:next(W), W end,
		Workers = [Signal, Terminal, Steps, Sys, Exited] =
			[Deaf(O) || O <- [#{}, #{pty => true}, #{stop_sequence => [sigterm, 600000]}, #{name => deaf}, #{}]],
		Programs = [e2e:os_pid(W) || W <- Workers],
		Self = self(),
		% What a caller is sent, until it is told that nothing follows.
		Got = fun F() -> receive {over, From} -> From ! {self(), []}; M -> receive {over, From} -> From ! {self(), [M | element(2, process_info(self(), messages))]} end end end,
		Caller = fun(F) -> spawn(fun() -> F(), Got() end) end,
		Call = fun(W) -> Caller(fun() -> W ! {'$gen_call', {self(), monitor(process, W)}, stop} end) end,
		Made = fun(F) -> Caller(fun() -> self() ! (catch F()) end) end,
		Raw = [Call(W) || W <- [Signal, Signal, Terminal, Steps]],
		Linked = Caller(fun() -> process_flag(trap_exit, true), link(Exited), exit(Exited, shutdown) end),
		Ended = [Made(fun() -> gen_server:call(Signal, stop, infinity) end), Made(fun() -> gen_server:stop(Sys) end), Made(fun() -> proc_lib:stop({deaf, E}, shutdown, infinity) end)],
		% All have asked when they wait, and the child has heard them when it answers.
		ok = e2e:until(fun() -> lists:all(fun(P) -> process_info(P, status) =:= {status, waiting} end, [Linked | Raw ++ Ended]) end),
		ok = e2e:until(fun() -> lists:all(fun(W) -> maps:get(state, e2e:call(W, info)) =:= stopping end, Workers) end)`)
	kill(t, e.roles(t).child, syscall.SIGKILL)
	s.respawn(t)
	s.expect(t, `{[true,true,true,true],[{'EXIT',child_crashed}],[child_crashed,child_crashed,child_crashed],[]}`, `
		All = fun(P) -> ok = e2e:until(fun() -> {messages, Ms} = process_info(P, messages), Ms =/= [] orelse process_info(P, status) =:= {status, waiting} end), P ! {over, self()}, receive {P, Messages} -> Messages end end,
		ok = e2e:until(fun() -> not lists:any(fun e2e:alive/1, Programs) end),
		{[case All(P) of [{'DOWN', _, process, _, child_crashed}] -> true; Other -> Other end || P <- Raw],
			[{'EXIT', Reason} || {'EXIT', _, Reason} <- All(Linked)],
			[case R of {Reason, {gen_server, call, _}} -> Reason; _ -> R end || P <- Ended, {'EXIT', R} <- All(P)],
			[P || P <- Programs, e2e:alive(P)]}`)
}

// Only the spawner dies. Its programs die with it and are reported as killed. A program that was
// just being started is refused or started, and the child goes on with another spawner.
//
//erluv:users
func TestCrashOfSpawner(t *testing.T) {
	for contain, contained := range ways() {
		if contained == "none" {
			continue
		}
		t.Run(contain, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			e := newErluv(t, n, "--contain", contain)
			child := e.roles(t).child
			for range 3 {
				s := e.session(t)
				s.eval(t, `
					All = [e2e:start(E, Cmd) || _ <- lists:seq(1, 10)],
					[ok = e2e:ready(W) || W <- All],
					R = e2e:start(E, "echo run; exec sleep 1000", #{restart => permanent, backoff => {10, 10}}),
					ok = e2e:said(R, stdout, <<"run\n">>)`, bind{"Cmd": daemon + "echo ready; exec sleep 1000"})
				before := e.roles(t).spawner
				programs := insiders(before)
				s.eval(t, `Calls = [gen_server:send_request({erluv, E}, {spawn, ["sleep", "1000"], #{}}) || _ <- lists:seq(1, 50)]`)
				kill(t, before, syscall.SIGKILL)
				s.expect(t, "[{signal,sigkill}]", "lists:usort([receive {'EXIT', W, Reason} -> Reason after 120000 -> none end || W <- All])")
				s.expect(t, `{true,<<"run\n">>}`, `
					% A start that is refused meanwhile counts as a restart too.
					OsPid = receive {R, {restarted, Pid, _}} -> Pid after 120000 -> error(not_restarted) end,
					{stdout, Again} = receive {R, {stdout, <<_, _/binary>>} = Out} -> Out after 120000 -> none end,
					{e2e:alive(OsPid), Again}`)
				for _, p := range programs { // main ends daemons out of reach
					if reached := contain != "group" && canCgroup(); reached && !p.gone() || !until(endTime, p.gone) {
						t.Errorf("process %v lives when its end is reported: %s", p, cmdline(p.pid))
					}
				}
				s.expect(t, "[]", `
					[A || A <- [gen_server:receive_response(C, 120000) || C <- Calls],
						case A of {reply, {ok, W}} when is_pid(W) -> false; _ -> A =/= {reply, {error, eagain}} end]`)
				s.expect(t, "ok", "[exit(P, kill) || {P, _} <- e2e:call(E, workers)], e2e:until(fun() -> [] =:= e2e:call(E, workers) end)")
				if r := e.roles(t); r.child != child || r.spawner == before {
					t.Errorf("the child is %d, was %d; the spawner is %d, was %d", r.child, child, r.spawner, before)
				}
			}
		})
	}
}

// If the child dies again and again, main waits longer each time before it starts the next.
func TestCrashLoop(t *testing.T) {
	e, s := crashing(t, "--die-timeout", "60s")
	for n := range 4 {
		kill(t, e.roles(t).child, syscall.SIGKILL)
		s.down(t, n)
		start := time.Now()
		s.respawn(t)
		if pause := time.Duration(1<<n) * 50 * time.Millisecond; n > 0 && time.Since(start) < pause {
			t.Errorf("respawn %d came after %v, less than %v", n+1, time.Since(start), pause)
		}
	}
}

// Other events while there is no child.
//
//erluv:users
func TestWithoutChild(t *testing.T) {
	t.Run("stopped", func(t *testing.T) {
		e, s := crashing(t, "--die-timeout", "60s")
		kill(t, e.roles(t).child, syscall.SIGKILL)
		s.down(t, 0)
		kill(t, e.cmd.Process.Pid, syscall.SIGTERM)
		if status := e.exits(t, endTime); status != 0 {
			t.Errorf("exit status %d", status)
		}
		s.expect(t, "[{stopping,shutdown},nodedown]", `[
			receive {erluv, E, {stopping, _} = Stopping} -> Stopping after 120000 -> none end,
			receive {nodedown, E} -> nodedown after 120000 -> none end]`)
	})
	t.Run("disconnected", func(t *testing.T) {
		e, s := crashing(t, "--die-timeout", "60s")
		kill(t, e.roles(t).child, syscall.SIGKILL)
		s.down(t, 0)
		s.expect(t, "{true,ok,[]}", `
			Gone = erlang:disconnect_node(E),
			Up = receive {erluv, E, {up, _}} -> ok after 120000 -> none end,
			{Gone, Up, e2e:call(E, workers)}`)
	})
	t.Run("respawn by a call", func(t *testing.T) {
		e, s := crashing(t, "--die-timeout", "60s")
		s.expect(t, "{error,child_up}", "gen_server:call({erluv_main, E}, respawn)")
		kill(t, e.roles(t).child, syscall.SIGKILL)
		s.down(t, 0)
		s.expect(t, "{ok,ok}", `{gen_server:call({erluv_main, E}, respawn), receive {erluv, E, {child_up, _}} -> ok after 120000 -> none end}`)
	})
	t.Run("monitors of names", func(t *testing.T) {
		e, s := crashing(t, "--die-timeout", "60s")
		s.eval(t, "A = monitor(process, {erluv_main, E})")
		kill(t, e.roles(t).child, syscall.SIGKILL)
		s.down(t, 0)
		s.eval(t, "B = monitor(process, {erluv, E})")
		s.respawn(t)
		s.expect(t, "none", "e2e:call(E, info), receive {'DOWN', _, _, _, _} = Early -> Early after 0 -> none end")
		kill(t, e.roles(t).child, syscall.SIGKILL)
		s.down(t, 1)
		s.expect(t, "{child_crashed,none}", `{
			receive {'DOWN', B, process, _, Why} -> Why after 120000 -> none end,
			receive {'DOWN', A, process, _, _} = Down -> Down after 0 -> none end}`)
		s.respawn(t)
		s.expect(t, "{ok,[enough]}", `{e2e:call(E, {stop, enough}),
			[receive {'DOWN', A, process, _, Last} -> Last after 120000 -> none end]}`)
		if status := e.exits(t, endTime); status != 0 {
			t.Errorf("exit status %d", status)
		}
	})
}

// An orderly stop with nothing to do takes no time.
func TestStopAtOnce(t *testing.T) {
	best := time.Hour
	for range 5 {
		e := newErluv(t, newNode(t, nodeOptions{}))
		start := time.Now()
		kill(t, e.cmd.Process.Pid, syscall.SIGTERM)
		if status := e.exits(t, endTime); status != 0 {
			t.Errorf("exit status %d", status)
		}
		best = min(best, time.Since(start))
	}
	t.Logf("%v", best)
	if best > time.Second { // every timeout of an end is longer
		t.Errorf("the best of five took %v", best)
	}
}
