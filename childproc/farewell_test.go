package childproc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"erluv/childproc/history"
	"erluv/childproc/order"
	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// stall stops the node from reading, so the outbox has no room.
func (pl *played) stall() {
	pl.keep = true
	pl.c.Send(pl.self, etf.Binary(make([]byte, peer.Most)))
}

// heard returns the frames that the node reads after it was stalled.
func (pl *played) heard() []dist.Message {
	pl.t.Helper()
	for rounds := 0; pl.c.Waiting() > 0 || pl.c.Owes(); rounds++ {
		if rounds > 1_000_000 {
			pl.t.Fatal("what waits is never said")
		}
		pl.flush()
	}
	if pl.c.Late() != 0 || pl.c.HasWords(pl.p.pid) {
		pl.t.Errorf("%d bytes are late", pl.c.Late())
	}
	return pl.in[1:]
}

// TestJobsWithoutRoom checks that only the last message of each kind waits while the node does not
// read. Their order must stay.
func TestJobsWithoutRoom(t *testing.T) {
	pl := play(t, opt("ready", etf.Atom("notify")), opt("ready_reply", etf.Atom("message")))
	pl.stall()
	before := pl.c.Waiting()
	for i := range 10_000 {
		pl.m.FileFailed(pl.p.w, workers.Stdout, unix.ENOSPC)
		pl.m.FileFailed(pl.p.w, workers.Stderr, unix.EIO)
		pl.m.Stopped(pl.p.w, unix.SIGSTOP)
		pl.p.ready.status = fmt.Sprintf("status %d", i)
		pl.p.tellStatus(pl.m)
		pl.m.Continued(pl.p.w)
	}
	pl.p.isReady(pl.m)
	if got := pl.c.Waiting(); got != before {
		t.Errorf("%d bytes wait, %d have waited before", got, before)
	}
	if pl.c.Late() > 1000 {
		t.Errorf("%d bytes are late", pl.c.Late())
	}
	want := []etf.Term{
		etf.Tuple{etf.Atom("stdout"), gen.Error(etf.Atom("enospc"))},
		etf.Tuple{etf.Atom("stderr"), gen.Error(etf.Atom("eio"))},
		etf.Tuple{etf.Atom("status"), text("status 9999")},
		etf.Atom("continued"),
		etf.Atom("ready"),
	}
	got := pl.heard()
	if len(got) != len(want) {
		t.Fatalf("%d messages came instead of %d", len(got), len(want))
	}
	for i, m := range got {
		v, err := etf.Decode(m.Payload)
		must(t, err)
		same(t, v, etf.Tuple{pl.p.pid, want[i]})
	}
}

// TestEndWithoutRoom checks that the end of a worker comes after its earlier messages, and that the
// calls' shares of the budget are given back.
func TestEndWithoutRoom(t *testing.T) {
	pl := play(t)
	pl.m.linked(pl.c, pl.self, pl.p.pid)
	ref := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, 1, 2, 3))
	pl.m.monitored(pl.c, pl.self, pl.p.pid, "", ref)
	const stops = 5
	for i := range stops {
		pl.m.workerCall(pl.p, pl.caller(gen.Encode(int64(i))), gen.Encode(etf.Atom("stop")))
	}
	pl.stall()
	pl.m.Stopped(pl.p.w, unix.SIGSTOP)
	pl.m.Ended(pl.p.w, workers.Stderr)
	pl.m.Gone(pl.p.w, workers.Exit{Status: 7})
	if pl.c.Waiting() > peer.Most+1000 {
		t.Errorf("%d bytes wait", pl.c.Waiting())
	}
	var got []string
	for _, m := range pl.heard() {
		if m.Op == dist.DemonitorP {
			continue
		}
		s := fmt.Sprint(m.Op)
		if m.Payload != nil {
			v, err := etf.Decode(m.Payload)
			must(t, err)
			s += fmt.Sprint(" ", v.(etf.Tuple)[1])
		}
		got = append(got, s)
	}
	exit := fmt.Sprint(etf.Tuple{etf.Atom("exit_status"), int64(7)})
	ok := fmt.Sprint(gen.OK(etf.Tuple{etf.Atom("exit_status"), int64(7)}))
	want := []string{
		fmt.Sprint(dist.Send, " ", atoms("stopped", "sigstop")),
		fmt.Sprint(dist.Send, " ", atoms("stderr", "eof")),
		fmt.Sprint(dist.Send, " ", exit),
	}
	for range stops {
		want = append(want, fmt.Sprint(dist.Send, " ", ok))
	}
	want = append(want, fmt.Sprint(dist.PayloadExit), fmt.Sprint(dist.PayloadMonitorPExit))
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if pl.m.held.bytes != 0 {
		t.Errorf("%d bytes are still held", pl.m.held.bytes)
	}
}

