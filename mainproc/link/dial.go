package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"erluv/config"
	"erluv/control"
	"erluv/discover"
	"erluv/wire/dist"
	"erluv/wire/epmd"
)

const (
	// setupBound is how long one attempt to connect may take, look-up and handshake included:
	// net_setuptime of OTP's kernel.
	setupBound = 7 * time.Second

	// maxDraws is how many random names are tried. Of 2^32 names hardly one is taken by chance, and
	// not two in a row. Only a node that calls every name taken refuses ten of them.
	maxDraws = 10
)

// Dialer connects to a node, again and again under the same name.
type Dialer struct {
	Log   *slog.Logger // traces messages on links without a child; nil: none
	Relay StartRelay   // for nodes that speak TLS

	id     uint32 // of the links
	cfg    *config.Config
	self   *Self
	target discover.Target
}

// NewDialer returns a Dialer whose links to a node have this number.
func NewDialer(id uint32, cfg *config.Config, self *Self, target discover.Target) *Dialer {
	return &Dialer{id: id, cfg: cfg, self: self, target: target}
}

// Connect makes a connection. It draws another random name in place of a taken one. The first name
// that any node accepts is kept.
func (d *Dialer) Connect(ctx context.Context) (*Link, error) {
	if control.CheckName(d.target.Node) == nil { // the guard would take it for an operator
		return nil, fmt.Errorf("cannot connect to %s: a name with @%s is for the control socket alone", d.target.Node, control.Host)
	}
	for draw := 1; ; draw++ {
		name, settled := d.self.proposed()
		l, err := d.try(ctx, name)
		switch {
		case err == nil && d.self.settle(name):
			return l, nil
		case err == nil: // meanwhile another connection has settled another name
			l.Close()
		case !isTaken(err) || settled || draw == maxDraws:
			return nil, err
		default:
			d.self.Redraw(name)
		}
	}
}

// try makes one connection as name, within setupBound.
func (d *Dialer) try(ctx context.Context, name string) (*Link, error) {
	ctx, cancel := context.WithTimeout(ctx, setupBound)
	defer cancel()
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l := &Link{ID: d.id, self: d.self, log: d.Log, Local: dist.Local{
		Name:     name,
		Creation: d.self.creation,
		Cookie:   string(d.cfg.Cookie),
		Flags:    dist.Default,
		TLS:      d.cfg.SpeaksTLS(d.target.Node),
	}}
	if err = d.shake(ctx, conn, l); err != nil {
		l.Close()
		return nil, err
	}
	l.Local.Cookie = ""
	return l, nil
}

// shake makes a link of a connection. After an error too, the link owns its transport.
func (d *Dialer) shake(ctx context.Context, conn net.Conn, l *Link) (err error) {
	if l.Local.TLS {
		r, err := d.secure(ctx, conn)
		if err != nil {
			return err
		}
		l.transport = r
		if conn, err = r.conn(); err != nil {
			return err
		}
		defer conn.Close()
	}
	l.Peer, err = dist.Connect(ctx, conn, l.Local, d.target.Node)
	switch {
	case errors.Is(err, dist.ErrCookie):
		return fmt.Errorf("%w; the one it has is from %s", err, d.cfg.CookieSource())
	case errors.Is(err, dist.ErrTLS):
		return fmt.Errorf("%w: set tls to on, and name the node in tls_nodes if others do not speak it", err)
	case err != nil && !errors.As(err, new(*dist.Refused)):
		// With TLS 1.3 a node reports only now why it refuses our certificate.
		if why := l.why(); why != "" {
			return fmt.Errorf("cannot connect to %s over TLS: %s", d.target.Node, why)
		}
		return err
	case err != nil || l.transport != nil:
		return err
	}
	l.transport, err = newPlain(conn)
	return err
}

// dial opens a TCP connection to the node's listener.
func (d *Dialer) dial(ctx context.Context) (net.Conn, error) {
	address := d.cfg.Address
	if address == "" && d.target.Port != 0 {
		address = net.JoinHostPort(d.target.Host, strconv.Itoa(int(d.target.Port)))
	}
	if address == "" {
		alive, _, _ := strings.Cut(d.target.Node, "@")
		node, err := epmd.Lookup(ctx, net.JoinHostPort(d.target.Host, strconv.Itoa(d.cfg.EPMDPort)), alive)
		if err != nil {
			return nil, err
		}
		if !node.Speaks(dist.Version) {
			return nil, fmt.Errorf("cannot connect to %s: it speaks versions %d to %d of the handshake, not %d: a node of OTP 25 or later is needed",
				d.target.Node, node.LowVersion, node.HighVersion, dist.Version)
		}
		address = net.JoinHostPort(d.target.Host, strconv.Itoa(int(node.Port)))
	}
	// Package net sets TCP_NODELAY by default. The kernel tunes SO_SNDBUF and SO_RCVBUF.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		return conn, nil
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("cannot connect to %s: nothing listens at %s: is the node running there?", d.target.Node, address)
	case errors.As(err, &dns):
		return nil, fmt.Errorf("cannot connect to %s: the host of %s is not known (%w)", d.target.Node, address, err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("cannot connect to %s: %s does not answer within %v", d.target.Node, address, setupBound)
	}
	return nil, fmt.Errorf("cannot connect to %s: %w", d.target.Node, err)
}

// isTaken reports whether a node of our name is already connected.
func isTaken(err error) bool { return hasStatus(err, dist.StatusAlive) }

// IsMeeting reports whether the node may be connecting to erluv at this moment, or just has. The
// node may also be busy with another attempt of ours, by another of its names.
func IsMeeting(err error) bool { return isTaken(err) || hasStatus(err, dist.StatusNotOK) }

// IsFinal reports whether the node will refuse every further attempt until a user changes
// something. A taken name is not final: it becomes free when the node notices the end of our last
// connection.
func IsFinal(err error) bool {
	return errors.Is(err, dist.ErrCookie) || hasStatus(err, dist.StatusNotAllowed)
}

func hasStatus(err error, status string) bool {
	var refused *dist.Refused
	return errors.As(err, &refused) && refused.Status == status
}
