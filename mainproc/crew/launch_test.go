package crew

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// TestNotReplaced: a spawner that is no longer needed, or that cannot be started.
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
	id := testID()
	serving, err := launch(t.Context(), s, id, settings{
		host: &host{}, spawner: ipc.StartSpawner{Path: []string{"/bin"}}, ways: []containment{{name: containGroup}}, log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		serving.Kill()
		_ = serving.child.reap()
		serving.Close()
	}()
	if err := serving.Hand(t.Context(), connected(t)); err != nil {
		t.Fatal(err)
	}
	serving.spawner.kill()
	serving.ending = true
	alive := shell(t, ipc.RoleChild, "exec sleep 1000")
	for name, r := range map[string]*Crew{
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

// TestWeakerContainment: a way that does not work is logged. A way that can never work is not tried
// again. A way that may work later, as after the removal of a control group, is.
func TestWeakerContainment(t *testing.T) {
	id := testID()
	falls := func(t *testing.T, s *starter, by containment, level string, left int) {
		t.Helper()
		var told bytes.Buffer
		r, err := launch(t.Context(), s, id, settings{
			host: &host{}, spawner: ipc.StartSpawner{Path: []string{"/bin"}}, log: slog.New(slog.NewTextHandler(&told, nil)),
			ways: []containment{by, {name: containGroup}},
		})
		if err != nil {
			t.Fatalf("%v: %s", err, told.String())
		}
		defer func() {
			r.Kill()
			_, _ = r.child.reap(), r.spawner.reap()
			r.Close()
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
		s.do(func() { // the starter's own thread
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
			return // this machine allows no groups
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

// TestKept: how control groups are protected from programs, if there are any.
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

// TestUsersWhenMainEnds: main does not start a spawner while it ends, and the child learns that.
func TestUsersWhenMainEnds(t *testing.T) {
	s, err := newStarter(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	r := &Crew{
		ending: true, starter: s, others: []other{{}, {user: "games", id: testID()}}, by: containment{name: containGroup},
		child: &process{conn: ours}, serveWith: settings{log: slog.New(slog.DiscardHandler)},
	}
	defer ours.Close()
	if err := r.want(1); err != nil {
		t.Error(err)
	}
	buf := make([]byte, ipc.MaxPacket)
	k, _, err := theirs.TryRecv(buf)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ipc.Decode(buf[:k]); err != nil || m != (ipc.Spawner{User: 1}) || r.othersLive() {
		t.Errorf("the child is told %+v, %v", m, err)
	}
	if left := children(t); left != "" {
		t.Errorf("processes left: %s", left)
	}
}
