package crew

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"erluv/ipc"
	"erluv/mainproc/permit"
	"erluv/sandbox"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// TestServeErrors: a role has ended, or does not answer, when it gets its settings.
func TestServeErrors(t *testing.T) {
	serve := func(break_ func(ours, theirs *ipc.Conn), more ...ipc.Message) error {
		ours, theirs, err := ipc.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		p := &process{role: ipc.RoleChild, conn: ours, buf: make([]byte, ipc.MaxPacket), end: errors.New("it has ended"), heard: permit.Hearing{Who: permit.Child}}
		if p.pidfd, err = endedProcess(); err != nil {
			t.Fatal(err)
		}
		defer p.close()
		break_(ours, theirs)
		for _, m := range more {
			if err := p.send(m); err != nil {
				return err
			}
		}
		return p.serve(ipc.Start{})
	}
	wantError(t, "gone", serve(func(_, theirs *ipc.Conn) { _ = theirs.Close() }), "before it served: it has ended")
	var reading sync.WaitGroup
	wantError(t, "gone while it is told", serve(func(_, theirs *ipc.Conn) {
		fd := theirs.FD()
		reading.Go(func() {
			_, _ = unix.Read(fd, make([]byte, ipc.MaxPacket))
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		})
	}, slices.Repeat([]ipc.Message{ipc.Ledger{}}, 10_000)...), "before it served: it has ended")
	reading.Wait()
	wantError(t, "no conversation", serve(func(ours, _ *ipc.Conn) { _ = ours.Close() }), "cannot talk to the child")
	p := &process{role: ipc.RoleChild, buf: make([]byte, 10)}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer ipc.CloseAll(fds[:])
	p.conn = &ipc.Conn{}
	_, err := p.recv()
	wantError(t, "no conversation to listen to", err, "cannot listen to the child")
}

// TestBeat: the actions of a pulse.
func TestBeat(t *testing.T) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	r := &Crew{child: shell(t, ipc.RoleChild, "exec sleep 1000"), spawner: shell(t, ipc.RoleSpawner, "exec sleep 1000"), inherits: true}
	r.child.conn = ours
	defer ours.Close()
	r.beat(beatNothing)
	r.beat(beatAsk)
	if r.child.heard.Asked != 1 {
		t.Errorf("asked %d times", r.child.heard.Asked)
	}
	r.child.hangUp()
	r.beat(beatAsk)
	if r.child.heard.Asked != 1 {
		t.Errorf("asked %d times, once of nobody", r.child.heard.Asked)
	}
	r.beat(beatAbort)
	if err := r.child.reap(); !strings.Contains(err.Error(), "aborted") {
		t.Error(err)
	}
	r.note(r.child)
	if r.why != etf.Atom("hung") {
		t.Errorf("noted as %v", r.why)
	}
	r.child = shell(t, ipc.RoleChild, "exec sleep 1000")
	r.beat(beatKill)
	if err := r.child.reap(); !strings.Contains(err.Error(), "was killed: killed") {
		t.Error(err)
	}
}

// TestUnsealed: a child that should have filtered its system calls, and has not, gets nothing.
func TestUnsealed(t *testing.T) {
	id := testID()
	s, err := newStarter(sandbox.Seccomp)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	_, err = launch(t.Context(), s, id, settings{host: &host{}, ways: []containment{{name: containGroup}}})
	if err == nil || !strings.Contains(err.Error(), "the child must not run") || !strings.Contains(err.Error(), "Seccomp") {
		t.Errorf("%v", err)
	}
	if left := children(t); left != "" {
		t.Errorf("processes left: %s", left)
	}
}

// TestExit: a role's end in words, and for the node.
func TestExit(t *testing.T) {
	for line, want := range map[string][2]string{
		"exit 7":           {"has ended with status 7", "[exit_status 7]"},
		"kill -SEGV $$":    {"was killed: segmentation fault", "[signal sigsegv]"},
		"kill -s 40 $$":    {"was killed: signal 40", "[signal 40]"},
		"exec sleep 1000":  {"has closed its conversation", ""},
		"exec sleep 0.001": {"has ended with status 0", "[exit_status 0]"},
	} {
		p := shell(t, ipc.RoleChild, line)
		err := p.hungUp()
		if !strings.Contains(err.Error(), want[0]) {
			t.Errorf("%q: %v", line, err)
		}
		if got := fmt.Sprint(p.exit()); want[1] != "" && got != want[1] {
			t.Errorf("%q: %s, want %s", line, got, want[1])
		}
	}
	nobodys := &process{role: ipc.RoleChild, pid: os.Getpid(), pidfd: -1}
	if err := nobodys.reap(); err == nil || !strings.Contains(err.Error(), "cannot be waited for") {
		t.Error(err)
	}
}
