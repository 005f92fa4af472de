package dist

import (
	"errors"
	"fmt"
)

// ErrCookie says that this node and its peer have different cookies. Either the peer ended the
// connection at this node's digest, or its own digest proved another cookie.
var ErrCookie = errors.New("the cookies differ: give erluv the cookie that erlang:get_cookie() shows on the node")

// The statuses with which the accepting node answers the name of the connecting one.
const (
	StatusOK             = "ok"
	StatusOKSimultaneous = "ok_simultaneous" // the accepting node has given up its own attempt to connect

	StatusNotOK      = "nok"         // the accepting node is itself connecting to this one, or its net_kernel cannot use the name
	StatusNotAllowed = "not_allowed" // net_kernel:allow/1, or a capability is missing
	StatusAlive      = "alive"       // a node of that name is connected already
)

// Refused says that the peer does not want the connection.
type Refused struct {
	Status string // one of the Status constants
	Local  string // this node's name, as the peer knows it
	Peer   string
}

func (e *Refused) Error() string {
	switch e.Status {
	case StatusAlive:
		return fmt.Sprintf("%s refuses us: a node named %s is connected to it: choose another name, or end that node; "+
			"if that is this erluv itself, %s is another name of a node that it serves, and one of the two is enough",
			e.Peer, e.Local, e.Peer)
	case StatusNotAllowed:
		return fmt.Sprintf("%s refuses us: %s is not allowed: add it there with net_kernel:allow/1; "+
			"if that was never called, the node's log says which capability is missing", e.Peer, e.Local)
	case StatusNotOK:
		return fmt.Sprintf("%s refuses us: it is connecting to %s itself, then try again; or that is no name for a node, "+
			"then its log says so", e.Peer, e.Local)
	}
	return fmt.Sprintf("%s refuses %s: status %q", e.Peer, e.Local, e.Status)
}

// Declined says that the caller of Accept did not want the connection.
type Declined struct {
	Status string // one of the Status constants; alive if the peer does not give up the old connection
	Peer   string // its name, without proof
}

func (e *Declined) Error() string {
	if e.Status == StatusAlive {
		return fmt.Sprintf("%q has a connection already, which it does not give up for a new one", e.Peer)
	}
	return fmt.Sprintf("%q wants to connect and was answered %s", e.Peer, e.Status)
}

// ErrTLS says that the peer speaks TLS, and this side does not.
var ErrTLS = errors.New("it speaks TLS (-proto_dist inet_tls), and this side does not")

// lengthError says that a message of the handshake has an impossible length. Usually these bytes
// are the beginning of another protocol.
type lengthError struct{ length, limit int }

func (e *lengthError) Error() string {
	text := fmt.Sprintf("a message of %d bytes instead of 1 to %d", e.length, e.limit)
	if err := e.Unwrap(); err != nil {
		return text + ": " + err.Error()
	}
	return text + ": is it a distribution port?"
}

// Unwrap returns ErrTLS if the bytes begin a TLS record: type 0x15 for an alert or 0x16 for a
// handshake, and version 3.
func (e *lengthError) Unwrap() error {
	if e.length == 0x1503 || e.length == 0x1603 {
		return ErrTLS
	}
	return nil
}
