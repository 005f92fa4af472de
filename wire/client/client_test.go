package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"erluv/wire/dist"
	"erluv/wire/dist/disttest"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	us   = "us@host"
	them = "them@host"
	ok   = etf.Atom("ok")
)

var remote = etf.Pid{Node: them, ID: 7, Creation: 9}

// node is the peer of a client under test, frame by frame.
type node struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dial connects a client to a node. It must run in a bubble of synctest.
func dial(t *testing.T, deliver func(etf.Term)) (*Client, *node) {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { // ends with the handshake
		_, err := disttest.Node{Name: them, Cookie: "c", Creation: 9, Challenge: 3}.Accept(far)
		done <- err
	}()
	c, err := Dial(t.Context(), near, dist.Local{Name: us, Creation: 5, Cookie: "c", Flags: dist.Default}, them, deliver)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close(); c.Close() })
	return c, &node{t, far, bufio.NewReader(far)}
}

func (n *node) read() dist.Message {
	n.t.Helper()
	for {
		var size [4]byte
		if _, err := io.ReadFull(n.in, size[:]); err != nil {
			n.t.Fatal(err)
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(n.in, frame); err != nil {
			n.t.Fatal(err)
		}
		if len(frame) == 0 {
			continue
		}
		var m dist.Message
		if err := dist.Parse(frame, &m); err != nil {
			n.t.Fatal(err)
		}
		return m
	}
}

func (n *node) write(b []byte) {
	n.t.Helper()
	if _, err := n.conn.Write(b); err != nil {
		n.t.Fatal(err)
	}
}

// send sends a message to the client's process.
func (n *node) send(to etf.Pid, m etf.Term) {
	n.t.Helper()
	n.write(dist.End(gen.Append(dist.BeginSend(nil, to), m), 0))
}

// asked reads a call: its monitor and its message.
func (n *node) asked() (ref etf.Raw, request etf.Term) {
	n.t.Helper()
	monitor := n.read()
	m := n.read()
	ask, req, isAsk := gen.ParseAsk(m.Payload)
	if monitor.Op != dist.MonitorP || !isAsk || string(ask.Tag) != string(monitor.Ref) {
		n.t.Fatalf("a call is %+v, %+v", monitor, m)
	}
	request, err := etf.Decode(req)
	if err != nil {
		n.t.Fatal(err)
	}
	return ask.Tag, request
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

// call starts a call in the background. The returned function waits for its result.
func call(c *Client, ctx context.Context, to, request etf.Term) func() (etf.Term, error) {
	type returned struct {
		t   etf.Term
		err error
	}
	got := make(chan returned, 1)
	go func() { // ends with the call
		answer, err := c.Call(ctx, to, request)
		got <- returned{answer, err}
	}()
	return func() (etf.Term, error) { r := <-got; return r.t, r.err }
}

func TestCall(t *testing.T) {
	for name, to := range map[string]etf.Term{"by pid": remote, "by name": etf.Atom("rex")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, n := dial(t, nil)
				first, second := call(c, t.Context(), to, int64(1)), call(c, t.Context(), to, int64(2))
				refs := map[etf.Term]etf.Raw{}
				for range 2 { // whole calls, or the monitors first: the reference tells them apart
					m := n.read()
					for m.Op == dist.MonitorP {
						m = n.read()
					}
					ask, req, _ := gen.ParseAsk(m.Payload)
					request, _ := etf.Decode(req)
					refs[request] = ask.Tag
				}
				for _, i := range []int64{2, 1} {
					n.send(c.Self(), etf.Tuple{refs[i], etf.Tuple{ok, i}})
					if m := n.read(); m.Op != dist.DemonitorP || string(m.Ref) != string(refs[i]) {
						t.Errorf("after the answer: %+v", m)
					}
				}
				for i, wait := range []func() (etf.Term, error){first, second} {
					got, err := wait()
					equal(t, "answer", got, etf.Term(etf.Tuple{ok, int64(i + 1)}))
					equal(t, "error", err, nil)
				}
			})
		})
	}
}

func TestCallFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := dial(t, func(m etf.Term) { t.Errorf("delivered: %v", m) })
		wait := call(c, t.Context(), etf.Atom("nobody"), ok)
		ref, _ := n.asked()
		n.write(dist.AppendMonitorExitName(nil, "nobody", c.Self(), ref, gen.Noproc))
		if _, err := wait(); err == nil || err.Error() != "there is no such process" {
			t.Errorf("no process: %v", err)
		}
		wait = call(c, t.Context(), remote, ok)
		ref, _ = n.asked()
		n.write(dist.AppendMonitorExit(nil, remote, c.Self(), ref, gen.Killed))
		var exit *Exit
		if _, err := wait(); !errors.As(err, &exit) || exit.Reason != etf.Atom("killed") || !strings.Contains(err.Error(), "killed") {
			t.Errorf("an end: %v", err)
		}
		// There is no answer in time. A later one is dropped.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wait = call(c, ctx, remote, ok)
		ref, _ = n.asked()
		if m := n.read(); m.Op != dist.DemonitorP {
			t.Errorf("after the time: %+v", m)
		}
		if _, err := wait(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no answer: %v", err)
		}
		n.send(c.Self(), etf.Tuple{ref, ok})
		wait = call(c, t.Context(), remote, ok)
		ref, _ = n.asked()
		many := gen.Append(etf.AppendTupleHeader(dist.BeginSend(nil, c.Self()), 2), ref)
		many = etf.AppendListHeader(many, MaxElements+1)
		for range MaxElements + 1 {
			many = etf.AppendNil(many)
		}
		n.write(dist.End(etf.AppendNil(many), 0))
		n.read() // demonitor
		if _, err := wait(); !errors.Is(err, etf.ErrTooMany) {
			t.Errorf("too many elements: %v", err)
		}
		wait = call(c, t.Context(), remote, ok)
		n.asked()
		n.conn.Close()
		if _, err := wait(); err == nil || !strings.Contains(err.Error(), "closed the connection") {
			t.Errorf("the node goes: %v", err)
		}
		if _, err := c.Call(t.Context(), remote, ok); err == nil || err != c.Err() {
			t.Errorf("afterwards: %v, %v", err, c.Err())
		}
	})
}

func TestSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := dial(t, nil)
		equal(t, "self", c.Self(), etf.Pid{Node: us, ID: 1, Creation: 5})
		equal(t, "peer", c.Peer().Name, them)
		equal(t, "no error yet", c.Err(), nil)
		seen := make(chan dist.Message, 2)
		go func() { // ends with the two frames
			for range 2 {
				seen <- n.read()
			}
		}()
		for what, err := range map[string]error{
			"a pid":     c.Send(t.Context(), remote, ok),
			"a name":    c.Send(t.Context(), etf.Atom("rex"), ok),
			"no term":   c.Send(t.Context(), remote, math.NaN()),
			"no target": c.Send(t.Context(), "rex", ok),
			"monitor":   c.Monitor(t.Context(), "rex", nil),
			"demonitor": c.Demonitor(t.Context(), "rex", nil),
		} {
			if what == "a pid" || what == "a name" {
				equal(t, what, err, nil)
			} else if err == nil {
				t.Errorf("%s: no error", what)
			}
		}
		_, err := c.Call(t.Context(), "rex", ok)
		equal(t, "a call of no process", err, errAddress("rex"))
		sent := map[dist.Op]etf.Raw{}
		for range 2 {
			m := <-seen
			sent[m.Op] = m.Payload
		}
		equal(t, "sent", sent, map[dist.Op]etf.Raw{dist.Send: gen.Encode(ok), dist.RegSend: gen.Encode(ok)})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		// The writer is stuck with one frame, and this is the next one.
		equal(t, "taken", c.Send(t.Context(), remote, ok), nil)
		synctest.Wait()
		equal(t, "no time", c.Send(ended, remote, ok), context.Canceled)
	})
}

