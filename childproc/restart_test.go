package childproc

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"erluv/childproc/order"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

func TestRestartDelays(t *testing.T) {
	all := func(d time.Duration) time.Duration { return d }
	r := restart{Restart: order.Restart{When: order.Permanent, Most: 4, Window: 10 * time.Second, From: time.Second, To: 3 * time.Second}}
	now := time.Duration(0)
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		if d, ok := r.next(now, 0, all); d != want || !ok {
			t.Fatalf("restart %d: %v, %v", i+1, d, ok)
		}
		now += time.Second
	}
	if _, ok := r.next(now, 0, all); ok {
		t.Fatal("a fifth restart within the window")
	}
	// The first restart leaves the window. The delay is still the longest.
	if d, ok := r.next(10*time.Second+1, 9*time.Second, all); d != 3*time.Second || !ok {
		t.Fatalf("after the window: %v, %v", d, ok)
	}
	// A program that ran for the whole window starts with the first delay again.
	if d, ok := r.next(40*time.Second, 10*time.Second, all); d != time.Second || !ok {
		t.Fatalf("after a stable run: %v, %v", d, ok)
	}
	if r.count != 6 {
		t.Errorf("%d restarts were counted", r.count)
	}
	for range 100 {
		if d := jitter(time.Second); d < 0 || d > time.Second {
			t.Fatalf("a jitter of %v", d)
		}
	}
	none := restart{Restart: order.Restart{When: order.Permanent, Most: 0, Window: time.Second}}
	if _, ok := none.next(0, 0, all); ok {
		t.Error("a restart although none is allowed")
	}
}

func TestRestartWanted(t *testing.T) {
	for _, tt := range []struct {
		when   order.When
		failed bool
		want   bool
	}{
		{order.Temporary, true, false},
		{order.Temporary, false, false},
		{order.Transient, true, true},
		{order.Transient, false, false},
		{order.Permanent, true, true},
		{order.Permanent, false, true},
	} {
		if r := (&restart{Restart: order.Restart{When: tt.when}}); r.wanted(tt.failed) != tt.want {
			t.Errorf("%v after failed=%v: %v", tt.when, tt.failed, !tt.want)
		}
	}
}

func restarting(when string, most int64) []etf.Pair {
	return []etf.Pair{
		opt("restart", etf.Atom(when)),
		opt("max_restarts", etf.Tuple{most, int64(60000)}),
		opt("backoff", etf.Tuple{int64(1), int64(5)}),
	}
}

// events reads messages of a worker up to the wanted one, without eof and output.
func (n *node) events(w etf.Pid, last etf.Atom) (kinds []etf.Atom) {
	n.t.Helper()
	for {
		m := n.recv()
		if m.Op != dist.Send {
			continue
		}
		v, err := etf.Decode(m.Payload)
		must(n.t, err)
		tu := v.(etf.Tuple)
		ev, ok := tu[1].(etf.Tuple)
		if !ok || tu[0] != w || ev[0] == etf.Atom("stdout") || ev[0] == etf.Atom("stderr") {
			continue
		}
		kinds = append(kinds, ev[0].(etf.Atom))
		if ev[0] == last {
			return kinds
		}
	}
}

func TestRestartUntilTooOften(t *testing.T) {
	n := startChild(t, nil)
	// Each run ends when it is stopped, and not before the worker is monitored.
	w := n.spawn([]string{"sh", "-c", "read x; exit 1"}, restarting("permanent", 2)...)
	ref := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, 1, 2, 3))
	n.write(dist.AppendMonitor(nil, n.self, w, ref))
	end := func() { n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("\n")}}) }
	end()
	exits, restarts := 0, 0
	for {
		m := n.recv()
		if m.Op == dist.PayloadMonitorPExit {
			if string(m.Reason) != string(reasonIntensity) {
				t.Errorf("the worker ended with %x", m.Reason)
			}
			break
		}
		if m.Op != dist.Send {
			continue
		}
		v, err := etf.Decode(m.Payload)
		must(t, err)
		ev := v.(etf.Tuple)[1].(etf.Tuple)
		switch ev[0] {
		case etf.Atom("exit_status"):
			exits++
		case etf.Atom("restarted"):
			restarts++
			if ev[2] != int64(restarts) {
				t.Errorf("restart %d is told as %v", restarts, ev)
			}
			end()
		}
	}
	if exits != 3 || restarts != 2 {
		t.Errorf("%d exits and %d restarts", exits, restarts)
	}
}

