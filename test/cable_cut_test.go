package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// quick is a net_ticktime in seconds for tests in which it expires; slow is one that does not.
const (
	quick = 4
	slow  = 60
)

// calls has callers of each control node run programs at a host, one after the other. The function
// end stops them. It checks that each program ran as often as its caller was informed. Each result
// must be of one of these kinds, and one must be ok.
func (h *fleetHost) calls(t *testing.T) (end func(kinds string)) {
	t.Helper()
	own := map[*control]session{}
	for c, s := range h.at {
		own[c] = c.session(t)
		own[c].eval(t, "{E, F} = "+s.eval(t, "{E, F}")+", Callers = e2e_fleet:callers(E, F, 4), ok")
	}
	return func(kinds string) {
		t.Helper()
		for c, s := range own {
			if c.killed {
				continue
			}
			s.expect(t, "{[],[],true}", `{Wrong, Counts} = e2e_fleet:tally(F, e2e_fleet:called(Callers)),
				{Wrong, maps:keys(Counts) -- [`+kinds+`], is_map_key(ok, Counts)}`)
			t.Logf("%s: %s", c.name, s.eval(t, "Counts"))
		}
	}
}

// counted waits until each running control node counts this number of workers at the host, and
// holds no place.
func (h *fleetHost) counted(t *testing.T, workers int) {
	t.Helper()
	for c, s := range h.at {
		if !c.killed {
			s.expect(t, "ok", fmt.Sprintf("e2e_fleet:counted(E, %d)", workers))
		}
	}
}

// unharmed has end undo before net_ticktime what begin does to the cables or nodes of a host. These
// control nodes use the host meanwhile: no result is lost, and no program runs twice.
func (h *fleetHost) unharmed(t *testing.T, users []*control, begin, end func()) {
	t.Helper()
	ended := h.calls(t)
	for _, c := range users {
		h.at[c].eval(t, `{ok, W} = erluv_fleet:spawn(E, ["/bin/cat"], #{packet => line}), ok`)
	}
	begin()
	for _, c := range users {
		h.at[c].eval(t, `Waits = e2e_fleet:wait(E, F, ["/bin/true"]), W ! {self(), {command, <<"a\n">>}}, ok`)
	}
	time.Sleep(time.Second) // the cut lasts this long
	for _, c := range users {
		h.at[c].expect(t, "none", "receive {'DOWN', _, _, _, _} -> ran; {W, _} -> written after 0 -> none end")
	}
	end()
	for _, c := range users {
		h.at[c].expect(t, "{ok,1,ok}", `{e2e_fleet:waited(Waits), e2e_fleet:ran(F, Waits),
			receive {W, {stdout, <<"a\n">>}} -> ok after 120000 -> late end}`)
	}
	for _, s := range h.at {
		s.expect(t, "none", "e2e_fleet:none(E)")
	}
	ended("ok")
	h.counted(t, len(users))
}

// A cable that is cut and mended before net_ticktime.
func TestCableMended(t *testing.T) {
	f := newFleet(t, 2, slow)
	h := f.host(t, f.control[:1])
	h.unharmed(t, f.control, func() { f.cut(t, h.on, f.control[0].on) }, func() { f.mend(t, h.on, f.control[0].on) })
}

// A control node that stops, and goes on before net_ticktime.
func TestControlPaused(t *testing.T) {
	f := newFleet(t, 2, slow)
	h := f.host(t, f.control[:1])
	pid := f.control[0].cmd.Process.Pid
	h.unharmed(t, f.control[1:], func() { kill(t, pid, syscall.SIGSTOP) }, func() { kill(t, pid, syscall.SIGCONT) })
}

