package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// serves starts an erluv that serves nodes with these names, with the cookie of a node.
func (n *node) serves(t *testing.T, names string, args ...string) *erluv {
	t.Helper()
	name := fmt.Sprintf("e%d", serial.Add(1))
	e, err := n.run(nil, append([]string{"run", "--nodes", names, "--name", name, "--host", "127.0.0.1", n.cookieFile()}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "@127.0.0.1"
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	return e
}

// The list has two names of one node. erluv connects once, by the node's own name. The log says so
// for the other name, which is tried again without an effect on the connection.
func TestOneNodeByTwoNames(t *testing.T) {
	for _, serve := range []string{"first", "all"} {
		t.Run(serve, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			s := n.session(t)
			s.controls(t, "erluv")
			alive, _, _ := strings.Cut(n.name, "@")
			// The node may not have noticed the end of the first attempt when the second one comes
			// with the same name. It says so, and erluv must try again.
			e := n.serves(t, alive+"@localhost,"+n.name, "--serve", serve, "--reconnect", "always")
			e.isUp(t, s)
			if serve == "first" {
				e.wrote(t, `the node there calls itself \"`+n.name+`\": connect to it by that name`)
			} else {
				// Both names are dialled at once, so the node may already have a connection by our
				// name.
				e.again(t, alive+"@localhost")
			}
			s.expect(t, "{true,none}", "{nodes(hidden) =:= [E], receive Other -> Other after 0 -> none end}")
		})
	}
}

// again waits until erluv has failed twice more to connect to a node.
func (e *erluv) again(t *testing.T, node string) {
	t.Helper()
	count := func() (n int) {
		for line := range strings.Lines(e.stderr.String()) {
			if strings.Contains(line, "trying again") && strings.Contains(line, "target="+node) {
				n++
			}
		}
		return n
	}
	before := count()
	if !until(evalTime, func() bool { return count() >= before+2 }) {
		t.Fatalf("%s is not dialled again", node)
	}
}

// A node accepts connections and says nothing. With all, the nodes behind it in the list are served
// at once. With first, they are served when its time has run out.
func TestSilentTarget(t *testing.T) {
	silent := newHost(t, "silent") // it does not call Accept, so only the kernel accepts
	for _, serve := range []string{"first", "all"} {
		t.Run(serve, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, nodeOptions{})
			s := n.session(t)
			s.controls(t, "erluv")
			e := n.serves(t, silent.local.Name+","+n.name, "--serve", serve)
			e.isUp(t, s)
			e.wrote(t, "the handshake with "+silent.local.Name+" did not end in time")
			s.expect(t, "{true,none}", "{is_map(e2e:call(E, info)), receive Other -> Other after 0 -> none end}")
		})
	}
}

// Several erluvs serve the same nodes: each is a node of its own for all of them.
func TestSeveralOnSeveral(t *testing.T) {
	nodes := []*node{newNode(t, nodeOptions{}), newNode(t, nodeOptions{}), newNode(t, nodeOptions{})}
	names := nodes[0].name + "," + nodes[1].name + "," + nodes[2].name
	var all []*erluv
	for range 4 {
		all = append(all, nodes[0].serves(t, names, "--serve", "all"))
	}
	each := bind{}
	for i, e := range all {
		each[fmt.Sprintf("E%d", i)] = atom(e.erluv)
	}
	for _, n := range nodes {
		n.expect(t, "ok", "e2e:until(fun() -> lists:sort(nodes(hidden)) =:= lists:sort([E0, E1, E2, E3]) end, 120000)", each)
	}
	// One erluv goes. The workers of the others stay on each node.
	s := nodes[1].session(t)
	s.eval(t, "process_flag(trap_exit, true), Ws = [e2e:start(E, [\"cat\"]) || E <- [E0, E1, E2, E3]], ok", each)
	if err := all[0].stop(); err != nil {
		t.Error(err)
	}
	s.expect(t, "true", "receive {'EXIT', P, _} -> P =:= hd(Ws) after 120000 -> none end")
	for _, n := range nodes {
		n.expect(t, "{ok,3}", `{e2e:until(fun() -> lists:sort(nodes(hidden)) =:= lists:sort([E1, E2, E3]) end),
			length([ok || E <- [E1, E2, E3], {_, _} <- e2e:call(E, workers)])}`, each)
	}
	s.expect(t, "{[ok,ok,ok],none}", "{[e2e:call(W, {write, <<\"x\">>}) || W <- tl(Ws)], receive {'EXIT', _, _} = Exit -> Exit after 0 -> none end}")
}
