package childproc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"erluv/childproc/order"
	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/ipc"
	"erluv/ipc/journal"
	"erluv/loop"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// played is a manager with one worker and a simulated program. The test puts output into the
// manager's space, in pieces of any size. No loop runs.
type played struct {
	t    testing.TB
	m    *manager
	c    *client
	p    *program
	self etf.Pid
	in   []dist.Message // frames that the node has not looked at, if kept
	keep bool
	sent int // bytes of frames
	kept int // bytes of frames up to the last commit
	most int // the most bytes that waited at once
}

func play(t testing.TB, opts ...etf.Pair) *played {
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		_ = ours.Close()
		_ = theirs.Close()
	})
	m, c := playedManager(t, l)
	if m.starter, err = workers.NewStarter(l, ours, true, 10_000, func(error) {}); err != nil {
		t.Fatal(err)
	}
	pl := &played{t: t, m: m, c: c, self: etf.Pid{Node: testTarget, ID: 101, Creation: 9}}
	opts = append(opts, opt("link", etf.Atom("false")))
	m.spawn(pl.caller(gen.Encode(etf.Atom("tag"))), etf.List{etf.Binary("played")}, etf.Map(opts), reqSpawn)
	for _, p := range m.procs {
		pl.p = p.(*program)
	}
	if pl.p == nil {
		t.Fatalf("no worker with %v", opts)
	}
	pl.p.life.step(evStarted) // no observer gets a message
	return pl
}

// caller is a process of the node that makes a call.
func (pl *played) caller(tag etf.Raw) caller {
	return pl.c.caller(dist.Ask{From: pl.self, Tag: tag})
}

// flush lets the node read all waiting bytes.
func (pl *played) flush() {
	o := pl.c
	pl.most = max(pl.most, o.Waiting())
	pl.sent += o.Waiting()
	for b := o.Unsent(); pl.keep && len(b) > 0; {
		frame, n, err := dist.Next(b, journal.OutSize)
		if err != nil || n == 0 {
			pl.t.Fatalf("%d bytes of no frame: %v", len(b), err)
		}
		var m dist.Message
		if err := dist.Parse(bytes.Clone(frame), &m); err != nil {
			pl.t.Fatal(err)
		}
		pl.in = append(pl.in, m)
		b = b[n:]
	}
	o.Sent(o.Waiting())
	if pl.sent-pl.kept > peer.High { // it costs as much as a few small messages
		pl.kept = pl.sent
		o.Commit()
	}
	o.RoomAgain()
}

// output writes as the program, at most piece bytes at a time.
func (pl *played) output(data []byte, piece int) {
	for len(data) > 0 {
		room := pl.m.Room(pl.p.w, workers.Stdout)
		for len(room.Bytes) == 0 {
			pl.flush()
			room = pl.m.Room(pl.p.w, workers.Stdout)
		}
		n := copy(room.Bytes[:min(len(room.Bytes), piece)], data)
		pl.m.Took(pl.p.w, workers.Stdout, room, n)
		data = data[n:]
	}
	for pl.c.Waiting() > 0 {
		pl.flush()
	}
}

// text returns the content of messages with output, and of answers.
func (pl *played) text() (text []byte) {
	for _, m := range pl.in {
		v, err := etf.Decode(m.Payload)
		if err != nil {
			pl.t.Fatal(err)
		}
		tu := v.(etf.Tuple)
		switch last := tu[len(tu)-1].(type) {
		case etf.Binary:
			text = append(text, last...)
		case etf.Tuple:
			switch data := last[1].(type) {
			case etf.Binary:
				text = append(text, data...)
			case etf.List:
				for _, line := range data {
					text = append(text, line.(etf.Binary)...)
				}
			}
		}
	}
	return text
}

// A way is one way to cut large output.
type way struct {
	name string
	opts []etf.Pair
	ask  func(pl *played) // once for each unit
	unit func() []byte    // of output
	data func(unit []byte) []byte
}

func whole(unit []byte) []byte { return unit }

func ways() []way {
	line := func(size int, char string) func() []byte {
		return func() []byte { return append(bytes.Repeat([]byte(char), size/len(char)), '\n') }
	}
	framed := func(header, size int) func() []byte {
		return func() []byte {
			b := binary.BigEndian.AppendUint32(nil, uint32(size))[4-header:]
			return append(b, bytes.Repeat([]byte("p"), size)...)
		}
	}
	without := func(header int) func([]byte) []byte { return func(b []byte) []byte { return b[header:] } }
	packetOpt := func(v etf.Term) []etf.Pair { return []etf.Pair{opt("packet", v), flow(etf.Atom("true"))} }
	onDemand := []etf.Pair{flow(etf.Atom("false"))}
	ask := dist.Ask{Kind: dist.AskIO, From: etf.Pid{Node: testTarget, ID: 101, Creation: 9}, Tag: gen.Encode(etf.Atom("as"))}
	io := func(req etf.Term) func(pl *played) {
		return func(pl *played) {
			pl.m.ioOne(ioDo{pl.p, pl.c, func(t etf.Term) { pl.c.Answer(ask, t) }}, req)
		}
	}
	return []way{
		{"lines of 900 KB", packetOpt(etf.Tuple{etf.Atom("line"), int64(order.MaxLine)}), nil, line(900_000, "l"), whole},
		{"lines of 60 bytes", packetOpt(etf.Atom("line")), nil, line(60, "l"), whole},
		{"lists of lines of 60 bytes", packetOpt(etf.Atom("lines")), nil, line(60, "l"), whole},
		{"lists of lines of 900 KB", packetOpt(etf.Tuple{etf.Atom("lines"), int64(order.MaxLine)}), nil, line(900_000, "l"), whole},
		{"packet 4 of 10 MB", packetOpt(int64(4)), nil, framed(4, 10_000_000), without(4)},
		{"packet 2 of 65,535 bytes", packetOpt(int64(2)), nil, framed(2, 65_535), without(2)},
		{"packet 1 of 255 bytes", packetOpt(int64(1)), nil, framed(1, 255), without(1)},
		{"read of lines of 900 KB", append(packetOpt(etf.Tuple{etf.Atom("line"), int64(order.MaxLine)})[:1], onDemand...), func(pl *played) {
			pl.m.read(pl.p, pl.caller(gen.Encode(etf.Atom("tag"))), workers.Stdout, output.MaxPiece)
		}, line(900_000, "l"), whole},
		{"get_line of 900 KB", onDemand, io(get("get_line")), line(900_000, "ä"), whole},
		{"get_chars of 500,001", onDemand, io(get("get_chars", int64(500_001))), line(1_000_000, "ä"), whole},
		{"get_chars of 1,000,001 bytes", onDemand, io(etf.Tuple{etf.Atom("get_chars"), etf.Atom("latin1"), etf.Binary(""), int64(1_000_001)}), line(1_000_000, "b"), whole},
	}
}

