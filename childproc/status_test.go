package childproc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// startHost is startChild with a host.
func startHost(t *testing.T, host ipc.Host, change func(*ipc.Start)) *node {
	t.Helper()
	testHost = host
	defer func() { testHost = ipc.Host{} }()
	return startChild(t, change)
}

// event returns the next event for the controller.
func (n *node) event() etf.Term {
	n.t.Helper()
	m := n.recv()
	for m.Op == dist.DemonitorP {
		m = n.recv()
	}
	if m.Op != dist.RegSend || m.Name != "erluv" {
		n.t.Fatalf("instead of an event: %s", show(m))
	}
	v, err := etf.Decode(m.Payload)
	must(n.t, err)
	same(n.t, v.(etf.Tuple)[:2], atoms("erluv", testNode))
	return v.(etf.Tuple)[2]
}

func (n *node) status(want string) {
	n.t.Helper()
	same(n.t, n.event(), atoms("status", want))
}

// told returns the answer to a request, and skips other frames.
func (n *node) told(req etf.Term) etf.Term {
	n.t.Helper()
	return n.await(n.request(req))
}

func errorOf(reason etf.Term) etf.Term { return etf.Tuple{etf.Atom("error"), reason} }

var sleepCmd = etf.List{etf.Binary("sleep"), etf.Binary("1000")}

// TestStandby checks that no program is started, running ones go on, and main knows the state.
func TestStandby(t *testing.T) {
	n := startChild(t, nil)
	same(t, n.call(atoms("status", "get")), etf.Atom("ready"))
	w := n.spawn([]string{"cat"})
	same(t, n.call(atoms("status", "set", "standby")), etf.Atom("ok"))
	n.status("standby")
	if got := hears[ipc.Standing](n); got != (ipc.Standing{Wish: ipc.WishStandby}) {
		t.Errorf("main is to keep %+v", got)
	}
	notReady := errorOf(atoms("node_not_ready", "standby"))
	for _, what := range []string{"spawn", "run", "watch"} {
		same(t, n.call(etf.Tuple{etf.Atom(what), sleepCmd, etf.Map{}}), notReady)
	}
	same(t, n.workerCall(w, etf.Tuple{etf.Atom("write"), etf.Binary("x")}), etf.Atom("ok"))
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("x")}})
	same(t, n.call(atoms("info", "status")), etf.Atom("standby"))
	same(t, n.call(atoms("status", "set", "ready")), etf.Atom("ok"))
	n.status("ready")
	if got := hears[ipc.Standing](n); got != (ipc.Standing{}) {
		t.Errorf("main is to keep %+v", got)
	}
	same(t, n.call(atoms("status", "set", "ready")), etf.Atom("ok")) // no controller gets an event
	n.spawn([]string{"sleep", "1000"})
	for _, bad := range []etf.Term{atoms("status", "set", "connecting"), atoms("status", "give"), atoms("status", "let", "ready"), atoms("status")} {
		same(t, n.call(bad), errorOf(etf.Tuple{etf.Atom("bad_request"), bad}))
	}
}

// TestStoppedDrains checks that workers are stopped, and waiting drains answered once none is left.
// Until then no other state can be set.
func TestStoppedDrains(t *testing.T) {
	n := startChild(t, nil)
	w := n.deaf()
	n.watching(t.TempDir())
	same(t, n.call(atoms("status", "set", "stopped")), etf.Atom("ok"))
	n.status("stopping")
	if got := hears[ipc.Standing](n); got != (ipc.Standing{Wish: ipc.WishStopped}) {
		t.Errorf("main is to keep %+v", got)
	}
	same(t, n.told(atoms("status", "set", "ready")), errorOf(etf.Atom("not_allowed")))
	same(t, n.told(atoms("status", "set", "stopped")), etf.Atom("ok"))
	drain := n.request(etf.Tuple{etf.Atom("drain"), etf.Atom("infinity")})
	same(t, n.told(etf.Tuple{etf.Atom("spawn"), sleepCmd, etf.Map{}}), errorOf(atoms("node_not_ready", "stopping")))
	if list := n.told(etf.Atom("workers")).(etf.List); len(list) != 1 {
		t.Errorf("there are %d workers, the watcher among them", len(list))
	}
	n.write(dist.AppendExit2(nil, n.self, w, gen.Kill))
	same(t, n.await(drain), etf.Tuple{etf.Atom("ok"), etf.List(nil)})
	same(t, n.told(atoms("status", "get")), etf.Atom("stopped"))
	same(t, n.told(etf.Tuple{etf.Atom("drain"), int64(0)}), etf.Tuple{etf.Atom("ok"), etf.List(nil)})
	same(t, n.told(atoms("status", "set", "ready")), etf.Atom("ok"))
	for _, bad := range []etf.Term{int64(-1), etf.Atom("never"), int64(1 << 40)} {
		same(t, n.told(etf.Tuple{etf.Atom("drain"), bad}), errorOf(etf.Tuple{etf.Atom("bad_request"), etf.Tuple{etf.Atom("drain"), bad}}))
	}
	if held := n.heldBytes(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// deaf is a worker whose program ignores the stop signal.
func (n *node) deaf() etf.Pid {
	n.t.Helper()
	w := n.spawn([]string{"/bin/sh", "-c", `trap "" TERM; echo; while :; do /bin/sleep 0.05; done`}, opt("kill_timeout", int64(600_000)))
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("\n")}})
	return w
}

