package childproc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"erluv/childproc/order"
	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// watching requests a watcher without a link, and reads the monitor on its owner.
func (n *node) watching(path string, opts ...etf.Pair) etf.Pid {
	n.t.Helper()
	tag := n.askWatch(path, append(opts, opt("link", etf.Atom("false")))...)
	n.monitor()
	tu, ok := n.answer(tag).(etf.Tuple)
	if !ok || len(tu) != 2 || tu[0] != etf.Atom("ok") {
		n.t.Fatalf("watch %q: %#v", path, tu)
	}
	return tu[1].(etf.Pid)
}

func (n *node) askWatch(path string, opts ...etf.Pair) etf.Raw {
	n.t.Helper()
	return n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{etf.Atom("watch"), etf.Binary(path), etf.Map(opts)})
}

// fs returns the message of a watcher.
func fs(w etf.Pid, path string, what ...string) etf.Term {
	list := make(etf.List, len(what))
	for i, s := range what {
		list[i] = etf.Atom(s)
	}
	return etf.Tuple{w, etf.Tuple{etf.Atom("fs"), list, etf.Binary(path)}}
}

// exits reads the exit signal of a process of the child.
func (n *node) exits(w, to etf.Pid, reason etf.Raw) {
	n.t.Helper()
	m := n.recv()
	for m.Op == dist.DemonitorP {
		m = n.recv()
	}
	if m.Op != dist.PayloadExit || m.From != w || m.To != to || string(m.Reason) != string(reason) {
		n.t.Fatalf("instead of the exit signal %q: %s with %q", reason, show(m), m.Reason)
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	must(t, os.WriteFile(path, nil, 0o644))
}

func TestWatch(t *testing.T) {
	n, d := startChild(t, nil), t.TempDir()
	tag := n.askWatch(d + "/")
	link := n.recv()
	if link.Op != dist.Link || link.To != n.self {
		t.Fatalf("instead of a link: %s", show(link))
	}
	n.monitor()
	w := link.From
	same(t, n.answer(tag), etf.Tuple{etf.Atom("ok"), w})
	must(t, os.Mkdir(d+"/dir", 0o755))
	n.expect(fs(w, d+"/dir", "created"))
	must(t, os.Rename(d+"/dir", d+"/other"))
	n.expect(fs(w, d+"/dir", "renamed"))
	n.expect(fs(w, d+"/other", "renamed"))
	must(t, os.Chmod(d+"/other", 0o700))
	n.expect(fs(w, d+"/other", "attrib"))
	must(t, os.Remove(d+"/other"))
	n.expect(fs(w, d+"/other", "deleted"))

	list := n.call(etf.Atom("workers")).(etf.List)
	if len(list) != 1 {
		t.Fatalf("%d workers", len(list))
	}
	entry := list[0].(etf.Tuple)
	same(t, entry[0], w)
	info := n.workerCall(w, etf.Atom("info")).(etf.Map)
	for _, m := range []etf.Map{entry[1].(etf.Map), info} {
		for key, want := range map[etf.Atom]etf.Term{
			"os_pid": int64(0), "cmd": etf.List(nil), "state": etf.Atom("watching"), "restarts": int64(0),
			"path": etf.Binary(d), "recursive": etf.Atom("false"),
		} {
			same(t, valueOf(t, m, key), want)
		}
	}
	for key, want := range map[etf.Atom]etf.Term{
		"name": etf.List(nil), "owner": n.self, "detached": etf.Atom("false"),
		"watched": int64(1), "unwatched": int64(0),
	} {
		same(t, valueOf(t, info, key), want)
	}
	if valueOf(t, info, "started").(int64) <= 0 {
		t.Errorf("%v", info)
	}

	must(t, os.Remove(d))
	n.expect(fs(w, d, "deleted"))
	n.exits(w, n.self, gen.Normal)
}

func valueOf(t *testing.T, m etf.Map, key etf.Atom) etf.Term {
	t.Helper()
	for _, p := range m {
		if p.Key == key {
			return p.Value
		}
	}
	t.Fatalf("no %s in %v", key, m)
	return nil
}

func TestWatchOptions(t *testing.T) {
	n, d := startChild(t, func(s *ipc.Start) { s.MaxWorkers = 3 }), t.TempDir()
	must(t, os.MkdirAll(d+"/a/b", 0o755))
	w := n.watching(d, opt("recursive", etf.Atom("true")), opt("events", etf.List{etf.Atom("closed")}), opt("name", etf.Atom("files")))
	touch(t, d+"/a/b/f")
	n.expect(fs(w, d+"/a/b/f", "closed"))
	info := n.workerCall(w, etf.Atom("info")).(etf.Map)
	same(t, valueOf(t, info, "name"), etf.Atom("files"))
	same(t, valueOf(t, info, "recursive"), etf.Atom("true"))
	same(t, valueOf(t, info, "watched"), int64(3))

	watch := func(path, opts etf.Term) etf.Term {
		t.Helper()
		return n.call(etf.Tuple{etf.Atom("watch"), path, opts})
	}
	same(t, watch(etf.Binary(d), etf.Map{opt("name", etf.Atom("files"))}), gen.Error(etf.Tuple{etf.Atom("already_registered"), w}))
	for path, want := range map[string]string{
		d + "/none": "enoent", d + "/a/b/f/x": "enotdir", "/" + strings.Repeat("x", 300): "enametoolong", "/" + strings.Repeat("x/", 3000): "enametoolong",
	} {
		same(t, watch(etf.Binary(path), etf.Map{}), gen.Error(etf.Atom(want)))
	}
	for _, path := range []etf.Term{etf.Binary("relative"), etf.Binary(""), etf.Binary("/a\x00b"), int64(1), etf.Atom("a")} {
		bad(t, watch(path, etf.Map{}), "path")
	}
	for _, o := range []etf.Pair{
		opt("recursive", etf.Atom("yes")), opt("events", etf.List(nil)), opt("events", etf.Atom("created")),
		opt("events", etf.List{etf.Atom("created"), etf.Atom("overflow")}), opt("events", etf.List{int64(1)}),
		opt("owner", etf.Pid{Node: "other@localhost", ID: 1}), opt("env", etf.Map{}), opt("nonsense", int64(1)),
	} {
		bad(t, watch(etf.Binary(d), etf.Map{o}), o.Key)
	}
	bad(t, watch(etf.Binary(d), int64(1)), etf.Atom("opts"))

	// Two more fit into max_workers, because failed requests took no place.
	n.watching(d + "/a")
	n.spawn([]string{"sleep", "1000"})
	same(t, watch(etf.Binary(d), etf.List(nil)), gen.Error(etf.Atom("max_workers")))
	same(t, n.workerCall(w, etf.Atom("stop")), etf.Atom("ok"))
	n.watching(d + "/a")
}

// bad checks {error, {bad_option, Key, Why}}.
func bad(t *testing.T, got, key etf.Term) {
	t.Helper()
	if s, ok := key.(string); ok {
		key = etf.Atom(s)
	}
	tu, ok := got.(etf.Tuple)
	if ok && len(tu) == 2 {
		tu, ok = tu[1].(etf.Tuple)
	}
	if !ok || len(tu) != 3 || tu[0] != etf.Atom("bad_option") || tu[1] != key || len(tu[2].(etf.Binary)) == 0 {
		t.Errorf("of %v: %v", key, got)
	}
}

// TestWatcherEnds checks that a watcher ends like a worker.
func TestWatcherEnds(t *testing.T) {
	boom := gen.Encode(etf.Atom("boom"))
	ref := etf.Raw(etf.AppendNewRef(nil, testNode, 7, 1, 0, 0))
	for name, c := range map[string]struct {
		do     func(n *node, w, other etf.Pid)
		reason etf.Raw
	}{
		"exit":  {func(n *node, w, other etf.Pid) { n.write(dist.AppendExit2(nil, other, w, boom)) }, boom},
		"kill":  {func(n *node, w, other etf.Pid) { n.write(dist.AppendExit2(nil, other, w, gen.Kill)) }, gen.Killed},
		"link":  {func(n *node, w, other etf.Pid) { n.write(dist.AppendExit(nil, n.linked(w), w, boom)) }, boom},
		"owner": {func(n *node, w, _ etf.Pid) { n.write(dist.AppendMonitorExit(nil, n.self, w, ref, boom)) }, boom},
		"stop":  {func(n *node, w, _ etf.Pid) { same(n.t, n.workerCall(w, etf.Atom("stop")), etf.Atom("ok")) }, gen.Normal},
		"node": {func(n *node, _, _ etf.Pid) {
			same(n.t, n.call(etf.Tuple{etf.Atom("stop"), etf.Atom("boom")}), etf.Atom("ok"))
		}, boom},
		"port": {func(n *node, w, _ etf.Pid) { n.toPid(w, etf.Tuple{n.self, etf.Atom("close")}) }, gen.Normal},
		"not owner": {func(n *node, w, other etf.Pid) {
			n.toPid(w, etf.Tuple{other, etf.Atom("close")})
			if m := n.recv(); m.Op != dist.PayloadExit2 || m.To != other || string(m.Reason) != string(gen.Badsig) {
				n.t.Fatalf("instead of badsig: %s", show(m))
			}
			n.write(dist.AppendExit2(nil, other, w, gen.Normal)) // has no effect
			n.write(dist.AppendExit2(nil, other, w, boom))
		}, boom},
	} {
		t.Run(name, func(t *testing.T) {
			n, d := startChild(t, nil), t.TempDir()
			w := n.watching(d)
			other := n.linked(w)
			n.write(dist.AppendMonitor(nil, other, w, ref))
			c.do(n, w, other)
			for {
				m := n.recv()
				if m.Op == dist.PayloadMonitorPExit {
					if m.From != w || m.To != other || string(m.Reason) != string(c.reason) {
						t.Fatalf("%s with %q", show(m), m.Reason)
					}
					return
				}
				if m.Op == dist.Send {
					v, err := etf.Decode(m.Payload)
					must(t, err)
					same(t, v, etf.Tuple{w, etf.Atom("closed")})
				}
			}
		})
	}
}

// linked makes a process that is linked with w.
func (n *node) linked(w etf.Pid) etf.Pid {
	pid := n.pid()
	n.write(dist.AppendLink(nil, pid, w))
	return pid
}

// TestWatcherIsNoProgram checks that calls which only programs accept are refused without effect.
func TestWatcherIsNoProgram(t *testing.T) {
	n, d := startChild(t, nil), t.TempDir()
	w := n.watching(d)
	for _, req := range []etf.Term{
		etf.Tuple{etf.Atom("write"), etf.Binary("x")},
		etf.Tuple{etf.Atom("write"), int64(3), etf.Binary("x")},
		atoms("close", "stdin"),
		etf.Tuple{etf.Atom("close"), int64(3)},
		atoms("signal", "sigterm"),
		atoms("signal", "group", "sigterm"),
		etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(1)},
		etf.Tuple{etf.Atom("resize"), int64(1), int64(1)},
		etf.Tuple{},
		etf.Atom("nonsense"),
	} {
		same(t, n.workerCall(w, req), gen.BadRequest(gen.Encode(req)))
	}
	for key, v := range map[string]etf.Term{"active": etf.Atom("true"), "packet": etf.Atom("line"), "owner": etf.Atom("none")} {
		bad(t, n.workerCall(w, etf.Tuple{etf.Atom("setopts"), etf.List{etf.Tuple{etf.Atom(key), v}}}), key)
	}
	n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("x")}})
	if m := n.recv(); m.Op != dist.PayloadExit2 || m.To != n.self || string(m.Reason) != string(gen.Badsig) {
		t.Fatalf("instead of badsig: %s", show(m))
	}
	n.toPid(w, etf.Tuple{etf.Atom("io_request"), n.self, etf.Atom("ref"), etf.Tuple{etf.Atom("put_chars"), etf.Atom("unicode"), etf.Binary("x")}})
	n.expect(etf.Tuple{etf.Atom("io_reply"), etf.Atom("ref"), atoms("error", "request")})

	// Another owner.
	next := n.pid()
	n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("connect"), next}})
	for _, op := range []dist.Op{dist.DemonitorP, dist.MonitorP} {
		if m := n.recv(); m.Op != op {
			t.Fatalf("instead of %v: %s", op, show(m))
		}
	}
	n.expect(etf.Tuple{w, etf.Atom("connected")})
	touch(t, d+"/f")
	same(t, n.message(next), fs(w, d+"/f", "created"))
	same(t, n.workerCall(w, etf.Tuple{etf.Atom("setopts"), etf.Map{opt("owner", n.self)}}), etf.Atom("ok"))
	n.monitor()
	must(t, os.Remove(d+"/f"))
	n.expect(fs(w, d+"/f", "deleted"))
}

