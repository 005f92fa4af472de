package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// daemon starts a textbook daemon: two forks, a session of its own, none of the program's
// descriptors, and SIGTERM ignored.
const daemon = "(trap '' TERM HUP; setsid sleep 1000 </dev/null >/dev/null 2>&1 &); "

// insiders returns the processes that the kernel counts with the spawner: those of its pid
// namespace, or else its descendants.
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

// daemons returns the daemons that are in place: sleeping, each in a session of its own.
func daemons(list []process) (found []process) {
	for _, p := range list {
		if sid, err := unix.Getsid(p.pid); err == nil && sid == p.pid && strings.HasPrefix(cmdline(p.pid), "sleep") {
			found = append(found, p)
		}
	}
	return found
}

// canPidns tries whether this machine lets a process make a pid namespace and mount /proc.
func canPidns() bool {
	cmd := exec.Command("mount", "-t", "proc", "proc", "/proc")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	return !ordinary && cmd.Run() == nil
}

// ways maps each value of contain to the value that `info` then shows, or to "none" where erluv
// must refuse it.
func ways() map[string]string {
	w := map[string]string{"auto": "group", "group": "group", "pidns": "none", "cgroup": "none"}
	if canCgroup() {
		w["auto"], w["cgroup"] = "cgroup", "cgroup"
	}
	if canPidns() {
		w["auto"], w["pidns"] = "pidns", "pidns"
	}
	return w
}

// groupHere makes a control group beneath the test's own, as the user who runs erluv. It tries the
// cgroup2 that is mounted beneath /sys, then the freezer of version 1. It returns the directory of
// the test's own group and a file that only this version has, or "" if neither works.
func groupHere() (dir, file string) {
	cmd := exec.Command("/bin/sh", "-c", `try() {
			d=$1/probe-$$
			mkdir $d || return
			if test -w $d/$2; then echo $1 $2; fi
			rmdir $d
		}
		own=$(sed -n 's/^0:://p' /proc/self/cgroup)
		for at in $(sed -n 's/^[^ ]* \(\/sys\/fs\/cgroup[^ ]*\) cgroup2 .*/\1/p' /proc/mounts); do
			try $at$own cgroup.kill
		done
		own=$(sed -n 's/^[0-9]*:freezer://p' /proc/self/cgroup)
		for at in $(sed -n 's/^[^ ]* \(\/sys\/fs\/cgroup[^ ]*\) cgroup [^ ]*,freezer .*/\1/p' /proc/mounts); do
			try $at$own freezer.state
		done`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	out, _ := cmd.Output()
	first, _, _ := strings.Cut(string(out), "\n")
	dir, file, _ = strings.Cut(first, " ")
	return dir, file
}

func canCgroup() bool {
	dir, _ := groupHere()
	return dir != ""
}

func eachWay(t *testing.T, f func(t *testing.T, contain, contained string)) {
	for contain, contained := range ways() {
		if contained != "none" {
			t.Run(contain, func(t *testing.T) { f(t, contain, contained) })
		}
	}
}

// The best way that the machine allows is in force, and `info` names it.
//
//erluv:users
func TestContained(t *testing.T) {
	for contain, want := range ways() {
		t.Run(contain, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			if want != "none" {
				reach := "group"
				if contain != "group" && canCgroup() {
					reach = "cgroup"
				}
				newErluv(t, n, "--contain", contain).expect(t, "{"+want+","+reach+"}", "{e2e:call(E, {info, contained}), e2e:call(E, {info, reach})}")
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

// SIGKILL hits one of the roles. No process of any program is left, not even daemons that ignore
// SIGTERM.
//
//erluv:users
func TestOrphans(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, _ string) {
		for _, victim := range []string{"main", "child", "spawner"} {
			t.Run(victim, func(t *testing.T) {
				n := newNode(t, nodeOptions{noise: true})
				e := newErluv(t, n, "--contain", contain, "--reconnect", "exit", "--die-timeout", "100ms")
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
				if victim != "spawner" { // another one follows it
					e.exits(t, endTime)
				}
				if err := endOf(inside); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// However a worker ends, processes that have left its session end with it, where the kernel can
// tell which worker they belong to. The worker's end is reported after theirs. Elsewhere they are
// known to be out of reach, and end with erluv.
//
//erluv:users
func TestReach(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, _ string) {
		reached := contain != "group" && canCgroup()
		n := newNode(t, nodeOptions{})
		e := newErluv(t, n, "--contain", contain)
		r := e.roles(t)
		for name, tc := range map[string]struct{ cmd, opts, end string }{
			"stop":    {"exec cat", "#{kill_timeout => 100}", "{ok, _} = e2e:call(W, stop)"},
			"exit":    {"exec cat", "#{kill_timeout => 100}", "exit(W, enough)"},
			"kill":    {"exec cat", "#{}", "exit(W, kill)"},
			"closed":  {"exec cat", "#{kill_timeout => 100}", "W ! {self(), close}"},
			"tree":    {"read x", "#{kill_timeout => 100}", `ok = e2e:call(W, {write, "\n"})`},
			"its own": {"read x; kill -9 $$", "#{kill_timeout => 100}", `ok = e2e:call(W, {write, "\n"})`},
		} {
			t.Run(name, func(t *testing.T) {
				s := e.session(t)
				s.eval(t, `W = e2e:start(E, Cmd, `+tc.opts+`), ok = e2e:ready(W)`, bind{"Cmd": daemon + "(" + daemon + ") & echo ready; " + tc.cmd})
				var inside []process
				eventually(t, "two daemons", func() bool {
					inside = insiders(r.spawner)
					return len(inside) == 3 && len(daemons(inside)) == 2
				})
				s.eval(t, tc.end+`, receive {'EXIT', W, _} -> ok after 120000 -> error(no_exit) end`)
				left := 0
				for _, p := range inside {
					if !p.gone() {
						left++
						_ = syscall.Kill(p.pid, syscall.SIGKILL)
					}
				}
				if want := map[bool]int{true: 0, false: 2}[reached]; left != want {
					t.Errorf("%d processes were left, want %d", left, want)
				}
				if err := endOf(inside); err != nil {
					t.Error(err)
				}
			})
		}
	})
}
