package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"erluv/relay/certtest"
	"erluv/wire/dist"
)

// Nodes connect, with and without TLS, until main has no descriptors for one more. That node is
// refused with a reason, and no other node notices. When one leaves, another can connect.
func TestNodesFillTheShare(t *testing.T) {
	const limit, share = 96, 36 // three eighths
	for name, kind := range map[string]struct {
		over bool
		cost int // descriptors of main
	}{"TCP": {false, 3}, "TLS": {true, 7}} {
		t.Run(name, func(t *testing.T) {
			host := certtest.Wish{Names: []string{"127.0.0.1"}, DNSNames: []string{"127.0.0.1"}}
			p := newPKI(t, host)
			p.cert, p.key = p.ca.Issue(host)
			n := newNode(t, nodeOptions{noise: true}) // without TLS
			e := listening(t, n, append(p.flags(t), "--tls-nodes", "over*@*")...)
			s := n.session(t)
			s.expect(t, `<<"x">>`, `W = e2e:start(E, ["cat"]), monitor_node(E, true), ok = e2e:call(W, {write, <<"x">>}),
				receive {W, {stdout, Said}} -> Said after 60000 -> none end`, e.binds())
			main := e.cmd.Process.Pid
			softLimit(t, main, "nofile", limit)
			address := fmt.Sprintf("127.0.0.1:%d", e.port(t))
			var certificate tls.Certificate
			if kind.over {
				var err error
				if certificate, err = tls.X509KeyPair(p.ca.Issue(host)); err != nil {
					t.Fatal(err)
				}
			}
			number := 0
			// come connects one more node.
			come := func() (net.Conn, string) {
				number++
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				local := dist.Local{Name: fmt.Sprintf("plain%d@127.0.0.1", number), Creation: 9, Cookie: cookie, Flags: dist.Default}
				if kind.over {
					local.Name, local.TLS = fmt.Sprintf("over%d@127.0.0.1", number), true
					conn = tls.Client(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true})
				}
				_, err = dist.Connect(limited(t, startTime), conn, local, e.erluv)
				refused := (*dist.Refused)(nil)
				switch {
				case errors.As(err, &refused):
					return conn, refused.Status
				case err != nil:
					t.Fatalf("number %d: %v", number, err)
				}
				return conn, "ok"
			}
			served := func(connections int) bool {
				return n.eval(t, "length(e2e:call(E, {info, connections}))", e.binds()) == fmt.Sprint(connections)
			}
			open := func() int {
				list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", main))
				if err != nil {
					t.Fatal(err)
				}
				return len(list)
			}
			before := open()
			most := (share - 3) / kind.cost // 3 descriptors are for the node
			var conns []net.Conn
			for range most {
				conn, status := come()
				if status != "ok" {
					t.Fatalf("of %d nodes number %d is answered %s; erluv wrote:\n%s", most, number, status, e.stderr.String())
				}
				conns = append(conns, conn)
			}
			if !until(startTime, func() bool { return served(1 + most) }) {
				t.Errorf("%d nodes have connected, and it does not serve them", 1+most)
			}
			cost := 0
			if !until(startTime, func() bool { cost = open() - before; return cost == most*kind.cost }) {
				t.Errorf("%d nodes cost %d descriptors of main, want %d", most, cost, most*kind.cost)
			}
			for range 3 {
				if _, status := come(); status != "not_allowed" {
					t.Errorf("number %d is answered %s", number, status)
				}
			}
			e.wrote(t, fmt.Sprintf("there are connections to %d nodes, which is all that the limit of %d descriptors has room for", 1+most, limit))
			if said := e.stderr.String(); strings.Contains(said, "too many open files") {
				t.Errorf("it wrote:\n%s", said)
			}
			if !served(1 + most) {
				t.Error("one of those that are connected has noticed")
			}
			s.expect(t, `{<<"y">>,none}`, `ok = e2e:call(W, {write, <<"y">>}), {receive {W, {stdout, More}} -> More after 60000 -> none end,
				receive Other -> Other after 0 -> none end}`)
			_ = conns[0].Close()
			if !until(startTime, func() bool { _, status := come(); return status == "ok" }) {
				t.Error("one has left, and none is let in")
			}
		})
	}
}