// TestWatcherUnderSupervisor checks that a watcher without an owner sends no messages, and links
// its caller.
func TestWatcherUnderSupervisor(t *testing.T) {
	n, d := startChild(t, nil), t.TempDir()
	dir := d + "/dir"
	must(t, os.Mkdir(dir, 0o755))
	tag := n.askWatch(dir, opt("owner", etf.Atom("none")))
	if m := n.recv(); m.Op != dist.Link || m.To != n.self {
		t.Fatalf("instead of a link: %s", show(m))
	}
	w := n.answer(tag).(etf.Tuple)[1].(etf.Pid)
	same(t, valueOf(t, n.workerCall(w, etf.Atom("info")).(etf.Map), "owner"), etf.Atom("none"))
	touch(t, dir+"/f")
	must(t, os.RemoveAll(dir))
	n.exits(w, n.self, gen.Normal)
}

// TestWatchWhileTheNodeReadsSlowly checks that events wait in the kernel's queue, so the child's
// memory does not grow. They must come in order, and lost ones be reported.
func TestWatchWhileTheNodeReadsSlowly(t *testing.T) {
	n, d := startChild(t, nil), t.TempDir()
	long := strings.Repeat("n", 240)
	w := n.watching(d, opt("events", etf.List{etf.Atom("created")}))
	const files = 60_000
	before := heap()
	for i := range files {
		touch(t, fmt.Sprintf("%s/%s%07d", d, long, i))
		if i >= 100 {
			must(t, os.Remove(fmt.Sprintf("%s/%s%07d", d, long, i-100)))
		}
	}
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	overflow, last, told := fs(w, d, "overflow"), -1, 0
	for {
		v := n.message(n.self)
		if slices.Equal(gen.Encode(v), gen.Encode(overflow)) {
			break
		}
		path := string(v.(etf.Tuple)[1].(etf.Tuple)[2].(etf.Binary))
		var i int
		_, err := fmt.Sscanf(filepath.Base(path)[len(long):], "%d", &i)
		must(t, err)
		// An overflow is reported once all is watched again, possibly after other events.
		if i <= last {
			t.Fatalf("file %d was told after %d", i, last)
		}
		last = i
		told++
	}
	if told < 16384 || told == files {
		t.Errorf("%d were told", told)
	}
	must(t, os.Mkdir(d+"/later", 0o755))
	n.expect(fs(w, d+"/later", "created"))
}

// TestEventNames checks that each event name of a watch request is known.
func TestEventNames(t *testing.T) {
	none := kindsOf([]etf.Atom{})
	for _, name := range order.Events {
		if kindsOf([]etf.Atom{name}) == none {
			t.Errorf("%s is no event", name)
		}
	}
	if kindsOf(nil) == none {
		t.Error("nothing is told unless it is named")
	}
}
