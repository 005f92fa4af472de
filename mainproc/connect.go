package mainproc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"erluv/config"
	"erluv/wire/dist"
	"erluv/wire/epmd"

	"golang.org/x/sys/unix"
)

const (
	// setupBound is how long one attempt to connect may take, look-up and
	// handshake included: net_setuptime of OTP's kernel.
	setupBound = 7 * time.Second

	// maxDraws is how many random names are tried. Of 2^32 none is taken twice
	// by chance; ten of them are taken only on a node that says so of every name.
	maxDraws = 10
)

// link is an established connection to the node, with what both sides have said
// of themselves. The descriptor is raw, outside Go's netpoller, where every byte
// that the child reads or writes would wake main too, and non-blocking still.
type link struct {
	fd    int
	local dist.Local // without the cookie
	peer  dist.Peer

	// What main itself has read and not handled, at the end of a frame or within
	// one; or how many of the next bytes belong to a frame that is passed over.
	in   []byte
	skip int

	serial    uint32   // of the next child's pids
	respawned bool     // another child has served it before
	carried   []string // records of watches that have outlived that one
}

func (l *link) close() {
	if l != nil && l.fd >= 0 {
		_ = unix.Close(l.fd)
		l.fd = -1
	}
}

// dialer connects to the node, again and again under the same name.
type dialer struct {
	cfg      *config.Config
	name     string // our own, once the node has accepted it
	creation uint32 // of the last incarnation
}

// connect makes a connection. A random name that is taken is drawn again, until
// one was accepted, which is then kept.
func (d *dialer) connect(ctx context.Context) (*link, error) {
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
func (d *dialer) try(ctx context.Context, name string) (*link, error) {
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
		return nil, fmt.Errorf("%w; the one it has is from %s", err, cookieSource(d.cfg))
	}
	if err != nil {
		return nil, err
	}
	local.Cookie = ""
	fd, err := rawDup(conn)
	if err != nil {
		return nil, err
	}
	return &link{fd: fd, local: local, peer: peer}, nil
}

// dial opens a TCP connection to the node's listener.
func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
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

// rawDup gives a descriptor of the connection of its own. The methods of package
// net that do so (File) would make the shared socket blocking.
func rawDup(conn net.Conn) (int, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("a connection of type %T has no descriptor", conn)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("cannot take the connection's descriptor: %w", err)
	}
	fd := -1
	cerr := rc.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(cerr, err); err != nil {
		return -1, fmt.Errorf("cannot take the connection's descriptor: %w", err)
	}
	return fd, nil
}

func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see its document
	return binary.LittleEndian.Uint32(b[:])
}
