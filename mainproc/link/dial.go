package link

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"
	"time"

	"erluv/config"
	"erluv/wire/dist"
	"erluv/wire/epmd"
)

const (
	// setupBound is how long one attempt to connect may take, look-up and
	// handshake included: net_setuptime of OTP's kernel.
	setupBound = 7 * time.Second

	// maxDraws is how many random names are tried. Of 2^32 none is taken twice
	// by chance; ten of them are taken only on a node that says so of every name.
	maxDraws = 10
)

// Dialer connects to the node, again and again under the same name.
type Dialer struct {
	Log *slog.Logger // of what crosses its links while there is no child; nil: nobody wants it

	id       uint32 // of the links
	cfg      *config.Config
	name     string // our own, once the node has accepted it
	creation uint32 // of the last incarnation
}

// NewDialer makes links with this number to the configuration's node.
func NewDialer(id uint32, cfg *config.Config) *Dialer { return &Dialer{id: id, cfg: cfg} }

// Connect makes a connection. A random name that is taken is drawn again, until
// one was accepted, which is then kept.
func (d *Dialer) Connect(ctx context.Context) (*Link, error) {
	if d.name != "" {
		return d.try(ctx, d.name)
	}
	for draw := 1; ; draw++ {
		name := d.cfg.NodeName()
		l, err := d.try(ctx, name)
		if err == nil {
			d.name = name
		}
		if !isTaken(err) || d.cfg.Name != "" || draw == maxDraws {
			return l, err
		}
	}
}

// try makes one connection as name, in setupBound.
func (d *Dialer) try(ctx context.Context, name string) (*Link, error) {
	ctx, cancel := context.WithTimeout(ctx, setupBound)
	defer cancel()
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for last := d.creation; d.creation == last || d.creation < 4; {
		d.creation = random32() // 1 to 3 are what old nodes cycle through
	}
	local := dist.Local{
		Name:     name,
		Creation: d.creation,
		Cookie:   string(d.cfg.Cookie),
		Flags:    dist.Default,
	}
	peer, err := dist.Connect(ctx, conn, local, d.cfg.Node)
	if errors.Is(err, dist.ErrCookie) {
		return nil, fmt.Errorf("%w; the one it has is from %s", err, d.cfg.CookieSource())
	}
	if err != nil {
		return nil, err
	}
	local.Cookie = ""
	t, err := newPlain(conn)
	if err != nil {
		return nil, err
	}
	return &Link{ID: d.id, Local: local, Peer: peer, transport: t, log: d.Log}, nil
}

// dial opens a TCP connection to the node's listener.
func (d *Dialer) dial(ctx context.Context) (net.Conn, error) {
	address := d.cfg.Address
	if address == "" {
		node, err := epmd.Lookup(ctx, d.cfg.EPMD(), d.cfg.NodeAlive())
		if err != nil {
			return nil, err
		}
		if !node.Speaks(dist.Version) {
			return nil, fmt.Errorf("cannot connect to %s: it speaks versions %d to %d of the handshake, not %d: a node of OTP 25 or later is needed",
				d.cfg.Node, node.LowVersion, node.HighVersion, dist.Version)
		}
		address = net.JoinHostPort(d.cfg.NodeHost(), strconv.Itoa(int(node.Port)))
	}
	// TCP_NODELAY is what package net sets by itself. SO_SNDBUF and SO_RCVBUF
	// are the kernel's to tune.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		return conn, nil
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("cannot connect to %s: nothing listens at %s: is the node running there?", d.cfg.Node, address)
	case errors.As(err, &dns):
		return nil, fmt.Errorf("cannot connect to %s: the host of %s is not known (%w)", d.cfg.Node, address, err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("cannot connect to %s: %s does not answer within %v", d.cfg.Node, address, setupBound)
	}
	return nil, fmt.Errorf("cannot connect to %s: %w", d.cfg.Node, err)
}

func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see its document
	return binary.LittleEndian.Uint32(b[:])
}

// isTaken says whether a node of our name is connected already.
func isTaken(err error) bool { return hasStatus(err, dist.StatusAlive) }

// IsFinal says whether the node will refuse every further attempt, until somebody
// changes something: a name that is taken becomes free when the node has noticed
// that our last connection is gone.
func IsFinal(err error) bool {
	return errors.Is(err, dist.ErrCookie) || hasStatus(err, dist.StatusNotAllowed)
}

func hasStatus(err error, status string) bool {
	var refused *dist.Refused
	return errors.As(err, &refused) && refused.Status == status
}
