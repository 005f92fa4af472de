package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serving starts an erluv that serves several nodes, and a session on each of them. A session
// receives the controller's messages, traps exits and has E bound.
func serving(t *testing.T, count int, args ...string) (*erluv, []*node, []session) {
	t.Helper()
	return servingThese(t, make([]nodeOptions, count), args...)
}

func servingThese(t *testing.T, these []nodeOptions, args ...string) (*erluv, []*node, []session) {
	t.Helper()
	nodes := newNodes(t, these)
	e, sessions := servingNodes(t, nodes, args...)
	return e, nodes, sessions
}

func newNodes(t *testing.T, these []nodeOptions) (nodes []*node) {
	t.Helper()
	for _, o := range these {
		nodes = append(nodes, newNode(t, o))
	}
	return nodes
}

// servingNodes is serving for these nodes.
func servingNodes(t *testing.T, nodes []*node, args ...string) (*erluv, []session) {
	t.Helper()
	sessions, controller := controlled(t, nodes)
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = nodes[i].name
	}
	name := fmt.Sprintf("e%d", serial.Add(1))
	e, err := nodes[0].run(nil, append([]string{
		"run", "--nodes", strings.Join(names, ","), "--name", name, "--host", "127.0.0.1",
		"--controller", controller, nodes[0].cookieFile(),
	}, args...)...)
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
	return e, sessions
}

// meetingThese dials none: the nodes connect to it.
func meetingThese(t *testing.T, these []nodeOptions, args ...string) (*erluv, []*node, []session) {
	t.Helper()
	nodes := newNodes(t, these)
	sessions, controller := controlled(t, nodes)
	e := listening(t, nodes[0], append([]string{"--controller", controller}, args...)...)
	for _, s := range sessions {
		s.expect(t, "pong", e.binds().String()+"net_adm:ping(E)")
	}
	return e, nodes, sessions
}

// controlled starts a session on each node, which receives the messages to the controller of that
// name.
func controlled(t *testing.T, nodes []*node) (sessions []session, controller string) {
	t.Helper()
	// The process with this name is a different one on each node.
	controller = fmt.Sprintf("c%d", serial.Add(1))
	for _, n := range nodes {
		s := n.session(t)
		s.controls(t, controller)
		sessions = append(sessions, s)
	}
	return sessions, controller
}

// controls makes a session trap exits and receive the messages to a controller of that name.
func (s session) controls(t *testing.T, controller string) {
	t.Helper()
	s.eval(t, `process_flag(trap_exit, true), Session = self(), spawn(fun() ->
		true = register(`+controller+`, self()), Session ! registered,
		(fun Forward() -> receive Event -> Session ! Event, Forward() end end)() end),
		receive registered -> ok end`)
}

// isUp waits until the node of a session has received up.
func (e *erluv) isUp(t *testing.T, s session) {
	t.Helper()
	s.expect(t, "up", e.binds().String()+"receive {erluv, E, {up, _}} -> monitor_node(E, true), receive after 0 -> up end after 120000 -> silent end")
}

// handOver binds a term of one session in another session, through the external format.
func handOver(t *testing.T, from, to session, term, name string) {
	t.Helper()
	to.eval(t, fmt.Sprintf("%s = binary_to_term(%s), ok", name, from.eval(t, fmt.Sprintf("term_to_binary(%s)", term))))
}