func TestTransientEndsWithSuccess(t *testing.T) {
	n := startChild(t, nil)
	dir := t.TempDir()
	// It fails the first time.
	w := n.spawn([]string{"sh", "-c", "test -e " + dir + "/there && exit 0; touch " + dir + "/there; exit 1"}, restarting("transient", 5)...)
	got := n.events(w, "restarted")
	got = append(got, n.events(w, "exit_status")...)
	want := []etf.Atom{"exit_status", "restarted", "exit_status"}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("what was told: %v", got)
		}
	}
	if m := n.recv(); m.Op != dist.DemonitorP {
		t.Errorf("instead of the worker's end: %s", show(m))
	}
}

// TestStopWins checks that a worker which is paused before a restart is stopped like any other, and
// not restarted.
func TestStopWins(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"false"}, opt("restart", etf.Atom("permanent")),
		opt("backoff", etf.Tuple{int64(60000), int64(60000)}), opt("name", etf.Atom("rested")))
	n.events(w, "exit_status")
	same(t, n.workerCall(w, etf.Tuple{etf.Atom("write"), etf.Binary("x")}), gen.Error(etf.Atom("epipe")))
	same(t, n.workerCall(w, atoms("signal", "sigterm")), gen.Error(etf.Atom("esrch")))
	same(t, n.answer(n.ask(func(m etf.Term) { n.toName("rested", m) }, etf.Atom("stop"))),
		gen.OK(etf.Tuple{etf.Atom("exit_status"), int64(1)}))
	if len(n.call(etf.Atom("workers")).(etf.List)) != 0 {
		t.Error("it is still there")
	}
}

func TestTimeouts(t *testing.T) {
	n := startChild(t, nil)
	for name, tt := range map[string]struct {
		cmd string
		opt etf.Pair
	}{
		"run":  {"while :; do echo on; sleep 0.01; done", opt("timeout", int64(100))},
		"idle": {"for i in 1 2 3 4 5 6 7 8 9 10; do echo on; sleep 0.02; done; sleep 1000", opt("idle_timeout", int64(150))},
	} {
		w := n.spawn([]string{"sh", "-c", tt.cmd}, tt.opt)
		ref := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, 1, 2, 3))
		n.write(dist.AppendMonitor(nil, n.self, w, ref))
		output := 0
		for {
			m := n.recv()
			if m.Op == dist.PayloadMonitorPExit {
				if string(m.Reason) != string(gen.Timeout) {
					t.Errorf("%s: the worker ended with %x", name, m.Reason)
				}
				break
			}
			if m.Op == dist.Send {
				output++
			}
		}
		if output < 3 {
			t.Errorf("%s: it ended after %d messages", name, output)
		}
	}
	tag := n.ask(func(m etf.Term) { n.toName("erluv", m) },
		etf.Tuple{etf.Atom("run"), etf.Binary("echo before; sleep 1000"), etf.Map{opt("timeout", int64(100))}})
	n.monitor()
	same(t, n.answer(tag), gen.Error(etf.Tuple{etf.Atom("timeout"), etf.Map{opt("stdout", etf.Binary("before\n")), opt("stderr", etf.Binary{})}}))
}

