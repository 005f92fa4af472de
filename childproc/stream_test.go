package childproc

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"erluv/childproc/output"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

func opt(key string, v etf.Term) etf.Pair { return etf.Pair{Key: etf.Atom(key), Value: v} }

// flow is the option flow => {active, What}.
func flow(what etf.Term) etf.Pair { return opt("flow", etf.Tuple{etf.Atom("active"), what}) }

// output reads messages of a worker up to its last one, and returns those about one stream.
func (n *node) output(w etf.Pid, s string) (pieces []string) {
	n.t.Helper()
	for {
		tu := n.message(n.self).(etf.Tuple)
		ev, ok := tu[1].(etf.Tuple)
		if !ok || tu[0] != w {
			n.t.Fatalf("not expected: %v", tu)
		}
		switch {
		case ev[0] == etf.Atom("exit_status"):
			return pieces
		case ev[0] == etf.Atom(s):
			switch b := ev[1].(type) {
			case etf.Binary:
				pieces = append(pieces, string(b))
			default:
				pieces = append(pieces, fmt.Sprint(ev[1]))
			}
		}
	}
}

func TestPackets(t *testing.T) {
	n := startChild(t, nil)
	for _, tt := range []struct {
		packet etf.Term
		script string // a format of printf(1)
		want   []string
	}{
		{etf.Atom("line"), `a\nbb\n\nend`, []string{"a\n", "bb\n", "\n", "end", "eof"}},
		{etf.Tuple{etf.Atom("line"), int64(3)}, `abcdefg\nhi\n`, []string{"abc", "def", "g\n", "hi\n", "eof"}},
		{int64(1), `\003abc\000\002de`, []string{"abc", "", "de", "eof"}},
		{int64(2), `\000\003abc\000\001d\000\005xy`, []string{"abc", "d", "[incomplete [0 5 120 121]]", "eof"}},
		{int64(4), `\000\000\000\003abc`, []string{"abc", "eof"}},
	} {
		w := n.spawn([]string{"printf", tt.script}, opt("packet", tt.packet))
		got := n.output(w, "stdout")
		if fmt.Sprint(got) != fmt.Sprint(tt.want) && fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("packet %v of %q: %q, want %q", tt.packet, tt.script, got, tt.want)
		}
	}
}

// TestPacketsBothWays checks that input gets its length, which cat gives back.
func TestPacketsBothWays(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"}, opt("packet", int64(2)))
	for _, s := range []string{"one", "", "three"} {
		same(t, n.workerCall(w, etf.Tuple{etf.Atom("write"), etf.Binary(s)}), etf.Atom("ok"))
		n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary(s)}})
	}
	same(t, n.workerCall(w, etf.Tuple{etf.Atom("write"), make(etf.Binary, 1<<16)}), gen.Error(etf.Atom("emsgsize")))
}

func TestPacketTooLarge(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sh", "-c", `printf '\377\377\377\377abc'; exec sleep 1000`}, opt("packet", int64(4)))
	n.toPid(n.self, etf.Atom("ignored"))
	for {
		tu := n.message(n.self).(etf.Tuple)
		if ev := tu[1].(etf.Tuple); tu[0] == w && ev[0] == etf.Atom("signal") {
			return
		}
	}
}

func (n *node) read(w etf.Pid, s string, limit int) etf.Term {
	n.t.Helper()
	return n.workerCall(w, etf.Tuple{etf.Atom("read"), etf.Atom(s), int64(limit)})
}

func TestReadOnDemand(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sh", "-c", "printf 0123456789; printf err >&2"}, flow(etf.Atom("false")))
	some := func(s string) etf.Term { return gen.OK(etf.Binary(s)) }
	same(t, n.read(w, "stdout", 4), some("0123"))
	same(t, n.read(w, "stdout", 100), some("456789"))
	same(t, n.read(w, "stdout", 100), etf.Atom("eof"))
	// The program has ended. The worker has not, because there is more to read.
	same(t, n.read(w, "stderr", 100), some("err"))
	same(t, n.read(w, "stderr", 100), etf.Atom("eof"))
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
}

