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
// sets. It returns when the relay relays. It owns the descriptors, and closes all but the far end
// as soon as the relay has them; the far end is open until the Relay is closed.
type StartRelay func(ctx context.Context, m ipc.StartRelay, fds ...int) (Relay, error)

// Relay is what a connection with TLS goes through: a crew.Relay.
type Relay interface {
	// Why is why it has ended, if not in good order; that is waited for.
	Why(wait time.Duration) string
	// Close has it end, once the inner stream is closed, and at once when hurry is closed. It does
	// not wait: the channel is closed when nothing is left of the relay. Only the first call counts.
	Close(hurry <-chan struct{}) (gone <-chan struct{})
}

// relayed is the inner stream to a relay, which speaks TLS with the node. Main keeps both of
// its ends. The relay's counters say where it stands.
type relayed struct {
	near  int
	far   int // the relay's
	count *counters.Counters
	relay Relay
}

// newRelayed has a relay speak TLS on a connection, which stays the caller's to close, until
// ctx ends at the latest.
func newRelayed(ctx context.Context, start StartRelay, conn net.Conn, m ipc.StartRelay, files config.TLSFiles) (_ *relayed, err error) {
	r := &relayed{near: -1}
	var fds []int // for the relay, until start owns them
	defer func() {
		ipc.CloseAll(fds)
		if err != nil {
			r.close()
		}
	}()
	tcp, err := newPlain(conn)
	if err != nil {
		return nil, err
	}
	fds = append(fds, tcp.fd)
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make the inner stream of a connection with TLS: %w", err)
	}
	r.near, r.far = ends[0], ends[1]
	fds = append(fds, r.far)
	if r.count, err = counters.New(); err != nil {
		return nil, err
	}
	fds = append(fds, r.count.Give())
	material, err := ipc.Material(files).Pack(&m)
	if err != nil {
		return nil, err
	}
	given := append(fds, material)
	fds = nil
	r.relay, err = start(ctx, m, given...)
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

func (r *relayed) close() { r.end(nil) }

// end closes it, as Relay.Close does. Nil: there is no relay.
func (r *relayed) end(hurry <-chan struct{}) (gone <-chan struct{}) {
	ipc.CloseAll([]int{r.near})
	if r.count != nil {
		_ = r.count.Close()
	}
	if r.relay == nil {
		return nil
	}
	return r.relay.Close(hurry)
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
