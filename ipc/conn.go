package ipc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// MaxPacket is the largest packet, in bytes. A SEQPACKET message must fit into the socket's
	// send buffer (net.core.wmem_default, 208 KiB). Messages that can be larger travel in a memfd
	// (see Spawn).
	MaxPacket = 64 << 10

	// MaxFDs is how many descriptors one packet may carry: the streams of a program and the memfd
	// of a long argument list.
	MaxFDs = 24
)

// TrySend returns ErrFull when the other side has not read enough, and TryRecv returns ErrEmpty
// when there is nothing to read. The caller then waits for the descriptor.
//
// ErrInFlight means that too many descriptors of this user are on their way (unix(7),
// ETOOMANYREFS). Any processes of the user may have sent them to each other, and no event tells
// when there are fewer.
//
// ErrNoRoom comes with a packet whose descriptors found no room in this process (RLIMIT_NOFILE).
// The packet then has none.
var (
	ErrFull     = errors.New("ipc: the socket is full")
	ErrEmpty    = errors.New("ipc: nothing to read")
	ErrInFlight = fmt.Errorf("ipc: too many descriptors are on their way: %w", unix.ETOOMANYREFS)
	ErrNoRoom   = fmt.Errorf("ipc: no room for the descriptors of a packet: %w", unix.EMFILE)
)

// inFlightPause is the time between two attempts to send descriptors when too many are on their
// way.
const inFlightPause = time.Millisecond

// Conn is one end of a conversation. It owns its descriptor, which stays blocking. Each call says
// itself whether it waits. So an end can be handed to another process, and neither process changes
// the other's mode. One goroutine sends on a Conn, and one receives.
type Conn struct {
	fd   int
	bare bool // it accepts no descriptors
	send control
	recv control

	passed func(what string, k Kind, size, fds int) // called for each message; nil: none, see Trace
}

// control is the memory for a message's header and descriptors. It is part of the Conn, so that a
// message costs no allocation.
type control struct {
	hdr unix.Msghdr
	iov unix.Iovec
	oob [128]byte // CmsgSpace(4*MaxFDs) = 112
}

// Pair makes a conversation; both ends are close-on-exec (socketpair(2)).
func Pair() (a, b *Conn, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	return &Conn{fd: p[0]}, &Conn{fd: p[1]}, nil
}

// FromFD takes fd over as an end of a conversation. It refuses a descriptor that is not a SEQPACKET
// socket, and then leaves it unchanged.
func FromFD(fd int) (*Conn, error) {
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is no conversation of erluv: %w", fd, err)
	}
	if typ != unix.SOCK_SEQPACKET {
		return nil, fmt.Errorf("descriptor %d is no conversation of erluv: socket type %d", fd, typ)
	}
	unix.CloseOnExec(fd)
	return &Conn{fd: fd}, nil
}

// NoDescriptors makes this end refuse descriptors. A kernel with SO_PASSRIGHTS (Linux 6.16) does
// not send them to it: the sender gets EPERM. Other kernels drop them before they reach our table.
// Their packet is then an error.
func (c *Conn) NoDescriptors() {
	c.bare = true
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0)
}

// FD returns the descriptor, for a poller or for handing the end over. The Conn still owns it.
func (c *Conn) FD() int { return c.fd }

// Close closes the descriptor; the other side reads the end of file.
func (c *Conn) Close() error {
	if c.fd < 0 {
		return nil
	}
	fd := c.fd
	c.fd = -1
	return unix.Close(fd)
}

// TrySend sends one packet with descriptors, which the caller keeps. It never waits. It returns
// ErrFull when the socket takes no more, and EPIPE when the other side is gone.
func (c *Conn) TrySend(packet []byte, fds ...int) error {
	return c.sendmsg(packet, fds, unix.MSG_DONTWAIT)
}

// Send is a TrySend that waits for room, up to the timeout. With timeout 0 it waits without end,
// but returns ErrInFlight at once.
func (c *Conn) Send(packet []byte, timeout time.Duration, fds ...int) error {
	if timeout == 0 {
		return c.sendmsg(packet, fds, 0)
	}
	for end := time.Now().Add(timeout); ; {
		err := c.sendmsg(packet, fds, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, ErrFull):
			err = c.wait(unix.POLLOUT, time.Until(end))
		case errors.Is(err, ErrInFlight) && time.Now().Before(end):
			time.Sleep(inFlightPause)
			continue
		default:
			return err
		}
		if err != nil {
			return err
		}
	}
}

// TryRecv reads one packet into buf and never waits. It returns ErrEmpty when there is none, and
// io.EOF when the other side is gone. The caller owns the descriptors, which are close-on-exec. A
// packet larger than buf, or with more than MaxFDs descriptors, is an error, and its descriptors
// are closed. With ErrNoRoom they are closed too.
func (c *Conn) TryRecv(buf []byte) (n int, fds []int, err error) {
	return c.recvmsg(buf, unix.MSG_DONTWAIT)
}

