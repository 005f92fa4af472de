package link

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

var (
	dead   = etf.Pid{Node: "us@h", ID: 5, Serial: 1, Creation: 4}
	caller = etf.Pid{Node: "them@h", ID: 100, Creation: 9}
)

// testInterim is an interim after a child was killed.
func testInterim(t *testing.T, s stand, observers ...ipc.Observer) *interim {
	t.Helper()
	killed := etf.Tuple{etf.Atom("signal"), etf.Atom("sigkill")}
	return newInterim(testConnection(), "erluv", 5*time.Second, s, ledgerOf(t, observers...), killed)
}

// frames takes all its waiting frames.
func frames(t *testing.T, i *interim) (list []string) {
	t.Helper()
	var b []byte
	for len(i.out) > 0 {
		n := min(len(i.out), 1000)
		b = append(b, i.out[:n]...)
		i.wrote(n)
	}
	for len(b) > 0 {
		frame, n, err := dist.Next(b, 1<<20)
		if err != nil || n == 0 {
			t.Fatalf("no frame: %q, %v", b, err)
		}
		b = b[n:]
		list = append(list, show(t, frame))
	}
	return list
}

func show(t *testing.T, frame []byte) string {
	t.Helper()
	if len(frame) == 0 {
		return "tick"
	}
	var m dist.Message
	if err := dist.Parse(frame, &m); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(m.Op)
	if m.HasName || m.Op == dist.RegSend {
		text += " " + string(m.Name)
	}
	if m.To.Node != "" {
		text += fmt.Sprintf(" to %d", m.To.ID)
	}
	for _, raw := range []etf.Raw{m.Reason, m.Payload} {
		if raw != nil {
			term, err := etf.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			text += fmt.Sprintf(" %v", term)
		}
	}
	return text
}

// hear makes it read bytes, in pieces of a size, as far as it accepts them.
func hear(i *interim, b []byte, piece int) {
	for len(b) > 0 && i.reading() {
		n := copy(i.space()[:piece], b)
		b = b[n:]
		i.read(n)
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("it says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const downEvent = "REG_SEND erluv [erluv us@h [child_down [signal sigkill] 5000]]"

func encode(t *testing.T, begun []byte, msg etf.Term) []byte {
	t.Helper()
	b, err := etf.AppendTerm(begun, msg)
	if err != nil {
		t.Fatal(err)
	}
	return dist.End(b, 0)
}

func toName(t *testing.T, name etf.Atom, msg etf.Term) []byte {
	t.Helper()
	return encode(t, dist.BeginRegSend(nil, caller, name), msg)
}

func callTo(t *testing.T, name etf.Atom, req etf.Term) []byte {
	t.Helper()
	return toName(t, name, etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{caller, etf.Atom("tag")}, req})
}

// traced returns a call with a token of sequential tracing (REG_SEND_TT).
func traced(t *testing.T, name etf.Atom, req etf.Term) []byte {
	t.Helper()
	control := etf.Tuple{int64(16), caller, etf.Atom(""), name, etf.Tuple{int64(0), int64(0), int64(1), caller, int64(1)}}
	b, err := etf.AppendTerm([]byte{0, 0, 0, 0, 112, 131}, control)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, append(b, 131), etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{caller, etf.Atom("tag")}, req})
}

// aliasTag is [alias | Ref].
var aliasTag = etf.Raw(append(etf.AppendAtom(etf.AppendListHeader(nil, 1), "alias"), testRef...))

func monitorOfName(name etf.Atom) []byte {
	b := []byte{0, 0, 0, 0, 112, 131}
	b = etf.AppendInt(etf.AppendTupleHeader(b, 4), int64(dist.MonitorP))
	return dist.End(append(etf.AppendAtom(etf.AppendPid(b, caller), name), testRef...), 0)
}

func demonitorOfName(name etf.Atom) []byte {
	b := []byte{0, 0, 0, 0, 112, 131}
	b = etf.AppendInt(etf.AppendTupleHeader(b, 4), int64(dist.DemonitorP))
	return dist.End(append(etf.AppendAtom(etf.AppendPid(b, caller), name), testRef...), 0)
}

