package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"erluv/wire/dist"
	mapper "erluv/wire/epmd"
	"erluv/wire/etf"
)

// A host is a node that the test plays. It listens, registers with EPMD, and shakes hands with
// erluv's packages. It runs no erluv binary.
type host struct {
	net.Listener
	local dist.Local
}

// newHost listens as alive@127.0.0.1, until the test ends.
func newHost(t *testing.T, alive string) *host {
	t.Helper()
	h := listenAs(t, alive)
	r, err := mapper.Register(limited(t, startTime), epmd.String(), alive, uint16(h.port(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return h
}

// listenAs makes a host that is not registered with EPMD.
func listenAs(t *testing.T, alive string) *host {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &host{l, dist.Local{Name: alive + "@127.0.0.1", Creation: 0xdeadbeef, Cookie: cookie, Flags: dist.Default}}
}

func (h *host) port(t *testing.T) int {
	t.Helper()
	_, port, _ := net.SplitHostPort(h.Addr().String())
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func limited(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A visit is a connection that a node has opened to a host.
type visit struct {
	net.Conn
	peer  dist.Peer
	err   error
	value <-chan string // of the source that made the node connect
}

// visit has a node evaluate source with X bound to the host's name, which makes the node connect.
// Then it shakes hands.
func (h *host) visit(t *testing.T, n *node, source string, decide func(dist.Peer) string) visit {
	t.Helper()
	value := make(chan string, 1)
	go func() { // ends with the answer of the node, or with the node
		got, err := n.try(bind{"X": atom(h.local.Name)}.String()+source, "-", evalTime)
		if err != nil {
			got = err.Error()
		}
		value <- got
	}()
	if err := h.Listener.(*net.TCPListener).SetDeadline(time.Now().Add(startTime)); err != nil {
		t.Fatal(err)
	}
	conn, err := h.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	v := visit{Conn: conn, value: value}
	v.peer, v.err = dist.Accept(limited(t, startTime), conn, h.local, decide)
	if v.err != nil {
		conn.Close()
	}
	return v
}

func (v visit) want(t *testing.T, value string) {
	t.Helper()
	if v.err != nil {
		t.Fatal(v.err)
	}
	v.gives(t, value)
}

// gives compares the value of the source with the wanted one.
func (v visit) gives(t *testing.T, value string) {
	t.Helper()
	select {
	case got := <-v.value:
		if got != value {
			t.Errorf("the node says %s, want %s", got, value)
		}
	case <-time.After(evalTime):
		t.Fatal("the node is still connecting")
	}
}

// next is the next message of the node.
func (v visit) next(t *testing.T) dist.Message {
	t.Helper()
	if err := v.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		t.Fatal(err)
	}
	for {
		var size [4]byte
		_, err := io.ReadFull(v, size[:])
		frame := make([]byte, min(binary.BigEndian.Uint32(size[:]), 1<<20))
		_, err2 := io.ReadFull(v, frame)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if len(frame) == 0 {
			continue // a tick
		}
		var m dist.Message
		if err := dist.Parse(frame, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
}

// reply answers a gen_server:call to a name, whose monitor comes first.
func (v visit) reply(t *testing.T, name, request, answer etf.Term) {
	t.Helper()
	if m := v.next(t); m.Op != dist.MonitorP || m.Name != name {
		t.Fatalf("%+v comes instead of a monitor of %v", m, name)
	}
	m := v.next(t)
	if m.Op != dist.RegSend || m.Name != name {
		t.Fatalf("%+v comes instead of a call of %v", m, name)
	}
	call, err := etf.Decode(m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	parts, _ := call.(etf.Tuple)
	if len(parts) != 3 || fmt.Sprint(parts[2]) != fmt.Sprint(request) {
		t.Fatalf("it is asked %v", call)
	}
	from := parts[1].(etf.Tuple)
	b, err := etf.AppendTerm(dist.BeginSend(nil, from[0].(etf.Pid)), etf.Tuple{from[1], answer})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Write(dist.End(b, 0)); err != nil {
		t.Fatal(err)
	}
}

func accepted(dist.Peer) string { return dist.StatusOK }

// A node connects to us by itself, and sees a hidden node.
//
//erluv:releases
func TestAccept(t *testing.T) {
	n := newNode(t, nodeOptions{})
	h := newHost(t, "host")

	v := h.visit(t, n, "net_kernel:connect_node(X)", accepted)
	v.want(t, "true")
	if creation := n.eval(t, "erlang:system_info(creation)"); v.peer.Name != n.name ||
		strconv.FormatUint(uint64(v.peer.Creation), 10) != creation || v.peer.Flags&dist.FlagPublished == 0 {
		t.Errorf("peer %+v, its creation is %s", v.peer, creation)
	}
	n.expect(t, "{[],['host@127.0.0.1']}", "{nodes(), nodes(hidden)}")
	// The next byte behind the handshake is the first of a frame.
	n.eval(t, "{erluv, X} ! hello", bind{"X": atom(h.local.Name)})
	if m := v.next(t); m.Op != dist.RegSend || m.Name != etf.Atom("erluv") {
		t.Errorf("%+v comes instead of a message", m)
	}
	v.Close()

	t.Run("call", func(t *testing.T) {
		h := newHost(t, "called")
		v := h.visit(t, n, "gen_server:call({erluv, X}, info)", accepted)
		v.reply(t, etf.Atom("erluv"), etf.Atom("info"), etf.List{etf.Atom("yes")})
		v.want(t, "[yes]")
	})
	t.Run("ping", func(t *testing.T) {
		h := newHost(t, "pinged")
		v := h.visit(t, n, "net_adm:ping(X)", accepted)
		v.reply(t, etf.Atom("net_kernel"), etf.Tuple{etf.Atom("is_auth"), etf.Atom(n.name)}, etf.Atom("yes"))
		v.want(t, "pong")
	})
	t.Run("hidden", func(t *testing.T) {
		h := newHost(t, "hiding")
		v := h.visit(t, n, "net_kernel:hidden_connect_node(X)", accepted)
		v.want(t, "true")
		if v.peer.Flags&dist.FlagPublished != 0 {
			t.Errorf("it is not hidden: %v", v.peer.Flags)
		}
	})
	t.Run("short name", func(t *testing.T) {
		n := newNode(t, nodeOptions{short: true})
		h := newHost(t, "short")
		h.local.Name = "short@localhost"
		h.visit(t, n, "net_kernel:connect_node(X)", accepted).want(t, "true")
		n.expect(t, "[short@localhost]", "nodes(hidden)")
	})
}

// A node may open a new connection while its old one still seems open. The host says "alive", the
// node says that the old one is dead, and the new one serves.
//
//erluv:releases
func TestAcceptAlive(t *testing.T) {
	n := newNode(t, nodeOptions{})
	h := newHost(t, "alive")
	old := h.visit(t, n, "net_kernel:connect_node(X)", accepted)
	old.want(t, "true")
	n.eval(t, "erlang:disconnect_node(X)", bind{"X": atom(h.local.Name)})
	v := h.visit(t, n, "net_kernel:connect_node(X)", func(p dist.Peer) string {
		if p != old.peer {
			t.Errorf("%+v comes again as %+v", old.peer, p)
		}
		return dist.StatusAlive
	})
	v.want(t, "true")
	old.Close()
	n.eval(t, "{erluv, X} ! hello", bind{"X": atom(h.local.Name)})
	if m := v.next(t); m.Op != dist.RegSend {
		t.Errorf("%+v comes instead of a message", m)
	}
	n.expect(t, "['alive@127.0.0.1']", "nodes(hidden)")
}

// A node that the host declines, or whose cookie differs, tells its caller so and logs no error.
//
//erluv:releases
func TestAcceptDeclined(t *testing.T) {
	n := newNode(t, nodeOptions{args: []string{"-kernel", "net_setuptime", "1"}})
	for _, status := range []string{dist.StatusNotAllowed, dist.StatusNotOK} {
		h := newHost(t, status)
		v := h.visit(t, n, "net_kernel:connect_node(X)", func(dist.Peer) string { return status })
		var declined *dist.Declined
		if !errors.As(v.err, &declined) || *declined != (dist.Declined{Status: status, Peer: n.name}) {
			t.Errorf("%s: %v", status, v.err)
		}
		v.gives(t, "false")
	}
	h := newHost(t, "suspicious")
	h.local.Cookie = "another"
	v := h.visit(t, n, "net_kernel:connect_node(X)", accepted)
	if !errors.Is(v.err, dist.ErrCookie) {
		t.Errorf("another cookie: %v", v.err)
	}
	v.gives(t, "false")
	n.expect(t, "[]", "nodes(hidden)")

	n.eval(t, "erlang:set_cookie('suspicious@127.0.0.1', another)")
	h.visit(t, n, "net_kernel:connect_node(X)", accepted).want(t, "true")
}

// Both sides connect at once. The connection of the node with the greater name stays, whichever
// side that is.
//
//erluv:releases
func TestAcceptSimultaneous(t *testing.T) {
	n := newNode(t, nodeOptions{name: "middle"})
	alive, _, _ := strings.Cut(n.name, "@")
	at, err := mapper.Lookup(limited(t, startTime), epmd.String(), alive)
	if err != nil {
		t.Fatal(err)
	}
	for name, status := range map[string]string{"before": dist.StatusOKSimultaneous, "zenith": dist.StatusNotOK} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, name)
			own, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", at.Port))
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			var ownErr error
			v := h.visit(t, n, "net_kernel:connect_node(X)", func(p dist.Peer) string {
				// The host's own attempt is pending on both sides when the node's comes.
				_, ownErr = dist.Connect(limited(t, startTime), own, h.local, p.Name)
				return dist.Simultaneous(h.local.Name, p.Name)
			})
			left := v.Conn
			if status == dist.StatusOKSimultaneous {
				var refused *dist.Refused
				if v.err != nil || !errors.As(ownErr, &refused) || refused.Status != dist.StatusNotOK {
					t.Errorf("its connection: %v; our own: %v", v.err, ownErr)
				}
			} else {
				var declined *dist.Declined
				if ownErr != nil || !errors.As(v.err, &declined) || declined.Status != status {
					t.Errorf("its connection: %v; our own: %v", v.err, ownErr)
				}
				left = own
			}
			v.gives(t, "true")
			n.eval(t, "{erluv, X} ! hello", bind{"X": atom(h.local.Name)})
			if m := (visit{Conn: left}).next(t); m.Op != dist.RegSend {
				t.Errorf("%+v comes instead of a message", m)
			}
			n.expect(t, "['"+h.local.Name+"']", "nodes(hidden)")
			left.Close()
			n.eval(t, "net_kernel:monitor_nodes(true, [{node_type, hidden}]), [receive {nodedown, _, _} -> ok end || _ <- nodes(hidden)]")
		})
	}
}

// A node that does not ask EPMD dials every other node at one port.
//
//erluv:releases
func TestAcceptWithoutEPMD(t *testing.T) {
	h := listenAs(t, "unregistered")
	n := newNode(t, nodeOptions{args: []string{"-erl_epmd_port", strconv.Itoa(h.port(t)), "-dist_listen", "false"}})
	h.visit(t, n, "net_kernel:connect_node(X)", accepted).want(t, "true")
}
