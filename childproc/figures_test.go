package childproc

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"erluv/childproc/order"
	"erluv/ipc"
	"erluv/stat"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// figures returns the answer to the request, for a client that has measured nothing yet.
func (n *node) figures(since int64, of ...etf.Pid) []stat.Item {
	n.t.Helper()
	return n.figuresThen(since, 0, of...)
}

// figuresThen returns the answer to the request of a client that has measured the workers at an
// uptime.
func (n *node) figuresThen(since, then int64, of ...etf.Pid) []stat.Item {
	n.t.Helper()
	list := etf.List{}
	for _, w := range of {
		list = append(list, w)
	}
	m, ok := n.told(etf.Tuple{etf.Atom("figures"), since, list, then}).(etf.Map)
	if !ok {
		n.t.Fatal("the answer is no map")
	}
	return stat.Read(m)
}

func mapsOf(t *testing.T, items []stat.Item, key string) (list [][]stat.Item) {
	t.Helper()
	switch v := stat.Find(items, key).(type) {
	case []any:
		for _, e := range v {
			list = append(list, e.([]stat.Item))
		}
	case []string: // an empty list
	default:
		t.Fatalf("%s is %v", key, v)
	}
	return list
}

// TestFigures checks that new workers come once, measured ones each time, and that sums include
// ended programs.
func TestFigures(t *testing.T) {
	n := startHost(t, ipc.Host{Crashes: 3}, nil)
	v := n.spawn([]string{"cat"})
	w := n.spawn([]string{"sh", "-c", "echo 12345; read x; exit 3"}, opt("name", etf.Atom("web")), opt("restart", etf.Atom("permanent")), opt("max_restarts", etf.Tuple{int64(0), int64(1000)}))
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("12345\n")}})
	f := n.figures(0, w, v)
	added, measured := mapsOf(t, f, "new"), mapsOf(t, f, "measured")
	if len(added) != 2 || len(measured) != 2 {
		t.Fatalf("%d are new, %d are measured", len(added), len(measured))
	}
	for _, a := range added {
		name, policy := any([]string{}), stat.Word("temporary")
		if stat.Find(a, "worker") == process(w) {
			name, policy = stat.Word("web"), "permanent"
		}
		if fmt.Sprint(stat.Find(a, "name")) != fmt.Sprint(name) || stat.Find(a, "restart") != policy {
			t.Errorf("%v", a)
		}
	}
	if m := measured[0]; stat.Find(m, "worker") != process(w) || stat.Find(m, "output") != int64(6) || stat.Find(m, "held") != false ||
		stat.Find(m, "state") != stat.Word("running") || stat.Find(m, "rss").(int64) <= 0 || stat.Find(m, "cpu") == nil {
		t.Errorf("%v", m)
	}
	for key, want := range map[string]any{"programs": int64(2), "crashes": int64(3), "output": int64(6), "started": int64(2), "nodes": int64(1), "status": stat.Word("ready")} {
		if got := stat.Find(f, key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	roles := mapsOf(t, f, "roles")
	if len(roles) != 3 || stat.Find(roles[1], "os_pid") != int64(os.Getpid()) || stat.Find(roles[1], "rss") == nil {
		t.Errorf("%v", roles)
	}
	if len(mapsOf(t, n.figures(stat.Find(f, "newest").(int64)), "new")) != 0 {
		t.Error("what is known is told again")
	}
	if len(mapsOf(t, n.figures(gen.Numbers), "new")) != 2 {
		t.Error("when the numbers have begun again not all is told")
	}
	n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("\n")}})
	n.events(w, "exit_status")
	n.await(n.toWorker(v, etf.Atom("stop")))
	f = n.figures(0, w, v)
	if len(mapsOf(t, f, "measured")) != 0 || stat.Find(f, "output") != int64(6) || stat.Find(f, "programs") != int64(0) {
		t.Errorf("%v", f)
	}
	ended := stat.Find(f, "ended").([]stat.Item)
	if stat.Find(ended, "exit_status") != int64(1) || stat.Find(ended, "stopped") != int64(1) || len(ended) != int(numEnds) {
		t.Errorf("%v", ended)
	}
	if gone := stat.Find(f, "gone").([]any); len(gone) != 2 || gone[0] != process(w) || gone[1] != process(v) {
		t.Errorf("%v are gone", gone)
	}
	for _, bad := range []etf.Tuple{
		{int64(-1), etf.List{}, int64(0)},
		{etf.Atom("x"), etf.List{}, int64(0)},
		{int64(0), etf.Atom("x"), int64(0)},
		{int64(0), etf.List{etf.Atom("x")}, int64(0)},
		{int64(0), slices.Repeat(etf.List{w}, maxMeasured+1), int64(0)},
		{int64(0), etf.List{}, int64(-1)},
		{int64(0), etf.List{}, etf.Atom("x")},
	} {
		req := append(etf.Tuple{etf.Atom("figures")}, bad...)
		if answer, _ := n.told(req).(etf.Tuple); len(answer) != 2 || answer[0] != etf.Atom("error") {
			t.Errorf("%v is answered with %v", req, answer)
		}
	}
}