// TestInterimTells: first it sends the child's remaining bytes, then it informs all observers, then
// the controller. Then it answers what was read.
func TestInterimTells(t *testing.T) {
	left := dist.AppendTick(nil)
	i := testInterim(t, stand{Out: left, In: dist.AppendLink(nil, caller, dead)}, testLink, testMon, testName, testPeer, mainName)
	got := frames(t, i)
	if len(got) == 7 {
		slices.Sort(got[1:5])
	}
	want(t, got, "tick",
		"DEMONITOR_P to 103",
		"PAYLOAD_EXIT to 100 child_crashed",
		"PAYLOAD_MONITOR_P_EXIT erluv to 102 child_crashed",
		"PAYLOAD_MONITOR_P_EXIT to 101 child_crashed",
		downEvent,
		"PAYLOAD_EXIT to 100 noproc")
	if next := i.link.self.next(); next != 8 {
		t.Errorf("the next serial is %d", next)
	}
	i.handOver()
	if !slices.Equal(i.link.carried, []string{mainName.Record()}) {
		t.Errorf("carried: %q", i.link.carried)
	}
}

// TestInterimAnswers: it answers each frame alone, in one piece and byte by byte.
func TestInterimAnswers(t *testing.T) {
	large := etf.Binary(make([]byte, 100_000))
	for name, tt := range map[string]struct {
		b    []byte
		want []string
	}{
		"ping":           {callTo(t, "net_kernel", etf.Tuple{etf.Atom("is_auth"), etf.Atom("them@h")}), []string{"SEND to 100 [tag yes]"}},
		"to net_kernel":  {callTo(t, "net_kernel", etf.Atom("info")), []string{"SEND to 100 [tag [error child_down]]"}},
		"to the manager": {callTo(t, "erluv", etf.Atom("info")), []string{"SEND to 100 [tag [error child_down]]"}},
		"by an alias": {
			toName(t, "erluv", etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{caller, aliasTag}, etf.Atom("info")}),
			[]string{fmt.Sprintf("ALIAS_SEND [{[alias] %v} [error child_down]]", []byte(testRef))},
		},
		"a large call":       {callTo(t, "erluv", large), []string{"SEND to 100 [tag [error child_down]]"}},
		"a traced call":      {traced(t, "erluv", etf.Atom("info")), []string{"SEND to 100 [tag [error child_down]]"}},
		"a large traced one": {traced(t, "erluv", large), []string{"SEND to 100 [tag [error child_down]]"}},
		"traced to nobody":   {traced(t, "nobody", large), nil},
		"a large message":    {toName(t, "erluv", large), nil},
		"to main":            {callTo(t, "erluv_main", etf.Atom("info")), []string{"SEND to 100 [tag [error child_down]]"}},
		"a call for respawn": {callTo(t, "erluv_main", etf.Atom("respawn")), []string{"SEND to 100 [tag ok]"}},
		"to nobody":          {callTo(t, "nobody", etf.Atom("info")), nil},
		"a large one":        {callTo(t, "nobody", large), nil},
		"to a worker":        {encode(t, dist.BeginSend(nil, dead), etf.Atom("x")), nil},
		"link":               {dist.AppendLink(nil, caller, dead), []string{"PAYLOAD_EXIT to 100 noproc"}},
		"unlink":             {dist.AppendUnlinkID(nil, 7, caller, dead), []string{"UNLINK_ID_ACK to 100"}},
		"monitor":            {dist.AppendMonitor(nil, caller, dead, etf.Raw(testRef)), []string{"PAYLOAD_MONITOR_P_EXIT to 100 noproc"}},
		"demonitor":          {dist.AppendDemonitor(nil, caller, dead, etf.Raw(testRef)), nil},
		"monitor of a name":  {monitorOfName("erluv"), nil},
		"of another name":    {monitorOfName("nobody"), []string{"PAYLOAD_MONITOR_P_EXIT nobody to 100 noproc"}},
		"exit":               {dist.AppendExit(nil, caller, dead, gen.Noproc), nil},
		"exit/2":             {dist.AppendExit2(nil, caller, dead, gen.Noproc), nil},
		"a strange link":     {dist.AppendLink(nil, etf.Pid{Node: "x@y", ID: 1, Creation: 1}, dead), nil},
		"a strange monitor":  {dist.AppendMonitor(nil, etf.Pid{Node: "x@y", ID: 1, Creation: 1}, dead, etf.Raw(testRef)), nil},
		"junk":               {[]byte{0, 0, 0, 3, 112, 131, 0}, nil},
		"large junk":         {append([]byte{0, 1, 0, 0}, make([]byte, 1<<16)...), nil},
		"a tick":             {dist.AppendTick(nil), nil},
	} {
		for _, piece := range []int{1, 7, interimChunk} {
			i := testInterim(t, stand{})
			want(t, frames(t, i), downEvent)
			hear(i, slices.Concat(tt.b, dist.AppendUnlinkID(nil, 1, caller, dead)), piece)
			if got := frames(t, i); !slices.Equal(got, append(slices.Clone(tt.want), "UNLINK_ID_ACK to 100")) {
				t.Errorf("%s, in pieces of %d: it says %q, want %q", name, piece, got, tt.want)
			}
			if i.respawn != (name == "a call for respawn") || i.ticked != (name == "a tick") {
				t.Errorf("%s: respawn %v, ticked %v", name, i.respawn, i.ticked)
			}
		}
	}
}

