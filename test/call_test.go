package e2e

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"erluv/relay/certtest"
	"erluv/wire/client"
	"erluv/wire/dist"
	wireepmd "erluv/wire/epmd"
)

// TestCall checks section 7 of the contract: calls on one node and on all nodes. Text that a
// function prints or logs appears at the node where the function runs.
//
//erluv:releases
func TestCall(t *testing.T) {
	g := newGrid(t, letters[:5])
	g.connect(t, "a-b b-c c-d d~e")
	a := g.nodes["a"]
	call := func(args ...string) (stdout, stderr string, status int) {
		t.Helper()
		stdout, stderr, status = looks(t, a, append([]string{"call", patient, a.name}, args...)...)
		return g.names.Replace(stdout), g.names.Replace(stderr), status
	}
	expect := func(want string, args ...string) {
		t.Helper()
		if stdout, stderr, status := call(args...); stdout != want || stderr != "" || status != 0 {
			t.Errorf("%q: status %d\n%s%swant\n%s", args, status, stdout, stderr, want)
		}
	}
	fails := func(want string, args ...string) {
		t.Helper()
		if stdout, stderr, status := call(args...); stdout != "" || !strings.HasPrefix(stderr, want) || status != 1 {
			t.Errorf("%q: status %d\n%s%swant\n%s", args, status, stdout, stderr, want)
		}
	}
	expect("'a'\n", "erlang", "node")
	expect("[1,<<\"two\">>,{three,\"4\"}]\n", "lists", "reverse", `[[{three, "4"}, <<"two">>, 1]]`)
	expect("a    'a'\nb    'b'\nc    'c'\nd    'd'\ne    'e'\n", "--all", "--hidden", "erlang", "node")
	expect("a    'a'\nb    'b'\nc    'c'\nd    'd'\n", "--all", "erlang", "node", "[]")
	expect("a    7\nb    7\nc    7\nd    7\n", "--all", "erlang", "abs", "[-7]") // a list of one small integer
	fails("erluv: a: it fails: {undef,[{nobody,nothing,[],", "nobody", "nothing")
	fails("erluv: a: it fails: {badarg,", "erlang", "atom_to_list", "[1]")
	fails("erluv: a: it does not answer in time\n", "--timeout=300ms", "timer", "sleep", "[infinity]")
	stdout, stderr, status := call("--all", "erlang", "atom_to_list", "[1]")
	if strings.Count(stdout, "  ! it fails: {badarg,") != 4 || stderr != "erluv: 4 of 4 nodes have returned nothing\n" || status != 1 {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	stdout, _, _ = call("--all", "--json", "erlang", "node")
	if rows := whole[[]callOutput](t, stdout); fmt.Sprint(rows) != "[{a 'a' } {b 'b' } {c 'c' } {d 'd' }]" {
		t.Error(stdout)
	}
	stdout, _, status = call("--json", "erlang", "atom_to_list", "[1]")
	if rows := whole[[]callOutput](t, stdout); len(rows) != 1 || rows[0].Node != "a" || rows[0].Result != "" || !strings.HasPrefix(rows[0].Error, "it fails: {badarg,") || status != 1 {
		t.Errorf("%d: %s", status, stdout)
	}
	g.unchanged(t, "a")
	// Each node prints it once, itself, whichever path the request took.
	expect("a    ok\nb    ok\nc    ok\nd    ok\ne    ok\n", "--all", "--hidden", "io", "format", `["printed ~p~n", [here]]`)
	expect("a    ok\nb    ok\nc    ok\nd    ok\ne    ok\n", "--all", "--hidden", "logger", "warning", `["logged here"]`)
	for letter, n := range g.nodes {
		eventually(t, "the output of "+letter, func() bool {
			return strings.Contains(n.output.String(), "printed here\n") && strings.Contains(n.output.String(), "logged here")
		})
	}
	g.unchanged(t, "a")
	for letter, n := range g.nodes {
		if out := n.output.String(); strings.Count(out, "printed here") != 1 || strings.Count(out, "logged here") != 1 {
			t.Errorf("%s wrote:\n%s", letter, out)
		}
	}
	// A cookie on the command line is hidden, and the other arguments are kept.
	stdout, stderr, status = invoked(t, a, "call", patient, "--cookie", cookie, a.name, "--all", "lists", "sum", "[[1, -2]]")
	if g.names.Replace(stdout) != "a    -1\nb    -1\nc    -1\nd    -1\n" || status != 0 {
		t.Errorf("with a cookie: status %d, %s%s", status, stdout, stderr)
	}
	stdout, stderr, status = invoked(t, a, "call", "--cookie", "another", a.name, "erlang", "node")
	if status != 3 || !strings.Contains(stderr, "the cookies differ") || stdout != "" {
		t.Errorf("with another cookie: status %d, %s%s", status, stdout, stderr)
	}
}

// TestMapOfGuests: nodes that are not Erlang VMs are drawn with --hidden, and only counted without
// it.
func TestMapOfGuests(t *testing.T) {
	g := newGrid(t, letters[:3])
	g.connect(t, "a-b b-c")
	e := newErluv(t, g.nodes["c"], "--listen", "local")
	cnode(t, g.nodes["b"], "cnode@127.0.0.1")
	g.names = strings.NewReplacer(g.nodes["a"].name, "a", g.nodes["b"].name, "b", g.nodes["c"].name, "c", e.erluv, "erluv", "cnode@127.0.0.1", "cnode")
	g.recorded(t)
	want := "a-b b-c b~cnode c~erluv cnode:foreign cnode:hidden erluv:foreign erluv:hidden"
	if got := g.look(t, "a", "--hidden").edges(); got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
	if s := g.look(t, "a"); s.edges() != "a-b b-c" || s.LeftOut != 2 {
		t.Errorf("%d left out: %s", s.LeftOut, s.edges())
	}
	g.unchanged(t, "a")
	if _, problems, status := looks(t, g.nodes["a"], "map", e.erluv); status != 1 || problems != "erluv: "+e.erluv+" is no Erlang VM that can be asked: it has no process rex\n" {
		t.Errorf("from erluv: status %d, %s", status, problems)
	}
	rows, _, _ := looks(t, g.nodes["a"], "names", "--json", "127.0.0.1")
	registered := whole[[]namesOutput](t, rows)
	out, _, _ := looks(t, g.nodes["a"], "names", "127.0.0.1")
	for letter, n := range g.nodes {
		alive, _, _ := strings.Cut(n.name, "@")
		if !strings.Contains(out, "\n"+alive+" ") {
			t.Errorf("names lack %s:\n%s", letter, out)
		}
		if !slices.ContainsFunc(registered, func(r namesOutput) bool { return r.Name == alive && r.Port > 0 }) {
			t.Errorf("names as JSON lack %s:\n%s", letter, rows)
		}
	}
}

// TestLookOverTLS: the entry speaks TLS to erluv. Its connections to other nodes may differ.
func TestLookOverTLS(t *testing.T) {
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
	a := p.node(t, true, "{depth, 3}") // it logs a connection that ends before the node has its address
	// At its first handshake a node loads what TLS needs, which can take longer than erluv waits.
	if !until(startTime, func() bool {
		_, _, status := looks(t, a, append([]string{"call", a.name, "erlang", "node"}, p.flags(t)...)...)
		return status == 0
	}) {
		t.Fatal("the node speaks no TLS")
	}
	out, problems, status := looks(t, a, append([]string{"map", a.name}, p.flags(t)...)...)
	if status != 0 || problems != "" || !strings.HasPrefix(out, "1 node and 0 connections, seen from "+a.name+" in ") {
		t.Errorf("map: status %d, %s%s", status, out, problems)
	}
	out, problems, status = looks(t, a, append([]string{"call", "--all", a.name, "erlang", "abs", "[-3]"}, p.flags(t)...)...)
	if status != 0 || problems != "" || strings.Count(out, "  3\n") != 1 {
		t.Errorf("call: status %d, %s%s", status, out, problems)
	}
	if _, problems, status = looks(t, a, "map", a.name); status != 1 || !strings.Contains(problems, "it speaks TLS") {
		t.Errorf("without TLS: status %d, %s", status, problems)
	}
}

// cnode connects to a node as a C node does: hidden, and without remote spawn.
func cnode(t *testing.T, n *node, name string) {
	t.Helper()
	ctx := limited(t, startTime)
	alive, _, _ := strings.Cut(n.name, "@")
	registered, err := wireepmd.Lookup(ctx, epmd.String(), alive)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(registered.Port))))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(ctx, conn, dist.Local{Name: name, Creation: 77, Cookie: cookie, Flags: dist.Default}, n.name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	n.expect(t, "ok", "e2e:wait_hidden(N)", bind{"N": atom(name)})
}
