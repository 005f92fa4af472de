package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"erluv/config"
	"erluv/ipc"
	"erluv/ipc/counters"

	"golang.org/x/sys/unix"
)

// StartRelay starts a relay with these descriptors, see ipc.StartRelay, whose TimeoutMS it
// sets. It returns when the relay relays.
type StartRelay func(ctx context.Context, m ipc.StartRelay, fds ...int) (Relay, error)

// Relay is what a connection with TLS goes through: a crew.Relay.
type Relay interface {
	// Why is why it has ended, if not in good order; that is waited for.
	Why(wait time.Duration) string
	// Close has it end, once the inner stream is closed. It does not wait.
	Close()
}

// relayed is the inner stream to a relay, which speaks TLS with the node. Main keeps both of
// its ends. The relay's counters say where it stands.
type relayed struct {
	near, far int
	count     *counters.Counters
	relay     Relay
}

// newRelayed has a relay speak TLS on a connection, which stays the caller's to close, until
// ctx ends at the latest.
func newRelayed(ctx context.Context, start StartRelay, conn net.Conn, m ipc.StartRelay, files config.TLSFiles) (_ *relayed, err error) {
	tcp, err := newPlain(conn)
	if err != nil {
		return nil, err
	}
	defer tcp.close()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make the inner stream of a connection with TLS: %w", err)
	}
	r := &relayed{near: ends[0], far: ends[1]}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.count, err = counters.New(); err != nil {
		return nil, err
	}
	material, err := ipc.Material(files).Pack(&m)
	if err != nil {
		return nil, err
	}
	defer unix.Close(material)
	r.relay, err = start(ctx, m, tcp.fd, r.far, r.count.FD(), material)
	return r, err
}

// conn is the inner stream for the handshake, with a descriptor of its own.
func (r *relayed) conn() (net.Conn, error) {
	fd, err := unix.FcntlInt(uintptr(r.near), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "inner stream")
	defer file.Close()
	return net.FileConn(file)
}

func (r *relayed) descriptor() int { return r.near }

// position is errUnknown when the relay was killed or stopped while it read or wrote.
func (r *relayed) position() (position, error) {
	written, read, err := r.count.Position(r.near, r.far)
	if err != nil {
		return position{}, fmt.Errorf("%w: %w", errUnknown, err)
	}
	return position{written: written, read: read}, nil
}

func (r *relayed) shut() { _ = unix.Shutdown(r.near, unix.SHUT_RDWR) }

func (r *relayed) close() {
	_ = unix.Close(r.near)
	_ = unix.Close(r.far)
	if r.count != nil {
		_ = r.count.Close()
	}
	if r.relay != nil {
		r.relay.Close()
	}
}

// whyWait is how long the word of a relay is waited for that has ended the inner stream.
const whyWait = 50 * time.Millisecond

func (r *relayed) why() string { return r.relay.Why(whyWait) }

// secure has a relay speak TLS on a connection to the target.
func (d *Dialer) secure(ctx context.Context, conn net.Conn) (*relayed, error) {
	t, files, err := d.cfg.ReadTLS(config.TLSClient)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w", d.target.Node, err)
	}
	r, err := newRelayed(ctx, d.Relay, conn, ipc.StartRelay{
		ServerName: t.NameOf(d.target.Node), Verify: t.Verify,
		MinVersion: t.MinVersion, MaxVersion: t.MaxVersion, Depth: t.Depth,
	}, files)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the handshake of TLS did not end within %v", setupBound)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s over TLS: %w", d.target.Node, err)
	}
	return r, nil
}
