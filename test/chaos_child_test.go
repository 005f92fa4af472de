package e2e

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// The child gets SIGKILL at any moment under load, again and again on the same connection. When
// erluv reports the crash, no process of a program is left. Every linked process gets an exit
// signal, and the node, which checks each byte, gets no wrong one.
//
//erluv:users
func TestChaosChild(t *testing.T) {
	const lanes = 2 // a child that dies young makes main wait
	for lane := range lanes {
		t.Run(strconv.Itoa(lane), func(t *testing.T) {
			t.Parallel()
			e, s := crashing(t, "--die-timeout", "120s")
			killChild(t, counts(100, 2000)/lanes, e, s)
		})
	}
	t.Run("accepted", func(t *testing.T) { // the node has made the connection
		t.Parallel()
		n := newNode(t, nodeOptions{})
		s := n.session(t)
		e := listening(t, n, "--controller", s.name, "--die-timeout", "120s")
		s.eval(t, e.binds().String()+"process_flag(trap_exit, true), pong = net_adm:ping(E)")
		e.isUp(t, s)
		killChild(t, counts(50, 1000), e, s)
	})
}

// viable is the age after which a child's death lets main start another one at once.
const viable = 500 * time.Millisecond

func killChild(t *testing.T, rounds int, e *erluv, s session) {
	socket, mark := e.socket(t), newMark()
	load := bind{"Mark": mark, "Kinds": kinds(10, "flood", "flood", "echo", "echo", "talk", "talk", "churn", "lines", "monitors", "calls")}
	s.eval(t, load.String()+"ok")
	r := e.roles(t)
	told, worst := 0, time.Duration(0)
	for n := range rounds {
		s.eval(t, "e2e_chaos:load(E, Mark, Kinds)")
		if n%4 == 3 {
			<-time.After(viable) // after a child that died young, main waits
		}
		wait(200 * time.Millisecond)
		kill(t, r.child, syscall.SIGKILL)
		killed := time.Now()
		result := s.eval(t, "e2e_chaos:crashed(E)")
		worst = max(worst, time.Since(killed))
		orphans(t, mark)
		if n := zombies(r.main); n > 0 {
			t.Errorf("main has %d zombies", n)
		}
		var one int
		if _, err := fmt.Sscanf(result, "{%d,#{}}", &one); err != nil {
			t.Fatalf("kill %d: %s", n, result)
		}
		told += one
		child := s.eval(t, "e2e_chaos:respawned(E)")
		var err error
		if r.child, err = strconv.Atoi(child); err != nil {
			t.Fatalf("kill %d: no child: %s", n, child)
		}
	}
	if got := e.socket(t); got != socket {
		t.Errorf("the connection is %s, it was %s", got, socket)
	}
	s.expect(t, "{true,none}", "{lists:member(E, nodes(hidden)), receive Other -> Other after 0 -> none end}")
	t.Logf("%d kills, %d exit signals; all was told within %v", rounds, told, worst)
}
