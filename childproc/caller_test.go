package childproc

import (
	"testing"

	"erluv/childproc/peer"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// recorder answers callers that are no process of a node.
type recorder struct{ answers []etf.Term }

func (r *recorder) Answer(_ dist.Ask, term etf.Term) { r.answers = append(r.answers, term) }

func (r *recorder) Settle(a peer.Answer) {
	a.Held.Give()
	r.Answer(a.To, a.Term)
}

// TestCallersOfNoNode checks that a caller which is no process of a node is answered, at once or
// later, by its own answerer.
func TestCallersOfNoNode(t *testing.T) {
	pl := play(t, flow(etf.Atom("false")))
	m, before := pl.m, pl.m.held.bytes
	answer := func(do func(to caller)) etf.Term {
		t.Helper()
		r := &recorder{}
		do(caller{by: r})
		if len(r.answers) != 1 {
			t.Fatalf("%d answers", len(r.answers))
		}
		return r.answers[0]
	}
	request := func(req etf.Term) etf.Term {
		t.Helper()
		return answer(func(to caller) { m.request(to, gen.Encode(req)) })
	}
	call := func(req etf.Term) etf.Term {
		t.Helper()
		return answer(func(to caller) { m.workerCall(pl.p, to, gen.Encode(req)) })
	}
	if got := request(etf.Atom("workers")).(etf.List); len(got) != 1 {
		t.Errorf("workers: %#v", got)
	}
	same(t, request(etf.Tuple{etf.Atom("info"), etf.Atom("target")}), etf.Atom("undefined"))
	same(t, request(atoms("set", "key", "value")), gen.Error(etf.Atom("read_only")))
	same(t, request(etf.Tuple{etf.Atom("spawn"), etf.Binary("true"), etf.Map{}}), gen.Error(gen.Noconnection))
	call(etf.Atom("info"))
	same(t, call(etf.Tuple{etf.Atom("setopts"), etf.Map{opt("packet", int64(7))}}).(etf.Tuple)[0], etf.Atom("error"))
	same(t, call(etf.Atom("nonsense")), gen.Error(atoms("bad_request", "nonsense")))

	same(t, call(atoms("close", "stdin")), etf.Atom("ok"))
	same(t, call(etf.Tuple{etf.Atom("write"), etf.Binary("x")}), gen.Error(etf.Atom("epipe")))

	// Calls that wait.
	read, stopped := &recorder{}, &recorder{}
	m.workerCall(pl.p, caller{by: read}, gen.Encode(etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(3)}))
	if len(read.answers) > 0 || m.held.bytes != before+heldCost {
		t.Fatalf("the read has the answers %v; %d bytes are held", read.answers, m.held.bytes-before)
	}
	pl.output([]byte("abc"), 3)
	same(t, read.answers[0], gen.OK(etf.Binary("abc")))
	m.workerCall(pl.p, caller{by: stopped}, gen.Encode(etf.Atom("stop")))
	if len(stopped.answers) > 0 || m.held.bytes != before+heldCost {
		t.Fatalf("the stop has the answers %v; %d bytes are held", stopped.answers, m.held.bytes-before)
	}
	m.Gone(pl.p.w, workers.Exit{Status: 3})
	same(t, stopped.answers[0], gen.OK(etf.Tuple{etf.Atom("exit_status"), int64(3)}))
	if m.held.bytes != 0 {
		t.Errorf("%d bytes are held", m.held.bytes)
	}
}
