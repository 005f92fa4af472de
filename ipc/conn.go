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
	// MaxPacket is the largest packet, in bytes. A SEQPACKET message must fit
	// into the socket's send buffer (net.core.wmem_default, 208 KiB); what can be
	// larger travels in a memfd (see Spawn).
	MaxPacket = 64 << 10

	// MaxFDs is how many descriptors one packet may carry: the streams of a
	// program and the memfd of a long argument list.
	MaxFDs = 24
)

// ErrFull is returned by TrySend when the other side has not read enough, and
// ErrEmpty by TryRecv when there is nothing to read: wait for the descriptor.
//
// ErrInFlight: the processes of this user have sent each other as many descriptors
// that nobody has received yet as the user may (unix(7), ETOOMANYREFS). They may be
// anybody's, and nothing tells when there are less.
//
// ErrNoRoom is returned with a packet whose descriptors found no place in this
// process (RLIMIT_NOFILE): it has none then.
var (
	ErrFull     = errors.New("ipc: the socket is full")
	ErrEmpty    = errors.New("ipc: nothing to read")
	ErrInFlight = fmt.Errorf("ipc: too many descriptors are on their way: %w", unix.ETOOMANYREFS)
	ErrNoRoom   = fmt.Errorf("ipc: no room for the descriptors of a packet: %w", unix.EMFILE)
)

// inFlightPause is the time between two attempts to send descriptors when too many
// are on their way.
const inFlightPause = time.Millisecond

// Conn is one end of a conversation. It owns its descriptor. The descriptor
// itself stays blocking: whether a call waits is said with each call, so an end
// can be handed to another process without either changing the other's mode.
// A Conn is used by one goroutine for sending and one for receiving.
type Conn struct {
	fd   int
	bare bool // it takes no descriptors
	send control
	recv control

	passed func(what string, k Kind, size, fds int) // a message has; nil: nobody wants to know, see Trace
}

// control is the room for a message's header and descriptors; it lives with the
// Conn so that a message costs no allocation.
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

// FromFD takes over fd as an end of a conversation, or refuses it when it is not
// a SEQPACKET socket; a refused descriptor is left as it was.
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

// NoDescriptors has this end take none. A kernel with SO_PASSRIGHTS (Linux 6.16)
// refuses to send them to it, with EPERM; on any other they are dropped before they are
// in our table, and the packet that they came with is an error.
func (c *Conn) NoDescriptors() {
	c.bare = true
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0)
}

// FD is the descriptor, for a poller or for handing the end over. It stays the
// Conn's.
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

// TrySend sends one packet with the descriptors, which stay the caller's, and
// never waits: ErrFull when the socket takes no more, EPIPE when the other side is gone.
func (c *Conn) TrySend(packet []byte, fds ...int) error {
	return c.sendmsg(packet, fds, unix.MSG_DONTWAIT)
}

// Send is TrySend that waits for room, for the given time at most (0: without
// end, but ErrInFlight comes at once).
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

// TryRecv reads one packet into buf and never waits: ErrEmpty when there is
// none, io.EOF when the other side is gone. The descriptors are close-on-exec and
// the caller's. A packet larger than buf, or with more than MaxFDs descriptors, is
// an error and its descriptors are closed; of one with ErrNoRoom too.
func (c *Conn) TryRecv(buf []byte) (n int, fds []int, err error) {
	return c.recvmsg(buf, unix.MSG_DONTWAIT)
}

// Recv is TryRecv that waits, for the given time at most (0: without end;
// os.ErrDeadlineExceeded).
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
			// The other side has ended with something unread. The kernel says so once, before
			// it gives what that side has said last, and then the end.
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

// rights takes the descriptors out of what recvmsg wrote.
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

// CloseAll closes descriptors that came with a packet and are not wanted.
func CloseAll(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
