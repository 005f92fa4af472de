package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"erluv/wire/dist"
)

// greeting is the first message of a node. It needs no cookie.
func greeting(name string) []byte {
	m := binary.BigEndian.AppendUint64([]byte{'N'}, uint64(dist.Default|dist.FlagPublished))
	m = binary.BigEndian.AppendUint32(m, 7)
	m = binary.BigEndian.AppendUint16(m, uint16(len(name)))
	m = append(m, name...)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)
}

// strangers are kinds of peers that connect without the cookie. Each function returns when erluv
// has ended the connection, or the test is over.
var strangers = map[string]func(conn net.Conn, of int){
	"silent": func(conn net.Conn, _ int) { drain(conn) },
	"half": func(conn net.Conn, of int) { // of a name
		_, _ = conn.Write(greeting(fmt.Sprintf("half%d@127.0.0.1", of))[:20])
		drain(conn)
	},
	"unproved": func(conn net.Conn, of int) { // a name, and then silence
		_, _ = conn.Write(greeting(fmt.Sprintf("unproved%d@127.0.0.1", of)))
		drain(conn)
	},
	"liar": func(conn net.Conn, of int) { // a wrong digest
		_, _ = conn.Write(greeting(fmt.Sprintf("liar%d@127.0.0.1", of)))
		_, _ = conn.Write(append([]byte{0, 21, 'r'}, make([]byte, 20)...))
		drain(conn)
	},
	"web": func(conn net.Conn, _ int) {
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		drain(conn)
	},
	"tls": func(conn net.Conn, _ int) {
		_, _ = conn.Write([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3})
		drain(conn)
	},
	"tls junk": func(conn net.Conn, _ int) {
		_, _ = conn.Write([]byte("\x16\x03\x01\x00\x04junk"))
		drain(conn)
	},
	"large": func(conn net.Conn, _ int) { // as much as erluv takes
		_, _ = conn.Write(append([]byte{0xff, 0xff, 'N'}, make([]byte, 65000)...))
		drain(conn)
	},
	"slow": func(conn net.Conn, of int) { // a byte at a time
		for _, b := range greeting(fmt.Sprintf("slow%d@127.0.0.1", of)) {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(300 * time.Millisecond) // how slow it is
		}
		drain(conn)
	},
	"gone": func(conn net.Conn, _ int) { _ = conn.(*net.TCPConn).SetLinger(0) },
}

func drain(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// crowd keeps atOnce strangers connected, all from one address, until stop is called. The function
// stop returns how many there were.
func crowd(t *testing.T, from string, to, atOnce int, kinds ...string) (stop func() int) {
	t.Helper()
	var (
		running sync.WaitGroup
		over    atomic.Bool
		number  atomic.Int64
		mu      sync.Mutex
		open    = map[net.Conn]bool{}
	)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	for i := range atOnce {
		running.Go(func() {
			for n := i; !over.Load(); n += atOnce {
				conn, err := dialer.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(to)))
				if err != nil {
					time.Sleep(10 * time.Millisecond) // before the next attempt
					continue
				}
				number.Add(1)
				mu.Lock()
				open[conn] = true
				mu.Unlock()
				if !over.Load() {
					strangers[kinds[n%len(kinds)]](conn, n)
				}
				mu.Lock()
				delete(open, conn)
				mu.Unlock()
				_ = conn.Close()
			}
		})
	}
	return func() int {
		over.Store(true)
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		running.Wait()
		return int(number.Load())
	}
}

// getsIn waits until a node has connected beside a crowd, and returns the number of its attempts. A
// node gives each attempt the seconds of its net_setuptime, which is short on a busy machine.
func (n *node) getsIn(t *testing.T, e *erluv) string {
	t.Helper()
	return n.eval(t, "(fun Again(N) -> case net_adm:ping(E) of pong -> N; pang -> Again(N + 1) end end)(1)", e.binds())
}

