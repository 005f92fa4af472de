package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// daemon is a daemon as the book has it: two forks, a session of its own, nothing of
// the program's descriptors, and SIGTERM ignored.
const daemon = "(trap '' TERM HUP; setsid sleep 1000 </dev/null >/dev/null 2>&1 &); "

// insiders are all processes that are with the spawner, by what the kernel says:
// those of its pid namespace, or its descendants.
func insiders(spawner int) []process {
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", spawner))
	ours, _ := os.Readlink("/proc/self/ns/pid")
	if err != nil || ns == ours {
		return family(spawner)
	}
	var list []process
	for _, s := range all() {
		if at, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", s.pid)); at == ns && s.pid != spawner && !s.dead() {
			list = append(list, s.process)
		}
	}
	return list
}

// canPidns is what this machine lets us have, by an attempt of our own.
func canPidns() bool {
	cmd := exec.Command("mount", "-t", "proc", "proc", "/proc")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	return !ordinary && cmd.Run() == nil
}

// ways are the values of contain, with what `info` says of each; none where it must
// be refused.
func ways() map[string]string {
	w := map[string]string{"auto": "group", "group": "group", "pidns": "none"}
	if canPidns() {
		w["auto"], w["pidns"] = "pidns", "pidns"
	}
	return w
}

func eachWay(t *testing.T, f func(t *testing.T, contain, contained string)) {
	for contain, contained := range ways() {
		if contained != "none" {
			t.Run(contain, func(t *testing.T) { f(t, contain, contained) })
		}
	}
}

// What is in force is what the machine can do, and `info` says it.
func TestContained(t *testing.T) {
	for contain, want := range ways() {
		t.Run(contain, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			if want != "none" {
				newErluv(t, n, "--contain", contain).expect(t, want, "e2e:call(E, {info, contained})")
				return
			}
			e, err := n.run(nil, "run", "--node", n.name, "--name=refused", "--host=127.0.0.1", n.cookieFile(), "--contain", contain)
			if err != nil {
				t.Fatal(err)
			}
			if status := e.exits(t, startTime); status != 1 || !strings.Contains(e.stderr.String(), fmt.Sprintf("cannot contain programs by %q", contain)) {
				t.Errorf("status %d, %s", status, e.stderr.String())
			}
		})
	}
}

// SIGKILL of any role: nothing of what the programs have started is left, daemons
// that ignore SIGTERM neither.
func TestOrphans(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, contained string) {
		if contained == "group" {
			return
		}
		for _, victim := range []string{"main", "child", "spawner"} {
			t.Run(victim, func(t *testing.T) {
				n := newNode(t, nodeOptions{noise: true})
				e := newErluv(t, n, "--contain", contain, "--reconnect", "exit")
				e.fails = true
				s := e.session(t)
				s.eval(t, `[ok = e2e:ready(e2e:start(E, Cmd, #{link => false})) || _ <- lists:seq(1, 5)]`, bind{"Cmd": daemon + daemon + "echo ready; exec sleep 1000"})
				r := e.roles(t)
				inside := insiders(r.spawner)
				if len(inside) < 15 {
					t.Fatalf("there are %d processes with the spawner, want 15: %v", len(inside), inside)
				}
				if err := syscall.Kill(r.each()[victim], syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				e.exits(t, endTime)
				if err := endOf(inside); err != nil {
					t.Error(err)
				}
			})
		}
	})
}