// TestReadsAreInOrder checks reads of any size, in sequence and several at a time. They must return
// the output in order, with or without a remainder of an earlier read.
func TestReadsAreInOrder(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"seq", "100000"}, flow(etf.Atom("false")))
	var want, got []byte
	for i := range 100000 {
		want = append(strconv.AppendInt(want, int64(i+1), 10), '\n')
	}
	limits := []int64{1, output.MaxPiece, 1000, 1000, output.MaxPiece, 1 << 40, 70000}
	for ended := false; !ended; {
		var asked []etf.Raw
		for _, limit := range limits {
			asked = append(asked, n.ask(func(m etf.Term) { n.toPid(w, m) }, etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), limit}))
		}
		for i, tag := range asked {
			answer, isSome := n.answer(tag).(etf.Tuple)
			if ended = !isSome; ended {
				break // and the worker with it
			}
			data, isData := answer[1].(etf.Binary)
			if !isData {
				t.Fatalf("a read was answered %v", answer)
			}
			if len(data) == 0 || int64(len(data)) > limits[i] {
				t.Fatalf("%d bytes were read with a limit of %d", len(data), limits[i])
			}
			got = append(got, data...)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes were read, and they are not the %d that were written", len(got), len(want))
	}
}

// TestPacketForAWaitingRead checks that a waiting read gets the packet as it is defined when output
// comes.
func TestPacketForAWaitingRead(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"}, flow(etf.Atom("false")))
	tag := n.ask(func(m etf.Term) { n.toPid(w, m) }, etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(100)})
	same(t, n.workerCall(w, etf.Tuple{etf.Atom("setopts"), etf.List{etf.Tuple{etf.Atom("packet"), etf.Atom("line")}}}), etf.Atom("ok"))
	n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("a\nb\n")}})
	same(t, n.answer(tag), gen.OK(etf.Binary("a\n")))
}

// TestReadWaits checks that calls wait for output in line.
func TestReadWaits(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"}, flow(etf.Atom("false")), opt("packet", etf.Atom("line")))
	call := func(m etf.Term) { n.toPid(w, m) }
	read := etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(100)}
	first, second := n.ask(call, read), n.ask(call, read)
	n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("a\nb\nc")}})
	same(t, n.answer(first), gen.OK(etf.Binary("a\n")))
	same(t, n.answer(second), gen.OK(etf.Binary("b\n")))
	third := n.ask(call, read)
	n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("d\n")}})
	same(t, n.answer(third), gen.OK(etf.Binary("cd\n")))
	same(t, n.read(w, "nonsense", 1), gen.BadRequest(gen.Encode(etf.Tuple{etf.Atom("read"), etf.Atom("nonsense"), int64(1)})))
}

func TestActiveN(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"seq", "6"}, flow(int64(2)), opt("packet", etf.Atom("line")))
	line := func(s string) { n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary(s)}}) }
	// The answer comes before its consequences.
	set := func(v etf.Term) {
		same(t, n.workerCall(w, etf.Tuple{etf.Atom("setopts"), etf.List{etf.Tuple{etf.Atom("active"), v}}}), etf.Atom("ok"))
	}
	line("1\n")
	line("2\n")
	n.expect(etf.Tuple{w, etf.Atom("passive")})
	set(etf.Atom("once"))
	line("3\n")
	// The mode once ends without a message: the next frame is the answer.
	same(t, n.read(w, "stdout", 100), gen.OK(etf.Binary("4\n")))
	set(int64(1))
	line("5\n")
	n.expect(etf.Tuple{w, etf.Atom("passive")})
	set(etf.Atom("true"))
	line("6\n")
	// The ends of the streams come in any order, the exit last.
	n.events(w, "exit_status")
}

// TestPassiveIsStopped checks that unrequested output does not keep a stopped worker.
func TestPassiveIsStopped(t *testing.T) {
	n := startChild(t, nil)
	for _, end := range []func(w etf.Pid){
		func(w etf.Pid) {
			tag := n.ask(func(m etf.Term) { n.toPid(w, m) }, etf.Atom("stop"))
			n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
			n.answer(tag)
		},
		func(w etf.Pid) {
			n.toPid(w, etf.Tuple{n.self, etf.Atom("close")})
			n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
			n.expect(etf.Tuple{w, etf.Atom("closed")})
		},
	} {
		w := n.spawn([]string{"echo", "never read"}, flow(etf.Atom("false")))
		waitUntil(t, func() bool {
			for _, p := range n.workerCall(w, etf.Atom("info")).(etf.Map) {
				if p.Key == etf.Atom("state") {
					return p.Value == etf.Atom("draining")
				}
			}
			return false
		})
		end(w)
	}
}

func TestSetoptsIsAllOrNothing(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"})
	got := n.workerCall(w, etf.Tuple{etf.Atom("setopts"), etf.List{
		etf.Tuple{etf.Atom("active"), etf.Atom("false")}, etf.Tuple{etf.Atom("packet"), int64(3)},
	}})
	if tu := got.(etf.Tuple); tu[0] != etf.Atom("error") || tu[1].(etf.Tuple)[1] != etf.Atom("packet") {
		t.Errorf("a bad packet: %v", got)
	}
	same(t, n.read(w, "stdout", 1), gen.Error(etf.Atom("active")))
}
