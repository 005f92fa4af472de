package crew

import (
	"reflect"
	"syscall"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/mainproc/permit"

	"golang.org/x/sys/unix"
)

// shell starts a process that runs a line of shell.
func shell(t *testing.T, role ipc.Role, line string) *process {
	t.Helper()
	p := &process{role: role, pidfd: -1}
	var err error
	p.pid, err = syscall.ForkExec("/bin/sh", []string{"sh", "-c", line}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{PidFD: &p.pidfd},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		_ = p.reap()
		_ = unix.Close(p.pidfd)
	})
	return p
}

// TestEnded: the role that is the cause is reported first, whichever end is noticed first.
func TestEnded(t *testing.T) {
	const clean, failed, killed, alive = "exit 0", "exit 7", "kill -9 $$", "exec sleep 1000"
	const later = "sleep 0.5; kill -9 $$" // the kernel takes its time to end it
	for _, tt := range []struct {
		child, spawner string
		noticed, first ipc.Role
	}{
		{clean, clean, ipc.RoleChild, ipc.RoleChild},
		{clean, clean, ipc.RoleSpawner, ipc.RoleChild},
		{killed, clean, ipc.RoleChild, ipc.RoleChild},
		{killed, clean, ipc.RoleSpawner, ipc.RoleChild},
		{killed, failed, ipc.RoleChild, ipc.RoleChild},
		{failed, clean, ipc.RoleSpawner, ipc.RoleChild},
		{failed, failed, ipc.RoleChild, ipc.RoleSpawner},
		{failed, failed, ipc.RoleSpawner, ipc.RoleSpawner},
		{failed, killed, ipc.RoleChild, ipc.RoleSpawner},
		{clean, killed, ipc.RoleChild, ipc.RoleSpawner},
		{killed, alive, ipc.RoleChild, ipc.RoleChild},
		{failed, alive, ipc.RoleChild, ipc.RoleChild},
		{alive, killed, ipc.RoleSpawner, ipc.RoleSpawner},
		{alive, clean, ipc.RoleSpawner, ipc.RoleSpawner},
		{later, clean, ipc.RoleSpawner, ipc.RoleChild},
		{clean, later, ipc.RoleChild, ipc.RoleSpawner},
	} {
		r := &Crew{child: shell(t, ipc.RoleChild, tt.child), spawner: shell(t, ipc.RoleSpawner, tt.spawner)}
		waits := func(script string) bool { return script != alive && script != later }
		if waits(tt.child) && !r.child.ended(waitBound) || waits(tt.spawner) && !r.spawner.ended(waitBound) {
			t.Fatal("the shell does not end")
		}
		list := r.ended(tt.noticed == ipc.RoleChild, tt.noticed == ipc.RoleSpawner)
		if len(list) == 0 || list[0].role != tt.first {
			t.Errorf("child %q, spawner %q, the %v noticed: %v", tt.child, tt.spawner, tt.noticed, list)
		}
		for _, p := range list {
			if p.end == nil {
				t.Errorf("the %v was not reaped", p.role)
			}
		}
	}
}

// TestSignsOfLife: these count as the child's answers.
func TestSignsOfLife(t *testing.T) {
	const hung = (beatsMissed + 1) * beatEvery
	r := &Crew{began: time.Now().Add(-hung)}
	if r.Answers() {
		t.Error("one that was never heard answers")
	}
	r.sign.Store(int64(hung - time.Second))
	if !r.Answers() {
		t.Error("one that was heard a second ago does not")
	}
}

// fakeLink is a connection that sends its number.
type fakeLink struct {
	id      uint32
	drained int
	err     error
}

func (l *fakeLink) Give(send func(ipc.Message, ...int) error) error {
	return send(ipc.Link{ID: l.id}, 0, 1, 2)
}

func (l *fakeLink) Drain([]byte) error {
	l.drained++
	return l.err
}

// TestAwait: the child gets the list of nodes that main is connecting to.
func TestAwait(t *testing.T) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	c := &Crew{child: &process{conn: ours}}
	if err := c.Await([]ipc.Waits{{Node: "a@h", Why: "no"}}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, ipc.MaxPacket)
	n, _, err := theirs.TryRecv(buf)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ipc.Decode(buf[:n]); err != nil || !reflect.DeepEqual(m, ipc.Awaited{Nodes: []ipc.Waits{{Node: "a@h", Why: "no"}}}) {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestHandBreaks: a role fails when it gets its settings. The crew does not serve.
func TestHandBreaks(t *testing.T) {
	role := func(role ipc.Role, word ipc.Message) *process {
		ours, theirs, err := ipc.Pair()
		if err == nil {
			err = theirs.TrySend(ipc.Append(nil, word))
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = ours.Close()
			_ = theirs.Close()
		})
		return &process{role: role, conn: ours, buf: make([]byte, ipc.MaxPacket), heard: permit.Hearing{Who: permit.Speakers[role]}}
	}
	failed := ipc.Failed{Text: "no room"}
	for want, words := range map[string][2]ipc.Message{
		"the child cannot serve: no room":   {failed, ipc.Ready{}},
		"the spawner cannot serve: no room": {ipc.Ready{}, failed},
	} {
		c := &Crew{child: role(ipc.RoleChild, words[0]), spawner: role(ipc.RoleSpawner, words[1])}
		c.serveWith.host = &host{}
		wantError(t, "hand", c.Hand(t.Context(), &fakeLink{}), want)
		if c.handed {
			t.Errorf("%s, and the crew serves", want)
		}
	}
}

// TestHandAnother: a serving child gets a second connection. Both ledgers are read until one
// connection is taken back.
func TestHandAnother(t *testing.T) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	first, second := &fakeLink{id: 1}, &fakeLink{id: 2}
	c := &Crew{handed: true, links: []Connection{first}, child: &process{role: ipc.RoleChild, conn: ours, heard: permit.Hearing{Who: permit.Child, At: permit.AtWork}, buf: make([]byte, ipc.MaxPacket)}}
	if err := c.Hand(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := theirs.Recv(buf, waitBound)
	ipc.CloseAll(fds)
	if err != nil || len(fds) != ipc.LinkFDs {
		t.Fatalf("%d descriptors, %v", len(fds), err)
	}
	if m, err := ipc.Decode(buf[:n]); err != nil || m != (ipc.Link{ID: 2}) {
		t.Errorf("%+v, %v", m, err)
	}
	drain := func() {
		t.Helper()
		if err := theirs.TrySend(ipc.Append(nil, ipc.Drain{})); err != nil {
			t.Fatal(err)
		}
		if !c.listen(func(e Event) { t.Errorf("%+v", e) }) {
			t.Error("it does not listen any more")
		}
	}
	drain()
	c.TakeBack(first)
	drain()
	if first.drained != 1 || second.drained != 2 {
		t.Errorf("read %d and %d times", first.drained, second.drained)
	}
	second.err = errTest
	if err := c.drain(); err != errTest {
		t.Error(err)
	}
}