// TestPacketForMany checks that a large packet goes to one receiver after the other, as there is
// room, and to each once.
func TestPacketForMany(t *testing.T) {
	var to etf.List
	for i := range order.MaxReceivers {
		to = append(to, etf.Tuple{etf.Atom("pid"), etf.Pid{Node: testTarget, ID: uint32(200 + i), Creation: 9}})
	}
	pl := play(t, opt("packet", int64(4)), opt("stdout", to), flow(etf.Atom("true")))
	pl.m.introduce(pl.p)
	pl.flush()
	pl.keep = true
	body := bytes.Repeat([]byte("0123456789abcdef"), output.MaxPacket/16)
	packet := append(binary.BigEndian.AppendUint32(nil, output.MaxPacket), body...)
	pl.output(packet, output.ScratchSize)
	pl.output(append(packet[:4:4], "half"...), output.ScratchSize)
	pl.m.Ended(pl.p.w, workers.Stdout)
	counts := map[etf.Pid]int{}
	for _, m := range append(pl.in[:1:1], pl.heard()...) {
		counts[m.To]++
		if k := counts[m.To]; k == 1 && !bytes.Contains(m.Payload, body) {
			t.Errorf("%v was sent %s first", m.To, show(m))
		}
	}
	if len(counts) != order.MaxReceivers {
		t.Errorf("%d receivers instead of %d", len(counts), order.MaxReceivers)
	}
	for pid, n := range counts {
		if n != 3 { // the packet, the incomplete packet, and the end
			t.Errorf("%v was sent %d messages", pid, n)
		}
	}
	if most := peer.High + output.MaxPacket + 1000; pl.most > most {
		t.Errorf("%d bytes were waiting at once, more than %d", pl.most, most)
	}
}

// TestQuestionsWithoutRoom checks that questions to the node wait for room, and answers that wait
// for them too. A waiting question must not time out.
func TestQuestionsWithoutRoom(t *testing.T) {
	pl := play(t)
	pl.stall()
	before := pl.c.Waiting()
	const calls = 12_000
	for i := range calls {
		ask := dist.Ask{Kind: dist.AskSystem, From: pl.self, Tag: gen.Encode(int64(i))}
		pl.c.system(pl.c.caller(ask), pl.m.worker(pl.p), gen.Encode(etf.Atom("get_state")))
	}
	if pl.c.Waiting() != before || len(pl.c.stateCalls) != calls {
		t.Fatalf("%d bytes more wait, for %d calls", pl.c.Waiting()-before, len(pl.c.stateCalls))
	}
	asked := pl.heard()
	if len(asked) != 1 || asked[0].Op != dist.RegSend || asked[0].Name != "rex" {
		t.Fatalf("%d questions were put", len(asked))
	}
	to := asked[0].From
	pl.in, pl.most = nil, 0
	pl.c.Answered(to, gen.Encode(etf.Tuple{etf.Atom("rex"), gen.OK(etf.String("6.2"))}))
	if got := pl.c.Waiting(); got > peer.Most+10_000 {
		t.Errorf("%d bytes wait", got)
	}
	pl.heard()
	if len(pl.in) != calls {
		t.Errorf("%d of %d were answered", len(pl.in), calls)
	}
	pl.m.end(pl.p, gen.Shutdown, history.Stop) // the start still holds its share
	if want := pl.p.asked.held.bytes; pl.m.held.bytes != want {
		t.Errorf("%d bytes are held instead of %d", pl.m.held.bytes, want)
	}
}

// TestListOfMany checks the bound for a list of workers with long commands.
func TestListOfMany(t *testing.T) {
	pl := play(t)
	pl.p.cmd = shorten([]string{string(bytes.Repeat([]byte("x"), 10_000)), "y"})
	full := len(gen.Encode(pl.p.brief(pl.m, cmdBytes+argumentCost+3)))
	if full < cmdBytes {
		t.Errorf("a list of one has %d bytes", full)
	}
	const many = 10_000
	for range many {
		p := *pl.p
		p.pid = pl.m.newPid()
		pl.m.procs[key(p.pid)] = &p
	}
	if got := len(gen.Encode(pl.m.list())); got > listedText+many*200 || got < listedText {
		t.Errorf("a list of %d has %d bytes", many, got)
	}
}

// TestUnreadyShares checks the bound for kept output of programs that are not ready. Each has a
// share, which counts until the output is delivered or the worker has ended.
func TestUnreadyShares(t *testing.T) {
	ready := opt("ready", etf.Atom("notify"))
	pl := play(t, ready)
	const many = 500
	for i := range many - 1 {
		pl.m.spawn(pl.caller(gen.Encode(int64(i))), etf.List{etf.Binary("played")}, etf.Map{ready, opt("link", etf.Atom("false"))}, reqSpawn)
	}
	var procs []*program
	for _, p := range pl.m.procs {
		procs = append(procs, p.(*program))
		p.(*program).life.step(evStarted)
	}
	if len(procs) != many {
		t.Fatalf("there are %d workers", len(procs))
	}
	least, most := maxUnready, 0
	for _, p := range procs {
		kept := func() int {
			k := p.out.Remainder(workers.Stdout)
			return k.Len()
		}
		for kept() < pl.m.unready.share() { // as hold does
			room := pl.m.Room(p.w, workers.Stdout)
			pl.m.Took(p.w, workers.Stdout, room, len(room.Bytes))
		}
		least, most = min(least, kept()), max(most, kept())
	}
	if least < leastUnready || most < maxUnready || most > maxUnready+peer.LeastRead {
		t.Errorf("%d to %d bytes are kept of one", least, most)
	}
	if got := pl.m.unready.bytes; got < unreadyMax/2 || got > unreadyMax+many*(leastUnready+peer.LeastRead) {
		t.Errorf("%d bytes are kept", got)
	}
	for i, p := range procs {
		if i%2 == 0 {
			p.isReady(pl.m)
		} else {
			p.ends().reason = gen.Shutdown
			pl.m.bury(p)
		}
		for pl.c.Waiting() > 0 || pl.c.Owes() {
			pl.flush()
		}
	}
	if pl.m.unready.bytes != 0 {
		t.Errorf("%d bytes count, and none is kept", pl.m.unready.bytes)
	}
}
