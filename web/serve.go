package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	// conversation and listening are the role's descriptors at its start.
	conversation = 3
	listening    = 4

	// maxConns is how many connections from browsers there are at a time. A page has two.
	maxConns = 128

	// closing is how long requests in progress may take at the end.
	closing = time.Second
)

// Main is the role. It serves the page until its starter ends the conversation.
func Main() error {
	c, err := net.FileConn(os.NewFile(conversation, "starter"))
	if err != nil {
		return fmt.Errorf("the page is started by erluv web alone: %w", err)
	}
	starter, ok := c.(*net.UnixConn)
	if !ok {
		return errors.New("the page is started by erluv web alone")
	}
	l, err := net.FileListener(os.NewFile(listening, "listener"))
	if err != nil {
		return fmt.Errorf("the page has no socket to listen at: %w", err)
	}
	s := newStarter(starter)
	given, err := s.begin()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the conversation
		s.wait()
		cancel()
	}()
	if len(given.Nodes) == 0 {
		b := newBoard(s.connect(""))
		return serve(ctx, l, newHandler(ctx, b, given), b.run)
	}
	f := newFleet(s, given)
	return serve(ctx, l, f.handler(ctx), f.run)
}

// serve serves pages on l until ctx ends, while look looks.
func serve(ctx context.Context, l net.Listener, pages http.Handler, look func(context.Context)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	looked := make(chan struct{})
	go func() { // ends with ctx
		look(ctx)
		close(looked)
	}()
	server := &http.Server{
		Handler:           pages,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(&limited{Listener: l, free: make(chan struct{}, maxConns)}) }() // ends with Shutdown
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		cancel()
		done, over := context.WithTimeout(context.Background(), closing)
		defer over()
		if server.Shutdown(done) != nil {
			_ = server.Close()
		}
		<-ended
	}
	cancel()
	<-looked
	return err
}

// limited is a listener with a bounded number of connections. Others wait in the kernel.
type limited struct {
	net.Listener
	free chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &counted{Conn: c, free: l.free}, nil
}

type counted struct {
	net.Conn
	free   chan struct{}
	closed bool
}

// Close is called once or twice, by one goroutine after the other.
func (c *counted) Close() error {
	err := c.Conn.Close()
	if !c.closed {
		c.closed = true
		<-c.free
	}
	return err
}