// TestDrainDeadline checks that workers which remain after the deadline are killed, and are in the
// answer. Those that stopped before are not.
func TestDrainDeadline(t *testing.T) {
	n := startChild(t, nil)
	w := n.deaf()
	n.spawn([]string{"sleep", "1000"})
	killed := n.told(etf.Tuple{etf.Atom("drain"), int64(2000)})
	same(t, killed, etf.Tuple{etf.Atom("ok"), etf.List{w}})
	same(t, n.told(atoms("status", "get")), etf.Atom("stopped"))
	if list := n.told(etf.Atom("workers")).(etf.List); len(list) != 0 {
		t.Errorf("workers are left: %v", list)
	}
}

// TestDrainsTogether checks that each drain has its own deadline, and all are answered when no
// worker is left.
func TestDrainsTogether(t *testing.T) {
	n := startChild(t, nil)
	w := n.deaf()
	forever := n.request(etf.Tuple{etf.Atom("drain"), etf.Atom("infinity")})
	long := n.request(etf.Tuple{etf.Atom("drain"), int64(600_000)})
	short := n.request(etf.Tuple{etf.Atom("drain"), int64(1)})
	same(t, n.await(short), etf.Tuple{etf.Atom("ok"), etf.List{w}})
	same(t, n.await(long), etf.Tuple{etf.Atom("ok"), etf.List(nil)})
	same(t, n.await(forever), etf.Tuple{etf.Atom("ok"), etf.List(nil)})
}

// TestDrainedReason checks that drained workers end like those of a supervisor that shuts down.
func TestDrainedReason(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sleep", "1000"}, opt("restart", etf.Atom("permanent")))
	n.write(dist.AppendMonitor(nil, n.self, w, etf.Raw(etf.AppendNewRef(nil, testTarget, 9, 1, 2, 3))))
	n.toName("erluv", etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{n.self, etf.Atom("tag")}, atoms("status", "set", "stopped")})
	for {
		m := n.recv()
		if m.Op == dist.PayloadMonitorPExit {
			same(t, etf.Raw(m.Reason), atoms("shutdown", "drained"))
			return
		}
	}
}

// TestStoppedHostStaysStopped checks that the next child begins in the state of the last.
func TestStoppedHostStaysStopped(t *testing.T) {
	for wish, want := range map[ipc.Wish]string{ipc.WishReady: "ready", ipc.WishStandby: "standby", ipc.WishStopped: "stopped"} {
		n := startHost(t, ipc.Host{Standing: ipc.Standing{Wish: wish, Meta: "a;b=1"}}, nil)
		same(t, n.told(atoms("status", "get")), etf.Atom(want))
		same(t, n.told(atoms("meta", "get")), etf.List{etf.Tuple{etf.Binary("a"), etf.List{etf.Tuple{etf.Binary("b"), etf.Binary("1")}}}})
	}
}

// TestLeavingHost checks that no state can be requested once erluv is ending.
func TestLeavingHost(t *testing.T) {
	n := startChild(t, nil)
	w := n.deaf()
	same(t, n.call(etf.Tuple{etf.Atom("stop"), etf.Atom("normal")}), etf.Atom("ok"))
	same(t, n.told(atoms("status", "get")), etf.Atom("stopping"))
	same(t, n.told(atoms("status", "set", "standby")), errorOf(etf.Atom("not_allowed")))
	same(t, n.told(etf.Tuple{etf.Atom("drain"), int64(1)}), errorOf(etf.Atom("not_allowed")))
	n.write(dist.AppendExit2(nil, n.self, w, gen.Kill))
	n.mainHears()
}

