package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"erluv/ipc/counters"

	"golang.org/x/sys/unix"
)

// A socket is the TCP connection, for crypto/tls. It is a file, not a net.TCPConn. To make the
// latter from a descriptor, package net asks for addresses and sets options, for which this process
// has no system calls. Main has set the options.
//
// It reads as much as has arrived, and passes it to crypto/tls record by record, so that it knows
// whether the next record has arrived. crypto/tls itself makes a system call, and returns to its
// caller, for each 16 KiB. One goroutine reads.
type socket struct {
	*os.File
	buf  []byte // buf[r:w] was read and not passed on
	r, w int
	left int // remaining bytes of the record that is being passed on

	heard  atomic.Bool // something has arrived
	ended  atomic.Bool // the stream has ended
	noWait bool        // Read returns errWait instead of waiting
}

const (
	// socketSize is the size of a socket's buffer, in bytes: eight of the largest records.
	socketSize = 8 * (recordHeader + maxRecord)

	// A TLS record has a type, a version and a length. Then come at most 2^14 bytes and the
	// additions of encryption (RFC 5246, 6.2.3; RFC 8446 allows less).
	recordHeader = 5
	maxRecord    = 1<<14 + 2048

	applicationData = 23
)

func newSocket(fd int) (*socket, error) {
	f, err := pollable(fd, "the connection")
	if err != nil {
		return nil, err
	}
	return &socket{File: f, buf: make([]byte, socketSize)}, nil
}

// errWait is Read's error when it must not wait. crypto/tls can continue after it, as after any
// error that is Temporary.
var errWait net.Error = waitError{}

type waitError struct{}

func (waitError) Error() string   { return "nothing more has come yet" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

// Read passes on bytes of one record.
func (s *socket) Read(b []byte) (int, error) {
	for s.left == 0 && s.w-s.r < recordHeader || s.r == s.w {
		if s.noWait {
			return 0, errWait
		}
		if s.r > 0 {
			s.w = copy(s.buf, s.buf[s.r:s.w])
			s.r = 0
		}
		n, err := s.File.Read(s.buf[s.w:])
		s.w += n
		if n > 0 {
			s.heard.Store(true)
		}
		if err == io.EOF {
			s.ended.Store(true)
			if s.r < s.w { // no complete header, which crypto/tls will notice
				s.left = s.w - s.r
				break
			}
		}
		if err != nil {
			return 0, err
		}
	}
	if s.left == 0 {
		s.left = s.nextRecord()
	}
	n := copy(b, s.buf[s.r:min(s.w, s.r+s.left)])
	s.r += n
	s.left -= n
	return n, nil
}

// nextRecord returns the size of the record that begins in the buffer. If that is not a record,
// crypto/tls gives the connection up at its header.
func (s *socket) nextRecord() int {
	return recordHeader + int(binary.BigEndian.Uint16(s.buf[s.r+3:]))
}

// has reports whether the next record has arrived completely and holds the node's data. With TLS
// 1.3 other records look the same from outside.
func (s *socket) has() bool {
	return s.left == 0 && s.w-s.r >= recordHeader && s.buf[s.r] == applicationData && s.w-s.r >= s.nextRecord()
}

func (s *socket) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (s *socket) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// closeWrite ends the stream to the node.
func (s *socket) closeWrite() {
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}

// inner is the relay's end of the inner stream. It counts every byte.
type inner struct {
	*os.File
	count *counters.Page
}

// Read returns 0 and no error at the end of the stream. ECONNRESET is an end too: all has been
// read, and the other end was closed before it had read all our data.
func (i *inner) Read(b []byte) (n int, err error) {
	raw, err := i.SyscallConn()
	if err != nil {
		return 0, err
	}
	end := raw.Read(func(fd uintptr) bool {
		n, err = i.count.Read(int(fd), b)
		return err != unix.EAGAIN
	})
	switch err {
	case unix.ECONNRESET:
		return 0, nil
	case nil, unix.EAGAIN: // then end is the reason
		err = end
	}
	return max(n, 0), err
}

// errGone means that no process reads the inner stream any more.
var errGone = errors.New("the child has closed the connection")

// Write writes all of b.
func (i *inner) Write(b []byte) (done int, err error) {
	raw, err := i.SyscallConn()
	if err != nil {
		return 0, err
	}
	end := raw.Write(func(fd uintptr) bool {
		for done < len(b) {
			var n int
			if n, err = i.count.Write(int(fd), b[done:]); err != nil {
				return err != unix.EAGAIN
			}
			done += n
		}
		return true
	})
	switch {
	case err == unix.EPIPE || err == unix.ECONNRESET:
		return done, errGone
	case err == nil || err == unix.EAGAIN:
		err = end
	}
	return done, err
}

// shut ends the stream in one direction or in both. Main has descriptors of both ends, so the other
// side would not notice a mere close.
func (i *inner) shut(how int) {
	if raw, err := i.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), how) })
	}
}

// forsaken reports whether the other end is closed in both directions. After a half-close it is
// not.
func (i *inner) forsaken() (gone bool) {
	raw, err := i.SyscallConn()
	if err != nil {
		return true
	}
	_ = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(p, 0)
		for err == unix.EINTR {
			n, err = unix.Poll(p, 0)
		}
		gone = n == 1 && p[0].Revents&unix.POLLHUP != 0
	})
	return gone
}

// pollable makes a file of a socket, so that goroutines wait for it in the runtime's poller. After
// an error the socket is closed.
func pollable(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot use %s: %w", name, err)
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), name)
	if err := f.SetDeadline(time.Time{}); err != nil { // it is not in the poller
		_ = f.Close()
		return nil, fmt.Errorf("cannot wait for %s: %w", name, err)
	}
	return f, nil
}
