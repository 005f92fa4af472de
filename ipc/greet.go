package ipc

import (
	"errors"
	"fmt"
	"io"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roleNames are the names of the roles in ps(1). They are static and end with a NUL, for prctl(2).
var roleNames = [...]string{RoleChild: "erluv_child\x00", RoleSpawner: "erluv_spawner\x00", RoleRelay: "erluv_relay\x00"}

// Begin is the first act of a role, on its first thread. It gives the thread the role's name, since
// the binary was started as /proc/self/exe. Then it takes over descriptor 3, the conversation with
// main. It does not write the name to the file comm. That belongs to root in an undumpable process,
// and the child may not write to /proc.
func Begin(role Role) (*Conn, error) {
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(unsafe.StringData(roleNames[role]))), 0, 0, 0)
	return FromFD(3)
}

// Fail reports to main that the role cannot begin, and returns the role's own error. That is err,
// or nil if main has given the role up (io.EOF), because main then reports the reason itself.
func (c *Conn) Fail(err error, timeout time.Duration) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	_ = c.Send(Append(nil, Failed{Text: err.Error()}), timeout)
	return err
}

// Greet begins a role's conversation with main. It sends Hello and waits for the message that the
// role serves with. The message must have n descriptors, which the caller owns. The logger logs
// nothing unless main sends it a conversation. io.EOF means that main has given the role up.
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

// told receives a message of main.
func (c *Conn) told(timeout time.Duration) (Message, []int, error) {
	buf := make([]byte, MaxPacket)
	k, fds, err := c.Recv(buf, timeout)
	if err != nil {
		return nil, nil, fmt.Errorf("main does not say what to serve with: %w", err)
	}
	msg, err := Decode(buf[:k])
	return msg, fds, err
}

// open makes a logger for the descriptor that came with the message.
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
