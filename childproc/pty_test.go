package childproc

import (
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

func pty(settings ...any) etf.Pair { return opt("pty", pairs(settings...)) }

// collect reads messages of a worker up to its last one. It returns the output as one string, and
// the end.
func (n *node) collect(w etf.Pid) (output string, ends []etf.Term) {
	n.t.Helper()
	for {
		tu := n.message(n.self).(etf.Tuple)
		ev, ok := tu[1].(etf.Tuple)
		if !ok || tu[0] != w {
			n.t.Fatalf("not expected: %v", tu)
		}
		if b, ok := ev[1].(etf.Binary); ok && ev[0] == etf.Atom("stdout") {
			output += string(b)
			continue
		}
		ends = append(ends, ev)
		if ev[0] == etf.Atom("exit_status") || ev[0] == etf.Atom("signal") {
			n.recv() // the end of the monitor
			return output, ends
		}
	}
}

func TestPty(t *testing.T) {
	n := startChild(t, nil)
	script := "stty size; echo error >&2; exit 3"
	for _, tt := range []struct {
		pty  etf.Pair
		want string
	}{
		{opt("pty", etf.Atom("true")), "24 80\r\nerror\r\n"},
		{pty(), "24 80\r\nerror\r\n"},
		{pty("rows", int64(1), "cols", int64(65535)), "1 65535\r\nerror\r\n"},
		{opt("pty", etf.List{etf.Tuple{etf.Atom("rows"), int64(50)}, etf.Tuple{etf.Atom("onlcr"), etf.Atom("false")}}), "50 80\nerror\n"},
	} {
		w := n.spawn([]string{"sh", "-c", script}, tt.pty)
		got, ends := n.collect(w)
		same(t, etf.List(ends), etf.List{atoms("stdout", "eof"), etf.Tuple{etf.Atom("exit_status"), int64(3)}})
		if got != tt.want {
			t.Errorf("%v: %q, want %q", tt.pty, got, tt.want)
		}
	}
	w := n.spawn([]string{"sh", "-c", "test -t 0 || echo none"}, opt("pty", etf.Atom("false")))
	if got := strings.Join(n.output(w, "stdout"), ""); got != "none\neof" {
		t.Errorf("%q", got)
	}
}

func TestPtyInput(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sh", "-c", "cat; echo end; exec sleep 1000"}, pty("echo", int64(0)))
	line := etf.Tuple{etf.Atom("write"), etf.Binary("half")}
	same(t, n.workerCall(w, line), etf.Atom("ok"))
	same(t, n.workerCall(w, atoms("close", "stdin")), etf.Atom("ok"))
	for got := ""; got != "halfend\r\n"; { // in one piece or in several
		ev := n.message(n.self).(etf.Tuple)[1].(etf.Tuple)
		got += string(ev[1].(etf.Binary))
	}
	same(t, n.workerCall(w, line), gen.Error(etf.Atom("epipe")))
	n.toPid(w, etf.Tuple{n.self, etf.Atom("close")})
	_, ends := n.collect(w)
	same(t, etf.List(ends), etf.List{atoms("stdout", "eof"), atoms("signal", "sigterm")})
}

func TestResize(t *testing.T) {
	n := startChild(t, nil)
	resize := func(w etf.Pid, rows, cols etf.Term) etf.Term {
		return n.workerCall(w, etf.Tuple{etf.Atom("resize"), rows, cols})
	}
	w := n.spawn([]string{"sh", "-c", "read x; stty size"}, pty("echo", etf.Atom("false")))
	same(t, resize(w, int64(10), int64(20)), etf.Atom("ok"))
	for _, bad := range []etf.Term{int64(0), int64(65536), etf.Atom("a")} {
		same(t, resize(w, bad, int64(1)), gen.BadRequest(gen.Encode(etf.Tuple{etf.Atom("resize"), bad, int64(1)})))
		same(t, resize(w, int64(1), bad), gen.BadRequest(gen.Encode(etf.Tuple{etf.Atom("resize"), int64(1), bad})))
	}
	n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("\n")}})
	if got, _ := n.collect(w); got != "10 20\r\n" {
		t.Errorf("%q", got)
	}
	w = n.spawn([]string{"cat"})
	same(t, resize(w, int64(10), int64(20)), gen.Error(etf.Atom("enotty")))
}

// TestResizeLasts checks that the next terminal has the new size too.
func TestResizeLasts(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sh", "-c", "stty size; read x"}, pty("echo", etf.Atom("false")),
		opt("restart", etf.Atom("permanent")), opt("backoff", etf.Tuple{int64(0), int64(0)}), opt("packet", etf.Atom("line")))
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("24 80\r\n")}})
	same(t, n.workerCall(w, etf.Tuple{etf.Atom("resize"), int64(10), int64(20)}), etf.Atom("ok"))
	n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("\n")}})
	for {
		ev := n.message(n.self).(etf.Tuple)[1].(etf.Tuple)
		if b, ok := ev[1].(etf.Binary); ok {
			if string(b) != "10 20\r\n" {
				t.Errorf("%q", b)
			}
			return
		}
	}
}

func TestRunOnTerminal(t *testing.T) {
	n := startChild(t, nil)
	run := func(script string, opts ...etf.Pair) (stdout string) {
		t.Helper()
		tag := n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{etf.Atom("run"), etf.Binary(script), etf.Map(opts)})
		n.recv() // the monitor on the owner
		tu := n.answer(tag).(etf.Tuple)
		if tu[0] != etf.Atom("ok") {
			t.Fatalf("%v", tu)
		}
		n.recv() // its end
		for _, p := range tu[1].(etf.Map) {
			switch p.Key {
			case etf.Atom("stdout"):
				stdout = string(p.Value.(etf.Binary))
			case etf.Atom("stderr"):
				same(t, p.Value, etf.Binary(""))
			case etf.Atom("exit"):
				same(t, p.Value, etf.Tuple{etf.Atom("exit_status"), int64(0)})
			}
		}
		return stdout
	}
	// Without input, the program reads its end.
	if got := run("cat; test -t 2 && echo end >&2", opt("pty", etf.Atom("true"))); got != "end\r\n" {
		t.Errorf("%q", got)
	}
	if got := run("cat", pty("echo", etf.Atom("false")), opt("input", etf.Binary("a\nb"))); got != "a\r\nb" {
		t.Errorf("%q", got)
	}
}

func TestPtyFailure(t *testing.T) {
	f := ipc.Refusal{Errno: unix.ENOSPC, Stage: ipc.StageTerminal}
	same(t, failureTerm(f), atoms("pty", "enospc"))
}
