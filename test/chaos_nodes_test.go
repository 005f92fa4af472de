package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"erluv/relay/certtest"
)

// TestChaosNodes is TestChaosChild with four nodes: erluv dials one, another one connects, and two
// more do the same over TLS. Each connection reports the kill of the child, each survives it, and
// no node gets a wrong byte.
func TestChaosNodes(t *testing.T) {
	// OTP 25 looks for the host of our name as a DNS name, later releases as an address.
	host := certtest.Wish{Names: []string{"127.0.0.1"}, DNSNames: []string{"127.0.0.1"}}
	p := newPKI(t, host)
	p.cert, p.key = p.ca.Issue(host)
	nodes := []*node{
		newNode(t, nodeOptions{}), p.node(t, false, renewing["tlsv1.3"]), // these are dialled
		newNode(t, nodeOptions{}), p.node(t, false, renewing["tlsv1.3"]), // these connect
	}
	e, s := servingNodes(t, nodes[:2], append(p.flags(t), "--tls-nodes", nodes[1].name+","+nodes[3].name,
		"--serve", "all", "--listen=local", "--die-timeout", "120s")...)
	for _, s := range s {
		e.isUp(t, s)
	}
	controller := s[0].eval(t, "e2e:call(E, {info, controller})")
	for _, n := range nodes[2:] {
		accepted := n.session(t)
		accepted.controls(t, controller)
		accepted.eval(t, e.binds().String()+"pong = net_adm:ping(E)")
		e.isUp(t, accepted)
		s = append(s, accepted)
	}
	connections, relays := e.connections(t, s[0]), e.relays()
	if len(relays) != 2 {
		t.Fatalf("there are %d relays", len(relays))
	}
	mark := newMark()
	load := bind{"Mark": mark, "Kinds": kinds(2, "flood", "echo", "talk", "churn", "lines", "monitors", "calls")}
	for _, s := range s {
		s.eval(t, load.String()+"ok")
	}
	child := e.roles(t).child
	rounds, told, worst := counts(25, 2000), 0, time.Duration(0)
	for n := range rounds {
		for _, s := range s {
			s.eval(t, "e2e_chaos:load(E, Mark, Kinds)")
		}
		if n%4 == 3 {
			<-time.After(viable) // after a child that died young, main waits
		}
		wait(200 * time.Millisecond)
		kill(t, child, syscall.SIGKILL)
		killed := time.Now()
		for i, s := range s {
			result := s.eval(t, "e2e_chaos:crashed(E)")
			var one int
			if _, err := fmt.Sscanf(result, "{%d,#{}}", &one); err != nil {
				t.Fatalf("kill %d, %s: %s", n, nodes[i].name, result)
			}
			told += one
		}
		worst = max(worst, time.Since(killed))
		orphans(t, mark)
		for i := range s { // the session asked first has main start the child: another one each time
			up := s[(n+i)%len(s)].eval(t, "e2e_chaos:respawned(E)")
			var err error
			if child, err = strconv.Atoi(up); err != nil {
				t.Fatalf("kill %d: no child: %s", n, up)
			}
		}
	}
	if now := e.connections(t, s[0]); now != connections {
		t.Errorf("the connections are %s, they were %s", now, connections)
	}
	if now := e.relays(); !slices.Equal(now, relays) {
		t.Errorf("the relays are %v, they were %v", now, relays)
	}
	for _, s := range s {
		s.expect(t, "{true,none}", "{lists:member(E, nodes(hidden)), receive Other -> Other after 0 -> none end}")
	}
	t.Logf("%d kills, %d exit signals on four connections; all was told within %v", rounds, told, worst)
}

// connections returns the parts of info's connections that a crash does not change: each node, its
// direction, its transport, and the start of the connection.
func (e *erluv) connections(t *testing.T, s session) string {
	t.Helper()
	return s.eval(t, "lists:sort([{N, D, V, T} || #{node := N, direction := D, transport := V, since := T} <- e2e:call(E, {info, connections})])")
}
