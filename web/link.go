package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"erluv/wire/client"
	"erluv/wire/dist"
	"golang.org/x/sys/unix"
)

// Given is the data that the page is started with.
type Given struct {
	Token string   // a browser with it may see everything, and stop and restart programs
	Acts  bool     // programs can be stopped and restarted
	Names []string // names of the page in browsers, besides addresses and localhost
}

// Linked is a connection to erluv after the handshake. Its descriptor comes with the message.
type Linked struct {
	Local dist.Local
	Peer  dist.Peer
	Error string // why there is no connection
}

// Connect makes a connection to erluv.
type Connect func(ctx context.Context) (*client.Client, error)

// maxWord bounds a message of the conversation, in bytes.
const maxWord = 16 << 10

// starter is the process that has started the page. It sends Given, and then Linked for each
// message from the page.
type starter struct {
	conn    *net.UnixConn
	answers chan answer
}

type answer struct {
	text []byte
	fd   int
	err  error
}

func newStarter(conn *net.UnixConn) *starter { return &starter{conn, make(chan answer)} }

// begin reads the data that the page is started with.
func (s *starter) begin() (given Given, err error) {
	a := s.read()
	if a.fd >= 0 {
		_ = unix.Close(a.fd)
	}
	if a.err != nil {
		return given, fmt.Errorf("cannot hear what to serve: %w", a.err)
	}
	return given, json.Unmarshal(a.text, &given)
}

// read reads a message. It ends only with the conversation.
func (s *starter) read() answer {
	text, oob := make([]byte, maxWord), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := s.conn.ReadMsgUnix(text, oob)
	a := answer{text: text[:n], fd: -1, err: err}
	if err == nil && n == 0 {
		a.err = errors.New("the conversation has ended")
	}
	messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
	for i := range messages {
		fds, _ := unix.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			a.fd = fd
		}
	}
	return a
}

// wait passes answers to connect, and returns at the end of the conversation.
func (s *starter) wait() {
	for {
		a := s.read()
		if a.err != nil {
			close(s.answers)
			return
		}
		s.answers <- a // connect waits for it
	}
}

// connect asks the starter for a connection. Only one goroutine calls it.
func (s *starter) connect(ctx context.Context) (*client.Client, error) {
	if _, err := s.conn.Write([]byte("c")); err != nil {
		return nil, err
	}
	a, ok := <-s.answers
	if !ok {
		return nil, errors.New("the page is to end")
	}
	var l Linked
	if err := json.Unmarshal(a.text, &l); err != nil {
		return nil, err
	}
	if a.fd < 0 {
		return nil, errors.New(l.Error)
	}
	f := os.NewFile(uintptr(a.fd), "erluv")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return client.New(conn, l.Local, l.Peer, nil), nil
}
