package crew

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/sandbox"

	"go.uber.org/goleak"
)

// The test binary plays the stage, a hostile child, and roles that serve and do no more. Package
// mainproc has roles that misbehave.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if play, ok := plays[os.Args[1]]; ok {
			status := 0
			if err := play(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
				status = 1
			}
			syscall.Exit(status) // os.Exit waits a second with -race
		}
	}
	goleak.VerifyTestMain(m)
}

var plays = map[string]func(args []string) error{
	"hostile": playHostile,
	"stage":   Stage,
	"relay":   func([]string) error { return playRelay() },
	"child":   func([]string) error { return playRole(ipc.RoleChild, 2) },
	"spawner": func(args []string) error {
		if err := Settle(args); err != nil {
			return err
		}
		return playRole(ipc.RoleSpawner, 1)
	},
}

// playRole receives the given number of messages. Then it serves until main hangs up, or the other
// role has ended.
func playRole(role ipc.Role, messages int) error {
	if err := sandbox.NotDumpable(); err != nil {
		return err
	}
	conn, err := ipc.FromFD(conversation)
	if err != nil {
		return err
	}
	_, fds, _, err := ipc.Greet(conn, role, 1, waitBound)
	if err != nil {
		return err
	}
	buf := make([]byte, ipc.MaxPacket)
	for ; messages > 1; messages-- {
		if _, _, err := conn.Recv(buf, waitBound); err != nil {
			return err
		}
	}
	if err := conn.Send(ipc.Append(nil, ipc.Ready{}), waitBound); err != nil {
		return err
	}
	other, err := ipc.FromFD(fds[0])
	if err != nil {
		return err
	}
	if role == ipc.RoleSpawner {
		conn = other
	}
	for err == nil {
		_, _, err = conn.Recv(buf, 0)
	}
	return nil
}

const waitBound = 2 * time.Minute // bounds waits that are short unless the machine is loaded

var t0 = time.Unix(1000, 0)

// testID is the identity of the tests' roles: nobody if root runs the tests, else the tests' user.
func testID() sandbox.Identity {
	id := sandbox.Identity{UID: 65534, GID: 65534}
	if os.Geteuid() != 0 {
		id = sandbox.Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	}
	id.Keeper = sandbox.DrawKeeper(id)
	return id
}

// wantError compares an error with a part of its text.
func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// children lists the processes that this one has started and not reaped.
func children(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var all string
	for _, n := range names {
		text, _ := os.ReadFile(n)
		all += string(text)
	}
	return all
}
