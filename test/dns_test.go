package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"erluv/discover/dnstest"
)

// A domain is a name server, and the nodes whose hosts it knows. These nodes have a fixed port of
// their own instead of EPMD.
type domain struct {
	dnstest.Server
	resolv string // a resolv.conf that names only this server
}

func newDomain(t *testing.T) *domain {
	t.Helper()
	// resolv.conf has no place for a port, so the server needs an address of its own.
	var conn net.PacketConn
	var address string
	if !until(startTime, func() (free bool) {
		address = loopback()
		var err error
		conn, err = net.ListenPacket("udp4", net.JoinHostPort(address, "53"))
		return err == nil
	}) {
		t.Fatal("no address is free for a name server")
	}
	d := &domain{resolv: filepath.Join(t.TempDir(), "resolv.conf")}
	if err := os.WriteFile(d.resolv, []byte("nameserver "+address+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the socket
		defer close(done)
		d.Serve(conn)
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return d
}

// asks waits until erluv has asked the name server for a name a number of times more.
func (d *domain) asks(t *testing.T, name string, times int) {
	t.Helper()
	before := d.Asked(name)
	if !until(evalTime, func() bool { return d.Asked(name) >= before+times }) {
		t.Fatalf("the name server is asked about %s no more", name)
	}
}

// run starts an erluv for which this name server is the machine's, and which serves the nodes that
// it finds with these arguments. Other processes keep the machine's resolv.conf.
func (d *domain) run(t *testing.T, args ...string) *erluv {
	t.Helper()
	home, err := newHome(cookie)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{name: "of DNS", home: home, env: environment(home)}
	name := fmt.Sprintf("e%d", serial.Add(1))
	e, err := n.exec(nil, "unshare", append([]string{
		"--mount", "--propagation", "private", "sh", "-c", `mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`, "sh", d.resolv,
		executable, "run", "--discover-interval", "50ms", "--name", name, "--host", "127.0.0.1", n.cookieFile(),
	}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "@127.0.0.1"
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("erluv wrote:\n%s", e.stderr.String())
		}
	})
	return e
}

// loopback returns an address of this machine that nothing else uses: there are 65,000.
func loopback() string { return fmt.Sprintf("127.53.%d.%d", rand.IntN(256), 1+rand.IntN(254)) }

const shopPort = 4370 // free, since the addresses are their own

// shop starts a node shop@host that listens at an address, and needs no EPMD.
func shop(t *testing.T, host, address string) (*node, session) {
	t.Helper()
	n := newNode(t, nodeOptions{name: "shop", host: host, listen: address, args: []string{"-erl_epmd_port", fmt.Sprint(shopPort)}})
	s := n.session(t)
	s.controls(t, "erluv")
	return n, s
}

// A mapping stands in for the EPMD of a host with a shop. Each host has its own, at the same port.
type mapping struct{ asked atomic.Int64 }

func newMapping(t *testing.T, host string) *mapping {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort(host, epmd.port))
	if err != nil {
		t.Fatal(err)
	}
	m, done := &mapping{}, make(chan struct{})
	go func() { // ends with the listener
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.answer(conn)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return m
}

// answer replies to PORT_PLEASE2_REQ, for any name.
func (m *mapping) answer(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(startTime))
	var size [2]byte
	_, err := io.ReadFull(conn, size[:])
	request := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err2 := io.ReadFull(conn, request)
	if errors.Join(err, err2) != nil || len(request) == 0 || request[0] != 122 {
		return
	}
	m.asked.Add(1)
	name := request[1:]
	b := binary.BigEndian.AppendUint16([]byte{119, 0}, shopPort)
	b = append(b, 77, 0, 0, 6, 0, 5, 0, byte(len(name)))
	_, _ = conn.Write(append(append(b, name...), 0, 0))
}

// Nodes appear under a name of DNS and disappear from it. erluv dials each one independently, again
// and again while it is absent. A connected node that has left DNS stays until its connection ends.
// A name server that fails takes no node away.
func TestDNS(t *testing.T) {
	const name = "control.erluv.test."
	first, second := loopback(), loopback()
	_, there := newMapping(t, first), newMapping(t, second)
	d := newDomain(t)
	d.Set(name, dnstest.Records{Addresses: []string{first}})
	_, a := shop(t, first, first)
	e := d.run(t, "--serve", "all", "--discover", "dns:"+name, "--discover-name", "shop@%h")
	e.isUp(t, a)

	// The second node is absent, and erluv retries it without the first one noticing.
	d.Set(name, dnstest.Records{Addresses: []string{first, second}})
	if !until(evalTime, func() bool { return there.asked.Load() >= 4 }) {
		t.Fatal("a node that is not there is dialled no more")
	}
	_, b := shop(t, second, second)
	// The node may be connected before it has a controller.
	b.expect(t, "true", e.binds().String()+"e2e:wait_hidden(E), monitor_node(E, true)")
	a.expect(t, "none", "receive Other -> Other after 0 -> none end")

	// The name server fails: the names stay as before.
	d.Set(name, dnstest.Records{Code: 2})
	d.asks(t, name, 4)
	b.expect(t, "nodedown", "erlang:disconnect_node(E), receive {nodedown, E} -> nodedown after 120000 -> none end")
	b.expect(t, "ok", "e2e:until(fun() -> lists:member(E, nodes(hidden)) end, 120000)")

	// The first node leaves DNS: it stays connected until the connection ends.
	d.Set(name, dnstest.Records{Addresses: []string{second}})
	d.asks(t, name, 4)
	a.expect(t, "true", "is_map(e2e:call(E, info))")
	a.expect(t, "nodedown", "erlang:disconnect_node(E), receive {nodedown, E} -> nodedown after 120000 -> none end")
	d.asks(t, name, 20)
	a.expect(t, "{[],none}", "{nodes(hidden), receive Other -> Other after 0 -> none end}")
	b.expect(t, "true", "is_map(e2e:call(E, info))")

	// The first node is in DNS again.
	d.Set(name, dnstest.Records{Addresses: []string{second, first}})
	a.expect(t, "up", "receive {erluv, E, {up, _}} -> up after 120000 -> none end")
}

// Nodes come from SRV records. Their priorities give the order, and the record gives the port. When
// one goes, the next one serves. The log has the time that this takes.
func TestSRV(t *testing.T) {
	const name = "_erlang._tcp.erluv.test."
	d := newDomain(t)
	var records []net.SRV
	var nodes []*node
	var sessions []session
	for i, host := range []string{"c.erluv.test", "a.erluv.test", "b.erluv.test"} {
		address := loopback()
		d.Set(host+".", dnstest.Records{Addresses: []string{address}})
		n, s := shop(t, host, address)
		nodes, sessions = append(nodes, n), append(sessions, s)
		records = append([]net.SRV{{Target: host, Port: shopPort, Priority: uint16(10 * (i + 1)), Weight: uint16(i)}}, records...)
	}
	d.Set(name, dnstest.Records{Services: records})
	e := d.run(t, "--discover", "srv:"+name, "--discover-name", "shop@%h", "--epmd-port", "1")
	e.isUp(t, sessions[0])
	for i, s := range sessions[1:] {
		s.expect(t, "[]", "nodes(hidden)")
		nodes[i].killed = true
		began := time.Now()
		kill(t, nodes[i].cmd.Process.Pid, syscall.SIGKILL)
		e.isUp(t, s)
		t.Logf("the next node is served after %v", time.Since(began))
		s.expect(t, `"x\n"`, `{ok, #{stdout := Out}} = e2e:call(E, {run, ["echo", "x"], #{}}), binary_to_list(Out)`)
	}
}
