package mainproc

import (
	"errors"
	"net"
	"strings"
	"testing"

	"erluv/config"
	"erluv/discover"
	"erluv/wire/dist/disttest"
	"erluv/wire/etf"
)

// dialling is a configuration that dials a node at this listener.
func dialling(l net.Listener) *config.Config {
	return &config.Config{
		Node: "foo@127.0.0.1", Targets: []discover.Target{{Node: "foo@127.0.0.1", Host: "127.0.0.1"}},
		Prefix: "erluv_", Host: "127.0.0.1", Cookie: "CHOCOLATE", Address: l.Addr().String(),
	}
}

// TestClient: only the client uses the connection, until it leaves.
func TestClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := dialling(l)
	left := make(chan error)
	go func() { // ends when the client has left
		conn, err := l.Accept()
		if err != nil {
			left <- err
			return
		}
		defer conn.Close()
		_, err = disttest.Node{Name: cfg.Node, Cookie: "CHOCOLATE", Creation: 7, Challenge: 9}.Accept(conn)
		var b [64]byte
		n, err2 := conn.Read(b[:]) // the message
		_, err3 := conn.Read(b[n:])
		if err = errors.Join(err, err2); err == nil && (n == 0 || err3 == nil) {
			err = errors.New("the connection is still there")
		}
		left <- err
	}()
	c, leave, err := Client(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Peer().Name != cfg.Node || !strings.HasPrefix(string(c.Self().Node), "erluv_") {
		t.Errorf("%s is connected to %s", c.Self().Node, c.Peer().Name)
	}
	if err := c.Send(t.Context(), etf.Atom("x"), etf.Atom("y")); err != nil {
		t.Error(err)
	}
	leave()
	if err := <-left; err != nil {
		t.Error(err)
	}
	l.Close()
	if _, _, err := Client(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "nothing listens") {
		t.Errorf("without a node: %v", err)
	}
}