// inUse has each control node use a host with a program and a waiting call, which end with the
// connection and have the first mark. Each also has a program that may be kept, with the second
// mark.
func (h *fleetHost) inUse(t *testing.T, users ...*control) (ends, kept string) {
	t.Helper()
	ends, kept = newMark(), newMark()
	for _, c := range users {
		h.at[c].eval(t, `
			process_flag(trap_exit, true),
			V = e2e_fleet:started(E, #{detached => true, owner => none, env => #{"CHAOS" => "`+kept+`"}}),
			W = e2e_fleet:started(E, #{link => true, env => #{"CHAOS" => "`+ends+`"}}),
			Waits = e2e_fleet:wait(E, F, ["/usr/bin/env", "CHAOS=`+ends+`", "/bin/sleep", "1000"]),
			ok = e2e:until(fun() -> e2e_fleet:ran(F, Waits) =:= 1 end)`)
	}
	eventually(t, "all run", func() bool { return len(marked(ends)) == 2*len(users) && len(marked(kept)) == len(users) })
	return ends, kept
}

// lost checks that a control node hears of the end of everything that it had at the host.
func (h *fleetHost) lost(t *testing.T, c *control) {
	t.Helper()
	h.at[c].expect(t, "{noconnection,noconnection,{lost,true},1}", `
		{Lost, Host} = e2e_fleet:waited(Waits),
		{e2e_fleet:stopped(W), receive {'EXIT', W, Why} -> Why after 120000 -> none end, {Lost, Host =:= E}, e2e_fleet:ran(F, Waits)}`)
}

// The process of a control node ends, or its whole machine. Its hosts move to the next control node
// within a second. Its own programs have ended, except for kept ones.
func TestControlDies(t *testing.T) {
	f := newFleet(t, 3, slow)
	a, b, c := f.control[0], f.control[1], f.control[2]
	h := f.host(t, f.control[:2], "--on-disconnect", "keep", "--lost-after", "1h")
	ends, kept := h.inUse(t, a, b)
	ended := h.calls(t)
	a.killed = true
	begin := time.Now()
	kill(t, a.cmd.Process.Pid, syscall.SIGKILL)
	h.lost(t, b)
	h.through(t, b, b, c)
	t.Logf("the host is at the next control node %v after the end of the first", time.Since(begin))
	eventually(t, "what was the control node's has ended", func() bool { return len(marked(ends)) == 0 })
	ended("ok, lost, unreachable, {stopped, noconnection}")
	h.counted(t, 2)
	h.at[b].expect(t, "[connected,connected]", `[begin P ! {self(), {connect, self()}}, receive {P, connected} -> connected after 120000 -> none end end || {P, _} <- erluv:workers(E)]`)
	if len(marked(kept)) != 2 {
		t.Error("what was to be kept has ended")
	}
}

// A cable is cut. The control node and the host notice it after net_ticktime, and the host moves to
// the next control node. Kept programs live for lost_after.
func TestCableCut(t *testing.T) {
	f := newFleet(t, 2, quick)
	a, b := f.control[0], f.control[1]
	h := f.host(t, f.control, "--on-disconnect", "keep", "--lost-after", "2s")
	ends, kept := h.inUse(t, a, b)
	ended := h.calls(t)
	handOver(t, h.at[a], h.at[b], "V", "Kept")
	begin := time.Now()
	f.cut(t, h.on, a.on)
	h.at[a].eval(t, `Sent = e2e_fleet:wait(E, F, ["/bin/true"]), ok`)
	h.lost(t, a)
	t.Logf("the control node knows after %v", time.Since(begin))
	h.lost(t, b)
	h.at[a].expect(t, "{{lost,true},0}", `{Sent_, On} = e2e_fleet:waited(Sent), {{Sent_, On =:= E}, e2e_fleet:ran(F, Sent)}`)
	h.through(t, b, a, b)
	t.Logf("the host is at the next control node after %v", time.Since(begin))
	// It is known here again, and ends.
	h.at[b].expect(t, "{noconnection,noconnection}", "{e2e_fleet:stopped(Kept), e2e_fleet:stopped(Kept)}")
	eventually(t, "all has ended", func() bool { return len(marked(ends)) == 0 && len(marked(kept)) == 0 })
	// The first control node uses the host through the other.
	h.at[a].expect(t, "ok", `e2e_fleet:waited(e2e_fleet:wait(E, F, ["/bin/true"]))`)
	f.mend(t, h.on, a.on)
	ended("ok, lost, unreachable, {stopped, noconnection}")
	h.counted(t, 0)
}