// TestIDs checks that an id is unique from its request until the program is buried.
func TestIDs(t *testing.T) {
	n := startChild(t, nil)
	spawn := func(cmd string, opts ...etf.Pair) etf.Term {
		return n.call(etf.Tuple{etf.Atom("spawn"), etf.Binary(cmd), append(etf.Map{opt("id", etf.Binary("nightly")), opt("owner", etf.Atom("none")), opt("link", etf.Atom("false"))}, opts...)})
	}
	same(t, spawn("cat", opt("cd", etf.Binary("/no-such-directory"))), gen.Error(etf.Tuple{etf.Atom("cd"), etf.Atom("enoent")}))
	w := spawn("cat").(etf.Tuple)[1].(etf.Pid)
	same(t, spawn("cat"), gen.Error(etf.Tuple{etf.Atom("already_started"), w}))
	same(t, spawn("cat", opt("cd", etf.Binary("/"))), gen.Error(etf.Tuple{etf.Atom("already_started"), w}))
	other := n.spawn([]string{"cat"}, opt("id", etf.Binary("daily")))
	told := map[etf.Pid]etf.Term{}
	for _, e := range n.call(etf.Atom("workers")).(etf.List) {
		told[e.(etf.Tuple)[0].(etf.Pid)] = valueOf(t, e.(etf.Tuple)[1].(etf.Map), "id")
	}
	same(t, told[w], etf.Binary("nightly"))
	same(t, told[other], etf.Binary("daily"))
	n.workerCall(w, etf.Atom("stop"))
	n.workerCall(spawn("cat").(etf.Tuple)[1].(etf.Pid), etf.Atom("stop"))
}

// TestCallerOfARun checks that the request workers shows which process waits for a run.
func TestCallerOfARun(t *testing.T) {
	n := startChild(t, nil)
	tag := n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{etf.Atom("run"), etf.Binary("sleep 1000"), etf.Map{opt("timeout", int64(500))}})
	n.monitor()
	list := n.call(etf.Atom("workers")).(etf.List)
	same(t, valueOf(t, list[0].(etf.Tuple)[1].(etf.Map), "caller"), n.self)
	n.answer(tag)
}

func TestNames(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"}, opt("name", etf.Atom("kitty")))
	same(t, n.call(etf.Tuple{etf.Atom("spawn"), etf.Binary("cat"), etf.List{etf.Tuple{etf.Atom("name"), etf.Atom("kitty")}}}),
		gen.Error(etf.Tuple{etf.Atom("already_registered"), w}))
	n.toName("kitty", etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("meow")}})
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("meow")}})
	// A monitor by name is answered by name.
	ref := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, 1, 2, 3))
	monitor := etf.AppendTupleHeader(nil, 4)
	monitor = etf.AppendInt(monitor, int64(dist.MonitorP))
	monitor = etf.AppendPid(monitor, n.self)
	monitor = etf.AppendAtom(monitor, "kitty")
	monitor = append(monitor, ref...)
	frame := append([]byte{0, 0, 0, byte(len(monitor) + 2), 112, 131}, monitor...)
	n.write(frame)
	n.toName("kitty", etf.Tuple{n.self, etf.Atom("close")})
	for {
		m := n.recv()
		if m.Op == dist.PayloadMonitorPExit {
			if !m.HasName || m.Name != "kitty" || string(m.Ref) != string(ref) {
				t.Errorf("the monitor by name: %s", show(m))
			}
			break
		}
	}
	n.write(frame)
	for {
		m := n.recv()
		if m.Op == dist.PayloadMonitorPExit {
			if string(m.Reason) != string(gen.Noproc) {
				t.Errorf("the name outlives the worker: %s", show(m))
			}
			return
		}
	}
}

func TestJobControl(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			n := startChild(t, mode)
			w := n.spawn([]string{"sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done"})
			n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("up\n")}})
			for range 3 {
				stop := n.ask(func(m etf.Term) { n.toPid(w, m) }, atoms("signal", "sigstop"))
				same(t, n.answer(stop), etf.Atom("ok"))
				n.expect(etf.Tuple{w, atoms("stopped", "sigstop")})
				same(t, n.workerCall(w, atoms("signal", "sigcont")), etf.Atom("ok"))
				n.expect(etf.Tuple{w, etf.Atom("continued")})
			}
			same(t, n.workerCall(w, atoms("signal", "sigstop")), etf.Atom("ok"))
			n.expect(etf.Tuple{w, atoms("stopped", "sigstop")})
			// A stopped program gets the stop signal.
			n.toPid(w, etf.Tuple{n.self, etf.Atom("close")})
			n.events(w, "exit_status")
		})
	}
}

// question reads a question to the node's rex. It returns the pid to answer, and the call.
func (n *node) question() (to etf.Pid, call etf.Tuple) {
	n.t.Helper()
	m := n.recv()
	if m.Op != dist.RegSend || m.Name != "rex" {
		n.t.Fatalf("instead of a question for rex: %s", show(m))
	}
	v, err := etf.Decode(m.Payload)
	must(n.t, err)
	tu := v.(etf.Tuple)
	return tu[0].(etf.Pid), tu[1].(etf.Tuple)
}

