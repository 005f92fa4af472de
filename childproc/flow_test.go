package childproc

import (
	"testing"
	"time"

	"erluv/dist"
	"erluv/etf"
)

// flood starts a program that writes without end, and reads what comes until the
// node is asked how much waits for its owner. It says whom to answer, and how many
// bytes have come.
type flood struct {
	n  *node
	w  etf.Pid
	in int
}

// next reads up to a question about the queue of the test's process.
func (f *flood) next() (answer etf.Pid) {
	f.n.t.Helper()
	for {
		m := f.n.recv()
		if f.take(m) {
			return m.From
		}
	}
}

// take counts output, and says whether the message is a question.
func (f *flood) take(m dist.Message) bool {
	f.n.t.Helper()
	switch {
	case m.Op == dist.Send && m.To == f.n.self:
		t, err := etf.Decode(m.Payload)
		must(f.n.t, err)
		if out, ok := t.(etf.Tuple)[1].(etf.Tuple); ok && out[0] == etf.Atom("stdout") {
			if b, ok := out[1].(etf.Binary); ok {
				f.in += len(b)
			}
		}
	case m.Op == dist.RegSend && m.Name == "rex":
		t, err := etf.Decode(m.Payload)
		must(f.n.t, err)
		want := etf.Tuple{m.From, etf.Tuple{etf.Atom("call"), etf.Atom("erlang"), etf.Atom("process_info"), etf.List{f.n.self, etf.Atom("message_queue_len")}, etf.Atom("user")}}
		same(f.n.t, t, want)
		return true
	}
	return false
}

// quiet reads until nothing comes for a while.
func (f *flood) quiet() (asked int) {
	f.n.t.Helper()
	for {
		m, err := f.n.tryRecv(300 * time.Millisecond)
		if err != nil {
			return asked
		}
		if f.take(m) {
			asked++
		}
	}
}

func (f *flood) says(to etf.Pid, n int64) {
	f.n.t.Helper()
	f.n.toPid(to, etf.Tuple{etf.Atom("rex"), etf.Tuple{etf.Atom("message_queue_len"), n}})
}

func newFlood(t *testing.T, opts ...etf.Pair) *flood {
	n := startChild(t, nil)
	return &flood{n: n, w: n.spawn([]string{"cat", "/dev/zero"}, opts...)}
}

// A receiver that does not keep up is sent no more than two windows, and the flood
// goes on when its queue is short again.
func TestFlowAuto(t *testing.T) {
	f := newFlood(t)
	to := f.next()
	if f.in < flowBytes || f.in > flowBytes+maxPiece {
		t.Errorf("asked after %d bytes", f.in)
	}
	if again := f.quiet(); again != 0 || f.in > 2*flowBytes+maxPiece {
		t.Errorf("without an answer: %d more questions, %d bytes", again, f.in)
	}
	sent := f.in
	for range 5 { // long: asked again and again, and no byte more
		f.says(to, 1000)
		to = f.next()
	}
	if f.in != sent {
		t.Errorf("%d bytes to one whose queue is long", f.in-sent)
	}
	for range 20 { // short
		f.says(to, 1)
		sent = f.in
		to = f.next()
		if f.in <= sent || f.in > sent+2*flowBytes+maxPiece {
			t.Errorf("%d bytes for a question", f.in-sent)
		}
	}
	f.n.toPid(to, etf.Tuple{etf.Atom("rex"), etf.Atom("undefined")}) // it has ended
	f.next()
}

// Half of what is long is not yet short.
func TestFlowHysteresis(t *testing.T) {
	// All messages have one size, however the pipe grows.
	f := newFlood(t, etf.Pair{Key: etf.Atom("packet"), Value: etf.Tuple{etf.Atom("line"), int64(64 << 10)}})
	to := f.next()
	f.quiet()
	sent := f.in
	piece := int64(64<<10 + messageCost)
	for _, waits := range []int64{flowLong/piece + 2, flowLong / piece, flowLong/2/piece + 2} {
		f.says(to, waits)
		to = f.next()
	}
	if f.in != sent {
		t.Errorf("%d bytes too early", f.in-sent)
	}
	f.says(to, flowLong/2/piece-2)
	f.next()
	if f.in == sent {
		t.Error("nothing although the queue is short")
	}
}

// A node that does not answer: so much in a time, and no end of it.
func TestFlowBlind(t *testing.T) {
	f := newFlood(t)
	start := time.Now()
	for range 5 {
		f.n.toPid(f.next(), etf.Tuple{etf.Atom("rex"), atoms("badrpc", "notsup")})
	}
	if took := time.Since(start); took < 3*flowBlind || f.in > 5*(2*flowBytes+maxPiece) {
		t.Errorf("%d bytes in %v", f.in, took)
	}
}

// What was told to end is not held up by a receiver that is slow.
func TestFlowEnds(t *testing.T) {
	for name, end := range map[string]func(*flood){
		"stop": func(f *flood) { f.n.ask(func(m etf.Term) { f.n.toPid(f.w, m) }, etf.Atom("stop")) },
		"kill": func(f *flood) { f.n.write(dist.AppendExit2(nil, f.n.self, f.w, raw(etf.Atom("kill")))) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFlood(t)
			to := f.next()
			f.quiet()
			f.says(to, 1000)
			end(f)
			for {
				m := f.n.recv()
				if f.take(m) {
					f.says(m.From, 1000)
				}
				if m.Op == dist.Send && m.To == f.n.self {
					v, err := etf.Decode(m.Payload)
					must(t, err)
					if e, ok := v.(etf.Tuple)[1].(etf.Tuple); ok && e[0] == etf.Atom("signal") {
						return
					}
				}
			}
		})
	}
}

// {active, true} never stops; and it can be changed while it runs.
func TestFlowActive(t *testing.T) {
	f := newFlood(t)
	f.next()
	f.quiet()
	tag := f.n.ask(func(m etf.Term) { f.n.toPid(f.w, m) }, etf.Tuple{etf.Atom("setopts"), etf.List{etf.Tuple{etf.Atom("active"), etf.Atom("true")}}})
	same(t, f.n.answer(tag), etf.Atom("ok"))
	for f.in < 20*flowBytes {
		if f.take(f.n.recv()) {
			t.Fatal("asked for a flow that never stops")
		}
	}
}

// Receivers that have gone are forgotten.
func TestFlowsAreForgotten(t *testing.T) {
	m := &manager{flows: map[etf.Pid]*backlog{}, procs: map[uint64]*proc{}}
	for i := range 10 * maxFlows {
		p, st := &proc{owner: etf.Pid{Node: testTarget, ID: uint32(i) + 1}}, &stream{}
		m.flowsOf(p, st)
		if i%100 != 0 {
			st.leaveFlows()
		}
	}
	if len(m.flows) > maxFlows+10*maxFlows/100 {
		t.Errorf("%d are remembered", len(m.flows))
	}
	for i := 0; i < 10*maxFlows; i += 100 {
		if m.flows[etf.Pid{Node: testTarget, ID: uint32(i) + 1}] == nil {
			t.Fatalf("receiver %d is forgotten, and in use", i)
		}
	}
}
