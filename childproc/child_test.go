package childproc

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

var modes = map[string]func(*ipc.Start){
	"pidfd":   nil,
	"reports": func(s *ipc.Start) { s.Reports = true },
}

func TestWorkerTalks(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			n := startChild(t, mode)
			w := n.spawn([]string{"cat"})
			same(t, n.workerCall(w, etf.Tuple{etf.Atom("write"), etf.List{etf.Binary("ab"), int64('c')}}), etf.Atom("ok"))
			n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("abc")}})
			same(t, n.workerCall(w, atoms("close", "stdin")), etf.Atom("ok"))
			seen := map[string]bool{}
			for range 2 {
				m := n.message(n.self).(etf.Tuple)
				seen[fmt.Sprint(m[1])] = true
			}
			if !seen["[stdout eof]"] || !seen["[stderr eof]"] {
				t.Errorf("the streams ended with %v", seen)
			}
			n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
			if m := n.recv(); m.Op != dist.DemonitorP {
				t.Errorf("instead of the end of the monitor: %s", show(m))
			}
		})
	}
}

func TestLinkComesBeforeTheAnswer(t *testing.T) {
	n := startChild(t, nil)
	tag := n.ask(func(m etf.Term) { n.toName("erluv", m) },
		etf.Tuple{etf.Atom("spawn"), etf.List{etf.Binary("false")}, etf.List(nil)})
	link := n.recv()
	if link.Op != dist.Link || link.To != n.self {
		t.Fatalf("instead of a link: %s", show(link))
	}
	if m := n.recv(); m.Op != dist.MonitorP {
		t.Fatalf("instead of a monitor: %s", show(m))
	}
	same(t, n.answer(tag), etf.Tuple{etf.Atom("ok"), link.From})
	for {
		m := n.recv()
		if m.Op == dist.Send {
			continue
		}
		if m.Op != dist.PayloadExit || m.To != n.self || m.From != link.From {
			t.Fatalf("instead of the exit signal: %s", show(m))
		}
		v, err := etf.Decode(m.Reason)
		must(t, err)
		same(t, v, etf.Tuple{etf.Atom("exit_status"), int64(1)})
		return
	}
}

func TestSignalsOfProcesses(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sleep", "1000"})
	other := n.pid()
	ref := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, 1, 2, 3))

	// A link to a process that does not exist is answered at once.
	nobody := etf.Pid{Node: testNode, ID: 999, Creation: 7}
	n.write(dist.AppendLink(nil, other, nobody))
	if m := n.recv(); m.Op != dist.PayloadExit || m.To != other || string(m.Reason) != string(gen.Noproc) {
		t.Fatalf("link to nobody: %s", show(m))
	}
	n.write(dist.AppendMonitor(nil, other, nobody, ref))
	if m := n.recv(); m.Op != dist.PayloadMonitorPExit || string(m.Ref) != string(ref) || string(m.Reason) != string(gen.Noproc) {
		t.Fatalf("monitor on nobody: %s", show(m))
	}
	// So is one to a process of an earlier incarnation of the node.
	old := w
	old.Creation = 6
	n.write(dist.AppendMonitor(nil, other, old, ref))
	if m := n.recv(); m.Op != dist.PayloadMonitorPExit {
		t.Fatalf("monitor on an old pid: %s", show(m))
	}

	// An unlink is acknowledged with the same id.
	n.write(dist.AppendLink(nil, other, w))
	n.write(dist.AppendUnlinkID(nil, 1<<63+5, other, w))
	if m := n.recv(); m.Op != dist.UnlinkIDAck || m.ID != 1<<63+5 || m.From != w || m.To != other {
		t.Fatalf("unlink: %s", show(m))
	}
	// An exit signal of a process that is no longer linked has no effect, nor has exit(W, normal).
	n.write(dist.AppendExit(nil, other, w, gen.Encode(etf.Atom("boom"))))
	n.write(dist.AppendExit2(nil, other, w, gen.Normal))
	same(t, n.workerCall(w, atoms("signal", "sigcont")), etf.Atom("ok"))

	n.write(dist.AppendMonitor(nil, other, w, ref))
	n.write(dist.AppendExit2(nil, other, w, gen.Encode(atoms("my", "reason"))))
	for {
		m := n.recv()
		if m.Op == dist.PayloadMonitorPExit {
			v, err := etf.Decode(m.Reason)
			must(t, err)
			same(t, v, atoms("my", "reason"))
			break
		}
	}
}

func TestOwnerEnds(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sleep", "1000"})
	other := n.pid()
	n.write(dist.AppendLink(nil, other, w))
	ref := etf.Raw(etf.AppendNewRef(nil, testNode, 7, 1, 0, 0))
	n.write(dist.AppendMonitorExit(nil, n.self, w, ref, gen.Normal))
	for {
		m := n.recv()
		if m.Op == dist.PayloadExit {
			if m.To != other || string(m.Reason) != string(gen.Normal) {
				t.Fatalf("the worker whose owner ended: %s", show(m))
			}
			return
		}
	}
}

