package dist_test

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

var (
	alice = etf.Pid{Node: "n@host", ID: 90, Serial: 1, Creation: 0xfeedbeef}
	bob   = etf.Pid{Node: "erluv_1@host", ID: math.MaxUint32, Serial: math.MaxUint32, Creation: 7}

	// References of 5, 3 and 1 words, in the forms of three decades.
	ref5   = etf.Raw(etf.AppendNewRef(nil, "n@host", 0xfeedbeef, 1, 2, 3, 4, math.MaxUint32))
	ref3   = etf.Raw("\x72\x00\x03\x77\x06n@host\x01\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03")
	refOld = etf.Raw("\x65\x77\x06n@host\x00\x00\x00\x01\x02")

	bye   = etf.Raw("\x68\x02\x77\x03bye\x61\x01") // {bye, 1}
	token = etf.Tuple{int64(0), int64(0), int64(1), alice, int64(1)}
)

// forms has every form of every accepted control message: its elements and its meaning.
var forms = []struct {
	name    string
	control etf.Tuple
	payload etf.Raw
	want    dist.Message
}{
	{"LINK", etf.Tuple{int64(1), alice, bob}, nil, dist.Message{Op: dist.Link, From: alice, To: bob}},
	{"SEND", etf.Tuple{int64(2), etf.Atom(""), bob}, bye, dist.Message{Op: dist.Send, To: bob, Payload: bye}},
	{"EXIT", etf.Tuple{int64(3), alice, bob, bye}, nil, dist.Message{Op: dist.Exit, From: alice, To: bob, Reason: bye}},
	{"UNLINK", etf.Tuple{int64(4), alice, bob}, nil, dist.Message{Op: dist.Unlink, From: alice, To: bob}},
	{
		"REG_SEND",
		etf.Tuple{int64(6), alice, etf.Atom("cookie"), etf.Atom("erluv")},
		bye,
		dist.Message{Op: dist.RegSend, From: alice, Name: "erluv", Payload: bye},
	},
	{"GROUP_LEADER", etf.Tuple{int64(7), alice, bob}, nil, dist.Message{Op: dist.GroupLeader, From: alice, To: bob}},
	{"EXIT2", etf.Tuple{int64(8), alice, bob, bye}, nil, dist.Message{Op: dist.Exit2, From: alice, To: bob, Reason: bye}},
	{"SEND_TT", etf.Tuple{int64(12), etf.Atom(""), bob, token}, bye, dist.Message{Op: dist.Send, To: bob, Payload: bye}},
	{
		"EXIT_TT",
		etf.Tuple{int64(13), alice, bob, token, bye},
		nil,
		dist.Message{Op: dist.Exit, From: alice, To: bob, Reason: bye},
	},
	{
		"REG_SEND_TT",
		etf.Tuple{int64(16), alice, etf.Atom(""), etf.Atom("erluv"), token},
		bye,
		dist.Message{Op: dist.RegSend, From: alice, Name: "erluv", Payload: bye},
	},
	{
		"EXIT2_TT",
		etf.Tuple{int64(18), alice, bob, token, bye},
		nil,
		dist.Message{Op: dist.Exit2, From: alice, To: bob, Reason: bye},
	},
	{
		"MONITOR_P",
		etf.Tuple{int64(19), alice, bob, ref5},
		nil,
		dist.Message{Op: dist.MonitorP, From: alice, To: bob, Ref: ref5},
	},
	{
		"MONITOR_P of a name",
		etf.Tuple{int64(19), alice, etf.Atom("erluv"), ref3},
		nil,
		dist.Message{Op: dist.MonitorP, From: alice, HasName: true, Name: "erluv", Ref: ref3},
	},
	{
		"DEMONITOR_P",
		etf.Tuple{int64(20), alice, bob, refOld},
		nil,
		dist.Message{Op: dist.DemonitorP, From: alice, To: bob, Ref: refOld},
	},
	{
		"DEMONITOR_P of a name",
		etf.Tuple{int64(20), alice, etf.Atom(""), ref5},
		nil,
		dist.Message{Op: dist.DemonitorP, From: alice, HasName: true, Ref: ref5},
	},
	{
		"MONITOR_P_EXIT",
		etf.Tuple{int64(21), alice, bob, ref5, bye},
		nil,
		dist.Message{Op: dist.MonitorPExit, From: alice, To: bob, Ref: ref5, Reason: bye},
	},
	{
		"MONITOR_P_EXIT of a name",
		etf.Tuple{int64(21), etf.Atom("rex"), bob, ref5, bye},
		nil,
		dist.Message{Op: dist.MonitorPExit, HasName: true, Name: "rex", To: bob, Ref: ref5, Reason: bye},
	},
	{
		"SEND_SENDER",
		etf.Tuple{int64(22), alice, bob},
		bye,
		dist.Message{Op: dist.SendSender, From: alice, To: bob, Payload: bye},
	},
	{
		"SEND_SENDER_TT",
		etf.Tuple{int64(23), alice, bob, token},
		bye,
		dist.Message{Op: dist.SendSender, From: alice, To: bob, Payload: bye},
	},
	{
		"PAYLOAD_EXIT",
		etf.Tuple{int64(24), alice, bob},
		bye,
		dist.Message{Op: dist.PayloadExit, From: alice, To: bob, Reason: bye},
	},
	{
		"PAYLOAD_EXIT_TT",
		etf.Tuple{int64(25), alice, bob, token},
		bye,
		dist.Message{Op: dist.PayloadExit, From: alice, To: bob, Reason: bye},
	},
	{
		"PAYLOAD_EXIT2",
		etf.Tuple{int64(26), alice, bob},
		bye,
		dist.Message{Op: dist.PayloadExit2, From: alice, To: bob, Reason: bye},
	},
	{
		"PAYLOAD_EXIT2_TT",
		etf.Tuple{int64(27), alice, bob, token},
		bye,
		dist.Message{Op: dist.PayloadExit2, From: alice, To: bob, Reason: bye},
	},
	{
		"PAYLOAD_MONITOR_P_EXIT",
		etf.Tuple{int64(28), alice, bob, ref5},
		bye,
		dist.Message{Op: dist.PayloadMonitorPExit, From: alice, To: bob, Ref: ref5, Reason: bye},
	},
	{
		"PAYLOAD_MONITOR_P_EXIT of a name",
		etf.Tuple{int64(28), etf.Atom("rex"), bob, ref5},
		bye,
		dist.Message{Op: dist.PayloadMonitorPExit, HasName: true, Name: "rex", To: bob, Ref: ref5, Reason: bye},
	},
	{
		"UNLINK_ID",
		etf.Tuple{int64(35), int64(1), alice, bob},
		nil,
		dist.Message{Op: dist.UnlinkID, ID: 1, From: alice, To: bob},
	},
	{
		"UNLINK_ID_ACK",
		etf.Tuple{int64(36), etf.Raw(etf.AppendUint64(nil, math.MaxUint64)), alice, bob},
		nil,
		dist.Message{Op: dist.UnlinkIDAck, ID: math.MaxUint64, From: alice, To: bob},
	},
}

