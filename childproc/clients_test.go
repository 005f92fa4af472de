package childproc

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/childproc/peer"
	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// two starts two nodes that one child serves. Their first processes have the same numbers.
func two(t *testing.T) (a, b *node) {
	other := testLink
	other.ID, other.Target = 1, "other@localhost"
	nodes := startNodes(t, nil, testLink, other)
	return nodes[0], nodes[1]
}

// spawned requests a worker and returns it. The caller gets its messages.
func (n *node) spawned(cmd string, opts ...etf.Pair) etf.Pid {
	n.t.Helper()
	tag := n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{etf.Atom("spawn"), etf.Binary(cmd), etf.Map(opts)})
	for {
		m := n.recv()
		switch m.Op {
		case dist.MonitorP, dist.DemonitorP, dist.Link:
			continue
		}
		v, err := etf.Decode(m.Payload)
		must(n.t, err)
		same(n.t, v.(etf.Tuple)[0], tag)
		answer, ok := v.(etf.Tuple)[1].(etf.Tuple)
		if !ok || answer[0] != etf.Atom("ok") {
			n.t.Fatalf("%s: %v", cmd, v)
		}
		return answer[1].(etf.Pid)
	}
}

var unlinked = opt("link", etf.Atom("false"))

// op returns the next frame, which must be of the wanted kind. It skips monitors of the child's,
// and messages unless wanted.
func (n *node) op(want dist.Op) dist.Message {
	n.t.Helper()
	m := n.recv()
	for m.Op == dist.MonitorP || m.Op == dist.DemonitorP || m.Op == dist.Send && m.Op != want {
		m = n.recv()
	}
	if m.Op != want {
		n.t.Fatalf("%s: instead of %v: %s", n.name, want, show(m))
	}
	return m
}

// undisturbed checks that the node gets nothing but the answer to its call.
func (n *node) undisturbed() {
	n.t.Helper()
	n.call(etf.Tuple{etf.Atom("info"), etf.Atom("node")})
}

func (n *node) someRef(no uint32) etf.Raw {
	return etf.AppendNewRef(nil, n.name, 9, no, 2, 3)
}

// TestTwoAnswers checks that each node gets its own answers and messages, on its own connection.
func TestTwoAnswers(t *testing.T) {
	a, b := two(t)
	for range 10 {
		tags := [2]etf.Raw{}
		for i, n := range []*node{a, b} {
			tags[i] = n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{etf.Atom("info"), etf.Atom("target")})
		}
		for i, n := range []*node{a, b} {
			same(t, n.answer(tags[i]), n.name)
		}
	}
	// The other node calls a process of the first, then both at once.
	w := a.spawned("cat", unlinked, flow(etf.Atom("false")))
	same(t, b.workerCall(w, etf.Tuple{etf.Atom("write"), etf.Binary("for both")}), etf.Atom("ok"))
	read := func(n *node) etf.Raw {
		return n.ask(func(m etf.Term) { n.toPid(w, m) }, etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(4)})
	}
	first := read(a)
	same(t, a.answer(first), gen.OK(etf.Binary("for ")))
	same(t, b.answer(read(b)), gen.OK(etf.Binary("both")))
	same(t, b.workerCall(w, etf.Atom("stop")), gen.OK(atoms("signal", "sigterm")))
	if m := a.message(a.self).(etf.Tuple); m[0] != w {
		t.Errorf("%v", m)
	}
	b.undisturbed()
}