// TestFiguresOfChanges checks that an answer leaves out a program that has not changed since the
// client's last look, regardless of other clients in between.
func TestFiguresOfChanges(t *testing.T) {
	n := startHost(t, ipc.Host{}, nil)
	idle, busy := n.spawn([]string{"cat"}), n.spawn([]string{"sh", "-c", "while read x; do echo $x; done"})
	uptime := func(f []stat.Item) int64 { return stat.Find(f, "uptime").(int64) }
	then := uptime(n.figures(0, idle, busy))
	for { // until both sleep
		f := n.figuresThen(0, then, idle, busy)
		if now := uptime(f); now > then {
			if then = now; len(mapsOf(t, f, "measured")) == 0 {
				break
			}
		}
	}
	n.toPid(busy, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("hello\n")}})
	n.expect(etf.Tuple{busy, etf.Tuple{etf.Atom("stdout"), etf.Binary("hello\n")}})
	measured := mapsOf(t, n.figuresThen(0, then, idle, busy), "measured")
	if len(measured) != 1 || stat.Find(measured[0], "worker") != process(busy) || stat.Find(measured[0], "output") != int64(6) {
		t.Errorf("%v", measured)
	}
	// A second look with the same time, as of another client, has the change too.
	if measured := mapsOf(t, n.figuresThen(0, then, busy), "measured"); len(measured) != 1 {
		t.Errorf("%v", measured)
	}
	if measured := mapsOf(t, n.figures(0, idle, busy), "measured"); len(measured) != 2 {
		t.Errorf("a new client has %v", measured)
	}
	n.await(n.toWorker(busy, etf.Tuple{etf.Atom("signal"), etf.Atom("sigstop")}))
	n.expect(etf.Tuple{busy, etf.Tuple{etf.Atom("stopped"), etf.Atom("sigstop")}})
	if measured := mapsOf(t, n.figuresThen(0, then, busy), "measured"); len(measured) != 1 || stat.Find(measured[0], "state") != stat.Word("stopped") {
		t.Errorf("%v", measured)
	}
	n.await(n.toWorker(busy, etf.Atom("stop")))
	n.await(n.toWorker(idle, etf.Atom("stop")))
}

// TestFiguresOfMany checks that many new workers come in parts, each newer than the last, with none
// missing.
func TestFiguresOfMany(t *testing.T) {
	const many = 2*maxNew + 10
	m := &manager{name: testNode, procs: make(map[uint64]proc), start: ipc.Start{Allowed: []ipc.Allowed{{User: "u"}}}}
	for range many {
		p := &program{w: &workers.Worker{}}
		p.pid = m.newPid()
		m.procs[key(p.pid)] = p
	}
	seen, since, rounds := map[etf.Pid]bool{}, int64(0), 0
	for ; rounds < 10; rounds++ {
		f := m.figures(since, nil, 0)
		if since = f.Newest; len(f.New) == 0 {
			break
		}
		for _, a := range f.New {
			seen[a.Worker.Pid()] = true
		}
	}
	if len(seen) != many || rounds != 3 {
		t.Errorf("%d of %d are told of in %d parts", len(seen), many, rounds)
	}
}

func TestEndOf(t *testing.T) {
	fault := &ending{failing: gen.Timeout}
	for _, c := range []struct {
		p    program
		exit workers.Exit
		want end
	}{
		{program{}, workers.Exit{}, endNormal},
		{program{}, workers.Exit{Status: 1}, endStatus},
		{program{}, workers.Exit{Signal: 9}, endSignal},
		{program{}, workers.Exit{Signal: 9, OOM: true}, endOOM},
		{program{entry: entry{ending: fault}}, workers.Exit{Signal: 15}, endFault},
		{program{entry: entry{ending: fault}, life: life{told: true}}, workers.Exit{Signal: 15}, endStopped},
		{program{restart: &restart{asked: true}}, workers.Exit{}, endStopped},
	} {
		if got := c.p.endOf(c.exit); got != c.want {
			t.Errorf("%+v: %s, want %s", c.exit, endNames[got], endNames[c.want])
		}
	}
}