// TestNodes checks section 4 of the contract on several connections. A pid is the same term on each
// node and works from each. When one node goes, nothing happens to the others.
//
//erluv:releases
//erluv:users
func TestNodes(t *testing.T) {
	e, nodes, s := serving(t, 3, "--serve", "all")
	for _, s := range s {
		e.isUp(t, s)
	}
	a, b, c := s[0], s[1], s[2]
	a.eval(t, `W = e2e:start(E, ["cat"], #{link => false}), V = e2e:start(E, ["sleep", "1000"], #{link => false, owner => none}), ok`)
	b.eval(t, `X = e2e:start(E, ["cat"], #{link => false}), ok`)
	for _, other := range []session{b, c} {
		handOver(t, a, other, "W", "W")
		handOver(t, a, other, "V", "V")
	}
	handOver(t, b, c, "X", "X")
	// Pids that came through A and pids from erluv itself are the same terms.
	b.expect(t, "true", "lists:member(W, [P || {P, _} <- e2e:call(E, workers)])")
	c.expect(t, "true", "lists:sort([W, V, X]) =:= lists:sort([P || {P, _} <- e2e:call(E, workers)])")
	b.eval(t, "link(W), M = monitor(process, W), ok")
	c.eval(t, "monitor(process, W), link(X), N = monitor(process, X), ok")
	// Each node calls each worker, and the output goes to the owner.
	c.expect(t, "ok", `e2e:call(W, {write, <<"from c">>})`)
	a.expect(t, `<<"from c">>`, "receive {W, {stdout, Said}} -> Said after 120000 -> none end")
	// A goes. B and C hear of the end of W, which was A's. X stays, with its links and monitors of
	// B and C.
	nodes[0].killed = true
	kill(t, nodes[0].cmd.Process.Pid, syscall.SIGKILL)
	b.expect(t, "{noconnection,noconnection}", `{receive {'EXIT', W, Why} -> Why after 120000 -> none end,
		receive {'DOWN', M, process, W, How} -> How after 120000 -> none end}`)
	c.expect(t, "noconnection", "receive {'DOWN', _, process, W, Why} -> Why after 120000 -> none end")
	b.expect(t, `{ok,<<"still">>}`, `{e2e:call(X, {write, <<"still">>}), receive {X, {stdout, Said}} -> Said after 120000 -> none end}`)
	c.expect(t, "true", "is_map(e2e:call(X, info))")
	// The worker without an owner was A's, because A had requested it.
	b.expect(t, "true", "e2e:until(fun() -> [P || {P, _} <- e2e:call(E, workers)] =:= [X] end) =:= ok")
	for _, s := range []session{b, c} {
		s.expect(t, "none", "receive Other -> Other after 0 -> none end")
	}
}

// crash kills the child for the nth time. Each node must hear of it through its link, its monitor
// and its controller.
func crash(t *testing.T, e *erluv, s []session, n int) {
	t.Helper()
	for _, s := range s {
		s.eval(t, round(n, `W_ = e2e:start(E, ["sleep", "1000"]), M_ = monitor(process, {erluv, E}), ok`))
	}
	kill(t, e.roles(t).child, syscall.SIGKILL)
	for _, s := range s {
		s.expect(t, "{child_crashed,child_crashed,{signal,sigkill}}", round(n, `{
			receive {'EXIT', W_ , R1_ } -> R1_ after 120000 -> none end,
			receive {'DOWN', M_ , process, {erluv, E}, R2_ } -> R2_ after 120000 -> none end,
			receive {erluv, E, {child_down, R3_ , 60000}} -> R3_ after 120000 -> none end}`))
	}
}

// The child crashes. Each of three connections is taken over, and no node loses its own. Each node
// is informed, and reaches all workers of the next child.
//
//erluv:releases
//erluv:users
func TestNodesCrash(t *testing.T) {
	e, _, s := serving(t, 3, "--serve", "all", "--die-timeout", "60s")
	a := s[0]
	for _, s := range s {
		e.isUp(t, s)
	}
	for n := range 3 {
		crash(t, e, s, n)
		s[n].eval(t, "{erluv_main, E} ! respawn")
		for _, s := range s {
			s.expect(t, "true", round(n, `
				Child_ = receive {erluv, E, {child_up, C_ }} -> C_ after 120000 -> none end,
				Child_ =:= e2e:call(E, {info, child_os_pid})`))
		}
	}
	// No pid was given twice, on any node.
	for i, s := range s[1:] {
		handOver(t, s, a, "[W_0, W_1, W_2]", fmt.Sprintf("Of%d", i))
	}
	a.expect(t, "9", "length(lists:usort([W_0, W_1, W_2] ++ Of0 ++ Of1))")
	for _, s := range s {
		s.expect(t, "{true,none}", "{lists:member(E, nodes(hidden)), receive Other -> Other after 0 -> none end}")
	}
}

// The child crashes while one of the nodes goes. The connection of that node cannot be taken over,
// and main logs this. The other goes on.
func TestNodesTakeOver(t *testing.T) {
	e, nodes, s := serving(t, 2, "--serve", "all", "--die-timeout", "60s")
	for _, s := range s {
		e.isUp(t, s)
	}
	s[0].eval(t, `W = e2e:start(E, ["sleep", "1000"]), ok`)
	r := e.roles(t)
	// Neither main nor the child sees the node go before the child is dead.
	kill(t, r.main, syscall.SIGSTOP)
	kill(t, r.child, syscall.SIGSTOP)
	nodes[1].killed = true
	kill(t, nodes[1].cmd.Process.Pid, syscall.SIGKILL)
	<-nodes[1].done
	kill(t, r.child, syscall.SIGKILL)
	kill(t, r.main, syscall.SIGCONT)
	s[0].expect(t, "{child_crashed,{signal,sigkill}}", `{receive {'EXIT', W, Why} -> Why after 120000 -> none end,
		receive {erluv, E, {child_down, How, 60000}} -> How after 120000 -> none end}`)
	if !until(startTime, func() bool {
		for line := range strings.Lines(e.stderr.String()) {
			if strings.Contains(line, "cannot go on with its connection") && strings.Contains(line, "target="+nodes[1].name) {
				return true
			}
		}
		return false
	}) {
		t.Error("main does not say which connection it has not taken over")
	}
	s[0].expect(t, "true", "begin {erluv_main, E} ! respawn, receive {erluv, E, {child_up, Child}} -> Child =:= e2e:call(E, {info, child_os_pid}) after 120000 -> none end end")
	s[0].expect(t, "{true,none}", "{lists:member(E, nodes(hidden)), receive Other -> Other after 0 -> none end}")
}

