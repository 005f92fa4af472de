package e2e

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A cable is cut in one direction. The side that hears nothing notices after net_ticktime and ends
// the connection. The other side learns of it in the direction that still works.
func TestCableOneWay(t *testing.T) {
	f := newFleet(t, 2, quick)
	a, b := f.control[0], f.control[1]
	deaf, mute := f.host(t, f.control), f.host(t, f.control)
	hosts := []*fleetHost{deaf, mute}
	var ends []string
	var ended []func(string)
	for _, h := range hosts {
		mark, _ := h.inUse(t, a, b)
		ends, ended = append(ends, mark), append(ended, h.calls(t))
	}
	if err := errors.Join(f.lan.Cut(a.on, deaf.on), f.lan.Cut(mute.on, a.on)); err != nil {
		t.Fatal(err)
	}
	for i, h := range hosts {
		h.lost(t, a)
		h.lost(t, b)
		h.through(t, b, a, b)
		eventually(t, "what was the control node's has ended", func() bool { return len(marked(ends[i])) == 0 })
		ended[i]("ok, lost, unreachable, {stopped, noconnection}")
	}
}

// The control nodes do not see each other, and both use a host that serves both. The host takes no
// more programs than its configuration allows. When they see each other again, they count the same.
func TestCableSplit(t *testing.T) {
	f := newFleet(t, 2, quick)
	a, b := f.control[0], f.control[1]
	h := f.host(t, f.control, "--serve", "all", "--max-workers", "5")
	h.through(t, nil, f.control...)
	f.cut(t, a.on, b.on)
	for _, c := range f.control {
		c.knows(t, 1)
		h.at[c].eval(t, `Pids = [spawn_monitor(fun() ->
			receive go -> exit({done, erluv_fleet:spawn(E, ["/bin/sleep", "1000"], #{owner => none, detached => true})}) end end) || _ <- lists:seq(1, 5)], ok`)
	}
	for _, c := range f.control {
		h.at[c].eval(t, "[P ! go || {P, _} <- Pids], ok")
	}
	started := 0
	for _, c := range f.control {
		got := h.at[c].eval(t, `[receive {'DOWN', Ref, _, _, {done, {ok, _}}} -> ok; {'DOWN', Ref, _, _, {done, {error, {full, #{}}}}} -> full;
			{'DOWN', Ref, _, _, Other} -> Other after 120000 -> none end || {_, Ref} <- Pids]`)
		if n := strings.Count(got, "ok") + strings.Count(got, "full"); n != 5 {
			t.Errorf("%s: %s", c.name, got)
		}
		started += strings.Count(got, "ok")
	}
	if started != 5 {
		t.Errorf("%d programs were started", started)
	}
	f.mend(t, a.on, b.on)
	h.at[a].expect(t, "pong", "net_adm:ping('"+b.name+"')")
	h.counted(t, 5)
	for _, c := range f.control {
		h.at[c].expect(t, "{error,{full,5}}", "{error, {full, #{E := Count}}} = erluv_fleet:place(#{}, spread), {error, {full, Count}}")
		h.at[c].expect(t, "none", "e2e_fleet:none(E)")
	}
}

// A control node stops for longer than net_ticktime. Its hosts move to the next one. When it goes
// on, it hears of that.
func TestControlStops(t *testing.T) {
	f := newFleet(t, 2, quick)
	a, b := f.control[0], f.control[1]
	h := f.host(t, f.control)
	ends, _ := h.inUse(t, a, b)
	ended := h.calls(t)
	kill(t, a.cmd.Process.Pid, syscall.SIGSTOP)
	h.lost(t, b)
	h.through(t, b, b)
	eventually(t, "what was the control node's has ended", func() bool { return len(marked(ends)) == 0 })
	kill(t, a.cmd.Process.Pid, syscall.SIGCONT)
	h.lost(t, a)
	h.at[a].expect(t, "pong", "net_adm:ping('"+b.name+"')")
	h.through(t, b, a, b)
	h.at[a].expect(t, "ok", `e2e_fleet:waited(e2e_fleet:wait(E, F, ["/bin/true"]))`)
	ended("ok, lost, unreachable, {stopped, noconnection}")
	h.counted(t, 0)
}