// TestTwoObservers checks that links and monitors belong to their node, with equal numbers too.
// Main gets each in the ledger of its connection.
func TestTwoObservers(t *testing.T) {
	a, b := two(t)
	w := a.spawned("cat", unlinked)
	for _, n := range []*node{a, b} {
		n.write(dist.AppendLink(nil, n.self, w))
		n.write(dist.AppendMonitor(nil, n.self, w, n.someRef(1)))
	}
	for _, n := range []*node{a, b} {
		n.knows(true, observerOf(ipc.ObserverLink, w, n.self))
		n.knows(true, monitorOf(w, "", n.self, string(n.someRef(1))))
	}
	// A removal by one node leaves the other's in place, and no node can remove another's.
	b.write(dist.AppendUnlinkID(nil, 1, a.self, w))
	b.op(dist.UnlinkIDAck)
	b.write(dist.AppendDemonitor(nil, a.self, w, a.someRef(1)))
	b.write(dist.AppendExit(nil, a.self, w, gen.Kill))
	b.write(dist.AppendMonitorExit(nil, a.self, w, a.someRef(1), gen.Kill))
	b.undisturbed()
	same(t, valueOf(t, a.workerCall(w, etf.Atom("info")).(etf.Map), "state"), etf.Atom("running"))
	for _, n := range []*node{a, b} {
		n.push()
		n.knows(true, monitorOf(etf.Pid{}, "erluv", n.self, string(etf.AppendNewRef(nil, n.name, 9, n.next, 1, 1))))
		for _, want := range []ipc.Observer{observerOf(ipc.ObserverLink, w, n.self), monitorOf(w, "", n.self, string(n.someRef(1)))} {
			if !slices.Contains(n.known(), want) {
				t.Errorf("%s: %+v is not known any more", n.name, want)
			}
		}
	}
	b.write(dist.AppendUnlinkID(nil, 2, b.self, w))
	b.op(dist.UnlinkIDAck)
	b.knows(false, observerOf(ipc.ObserverLink, w, b.self))
	a.knows(true, observerOf(ipc.ObserverLink, w, a.self))

	b.write(dist.AppendLink(nil, b.self, w))
	b.undisturbed()
	a.write(dist.AppendExit2(nil, a.self, w, gen.Encode(etf.Atom("enough"))))
	for _, n := range []*node{a, b} {
		for _, op := range []dist.Op{dist.PayloadExit, dist.PayloadMonitorPExit} {
			if m := n.op(op); m.From != w || m.To != n.self || !gen.IsAtom(m.Reason, gen.Encode(etf.Atom("enough"))) {
				t.Errorf("%s is told %s", n.name, show(m))
			}
		}
		n.undisturbed()
		n.knows(false, monitorOf(w, "", n.self, string(n.someRef(1))))
	}
}

// TestTwoOwners has a worker that belongs to a process of another node than its caller's. It sends
// output to both, and gets another owner.
func TestTwoOwners(t *testing.T) {
	a, b := two(t)
	to := etf.List{etf.Atom("owner"), etf.Tuple{etf.Atom("pid"), a.self}}
	w := a.spawned("cat", unlinked, opt("owner", b.self), opt("stdout", to))
	if m := b.recv(); m.Op != dist.MonitorP || m.To != b.self {
		t.Fatalf("instead of a monitor on the owner: %s", show(m))
	}
	same(t, a.workerCallAmid(w, etf.Tuple{etf.Atom("write"), etf.Binary("hello")}, func(v etf.Tuple) {
		same(t, v, etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("hello")}})
	}), etf.Atom("ok"))
	b.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("hello")}})
	// The monitor on the owner is on the owner's node.
	same(t, b.workerCall(w, etf.Tuple{etf.Atom("setopts"), etf.Map{opt("owner", a.self), opt("stdout", etf.Atom("owner"))}}), etf.Atom("ok"))
	a.monitor()
	same(t, b.workerCall(w, etf.Tuple{etf.Atom("write"), etf.Binary("a's")}), etf.Atom("ok"))
	a.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("a's")}})
	b.undisturbed()
	// Now the worker ends with a's process, and b's end means nothing.
	owner := a.ownersMonitor()
	b.write(dist.AppendMonitorExit(nil, b.self, w, etf.Raw(owner.Ref), gen.Normal))
	b.undisturbed()
	same(t, valueOf(t, b.workerCall(w, etf.Atom("info")).(etf.Map), "state"), etf.Atom("running"))
	b.write(dist.AppendMonitor(nil, b.self, w, b.someRef(3)))
	a.write(dist.AppendMonitorExit(nil, a.self, w, etf.Raw(owner.Ref), gen.Normal))
	if m := b.op(dist.PayloadMonitorPExit); !gen.IsAtom(m.Reason, gen.Normal) {
		t.Errorf("the worker ends with %x", m.Reason)
	}
	// A watcher of files stays with the node that gets its messages. The worker's last messages
	// come before the answer, and a dead owner may get fewer.
	f := a.await(a.request(etf.Tuple{etf.Atom("watch"), etf.Binary(t.TempDir()), etf.Map{unlinked, opt("owner", etf.Atom("none"))}}))
	fs := f.(etf.Tuple)[1].(etf.Pid)
	bad(t, a.workerCall(fs, etf.Tuple{etf.Atom("setopts"), etf.Map{opt("owner", b.self)}}), "owner")
}

