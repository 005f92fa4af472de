package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// A fakeHost is a host of a fleet that starts no programs. It shakes hands, answers info, and
// returns a pid for each requested program. A thousand of them cost less than the control node that
// they serve.
type fakeHost struct {
	name etf.Atom
	conn net.Conn
	pids uint32
}

// fakeHosts connects count hosts to a node, as fast as it accepts them.
func fakeHosts(t *testing.T, n *node, count int) []*fakeHost {
	t.Helper()
	var group sync.WaitGroup
	hosts := make([]*fakeHost, count)
	address := n.listener(t)
	failed := make(chan error, count)
	t.Cleanup(func() {
		for _, h := range hosts {
			if h != nil {
				h.conn.Close()
			}
		}
		group.Wait()
	})
	// As many shake hands at once as a listener's queue holds.
	places := make(chan bool, 100)
	var come sync.WaitGroup
	for i := range hosts {
		come.Go(func() {
			places <- true
			defer func() { <-places }()
			h := &fakeHost{name: etf.Atom(fmt.Sprintf("fake%d@127.0.0.1", i))}
			if err := h.connect(address, n.name); err != nil {
				failed <- fmt.Errorf("%s: %w", h.name, err)
				return
			}
			hosts[i] = h
			group.Go(h.serve) // ends with the connection
		})
	}
	come.Wait()
	close(failed)
	for err := range failed {
		t.Fatal(err)
	}
	return hosts
}

func (h *fakeHost) connect(address, node string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if h.conn, err = new(net.Dialer).DialContext(ctx, "tcp4", address); err != nil {
		return err
	}
	local := dist.Local{Name: string(h.name), Creation: 1, Cookie: cookie, Flags: dist.Default}
	if _, err = dist.Connect(ctx, h.conn, local, node); err == nil {
		up := etf.Tuple{etf.Atom("erluv"), h.name, etf.Tuple{etf.Atom("up"), h.info()}}
		_, err = h.conn.Write(framed(dist.BeginRegSend(nil, h.pid(1), "erluv_fleet"), up))
	}
	if err != nil {
		h.conn.Close()
	}
	return err
}

// framed is a frame with a message.
func framed(begun []byte, message etf.Term) []byte {
	b, err := etf.AppendTerm(begun, message)
	if err != nil {
		panic(err) // our terms can be encoded
	}
	return dist.End(b, 0)
}

func (h *fakeHost) pid(number uint32) etf.Pid {
	return etf.Pid{Node: h.name, ID: number, Creation: 1}
}

// info returns a map about as long as that of an erluv with a few labels.
func (h *fakeHost) info() etf.Term {
	a := func(key string, value etf.Term) etf.Pair { return etf.Pair{Key: etf.Atom(key), Value: value} }
	key := func(k, v string) etf.Term { return etf.Tuple{etf.Binary(k), etf.Binary(v)} }
	return etf.Map{
		a("node", h.name), a("controller", etf.Atom("erluv_fleet")), a("status", etf.Atom("ready")), a("version", etf.Binary("0.2.0")),
		a("meta", etf.List{etf.Tuple{etf.Binary("core"), etf.List{key("group", "g1"), etf.Binary("master")}}}),
		a("classes", etf.List{etf.Binary("backup")}), a("max_workers", int64(10000)), a("workers", int64(h.pids)),
		a("load", etf.Map{a("avg1", 0.5), a("avg5", 0.5), a("avg15", 0.5), a("cpus", int64(4))}),
		a("memory", etf.Map{a("total", int64(16<<30)), a("available", int64(8<<30)), a("limit", etf.Atom("undefined"))}),
		a("disks", etf.List{etf.Map{a("path", etf.Binary("/")), a("total", int64(1<<40)), a("available", int64(1<<39))}}),
	}
}

// serve answers until the connection ends.
func (h *fakeHost) serve() {
	in := bufio.NewReader(h.conn)
	var head [dist.HeaderSize]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(in, frame); err != nil {
			return
		}
		answer := dist.AppendTick(nil)
		if len(frame) > 0 {
			answer = h.answer(frame)
		}
		if _, err := h.conn.Write(answer); err != nil {
			return
		}
	}
}

// answer returns the frame that answers a call to the manager, or nil. It ignores the monitors of
// calls and programs, since neither ends.
func (h *fakeHost) answer(frame []byte) []byte {
	var m dist.Message
	if err := dist.Parse(frame, &m); err != nil || m.Op != dist.RegSend {
		return nil
	}
	r := etf.NewReader(m.Payload)
	ask, ok := dist.ReadAsk(&r)
	if !ok {
		return nil
	}
	request, err := etf.Decode(r.Rest())
	if err != nil {
		return nil
	}
	return framed(ask.BeginAnswer(nil, h.pid(1)), h.reply(request))
}

func (h *fakeHost) reply(request etf.Term) etf.Term {
	switch request {
	case etf.Atom("info"):
		return h.info()
	case etf.Atom("workers"):
		return etf.List(nil)
	}
	if r, ok := request.(etf.Tuple); ok && r[0] == etf.Atom("spawn") {
		h.pids++
		return etf.Tuple{etf.Atom("ok"), h.pid(1 + h.pids)}
	}
	return etf.Tuple{etf.Atom("error"), etf.Tuple{etf.Atom("bad_request"), request}}
}