// One of several connections is lost. erluv makes it again, while the other connections serve.
func TestNodesReconnect(t *testing.T) {
	e, _, s := serving(t, 2, "--serve", "all")
	for _, s := range s {
		e.isUp(t, s)
	}
	s[0].eval(t, `W = e2e:start(E, ["cat"]), ok`)
	before := e.roles(t)
	s[1].eval(t, "erlang:disconnect_node(E)")
	s[1].expect(t, "{nodedown,up}", "{receive {nodedown, E} -> nodedown after 120000 -> none end, receive {erluv, E, {up, _}} -> up after 120000 -> none end}")
	s[0].expect(t, `<<"x">>`, `ok = e2e:call(W, {write, <<"x">>}), receive {W, {stdout, Said}} -> Said after 120000 -> none end`)
	s[0].expect(t, "none", "receive Other -> Other after 0 -> none end")
	if after := e.roles(t); after != before {
		t.Errorf("the roles are %+v, they were %+v", after, before)
	}
}

// info has each connection, and each absent node with the reason.
func TestNodesInInfo(t *testing.T) {
	e, nodes, s := serving(t, 2, "--serve", "all", "--reconnect", "always")
	for _, s := range s {
		e.isUp(t, s)
	}
	s[1].eval(t, `W = e2e:start(E, ["cat"]), M = monitor(process, W), ok`)
	want := fmt.Sprintf("[{'%s',connected,dialled,tcp,1,0},{'%s',connected,dialled,tcp,2,1}]", nodes[0].name, nodes[1].name)
	// The call itself counts as a monitor.
	s[0].expect(t, want, `[{N, S, D, T, L + M, W} || #{node := N, state := S, direction := D, transport := T, links := L, monitors := M,
		workers := W} <- lists:sort(e2e:call(E, {info, connections}))]`)
	s[0].expect(t, "true", "Now = os:system_time(millisecond), [] =:= [C || #{since := T} = C <- e2e:call(E, {info, connections}), T > Now orelse T < Now - 3600000]")
	nodes[1].killed = true
	kill(t, nodes[1].cmd.Process.Pid, syscall.SIGKILL)
	s[0].expect(t, "ok", fmt.Sprintf(`e2e:until(fun() ->
		case lists:keysort(1, [{maps:get(node, C), maps:get(state, C), maps:get(error, C, none)} || C <- e2e:call(E, {info, connections})]) of
			[{'%s', connected, none}, {'%s', waiting, Why}] -> binary:match(Why, <<"cannot">>) =/= nomatch;
			_ -> false
		end end)`, nodes[0].name, nodes[1].name))
}

// serve = first: erluv serves one node. When it goes, erluv serves the next one, and the log names
// the lost one.
func TestNodesFirst(t *testing.T) {
	e, nodes, s := serving(t, 3)
	e.isUp(t, s[0])
	s[0].eval(t, `W = e2e:start(E, ["sleep", "1000"]), ok`)
	for i := range 2 {
		nodes[i].killed = true
		began := time.Now()
		kill(t, nodes[i].cmd.Process.Pid, syscall.SIGKILL)
		e.isUp(t, s[i+1])
		t.Logf("the next node is served after %v", time.Since(began))
		e.wrote(t, "lost="+nodes[i].name)
	}
	s[2].expect(t, "[]", "e2e:call(E, workers)")
}