// frame returns the bytes after the length.
func frame(t testing.TB, control etf.Term, payload etf.Raw) []byte {
	t.Helper()
	b, err := etf.AppendTerm([]byte{112, 131}, control)
	if err != nil {
		t.Fatal(err)
	}
	if payload != nil {
		b = append(append(b, 131), payload...)
	}
	return b
}

func TestParse(t *testing.T) {
	for _, c := range forms {
		var m dist.Message
		if err := dist.Parse(frame(t, c.control, c.payload), &m); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !reflect.DeepEqual(m, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, m, c.want)
		}
	}
}

// TestParseControl checks that a control message alone has the meaning of the whole frame, without
// its term.
func TestParseControl(t *testing.T) {
	for _, c := range forms {
		want := c.want
		want.Payload = nil
		if c.payload != nil {
			want.Reason = nil
		}
		control := frame(t, c.control, nil)[2:]
		var m dist.Message
		if err := dist.ParseControl(control, &m); err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", c.name, err, m, want)
		}
		for _, bad := range [][]byte{control[:len(control)-1], append(control, 106)} {
			if err := dist.ParseControl(bad, &m); err == nil || !reflect.DeepEqual(m, dist.Message{}) {
				t.Errorf("%s of %d bytes, not %d: %v, %+v", c.name, len(bad), len(control), err, m)
			}
		}
	}
}

// refuse checks that Parse refuses a frame without a panic, and leaves the message empty.
func refuse(t *testing.T, name string, frame []byte) {
	t.Helper()
	m := dist.Message{Op: dist.Link, From: alice, Ref: ref5}
	if err := dist.Parse(frame, &m); err == nil {
		t.Errorf("%s is taken: % x", name, frame)
	} else if !reflect.DeepEqual(m, dist.Message{}) {
		t.Errorf("%s, refused, leaves %+v", name, m)
	}
}

