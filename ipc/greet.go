package ipc

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Greet is how a role begins its conversation with main: it says Hello and waits
// for what it is to serve with, a message with n descriptors, which are the
// caller's. The logger logs nothing unless main has given it a conversation. io.EOF: main
// has given the role up.
func Greet(up *Conn, role Role, n int, timeout time.Duration) (Message, []int, *Logger, error) {
	hello := Hello{Version: Version, Role: role, PID: uint32(unix.Getpid())}
	if err := up.Send(Append(nil, hello), timeout); err != nil {
		return nil, nil, nil, fmt.Errorf("cannot greet main: %w", err)
	}
	log := NoLogger()
	msg, fds, err := up.told(timeout)
	if logs, ok := msg.(Logs); ok && err == nil {
		if log, err = logs.open(fds); err == nil {
			msg, fds, err = up.told(timeout)
		}
	}
	if err == nil && len(fds) != n {
		err = fmt.Errorf("main sent %T with %d descriptors instead of %d", msg, len(fds), n)
	}
	if err != nil {
		CloseAll(fds)
		return nil, nil, nil, err
	}
	return msg, fds, log, nil
}

// told is a message of main.
func (c *Conn) told(timeout time.Duration) (Message, []int, error) {
	buf := make([]byte, MaxPacket)
	k, fds, err := c.Recv(buf, timeout)
	if err != nil {
		return nil, nil, fmt.Errorf("main does not say what to serve with: %w", err)
	}
	msg, err := Decode(buf[:k])
	return msg, fds, err
}

// open makes a logger with the descriptor that has come.
func (m Logs) open(fds []int) (*Logger, error) {
	if len(fds) != 1 {
		return nil, errors.New("main sent no conversation for the log")
	}
	conn, err := FromFD(fds[0])
	if err != nil {
		return nil, err
	}
	return NewLogger(conn, m.Level), nil
}