// Recv is a TryRecv that waits, up to the timeout; 0 means without end. After the timeout it
// returns os.ErrDeadlineExceeded.
func (c *Conn) Recv(buf []byte, timeout time.Duration) (n int, fds []int, err error) {
	if timeout == 0 {
		return c.recvmsg(buf, 0)
	}
	for end := time.Now().Add(timeout); ; {
		n, fds, err = c.recvmsg(buf, unix.MSG_DONTWAIT)
		if !errors.Is(err, ErrEmpty) {
			return n, fds, err
		}
		if err := c.wait(unix.POLLIN, time.Until(end)); err != nil {
			return 0, nil, err
		}
	}
}

func (c *Conn) wait(events int16, d time.Duration) error {
	if d <= 0 {
		return os.ErrDeadlineExceeded
	}
	p := []unix.PollFd{{Fd: int32(c.fd), Events: events}}
	_, err := unix.Poll(p, int(d.Milliseconds())+1)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("ipc: poll: %w", err)
	}
	return nil
}

func (c *Conn) sendmsg(packet []byte, fds []int, flags int) error {
	if len(packet) == 0 || len(packet) > MaxPacket {
		return fmt.Errorf("ipc: a packet has 1 to %d bytes, not %d", MaxPacket, len(packet))
	}
	if len(fds) > MaxFDs {
		return fmt.Errorf("ipc: a packet carries at most %d descriptors, not %d", MaxFDs, len(fds))
	}
	m := &c.send
	m.iov.Base = &packet[0]
	m.iov.SetLen(len(packet))
	m.hdr = unix.Msghdr{Iov: &m.iov, Iovlen: 1}
	if len(fds) > 0 {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&m.oob[0]))
		h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
		h.SetLen(unix.CmsgLen(4 * len(fds)))
		for i, fd := range fds {
			*(*int32)(unsafe.Pointer(&m.oob[unix.CmsgLen(0)+4*i])) = int32(fd)
		}
		m.hdr.Control = &m.oob[0]
		m.hdr.SetControllen(unix.CmsgSpace(4 * len(fds)))
	}
	for {
		_, _, e := unix.Syscall(unix.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&m.hdr)), uintptr(flags|unix.MSG_NOSIGNAL))
		switch e {
		case 0:
			m.iov.Base = nil
			if c.passed != nil {
				c.passed(messageSent, Kind(packet[0]), len(packet), len(fds))
			}
			return nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return ErrFull
		case unix.ETOOMANYREFS:
			return ErrInFlight
		case unix.ECONNRESET: // the other side has ended with something unread
			e = unix.EPIPE
			fallthrough
		default:
			return fmt.Errorf("ipc: sendmsg: %w", e)
		}
	}
}

func (c *Conn) recvmsg(buf []byte, flags int) (int, []int, error) {
	m := &c.recv
	m.iov.Base = &buf[0]
	m.iov.SetLen(len(buf))
	var n uintptr
	for {
		m.hdr = unix.Msghdr{Iov: &m.iov, Iovlen: 1}
		if !c.bare { // without room the kernel drops descriptors, and sets MSG_CTRUNC
			m.hdr.Control = &m.oob[0]
			m.hdr.SetControllen(len(m.oob))
		}
		var e unix.Errno
		n, _, e = unix.Syscall(unix.SYS_RECVMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&m.hdr)), uintptr(flags|unix.MSG_CMSG_CLOEXEC))
		if e == unix.EINTR {
			continue
		}
		if e == unix.EAGAIN {
			return 0, nil, ErrEmpty
		}
		if e == unix.ECONNRESET {
			// The other side has ended with something unread. The kernel reports this once, before
			// the last packets of that side and the end.
			continue
		}
		if e != 0 {
			return 0, nil, fmt.Errorf("ipc: recvmsg: %w", e)
		}
		break
	}
	m.iov.Base = nil
	fds, err := m.rights()
	switch {
	case err != nil:
	case n == 0 && len(fds) == 0 && m.hdr.Flags&unix.MSG_CTRUNC == 0:
		return 0, nil, io.EOF
	case m.hdr.Flags&unix.MSG_TRUNC != 0:
		err = fmt.Errorf("ipc: a packet of more than %d bytes", len(buf))
	case c.bare && m.hdr.Flags&unix.MSG_CTRUNC != 0:
		err = errors.New("ipc: a packet with descriptors, which are not taken here")
	case len(fds) > MaxFDs:
		err = fmt.Errorf("ipc: a packet with more than %d descriptors", MaxFDs)
	case m.hdr.Flags&unix.MSG_CTRUNC != 0:
		CloseAll(fds)
		return int(n), nil, ErrNoRoom
	}
	if err != nil {
		CloseAll(fds)
		return 0, nil, err
	}
	if c.passed != nil {
		c.passed(messageCame, Kind(buf[0]), int(n), len(fds))
	}
	return int(n), fds, nil
}

// rights extracts the descriptors from the control data of recvmsg.
func (m *control) rights() ([]int, error) {
	oob := m.oob[:m.hdr.Controllen]
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("ipc: control data: %w", err)
	}
	var fds []int
	for i := range msgs {
		if msgs[i].Header.Level != unix.SOL_SOCKET || msgs[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			CloseAll(fds)
			return nil, fmt.Errorf("ipc: descriptors: %w", err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// CloseAll closes unwanted descriptors of a packet. It ignores negative ones.
func CloseAll(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
