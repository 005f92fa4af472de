package dist

import (
	"errors"
	"fmt"
)

// ErrCookie says that this node and its peer do not have the same cookie: the
// peer ended the connection at our digest, or its own proved another cookie.
var ErrCookie = errors.New("the cookies differ: give erluv the cookie that erlang:get_cookie() shows on the node")

// The statuses by which a node refuses another one.
const (
	StatusNotOK      = "nok"         // it is connecting to us, or its net_kernel cannot use our name
	StatusNotAllowed = "not_allowed" // net_kernel:allow/1, or a capability is missing
	StatusAlive      = "alive"       // a node of our name is connected already
)

// Refused says that the peer does not want the connection.
type Refused struct {
	Status string // one of the Status constants
	Local  string // our name, as the peer knows it
	Peer   string
}

func (e *Refused) Error() string {
	switch e.Status {
	case StatusAlive:
		return fmt.Sprintf("%s refuses us: a node named %s is connected to it: choose another name, or end that node",
			e.Peer, e.Local)
	case StatusNotAllowed:
		return fmt.Sprintf("%s refuses us: %s is not allowed: add it there with net_kernel:allow/1; "+
			"if that was never called, the node's log says which capability is missing", e.Peer, e.Local)
	case StatusNotOK:
		return fmt.Sprintf("%s refuses us: it is connecting to %s itself, then try again; or that is no name for a node, "+
			"then its log says so", e.Peer, e.Local)
	}
	return fmt.Sprintf("%s refuses %s: status %q", e.Peer, e.Local, e.Status)
}
