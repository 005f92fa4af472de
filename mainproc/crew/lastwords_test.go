package crew

import (
	"testing"
	"time"

	"erluv/ipc"
	"erluv/mainproc/permit"
)

// says gives a process a conversation whose other end has sent these messages and closed, without
// reading main's messages.
func (p *process) says(t *testing.T, who permit.Speaker, at permit.Phase, words ...ipc.Message) {
	t.Helper()
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.file != nil {
			_ = p.file.Close() // it owns the descriptor
		} else {
			_ = ours.Close()
		}
	})
	p.conn, p.buf, p.pulse = ours, make([]byte, ipc.MaxPacket), newPulse(time.Now())
	p.heard = permit.Hearing{Who: who, At: at}
	if err := p.say(ipc.Beat{}); err != nil {
		t.Fatal(err)
	}
	for _, word := range words {
		if err := theirs.TrySend(ipc.Append(nil, word)); err != nil {
			t.Fatal(err)
		}
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStoppedUnread: a child stops without reading main's question whether it lives. It has stopped
// in order all the same, whether main first notices its message or its end.
func TestStoppedUnread(t *testing.T) {
	for name, noticed := range map[string]func(child *process){
		"the word first": func(*process) {},
		"the end first": func(child *process) {
			if !child.ended(waitBound) {
				t.Fatal("the child does not end")
			}
		},
	} {
		c := &Crew{child: shell(t, ipc.RoleChild, "exit 0"), spawner: shell(t, ipc.RoleSpawner, "exit 0"), began: time.Now()}
		c.child.says(t, permit.Child, permit.AtWork, ipc.Stopped{Cause: ipc.CauseAsked, Text: "enough"})
		c.spawner.says(t, permit.Spawner, permit.AtWork)
		noticed(c.child)
		l := Life{State: Asked}
		var kinds []EventKind
		c.Watch(func(e Event) {
			kinds = append(kinds, e.Kind)
			if e.Kind == Stopped {
				l.Stopped(e.Err)
			} else {
				l.Died(e.Err)
			}
		})
		if len(kinds) != 3 || kinds[0] != Stopped || l.State != Ending || l.Err != nil {
			t.Errorf("%s: events %v, %v, %v", name, kinds, l.State, l.Err)
		}
	}
}

// TestFailedUnread: a role that cannot serve reports why before it has read all its messages.
func TestFailedUnread(t *testing.T) {
	for role, who := range permit.Speakers {
		p := &process{role: role, pidfd: -1}
		p.says(t, who, permit.AtStart, ipc.Failed{Text: "no room"})
		wantError(t, role.String(), p.serve(ipc.Beat{}), "cannot serve: no room")
	}
}

// TestRelayStoppedUnread: a relay reports why it ends, and does not read the last question.
func TestRelayStoppedUnread(t *testing.T) {
	p := shell(t, ipc.RoleRelay, "exit 0")
	p.says(t, permit.Relay, permit.AtStart, ipc.Ready{}, ipc.Stopped{Cause: ipc.CauseDisconnected, Text: "the node has gone"})
	r := &Relay{p: p, said: make(chan struct{})}
	if err := r.begin(waitBound); err != nil {
		t.Fatal(err)
	}
	r.listen()
	if why := r.Why(waitBound); why != "the node has gone" {
		t.Errorf("%q", why)
	}
}
