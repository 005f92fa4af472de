package permit

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"erluv/ipc"
)

// everyMessage has a message of each kind, and several of some.
var everyMessage = []ipc.Message{
	ipc.Hello{Version: ipc.Version, Role: ipc.RoleChild, PID: 1},
	ipc.Start{Controller: "c"},
	ipc.Link{Node: "n@h"},
	ipc.StartSpawner{Path: []string{"/bin"}},
	ipc.Ready{},
	ipc.Failed{Text: "no"},
	ipc.Stop{Reason: "r"},
	ipc.Stopped{Cause: ipc.CauseAsked, Text: "t"},
	ipc.Ledger{Serial: 1, Added: []string{"r"}},
	ipc.Drain{},
	ipc.Beat{},
	ipc.Counted{Programs: 1},
	ipc.Spawner{PID: 9},
	ipc.WantSpawner{User: 1},
	ipc.Logs{},
	ipc.Log{Text: "t"},
	ipc.Lost{ID: 1, Text: "t"},
	ipc.Awaited{Nodes: []ipc.Waits{{Node: "n@h"}}},
	ipc.Host{OnlyClasses: true},
	ipc.Standing{Wish: ipc.WishStandby},
	&ipc.Spawn{Program: "p", Args: []string{"p"}},
	ipc.Spawned{PID: 5},
	ipc.Changed{PID: 5},
	ipc.SignalGroup{PID: 5, Signal: 9},
	ipc.GroupSignalled{PID: 5},
	ipc.Rotate{Path: "/p"},
	ipc.Rotated{Seq: 1},
	ipc.Forget{Seq: 1},
	ipc.Release{Empty: []uint32{1}},
	ipc.SpawnInMemfd{Size: 1},
	ipc.StartRelay{},
}

// TestPermits: main accepts these messages and no others. A message that ends a phase is accepted
// once, an answer as often as main has asked.
func TestPermits(t *testing.T) {
	type heard struct {
		times int // of three, with two questions asked
		then  Phase
	}
	want := map[string]heard{
		"child before it is greeted: ipc.Hello":      {1, AtWait},
		"child before it is greeted: ipc.Failed":     {1, AtEnd},
		"spawner before it is greeted: ipc.Hello":    {1, AtWait},
		"spawner before it is greeted: ipc.Failed":   {1, AtEnd},
		"child before it serves: ipc.Ready":          {1, AtWork},
		"child before it serves: ipc.Failed":         {1, AtEnd},
		"spawner before it serves: ipc.Ready":        {1, AtWork},
		"spawner before it serves: ipc.Failed":       {1, AtEnd},
		"child while it serves: ipc.Beat":            {2, AtWork},
		"spawner while it serves: ipc.Beat":          {2, AtWork},
		"child while it serves: ipc.Drain":           {3, AtWork},
		"child while it serves: ipc.WantSpawner":     {3, AtWork},
		"child while it serves: ipc.Lost":            {3, AtWork},
		"child while it serves: ipc.Counted":         {3, AtWork},
		"child while it serves: ipc.Standing":        {3, AtWork},
		"child while it serves: ipc.Stopped":         {1, AtEnd},
		"relay before it is greeted: ipc.Hello":      {1, AtWait},
		"relay before it is greeted: ipc.Failed":     {1, AtEnd},
		"relay before it serves: ipc.Ready":          {1, AtWork},
		"relay before it serves: ipc.Failed":         {1, AtEnd},
		"relay while it serves: ipc.Beat":            {2, AtWork},
		"relay while it serves: ipc.Stopped":         {1, AtEnd},
		"child's ledger while it serves: ipc.Ledger": {3, AtWork},
		"log of a role while it serves: ipc.Log":     {3, AtWork},
	}
	for _, who := range []Speaker{Child, Spawner, Ledger, Logged, Relay} {
		for at := AtHello; at <= AtEnd; at++ {
			for _, m := range everyMessage {
				h := Hearing{Who: who, At: at, Asked: 2}
				var got heard
				for range 3 {
					if m, err := h.Hear(ipc.Append(nil, m)); err == nil {
						got.times++
					} else if m != nil {
						t.Errorf("%T with the error %v", m, err)
					}
				}
				if h.At != at || got.times > 0 {
					got.then = h.At
				}
				name := fmt.Sprintf("%v %v: %T", who, at, m)
				if got != want[name] {
					t.Errorf("%s is heard %d times, then it is %v; want %+v", name, got.times, got.then, want[name])
				}
				delete(want, name)
			}
		}
	}
	for name := range want {
		t.Errorf("%s has not been tried", name)
	}
}

// TestEveryMessage: the list above has all kinds, and main accepts only some of them.
func TestEveryMessage(t *testing.T) {
	kinds := map[byte]bool{}
	for _, m := range everyMessage {
		kinds[ipc.Append(nil, m)[0]] = true
	}
	for kind := range 256 {
		_, err := ipc.Decode([]byte{byte(kind)})
		unknown := err != nil && strings.Contains(err.Error(), "no message has the kind")
		if unknown == kinds[byte(kind)] {
			t.Errorf("kind %d: in the list %v, unknown %v", kind, kinds[byte(kind)], unknown)
		}
	}
	taken := map[ipc.Kind]bool{}
	for _, p := range permits {
		taken[p.kind] = true
	}
	if len(taken) > 12 {
		t.Errorf("main listens to %d kinds of messages", len(taken))
	}
}

// TestNotHeard: these packets are not messages at all.
func TestNotHeard(t *testing.T) {
	for name, packet := range map[string][]byte{
		"nothing":            {},
		"no kind":            {0},
		"an unknown kind":    {255},
		"a byte too much":    append(ipc.Append(nil, ipc.Stopped{Cause: ipc.CauseAsked}), 0),
		"a byte too little":  ipc.Append(nil, ipc.Stopped{Cause: ipc.CauseAsked})[:5],
		"a cause of its own": ipc.Append(nil, ipc.Stopped{Cause: 3}),
		"a long text":        binary.LittleEndian.AppendUint32([]byte{byte(ipc.KindStopped), 1}, ipc.MaxText+1),
	} {
		if name == "a long text" {
			packet = append(packet, make([]byte, ipc.MaxText+1)...)
		}
		h := Hearing{Who: Child, At: AtWork}
		if m, err := h.Hear(packet); err == nil || h.At != AtWork {
			t.Errorf("%s is heard as %T", name, m)
		}
	}
	long := strings.Repeat("x", 2*ipc.MaxText)
	h := Hearing{Who: Child, At: AtHello}
	if m, err := h.Hear(ipc.Append(nil, ipc.Failed{Text: long})); err != nil || m != (ipc.Failed{Text: long[:ipc.MaxText]}) {
		t.Errorf("of a long text only the beginning is said: %v", err)
	}
	if s := Speaker(64).String() + Speaker(0).String(); s != "speaker 64speaker 0" {
		t.Error(s)
	}
}
