// Package client is one hidden node with one process. The process calls and sends to processes of
// one other node, its peer, and receives their messages.
//
// It is for commands that look at a node and leave again. Package childproc serves nodes. Client
// opens no connection and looks up no name: its caller gives it a connection, which it owns from
// then on. Two goroutines use the connection until Close: one reads, and one writes and keeps the
// ticks. Nothing is queued. A sender waits until the writer has taken its frame, as long as the
// context allows. The next message for the process is read when the last one has been taken.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// These limits bound what the peer may send. A longer message ends the connection, since only its
// length is known. A message of more elements is not decoded.
const (
	MaxMessage  = 64 << 20 // bytes of one message
	MaxElements = 1 << 20  // of the tuples, lists and maps in it: 48 MiB
)

// closeBound is how long Close waits for the last frame to be written.
const closeBound = time.Second

// ErrClosed is the error after Close.
var ErrClosed = errors.New("the connection was closed")

// An Exit is the reason for a call without an answer: the process has ended, or never existed.
type Exit struct{ Reason etf.Term }

func (e *Exit) Error() string {
	if e.Reason == etf.Atom("noproc") {
		return "there is no such process"
	}
	return fmt.Sprintf("the process has ended: %v", e.Reason)
}

// Client is the connection and the process. All methods may be called concurrently.
type Client struct {
	conn    net.Conn
	peer    dist.Peer
	self    etf.Pid
	deliver func(etf.Term) // nil: messages to the process are dropped

	out   chan []byte   // frames for the writer, without a buffer: a taken frame is written soon
	tick  chan struct{} // a tick must be answered
	done  chan struct{} // closed when the connection has ended; then err is set
	err   error
	ended sync.Once
	group sync.WaitGroup

	mu     sync.Mutex // guards all below
	ticker dist.Ticker
	busy   bool // deliver runs, so unread data does not mean that the peer is silent
	refs   uint64
	calls  map[string]chan<- result // by the encoded reference
}

type result struct {
	payload etf.Raw
	err     error
}

// Dial shakes hands on conn with the node target, and then does the same as New. It closes conn on
// failure.
func Dial(ctx context.Context, conn net.Conn, local dist.Local, target string, deliver func(etf.Term)) (*Client, error) {
	peer, err := dist.Connect(ctx, conn, local, target)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return New(conn, local, peer, deliver), nil
}

// New starts a client on a connection after the handshake, of which no later byte has been read.
// Close closes it. New uses only the name and the creation of local.
//
// Messages to the process that are not answers to a call go to deliver, in their order. Exit
// signals arrive as {'EXIT', From, Reason} and monitors as {'DOWN', Ref, process, Object, Reason},
// as in a process that traps exits. While deliver runs, nothing else is read. That is the
// back-pressure, so deliver must not call. It may be nil.
func New(conn net.Conn, local dist.Local, peer dist.Peer, deliver func(etf.Term)) *Client {
	c := &Client{
		conn: conn, peer: peer, deliver: deliver,
		self: gen.PidOf(etf.Atom(local.Name), local.Creation, 1),
		out:  make(chan []byte), tick: make(chan struct{}, 1), done: make(chan struct{}),
		calls:  map[string]chan<- result{},
		ticker: dist.NewTicker(time.Now(), dist.DefaultNetTicktime),
	}
	c.group.Go(c.read)  // both end with the connection; Close waits
	c.group.Go(c.write) //
	return c
}

// Self returns the pid of the process.
func (c *Client) Self() etf.Pid { return c.self }

// Peer returns what the other node has said of itself in the handshake.
func (c *Client) Peer() dist.Peer { return c.peer }

// Done is closed when the connection has ended. Then Err returns the reason.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the connection has ended, or nil before that.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Close ends the connection and waits for its goroutines, including deliver. A frame that the
// writer has taken is written first, if the peer takes it within closeBound.
func (c *Client) Close() {
	// The writer takes this empty frame when it has written the last one.
	ctx, cancel := context.WithTimeout(context.Background(), closeBound)
	_ = c.put(ctx, nil)
	cancel()
	c.end(ErrClosed)
	c.group.Wait()
}

func (c *Client) end(err error) {
	c.ended.Do(func() {
		c.err = err
		close(c.done)
		c.conn.Close()
	})
}

// Send sends a message to a process of the peer: an etf.Pid, or the etf.Atom of its name. Without
// an error the writer has the message, but it may still be lost.
func (c *Client) Send(ctx context.Context, to, message etf.Term) error {
	b, err := c.appendSend(nil, to, message)
	if err != nil {
		return err
	}
	return c.put(ctx, b)
}