// run writes size bytes or a few more, and returns how many.
func (w way) run(pl *played, size, piece int) (written int, want []byte) {
	unit := w.unit()
	for ; written < size; written += len(unit) {
		if w.ask != nil {
			w.ask(pl)
		}
		pl.output(unit, piece)
		if pl.keep {
			want = append(want, w.data(unit)...)
		}
	}
	return written, want
}

// TestCostIsLinear counts the bytes that are copied, inspected and allocated. They must be a few
// for each byte of output, with lines and packets of any size, in pieces of any size.
func TestCostIsLinear(t *testing.T) {
	for _, w := range ways() {
		for _, piece := range []int{output.ScratchSize, 1000, 10} {
			size := 20_000_000
			if piece == 10 {
				size = 1_000_000 // a part of a larger packet, of which the first tenth is inspected
			}
			t.Run(fmt.Sprintf("%s in pieces of %d", w.name, piece), func(t *testing.T) {
				pl := play(t, w.opts...)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				written, _ := w.run(pl, size, piece)
				runtime.ReadMemStats(&after)
				if work := pl.p.out.Remainder(workers.Stdout).Work; work > 8*written {
					t.Errorf("%d bytes were copied and looked at for %d of output", work, written)
				}
				if got := int(after.TotalAlloc - before.TotalAlloc); got > 8*written+(4<<20) {
					t.Errorf("%d bytes were allocated for %d of output", got, written)
				}
			})
		}
	}
}

// TestLargeArrives checks that the messages have the program's output.
func TestLargeArrives(t *testing.T) {
	for _, w := range ways() {
		for _, piece := range []int{output.ScratchSize, 777} {
			t.Run(fmt.Sprintf("%s in pieces of %d", w.name, piece), func(t *testing.T) {
				pl := play(t, w.opts...)
				pl.keep = true
				_, want := w.run(pl, 2_000_000, piece)
				if got := pl.text(); !bytes.Equal(got, want) {
					t.Errorf("%d bytes arrived, and they are not the %d that were written", len(got), len(want))
				}
			})
		}
	}
}

// TestManySmallLinesOfOnePacket turns one large kept packet into millions of messages. They must
// wait for room, and all must come.
func TestManySmallLinesOfOnePacket(t *testing.T) {
	pl := play(t, opt("packet", int64(4)), flow(etf.Atom("true")))
	lines := output.MaxPacket / 4
	pl.output(binary.BigEndian.AppendUint32(nil, output.MaxPacket), 4)
	pl.output(bytes.Repeat([]byte("\n"), lines), output.ScratchSize)
	set, err := pl.m.setopt(pl.p, "packet", etf.Atom("line"))
	if err != nil {
		t.Fatal(err)
	}
	sent := pl.sent
	set()
	if got := pl.c.Waiting(); got > peer.High+1000 {
		t.Errorf("%d bytes wait for the node, more than %d", got, peer.High)
	}
	for pl.c.Waiting() > 0 {
		pl.flush()
	}
	if _, wait := pl.c.Waits(); pl.most > peer.High+1000 || wait > 0 {
		t.Errorf("%d bytes were waiting at once, and %d streams still wait", pl.most, wait)
	}
	start := pl.c.Waiting()
	at := pl.c.BeginOutput(pl.p.owner, pl.p.pid, peer.Stream(workers.Stdout))
	pl.c.Fill([]byte("\n"))
	pl.c.EndOutput(at, 1)
	one := pl.c.Waiting() - start
	if got := (pl.sent - sent) / one; got < lines || got > lines+4 {
		t.Errorf("%d messages came for %d lines", got, lines)
	}
}

// BenchmarkLarge measures the cost of large output for each byte: see doc/performance.md.
func BenchmarkLarge(b *testing.B) {
	for _, w := range ways() {
		for _, size := range []int{1e6, 1e7, 1e8} {
			b.Run(fmt.Sprintf("%s/%dMB", w.name, size/1e6), func(b *testing.B) {
				pl := play(b, w.opts...)
				b.SetBytes(int64(size))
				for b.Loop() {
					w.run(pl, size, output.ScratchSize)
				}
			})
		}
	}
}