// TestDeliver: messages for the process arrive, and others are dropped.
func TestDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan etf.Term)
		c, n := dial(t, func(m etf.Term) { got <- m })
		other := etf.Pid{Node: us, ID: 2, Creation: 5}
		why := gen.Encode(etf.Atom("why"))
		ref := c.NewRef()
		equal(t, "monitor", c.Monitor(t.Context(), remote, ref), nil)
		n.read()
		for _, s := range []struct {
			frame []byte
			want  etf.Term // nil: dropped
		}{
			{dist.End(gen.Append(dist.BeginSend(nil, c.Self()), ok), 0), ok},
			{dist.End(gen.Append(dist.BeginSend(nil, other), ok), 0), nil},
			{dist.AppendExit(nil, remote, c.Self(), why), etf.Tuple{etf.Atom("EXIT"), remote, etf.Atom("why")}},
			{dist.AppendExit2(nil, remote, c.Self(), why), etf.Tuple{etf.Atom("EXIT"), remote, etf.Atom("why")}},
			{dist.AppendExit(nil, remote, other, why), nil},
			{dist.AppendLink(nil, remote, c.Self()), nil},
			{
				dist.AppendMonitorExit(nil, remote, c.Self(), ref, why),
				etf.Tuple{etf.Atom("DOWN"), ref, etf.Atom("process"), remote, etf.Atom("why")},
			},
			{
				dist.AppendMonitorExitName(nil, "rex", c.Self(), ref, why),
				etf.Tuple{etf.Atom("DOWN"), ref, etf.Atom("process"), etf.Tuple{etf.Atom("rex"), etf.Atom(them)}, etf.Atom("why")},
			},
			{dist.End(gen.Append(dist.BeginRegSend(nil, remote, "nobody"), ok), 0), nil},
		} {
			n.write(s.frame)
			if s.want != nil {
				equal(t, "delivered", <-got, s.want)
			}
		}
	})
}

// TestAsked: the node's questions are answered.
func TestAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := dial(t, nil)
		other := etf.Pid{Node: us, ID: 2, Creation: 5}
		ref := etf.Raw(etf.AppendNewRef(nil, them, 9, 1, 2, 3))
		n.write(dist.AppendMonitorName(nil, remote, gen.NetKernel, ref))
		is := etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{remote, ref}, etf.Tuple{etf.Atom("is_auth"), etf.Atom(them)}}
		n.write(dist.End(gen.Append(dist.BeginRegSend(nil, remote, gen.NetKernel), is), 0))
		if m := n.read(); m.Op != dist.Send || string(m.Payload) != string(gen.Encode(etf.Tuple{ref, etf.Atom("yes")})) {
			t.Errorf("is_auth is answered by %+v", m)
		}
		n.write(dist.AppendMonitorName(nil, remote, "nobody", ref))
		if m := n.read(); m.Op != dist.PayloadMonitorPExit || m.Name != "nobody" || string(m.Reason) != string(gen.Noproc) {
			t.Errorf("a name is answered by %+v", m)
		}
		n.write(dist.AppendMonitor(nil, remote, c.Self(), ref))
		n.write(dist.AppendMonitor(nil, remote, other, ref))
		if m := n.read(); m.Op != dist.PayloadMonitorPExit || m.From != other {
			t.Errorf("a pid is answered by %+v", m)
		}
		n.write(dist.AppendLink(nil, remote, other))
		if m := n.read(); m.Op != dist.PayloadExit || m.From != other {
			t.Errorf("a link is answered by %+v", m)
		}
		n.write(dist.AppendUnlinkID(nil, 33, remote, c.Self()))
		if m := n.read(); m.Op != dist.UnlinkIDAck || m.ID != 33 || m.From != c.Self() || m.To != remote {
			t.Errorf("unlink is answered by %+v", m)
		}
	})
}