func TestInterimRespawn(t *testing.T) {
	for msg, want := range map[etf.Atom]bool{"respawn": true, "other": false} {
		i := testInterim(t, stand{})
		hear(i, toName(t, "erluv_main", msg), 100)
		if i.respawn != want {
			t.Errorf("%s: %v", msg, i.respawn)
		}
	}
	i := testInterim(t, stand{})
	hear(i, toName(t, "erluv", etf.Atom("respawn")), 100)
	if i.respawn {
		t.Error("the manager takes respawn")
	}
}

// TestInterimHandsOver: the next child continues wherever a frame was cut.
func TestInterimHandsOver(t *testing.T) {
	small := toName(t, "erluv_main", etf.Binary("x"))
	large := toName(t, "erluv", etf.Binary(make([]byte, 10_000)))
	for n := range len(small) {
		i := testInterim(t, stand{})
		hear(i, small[:n], 100)
		i.handOver()
		if l := i.link; !bytes.Equal(l.in, small[:n]) || l.skip != 0 || !l.respawned {
			t.Errorf("after %d bytes of %d: %q, %d to skip", n, len(small), l.in, l.skip)
		}
	}
	for _, n := range []int{3, 4, 4099, 4100, 4101, 9000, len(large) - 1} {
		i := testInterim(t, stand{})
		hear(i, large[:n], 100)
		i.handOver()
		l := i.link
		if n < 4100 && (!bytes.Equal(l.in, large[:n]) || l.skip != 0) || n >= 4100 && (len(l.in) > 0 || l.skip != len(large)-n) {
			t.Errorf("after %d bytes of %d: %d read, %d to skip", n, len(large), len(l.in), l.skip)
		}
	}
	// And so does the interim after a crash.
	i := testInterim(t, stand{Skip: 5})
	hear(i, append([]byte("xxxxx"), dist.AppendLink(nil, caller, dead)...), 3)
	want(t, frames(t, i), downEvent, "PAYLOAD_EXIT to 100 noproc")
}

// TestInterimMonitorsOfNames: such monitors are kept for the next child, and informed if there is
// none.
func TestInterimMonitorsOfNames(t *testing.T) {
	i := testInterim(t, stand{}, mainName)
	hear(i, monitorOfName("erluv"), 100)
	hear(i, monitorOfName("net_kernel"), 100)
	hear(i, demonitorOfName("net_kernel"), 100)
	i.handOver()
	slices.Sort(i.link.carried)
	taken := testName
	taken.PeerID = caller.ID
	both := []string{mainName.Record(), taken.Record()}
	slices.Sort(both)
	if !slices.Equal(i.link.carried, both) {
		t.Errorf("carried: %q", i.link.carried)
	}
	frames(t, i)
	i.leave(etf.Atom("die_timeout"))
	got := frames(t, i)
	slices.Sort(got)
	want(t, got,
		"PAYLOAD_MONITOR_P_EXIT erluv to 100 shutdown",
		"PAYLOAD_MONITOR_P_EXIT erluv_main to 104 shutdown",
		"REG_SEND erluv [erluv us@h [stopping die_timeout]]")
}

// TestInterimBounds: while the node does not read, little is composed and nothing more is read.
func TestInterimBounds(t *testing.T) {
	var observers []ipc.Observer
	for n := range 3000 {
		w := testMon
		w.PeerID = uint32(1000 + n)
		observers = append(observers, w)
	}
	in := bytes.Repeat(callTo(t, "erluv", etf.Atom("info")), 10_000)
	i := testInterim(t, stand{In: in}, observers[:1000]...)
	for _, w := range observers[1000:] {
		i.dead = append(i.dead, w.Record())
	}
	if len(i.out) > interimOut+1000 || i.reading() {
		t.Errorf("%d bytes wait, reading %v", len(i.out), i.reading())
	}
	got := frames(t, i)
	if len(got) != len(observers)+1+10_000 {
		t.Errorf("it says %d", len(got))
	}
	if !i.reading() || len(i.in) != 0 {
		t.Errorf("reading %v with %d", i.reading(), len(i.in))
	}
	for n := range maxCarried + 2 {
		w := testName
		w.PeerID = uint32(n)
		i.carried[w.Record()] = struct{}{}
	}
	hear(i, monitorOfName("net_kernel"), 100)
	want(t, frames(t, i), "PAYLOAD_MONITOR_P_EXIT net_kernel to 100 system_limit")
}