// serve = all: each absent node has a back-off of its own, which is reset when the node connects.
func TestNodesBackOff(t *testing.T) {
	e, nodes, s := serving(t, 3, "--serve", "all")
	for _, s := range s {
		e.isUp(t, s)
	}
	// pauses returns how long erluv has waited before each further attempt to reach a node.
	pauses := func(n *node) (list []time.Duration) {
		line := regexp.MustCompile(`msg="trying again" in=(\S+) .* target=` + regexp.QuoteMeta(n.name) + "(?:\n| )")
		for _, found := range line.FindAllStringSubmatch(e.stderr.String(), -1) {
			d, err := time.ParseDuration(found[1])
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, d)
		}
		return list
	}
	const first = 100 * time.Millisecond // each further pause may be twice as long
	for i, n := range nodes[:2] {
		n.killed = true
		kill(t, n.cmd.Process.Pid, syscall.SIGKILL)
		if !until(startTime, func() bool { p := pauses(n); return len(p) > 0 && slices.Max(p) > 2*first }) {
			t.Fatalf("the pauses of node %d do not grow: %v", i, pauses(n))
		}
		for k, d := range pauses(n) {
			if most := min(first<<min(k, 20), 30*time.Second); d > most {
				t.Errorf("pause %d of node %d is %v, more than %v", k, i, d, most)
			}
		}
	}
	s[2].expect(t, "true", "is_map(e2e:call(E, info))")
}

// A node that reads nothing does not slow messages to another one.
func TestNodesSlow(t *testing.T) {
	e, nodes, s := serving(t, 2, "--serve", "all")
	for _, s := range s {
		e.isUp(t, s)
	}
	s[1].eval(t, `F = e2e:start(E, ["cat", "/dev/zero"], #{flow => {active, true}}), ok`)
	kill(t, nodes[1].cmd.Process.Pid, syscall.SIGSTOP)
	defer kill(t, nodes[1].cmd.Process.Pid, syscall.SIGCONT)
	// The other node is stopped all the while, so without independence this would wait for ever.
	s[0].expect(t, "100000000", `
		begin
			W = e2e:start(E, ["head", "-c", "100000000", "/dev/zero"]),
			{Out, _, {exit_status, 0}, _} = e2e:outcome(W),
			byte_size(Out)
		end`)
	s[0].expect(t, "[{exit_status,3}]", `lists:usort([begin
			V = e2e:start(E, ["sh", "-c", "exit 3"]),
			receive {'EXIT', V, Why} -> Why after 120000 -> none end
		end || _ <- lists:seq(1, 100)])`)
}

// Nodes come and go in the file that discover names. An existing connection stays until it ends,
// and is not made again.
//
//erluv:users
func TestNodesDiscover(t *testing.T) {
	nodes := []*node{newNode(t, nodeOptions{}), newNode(t, nodeOptions{})}
	file := filepath.Join(nodes[0].home, "nodes")
	names := func(nodes ...*node) {
		t.Helper()
		text := "# who is served\n"
		for _, n := range nodes {
			text += n.name + "\n"
		}
		// The new file replaces the old one at once.
		if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o644), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	names(nodes[0])
	name := fmt.Sprintf("e%d", serial.Add(1))
	e, err := nodes[0].run(nil, "run", "--discover", "file:"+file, "--discover-interval", "50ms", "--serve", "all",
		"--name", name, "--host", "127.0.0.1", nodes[0].cookieFile())
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
	hidden := func(n *node, want string) {
		t.Helper()
		n.expect(t, want, e.binds().String()+"e2e:until(fun() -> (nodes(hidden) =:= [E]) =:= "+map[string]string{"ok": "true", "gone": "false"}[want]+" end), "+want)
	}
	hidden(nodes[0], "ok")
	nodes[1].expect(t, "[]", "nodes(hidden)")
	names(nodes...)
	hidden(nodes[1], "ok")
	third := newNode(t, nodeOptions{})
	names(nodes[1], third)
	hidden(third, "ok") // so it has been read again
	hidden(nodes[0], "ok")
	nodes[0].eval(t, e.binds().String()+"erlang:disconnect_node(E)")
	hidden(nodes[0], "gone")
	time.Sleep(time.Second) // the first attempts would come within 0.1 and 0.3
	nodes[0].expect(t, "[]", "nodes(hidden)")
	hidden(nodes[1], "ok")
	names(nodes...)
	hidden(nodes[0], "ok")
}

