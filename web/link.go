package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"erluv/wire/client"
	"erluv/wire/dist"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// Given is the data that the page is started with.
type Given struct {
	Token string   // a browser with it may see everything, and stop and restart programs
	Acts  bool     // programs can be stopped and restarted
	Nodes []string // the nodes whose erluvs have pages; none: the page is of one erluv
	Names []string // names of the page in browsers, besides addresses and localhost
}

// Linked is a connection to erluv after the handshake. Its descriptor comes with the message.
type Linked struct {
	Local dist.Local
	Peer  dist.Peer
	Error string // why there is no connection

	Proxied bool // the starter makes the calls: see Answer
}

// Word is a request of the page to its starter. Host is the name of an erluv, or empty for the only one.
type Word struct {
	Do   string // connect or hosts
	Host string
}

// Hosts has the erluvs of a fleet, and the reasons why others are unknown.
type Hosts struct {
	Names    []string
	Troubles []string
}

// caller is a connection to an erluv.
type caller interface {
	Call(ctx context.Context, to, request etf.Term) (etf.Term, error)
	Err() error // why the connection has ended, or nil before
	Close()
}

// Connect makes a connection to an erluv, and returns the name of its node.
type Connect func(ctx context.Context) (caller, string, error)

// maxWord bounds a message of the conversation, in bytes.
const maxWord = 64 << 10

// starter is the process that has started the page. It sends Given, and then answers each Word with
// Linked or Hosts.
type starter struct {
	asking  sync.Mutex // held while a goroutine waits for an answer
	conn    *net.UnixConn
	answers chan answer
}

type answer struct {
	text []byte
	fd   int
	err  error
}

func newStarter(conn *net.UnixConn) *starter { return &starter{conn: conn, answers: make(chan answer)} }

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

// read waits for a message, or for the end of the conversation.
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

// ask sends a request and reads the answer into to. The caller owns the descriptor fd, which is -1
// if the answer has none.
func (s *starter) ask(w Word, to any) (fd int, err error) {
	text, err := json.Marshal(w)
	if err != nil {
		return -1, err
	}
	s.asking.Lock()
	defer s.asking.Unlock()
	if _, err := s.conn.Write(text); err != nil {
		return -1, err
	}
	a, ok := <-s.answers
	if !ok {
		return -1, errors.New("the page is to end")
	}
	return a.fd, json.Unmarshal(a.text, to)
}

// connect returns a function that asks the starter for a connection to an erluv.
func (s *starter) connect(name string) Connect {
	return func(context.Context) (caller, string, error) {
		var l Linked
		fd, err := s.ask(Word{"connect", name}, &l)
		if fd < 0 {
			return nil, "", errors.Join(err, errors.New(l.Error))
		}
		f := os.NewFile(uintptr(fd), "erluv")
		defer f.Close()
		if err != nil {
			return nil, "", err
		}
		conn, err := net.FileConn(f)
		if err != nil {
			return nil, "", err
		}
		if l.Proxied {
			return newProxy(conn), name, nil
		}
		return client.New(conn, l.Local, l.Peer, nil), l.Peer.Name, nil
	}
}

// hosts asks the starter for the erluvs that serve the nodes.
func (s *starter) hosts() (h Hosts, err error) {
	fd, err := s.ask(Word{Do: "hosts"}, &h)
	if fd >= 0 {
		_ = unix.Close(fd)
	}
	return h, err
}