// workerCallAmid is workerCall among other messages to the test's process.
func (n *node) workerCallAmid(w etf.Pid, req etf.Term, other func(etf.Tuple)) etf.Term {
	n.t.Helper()
	tag := n.ask(func(m etf.Term) { n.toPid(w, m) }, req)
	var answer etf.Term
	for range 2 {
		v := n.message(n.self).(etf.Tuple)
		if raw, ok := v[0].(etf.Raw); ok && bytes.Equal(raw, tag) {
			answer = v[1]
		} else {
			other(v)
		}
	}
	return answer
}

// TestTwoFlows checks that the child asks the receiver's own node, and that its silence delays no
// other.
func TestTwoFlows(t *testing.T) {
	a, b := two(t)
	f := &flood{n: b, w: b.spawned("exec cat /dev/zero", unlinked)}
	asked := f.next()
	a.undisturbed()
	echo := a.spawned("cat", unlinked)
	for i := range 10 {
		text := etf.Binary(fmt.Sprint("echo ", i))
		a.toPid(echo, etf.Tuple{a.self, etf.Tuple{etf.Atom("command"), text}})
		a.expect(etf.Tuple{echo, etf.Tuple{etf.Atom("stdout"), text}})
	}
	// An answer counts only if it comes from the node that was asked.
	f.quiet()
	sent := f.in
	a.toPid(asked, etf.Tuple{etf.Atom("rex"), etf.Tuple{etf.Atom("message_queue_len"), int64(0)}})
	a.undisturbed()
	if f.quiet(); f.in != sent {
		t.Errorf("%d bytes after an answer of the wrong node", f.in-sent)
	}
	for f.in == sent {
		f.has(asked, 0, 0)
		asked = f.next()
	}
}

// TestTwoWithoutRoom checks that a node which reads nothing holds back its own workers. Of the
// others' workers it holds back only the streams that it receives.
func TestTwoWithoutRoom(t *testing.T) {
	a, b := two(t)
	floods := b.spawned("exec cat /dev/zero", unlinked, flow(etf.Atom("true")))
	// No event reports the end of the flow. The kernel now and then moves a little more between the
	// sockets' buffers, when it probes the window.
	const quiet = 30
	end := time.Now().Add(patience)
	for still, before := 0, -1; still < quiet; time.Sleep(100 * time.Millisecond) {
		if now := b.unread(); !b.full.Load() || now != before {
			still, before = 0, now
		} else {
			still++
		}
		if time.Now().After(end) {
			t.Fatal("the flood never stops")
		}
	}
	to := etf.List{etf.Atom("owner"), etf.Tuple{etf.Atom("pid"), b.self}}
	echo := a.spawned("cat", unlinked)
	both := a.spawned("cat", unlinked, opt("stdout", to), flow(etf.Atom("true")))
	command := func(w etf.Pid, text string) {
		a.toPid(w, etf.Tuple{a.self, etf.Tuple{etf.Atom("command"), etf.Binary(text)}})
	}
	says := func(w etf.Pid, text string) etf.Term {
		return etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary(text)}}
	}
	command(both, "for both")
	for i := range 10 {
		text := fmt.Sprint("echo ", i)
		command(echo, text)
		a.expect(says(echo, text)) // and nothing of the other worker
	}
	// b reads again, so a gets the output that waited for b.
	kill := func() { b.write(dist.AppendExit2(nil, b.self, floods, gen.Kill)) }
	kill()
	for got := false; !got; {
		m := b.op(dist.Send)
		if len(m.Payload) > 1000 {
			continue
		}
		v, err := etf.Decode(m.Payload)
		must(t, err)
		got = v.(etf.Tuple)[0] == both
		if got {
			same(t, v, says(both, "for both"))
		}
	}
	a.expect(says(both, "for both"))
	command(both, "again")
	a.expect(says(both, "again"))
}