// A node whose name contains its port is dialled without EPMD. ping reports which of several are
// up.
func TestPortFromName(t *testing.T) {
	listen := freePort(t)
	n := newNode(t, nodeOptions{name: "remote_" + listen, args: []string{
		"-kernel", "inet_dist_listen_min", listen, "-kernel", "inet_dist_listen_max", listen,
	}})
	other := newNode(t, nodeOptions{})
	flags := []string{"--port-from-name", "remote_%d", "--epmd-port", "1"}
	e := newErluv(t, n, flags...)
	e.expect(t, "pong", "net_adm:ping(E)")
	ping := func(flags ...string) (string, string) {
		t.Helper()
		var out, errs strings.Builder
		c := exec.Command(executable, append([]string{"ping", "--host", "127.0.0.1", n.cookieFile(), "--port-from-name", "remote_%d"}, flags...)...)
		c.Env, c.Dir, c.Stdout, c.Stderr = n.env, n.home, &out, &errs
		c.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		_ = c.Run()
		return out.String(), errs.String()
	}
	both := n.name + "," + other.name
	for _, test := range []struct {
		flags     []string
		out, errs string
	}{
		{[]string{"--node", n.name}, "pong\n", ""},
		{[]string{"--nodes", both}, "pong " + n.name + "\n", ""},
		{[]string{"--nodes", both, "--serve", "all"}, "pong " + n.name + "\npong " + other.name + "\n", ""},
		{[]string{"--nodes", both, "--serve", "all", "--epmd-port", "1"}, "pong " + n.name + "\n", "EPMD"},
	} {
		out, errs := ping(test.flags...)
		if out != test.out || (errs == "") != (test.errs == "") || !strings.Contains(errs, test.errs) {
			t.Errorf("%v: %q, %q", test.flags, out, errs)
		}
	}
}

// on_disconnect = keep: a detached worker outlives the node of its owner. A process of the next
// node takes it over, with all output since. The same child serves. After lost_after the worker
// ends.
func TestNodesKeep(t *testing.T) {
	e, nodes, s := serving(t, 2, "--on-disconnect", "keep", "--lost-after", "1h")
	e.isUp(t, s[0])
	before := e.roles(t)
	s[0].eval(t, `begin
		W = e2e:start(E, "read go; head -c 1000000 /dev/zero; exit 3", #{detached => true, name => kept}),
		V = e2e:start(E, ["sleep", "1000"], #{link => false}), ok end`)
	nodes[0].killed = true
	kill(t, nodes[0].cmd.Process.Pid, syscall.SIGKILL)
	e.isUp(t, s[1])
	s[1].eval(t, `W = begin ok = e2e:until(fun() -> length(e2e:call(E, workers)) =:= 1 end), [{P, _}] = e2e:call(E, workers), P end, ok`)
	s[1].expect(t, "{none,3600000,ok}", `begin
		#{owner := Owner, lost := #{since := Since, until := Until}} = gen_server:call({kept, E}, info),
		{Owner, Until - Since, gen_server:call({kept, E}, {write, <<"go\n">>})} end`)
	s[1].eval(t, "{kept, E} ! {self(), {connect, self()}}, receive {W, connected} -> ok end")
	s[1].expect(t, "{1000000,{exit_status,3}}", `begin
		(fun Take(N) -> receive
			{W, {stdout, B}} when is_binary(B) -> Take(N + byte_size(B));
			{W, {exit_status, _} = X} -> {N, X}
		after 120000 -> {N, none} end end)(0) end`)
	s[1].expect(t, fmt.Sprint(before.child), "e2e:call(E, {info, child_os_pid})")
}

// A worker that is not taken over ends. All workers end when the child dies while no node is
// connected.
func TestNodesKeepNoLonger(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n, "--on-disconnect", "keep", "--lost-after", "500ms")
	mark := newMark()
	start := `W_ = e2e:start(E, ["sleep", "1000"], #{detached => true, env => #{"CHAOS" => "` + mark + `"}}), ok`
	// If erluv connects before it notices the child's end, it waits for a request to start another.
	again := func() {
		t.Helper()
		n.expect(t, "ok", e.binds().String()+"e2e:until(fun() -> {erluv_main, E} ! respawn, catch e2e:call(E, {info, workers}) =:= 0 end)")
	}
	n.eval(t, e.binds().String()+round(0, start))
	n.eval(t, e.binds().String()+"erlang:disconnect_node(E)")
	again()
	orphans(t, mark)
	n.eval(t, e.binds().String()+round(1, start))
	child := e.roles(t).child
	kill(t, e.cmd.Process.Pid, syscall.SIGSTOP) // it does not connect again meanwhile
	n.eval(t, e.binds().String()+"erlang:disconnect_node(E)")
	kill(t, child, syscall.SIGKILL)
	kill(t, e.cmd.Process.Pid, syscall.SIGCONT)
	again()
	orphans(t, mark)
	if after := e.roles(t); after.child == child {
		t.Error("it is the same child")
	}
}
