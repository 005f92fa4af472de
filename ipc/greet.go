package ipc

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Greet is how a role begins its conversation with main: it says Hello and waits
// for what it is to serve with, a message with n descriptors, which are the
// caller's. io.EOF: main has given it up.
func Greet(up *Conn, role Role, n int, timeout time.Duration) (Message, []int, error) {
	hello := Hello{Version: Version, Role: role, PID: uint32(unix.Getpid())}
	if err := up.Send(Append(nil, hello), timeout); err != nil {
		return nil, nil, fmt.Errorf("cannot greet main: %w", err)
	}
	buf := make([]byte, MaxPacket)
	k, fds, err := up.Recv(buf, timeout)
	if err != nil {
		return nil, nil, fmt.Errorf("main does not say what to serve with: %w", err)
	}
	msg, err := Decode(buf[:k])
	if err == nil && len(fds) != n {
		err = fmt.Errorf("main sent %T with %d descriptors instead of %d", msg, len(fds), n)
	}
	if err != nil {
		CloseAll(fds)
		return nil, nil, err
	}
	return msg, fds, nil
}
