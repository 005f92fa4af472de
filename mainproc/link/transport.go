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

// transport is what carries the bytes of a connection.
type transport interface {
	// descriptor is where they are read and written, by main or by the child, which has
	// one of its own of the same. It does not block, and is outside Go's netpoller, where
	// every byte that the child reads or writes would wake main too.
	descriptor() int
	// position says where the stream stands. Neither main nor the child reads or writes.
	// errClosing, errUnknown: it cannot be said.
	position() (position, error)
	// shut ends the connection for everyone who has it. The descriptor stays.
	shut()
	// why is why the connection has ended, if that is known from elsewhere, or "".
	why() string
	close()
}

var (
	errClosing = errors.New("the connection is being closed")
	errUnknown = errors.New("it is not known where the connection stands")
)

// position is where a connection stands, in bytes since it was made, and what else is
// counted: only differences mean anything.
type position struct{ written, read uint64 }

// plain is a TCP socket. The kernel says where it stands.
type plain struct{ fd int }

// newPlain takes a descriptor of its own of a connection. The methods of package net that
// do so (File) would make the shared socket blocking.
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

func (p plain) shut() { _ = unix.Shutdown(p.fd, unix.SHUT_RDWR) } // of one that has ended: it is

func (p plain) why() string { return "" }

func (p plain) close() { _ = unix.Close(p.fd) }

// positionBound is how long position may take to see the connection without
// anything arriving: nobody reads, so it is still at the latest when its buffer is
// full.
const positionBound = time.Second

// position: what the peer sends or acknowledges meanwhile does not alter it: written is
// what was acknowledged and what was not, read is what has arrived less what waits. Both
// are taken again until nothing has come between.
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

// info is what the kernel counts of an established connection (tcp(7), TCP_INFO). In any
// other state it counts the ends (FIN) as bytes too.
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
