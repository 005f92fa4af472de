package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"erluv/wire/dist"
	"erluv/wire/dist/disttest"
	"erluv/wire/etf"
)

// A peer is a node that the test plays, frame by frame, to do what no real node does.
type peer struct {
	erluv  *erluv
	conn   net.Conn
	name   etf.Atom // of the erluv
	self   etf.Pid  // sends junk; its answers are not read
	caller etf.Pid  // waits for answers
	worker etf.Pid  // a worker of the erluv
	refs   uint32
	heard  atomic.Int64  // messages to self
	got    chan etf.Raw  // the payloads of messages to caller
	over   chan struct{} // closed when the test reads no more
	done   chan struct{} // closed when the connection has ended
	err    error         // then
}

// accept starts an erluv that connects to us, and has it start a worker.
func accept(t *testing.T) *peer {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	home, err := newHome(cookie)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{name: "player@127.0.0.1", home: home, env: environment(home)}
	e, err := n.run(nil, "run", "--node", n.name, "--host=127.0.0.1", "--name=played", "--reconnect=exit",
		"--address", listener.Addr().String(), n.cookieFile())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	err = listener.(*net.TCPListener).SetDeadline(time.Now().Add(startTime))
	conn, err2 := listener.Accept()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if _, err := (disttest.Node{Name: n.name, Cookie: cookie, Creation: 77, Challenge: 1}).Accept(conn); err != nil {
		conn.Close()
		t.Fatal(err)
	}
	e.erluv = "played@127.0.0.1"
	p := newPeer(e, conn, n.name)
	t.Cleanup(func() {
		close(p.over)
		if err := e.stop(); err != nil { // erluv reads until then
			t.Error(err)
		}
		conn.Close()
		<-p.done
	})
	started := p.request(t, etf.Tuple{etf.Atom("spawn"), etf.List{etf.Binary("cat")}, etf.Map{
		{Key: etf.Atom("owner"), Value: etf.Atom("none")}, {Key: etf.Atom("link"), Value: etf.Atom("false")},
	}})
	ok, _ := started.(etf.Tuple)
	if len(ok) != 2 {
		t.Fatalf("spawn answered %v", started)
	}
	p.worker, _ = ok[1].(etf.Pid)
	if p.worker.Node != p.name {
		t.Fatalf("spawn answered %v", started)
	}
	return p
}

// newPeer makes a peer on a connection after the handshake.
func newPeer(e *erluv, conn net.Conn, name string) *peer {
	p := &peer{
		erluv: e, conn: conn, name: etf.Atom(e.erluv),
		self:   etf.Pid{Node: etf.Atom(name), ID: 100, Creation: 77},
		caller: etf.Pid{Node: etf.Atom(name), ID: 0x7f0001, Creation: 77}, // more than one wrong byte away from self
		got:    make(chan etf.Raw), over: make(chan struct{}), done: make(chan struct{}),
	}
	go p.read() // ends with the connection
	return p
}

// visits connects a peer to an erluv that listens, as the node with this name.
func visits(t *testing.T, e *erluv, alive string) *peer {
	t.Helper()
	p := newPeer(e, visitsMutely(t, e, alive), alive+"@127.0.0.1")
	t.Cleanup(func() {
		close(p.over)
		p.conn.Close()
		<-p.done
	})
	return p
}

// visitsMutely is visits for a peer that reads nothing.
func visitsMutely(t *testing.T, e *erluv, alive string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", e.port(t)), startTime)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	name := alive + "@127.0.0.1"
	if err := conn.SetDeadline(time.Now().Add(startTime)); err != nil {
		t.Fatal(err)
	}
	if _, err := (disttest.Caller{Name: name, Cookie: cookie, Creation: 77, Challenge: uint32(serial.Add(1))}).Connect(conn); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	return conn
}

// read takes all frames, and hands on the messages for caller.
func (p *peer) read() {
	defer close(p.done)
	var size [4]byte
	for {
		if _, p.err = io.ReadFull(p.conn, size[:]); p.err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, p.err = io.ReadFull(p.conn, frame); p.err != nil {
			return
		}
		if len(frame) == 0 {
			continue // a tick
		}
		var m dist.Message
		if p.err = dist.Parse(frame, &m); p.err != nil {
			return
		}
		if m.Op == dist.RegSend && m.Name == "rex" && bytes.Contains(m.Payload, []byte("get_net_ticktime")) {
			if p.err = p.patient(m.From); p.err != nil {
				return
			}
		}
		if m.Op == dist.Send && m.To == p.self {
			p.heard.Add(1)
		}
		if m.Op == dist.Send && m.To == p.caller {
			select {
			case p.got <- m.Payload:
			case <-p.over:
			}
		}
	}
}