// TestMeta checks the labels as terms, and that main keeps them.
func TestMeta(t *testing.T) {
	n := startHost(t, ipc.Host{Standing: ipc.Standing{Meta: "core;group=g1;master, meta2;a=1"}}, nil)
	pair := func(k, v string) etf.Term { return etf.Tuple{etf.Binary(k), etf.Binary(v)} }
	core := etf.Tuple{etf.Binary("core"), etf.List{pair("group", "g1"), etf.Binary("master")}}
	same(t, n.call(atoms("meta", "get")), etf.List{core, etf.Tuple{etf.Binary("meta2"), etf.List{pair("a", "1")}}})
	meta := func(what string, v etf.Term) etf.Term {
		return etf.Tuple{etf.Atom("meta"), etf.Tuple{etf.Atom(what), v}}
	}
	same(t, n.call(meta("update", etf.Binary("meta2;b, x"))), etf.Atom("ok"))
	if got := hears[ipc.Standing](n); got.Meta != "core;group=g1;master, meta2;b, x" {
		t.Errorf("main is to keep %+v", got)
	}
	last := n.event()
	want := etf.List{core, etf.Tuple{etf.Binary("meta2"), etf.List{etf.Binary("b")}}, etf.Tuple{etf.Binary("x"), etf.List(nil)}}
	same(t, last, etf.Tuple{etf.Atom("meta"), want})
	same(t, n.call(atoms("info", "meta")), want)
	same(t, n.call(meta("update", etf.Binary("a;;b"))), errorOf(etf.Atom("invalid_tokens")))
	same(t, n.call(meta("update", etf.Binary(strings.Repeat("x", 9000)))), errorOf(etf.Atom("too_many_labels")))
	same(t, n.call(atoms("meta", "get")), want)
	same(t, n.call(meta("remove", etf.Atom("meta2"))), etf.Atom("ok"))
	same(t, n.event(), etf.Tuple{etf.Atom("meta"), etf.List{want[0], want[2]}})
	same(t, n.call(meta("remove", etf.Binary("none"))), etf.Atom("ok"))
	same(t, n.call(atoms("meta", "get")), etf.List{want[0], want[2]})
	for _, bad := range []etf.Term{meta("update", int64(1)), meta("set", etf.Binary("a")), atoms("meta", "put"), etf.Tuple{etf.Atom("meta"), etf.Tuple{etf.Atom("update")}}} {
		same(t, n.call(bad), errorOf(etf.Tuple{etf.Atom("bad_request"), bad}))
	}
}

// hostOfClasses offers two programs.
var hostOfClasses = ipc.Host{Classes: []ipc.Class{
	{Name: "cat", Command: []string{"/bin/cat"}, Dir: "/", Max: 1},
	{Name: "say", Command: []string{"/bin/sh", "-c", `pwd; echo "$A" "$0" "$@"`}, Args: []string{"[a-z]+", "-n"}, Dir: "/usr", Env: []string{"A=1"}},
}}

func classCmd(name string, args ...string) etf.Term {
	list := make(etf.List, len(args))
	for i, a := range args {
		list[i] = etf.Binary(a)
	}
	return etf.Tuple{etf.Atom("class"), etf.Binary(name), list}
}

func runOf(cmd etf.Term, opts ...etf.Pair) etf.Term {
	return etf.Tuple{etf.Atom("run"), cmd, etf.Map(opts)}
}