func TestPortProtocolOfStrangers(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"cat"})
	stranger := n.pid()
	n.toPid(w, etf.Tuple{stranger, etf.Tuple{etf.Atom("command"), etf.Binary("x")}})
	if m := n.recv(); m.Op != dist.PayloadExit2 || m.To != stranger || string(m.Reason) != string(gen.Badsig) {
		t.Fatalf("instead of badsig: %s", show(m))
	}
	n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("x")}})
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("x")}})

	// At most 1 MiB waits. Further commands are refused with a message.
	same(t, n.workerCall(w, atoms("signal", "sigstop")), etf.Atom("ok"))
	n.expect(etf.Tuple{w, atoms("stopped", "sigstop")})
	for range 5 {
		n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), make(etf.Binary, 512<<10)}})
	}
	n.expect(etf.Tuple{w, atoms("stdin", "full")})
}

// TestJunk sends frames that no node sends, and requests a program afterwards.
func TestJunk(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sleep", "1000"})
	rng := rand.New(rand.NewPCG(1, 2))
	var valid []byte
	valid = dist.BeginRegSend(valid, n.self, "erluv")
	valid, err := etf.AppendTerm(valid, etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{n.self, etf.Atom("t")}, etf.Atom("nonsense")})
	must(t, err)
	valid = dist.End(valid, 0)

	const frames = 100_000
	before := heap()
	go func() {
		var b []byte
		for i := range frames {
			start := len(b)
			switch i % 5 {
			case 0: // anything at all
				b = append(b, 0, 0, 0, 0)
				for range 1 + rng.IntN(40) {
					b = append(b, byte(rng.IntN(256)))
				}
			case 1: // cut off
				b = append(b, valid[:5+rng.IntN(len(valid)-5)]...)
			case 2: // one byte changed
				b = append(b, valid...)
				b[start+4+rng.IntN(len(valid)-4)] ^= byte(1 + rng.IntN(255))
			case 3: // claims to be larger than it is
				b = append(dist.BeginSend(b, w), 108, 255, 255, 255, 255)
			case 4: // deeply nested
				b = dist.BeginSend(b, w)
				for range 2000 {
					b = append(b, 104, 1)
				}
				b = etf.AppendNil(b)
			}
			binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
			if len(b) > 60_000 || i == frames-1 {
				if _, err := n.conn.Write(b); err != nil {
					return
				}
				b = b[:0]
			}
		}
		c, err := etf.AppendTerm(dist.BeginRegSend(nil, n.self, "erluv"),
			etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{n.self, etf.Atom("last")}, etf.Tuple{etf.Atom("run"), etf.List{etf.Binary("echo"), etf.Binary("ok")}, etf.Map{}}})
		if err == nil {
			_, _ = n.conn.Write(dist.End(c, 0))
		}
	}()
	for {
		m := n.recv()
		if m.Op != dist.Send {
			continue // monitors and links of frames that made sense by chance
		}
		v, err := etf.Decode(m.Payload)
		must(t, err)
		if tu, ok := v.(etf.Tuple); ok && tu[0] == etf.Atom("last") {
			res := tu[1].(etf.Tuple)
			if res[0] != etf.Atom("ok") || !strings.Contains(fmt.Sprintf("%s", res[1]), "ok\n") {
				t.Fatalf("run after the junk: %s", res)
			}
			break
		}
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func heap() uint64 {
	runtime.GC()
	var st runtime.MemStats
	runtime.ReadMemStats(&st)
	return st.HeapAlloc
}

func TestFrameTooLarge(t *testing.T) {
	n := startChild(t, nil)
	tag := etf.Atom("tag")
	const size = peer.MaxFrame + 1000
	// {'$gen_call', {Pid, Tag}, <<...>>} by hand, so the binary is never in memory as a whole.
	b := dist.BeginRegSend(nil, n.self, "erluv")
	b = etf.AppendTupleHeader(b, 3)
	b = etf.AppendAtom(b, "$gen_call")
	b = etf.AppendTupleHeader(b, 2)
	b = etf.AppendPid(b, n.self)
	b = etf.AppendAtom(b, tag)
	b = etf.AppendBinaryHeader(b, size)
	total := len(b) - 4 + size
	binary.BigEndian.PutUint32(b, uint32(total))
	n.write(b)
	chunk := make([]byte, 1<<20)
	for left := size; left > 0; left -= min(left, len(chunk)) {
		n.write(chunk[:min(left, len(chunk))])
	}
	n.expect(etf.Tuple{tag, gen.TooLarge(total, peer.MaxFrame)})
	same(t, n.call(etf.Tuple{etf.Atom("set"), etf.Atom("node"), etf.Atom("x")}), gen.Error(etf.Atom("read_only")))
}

// TestNodeThatDoesNotRead checks that programs block in their write, no byte is lost, memory does
// not grow, and requests are answered afterwards.
func TestNodeThatDoesNotRead(t *testing.T) {
	n := startChild(t, nil)
	const streams, size = 4, 5 << 20
	hashes := map[etf.Pid][]byte{}
	for i := range streams {
		w := n.spawn([]string{"sh", "-c", fmt.Sprintf("read go; head -c %d /dev/zero | tr '\\0' '%c'", size, 'a'+i)}, opt("flow", etf.Tuple{etf.Atom("active"), etf.Atom("true")}))
		sum := sha256.Sum256([]byte(strings.Repeat(string(rune('a'+i)), size)))
		hashes[w] = sum[:]
	}
	for w := range hashes {
		n.toPid(w, etf.Tuple{n.self, etf.Tuple{etf.Atom("command"), etf.Binary("\n")}})
	}
	// Read nothing until no more comes: then the socket and the outbox are full.
	last, still := 0, 0
	waitUntil(t, func() bool {
		waiting := n.unread()
		if waiting != last {
			last, still = waiting, 0
		}
		still++
		return waiting > 0 && still > 40
	})
	if used := heap(); used > 64<<20 {
		t.Errorf("the heap has %d bytes", used)
	}
	got := map[etf.Pid]hash.Hash{}
	for w := range hashes {
		got[w] = sha256.New()
	}
	for ended := 0; ended < streams; {
		m := n.recv()
		if m.Op != dist.Send {
			continue
		}
		v, err := etf.Decode(m.Payload)
		must(t, err)
		tu := v.(etf.Tuple)
		w, ev := tu[0].(etf.Pid), tu[1].(etf.Tuple)
		if b, ok := ev[1].(etf.Binary); ok {
			_, _ = got[w].Write(b)
		}
		if ev[0] == etf.Atom("exit_status") {
			ended++
			if string(got[w].Sum(nil)) != string(hashes[w]) {
				t.Errorf("the output of %v is not what was written", w)
			}
		}
	}
}

func waitUntil(t *testing.T, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
	}
}