// appendSend appends the frame of a message.
func (c *Client) appendSend(b []byte, to, message etf.Term) ([]byte, error) {
	start := len(b)
	switch to := to.(type) {
	case etf.Pid:
		b = dist.BeginSend(b, to)
	case etf.Atom:
		b = dist.BeginRegSend(b, c.self, to)
	default:
		return nil, errAddress(to)
	}
	b, err := etf.AppendTerm(b, message)
	if err != nil {
		return nil, err
	}
	return dist.End(b, start), nil
}

// Call is gen_server:call/3. It returns the answer, or an *Exit when the process has ended. The
// context is the time-out. A later answer is dropped.
func (c *Client) Call(ctx context.Context, to, request etf.Term) (etf.Term, error) {
	ref, answered := c.begin()
	defer c.forget(ref)
	frames, err := c.appendMonitor(nil, to, ref)
	if err != nil {
		return nil, err
	}
	// Both go out at once: the peer wakes up once.
	frames, err = c.appendSend(frames, to, etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{c.self, ref}, request})
	if err != nil {
		return nil, err
	}
	if err := c.put(ctx, frames); err != nil {
		return nil, err
	}
	var got result
	select {
	case got = <-answered:
	case <-ctx.Done():
		got.err = context.Cause(ctx)
	case <-c.done:
		got.err = c.err
	}
	if _, ended := got.err.(*Exit); !ended && c.Err() == nil {
		// This happens after a time-out too. ctx has ended then, but the connection has not.
		if err := c.Demonitor(context.WithoutCancel(ctx), to, ref); err != nil {
			return nil, err
		}
	}
	if got.err != nil {
		return nil, got.err
	}
	return etf.DecodeUpTo(got.payload, MaxElements)
}

// NewRef returns a unique reference.
func (c *Client) NewRef() etf.Raw {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refs++
	return etf.AppendNewRef(nil, c.self.Node, c.self.Creation, uint32(c.refs)&(1<<18-1), uint32(c.refs>>18), 0)
}

// Monitor makes the process receive {'DOWN', Ref, process, Object, Reason} when another one ends.
func (c *Client) Monitor(ctx context.Context, to etf.Term, ref etf.Raw) error {
	b, err := c.appendMonitor(nil, to, ref)
	if err != nil {
		return err
	}
	return c.put(ctx, b)
}

// appendMonitor appends the frame of a monitor.
func (c *Client) appendMonitor(b []byte, to etf.Term, ref etf.Raw) ([]byte, error) {
	switch to := to.(type) {
	case etf.Pid:
		return dist.AppendMonitor(b, c.self, to, ref), nil
	case etf.Atom:
		return dist.AppendMonitorName(b, c.self, to, ref), nil
	}
	return nil, errAddress(to)
}

// Demonitor ends a monitor. A message that is already under way may still come.
func (c *Client) Demonitor(ctx context.Context, to etf.Term, ref etf.Raw) error {
	switch to := to.(type) {
	case etf.Pid:
		return c.put(ctx, dist.AppendDemonitor(nil, c.self, to, ref))
	case etf.Atom:
		return c.put(ctx, dist.AppendDemonitorName(nil, c.self, to, ref))
	}
	return errAddress(to)
}

func errAddress(to etf.Term) error {
	return fmt.Errorf("a process has a pid or a name, not a %T", to)
}

// SetTicktime sets the peer's net_ticktime. Without this call it is OTP's default, and a peer with
// a longer one could count as gone when it is only silent.
func (c *Client) SetTicktime(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ticker.SetInterval(d)
}

// begin makes the reference of a call, and the channel for its answer.
func (c *Client) begin() (etf.Raw, <-chan result) {
	ref, answered := c.NewRef(), make(chan result, 1) // 1: the reader does not wait
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[string(ref)] = answered
	return ref, answered
}

func (c *Client) forget(ref etf.Raw) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, string(ref))
}

// finish gives a call its result. It returns false if the call does not exist, or has its result.
func (c *Client) finish(ref etf.Raw, r result) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	answered, ok := c.calls[string(ref)]
	if ok {
		delete(c.calls, string(ref))
		answered <- r
	}
	return ok
}

// put gives a frame to the writer.
func (c *Client) put(ctx context.Context, frame []byte) error {
	select {
	case c.out <- frame:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done:
		return c.err
	}
}