// TestClass checks that the host decides which program runs, and how many run. The caller adds
// allowed arguments.
func TestClass(t *testing.T) {
	n := startHost(t, hostOfClasses, nil)
	got := n.told(runOf(classCmd("say", "abc", "-n")))
	same(t, got, etf.Tuple{etf.Atom("ok"), etf.Map{
		{Key: etf.Atom("stdout"), Value: etf.Binary("/usr\n1 abc -n\n")},
		{Key: etf.Atom("stderr"), Value: etf.Binary("")},
		{Key: etf.Atom("exit"), Value: etf.Tuple{etf.Atom("exit_status"), int64(0)}},
	}})
	w := n.await(n.request(etf.Tuple{etf.Atom("spawn"), classCmd("cat"), etf.Map{}})).(etf.Tuple)[1].(etf.Pid)
	same(t, valueOf(t, n.await(n.toWorker(w, etf.Atom("info"))).(etf.Map), "class"), etf.Binary("cat"))
	same(t, n.told(runOf(classCmd("cat"))), errorOf(atoms("class", "full")))
	same(t, n.told(runOf(classCmd("dog"))), errorOf(atoms("class", "unknown")))
	classes := n.told(etf.Tuple{etf.Atom("classes")}).(etf.List)
	same(t, classes[0], etf.Map{
		{Key: etf.Atom("name"), Value: etf.Binary("cat")},
		{Key: etf.Atom("command"), Value: etf.List{etf.Binary("/bin/cat")}},
		{Key: etf.Atom("args"), Value: etf.List(nil)},
		{Key: etf.Atom("user"), Value: etf.Binary("tester")},
		{Key: etf.Atom("max"), Value: int64(1)},
		{Key: etf.Atom("running"), Value: int64(1)},
	})
	n.told(etf.Atom("workers"))
	n.await(n.toWorker(w, etf.Atom("stop")))
	n.await(n.request(runOf(classCmd("cat"))))
	same(t, n.told(etf.Tuple{etf.Atom("classes")}).(etf.List)[0].(etf.Map)[5].Value, int64(0))
	same(t, n.told(etf.Atom("classes")), errorOf(etf.Tuple{etf.Atom("bad_request"), etf.Atom("classes")}))
}

// TestClassArguments checks that each added argument must match a pattern as a whole.
func TestClassArguments(t *testing.T) {
	n := startHost(t, hostOfClasses, nil)
	for _, args := range [][]string{{"ABC"}, {"-n "}, {"abc\n"}, {"abc", ""}, {"--n"}} {
		got := n.told(runOf(classCmd("say", args...))).(etf.Tuple)[1].(etf.Tuple)
		if got[0] != etf.Atom("bad_option") || got[1] != etf.Atom("cmd") || !strings.Contains(string(got[2].(etf.Binary)), "none that the class say allows") {
			t.Errorf("%q: %v", args, got)
		}
	}
}