// patient answers that net_ticktime is longer than any test, since a peer never ticks.
func (p *peer) patient(asked etf.Pid) error {
	b, err := etf.AppendTerm(dist.BeginSend(nil, asked), etf.Tuple{etf.Atom("rex"), int64(time.Hour / time.Second)})
	if err != nil {
		return err
	}
	_, err = p.conn.Write(dist.End(b, 0))
	return err
}

// send writes bytes to the connection.
func (p *peer) send(t *testing.T, b []byte) {
	t.Helper()
	err := p.conn.SetWriteDeadline(time.Now().Add(startTime))
	if _, err2 := p.conn.Write(b); err != nil || err2 != nil {
		t.Fatalf("cannot send: %v; %v", err2, p.err)
	}
}

func (p *peer) ref() etf.Raw {
	p.refs++
	return etf.AppendNewRef(nil, p.self.Node, p.self.Creation, p.refs, 0, 0)
}

// call is the message of a gen_server:call.
func call(from etf.Pid, tag etf.Raw, request etf.Term) etf.Term {
	return etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{from, tag}, request}
}

// regSend makes the frame of a message to a name.
func (p *peer) regSend(t *testing.T, from etf.Pid, to etf.Atom, message etf.Term) []byte {
	t.Helper()
	b, err := etf.AppendTerm(dist.BeginRegSend(nil, from, to), message)
	if err != nil {
		t.Fatal(err)
	}
	return dist.End(b, 0)
}

// request asks the manager and waits for the answer.
func (p *peer) request(t *testing.T, request etf.Term) etf.Term {
	t.Helper()
	tag := p.ref()
	p.send(t, p.regSend(t, p.caller, "erluv", call(p.caller, tag, request)))
	return p.answer(t, tag)
}

// answer waits for the answer with a tag, which must be the next message to caller.
func (p *peer) answer(t *testing.T, tag etf.Raw) etf.Term {
	t.Helper()
	payload := p.next(t)
	r := etf.NewReader(payload)
	arity, err := r.Tuple()
	got, err2 := r.Raw()
	if err := errors.Join(err, err2); err != nil || arity != 2 || string(got) != string(tag) {
		t.Fatalf("instead of an answer: %.200q, %v", payload, err)
	}
	answer, err := r.Term()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// next waits for the next message to caller.
func (p *peer) next(t *testing.T) etf.Raw {
	t.Helper()
	select {
	case payload := <-p.got:
		return payload
	case <-p.done:
		t.Fatalf("the connection has ended: %v", p.err)
	case <-time.After(evalTime):
		t.Fatal("no message comes")
	}
	return nil
}

// sync returns when erluv has handled everything that was sent before.
func (p *peer) sync(t *testing.T) {
	t.Helper()
	if answer := fmt.Sprint(p.request(t, etf.Tuple{etf.Atom("info"), etf.Atom("node")})); answer != string(p.name) {
		t.Fatalf("info node is %s", answer)
	}
}

// works checks that a program runs.
func (p *peer) works(t *testing.T) {
	t.Helper()
	answer := p.request(t, etf.Tuple{etf.Atom("run"), etf.List{etf.Binary("echo"), etf.Binary("hi")}, etf.Map{}})
	ok, _ := answer.(etf.Tuple)
	if len(ok) != 2 || ok[0] != etf.Term(etf.Atom("ok")) {
		t.Fatalf("run answered %v", answer)
	}
	for _, pair := range ok[1].(etf.Map) {
		if pair.Key == etf.Term(etf.Atom("stdout")) && string(pair.Value.(etf.Binary)) == "hi\n" {
			return
		}
	}
	t.Errorf("run answered %v", answer)
}

// roles returns the erluv's roles, as info reports them.
func (p *peer) roles(t *testing.T) roles {
	t.Helper()
	pid := func(key etf.Atom) int {
		n, _ := p.request(t, etf.Tuple{etf.Atom("info"), key}).(int64)
		return int(n)
	}
	return p.erluv.rolesOf(t, pid("main_os_pid"), pid("child_os_pid"))
}

// bounded is bounded for this erluv's roles.
func (p *peer) bounded(t *testing.T, before roles) {
	t.Helper()
	bounded(t, before, p.roles(t))
}
