package childproc

import (
	"testing"
	"time"

	"erluv/childproc/history"
	"erluv/childproc/ring"
	"erluv/ipc"
	"erluv/loop"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

func TestLogQuery(t *testing.T) {
	for _, tt := range []struct {
		opts etf.Term
		q    ring.Query
		wait time.Duration
		bad  string
	}{
		{opts: pairs(), q: ring.Query{Lines: ring.AllLines}},
		{opts: etf.List(nil), q: ring.Query{Lines: ring.AllLines}},
		{opts: pairs("lines", int64(0)), q: ring.Query{}},
		{
			opts: pairs("lines", int64(3), "since", int64(-5), "from", int64(7), "wait", int64(60_000), "stream", etf.Atom("stderr")),
			q:    ring.Query{Lines: 3, Since: -5, From: 7, Stream: 2}, wait: time.Minute,
		},
		{opts: pairs("stream", etf.Atom("stdout")), q: ring.Query{Lines: ring.AllLines, Stream: 1}},
		{opts: pairs("lines", int64(-1)), bad: "must be a number of lines"},
		{opts: pairs("lines", etf.Atom("all")), bad: "must be a number of lines"},
		{opts: pairs("since", etf.Binary("10m")), bad: "must be a time in milliseconds since 1970"},
		{opts: pairs("from", int64(-1)), bad: "must be the value of next in an earlier answer"},
		{opts: pairs("wait", int64(60_001)), bad: "must be a number of milliseconds up to 60000"},
		{opts: pairs("wait", etf.Atom("infinity")), bad: "must be a number of milliseconds up to 60000"},
		{opts: pairs("stream", etf.Atom("stdin")), bad: "must be stdout or stderr"},
		{opts: pairs("follow", etf.Atom("true")), bad: "there is no such option"},
	} {
		q, wait, bad := logQuery(tt.opts)
		switch {
		case tt.bad != "":
			if bad == nil || bad.Why != tt.bad || bad.Key != tt.opts.(etf.Map)[0].Key {
				t.Errorf("%#v: %+v, want %q", tt.opts, bad, tt.bad)
			}
		case bad != nil || q != tt.q || wait != tt.wait:
			t.Errorf("%#v: %+v, %v, %+v", tt.opts, q, wait, bad)
		}
	}
}

// keepsLogs makes a child remember ends and output.
func keepsLogs(s *ipc.Start) { s.History, s.LogRing, s.LogRingTotal = 4, 8<<10, 1<<20 }

// logged returns the parts of an answer to a request for a log: its text, its end, and whether more
// may come.
func (n *node) logged(answer etf.Term) (text string, next int64, open bool) {
	n.t.Helper()
	ok, _ := answer.(etf.Tuple)
	if len(ok) != 2 || ok[0] != etf.Atom("ok") {
		n.t.Fatalf("instead of a log: %#v", answer)
	}
	for _, p := range ok[1].(etf.Map) {
		switch p.Key {
		case etf.Atom("output"):
			for _, e := range p.Value.(etf.List) {
				text += string(e.(etf.Tuple)[2].(etf.Binary))
			}
		case etf.Atom("next"):
			next = p.Value.(int64)
		case etf.Atom("open"):
			open = p.Value == etf.Atom("true")
		}
	}
	return text, next, open
}

func logRequestOf(what etf.Term, opts ...any) etf.Tuple {
	return etf.Tuple{etf.Atom("log"), what, pairs(opts...)}
}

// TestLogsWait checks that a caller waits for new output, for its time or until the program ends.
// The number of callers for one program is bounded.
func TestLogsWait(t *testing.T) {
	n := startChild(t, keepsLogs)
	w := n.spawn([]string{"cat"}, opt("keep", etf.Atom("true")), opt("name", etf.Atom("cat")))
	waiting := logRequestOf(w, "wait", int64(60_000))
	first := n.request(waiting)
	n.toWorker(w, etf.Tuple{etf.Atom("write"), etf.Binary("one\n")})
	text, next, open := n.logged(n.await(first))
	if text != "one\n" || next != 4 || !open {
		t.Fatalf("the first sees %q up to %d, open %v", text, next, open)
	}
	if text, next, open = n.logged(n.told(logRequestOf(etf.Atom("cat"), "from", next, "wait", int64(1)))); text != "" || next != 4 || !open {
		t.Errorf("when nothing comes there is %q up to %d, open %v", text, next, open)
	}
	// For another stream than the one with output.
	errs := n.request(logRequestOf(w, "wait", int64(60_000), "stream", etf.Atom("stderr")))
	var tags []etf.Raw
	for range maxFollowers - 1 {
		tags = append(tags, n.request(logRequestOf(w, "from", next, "wait", int64(60_000))))
	}
	same(t, n.told(logRequestOf(w, "from", next, "wait", int64(60_000))), errorHeld)
	n.toWorker(w, etf.Tuple{etf.Atom("write"), etf.Binary("two\n")})
	for _, tag := range tags {
		if text, next, open = n.logged(n.await(tag)); text != "two\n" || next != 8 || !open {
			t.Errorf("one of many sees %q up to %d, open %v", text, next, open)
		}
	}
	last := n.request(logRequestOf(w, "from", next, "wait", int64(60_000)))
	n.toWorker(w, atoms("close", "stdin"))
	for name, tag := range map[string]etf.Raw{"stderr": errs, "the last": last} {
		if text, next, open = n.logged(n.await(tag)); text != "" || next != 8 || open {
			t.Errorf("%s sees %q up to %d, open %v", name, text, next, open)
		}
	}
	if held := n.heldBytes(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// TestLogOf checks that the log of a program is found by each of its names, also after its end.
// Otherwise the answer gives the reason.
func TestLogOf(t *testing.T) {
	n := startChild(t, keepsLogs)
	kept := n.spawn([]string{"cat"}, opt("keep", int64(4096)), opt("name", etf.Atom("kept")))
	plain := n.spawn([]string{"cat"}, opt("keep", etf.Atom("false")), opt("name", etf.Atom("plain")))
	n.toWorker(kept, etf.Tuple{etf.Atom("write"), etf.Binary("x")})
	n.logged(n.told(logRequestOf(kept, "wait", int64(60_000))))
	var pid etf.Term
	for _, p := range n.await(n.toWorker(kept, etf.Atom("info"))).(etf.Map) {
		if p.Key == etf.Atom("os_pid") {
			pid = p.Value
		}
	}
	old := kept
	old.Creation--
	look := func(want bool) {
		t.Helper()
		for _, what := range []etf.Term{kept, etf.Atom("kept"), pid} {
			if text, _, open := n.logged(n.told(logRequestOf(what))); text != "x" || open != want {
				t.Errorf("%#v: %q, open %v", what, text, open)
			}
		}
		for _, what := range []etf.Term{plain, etf.Atom("plain")} {
			same(t, n.told(logRequestOf(what)), gen.Error(etf.Atom("not_kept")))
		}
		for _, what := range []etf.Term{old, n.self, etf.Atom("none"), etf.Atom(""), int64(0), int64(-1), etf.Binary("kept")} {
			same(t, n.told(logRequestOf(what)), gen.Error(etf.Atom("noproc")))
		}
	}
	look(true)
	for _, w := range []etf.Pid{kept, plain} {
		n.await(n.toWorker(w, etf.Atom("stop")))
	}
	look(false)
}

// TestLogOfTheChildBefore checks that the log of an earlier child is reported as lost.
func TestLogOfTheChildBefore(t *testing.T) {
	l, err := loop.New()
	must(t, err)
	defer l.Close()
	m, _ := playedManager(t, l)
	m.history = history.New(2, -1)
	m.history.Ends(1, &history.Entry{ID: 1, Creation: 7, Name: "kept", Kept: true})
	m.history.Ends(2, &history.Entry{ID: 2, Creation: 7, Name: "plain"})
	for name, want := range map[etf.Atom]etf.Atom{"kept": "lost", "plain": "not_kept"} {
		if _, _, why := m.logOf(name); why != want {
			t.Errorf("%s: %s, want %s", name, why, want)
		}
	}
}
