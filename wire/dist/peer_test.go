package dist_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// link is the test's end of a connection to a real node.
type link struct {
	t    *testing.T
	conn net.Conn
	name string // ours
	peer dist.Peer
	buf  []byte
	tick dist.Ticker
	form int64 // the number of the message that next returned, on the wire
}

func theirs(name string) dist.Local {
	return dist.Local{Name: name, Creation: 0xdeadbeef, Cookie: cookie, Flags: dist.Default}
}

// connect shakes hands with n under this name.
func connect(t *testing.T, n node, name string) *link {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn := n.dial(t)
	peer, err := dist.Connect(ctx, conn, theirs(name), n.name)
	if err != nil {
		t.Fatal(err)
	}
	if peer.Name != n.name || peer.Creation == 0 || peer.Flags&dist.Mandatory26 != dist.Mandatory26 {
		t.Fatalf("peer %+v", peer)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return &link{t: t, conn: conn, name: name, peer: peer, tick: dist.NewTicker(time.Now(), dist.DefaultNetTicktime)}
}

// pid returns the nth process of the test.
func (l *link) pid(n uint32) etf.Pid {
	return etf.Pid{Node: etf.Atom(l.name), ID: 0xfffffff0 | n, Serial: 0x80000000 + n, Creation: 0xdeadbeef}
}

func (l *link) write(frames ...[]byte) {
	l.t.Helper()
	for _, f := range frames {
		if _, err := l.conn.Write(f); err != nil {
			l.t.Fatal(err)
		}
		l.tick.Wrote(time.Now())
	}
}

// frame returns the next frame, an empty one for a tick, or nil at the end of the connection.
func (l *link) frame() []byte {
	l.t.Helper()
	for {
		frame, n, err := dist.Next(l.buf, 1<<24)
		if err != nil {
			l.t.Fatal(err)
		}
		if n != 0 {
			l.buf = l.buf[n:]
			return frame
		}
		piece := make([]byte, 4096)
		got, err := l.conn.Read(piece)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.t.Fatalf("what is waited for has not come in %v", patience)
		}
		if err != nil {
			return nil
		}
		l.buf = append(l.buf, piece[:got]...)
	}
}

// next returns the next message, and answers ticks before it.
func (l *link) next() dist.Message {
	l.t.Helper()
	_ = l.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		frame := l.frame()
		if frame == nil {
			l.t.Fatal("the node has ended the connection")
		}
		if len(frame) == 0 {
			if l.tick.ReadTick(time.Now()) {
				l.write(dist.AppendTick(nil))
			}
			continue
		}
		var m dist.Message
		if err := dist.Parse(frame, &m); err != nil {
			l.t.Fatalf("%v: % x", err, frame)
		}
		r := etf.NewReader(frame[2:])
		_, _ = r.Tuple()
		l.form, _ = r.Int()
		return m
	}
}

// want returns the next message, which must be of that kind.
func (l *link) want(op dist.Op) dist.Message {
	l.t.Helper()
	m := l.next()
	if m.Op != op {
		l.t.Fatalf("%v comes instead of %v: %+v", m.Op, op, m)
	}
	return m
}

// sent returns the term of a message to the test's process.
func (l *link) sent(to etf.Pid) etf.Term {
	l.t.Helper()
	m := l.next()
	if m.Op != dist.Send && m.Op != dist.SendSender || m.To != to {
		l.t.Fatalf("%+v comes instead of a message to %v", m, to)
	}
	return l.term(m.Payload)
}

func (l *link) term(raw etf.Raw) etf.Term {
	l.t.Helper()
	term, err := etf.Decode(raw)
	if err != nil {
		l.t.Fatal(err)
	}
	return term
}

func (l *link) raw(term etf.Term) etf.Raw {
	l.t.Helper()
	raw, err := etf.AppendTerm(nil, term)
	if err != nil {
		l.t.Fatal(err)
	}
	return raw
}

func (l *link) send(to etf.Pid, term etf.Term) {
	l.t.Helper()
	l.write(dist.End(append(dist.BeginSend(nil, to), l.raw(term)...), 0))
}

func (l *link) regSend(from etf.Pid, to etf.Atom, term etf.Term) {
	l.t.Helper()
	l.write(dist.End(append(dist.BeginRegSend(nil, from, to), l.raw(term)...), 0))
}

// eval sends text to the node's probe, to evaluate with W bound. It does not wait.
func (l *link) eval(w etf.Term, text string) {
	l.t.Helper()
	l.regSend(l.pid(0), "probe", etf.Tuple{etf.Atom("eval"), l.pid(0), w, etf.Binary(text + ".")})
}

// value returns the probe's answer.
func (l *link) value() etf.Term {
	l.t.Helper()
	answer, ok := l.sent(l.pid(0)).(etf.Tuple)
	if !ok || len(answer) != 2 || answer[0] != etf.Atom("value") {
		l.t.Fatalf("the probe answers %v", answer)
	}
	return answer[1]
}

// got returns a message that the probe has passed on.
func (l *link) got() etf.Term {
	l.t.Helper()
	answer, ok := l.sent(l.pid(0)).(etf.Tuple)
	if !ok || len(answer) != 2 || answer[0] != etf.Atom("got") {
		l.t.Fatalf("the probe answers %v", answer)
	}
	return answer[1]
}

// probe returns the pid of the node's probe.
func (l *link) probe() etf.Pid {
	l.t.Helper()
	l.eval(etf.Atom("none"), "self()")
	pid, ok := l.value().(etf.Pid)
	if !ok {
		l.t.Fatal("self() is no pid")
	}
	return pid
}
