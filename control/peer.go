package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a connection. It is the process that has connected, or
// that listens, as it was at that time.
type Peer struct {
	UID, GID uint32
	PID      int32 // 0: unknown in this pid namespace
}

func (p Peer) String() string { return fmt.Sprintf("uid %d, pid %d", p.UID, p.PID) }

// PeerOf returns the process at the other end. If that process runs neither as root nor as the user
// of this process, PeerOf returns an error.
func PeerOf(conn net.Conn) (Peer, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return Peer{}, fmt.Errorf("a connection of type %T has no credentials", conn)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	cerr := rc.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(cerr, err); err != nil {
		return Peer{}, fmt.Errorf("cannot ask who has the other end: %w", err)
	}
	p := Peer{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}
	if p.UID != 0 && p.UID != uint32(os.Geteuid()) {
		return p, fmt.Errorf("the other end belongs to %v: only root and user %d may have it", p, os.Geteuid())
	}
	return p, nil
}

// CheckName refuses names that a node at a control socket may not have.
func CheckName(node string) error {
	if alive, host, _ := strings.Cut(node, "@"); alive == "" || host != Host {
		return fmt.Errorf("%q is no name for a node at the control socket: it must end with @%s", node, Host)
	}
	return nil
}

// ErrNobody is the error of Dial when no process listens on a socket.
var ErrNobody = errors.New("no process listens there")

// Dial connects to a control socket.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("cannot connect to the control socket %s: %w", path, ErrNobody)
	case errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("cannot connect to the control socket %s: it belongs to another user", path)
	case err == nil:
		if _, err = PeerOf(conn); err == nil {
			return conn, nil
		}
		_ = conn.Close()
	}
	return nil, fmt.Errorf("cannot connect to the control socket %s: %w", path, err)
}
