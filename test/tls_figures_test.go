package e2e

import (
	"flag"
	"testing"

	"erluv/relay/certtest"
)

var tlsFigures = flag.Bool("figures", false, "measure TLS for doc/performance.md: a minute on an idle machine")

// This measures how fast a node hears from erluv and from another node, with TLS and without. It
// sends messages of 64 KiB, and makes calls one after the other. With -figures it measures the
// values of doc/performance.md.
func TestTLSFigures(t *testing.T) {
	size, calls := 8<<20, 20
	if *tlsFigures {
		size, calls = 512<<20, 20_000
	}
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}, DNSNames: []string{"127.0.0.1"}}) // OTP 25 wants the latter
	over := func() *node { return p.node(t, false, "{versions, ['tlsv1.2', 'tlsv1.3']}") }
	plain := func() *node { return newNode(t, nodeOptions{}) }
	for _, way := range []struct {
		name  string
		start func() *node
		flags []string
	}{{"TCP", plain, nil}, {"TLS", over, p.flags(t)}} {
		n, other := way.start(), way.start()
		e := newErluv(t, n, way.flags...)
		for _, to := range []struct{ name, node, bytes string }{
			{"erluv", e.erluv, `begin W = e2e:start(E, ["head", "-c", integer_to_list(Size), "/dev/zero"], #{flow => {active, true}}), Size = e2e:take(W) end`},
			{"another node", other.name, `Size = e2e:pour(N, Size)`},
		} {
			b := bind{"N": atom(to.node), "Size": size, "Calls": calls}
			e.expect(t, "pong", "net_adm:ping(N)", b)
			took := e.number(t, `element(1, timer:tc(fun() -> `+to.bytes+` end))`, b)
			echo := e.number(t, `element(1, timer:tc(fun() -> [yes = gen_server:call({net_kernel, N}, {is_auth, node()}) || _ <- lists:seq(1, Calls)] end))`, b)
			t.Logf("%s from %s: %d MB/s, a call %.0f µs", way.name, to.name, size/max(took, 1), float64(echo)/float64(calls))
		}
	}
}