// Each element is replaced by every wrong kind of term.
func TestParseRefusesWrongElements(t *testing.T) {
	wrong := map[string]etf.Term{
		"a binary": etf.Binary("x"), "a list": etf.List{int64(1)}, "a negative": int64(-1),
		"too large": etf.Raw("\x6e\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), "a float": 1.0,
		"zero": int64(0), "a pid": alice, "an atom": etf.Atom("x"), "a reference": ref5,
		"a port": etf.Raw("\x78\x77\x06n@host\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01"),
	}
	// kinds returns the types that an element may have, by its type in the example; * is any type.
	kinds := func(form etf.Tuple, i int) []string {
		op, _ := form[0].(int64)
		switch form[i].(type) {
		case int64:
			return nil // the number; or an id, where 0 is no id
		case etf.Atom:
			if op == 6 || op == 16 || op == 2 || op == 12 {
				return []string{"an atom"}
			}
			return []string{"an atom", "a pid"}
		case etf.Pid:
			if (op == 19 || op == 20) && i == 2 || (op == 21 || op == 28) && i == 1 {
				return []string{"an atom", "a pid"}
			}
			return []string{"a pid"}
		case etf.Tuple:
			return []string{"*"}
		}
		if i == 1 {
			return nil // an id of 64 bits
		}
		if i == 3 && op >= 19 && op <= 28 {
			return []string{"a reference"}
		}
		return []string{"*"}
	}
	for _, c := range forms {
		for i := range c.control {
			for what, term := range wrong {
				allowed := fmt.Sprint(kinds(c.control, i))
				if allowed == "[*]" || bytes.Contains([]byte(allowed), []byte(what)) {
					continue
				}
				bad := append(etf.Tuple(nil), c.control...)
				bad[i] = term
				refuse(t, fmt.Sprintf("%s with %s as element %d", c.name, what, i), frame(t, bad, c.payload))
			}
		}
	}
}

func TestParseRefusesWrongForms(t *testing.T) {
	for _, c := range forms {
		for name, control := range map[string]etf.Term{
			"one element more": append(append(etf.Tuple(nil), c.control...), alice),
			"one element less": c.control[:len(c.control)-1],
			"as a list":        etf.List(c.control),
		} {
			refuse(t, c.name+" with "+name, frame(t, control, c.payload))
		}
		whole := frame(t, c.control, c.payload)
		for n := range whole {
			refuse(t, fmt.Sprintf("%s cut after %d bytes", c.name, n), whole[:n])
		}
		refuse(t, c.name+" with a byte behind it", append(bytes.Clone(whole), 106))
		if c.payload == nil {
			refuse(t, c.name+" with a payload", frame(t, c.control, bye))
		} else {
			refuse(t, c.name+" without its payload", frame(t, c.control, nil))
			noVersion := append(frame(t, c.control, nil), c.payload...)
			refuse(t, c.name+" with a payload without version", noVersion)
		}
	}
	refuse(t, "a tick", nil)
	refuse(t, "a frame with an atom cache", []byte{131, 68, 0})
	refuse(t, "a frame without pass-through", frame(t, forms[0].control, nil)[1:])
	refuse(t, "an empty tuple", frame(t, etf.Tuple{}, nil))
}

// Parse accepts only messages that this node's flags allow.
func TestParseRefusesUnknownKinds(t *testing.T) {
	known := map[int64]bool{}
	for _, c := range forms {
		known[c.control[0].(int64)] = true
	}
	for op := int64(-2); op < 300; op++ {
		if known[op] {
			continue
		}
		for arity := range 6 {
			control := etf.Tuple{op, alice, bob, ref5, bye, bye}[:arity+1]
			refuse(t, fmt.Sprintf("kind %d", op), frame(t, control, nil))
			refuse(t, fmt.Sprintf("kind %d with a payload", op), frame(t, control, bye))
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	for _, c := range forms {
		f := frame(t, c.control, c.payload)
		var m dist.Message
		if n := testing.AllocsPerRun(100, func() {
			if err := dist.Parse(f, &m); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func TestOpString(t *testing.T) {
	for want, op := range map[string]dist.Op{
		"SEND": dist.Send, "PAYLOAD_MONITOR_P_EXIT": dist.PayloadMonitorPExit, "SEND_TT": 12, "control message 200": 200,
	} {
		if op.String() != want {
			t.Errorf("%d is %q, want %q", uint8(op), op.String(), want)
		}
	}
}
