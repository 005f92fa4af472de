package mainproc

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/mainproc/permit"
	"erluv/sandbox"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// wantError compares an error with a part of its text.
func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// TestOldNode: one that registers an older protocol with EPMD.
func TestOldNode(t *testing.T) {
	cfg := newNode(t).config()
	cfg.Address, cfg.EPMDPort = "", fakeEPMD(t, "foo", 1)
	wantError(t, "a node of our version", Ping(t.Context(), cfg), "nothing listens")
	cfg.EPMDPort = fakeEPMDOf(t, "foo", 1, 5)
	wantError(t, "an old one", Ping(t.Context(), cfg), "versions 5 to 5 of the handshake, not 6")
}

// TestExitStatuses: of success, which no failure has, and of what will never be had.
func TestExitStatuses(t *testing.T) {
	if got := ExitStatus(fmt.Errorf("main: %w", &sandbox.Lacking{})); got != 2 {
		t.Errorf("what will never be had: status %d", got)
	}
	if got := ExitStatus(nil); got != 0 {
		t.Errorf("exit status %d", got)
	}
}

// TestServeErrors: a role that is gone, or not there, when it is told what to serve with.
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

// TestBeat: what is done about a pulse.
func TestBeat(t *testing.T) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	r := &roles{child: shell(t, ipc.RoleChild, "exec sleep 1000"), spawner: shell(t, ipc.RoleSpawner, "exec sleep 1000"), inherits: true}
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

// TestNotReplaced: a spawner that nobody needs any more, or that cannot be had.
func TestNotReplaced(t *testing.T) {
	killed := func() *process {
		p := shell(t, ipc.RoleSpawner, "kill -9 $$")
		_ = p.reap()
		return p
	}
	s, err := newStarter(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	log := slog.New(slog.DiscardHandler)
	id, err := identity(newNode(t).config())
	if err != nil {
		t.Fatal(err)
	}
	serving, err := launch(t.Context(), s, id, settings{
		spawner: ipc.StartSpawner{Path: []string{"/bin"}}, ways: []containment{{name: containGroup}}, log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		serving.kill()
		_ = serving.child.reap()
		serving.close()
	}()
	if err := serving.hand(t.Context(), connected(t)); err != nil {
		t.Fatal(err)
	}
	serving.spawner.kill()
	serving.ending = true
	alive := shell(t, ipc.RoleChild, "exec sleep 1000")
	for name, r := range map[string]*roles{
		"nothing was handed over": {},
		"the child has ended":     {handed: true, child: killed()},
		"it was not killed":       {handed: true, child: alive, spawner: shell(t, ipc.RoleSpawner, "exit 3")},
		"too often":               {handed: true, child: alive, short: maxShort, spawned: time.Now().Add(time.Hour)},
		"it would be root's":      {handed: true, child: alive, starter: s},
		"main ends":               serving,
	} {
		if r.spawner == nil {
			r.spawner = killed()
		}
		_ = r.spawner.reap()
		r.serveWith.log = log
		if r.replace() {
			t.Errorf("%s: replaced", name)
		}
	}
}

// TestInheritable: what programs may inherit is bounded, and nothing of erluv's own.
func TestInheritable(t *testing.T) {
	big := "BIG=" + strings.Repeat("x", maxEnviron)
	list, left := inheritable([]string{"A=1", "ERLUV_COOKIE=" + testCookie, big, "B=2"})
	if fmt.Sprint(list, left) != "[A=1 B=2] 1" {
		t.Errorf("%.100q, %d left out", list, left)
	}
	t.Setenv("BIG", big)
	var log bytes.Buffer
	cfg := newNode(t).config()
	with := settingsOf(cfg, 0, slog.New(slog.NewTextHandler(&log, nil)), "1")
	if !strings.Contains(log.String(), "left_out=1") || len(with.child.Environ) == 0 {
		t.Errorf("log: %s", log.String())
	}
}

// TestWeakerContainment: what does not work is told. What never will is not tried again;
// what may work another time, as with a control group that was removed, is.
func TestWeakerContainment(t *testing.T) {
	id, err := identity(newNode(t).config())
	if err != nil {
		t.Fatal(err)
	}
	falls := func(t *testing.T, s *starter, by containment, level string, left int) {
		t.Helper()
		var told bytes.Buffer
		r, err := launch(t.Context(), s, id, settings{
			spawner: ipc.StartSpawner{Path: []string{"/bin"}}, log: slog.New(slog.NewTextHandler(&told, nil)),
			ways: []containment{by, {name: containGroup}},
		})
		if err != nil {
			t.Fatalf("%v: %s", err, told.String())
		}
		defer func() {
			r.kill()
			_, _ = r.child.reap(), r.spawner.reap()
			r.close()
		}()
		if len(r.serveWith.ways) != left || strings.Count(told.String(), "level="+level+` msg="a weaker containment is tried"`) != 1 {
			t.Errorf("%v: %s", r.serveWith.ways, told.String())
		}
	}
	start := func(t *testing.T) *starter {
		t.Helper()
		s, err := newStarter(0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.close)
		return s
	}
	t.Run("not allowed", func(t *testing.T) {
		s := start(t)
		var err error
		s.do(func() { // the thread is the starter's own
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var caps [2]unix.CapUserData
			if err = unix.Capget(&header, &caps[0]); err == nil {
				caps[unix.CAP_SYS_ADMIN/32].Effective &^= 1 << (unix.CAP_SYS_ADMIN % 32)
				err = unix.Capset(&header, &caps[0])
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		falls(t, s, containment{name: containPidns, pidns: true}, "INFO", 1)
	})
	t.Run("removed", func(t *testing.T) {
		_, tree, err := waysOf(containCgroup, id, slog.New(slog.DiscardHandler))
		if err != nil {
			return // none can be had here
		}
		defer tree.Remove()
		group, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", tree.SpawnerFD()))
		if err == nil {
			err = unix.Rmdir(group)
		}
		if err != nil {
			t.Fatal(err)
		}
		falls(t, start(t), containment{name: containCgroup, tree: tree}, "WARN", 2)
	})
}

// TestKept: by what programs are kept from control groups, where there are such.
func TestKept(t *testing.T) {
	scope := ipc.StartSpawner{Scope: true}
	log := slog.New(slog.DiscardHandler)
	landlock := keptLandlock
	if sandbox.SparesGroups(1) != nil {
		landlock = "open" // this kernel cannot
	}
	for want, s := range map[string]settings{
		"none":   {},
		"owner":  {id: sandbox.Identity{UID: 1, Keeper: 2}},
		"open":   {id: sandbox.Identity{UID: 1}},
		landlock: {id: sandbox.Identity{UID: 1}, spawner: scope},
	} {
		leaves := "/sys/fs/cgroup/x"
		if want == "none" {
			leaves = ""
		}
		if s.log = log; s.kept(leaves, ipc.LimitDirs{}) != want {
			t.Errorf("kept by %s, want %s", s.kept(leaves, ipc.LimitDirs{}), want)
		}
	}
}