// TestOneOfTwoEnds checks that the end of a connection breaks its links and ends the workers whose
// owner was there. The other node notices nothing else.
func TestOneOfTwoEnds(t *testing.T) {
	a, b := two(t)
	noconnection := gen.Noconnection
	bOwned := b.spawned("sleep 1000", unlinked)
	bDetached := b.spawned("trap '' TERM; sleep 1000", unlinked, opt("detached", etf.Atom("true")))
	aForB := a.spawned("sleep 1000", unlinked, opt("owner", b.self))
	aOwnerless := a.spawned("sleep 1000", unlinked, opt("owner", etf.Atom("none")))
	aLinked := a.spawned("exec sleep 1000", unlinked)
	to := etf.List{etf.Atom("owner"), etf.Tuple{etf.Atom("pid"), b.self}}
	aBoth := a.spawned("cat", unlinked, opt("stdout", to))
	b.write(dist.AppendLink(nil, b.self, aLinked))
	b.write(dist.AppendMonitor(nil, b.self, aBoth, b.someRef(1)))
	aWatched := etf.Atom("erluv")
	b.write(monitorName(b.self, aWatched, b.someRef(2)))
	for i, w := range []etf.Pid{bOwned, bDetached, aForB, aOwnerless, aLinked, aBoth} {
		a.write(dist.AppendMonitor(nil, a.self, w, a.someRef(uint32(10+i))))
	}
	a.undisturbed()
	// It has waiting calls, words, and a stop under way.
	for range 100 {
		b.ask(func(m etf.Term) { b.toPid(aBoth, m) }, etf.Tuple{etf.Atom("write"), etf.Binary(strings.Repeat("x", 1000))})
	}
	b.ask(func(m etf.Term) { b.toPid(bDetached, m) }, etf.Atom("stop"))
	for tag := b.ask(func(m etf.Term) { b.toName("erluv", m) }, etf.Atom("workers")); !bytes.Contains(b.op(dist.Send).Payload, tag); {
	}
	must(t, b.conn.Close())

	ended := map[etf.Pid]bool{}
	for len(ended) < 4 {
		m := a.recv()
		switch {
		case m.Op == dist.PayloadMonitorPExit:
			ended[m.From] = true
			if want := noconnection; !gen.IsAtom(m.Reason, want) && m.From != bDetached {
				t.Errorf("%v ends with %x", m.From, m.Reason)
			}
		case m.Op == dist.Send && m.To == a.self: // {aLinked, {signal, sigterm}}, and output of aBoth
			v, err := etf.Decode(m.Payload)
			must(t, err)
			if w := v.(etf.Tuple)[0]; w != aLinked && w != aBoth {
				t.Errorf("a is told %v", v)
			}
		case m.Op != dist.DemonitorP:
			t.Errorf("a is told %s", show(m))
		}
	}
	for _, w := range []etf.Pid{bOwned, bDetached, aForB, aLinked} {
		if !ended[w] {
			t.Errorf("%v has not ended", w)
		}
	}
	// The rest works without b.
	for _, w := range []etf.Pid{aOwnerless, aBoth} {
		a.toPid(w, etf.Tuple{a.self, etf.Tuple{etf.Atom("command"), etf.Binary("!")}})
	}
	for got := false; !got; {
		v := a.message(a.self).(etf.Tuple)
		out := v[1].(etf.Tuple)[1].(etf.Binary)
		got = bytes.HasSuffix(out, []byte("!"))
	}
	bad(t, a.call(etf.Tuple{etf.Atom("spawn"), etf.Binary("true"), etf.Map{opt("owner", b.self)}}), "owner")
	select {
	case err := <-a.done:
		t.Fatalf("the child has ended: %v", err)
	default:
	}
	if lost := hears[ipc.Lost](a); lost.ID != 1 || lost.Text == "" {
		t.Errorf("main hears %+v", lost)
	}
	// The end of the last connection ends everything.
	must(t, a.conn.Close())
	if stopped := a.mainHears(); stopped.Cause != ipc.CauseDisconnected {
		t.Errorf("main hears %+v", stopped)
	}
	err := <-a.done
	a.done <- err
	if held := a.m.held.bytes; err != nil || held != 0 {
		t.Errorf("%v; %d bytes of the budget are held", err, held)
	}
}

