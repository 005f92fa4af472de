package e2e

import (
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SIGKILL hits main, the spawner, any two of the roles, or all three, in any order, up to 5 ms
// apart. No process of a program or of erluv is left, and every linked process gets an exit signal.
//
//erluv:users
func TestChaosRoles(t *testing.T) {
	for _, victims := range [][]string{
		{"main"},
		{"spawner"},
		{"main", "child"},
		{"main", "spawner"},
		{"child", "spawner"},
		{"main", "child", "spawner"},
	} {
		t.Run(strings.Join(victims, " "), func(t *testing.T) {
			n := newNode(t, nodeOptions{noise: true})
			eachWay(t, func(t *testing.T, contain, contained string) {
				times := counts(25, 500)
				if contain != "auto" {
					times = counts(3, 100)
				}
				var took figures
				for range times {
					took = append(took, killRoles(t, n, victims, contain, contained))
				}
				t.Logf("%s: %v", contained, took)
			})
		})
	}
}

// killRoles kills roles of an erluv of its own, and measures the time until the programs are gone.
func killRoles(t *testing.T, n *node, victims []string, contain, contained string) time.Duration {
	e, err := n.connect("--contain", contain, "--reconnect", "exit", "--die-timeout", "60s", "--kill-timeout", "100ms")
	if err != nil {
		t.Fatal(err)
	}
	e.fails = true
	s, mark := e.session(t), newMark()
	load := bind{"Mark": mark, "Kinds": kinds(howStubborn(victims, contained), "flood", "echo", "talk", "monitors", "calls")}
	s.eval(t, load.String()+"e2e_chaos:load(E, Mark, Kinds)")
	r := e.roles(t)
	own := []process{}
	for _, pid := range r.each() {
		if s, ok := stat(pid); ok {
			own = append(own, s.process)
		}
	}
	wait(100 * time.Millisecond)
	programs := marked(mark)
	rand.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	for i, victim := range victims {
		if i > 0 {
			wait(5 * time.Millisecond)
		}
		// This role may have ended because of the previous one, and have been reaped.
		_ = syscall.Kill(r.each()[victim], syscall.SIGKILL)
	}
	killed := time.Now()
	if err := endOf(programs); err != nil {
		t.Error(err)
	}
	took := time.Since(killed)
	// Main's reaction to the death of the others is not tested here.
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	if err := endOf(own); err != nil {
		t.Error(err)
	}
	if !until(endTime, func() bool { return len(marked(mark)) == 0 }) {
		orphans(t, mark)
	}
	inherited(e.cmd.Process.Pid, n.cmd.Process.Pid)
	s.expect(t, "[]", "[Wrong || {wrong, _} = Wrong <- maps:keys(e2e_chaos:ended())]")
	if t.Failed() {
		e.report(t)
		t.FailNow()
	}
	return took
}

// howStubborn returns how many of the programs ignore SIGTERM. Without a pid namespace nothing ends
// them if the spawner and main are dead at the same time. They have left the groups of their
// programs, and the processes that would find them in control groups are dead.
func howStubborn(victims []string, contained string) int {
	if contained != "pidns" && slices.Contains(victims, "main") && slices.Contains(victims, "spawner") {
		return 0
	}
	return 5
}

// SIGKILL of the node: its programs are gone within a second.
func TestChaosNode(t *testing.T) {
	var took figures
	for range counts(5, 100) {
		took = append(took, killNode(t))
	}
	t.Log(took)
	if *chaos && took.median() > time.Second { // otherwise other suites run beside it
		t.Error("that took too long")
	}
}

func killNode(t *testing.T) time.Duration {
	n := newNode(t, nodeOptions{noise: true})
	e := newErluv(t, n)
	s, mark := e.session(t), newMark()
	load := bind{"Mark": mark, "Kinds": kinds(10, "flood", "flood", "echo", "talk", "churn", "lines", "monitors", "calls")}
	s.eval(t, load.String()+"e2e_chaos:load(E, Mark, Kinds)")
	wait(500 * time.Millisecond)
	n.killed = true
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if !until(endTime, func() bool { return len(marked(mark)) == 0 }) {
		orphans(t, mark)
	}
	took := time.Since(killed)
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	return took
}
