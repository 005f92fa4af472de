package web

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"erluv/wire/client"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// To call an erluv elsewhere, the page sends the call to its starter. The starter has a connection
// to a node that the erluv serves, and the cookie. The page must have neither. A call is {Id, To,
// Request}, and its answer {Id, answer | exit, Term} or {Id, failed, Text}. The length of each
// precedes it, in four bytes.

const (
	// maxAsk bounds a call, and maxAnswer its answer, in bytes.
	maxAsk    = 256 << 10
	maxAnswer = 32 << 20

	// maxCalls is how many calls the starter makes at a time to one erluv.
	maxCalls = 8
)

// allowed reports whether the page may make a call. It may look. With acts it may also stop and
// restart programs.
func allowed(to, request etf.Term, acts bool) bool {
	_, toProgram := to.(etf.Pid)
	switch r := request.(type) {
	case etf.Tuple:
		return to == gen.Manager && len(r) > 0 && (r[0] == etf.Atom("figures") || r[0] == etf.Atom("log"))
	case etf.Atom:
		return acts && toProgram && (r == "stop" || r == "restart")
	}
	return false
}

// Answer makes the calls of a page with the function call, until the page closes its end. It
// refuses all that a page may not make.
func Answer(ctx context.Context, conn net.Conn, acts bool, call func(ctx context.Context, to, request etf.Term) (etf.Term, error)) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	turns := make(chan struct{}, maxCalls)
	var writing sync.Mutex
	for {
		frame, err := readFrame(conn, maxAsk)
		if err != nil {
			return
		}
		ask, _ := frame.(etf.Tuple)
		if len(ask) != 3 {
			return
		}
		turns <- struct{}{}
		calls.Go(func() { // ends with the call, which ends soon after ctx
			defer func() { <-turns }()
			answer := etf.Tuple{ask[0], etf.Atom("failed"), etf.Binary("the page may not ask for that")}
			if allowed(ask[1], ask[2], acts) {
				bound, cancel := context.WithTimeoutCause(ctx, lookBound, errSilent)
				defer cancel()
				answer = answerOf(ask[0], bound, ask[1], ask[2], call)
			}
			frame, err := frameOf(answer, maxAnswer)
			if err != nil {
				frame, err = frameOf(etf.Tuple{ask[0], etf.Atom("failed"), etf.Binary("the answer of erluv cannot be passed on: " + err.Error())}, maxAnswer)
			}
			writing.Lock()
			defer writing.Unlock()
			if err == nil {
				_, err = conn.Write(frame)
			}
			if err != nil {
				cancel()
			}
		})
	}
}

var errSilent = fmt.Errorf("erluv has not answered within %v", lookBound)

func answerOf(id etf.Term, ctx context.Context, to, request etf.Term, call func(ctx context.Context, to, request etf.Term) (etf.Term, error)) etf.Tuple {
	answer, err := call(ctx, to, request)
	var exit *client.Exit
	switch {
	case errors.As(err, &exit):
		return etf.Tuple{id, etf.Atom("exit"), exit.Reason}
	case err != nil:
		return etf.Tuple{id, etf.Atom("failed"), etf.Binary(err.Error())}
	}
	return etf.Tuple{id, etf.Atom("answer"), answer}
}

func readFrame(r io.Reader, most uint32) (etf.Term, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > most {
		return nil, fmt.Errorf("%d bytes are too many", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return etf.Decode(b)
}

// frameOf returns a frame, or an error for one with more than most bytes.
func frameOf(t etf.Term, most int) ([]byte, error) {
	b, err := etf.AppendTerm(make([]byte, 4), t)
	if err != nil {
		return nil, err
	}
	if n := len(b) - 4; n > most {
		return nil, fmt.Errorf("%d bytes are too many: at most %d are allowed", n, most)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b, nil
}

// proxy is the page's end of such a connection.
type proxy struct {
	conn    net.Conn
	writing sync.Mutex
	ended   chan struct{} // closed with the connection

	mu    sync.Mutex // guards all below
	last  int64
	calls map[int64]chan etf.Tuple
	err   error
}

func newProxy(conn net.Conn) *proxy {
	p := &proxy{conn: conn, ended: make(chan struct{}), calls: make(map[int64]chan etf.Tuple)}
	go p.read() // ends with the connection
	return p
}

func (p *proxy) read() {
	defer close(p.ended)
	for {
		t, err := readFrame(p.conn, maxAnswer)
		a, _ := t.(etf.Tuple)
		if err == nil && len(a) != 3 {
			err = errors.New("erluv web answers with something else")
		}
		p.mu.Lock()
		if err != nil {
			p.err = err
			p.mu.Unlock()
			return
		}
		id, _ := a[0].(int64)
		c := p.calls[id]
		delete(p.calls, id)
		p.mu.Unlock()
		if c != nil {
			c <- a
		}
	}
}

// Call: see caller.
func (p *proxy) Call(ctx context.Context, to, request etf.Term) (etf.Term, error) {
	c := make(chan etf.Tuple, 1) // 1: read does not wait for an abandoned call
	p.mu.Lock()
	p.last++
	id := p.last
	p.calls[id] = c
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.calls, id)
		p.mu.Unlock()
	}()
	frame, err := frameOf(etf.Tuple{id, to, request}, maxAsk)
	if err != nil {
		return nil, err
	}
	p.writing.Lock()
	_, err = p.conn.Write(frame)
	p.writing.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case a := <-c:
		switch a[1] {
		case etf.Atom("answer"):
			return a[2], nil
		case etf.Atom("exit"):
			return nil, &client.Exit{Reason: a[2]}
		}
		text, _ := a[2].(etf.Binary)
		return nil, errors.New(string(text))
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-p.ended:
		return nil, p.Err()
	}
}

// Err: see caller.
func (p *proxy) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close: see caller.
func (p *proxy) Close() {
	_ = p.conn.Close()
	<-p.ended
}
