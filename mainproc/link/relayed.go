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

// StartRelay starts a relay with these descriptors (ipc.StartRelay), and sets TimeoutMS. It returns
// when the relay relays. It owns the descriptors, and closes all but the far end once the relay has
// them. The far end stays open until the Relay is closed.
type StartRelay func(ctx context.Context, m ipc.StartRelay, fds ...int) (Relay, error)

// Relay is the relay of a connection with TLS: a crew.Relay.
type Relay interface {
	// Why returns why it has ended, if not in good order. It waits for that up to wait.
	Why(wait time.Duration) string
	// Close ends it once the inner stream is closed, and at once when hurry is closed. It does not
	// wait: the channel is closed when nothing is left of the relay. Only the first call counts.
	Close(hurry <-chan struct{}) (gone <-chan struct{})
}

// relayed is the inner stream to a relay, which speaks TLS with the node. Main keeps both of its
// ends. The relay's counters have its position.
type relayed struct {
	near  int
	far   int // the relay's
	count *counters.Counters
	relay Relay
}

// newRelayed makes a relay speak TLS on a connection, which the caller still closes. ctx bounds the
// handshake.
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

// conn returns the inner stream for the handshake, with a descriptor of its own.
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

// position returns errUnknown if the relay was killed or stopped during a read or write.
func (r *relayed) position() (position, error) {
	written, read, err := r.count.Position(r.near, r.far)
	if err != nil {
		return position{}, fmt.Errorf("%w: %w", errUnknown, err)
	}
	return position{written: written, read: read}, nil
}

func (r *relayed) shut() { _ = unix.Shutdown(r.near, unix.SHUT_RDWR) }

func (r *relayed) close() { r.end(nil) }

// end closes the stream, and the relay as Relay.Close does. It returns nil if there is no relay.
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

// whyWait is how long to wait for the report of a relay that has ended the inner stream.
const whyWait = 50 * time.Millisecond

func (r *relayed) why() string { return r.relay.Why(whyWait) }

// secure makes a relay speak TLS on a connection to the target.
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
