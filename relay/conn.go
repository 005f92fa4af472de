package relay

import (
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

// A socket is the TCP connection as crypto/tls wants it. It is a file, not a net.TCPConn:
// to make one of a descriptor, package net asks for addresses and sets options, for which
// this process has no system calls. Main has set the options.
type socket struct {
	*os.File
	heard atomic.Bool // something has come
	ended atomic.Bool // the stream has ended
}

func newSocket(fd int) (*socket, error) {
	f, err := pollable(fd, "the connection")
	if err != nil {
		return nil, err
	}
	return &socket{File: f}, nil
}

func (s *socket) Read(b []byte) (int, error) {
	n, err := s.File.Read(b)
	if n > 0 && !s.heard.Load() {
		s.heard.Store(true)
	}
	if err == io.EOF {
		s.ended.Store(true)
	}
	return n, err
}

func (s *socket) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (s *socket) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// closeWrite ends the stream to the node.
func (s *socket) closeWrite() {
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}

// inner is the relay's end of the inner stream. Every byte is counted.
type inner struct {
	*os.File
	count *counters.Page
}

// Read gives 0 and no error at the end of the stream. ECONNRESET is an end too: all has
// been read, and the other end was closed before it had read all of ours.
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
	case nil, unix.EAGAIN: // then end says why it was given up
		err = end
	}
	return max(n, 0), err
}

// errGone: nobody reads the inner stream any more.
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

// shut ends the stream in one direction or in both. Main has descriptors of both ends, so
// closing ours would tell nobody.
func (i *inner) shut(how int) {
	if raw, err := i.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), how) })
	}
}

// forsaken says whether the other end is closed in both directions, and not only written to
// its end.
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

// pollable makes a file of a socket, with which goroutines wait in the runtime's poller.
// After an error the socket is closed.
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
