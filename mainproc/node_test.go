package mainproc

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"erluv/config"
	"erluv/discover"
	"erluv/wire/dist"
	"erluv/wire/dist/disttest"
)

const testCookie = "CHOCOLATE"

// node is an Erlang node as erluv_main sees it: a listener that shakes hands. Its fields may change
// between connections.
type node struct {
	disttest.Node
	l     net.Listener
	conns chan *peer
	mu    sync.Mutex // guards Node
}

// peer is one connection to the node, after the handshake.
type peer struct {
	net.Conn
	*bufio.Reader
	client disttest.Client
	err    error // of the handshake
}

func newNode(t *testing.T) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		Node:  disttest.Node{Name: "foo@127.0.0.1", Cookie: testCookie, Creation: 77, Challenge: 4711},
		l:     l,
		conns: make(chan *peer, 100), // more than any test makes
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.mu.Lock()
			side := n.Node
			n.mu.Unlock()
			p := &peer{Conn: conn, Reader: bufio.NewReader(conn)}
			_ = conn.SetDeadline(time.Now().Add(waitBound))
			if p.client, p.err = side.Accept(conn); p.err != nil || side.Status != "" {
				_ = conn.Close()
			}
			n.conns <- p
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		close(n.conns)
		for p := range n.conns {
			_ = p.Close()
		}
	})
	return n
}

// change changes the node's behaviour from the next connection on.
func (n *node) change(f func(*disttest.Node)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.Node)
}

// next waits for the next connection.
func (n *node) next(t *testing.T) *peer {
	t.Helper()
	select {
	case p := <-n.conns:
		t.Cleanup(func() { _ = p.Close() })
		return p
	case <-time.After(waitBound):
		t.Fatal("nobody connects")
		return nil
	}
}

// served waits for the next connection and for the child's report on it.
func (n *node) served(t *testing.T) (*peer, report) {
	t.Helper()
	p := n.next(t)
	if p.err != nil {
		t.Fatal(p.err)
	}
	line := p.line(t)
	var r report
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return p, r
}

func (p *peer) line(t *testing.T) string {
	t.Helper()
	line, err := p.ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSpace(line)
}

// ends waits until the other side has closed the connection, even with some of our data unread.
func (p *peer) ends(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(p.Reader); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection does not end, after %q: %v", rest, err)
	}
}

func (p *peer) tell(t *testing.T, what string) {
	t.Helper()
	if _, err := p.Write([]byte(what)); err != nil {
		t.Fatal(err)
	}
}

// config returns a configuration that leads to the node.
func (n *node) config() *config.Config {
	return &config.Config{
		Node: n.Name, Targets: []discover.Target{{Node: n.Name, Host: "127.0.0.1"}}, Prefix: "erluv_", Host: "127.0.0.1", Cookie: testCookie, CookieFile: "/cookie",
		Address: n.l.Addr().String(), Controller: "erluv", MaxWorkers: 10, Path: []string{"/bin"},
		KillTimeout: time.Second, Reconnect: config.ReconnectRetry, Contain: "auto", Sandbox: config.SandboxOff, RunAs: runAs(),
	}
}

// fakeEPMD starts an EPMD that knows one name, and returns its port.
func fakeEPMD(t *testing.T, name string, port int) int {
	t.Helper()
	return fakeEPMDOf(t, name, port, dist.Version)
}

// fakeEPMDOf does the same for a node that speaks one version of the handshake.
func fakeEPMDOf(t *testing.T, name string, port int, version byte) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 300)
			m, _ := conn.Read(buf)
			answer := []byte{119, 1}
			if m > 3 && string(buf[3:m]) == name {
				answer = binary.BigEndian.AppendUint16([]byte{119, 0}, uint16(port))
				answer = append(answer, 77, 0, 0, version, 0, min(5, version), 0, byte(len(name)))
				answer = append(append(answer, name...), 0, 0)
			}
			_, _ = conn.Write(answer)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	_, p, _ := net.SplitHostPort(l.Addr().String())
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