// TestConnections checks that info has each connection with its purpose, and those that main is
// making.
func TestConnections(t *testing.T) {
	first, other := testLink, testLink
	first.Transport, first.Since = "tcp", 5
	other.ID, other.Target, other.Accepted, other.Transport, other.Since = 1, "other@localhost", true, "tls", 6
	nodes := startNodes(t, nil, first, other)
	a, b := nodes[0], nodes[1]
	w := a.spawned("cat", unlinked, opt("owner", b.self))
	b.write(dist.AppendLink(nil, b.self, w))
	b.write(dist.AppendMonitor(nil, b.self, w, b.someRef(1)))
	b.write(dist.AppendMonitor(nil, b.self, w, b.someRef(2)))
	b.write(monitorName(b.self, "erluv", b.someRef(3)))
	b.recv() // the monitor on the owner
	b.undisturbed()
	must(t, a.up.Send(ipc.Append(nil, ipc.Awaited{Nodes: []ipc.Waits{{Node: "c@h", Why: "refused"}, {Node: "d@h"}}}), patience))
	var list etf.List
	for end := time.Now().Add(patience); len(list) != 4; {
		list = a.call(etf.Tuple{etf.Atom("info"), etf.Atom("connections")}).(etf.List)
		if time.Now().After(end) {
			t.Fatalf("%v", list)
		}
	}
	for i, want := range []etf.Map{
		pairs("node", etf.Atom(testTarget), "state", etf.Atom("connected"), "direction", etf.Atom("dialled"), "transport", etf.Atom("tcp"),
			"since", int64(5), "links", int64(0), "monitors", int64(0), "workers", int64(0)),
		pairs("node", b.name, "state", etf.Atom("connected"), "direction", etf.Atom("accepted"), "transport", etf.Atom("tls"),
			"since", int64(6), "links", int64(1), "monitors", int64(3), "workers", int64(1)),
		pairs("node", etf.Atom("c@h"), "state", etf.Atom("waiting"), "workers", int64(0), "error", etf.Binary("refused")),
		pairs("node", etf.Atom("d@h"), "state", etf.Atom("waiting"), "workers", int64(0), "error", etf.Atom("undefined")),
	} {
		got := list[i].(etf.Map)
		if i < 2 {
			sent, received := valueOf(t, got, "sent").(int64), valueOf(t, got, "received").(int64)
			if sent < 100 || received < 100 || sent > 1e6 || received > 1e6 {
				t.Errorf("%d bytes sent, %d received", sent, received)
			}
			got = got[:len(got)-2]
		}
		same(t, got, want)
	}
}