// TestTicks: a node that reads gets its ticks, in virtual time.
func TestTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		c, n := dial(t, func(etf.Term) { <-hold })
		begin := time.Now()
		ticks := make(chan time.Duration, 100)
		go func() { // ends with the connection
			for {
				var b [4]byte
				if _, err := io.ReadFull(n.in, b[:]); err != nil || b != [4]byte{} {
					close(ticks)
					return
				}
				ticks <- time.Since(begin)
			}
		}()
		equal(t, "the first by itself", <-ticks, 15*time.Second)
		time.Sleep(time.Second)
		n.write(dist.AppendTick(nil))
		equal(t, "the next is the answer", <-ticks, 16*time.Second)
		c.SetTicktime(10 * time.Minute)
		time.Sleep(5 * time.Minute)
		equal(t, "silence that is allowed", c.Err(), nil)
		n.send(c.Self(), ok)
		synctest.Wait()
		c.SetTicktime(time.Minute)
		time.Sleep(2 * time.Minute)
		equal(t, "nothing is read", c.Err(), nil)
		close(hold)
		<-c.Done()
		equal(t, "silence", c.Err(), errSilent)
		equal(t, "since it was read", time.Since(begin), (16+7*60+75)*time.Second)
	})
}

// TestStuck: a node that reads nothing counts as gone.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := dial(t, nil)
		begin := time.Now()
		equal(t, "taken", c.Send(t.Context(), remote, ok), nil)
		<-c.Done()
		if !strings.Contains(c.Err().Error(), "cannot write to the node") || time.Since(begin) != writeBound {
			t.Errorf("%v after %v", c.Err(), time.Since(begin))
		}
	})
}

// TestClose: frames that were sent before Close are written, unless the node reads nothing.
func TestClose(t *testing.T) {
	for name, reads := range map[string]bool{"reads": true, "is stuck": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, n := dial(t, nil)
				equal(t, "taken", c.Send(t.Context(), remote, ok), nil)
				begin, closed := time.Now(), make(chan struct{})
				go func() { c.Close(); close(closed) }()
				synctest.Wait()
				want := closeBound
				if reads {
					equal(t, "sent to", n.read().To, remote)
					want = 0
				}
				<-closed
				equal(t, "closed after", time.Since(begin), want)
				equal(t, "why", c.Err(), ErrClosed)
			})
		})
	}
}

// TestJunk: these bytes end the connection, with these errors.
func TestJunk(t *testing.T) {
	for want, bytes := range map[string][]byte{
		"a message of 67108865 bytes": {4, 0, 0, 1},
		"broken within a message":     {0, 0, 0, 9, 112},
		"does not begin as":           {0, 0, 0, 2, 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, n := dial(t, nil)
			n.write(bytes)
			synctest.Wait()
			n.conn.Close()
			<-c.Done()
			if !strings.Contains(c.Err().Error(), want) {
				t.Errorf("%v, want %q", c.Err(), want)
			}
		})
	}
	for name, frame := range map[string]func(c *Client) []byte{
		"message": func(c *Client) []byte { return dist.End(append(dist.BeginSend(nil, c.Self()), deep()...), 0) },
		"reason":  func(c *Client) []byte { return dist.AppendMonitorExit(nil, remote, c.Self(), c.NewRef(), deep()) },
	} {
		synctest.Test(t, func(t *testing.T) {
			c, n := dial(t, func(etf.Term) {})
			n.write(frame(c))
			<-c.Done()
			if !errors.Is(c.Err(), etf.ErrDepth) {
				t.Errorf("a deep %s: %v", name, c.Err())
			}
		})
	}
}

// deep is a term that is nested too deeply to be decoded.
func deep() (b []byte) {
	for range 200 {
		b = etf.AppendTupleHeader(b, 1)
	}
	return etf.AppendNil(b)
}

func TestDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		far.Close()
		_, err := Dial(t.Context(), near, dist.Local{Name: us, Creation: 5, Cookie: "c", Flags: dist.Default}, them, nil)
		if err == nil {
			t.Error("connected to nothing")
		}
		if _, err := near.Write([]byte{1}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection: %v", err)
		}
	})
}