func TestStop(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sleep", "1000"})
	ref := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, 1, 2, 3))
	n.write(dist.AppendMonitor(nil, n.self, w, ref))
	// As main does at SIGTERM.
	must(t, n.up.Send(ipc.Append(nil, ipc.Stop{Reason: "terminated"}), patience))
	var order []string
	for len(order) < 5 {
		m := n.recv()
		switch m.Op {
		case dist.RegSend, dist.Send:
			v, err := etf.Decode(m.Payload)
			must(t, err)
			tu := v.(etf.Tuple)
			order = append(order, fmt.Sprint(tu[len(tu)-1]))
		case dist.PayloadMonitorPExit:
			if string(m.Reason) != string(gen.Shutdown) {
				t.Errorf("the worker ended with %x", m.Reason)
			}
			order = append(order, "down")
		}
	}
	if !strings.Contains(order[0], "stopping") {
		t.Errorf("first came %s", order[0])
	}
	if order[4] != "down" || !strings.Contains(order[3], "sigterm") {
		t.Errorf("the order was %q", order)
	}
	_, err := n.tryRecv(patience)
	for err == nil {
		_, err = n.tryRecv(patience)
	}
	must(t, n.conn.Close())
	buf := make([]byte, 4096)
	k, _, err := n.up.Recv(buf, patience)
	must(t, err)
	msg, err := ipc.Decode(buf[:k])
	must(t, err)
	if st, ok := msg.(ipc.Stopped); !ok || st.Cause != ipc.CauseAsked {
		t.Errorf("the child said %+v", msg)
	}
}

func TestNodeGone(t *testing.T) {
	n := startChild(t, nil)
	n.spawn([]string{"sh", "-c", "trap '' TERM; echo up; while :; do sleep 1000; done"})
	n.message(n.self)
	began := time.Now()
	must(t, n.conn.Close())
	buf := make([]byte, 4096)
	k, _, err := n.up.Recv(buf, patience)
	must(t, err)
	msg, err := ipc.Decode(buf[:k])
	must(t, err)
	if st, ok := msg.(ipc.Stopped); !ok || st.Cause != ipc.CauseDisconnected {
		t.Errorf("the child said %+v", msg)
	}
	if d := time.Since(began); d > afterLoss+2*time.Second {
		t.Errorf("a worker that ignores SIGTERM held it up for %v", d)
	}
}

// TestLargeAnswer has a node read slowly, so that the answer moves in the outbox while it waits.
func TestLargeAnswer(t *testing.T) {
	n := startChild(t, nil)
	const size = 30 << 20
	tag := n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{
		etf.Atom("run"), etf.Binary(fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x", size)), etf.Map{opt("max_output", int64(order.MaxOutput))},
	})
	n.monitor()
	for _, p := range n.answer(tag).(etf.Tuple)[1].(etf.Map) {
		if p.Key != etf.Atom("stdout") {
			continue
		}
		b := p.Value.(etf.Binary)
		if len(b) != size || strings.Trim(string(b), "x") != "" {
			t.Errorf("%d bytes arrived, or others than were written", len(b))
		}
	}
}
