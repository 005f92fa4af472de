package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/wire/dist"
	"erluv/wire/dist/disttest"
	mapper "erluv/wire/epmd"
	"erluv/wire/etf"
)

// listening starts an erluv that nodes connect to, with the environment of a node. It dials no node
// unless args name one.
func listening(t *testing.T, n *node, args ...string) *erluv {
	t.Helper()
	e := listens(t, n, args...)
	alive, _, _ := strings.Cut(e.erluv, "@")
	if !until(startTime, func() bool {
		_, err := mapper.Lookup(limited(t, startTime), epmd.String(), alive)
		return err == nil || !e.running()
	}) || !e.running() {
		t.Fatalf("EPMD has no %s; erluv wrote:\n%s", alive, e.stderr.String())
	}
	return e
}

// listens starts it and does not wait.
func listens(t *testing.T, n *node, args ...string) *erluv {
	t.Helper()
	_, host, _ := strings.Cut(n.name, "@")
	name := fmt.Sprintf("e%d", serial.Add(1))
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--listen") }) {
		args = append(args, "--listen=local")
	}
	e, err := n.run(nil, append([]string{"run", "--name", name, "--host", host, n.cookieFile()}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "@" + host
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	return e
}

// port returns the port that EPMD has for erluv.
func (e *erluv) port(t *testing.T) int {
	t.Helper()
	alive, _, _ := strings.Cut(e.erluv, "@")
	n, err := mapper.Lookup(limited(t, startTime), epmd.String(), alive)
	if err != nil {
		t.Fatal(err)
	}
	return int(n.Port)
}

// wrote waits until erluv has written a text.
func (e *erluv) wrote(t *testing.T, text string) {
	t.Helper()
	if !until(startTime, func() bool { return strings.Contains(e.stderr.String(), text) }) {
		t.Fatalf("erluv does not write %q; it wrote:\n%s", text, e.stderr.String())
	}
}

// A worker's pid works on any node of the cluster like any pid. Messages, calls, links and monitors
// make the connection, even from nodes that do not know erluv. When such a node ends, only its own
// workers end.
//
//erluv:releases
//erluv:users
func TestListen(t *testing.T) {
	a, b := newNode(t, nodeOptions{}), newNode(t, nodeOptions{})
	e := listening(t, a)
	e.wrote(t, "waiting for nodes")
	sa, sb := e.session(t), b.session(t)
	sb.eval(t, e.binds().String()+"process_flag(trap_exit, true), ok")
	sa.expect(t, "pong", "net_adm:ping(E)")
	sa.expect(t, "{true,false}", "{lists:member(E, nodes(hidden)), lists:member(E, nodes())}")
	sa.eval(t, `W = e2e:start(E, ["cat"]), ok`)
	handOver(t, sa, sb, "W", "W")
	sb.expect(t, "[]", "nodes(hidden)")
	sb.expect(t, "true", "is_map(gen_server:call(W, info))")
	sb.expect(t, "true", "nodes(hidden) =:= [E]")
	sb.expect(t, "true", "W =:= hd([P || {P, _} <- e2e:call(E, workers)])")
	sb.eval(t, `V = e2e:start(E, ["sleep", "1000"]), M = monitor(process, W), ok`)
	sb.expect(t, "ok", `e2e:call(W, {write, <<"from b">>})`)
	sa.expect(t, `<<"from b">>`, "receive {W, {stdout, Said}} -> Said after 120000 -> none end")
	// A third node begins with a message, a link, or a monitor of a name.
	for word, want := range map[string]string{
		`W ! {self(), {command, <<"x">>}}, e2e:call(W, {write, <<>>})`:                                        "ok",
		`link(W), receive {'EXIT', W, R} -> R after 300 -> linked end`:                                        "linked",
		`monitor(process, {erluv, E}), receive {'DOWN', _, _, _, R} -> R after 300 -> ok end`:                 "ok",
		`gen_server:call({erluv, E}, {run, ["echo", "c"], []})`:                                               `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<"c\n">>}}`,
		`catch gen_server:call(list_to_pid("<0.1.0>"), x, 1), rpc:call(E, erlang, node, []), net_adm:ping(E)`: "pong",
	} {
		c := newNode(t, nodeOptions{})
		sc := c.session(t)
		sc.eval(t, e.binds().String()+"process_flag(trap_exit, true), ok")
		handOver(t, sa, sc, "W", "W")
		sc.expect(t, want, word)
		sc.expect(t, "ok", "e2e:until(fun() -> nodes(hidden) =:= [E] end)")
	}
	// B ends: its own workers end, and nothing else.
	b.killed = true
	kill(t, b.cmd.Process.Pid, syscall.SIGKILL)
	sa.expect(t, "ok", "e2e:until(fun() -> [P || {P, _} <- e2e:call(E, workers)] =:= [W] end)")
	sa.expect(t, `{ok,<<"still">>}`, `begin (fun F() -> receive {W, {stdout, _}} -> F() after 0 -> ok end end)(),
		{e2e:call(W, {write, <<"still">>}), receive {W, {stdout, Said2}} -> Said2 after 120000 -> none end} end`)
	e.wrote(t, "node gone")
	// The last node goes: erluv stays, without workers, and serves the next node that comes.
	child := e.roles(t).child
	sa.eval(t, "erlang:disconnect_node(E)")
	c := newNode(t, nodeOptions{})
	c.expect(t, fmt.Sprintf("{[],%d}", child), e.binds().String()+"{e2e:call(E, workers), e2e:call(E, {info, child_os_pid})}")
}

// TestListenShortNames: short names work, and so does a random name, which lasts for one run.
func TestListenShortNames(t *testing.T) {
	n := newNode(t, nodeOptions{short: true})
	e := listening(t, n)
	e.expect(t, "pong", "net_adm:ping(E)")

	prefix := fmt.Sprintf("r%d_", serial.Add(1))
	r, err := n.run(nil, "run", "--listen", "local", "--prefix", prefix, n.cookieFile())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "a random name is registered", func() bool {
		names, err := mapper.Names(limited(t, startTime), epmd.String())
		for _, known := range names {
			if strings.HasPrefix(known.Name, prefix) {
				r.erluv = known.Name + "@localhost"
			}
		}
		return err == nil && r.erluv != ""
	})
	r.expect(t, "pong", "net_adm:ping(E)")
}

