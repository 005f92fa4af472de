package link

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// transport carries the bytes of a connection.
type transport interface {
	// descriptor returns the descriptor that main reads and writes. The child has its own of the
	// same socket. It does not block. Go's netpoller does not watch it: otherwise every byte that
	// the child reads or writes would wake main too.
	descriptor() int
	// position returns the stream's position. Neither main nor the child may read or write
	// meanwhile. The errors errClosing and errUnknown mean that the position cannot be known.
	position() (position, error)
	// shut ends the connection for all its holders. The descriptor stays.
	shut()
	// why returns why the connection has ended, if the transport knows, or "".
	why() string
	close()
}

var (
	errClosing = errors.New("the connection is being closed")
	errUnknown = errors.New("it is not known where the connection stands")
)

// position is a connection's position, in bytes since it was made. The kernel also counts other
// things, so only differences mean anything.
type position struct{ written, read uint64 }

// plain is a TCP socket, whose position the kernel knows.
type plain struct{ fd int }

// newPlain duplicates the descriptor of a connection. The method of package net that does so (File)
// would make the shared socket blocking.
func newPlain(conn net.Conn) (plain, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return plain{}, fmt.Errorf("a connection of type %T has no descriptor", conn)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return plain{}, fmt.Errorf("cannot take the connection's descriptor: %w", err)
	}
	fd := -1
	cerr := rc.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(cerr, err); err != nil {
		return plain{}, fmt.Errorf("cannot take the connection's descriptor: %w", err)
	}
	return plain{fd}, nil
}

func (p plain) descriptor() int { return p.fd }

func (p plain) shut() { _ = unix.Shutdown(p.fd, unix.SHUT_RDWR) } // no error if it has ended already

func (p plain) why() string { return "" }

func (p plain) close() { _ = unix.Close(p.fd) }

// positionBound is how long position may try until nothing arrives in between. No process reads, so
// that happens at the latest when the socket's buffer is full.
const positionBound = time.Second

// position computes the position from the kernel's counts, so that the peer's data and
// acknowledgements do not alter it. The written bytes are the acknowledged and the unacknowledged
// ones. The read bytes are the arrived ones without the waiting ones. The calls are repeated until
// no byte has come between them.
func (p plain) position() (position, error) {
	for end := time.Now().Add(positionBound); ; time.Sleep(50 * time.Microsecond) {
		before, err := p.info()
		unacked, err1 := unix.IoctlGetInt(p.fd, unix.SIOCOUTQ)
		waiting, err2 := unix.IoctlGetInt(p.fd, unix.SIOCINQ)
		after, err3 := p.info()
		if err := cmp.Or(err, os.NewSyscallError("SIOCOUTQ", err1), os.NewSyscallError("SIOCINQ", err2), err3); err != nil {
			return position{}, fmt.Errorf("cannot say where the connection stands: %w", err)
		}
		if before.Bytes_acked == after.Bytes_acked && before.Bytes_received == after.Bytes_received {
			return position{
				written: before.Bytes_acked + uint64(unacked),
				read:    before.Bytes_received - uint64(waiting),
			}, nil
		}
		if time.Now().After(end) {
			return position{}, fmt.Errorf("the connection did not stand still for a moment in %v", positionBound)
		}
	}
}

// info returns the kernel's counts for an established connection (tcp(7), TCP_INFO). In all other
// states the kernel counts the ends (FIN) as bytes too.
func (p plain) info() (unix.TCPInfo, error) {
	const established = 1 // TCP_ESTABLISHED of netinet/tcp.h
	var info unix.TCPInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(p.fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	switch {
	case e != 0:
		return info, os.NewSyscallError("TCP_INFO", e)
	case uintptr(size) < unsafe.Offsetof(info.Bytes_received)+unsafe.Sizeof(info.Bytes_received):
		return info, fmt.Errorf("the kernel does not tell (TCP_INFO has %d bytes): Linux 4.2 or later is needed", size)
	case info.State != established:
		return info, fmt.Errorf("%w (TCP state %d)", errClosing, info.State)
	}
	return info, nil
}
