package e2e

import (
	"syscall"
	"testing"
	"time"
)

// byeBye prints bye when it is asked to end.
const byeBye = `"trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"`

// SIGTERM: workers are stopped, their output is delivered, and then the node is gone. The log has
// the time, which is within a second on an idle machine.
//
//erluv:releases
//erluv:users
func TestTerm(t *testing.T) {
	n := newNode(t, nodeOptions{})
	// Nothing waits this long.
	e := newErluv(t, n, "--kill-timeout", "10m")
	s := e.session(t)
	s.eval(t, `
		monitor_node(E, true),
		W = e2e:start(E, `+byeBye+`, #{stderr => null}),
		V = e2e:start(E, ["sleep", "1000"]),
		ok = e2e:ready(W)`)
	before := family(e.cmd.Process.Pid)
	start := time.Now()
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := e.exits(t, endTime); status != 0 {
		t.Errorf("exit status %d", status)
	}
	t.Logf("the end took %v", time.Since(start))
	s.expect(t, `{{<<"bye\n">>,none,{exit_status,0},shutdown},{<<>>,<<>>,{signal,sigterm},shutdown},true}`, `
		First = e2e:outcome(W),
		Second = e2e:outcome(V),
		receive {nodedown, E} -> ok after 120000 -> error(up) end,
		{First, Second, [] =:= nodes(hidden)}`)
	if err := endOf(before); err != nil {
		t.Error(err)
	}
}

// A service manager sends SIGTERM to each of erluv's processes. The end is just as orderly.
//
//erluv:releases
func TestTermOfAll(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n)
	s := e.session(t)
	s.eval(t, `W = e2e:start(E, `+byeBye+`, #{stderr => null}), ok = e2e:ready(W)`)
	r := e.roles(t)
	for _, pid := range []int{r.spawner, r.child, e.cmd.Process.Pid} {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	if status := e.exits(t, endTime); status != 0 {
		t.Errorf("exit status %d", status)
	}
	s.expect(t, `{<<"bye\n">>,none,{exit_status,0},shutdown}`, `e2e:outcome(W)`)
}

//erluv:releases
//erluv:users
func TestStopRequest(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n)
	e.expect(t, `{ok,{<<"bye\n">>,none,{exit_status,0},enough},true}`, `
		W = e2e:start(E, `+byeBye+`, #{stderr => null}),
		ok = e2e:ready(W),
		monitor_node(E, true),
		Answer = e2e:call(E, {stop, enough}),
		Outcome = e2e:outcome(W),
		receive {nodedown, E} -> ok after 120000 -> error(up) end,
		{Answer, Outcome, e2e:silent()}`)
	if status := e.exits(t, endTime); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// The controller gets a message when the node comes and when it goes.
//
//erluv:releases
func TestController(t *testing.T) {
	n := newNode(t, nodeOptions{})
	s := n.session(t)
	s.eval(t, "ok") // the session is registered under its name
	e := newErluv(t, n, "--controller", s.name)
	s.expect(t, "true", "receive {erluv, E, {up, Info}} -> Info =:= maps:merge(Info, #{node => E}) after 120000 -> none end", e.binds())
	e.expect(t, "ok", "e2e:call(E, {stop, {my, reason}})")
	s.expect(t, "{my,reason}", "receive {erluv, E, {stopping, Reason}} -> Reason after 120000 -> none end")
	if status := e.exits(t, endTime); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// An erluv that an Erlang port started ends with its standard input. So it ends with the node that
// started it, and its workers do too.
//
//erluv:releases
//erluv:users
func TestUnderAPort(t *testing.T) {
	for name, end := range map[string]string{
		"closed":       "port_close(Port)",
		"owner killed": "exit(Owner, kill)",
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			s := n.session(t)
			s.eval(t, `
				Self = self(),
				Owner = spawn(fun() ->
					Self ! {port, open_port({spawn_executable, Binary}, [{args,
						["--node", atom_to_list(node()), "--name", "ported", "--host", "127.0.0.1", Cookie]}, exit_status])},
					receive never -> ok end
				end),
				Port = receive {port, P} -> P end,
				E = 'ported@127.0.0.1',
				true = e2e:wait_hidden(E) =:= ok,
				{os_pid, Main} = erlang:port_info(Port, os_pid),
				Main = e2e:call(E, {info, main_os_pid}),
				Child = e2e:call(E, {info, child_os_pid}),
				W = e2e:start(E, ["sleep", "1000"]),
				Prog = e2e:os_pid(W),
				true = e2e:alive(Prog)`, bind{"Binary": executable, "Cookie": n.cookieFile()})
			s.expect(t, "{{<<>>,<<>>,{signal,sigterm},shutdown},ok}", `
				monitor_node(E, true),
				Start = erlang:monotonic_time(millisecond),
				`+end+`,
				Outcome = e2e:outcome(W),
				receive {nodedown, E} -> ok after 120000 -> error(up) end,
				ok = e2e:until(fun() -> not lists:any(fun e2e:alive/1, [Main, Child, Prog]) end),
				true = erlang:monotonic_time(millisecond) - Start < 1000,
				{Outcome, ok}`)
		})
	}
	t.Run("the node is killed", func(t *testing.T) {
		n := newNode(t, nodeOptions{})
		pids := n.eval(t, `
			open_port({spawn_executable, Binary}, [{args,
				["--node", atom_to_list(node()), "--name", "ported", "--host", "127.0.0.1", Cookie]}, exit_status]),
			ok = e2e:wait_hidden('ported@127.0.0.1'),
			W = e2e:start('ported@127.0.0.1', ["sleep", "1000"], #{link => false, detached => true}),
			e2e:alive(e2e:os_pid(W))`, bind{"Binary": executable, "Cookie": n.cookieFile()})
		if pids != "true" {
			t.Fatal(pids)
		}
		before := family(n.cmd.Process.Pid)
		if err := n.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := endOf(before); err != nil {
			t.Error(err)
		}
		n.killed = true
	})
}

// When the connection is lost, all workers are stopped. erluv comes back, or ends.
//
//erluv:releases
func TestDisconnect(t *testing.T) {
	for _, reconnect := range []string{"retry", "exit"} {
		t.Run(reconnect, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			e := newErluv(t, n, "--reconnect", reconnect)
			s := e.session(t)
			s.expect(t, "noconnection", `
				W = e2e:start(E, ["sleep", "1000"], #{detached => true}),
				OsPid = e2e:os_pid(W),
				true = e2e:alive(OsPid),
				true = erlang:disconnect_node(E),
				receive {'EXIT', W, Reason} -> Reason after 120000 -> none end`)
			s.expect(t, "ok", `e2e:until(fun() -> not e2e:alive(OsPid) end)`)
			if reconnect == "retry" {
				s.expect(t, "{pong,[],true}", `
					ok = e2e:wait_hidden(E),
					Pong = net_adm:ping(E),
					Workers = e2e:call(E, workers),
					{ok, _} = e2e:call(E, {run, "true", #{}}),
					monitor(process, W),
					{Pong, Workers, lists:member(e2e:down(W), [noproc, noconnection])}`)
				return
			}
			if status := e.exits(t, endTime); status != 1 {
				t.Errorf("exit status %d", status)
			}
			e.fails = true
		})
	}
}