// TestTwoStop checks that both nodes learn of the orderly end, and both connections are closed.
func TestTwoStop(t *testing.T) {
	a, b := two(t)
	w := a.spawned("cat", unlinked)
	b.write(dist.AppendMonitor(nil, b.self, w, b.someRef(1)))
	b.write(monitorName(b.self, "erluv", b.someRef(2)))
	b.undisturbed()
	tag := b.ask(func(m etf.Term) { b.toName("erluv", m) }, etf.Tuple{etf.Atom("stop"), etf.Atom("enough")})
	same(t, b.answer(tag), etf.Atom("ok"))
	for _, n := range []*node{a, b} {
		if m := n.op(dist.RegSend); m.Name != "erluv" {
			t.Errorf("%s: %s", n.name, show(m))
		}
	}
	for _, from := range []etf.Pid{w, {}} {
		if m := b.op(dist.PayloadMonitorPExit); m.From != from || !gen.IsAtom(m.Reason, gen.Encode(etf.Atom("enough"))) {
			t.Errorf("b is told %s", show(m))
		}
	}
	for _, n := range []*node{a, b} {
		m, err := n.tryRecv(patience)
		for err == nil && (m.Op == dist.Send || m.Op == dist.DemonitorP) { // the worker's last words
			m, err = n.tryRecv(patience)
		}
		if err != io.EOF {
			t.Errorf("%s: %s, %v", n.name, show(m), err)
		}
		_ = n.conn.Close()
	}
	if stopped := a.mainHears(); stopped.Cause != ipc.CauseAsked {
		t.Errorf("main hears %+v", stopped)
	}
}

// TestOnePidForTwo checks that a question to one node has a unique pid.
func TestOnePidForTwo(t *testing.T) {
	pl := play(t)
	other := testLink
	other.Target = "other@localhost"
	c := connected(t, pl.m, other)
	seen := map[etf.Pid]bool{pl.p.pid: true, pl.m.self: true}
	for i := range 3 * (1 << gen.IDBits) {
		if i%1000 == 0 {
			before := pl.m.nextPid + 1
			c.Ask("m", "f", nil, func(etf.Term) {})
			pid := gen.PidOf(pl.m.name, pl.m.creation, before%gen.Numbers)
			if !c.Asks(pid) {
				t.Fatal("the question has another pid")
			}
			seen[pid] = true
		}
		if i == 1<<gen.IDBits {
			pl.m.nextPid = 0 // as after all numbers
		}
		if pid := pl.m.newPid(); seen[pid] {
			t.Fatalf("%v is given twice", pid)
		}
	}
	if _, err := pl.m.connect(peer.Given{Link: other, FD: -1}, nil); err == nil {
		t.Error("a second connection to a node is taken")
	}
}

// TestHeldByOneThatEnds checks that a stream which waits for a receiver goes on to the others when
// that receiver's node is gone.
func TestHeldByOneThatEnds(t *testing.T) {
	a, b := two(t)
	to := etf.List{etf.Atom("owner"), etf.Tuple{etf.Atom("pid"), b.self}}
	f := &flood{n: a, w: a.spawned("exec cat /dev/zero", unlinked, opt("stdout", to))}
	go func() { // ends with the connection
		_, _ = io.Copy(io.Discard, b.conn) // and answers nothing
	}()
	for m, err := a.recv(), error(nil); err == nil; m, err = a.tryRecv(500 * time.Millisecond) {
		if f.take(m) {
			f.has(m.From, 0, 0)
		}
	} // now b holds it, since a's process takes everything
	must(t, b.conn.Close())
	for before := f.in; f.in < before+4*peer.FlowBudget; {
		if m := a.recv(); f.take(m) {
			f.has(m.From, 0, 0)
		}
	}
}