// 10,000 strangers send nothing, half of a handshake, or junk. As many come at once as the kernel
// allows. Main's memory, descriptors and processor time stay bounded, and connected nodes are
// served. Another node can connect meanwhile, from the strangers' address and from another one. The
// log has a few lines about the strangers. The number of the node's attempts depends on the load of
// the machine.
//
//erluv:users
func TestListenStrangers(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := listening(t, n)
	s := e.session(t)
	s.eval(t, `W = e2e:start(E, ["cat"]), ok`)
	r := e.roles(t)
	port := e.port(t)
	memory, files := resident(t, r.main), len(descriptors(t, r.main))
	var kinds []string
	for kind := range strangers {
		kinds = append(kinds, kind)
	}
	most := 10_000
	start := time.Now()
	for _, from := range []string{"127.0.0.2", "127.0.0.1"} {
		began, used := time.Now(), processorTime(t, r.main)
		stop := crowd(t, from, port, 2000, kinds...)
		seen, worst := 0, time.Duration(0)
		for time.Since(began) < time.Duration(most)*time.Millisecond {
			asked := time.Now()
			s.expect(t, "{ok,ok}", `{e2e:call(W, {write, <<"x">>}), e2e:said(W, stdout, <<"x">>)}`)
			worst = max(worst, time.Since(asked))
			seen = max(seen, len(descriptors(t, r.main)))
			if now := resident(t, r.main); now > memory+8<<20 {
				t.Errorf("main has grown from %d to %d bytes", memory, now)
			}
			time.Sleep(50 * time.Millisecond) // the interval between looks
		}
		c := newNode(t, nodeOptions{})
		asked := time.Now()
		needed := c.getsIn(t, e)
		c.expect(t, "true", e.binds().String()+"nodes(hidden) =:= [E]")
		joined := time.Since(asked)
		took, cost := time.Since(began), processorTime(t, r.main)-used
		came := stop()
		t.Logf("from %s: %d connections in %v; main used %v, had %d descriptors more; an echo took %v at most; a node was let in after %v and %s attempts",
			from, came, took, cost, seen-files, worst, joined, needed)
		if seen > files+128+6 {
			t.Errorf("main had %d descriptors, now up to %d", files, seen)
		}
		if cost > took/2 {
			t.Errorf("main used %v of %v", cost, took)
		}
		c.eval(t, e.binds().String()+"erlang:disconnect_node(E)")
	}
	eventually(t, "main has no more descriptors than before", func() bool { return len(descriptors(t, r.main)) <= files })
	enough := 15 + 5*int(time.Since(start)/(10*time.Second)) // five in ten seconds, whenever these begin
	if lines := strings.Count(e.stderr.String(), "a connection was refused"); lines < 5 || lines > enough {
		t.Errorf("%d lines of refused connections", lines)
	}
	e.wrote(t, "left_out=")
	if r != e.roles(t) {
		t.Errorf("the roles were %v, and now are %v", r, e.roles(t))
	}
}

// Many nodes are connected at once. Each is served, the cost of each is bounded, and nothing is
// left of them when they go.
func TestListenMany(t *testing.T) {
	const count = 200
	n := newNode(t, nodeOptions{})
	e := listening(t, n)
	r := e.roles(t)
	before, files := map[string]int{}, map[string]int{}
	for role, pid := range r.each() {
		before[role], files[role] = resident(t, pid), len(descriptors(t, pid))
	}
	var peers []*peer
	for i := range count {
		p := visits(t, e, fmt.Sprintf("many%d", i))
		p.sync(t)
		peers = append(peers, p)
	}
	for role, pid := range r.each() {
		each := (resident(t, pid) - before[role]) / count
		if each > 128<<10 {
			t.Errorf("a connection costs the %s %d bytes", role, each)
		}
		t.Logf("a connection costs the %s %d bytes and %d descriptors", role, each, (len(descriptors(t, pid))-files[role])/count)
	}
	peers[0].works(t)
	peers[count-1].works(t)
	for _, p := range peers {
		p.conn.Close()
	}
	for role, pid := range r.each() {
		eventually(t, role+" has no more descriptors than before", func() bool { return len(descriptors(t, pid)) <= files[role] })
	}
	e.expect(t, "[]", "e2e:call(E, workers)")
}
