// Package client is one hidden node with one process, which calls and sends to processes of
// one other node, its peer, and takes what they send back.
//
// It is for commands that look at a node and leave again. What serves a node is childproc.
// It opens no connection and looks nothing up: it is given one, which it owns from then on. Two
// goroutines have it until Close: one reads, one writes and keeps the ticks. Nothing is queued:
// who sends waits until the writer has taken it, as far as the context allows, and what comes for
// the process is read when the last was taken.
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

// The limits of what the peer may send. A longer message ends the connection, as its length
// is all that is known of it; one of more elements is not decoded.
const (
	MaxMessage  = 64 << 20 // bytes of one message
	MaxElements = 1 << 20  // of the tuples, lists and maps in it: 48 MiB
)

// closeBound is how long Close waits for the last frame to be written.
const closeBound = time.Second

// ErrClosed says that Close was called.
var ErrClosed = errors.New("the connection was closed")

// An Exit is why a call has no answer: the process has ended, or was never there.
type Exit struct{ Reason etf.Term }

func (e *Exit) Error() string {
	if e.Reason == etf.Atom("noproc") {
		return "there is no such process"
	}
	return fmt.Sprintf("the process has ended: %v", e.Reason)
}

// Client is the connection, and the process. All methods may be called at once.
type Client struct {
	conn    net.Conn
	peer    dist.Peer
	self    etf.Pid
	deliver func(etf.Term) // nil: nobody wants what is sent to the process

	out   chan []byte   // frames for the writer, without a buffer: taken is written soon
	tick  chan struct{} // a tick is to be answered
	done  chan struct{} // closed when the connection has ended; then err is set
	err   error
	ended sync.Once
	group sync.WaitGroup

	mu     sync.Mutex // guards all below
	ticker dist.Ticker
	busy   bool // deliver runs: that nothing is read does not mean that the peer is silent
	refs   uint64
	calls  map[string]chan<- result // by the reference, as it is encoded
}

type result struct {
	payload etf.Raw
	err     error
}

// Dial shakes hands on conn with the node that is called target, and goes on as New does. It
// closes conn when that fails.
func Dial(ctx context.Context, conn net.Conn, local dist.Local, target string, deliver func(etf.Term)) (*Client, error) {
	peer, err := dist.Connect(ctx, conn, local, target)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return New(conn, local, peer, deliver), nil
}

// New begins on a connection on which hands were shaken, and of which no more was read.
// Close closes it. Of local, name and creation count.
//
// What is sent to the process, and is no answer to a call, is given to deliver, in its
// order: messages, {'EXIT', From, Reason} for exit signals and {'DOWN', Ref, process, Object,
// Reason} for monitors, as a process that traps exits has them. Nothing else is read while
// deliver runs: that is the back-pressure, and deliver must not call. It may be nil.
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

// Self is the pid of the process.
func (c *Client) Self() etf.Pid { return c.self }

// Peer is what the other node has said of itself.
func (c *Client) Peer() dist.Peer { return c.peer }

// Done is closed when the connection has ended; then Err says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the connection has ended. It is nil before.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Close ends the connection and waits for what runs on it, deliver too. A frame that the writer
// has taken is written first, if the peer takes it within closeBound.
func (c *Client) Close() {
	// The writer takes the next one, of no bytes, when the last is written.
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

// Send sends a message to a process of the peer: an etf.Pid, or the etf.Atom of its name.
// Without an error it was given to the writer: whether it arrives nobody says.
func (c *Client) Send(ctx context.Context, to, message etf.Term) error {
	var b []byte
	switch to := to.(type) {
	case etf.Pid:
		b = dist.BeginSend(nil, to)
	case etf.Atom:
		b = dist.BeginRegSend(nil, c.self, to)
	default:
		return errAddress(to)
	}
	b, err := etf.AppendTerm(b, message)
	if err != nil {
		return err
	}
	return c.put(ctx, dist.End(b, 0))
}

// Call is gen_server:call/3: it returns the answer, or an *Exit when the process has ended.
// The context is the time-out; an answer that comes later is dropped.
func (c *Client) Call(ctx context.Context, to, request etf.Term) (etf.Term, error) {
	ref, answered := c.begin()
	defer c.forget(ref)
	if err := c.Monitor(ctx, to, ref); err != nil {
		return nil, err
	}
	ask := etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{c.self, ref}, request}
	if err := c.Send(ctx, to, ask); err != nil {
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
		// After a time-out too: ctx is of no use any more, but the connection is.
		if err := c.Demonitor(context.WithoutCancel(ctx), to, ref); err != nil {
			return nil, err
		}
	}
	if got.err != nil {
		return nil, got.err
	}
	return etf.DecodeUpTo(got.payload, MaxElements)
}

// NewRef is a reference that nothing else has.
func (c *Client) NewRef() etf.Raw {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refs++
	return etf.AppendNewRef(nil, c.self.Node, c.self.Creation, uint32(c.refs)&(1<<18-1), uint32(c.refs>>18), 0)
}

// Monitor has the process told when another one ends, by {'DOWN', Ref, process, Object, Reason}.
func (c *Client) Monitor(ctx context.Context, to etf.Term, ref etf.Raw) error {
	switch to := to.(type) {
	case etf.Pid:
		return c.put(ctx, dist.AppendMonitor(nil, c.self, to, ref))
	case etf.Atom:
		return c.put(ctx, dist.AppendMonitorName(nil, c.self, to, ref))
	}
	return errAddress(to)
}

// Demonitor ends that. What was under way may still come.
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

// SetTicktime says what net_ticktime the peer has, when it is not OTP's default. A peer
// with a longer one counts as gone when it has only been silent.
func (c *Client) SetTicktime(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ticker.SetInterval(d)
}

// begin makes the reference of a call, and where its answer comes.
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

// finish gives a call its result. False: there is no such call, or it has one.
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
