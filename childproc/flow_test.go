package childproc

import (
	"testing"
	"time"

	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// flood starts a program that writes without end. It reads output until the child asks how much
// waits for the owner. It counts the output, and returns where to send the answer.
type flood struct {
	n     *node
	w     etf.Pid
	in    int  // bytes of output
	cost  int  // cost of the messages by the rule
	looks bool // the last question was about the content
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

// take counts output, and reports whether the message is a question.
func (f *flood) take(m dist.Message) bool {
	f.n.t.Helper()
	switch {
	case m.Op == dist.Send && m.To == f.n.self:
		t, err := etf.Decode(m.Payload)
		must(f.n.t, err)
		if out, ok := t.(etf.Tuple)[1].(etf.Tuple); ok && out[0] == etf.Atom("stdout") {
			if b, ok := out[1].(etf.Binary); ok {
				f.in += len(b)
				f.cost += len(b) + peer.MessageCost
			}
		}
	case m.Op == dist.RegSend && m.Name == "erluv":
		f.n.t.Errorf("an event that was not expected: %s", show(m))
	case m.Op == dist.RegSend && m.Name == "rex":
		t, err := etf.Decode(m.Payload)
		must(f.n.t, err)
		call := t.(etf.Tuple)[1].(etf.Tuple)
		if f.looks = call[1] == etf.Atom("erl_eval"); f.looks {
			same(f.n.t, call[3].(etf.List)[1].(etf.List)[0], etf.Tuple{etf.Atom("P"), f.n.self})
			return true
		}
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

// has answers any question: n messages wait, with that cost of the flood.
func (f *flood) has(to etf.Pid, n int64, cost int) {
	f.n.t.Helper()
	if !f.looks {
		f.says(to, n)
		return
	}
	groups := etf.List{}
	if cost > 0 {
		groups = etf.List{etf.Tuple{etf.Tuple{f.w, etf.Atom("stdout")}, int64(cost)}}
	}
	f.n.toPid(to, etf.Tuple{etf.Atom("rex"), etf.Tuple{etf.Atom("value"), etf.Tuple{n, groups}, etf.List{}}})
}

func newFlood(t *testing.T, opts ...etf.Pair) *flood {
	n := startChild(t, nil)
	return &flood{n: n, w: n.spawn([]string{"cat", "/dev/zero"}, opts...)}
}

// alone is how much may wait of a single stream.
const alone = peer.FlowBudget / (peer.FlowPart + 1)

// TestFlowAuto checks that a slow receiver gets its share. The flood must go on when half of that
// waits, with any number of messages of others.
func TestFlowAuto(t *testing.T) {
	f := newFlood(t)
	to := f.next()
	if f.cost < peer.FlowBytes || f.in > peer.FlowBytes+output.MaxPiece {
		t.Errorf("asked after %d bytes", f.in)
	}
	if again := f.quiet(); again != 0 || f.cost < alone || f.in > alone+alone/4 {
		t.Errorf("without an answer: %d more questions, %d bytes", again, f.in)
	}
	sent, looks := f.in, 0
	for n := range int64(30) { // asked again and again, without another byte
		f.has(to, 1000+n, f.cost)
		to = f.next()
		if f.looks {
			looks++
		}
	}
	if f.in != sent || looks < 2 {
		t.Errorf("%d bytes to one for whom much waits, after %d looks", f.in-sent, looks)
	}
	for n := range int64(40) { // messages of others stay
		sent = f.in
		before := f.looks
		f.has(to, 1100+n, 0)
		to = f.next()
		if before && f.in == sent {
			t.Error("nothing although nothing waits")
		}
		if f.in > sent+alone+alone/4 {
			t.Errorf("%d bytes for a question", f.in-sent)
		}
	}
	f.n.toPid(to, etf.Tuple{etf.Atom("rex"), etf.Atom("undefined")}) // it has ended
	f.next()
}

// TestFlowHysteresis checks that more than half of the share is too much.
func TestFlowHysteresis(t *testing.T) {
	f := newFlood(t)
	to := f.next()
	f.quiet()
	sent := f.in
	for n, waits := range []int{alone, alone, alone * 3 / 4, alone * 3 / 4} {
		f.has(to, int64(1000+n), waits)
		to = f.next()
	}
	if f.in != sent {
		t.Errorf("%d bytes too early", f.in-sent)
	}
	for f.in == sent {
		f.has(to, 2000, alone/4)
		to = f.next()
	}
}

// TestFlowLines checks that small messages count by their number.
func TestFlowLines(t *testing.T) {
	n := startChild(t, nil)
	f := &flood{n: n, w: n.spawn([]string{"yes", ""}, opt("packet", etf.Atom("line")))}
	f.next()
	if f.quiet(); f.cost < alone || f.cost > alone+alone/4 || f.in > alone/peer.MessageCost*5/4 {
		t.Errorf("%d lines, which cost %d", f.in, f.cost)
	}
}

// TestFlowBlind has a node that does not answer. It must get a bounded amount in each interval,
// without end.
func TestFlowBlind(t *testing.T) {
	f := newFlood(t)
	start := time.Now()
	for range 5 {
		f.n.toPid(f.next(), etf.Tuple{etf.Atom("rex"), atoms("badrpc", "notsup")})
	}
	if took := time.Since(start); took < 3*peer.FlowBlind || f.in > alone+5*(peer.FlowBytes+output.MaxPiece) {
		t.Errorf("%d bytes in %v", f.in, took)
	}
}

// TestFlowEnds checks that a slow receiver does not hold up a stopped worker.
func TestFlowEnds(t *testing.T) {
	for name, end := range map[string]func(*flood){
		"stop": func(f *flood) { f.n.ask(func(m etf.Term) { f.n.toPid(f.w, m) }, etf.Atom("stop")) },
		"kill": func(f *flood) { f.n.write(dist.AppendExit2(nil, f.n.self, f.w, gen.Encode(etf.Atom("kill")))) },
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

// TestFlowActive checks that {active, true} never waits, and can be set while a program runs.
func TestFlowActive(t *testing.T) {
	f := newFlood(t)
	f.next()
	f.quiet()
	tag := f.n.ask(func(m etf.Term) { f.n.toPid(f.w, m) }, etf.Tuple{etf.Atom("setopts"), etf.List{etf.Tuple{etf.Atom("active"), etf.Atom("true")}}})
	same(t, f.n.answer(tag), etf.Atom("ok"))
	for f.in < 20*peer.FlowBytes {
		if f.take(f.n.recv()) {
			t.Fatal("asked for a flow that never stops")
		}
	}
}

// told returns the next event of flow control for the controller. Until then, all sent output waits
// for the receiver, or none.
func (f *flood) told(to etf.Pid, all bool) (what etf.Term, of etf.Map) {
	f.n.t.Helper()
	waits := func() int {
		if all {
			return f.cost
		}
		return 0
	}
	f.has(to, 1000, waits())
	for {
		m := f.n.recv()
		if m.Op == dist.RegSend && m.Name == "erluv" {
			t, err := etf.Decode(m.Payload)
			must(f.n.t, err)
			event := t.(etf.Tuple)[2].(etf.Tuple)
			same(f.n.t, event[0], etf.Atom("flow"))
			return event[1], event[2].(etf.Map)
		}
		if f.take(m) {
			f.has(m.From, 1000, waits())
		}
	}
}

// TestFlowEvents checks that a controller which asked for it gets an event, once, after a stream
// has waited for its receiver for a second. It must get another when the receiver has caught up.
func TestFlowEvents(t *testing.T) {
	n := startChild(t, nil)
	for _, bad := range []etf.Term{etf.Atom("flow"), etf.List{etf.Atom("other")}, etf.List{etf.Atom("flow"), etf.Atom("flow")}} {
		req := etf.Tuple{etf.Atom("events"), bad}
		same(t, n.call(req), gen.BadRequest(etf.Raw(gen.Encode(req))))
	}
	same(t, n.call(etf.Tuple{etf.Atom("events"), etf.List{etf.Atom("flow")}}), etf.Atom("ok"))
	f := &flood{n: n, w: n.spawn([]string{"cat", "/dev/zero"}, etf.Pair{Key: etf.Atom("name"), Value: etf.Atom("tap")})}
	began := time.Now()
	check := func(what etf.Term, of etf.Map, want etf.Atom) {
		t.Helper()
		ms := valueOf(t, of, "paused").(int64)
		if took := time.Since(began); what != want || ms < 1000 || ms > took.Milliseconds() {
			t.Errorf("%v, paused for %d ms, after %v", what, ms, took)
		}
		same(t, valueOf(t, of, "worker"), f.w)
		same(t, valueOf(t, of, "name"), etf.Atom("tap"))
		same(t, valueOf(t, of, "cmd"), etf.List{etf.Binary("cat"), etf.Binary("/dev/zero")})
		same(t, valueOf(t, of, "stream"), etf.Atom("stdout"))
		same(t, valueOf(t, of, "receiver"), n.self)
	}
	what, of := f.told(f.next(), true)
	check(what, of, "paused")
	for began := time.Now(); time.Since(began) < 1500*time.Millisecond; { // and no second event
		f.has(f.next(), 1000, f.cost)
	}
	what, of = f.told(f.next(), false)
	check(what, of, "resumed")
}
