package crew

import (
	"errors"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/sandbox"
	"erluv/test/scarce"

	"golang.org/x/sys/unix"
)

// asRole calls f on a thread with its own descriptors, one of which is a conversation with the
// test, as in a role. It returns the message that f has sent there.
func asRole(t *testing.T, f func() error) (said ipc.Message, err error) {
	t.Helper()
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with it
		err := unix.Unshare(unix.CLONE_FILES)
		if err == nil {
			err = unix.Dup3(theirs.FD(), conversation, 0)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	err = <-done
	buf := make([]byte, ipc.MaxPacket)
	n, _, no := ours.TryRecv(buf)
	if no != nil {
		return nil, err
	}
	said, no = ipc.Decode(buf[:n])
	if no != nil {
		t.Error(no)
	}
	return said, err
}

// TestStageRefuses: the stage refuses arguments that main never passes. It reports a failed drop to
// main.
func TestStageRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":                            "started by erluv alone",
		"child 1 1 1":                 "started by erluv alone",
		"main 1 1 1 0":                `no role "main"`,
		"child x 1 1 0":               `"x"`,
		"child 1 -1 1 0":              `"-1"`,
		"child 1 4294967296 1 0":      "out of range",
		"spawner 1 1 one 0":           `"one"`,
		"spawner 1 1 1 256":           "out of range",
		"spawner 65534 65534 1 0 0 0": "started by erluv alone",
		"spawner 1 1 1 0 1,x":         `"x"`,
		"spawner 1 1 1 0 1,root":      `"root"`,
		"spawner 1 1 1 0 keeper=x":    `"x"`,
		"spawner 1 1 1 0 1,keeper=2":  `"keeper=2"`,
	} {
		said, err := asRole(t, func() error { return Stage(strings.Fields(args)) })
		if err == nil || !strings.Contains(err.Error(), want) || said != nil {
			t.Errorf("%q: %v, %v; want %q", args, err, said, want)
		}
	}
	said, err := asRole(t, func() error { return Stage([]string{"child", "0", "0", "1", "0"}) })
	if failed, ok := said.(ipc.Failed); !ok || err == nil || failed.Text != err.Error() || !strings.Contains(failed.Text, "are root's") {
		t.Errorf("root: %v, main was told %v", err, said)
	}
	// For the init of a pid namespace, no descriptor is free for /proc.
	said, err = asRole(t, func() error {
		if os.Geteuid() == 0 {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil { // in case it continues
				return err
			}
		}
		return scarce.With(t, 0, func() error { return Stage([]string{"spawner", "1", "1", "0", "0"}) })
	})
	if failed, ok := said.(ipc.Failed); !ok || !errors.Is(err, unix.EMFILE) || failed.Text != err.Error() {
		t.Errorf("init: %v, main was told %v", err, said)
	}
	// Without a conversation it tries nothing.
	_, err = asRole(t, func() error {
		if err := unix.Close(conversation); err != nil {
			return err
		}
		return Stage([]string{"child", "1", "1", "1", "0"})
	})
	if err == nil || !strings.Contains(err.Error(), "started by erluv alone") {
		t.Errorf("without a conversation: %v", err)
	}
}

// TestStageReads: parseStage makes a recipe of the arguments of starter.start.
func TestStageReads(t *testing.T) {
	all := sandbox.Seccomp | sandbox.Files | sandbox.TCP | sandbox.Scope
	for args, want := range map[string]sandbox.Recipe{
		"child 7 8 9 0":              {Parent: 9, NoCore: true, AllFiles: true},
		"child 7 8 9 15":             {Parent: 9, NoCore: true, AllFiles: true, Rules: all.OfChild()},
		"relay 7 8 9 0":              {Parent: 9, NoCore: true},
		"relay 7 8 9 15":             {Parent: 9, NoCore: true, Rules: all.OfRelay()},
		"spawner 7 8 9 0":            {Parent: 9, Outlives: true},
		"spawner 7 8 0 0":            {},
		"spawner 7 8 9 15":           {Parent: 9, Outlives: true, FilterPrograms: true},
		"spawner 7 8 0 0 9":          {Identity: sandbox.Identity{Groups: []uint32{9}}},
		"spawner 7 8 0 0 root":       {Identity: sandbox.Identity{MayBeRoot: true}},
		"spawner 7 8 0 0 keeper=5":   {Identity: sandbox.Identity{Keeper: 5}},
		"spawner 7 8 9 0 keeper=5,6": {Identity: sandbox.Identity{Keeper: 5, Groups: []uint32{6}}, Parent: 9, Outlives: true},
		"spawner 7 8 0 0 root,0,10":  {Identity: sandbox.Identity{MayBeRoot: true, Groups: []uint32{0, 10}}},
	} {
		want.UID, want.GID, want.KeepFD = 7, 8, conversation
		list := strings.Fields(args)
		role, got, err := parseStage(list)
		if len(list) == 6 && restOf(want.Identity) != list[5] {
			t.Errorf("%+v is written as %q, want %q", want.Identity, restOf(want.Identity), list[5])
		}
		if err != nil || role.String() != list[0] || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %+v, %v; want %+v", args, role, got, err, want)
		}
	}
}

// TestSeal: the child takes its own arguments, and no others.
func TestSeal(t *testing.T) {
	for _, args := range [][]string{nil, {"0", "0"}, {"x"}, {"256"}} {
		if err := Seal(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
	if err := Seal([]string{"0"}); err != nil {
		t.Error(err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); dumpable != 0 {
		t.Errorf("dumpable: %d, %v", dumpable, err)
	}
}

// TestOrTellMain: a role reports a failed seal to main.
func TestOrTellMain(t *testing.T) {
	said, err := asRole(t, func() error { return orTellMain(errTest) })
	if failed, ok := said.(ipc.Failed); !ok || err != errTest || failed.Text != errTest.Error() {
		t.Errorf("%v, main was told %v", err, said)
	}
	if err := SealRelay([]string{"x"}); err == nil {
		t.Error("a relay takes x")
	}
}

// TestSettle: the spawner takes its own arguments, and no others.
func TestSettle(t *testing.T) {
	for _, args := range [][]string{nil, {"1", "1"}, {"x", "1", "0"}, {"1", "1", "0", "0"}, {"1", "1", "-1"}} {
		if err := Settle(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
	if err := Settle([]string{"1", "1", "0"}); err != nil {
		t.Error(err)
	}
}
