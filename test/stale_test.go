package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// ownGroup makes a control group in which no other erluv is, or returns "" if that is not possible.
func ownGroup(t *testing.T) string {
	t.Helper()
	here, _ := groupHere()
	if ordinary || here == "" {
		return ""
	}
	base := fmt.Sprintf("%s/erluv-e2e-%d-%d", here, os.Getpid(), serial.Add(1))
	if err := os.Mkdir(base, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !until(endTime, func() bool { return os.Remove(base) == nil }) {
			t.Errorf("%s cannot be removed", base)
		}
	})
	return base
}

// within starts an erluv in a control group.
func within(t *testing.T, n *node, group string, args ...string) *erluv {
	t.Helper()
	name := "e" + strconv.Itoa(int(serial.Add(1)))
	_, host, _ := strings.Cut(n.name, "@")
	args = append([]string{
		"-c", `echo $$ >"$1/cgroup.procs" && shift && exec "$0" "$@"`, executable, group,
		"run", "--node", n.name, "--name", name, "--host", host, n.cookieFile(),
	}, args...)
	e, err := n.exec(nil, "/bin/sh", args...)
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "@" + host
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	e.expect(t, "ok", "e2e:wait_hidden(E), ok")
	return e
}

func trees(base string) []string {
	list, _ := filepath.Glob(base + "/erluv-*.tree")
	return list
}

// An erluv whose processes were all killed at once leaves its tree of control groups, with daemons
// in it. The next erluv ends the daemons and removes the tree. It leaves trees of living erluvs and
// groups that only look like one.
//
//erluv:users
func TestStaleTree(t *testing.T) {
	for _, contain := range []string{"cgroup", "auto"} {
		t.Run(contain, func(t *testing.T) {
			base := ownGroup(t)
			if base == "" {
				if inVersion1 {
					return // where the ordinary user owns the group that the tests are in
				}
				newErluv(t, newNode(t, nodeOptions{})).expect(t, `group`, "e2e:call(E, {info, reach})")
				return
			}
			n := newNode(t, nodeOptions{noise: true})
			busy := func(e *erluv, workers int) (all []process) {
				s := e.session(t)
				s.eval(t, `ok = e2e:ready(e2e:start(E, Cmd, #{link => false}))`, bind{"Cmd": daemon + "echo ready; exec cat"})
				r := e.roles(t)
				eventually(t, "its daemon", func() bool {
					all = insiders(r.spawner)
					return len(all) == 2*workers && len(daemons(all)) == workers
				})
				return all
			}
			living := within(t, n, base, "--contain", contain, "--kill-timeout", "100ms")
			kept := busy(living, 1)
			livingTree := trees(base)

			victim := within(t, n, base, "--contain", contain, "--kill-timeout", "100ms")
			victim.fails = true
			left := busy(victim, 1)
			r := victim.roles(t)
			for _, role := range []string{"main", "spawner", "child"} {
				_ = syscall.Kill(r.each()[role], syscall.SIGKILL)
			}
			victim.exits(t, endTime)
			if list := trees(base); len(livingTree) != 1 || len(list) != 2 {
				t.Fatalf("trees: %q, then %q", livingTree, list)
			}
			lock := "cgroup.kill"
			if _, file := groupHere(); file == "freezer.state" {
				lock = "notify_on_release"
			}
			alike := map[string]int{"erluv-0123456789abcdef.tree": 65534, "erluv-0123456789abcde.tree": 0, "erluv-0123456789abcdefg.tree": 0}
			for name, uid := range alike {
				dir := filepath.Join(base, name)
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Remove(dir) })
				if err := os.Chown(dir+"/"+lock, uid, uid); err != nil {
					t.Fatal(err)
				}
			}

			next := within(t, n, base, "--contain", contain, "--kill-timeout", "100ms")
			if err := endOf(left); err != nil {
				t.Error(err)
			}
			if log := next.stderr.String(); !strings.Contains(log, "leftover processes of an earlier erluv") || !strings.Contains(log, "trees=1") {
				t.Errorf("it says %s", log)
			}
			list := trees(base)
			if len(list) != 2+len(alike) || !slices.Contains(list, livingTree[0]) {
				t.Errorf("trees: %q", list)
			}
			for _, p := range kept {
				if p.gone() {
					t.Errorf("process %v of one that lives was ended", p)
				}
			}
			busy(living, 2)
			for _, e := range []*erluv{next, living} {
				if err := e.stop(); err != nil {
					t.Error(err)
				}
			}
			if list := trees(base); len(list) != len(alike) {
				t.Errorf("at the end there are %q", list)
			}
		})
	}
}