// TestRestartCall checks that each call restarts a program after any end.
func TestRestartCall(t *testing.T) {
	n := startChild(t, nil)
	same(t, n.workerCall(n.spawn([]string{"cat"}), etf.Atom("restart")), errorOf(etf.Atom("temporary")))
	w := n.spawn([]string{"sh", "-c", "trap 'exit 0' TERM; echo; while :; do sleep 0.01; done"}, restarting("transient", 1)...)
	ready := etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("\n")}}
	n.expect(ready)
	for range 3 {
		same(t, n.await(n.toWorker(w, etf.Atom("restart"))), etf.Atom("ok"))
		n.events(w, "restarted")
		n.expect(ready)
	}
	if got := stat.Find(n.figures(0, w), "ended").([]stat.Item); stat.Find(got, "stopped") != int64(3) {
		t.Errorf("%v", got)
	}
	// A call ends a pause before the next start.
	v := n.spawn([]string{"sh", "-c", "exit 1"}, opt("restart", etf.Atom("permanent")), opt("backoff", etf.Tuple{int64(3600_000), int64(3600_000)}))
	n.events(v, "exit_status")
	same(t, n.await(n.toWorker(v, etf.Atom("restart"))), etf.Atom("ok"))
	n.events(v, "restarted")
}

// TestOnlookers checks that an operator that may only look can do nothing else. One that tends can
// also stop and restart programs.
func TestOnlookers(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"})
	given := func(name string, id uint32) *node {
		link := testLink
		link.ID, link.Target, link.Operator = id, name, "uid 0, pid 7"
		return n.give(link)
	}
	look, tend := given("look_1@control", 1), given("tend_1@control", 2)
	denied := errorOf(etf.Atom("not_allowed"))
	run := etf.Tuple{etf.Atom("run"), etf.List{etf.Binary("true")}, etf.Map{}}
	for _, op := range []*node{look, tend} {
		if _, ok := op.call(etf.Atom("info")).(etf.Map); !ok {
			t.Errorf("%s cannot look", op.name)
		}
		if _, ok := op.workerCall(w, etf.Atom("info")).(etf.Map); !ok {
			t.Errorf("%s cannot look at a program", op.name)
		}
		same(t, op.call(etf.Tuple{etf.Atom("log"), w, etf.Map{}}), errorOf(etf.Atom("not_kept")))
		for _, req := range []etf.Term{run, etf.Tuple{etf.Atom("stop"), etf.Atom("x")}, atoms("status", "set", "standby"), int64(1), etf.Tuple{}} {
			same(t, op.call(req), denied)
		}
		for _, req := range []etf.Term{etf.Tuple{etf.Atom("write"), etf.Binary("x")}, atoms("signal", "sigkill"), etf.Tuple{etf.Atom("setopts"), etf.Map{}}} {
			same(t, op.workerCall(w, req), denied)
		}
		op.toPid(w, etf.Tuple{op.self, etf.Tuple{etf.Atom("command"), etf.Binary("x")}})
		op.toPid(w, etf.Tuple{op.self, etf.Atom("close")})
		op.write(dist.AppendExit2(nil, op.self, w, etf.Raw(etf.AppendAtom(nil, "kill"))))
		op.write(dist.AppendLink(nil, op.self, w))
		op.write(dist.AppendExit(nil, op.self, w, etf.Raw(etf.AppendAtom(nil, "kill"))))
	}
	same(t, look.workerCall(w, etf.Atom("stop")), denied)
	same(t, look.workerCall(w, etf.Atom("restart")), denied)
	if stat.Find(mapsOf(t, n.figures(0, w), "measured")[0], "state") != stat.Word("running") {
		t.Error("an onlooker has ended a program")
	}
	same(t, tend.workerCall(w, etf.Atom("restart")), errorOf(etf.Atom("temporary")))
	same(t, tend.await(tend.toWorker(w, etf.Atom("stop"))), gen.OK(exitTerm(workers.Exit{Signal: 15})))
}

func TestPolicies(t *testing.T) {
	for when, want := range map[order.When]string{order.Temporary: "temporary", order.Transient: "transient", order.Permanent: "permanent"} {
		if when.String() != want {
			t.Errorf("%s, want %s", when, want)
		}
	}
}