// FuzzInterim: the answers do not depend on how the node's bytes are cut.
func FuzzInterim(f *testing.F) {
	f.Add(monitorOfName("erluv"), 3)
	f.Add(dist.AppendUnlinkID(nil, 7, caller, dead), 1)
	f.Add([]byte{0, 1, 0, 0, 112, 131, 'h', 4, 'a', 6}, 100)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece < 1 || piece > interimChunk {
			return
		}
		once, cut := testInterim(t, stand{In: b}), testInterim(t, stand{})
		hear(cut, b, piece)
		var all [2][]byte
		for n, i := range []*interim{once, cut} {
			for len(i.out) > 0 {
				all[n] = append(all[n], i.out...)
				i.wrote(len(i.out))
			}
			if len(i.in) > interimHead+dist.HeaderSize {
				t.Errorf("%d bytes are kept", len(i.in))
			}
		}
		if !bytes.Equal(all[0], all[1]) || !bytes.Equal(once.in, cut.in) || once.skip != cut.skip || once.respawn != cut.respawn {
			t.Errorf("%q in pieces of %d", b, piece)
		}
	})
}

// TestInterimIgnores: a message that is not a call gets no answer, even if it looks much like one.
func TestInterimIgnores(t *testing.T) {
	pid := caller
	call := etf.Atom("$gen_call")
	for _, msg := range []etf.Term{
		int64(1),
		etf.Tuple{call, pid},
		etf.Tuple{int64(1), etf.Tuple{pid, int64(1)}, int64(2)},
		etf.Tuple{etf.Atom("$gen_cast"), etf.Tuple{pid, int64(1)}, int64(2)},
		etf.Tuple{call, pid, int64(2)},
		etf.Tuple{call, etf.Tuple{pid}, int64(2)},
		etf.Tuple{call, etf.Tuple{int64(3), int64(1)}, int64(2)},
	} {
		for _, name := range []etf.Atom{gen.Manager, gen.Main, gen.NetKernel} {
			i := testInterim(t, stand{})
			frames(t, i)
			hear(i, toName(t, name, msg), 1000)
			want(t, frames(t, i))
			long := append(gen.Encode(msg)[1:], make([]byte, 2*interimHead)...) // like the head of a larger message
			hear(i, dist.End(append(append(dist.BeginRegSend(nil, caller, name), 131), long...), 0), 1000)
			want(t, frames(t, i))
		}
	}
	i := testInterim(t, stand{})
	frames(t, i)
	for _, head := range [][]byte{nil, {112, 131}, {112, 131, 104, 4, 97, 6}, {112, 131, 104, 4, 97, 22}, {1, 2, 3}} {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(head)+2*interimHead))
		hear(i, append(append(b, head...), make([]byte, 2*interimHead)...), 1000)
		want(t, frames(t, i))
	}
}

// TestInterimTraces: at trace each control message is a line without its contents. At all other
// levels there is none.
func TestInterimTraces(t *testing.T) {
	secret := etf.Atom("hunter2")
	call, err := etf.AppendTerm(dist.BeginRegSend(nil, caller, "erluv"), etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{caller, secret}, secret})
	if err != nil {
		t.Fatal(err)
	}
	call = dist.End(call, 0)
	for _, level := range []slog.Level{ipc.LevelTrace, slog.LevelDebug} {
		var logged bytes.Buffer
		l := testConnection()
		l.log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: level}))
		i := newInterim(l, "erluv", 5*time.Second, stand{}, ledgerOf(t, testLink, testMon), secret)
		hear(i, call, len(call))
		i.trace()
		said := frames(t, i)
		sent, received := strings.Count(logged.String(), "control message sent"), strings.Count(logged.String(), "control message received")
		want := [2]int{}
		if level == ipc.LevelTrace {
			want = [2]int{len(said), 1}
		}
		if [2]int{sent, received} != want {
			t.Errorf("at %v %d lines of what is sent and %d of what is received, want %v:\n%s", level, sent, received, want, logged.String())
		}
		if strings.Contains(logged.String(), string(secret)) {
			t.Errorf("what was said is in the log:\n%s", logged.String())
		}
	}
}