// startWithProxy sends a spawn request with a proxy, and reads the question to the node's rex.
func (n *node) startWithProxy(cmd string) (tag etf.Raw, w, to etf.Pid) {
	n.t.Helper()
	tag = n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{etf.Atom("spawn"), etf.Binary(cmd), etf.Map{
		opt("proxy", etf.Tuple{etf.Atom("mod"), etf.Atom("fun"), etf.List{int64(1)}}),
	}})
	to, call := n.question()
	w = call[3].(etf.List)[2].(etf.List)[0].(etf.Pid)
	same(n.t, call, etf.Tuple{
		etf.Atom("call"), etf.Atom("erlang"), etf.Atom("spawn"),
		etf.List{etf.Atom("mod"), etf.Atom("fun"), etf.List{w, int64(1)}},
		etf.Atom("user"),
	})
	return tag, w, to
}

func TestProxy(t *testing.T) {
	n := startChild(t, nil)
	tag, w, to := n.startWithProxy("echo early; exit 5")
	proxy := n.pid()
	n.toPid(to, etf.Tuple{etf.Atom("rex"), proxy})
	// Both links come before the answer, and output after it.
	for _, want := range []etf.Pid{proxy, n.self} {
		if m := n.recv(); m.Op != dist.Link || m.To != want {
			t.Fatalf("instead of a link to %v: %s", want, show(m))
		}
	}
	n.monitor()
	same(t, n.answer(tag), gen.OK(w))
	// The ends of streams may come before or after it.
	want := etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("early\n")}}
	for string(gen.Encode(n.message(n.self))) != string(gen.Encode(want)) {
	}
	told := map[etf.Pid]bool{}
	for len(told) < 2 {
		if m := n.recv(); m.Op == dist.PayloadExit {
			told[m.To] = true
		}
	}
	if !told[proxy] || !told[n.self] {
		t.Errorf("exit signals went to %v", told)
	}
}

func TestNoProxyNoWorker(t *testing.T) {
	n := startChild(t, nil)
	tag, _, to := n.startWithProxy("echo never heard; sleep 1000")
	n.toPid(to, etf.Tuple{etf.Atom("rex"), atoms("badrpc", "nodedown")})
	same(t, n.answer(tag), gen.Error(etf.Tuple{etf.Atom("proxy"), atoms("badrpc", "nodedown")}))
	waitUntil(t, func() bool { return len(n.call(etf.Atom("workers")).(etf.List)) == 0 })
}

// TestReadyBeforeTheProxy checks that a program which is ready while its proxy is being started has
// one proxy. The owner must learn afterwards that it is ready.
func TestReadyBeforeTheProxy(t *testing.T) {
	pl := play(t, opt("ready", etf.Atom("notify")), opt("ready_reply", etf.Atom("message")),
		opt("proxy", etf.Tuple{etf.Atom("mod"), etf.Atom("fun"), etf.List(nil)}))
	pl.stall()
	pl.p.startProxy(pl.m)
	pl.m.Notified(pl.p.w, workers.Notice{Ready: true})
	asked := pl.heard()
	if len(asked) != 1 || asked[0].Op != dist.RegSend || asked[0].Name != "rex" {
		t.Fatalf("%d messages instead of one question for a proxy", len(asked))
	}
	pl.in = pl.in[:0]
	pl.stall()
	proxy := etf.Pid{Node: testTarget, ID: 77, Creation: 9}
	pl.c.Answered(asked[0].From, gen.Encode(etf.Tuple{etf.Atom("rex"), proxy}))
	var got []string
	for _, m := range pl.heard() {
		got = append(got, fmt.Sprint(m.Op))
		if m.Op == dist.Send {
			v, err := etf.Decode(m.Payload)
			must(t, err)
			got[len(got)-1] = plain(v.(etf.Tuple)[1])
		}
	}
	if want := []string{"LINK", "MONITOR_P", "ok " + fmt.Sprint(pl.p.pid), "ready"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