// Some nodes are refused and get a reason. Other nodes do not notice.
//
//erluv:releases
//erluv:users
func TestListenRefuses(t *testing.T) {
	n := newNode(t, nodeOptions{name: fmt.Sprintf("good%d", serial.Add(1))})
	e := listening(t, n, "--allow-nodes", "good*@127.0.0.1")
	e.expect(t, "pong", "net_adm:ping(E)")
	bad := newNode(t, nodeOptions{})
	bad.expect(t, "{pang,[]}", e.binds().String()+"{net_adm:ping(E), nodes(hidden)}")
	e.wrote(t, `wants to connect and was answered not_allowed: allow_nodes has no such name`)
	other := newNode(t, nodeOptions{name: fmt.Sprintf("good%d", serial.Add(1)), cookie: "another"})
	other.expect(t, "{pang,[]}", e.binds().String()+"{net_adm:ping(E), nodes(hidden)}")
	e.wrote(t, "the cookies differ")
	if strings.Contains(e.stderr.String(), cookie) {
		t.Error("erluv writes the cookie")
	}
	e.expect(t, "pong", "net_adm:ping(E)")
}

// Without EPMD, erluv still listens for nodes that know its port. It takes the first free port of a
// range.
//
//erluv:releases
func TestListenWithoutEPMD(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port + 1
	listen := fmt.Sprintf("127.0.0.1:%d-%d", port-1, port+5)
	n := newNode(t, nodeOptions{})
	e := listens(t, n, "--epmd-port", freePort(t), "--listen", listen)
	e.wrote(t, "nodes find this one only if they know its port")
	e.wrote(t, "waiting for nodes")
	at := -1
	for p := port; p <= port+5 && at < 0; p++ {
		if strings.Contains(e.stderr.String(), fmt.Sprintf("at=127.0.0.1:%d\n", p)) {
			at = p
		}
	}
	if at < 0 {
		t.Fatalf("it listens elsewhere:\n%s", e.stderr.String())
	}
	c := newNode(t, nodeOptions{args: []string{"-erl_epmd_port", strconv.Itoa(at), "-dist_listen", "false"}})
	c.expect(t, "pong", e.binds().String()+"net_adm:ping(E)")
}