// TestRunClasses checks that a host with run = "classes" neither starts nor shows anything else.
func TestRunClasses(t *testing.T) {
	host := hostOfClasses
	host.OnlyClasses = true
	n := startHost(t, host, nil)
	required := errorOf(atoms("class", "required"))
	file := filepath.Join(t.TempDir(), "made")
	for _, req := range []etf.Term{
		runOf(sleepCmd), runOf(etf.Binary("touch " + file)),
		etf.Tuple{etf.Atom("spawn"), sleepCmd, etf.Map{}},
		etf.Tuple{etf.Atom("watch"), etf.Binary("/"), etf.Map{}},
		runOf(etf.Tuple{etf.Atom("class"), int64(1), etf.List(nil)}), runOf(etf.Tuple{etf.Atom("class"), etf.Binary("cat")}),
	} {
		same(t, n.told(req), required)
	}
	path := etf.Tuple{etf.Atom("file"), etf.Binary(file)}
	for _, o := range []etf.Pair{
		opt("env", etf.Map{{Key: etf.Binary("LD_PRELOAD"), Value: etf.Binary("/tmp/x.so")}}), opt("inherit", etf.List(nil)), opt("path", etf.Binary("/tmp")),
		opt("cd", etf.Binary("/tmp")), opt("user", etf.Atom("root")), opt("sandbox", etf.Map{}), opt("limits", etf.Map{}), opt("login", etf.Atom("true")),
		opt("tree", etf.Atom("leave")), opt("stdin", path), opt("stdout", path), opt("stderr", path), opt("ready", path), opt("fds", etf.Map{}),
		opt("allow", etf.List{etf.Atom("userns")}), opt("umask", int64(0)), opt("rlimits", etf.Map{}), opt("nice", int64(1)),
	} {
		got := n.told(etf.Tuple{etf.Atom("spawn"), classCmd("cat"), etf.Map{o}}).(etf.Tuple)[1].(etf.Tuple)
		if got[0] != etf.Atom("bad_option") || got[1] != o.Key {
			t.Errorf("%v: %v", o, got)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was made")
	}
	// The caller decides how to talk to the program. A restart does not count twice.
	w := n.told(etf.Tuple{etf.Atom("spawn"), classCmd("cat"), etf.Map{
		opt("restart", etf.Atom("permanent")), opt("backoff", etf.Tuple{int64(0), int64(0)}), opt("packet", etf.Atom("line")), opt("kill_timeout", int64(5)),
	}}).(etf.Tuple)[1].(etf.Pid)
	n.await(n.toWorker(w, etf.Tuple{etf.Atom("signal"), etf.Atom("sigkill")}))
	for {
		if info := n.await(n.toWorker(w, etf.Atom("info"))).(etf.Map); keyOf(info, "restarts") == int64(1) && keyOf(info, "state") == etf.Atom("running") {
			break
		}
	}
	same(t, n.told(etf.Tuple{etf.Atom("classes")}).(etf.List)[0].(etf.Map)[5].Value, int64(1))
	same(t, n.told(runOf(classCmd("cat"))), errorOf(atoms("class", "full")))
}

func keyOf(m etf.Map, key string) etf.Term {
	for _, p := range m {
		if p.Key == etf.Atom(key) {
			return p.Value
		}
	}
	return nil
}

// TestInfoOfTheHost checks that info reports the machine, from files that the child may read.
func TestInfoOfTheHost(t *testing.T) {
	n := startHost(t, ipc.Host{
		Disks: []string{"/", "/no/such"}, Limits: ipc.Limits{PIDs: 7}, MaxKillTimeoutMS: 5000, Classes: hostOfClasses.Classes,
	}, nil)
	info := n.told(etf.Atom("info")).(etf.Map)
	memory := keyOf(info, "memory").(etf.Map)
	if total, free := keyOf(memory, "total").(int64), keyOf(memory, "available").(int64); total <= 0 || free <= 0 || free > total {
		t.Errorf("memory %v", memory)
	}
	if _, ok := keyOf(keyOf(info, "load").(etf.Map), "avg1").(float64); !ok {
		t.Errorf("load %v", keyOf(info, "load"))
	}
	disks := keyOf(info, "disks").(etf.List)
	if d := disks[0].(etf.Map); keyOf(d, "total").(int64) <= 0 {
		t.Errorf("disks %v", disks)
	}
	same(t, keyOf(disks[1].(etf.Map), "total"), etf.Atom("undefined"))
	same(t, keyOf(info, "classes"), etf.List{etf.Binary("cat"), etf.Binary("say")})
	same(t, keyOf(info, "run"), etf.Atom("any"))
	caps := keyOf(info, "caps").(etf.Map)
	same(t, keyOf(caps, "kill_timeout"), int64(5000))
	same(t, keyOf(caps, "pids"), int64(7))
	same(t, keyOf(caps, "memory"), etf.Atom("undefined"))
}

// TestHostThatCannotBe checks that main's description of the host is checked.
func TestHostThatCannotBe(t *testing.T) {
	for _, host := range []ipc.Host{
		{Standing: ipc.Standing{Meta: "a;;b"}},
		{Classes: []ipc.Class{{Name: "x", Command: []string{"/x"}, User: 1}}},
		{Classes: []ipc.Class{{Name: "x", Command: []string{"/x"}, Args: []string{"("}}}},
	} {
		if _, err := newHost(host, 1); err == nil {
			t.Errorf("%+v was taken", host)
		}
	}
}

// TestHostOfOperators checks that a host which serves only operators is not ready, because they are
// no nodes.
func TestHostOfOperators(t *testing.T) {
	a := startNodes(t, func(s *ipc.Start) { s.Stays = true }, testLink)[0]
	link := testLink
	link.ID, link.Target, link.Operator = 1, "erluv_1@control", "uid 0, pid 7"
	op := a.give(link)
	status := func(want etf.Atom) {
		t.Helper()
		same(t, op.call(atoms("info", "status")), want)
	}
	status("ready")
	must(t, a.conn.Close())
	hears[ipc.Lost](a)
	status("connecting")
	link.ID, link.Target = 2, "erluv_2@control"
	other := a.give(link)
	same(t, other.call(atoms("status", "get")), etf.Atom("connecting"))
	b := a.give(testLink)
	b.begins()
	status("ready")
	must(t, other.conn.Close())
	hears[ipc.Lost](b)
	status("ready")
}
