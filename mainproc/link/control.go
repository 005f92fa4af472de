package link

import (
	"net"
	"os/user"
	"strconv"

	"erluv/control"
	"erluv/wire/dist"
)

// ControlDoor makes a Door of a control socket. The kernel's permissions decide who may connect
// there. The cookie, which both sides know, proves nothing.
func ControlDoor(l net.Listener) Door {
	return Door{
		Listener: l, Cookie: control.Cookie,
		Carry: func(g *guest) (net.Conn, func() (transport, error), error) {
			who, err := control.PeerOf(g.conn)
			if err != nil {
				_ = g.conn.Close()
				return nil, nil, err
			}
			return g.conn, func() (transport, error) {
				p, err := newPlain(g.conn)
				return local{p, who}, err
			}, nil
		},
		Allow: func(_ net.Conn, p dist.Peer) error { return control.CheckName(p.Name) },
	}
}

// local is a Unix socket. The kernel knows how much waits to be read there, but not how much was
// written. So its connection ends with its child.
type local struct {
	plain
	who control.Peer
}

func (local) position() (position, error) { return position{}, errUnknown }

// Operator returns the operator at a control socket, for people, or "" for a node.
func (l *Link) Operator() string {
	t, ok := l.transport.(local)
	if !ok {
		return ""
	}
	who := t.who.String()
	if u, err := user.LookupId(strconv.FormatUint(uint64(t.who.UID), 10)); err == nil {
		who += ", user " + u.Username
	}
	return who
}