// EPMD ends and comes back. erluv registers again, and connected nodes do not notice.
func TestListenEPMDComesBack(t *testing.T) {
	port := freePort(t)
	start := func() (stop func()) {
		t.Helper()
		cmd := exec.Command(beside("epmd"), "-port", port, "-address", "127.0.0.1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: credential}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	n := newNode(t, nodeOptions{})
	e := listens(t, n, "--epmd-port", port)
	known := func() bool {
		alive, _, _ := strings.Cut(e.erluv, "@")
		_, err := mapper.Lookup(limited(t, startTime), net.JoinHostPort("127.0.0.1", port), alive)
		return err == nil
	}
	e.wrote(t, "waiting for nodes")
	for range 3 {
		stop := start()
		eventually(t, "it is registered", known)
		stop()
	}
	stop := start()
	defer stop()
	eventually(t, "it is registered again", known)
}

// If a name or a port is in use, erluv says so and ends. erluv config says so beforehand.
//
//erluv:users
func TestListenTaken(t *testing.T) {
	n := newNode(t, nodeOptions{})
	alive, _, _ := strings.Cut(n.name, "@")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for want, flags := range map[string][]string{
		"has a node of that name, at port":    {"--listen=local", "--name=" + alive},
		"the port is taken":                   {"--listen=" + l.Addr().String()},
		"is no address of this machine":       {"--listen=192.0.2.1:9100"},
		"the host nowhere.invalid is not kno": {"--listen=nowhere.invalid"},
	} {
		for _, command := range []string{"run", "config"} {
			var errs strings.Builder
			c := exec.Command(executable, append([]string{command, "--host=127.0.0.1", n.cookieFile()}, flags...)...)
			c.Env, c.Dir, c.Stderr = n.env, n.home, &errs
			c.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
			err := c.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) != (command == "run") || command == "run" && exit.ExitCode() != 1 || !strings.Contains(errs.String(), want) {
				t.Errorf("%s %v: %v, %q; want %q", command, flags, err, errs.String(), want)
			}
		}
	}
}

// A node and erluv dial each other at once, again and again. In the end there is one connection,
// and it works, whichever side made it.
//
//erluv:releases
func TestListenSimultaneous(t *testing.T) {
	for _, alive := range []string{"aaa", "zzz"} { // erluv's own name is between them
		n := newNode(t, nodeOptions{name: fmt.Sprintf("%s%d", alive, serial.Add(1))})
		e := listening(t, n, "--node", n.name, "--reconnect", "always")
		for range 20 {
			e.expect(t, "ok", `begin
				erlang:disconnect_node(E),
				[spawn(fun() -> net_kernel:connect_node(E) end) || _ <- lists:seq(1, 3)],
				e2e:until(fun() -> pong =:= net_adm:ping(E) end)
			end`)
		}
		e.expect(t, "ok", `e2e:until(fun() -> nodes(hidden) =:= [E] andalso is_list(catch e2e:call(E, workers)) end)`)
		if !e.running() {
			t.Errorf("erluv has ended: %v", e.err)
		}
	}
}

// A dialled node restarts and connects by itself. erluv serves that connection and does not dial
// beside it.
func TestListenToADialledNode(t *testing.T) {
	name := fmt.Sprintf("n%d", serial.Add(1))
	n := newNode(t, nodeOptions{name: name})
	other := newNode(t, nodeOptions{})
	e := listening(t, other, "--nodes", n.name+","+other.name, "--serve", "all")
	e.expect(t, "ok", "e2e:until(fun() -> nodes(hidden) =:= [E] end)")
	n.expect(t, "ok", e.binds().String()+"e2e:until(fun() -> nodes(hidden) =:= [E] end)")
	n.killed = true
	kill(t, n.cmd.Process.Pid, syscall.SIGKILL)
	<-n.done
	again := newNode(t, nodeOptions{name: name})
	again.expect(t, "pong", e.binds().String()+"net_adm:ping(E)")
	again.expect(t, "{ok,[]}", e.binds().String()+"{e2e:until(fun() -> nodes(hidden) =:= [E] end), e2e:call(E, workers)}")
	other.expect(t, "[]", e.binds().String()+"e2e:call(E, workers)")
}

// A node connects once more, because its first connection is dead for it. erluv serves the new one
// as soon as it has proved the cookie. A peer that only uses that name ends nothing.
func TestListenAgain(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := listening(t, n)
	first := visits(t, e, "again")
	first.works(t)
	for _, c := range []disttest.Caller{
		{Name: "again@127.0.0.1", Cookie: "another", Challenge: 1},
		{Name: "again@127.0.0.1", Cookie: cookie, Challenge: 1, Answer: "false"},
	} {
		conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", e.port(t)))
		if err != nil {
			t.Fatal(err)
		}
		host, _ := c.Connect(conn)
		if host.Status != dist.StatusAlive {
			t.Errorf("it is answered %q", host.Status)
		}
		conn.Close()
	}
	first.works(t)
	for range 5 {
		second := visits(t, e, "again")
		second.works(t)
		select {
		case <-first.done:
		case <-time.After(startTime):
			t.Fatal("the old connection is still there")
		}
		first = second
	}
	e.expect(t, "true", "is_list(e2e:call(E, workers))")
}

// The child dies under nodes that have connected by themselves, and a dialled one. Each node gets
// the report, no connection is lost, and the next child serves them.
//
//erluv:releases
//erluv:users
func TestListenCrash(t *testing.T) {
	const count = 4
	var nodes []*node
	var s []session
	controller := fmt.Sprintf("c%d", serial.Add(1))
	for range count {
		n := newNode(t, nodeOptions{})
		nodes = append(nodes, n)
		s = append(s, n.session(t))
		s[len(s)-1].eval(t, `process_flag(trap_exit, true), Session = self(), spawn(fun() ->
			true = register(`+controller+`, self()), Session ! registered,
			(fun Forward() -> receive Event -> Session ! Event, Forward() end end)() end),
			receive registered -> ok end`)
	}
	e := listening(t, nodes[0], "--node", nodes[0].name, "--controller", controller, "--die-timeout", "60s")
	for i, s := range s {
		s.eval(t, e.binds().String()+"ok")
		if i > 0 {
			s.expect(t, "pong", "net_adm:ping(E)")
		}
		e.isUp(t, s)
	}
	for n := range 3 {
		crash(t, e, s, n)
		// A node that comes while there is no child gets child_down, and the next child serves it.
		late := newNode(t, nodeOptions{}).session(t)
		late.expect(t, "{error,child_down}", e.binds().String()+"e2e:call(E, info)")
		s[n+1].eval(t, "{erluv_main, E} ! respawn")
		for _, s := range s {
			s.expect(t, "true", round(n, `
				Child_ = receive {erluv, E, {child_up, C_ }} -> C_ after 120000 -> none end,
				Child_ =:= e2e:call(E, {info, child_os_pid})`))
		}
		late.expect(t, "true", "is_map(e2e:call(E, info))")
	}
	for _, s := range s {
		s.expect(t, "{true,none}", "{lists:member(E, nodes(hidden)), receive Other -> Other after 0 -> none end}")
	}
}

// A node cannot harm what belongs to another node. It cannot speak for its processes or take part
// in its links and monitors. It cannot block it by many requests whose answers it does not read.
// The protocol does let any connected node stop any worker.
func TestListenOfOthers(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := listening(t, n)
	s := e.session(t)
	s.eval(t, `process_flag(trap_exit, true), W = e2e:start(E, ["cat"]), M = monitor(process, W), ok`)
	pidOf := func(source string) etf.Pid {
		t.Helper()
		text := s.eval(t, "binary_to_list(binary:encode_hex(term_to_binary("+source+")))")
		raw, err := hex.DecodeString(strings.Trim(text, `"`))
		if err != nil {
			t.Fatal(err)
		}
		term, err := etf.Decode(raw[1:])
		pid, ok := term.(etf.Pid)
		if err != nil || !ok {
			t.Fatalf("%v, %v", term, err)
		}
		return pid
	}
	owner, w := pidOf("self()"), pidOf("W")
	p := visits(t, e, "other")
	ref := p.ref()
	control := func(op dist.Op, parts ...etf.Term) []byte {
		b, err := etf.AppendTerm(nil, append(etf.Tuple{int64(op)}, parts...))
		if err != nil {
			t.Fatal(err)
		}
		return append(binary.BigEndian.AppendUint32(nil, uint32(2+len(b))), append([]byte{112, 131}, b...)...)
	}
	boom := etf.Atom("boom")
	for name, frame := range map[string][]byte{
		"link":         control(dist.Link, owner, w),
		"exit":         control(dist.Exit, owner, w, boom),
		"unlink":       control(dist.Unlink, owner, w),
		"unlink_id":    control(dist.UnlinkID, int64(7), owner, w),
		"monitor":      control(dist.MonitorP, owner, w, ref),
		"demonitor":    control(dist.DemonitorP, owner, w, ref),
		"owner's down": control(dist.MonitorPExit, owner, w, ref, boom),
		"own exit":     control(dist.Exit, p.self, w, boom), // without a link
		"own unlink":   control(dist.UnlinkID, int64(8), p.self, w),
		"manager":      control(dist.Exit2, p.self, etf.Pid{Node: p.name, ID: 0, Creation: w.Creation}, boom),
		"our own name": control(dist.Exit, w, w, boom),
	} {
		p.send(t, frame)
		p.sync(t)
		if got := s.eval(t, `{is_map(e2e:call(W, info)), receive Other -> Other after 0 -> none end}`); got != "{true,none}" {
			t.Fatalf("after %s: %s", name, got)
		}
	}
	// The node floods erluv with requests, has a program write without end, and reads nothing.
	ending := &peer{erluv: e, conn: visitsMutely(t, e, "ending"), self: etf.Pid{Node: "ending@127.0.0.1", ID: 1, Creation: 77}}
	ending.caller = ending.self
	for range 200 {
		ending.send(t, ending.regSend(t, ending.caller, "erluv", call(ending.caller, ending.ref(), etf.Tuple{
			etf.Atom("run"), etf.List{etf.Binary("head"), etf.Binary("-c"), etf.Binary("10000000"), etf.Binary("/dev/zero")}, etf.Map{},
		})))
	}
	flood := ending.regSend(t, ending.caller, "erluv", call(ending.caller, ending.ref(), etf.Atom("info")))
	flooding := make(chan struct{})
	go func() { // ends with the connection
		defer close(flooding)
		for {
			if _, err := ending.conn.Write(flood); err != nil {
				return
			}
		}
	}()
	worst := time.Duration(0)
	for range 100 {
		asked := time.Now()
		s.expect(t, "{ok,ok}", `{e2e:call(W, {write, <<"x">>}), e2e:said(W, stdout, <<"x">>)}`)
		worst = max(worst, time.Since(asked))
	}
	t.Logf("beside a flood an echo took %v at most", worst)
	// The node goes: only its own workers end.
	ending.conn.Close()
	<-flooding
	s.expect(t, "ok", "e2e:until(fun() -> [P || {P, _} <- e2e:call(E, workers)] =:= [W] end)")
	s.expect(t, "none", "receive Other -> Other after 0 -> none end")
	// The protocol allows this.
	p.send(t, control(dist.Exit2, p.self, w, etf.Atom("kill")))
	s.expect(t, "{killed,killed}", `{receive {'EXIT', W, R1} -> R1 after 120000 -> none end,
		receive {'DOWN', M, process, W, R2} -> R2 after 120000 -> none end}`)
}
