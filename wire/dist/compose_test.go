package dist_test

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// aliasTag is [alias | Rest], answer {Tag, bye}.
func aliasTag(rest etf.Raw) etf.Raw {
	return append(etf.AppendAtom(etf.AppendListHeader(nil, 1), "alias"), rest...)
}

var (
	alias   = aliasTag(ref5)
	noAlias = aliasTag(bye)
)

func answer(tag etf.Raw) etf.Raw {
	return append(append(etf.AppendTupleHeader(nil, 2), tag...), bye...)
}

// composed has every composer and the meaning of its frame.
var composed = []struct {
	name string
	make func(b []byte) []byte
	want dist.Message
}{
	{
		"Send", func(b []byte) []byte { return dist.End(append(dist.BeginSend(b, alice), bye...), len(b)) },
		dist.Message{Op: dist.Send, To: alice, Payload: bye},
	},
	{
		"RegSend",
		func(b []byte) []byte { return dist.End(append(dist.BeginRegSend(b, bob, "rex"), bye...), len(b)) },
		dist.Message{Op: dist.RegSend, From: bob, Name: "rex", Payload: bye},
	},
	{
		"Reply", func(b []byte) []byte { return dist.End(append(dist.BeginReply(b, bob, alice, ref5), bye...), len(b)) },
		dist.Message{Op: dist.Send, To: alice, Payload: answer(ref5)},
	},
	{
		"Reply to an alias",
		func(b []byte) []byte {
			return dist.End(append(dist.BeginReply(b, bob, alice, alias), bye...), len(b))
		},
		dist.Message{Op: dist.AliasSend, From: bob, Ref: ref5, Payload: answer(alias)},
	},
	{
		"Reply to what is no alias",
		func(b []byte) []byte {
			return dist.End(append(dist.BeginReply(b, bob, alice, noAlias), bye...), len(b))
		},
		dist.Message{Op: dist.Send, To: alice, Payload: answer(noAlias)},
	},
	{
		"Link", func(b []byte) []byte { return dist.AppendLink(b, bob, alice) },
		dist.Message{Op: dist.Link, From: bob, To: alice},
	},
	{
		"UnlinkID", func(b []byte) []byte { return dist.AppendUnlinkID(b, 1<<63+5, bob, alice) },
		dist.Message{Op: dist.UnlinkID, ID: 1<<63 + 5, From: bob, To: alice},
	},
	{
		"UnlinkIDAck", func(b []byte) []byte { return dist.AppendUnlinkIDAck(b, 1<<40, bob, alice) },
		dist.Message{Op: dist.UnlinkIDAck, ID: 1 << 40, From: bob, To: alice},
	},
	{
		"Exit", func(b []byte) []byte { return dist.AppendExit(b, bob, alice, bye) },
		dist.Message{Op: dist.PayloadExit, From: bob, To: alice, Reason: bye},
	},
	{
		"Exit2", func(b []byte) []byte { return dist.AppendExit2(b, bob, alice, bye) },
		dist.Message{Op: dist.PayloadExit2, From: bob, To: alice, Reason: bye},
	},
	{
		"Monitor", func(b []byte) []byte { return dist.AppendMonitor(b, bob, alice, ref5) },
		dist.Message{Op: dist.MonitorP, From: bob, To: alice, Ref: ref5},
	},
	{
		"Demonitor", func(b []byte) []byte { return dist.AppendDemonitor(b, bob, alice, ref3) },
		dist.Message{Op: dist.DemonitorP, From: bob, To: alice, Ref: ref3},
	},
	{
		"MonitorName", func(b []byte) []byte { return dist.AppendMonitorName(b, bob, "rex", ref5) },
		dist.Message{Op: dist.MonitorP, From: bob, HasName: true, Name: "rex", Ref: ref5},
	},
	{
		"DemonitorName", func(b []byte) []byte { return dist.AppendDemonitorName(b, bob, "rex", ref3) },
		dist.Message{Op: dist.DemonitorP, From: bob, HasName: true, Name: "rex", Ref: ref3},
	},
	{
		"MonitorExit", func(b []byte) []byte { return dist.AppendMonitorExit(b, bob, alice, ref5, bye) },
		dist.Message{Op: dist.PayloadMonitorPExit, From: bob, To: alice, Ref: ref5, Reason: bye},
	},
	{
		"MonitorExitName", func(b []byte) []byte { return dist.AppendMonitorExitName(b, "erluv", alice, refOld, bye) },
		dist.Message{Op: dist.PayloadMonitorPExit, HasName: true, Name: "erluv", To: alice, Ref: refOld, Reason: bye},
	},
}

// A composed frame follows the earlier bytes of the buffer. Its length is right, and it has the
// intended meaning.
func TestCompose(t *testing.T) {
	before := []byte("the frame before")
	for _, c := range composed {
		b := c.make(bytes.Clone(before))
		if !bytes.HasPrefix(b, before) {
			t.Fatalf("%s: changed what stood before it: %q", c.name, b)
		}
		b = b[len(before):]
		f, n, err := dist.Next(b, len(b))
		if err != nil || n != len(b) {
			t.Fatalf("%s: a frame of %d bytes in %d: %v", c.name, n, len(b), err)
		}
		var m dist.Message
		if err := dist.Parse(f, &m); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !reflect.DeepEqual(m, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, m, c.want)
		}
	}
	if tick := dist.AppendTick(bytes.Clone(before)); string(tick) != string(before)+"\x00\x00\x00\x00" {
		t.Errorf("a tick is %q", tick)
	}
}

// These are the exact bytes of a message.
func TestComposeBytes(t *testing.T) {
	to := etf.Pid{Node: "n@h", ID: 1, Serial: 2, Creation: 3}
	b := dist.BeginSend(nil, to)
	b = dist.End(etf.AppendAtom(b, "hi"), 0)
	want := "0000001f" + "70" + "83" + "6803" + "6102" + "7700" +
		"58" + "77036e4068" + "00000001" + "00000002" + "00000003" + "83" + "77026869"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestComposeAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 4096)
	for _, c := range composed {
		if n := testing.AllocsPerRun(100, func() { c.make(buf) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
