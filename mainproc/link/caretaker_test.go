package link

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// kept is a caretaker at work on a TCP connection.
type kept struct {
	*Caretaker
	node   net.Conn      // the other side
	wishes chan struct{} // requests of a new child
	done   chan error
}

// keepOne starts one, which ends with the test at the latest.
func keepOne(t *testing.T, s stand, ticktime time.Duration) *kept {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	transport, err := newPlain(ours)
	if err != nil {
		t.Fatal(err)
	}
	node, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = node.SetDeadline(time.Now().Add(waitBound))
	i := testInterim(t, s)
	i.link.transport = transport
	c, err := newCaretaker(transport, i, ticktime)
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{Caretaker: c, node: node, wishes: make(chan struct{}, 10), done: make(chan error, 1)}
	go func() { k.done <- c.Serve(func() { k.wishes <- struct{}{} }) }()
	t.Cleanup(func() {
		k.Order(Order{Kind: OrderQuit})
		_ = node.Close()
		k.ended(t)
		i.link.Close()
		c.Close()
	})
	return k
}

func (k *kept) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-k.done:
		k.done <- err // for the next caller
		return err
	case <-time.After(waitBound):
		t.Fatal("it does not end")
		return nil
	}
}

// hears reads one frame.
func (k *kept) hears(t *testing.T, want string) {
	t.Helper()
	head := make([]byte, dist.HeaderSize)
	_, err := io.ReadFull(k.node, head)
	if err != nil {
		t.Fatalf("instead of %s: %v", want, err)
	}
	size, _ := dist.FrameLen(head)
	frame := make([]byte, size)
	if _, err := io.ReadFull(k.node, frame); err != nil {
		t.Fatal(err)
	}
	if got := show(t, frame); got != want {
		t.Errorf("the node hears %s, want %s", got, want)
	}
}

func (k *kept) says(t *testing.T, b []byte) {
	t.Helper()
	if _, err := k.node.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestCaretakerAnswers(t *testing.T) {
	k := keepOne(t, stand{Out: dist.AppendTick(nil)}, time.Hour)
	k.hears(t, "tick")
	k.hears(t, downEvent)
	k.says(t, callTo(t, "erluv", etf.Atom("info")))
	k.hears(t, "SEND to 100 [tag [error child_down]]")
	k.Order(Order{Kind: OrderDown, Reason: etf.Atom("again")})
	k.hears(t, "REG_SEND erluv [erluv us@h [child_down again 5000]]")
}

// TestCaretakerTicks: it ticks in the node's rhythm, and in answer to the node's ticks. A silent
// node is gone.
func TestCaretakerTicks(t *testing.T) {
	k := keepOne(t, stand{}, time.Second)
	k.hears(t, downEvent)
	for range 2 {
		k.hears(t, "tick")
	}
	if err := k.ended(t); err == nil {
		t.Error("a silent node is not gone")
	}
	k = keepOne(t, stand{}, time.Hour)
	k.hears(t, downEvent)
	for heard := false; !heard; { // not so soon after a write
		k.says(t, dist.AppendTick(nil))
		_ = k.node.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		tick := make([]byte, 4)
		_, err := io.ReadFull(k.node, tick)
		heard = err == nil
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || bytes.Count(tick, []byte{0}) != 4 {
			t.Fatal(tick, err)
		}
	}
}

// TestCaretakerReleases: a new child gets the connection when everything is written, with the bytes
// that were read and not handled.
func TestCaretakerReleases(t *testing.T) {
	left := dist.End(append([]byte{0, 0, 0, 0, 112}, make([]byte, 8<<20)...), 0) // more than the socket takes
	k := keepOne(t, stand{Out: left, In: toName(t, gen.Main, etf.Atom("respawn"))}, time.Hour)
	select {
	case <-k.wishes:
		t.Fatal("a wish is told of while the node does not read")
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := io.CopyN(io.Discard, k.node, int64(len(left))); err != nil {
		t.Fatal(err)
	}
	k.hears(t, downEvent)
	<-k.wishes
	k.says(t, callTo(t, "erluv", etf.Atom("info"))[:20])
	for end := time.Now().Add(waitBound); unread(t, k.fd) > 0; {
		if time.Now().After(end) {
			t.Fatal("it does not read")
		}
	}
	k.Order(Order{Kind: OrderRelease})
	if err := k.ended(t); err != nil {
		t.Error(err)
	}
	l := k.say.link
	if got := len(l.in) + int(unread(t, k.fd)); got != 20 || !l.respawned {
		t.Errorf("%d bytes are left, respawned %v", got, l.respawned)
	}
}

func unread(t *testing.T, fd int) uint64 {
	t.Helper()
	p, err := plain{fd}.position()
	if err != nil {
		t.Fatal(err)
	}
	info, err := plain{fd}.info()
	if err != nil {
		t.Fatal(err)
	}
	return info.Bytes_received - p.read
}

// TestCaretakerLeaves in order: it sends the last messages, then ends the stream.
func TestCaretakerLeaves(t *testing.T) {
	k := keepOne(t, stand{}, time.Hour)
	k.hears(t, downEvent)
	k.Order(Order{Kind: OrderLeave, Reason: etf.Atom("enough")})
	k.hears(t, "REG_SEND erluv [erluv us@h [stopping enough]]")
	if n, err := k.node.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
	_ = k.node.Close()
	if err := k.ended(t); err != nil {
		t.Error(err)
	}
}

// TestCaretakerLeavesTheDeaf: a node that does not read delays it no longer than its bounds.
func TestCaretakerLeavesTheDeaf(t *testing.T) {
	k := keepOne(t, stand{Out: make([]byte, 8<<20)}, time.Hour)
	start := time.Now()
	k.Order(Order{Kind: OrderLeave, Reason: etf.Atom("enough")})
	if err := k.ended(t); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < leaveBound {
		t.Errorf("it took %v", took)
	}
}

func TestCaretakerLosesTheNode(t *testing.T) {
	for name, s := range map[string]stand{"idle": {}, "writing": {Out: make([]byte, 8<<20)}} {
		k := keepOne(t, s, time.Hour)
		_ = k.node.(*net.TCPConn).SetLinger(0)
		_ = k.node.Close()
		if err := k.ended(t); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