// The machine of a host loses its power, and boots again before the control nodes have noticed. The
// name is the same, the node is another one. For all, everything on the old node is dead.
func TestHostReboots(t *testing.T) {
	f := newFleet(t, 2, quick)
	h := f.host(t, f.control, "--serve", "all")
	h.through(t, nil, f.control...)
	ends, _ := h.inUse(t, f.control...)
	ended := h.calls(t)
	for _, c := range f.control {
		f.cut(t, h.on, c.on)
	}
	h.fails = true
	kill(t, h.cmd.Process.Pid, syscall.SIGKILL) // and all of it ends
	<-h.ended
	eventually(t, "all has ended", func() bool { return len(marked(ends)) == 0 })
	name, _, _ := strings.Cut(h.erluv.erluv, "@")
	h.boot(t, name, f.control, "--serve", "all")
	for _, c := range f.control {
		f.mend(t, h.on, c.on)
	}
	for _, c := range f.control {
		h.lost(t, c)
	}
	h.through(t, nil, f.control...)
	ended("ok, lost, unreachable, {stopped, noconnection}, {stopped, noproc}")
	for _, c := range f.control {
		h.at[c].expect(t, "{{error,noproc},noproc}", `{erluv:info(W),
			begin Ref = monitor(process, W), receive {'DOWN', Ref, _, _, Gone} -> Gone after 120000 -> none end end}`)
		h.at[c].expect(t, "true", `New = e2e_fleet:started(E, #{}), exit(W, kill), is_map(erluv:info(New))`)
	}
	h.counted(t, len(f.control))
}

// The child of a host dies, again and again, while programs are started there.
func TestChildOfAHostDies(t *testing.T) {
	f := newFleet(t, 2, slow)
	h := f.host(t, f.control[:1])
	ended := h.calls(t)
	for i := range 3 {
		h.at[f.control[1]].eval(t, `W`+strconv.Itoa(i)+` = e2e_fleet:started(E, #{}), ok`)
		child := h.at[f.control[0]].eval(t, "erluv:info(E, child_os_pid)")
		pid, err := strconv.Atoi(child)
		if err != nil {
			t.Fatal(child)
		}
		kill(t, pid, syscall.SIGKILL)
		h.at[f.control[1]].expect(t, "child_crashed", `e2e_fleet:stopped(W`+strconv.Itoa(i)+`)`)
		h.at[f.control[0]].expect(t, "ok", `e2e:until(fun() -> ok =:= e2e_fleet:waited(e2e_fleet:wait(E, F, ["/bin/true"])) end)`)
	}
	ended("ok, child_down, {exit, child_crashed}, {stopped, child_crashed}, {stopped, noproc}")
	h.counted(t, 0)
	for _, s := range h.at {
		s.expect(t, "none", "e2e_fleet:none(E)")
	}
}

// TestDemoFleet runs make demo-fleet with fewer hosts and programs.
func TestDemoFleet(t *testing.T) {
	code, err := library()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "./test/demo/fleet", "-erluv", executable, "-library", code, "-control", "2", "-hosts", "3", "-programs", "12")
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, said := range []string{
		"2 control nodes, 3 hosts", "control1 is killed: it has 2 hosts", "host03 is at control2 after", "host01 is killed: it has",
		"{error,{unreachable,'host01@", "host03 is drained", "{error,{node_not_ready,stopped}}", "host02     ready      control2     12\n", "12 programs run",
	} {
		if !strings.Contains(string(out), said) {
			t.Errorf("it does not say %q:\n%s", said, out)
		}
	}
}
