package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Listener is a control socket on which this process listens. Close removes it.
type Listener struct {
	net.Listener
	path     string
	dev, ino uint64
}

// Path returns the socket's path.
func (l *Listener) Path() string { return l.path }

// Listen makes a control socket. It replaces the socket of a dead erluv, and fails if a living one
// has it. With own, the directory is erluv's own: Listen makes a missing one, and removes the
// sockets of all dead erluvs there.
func Listen(path string, own bool) (*Listener, error) {
	l, err := listen(path, own)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at the control socket %s: %w", path, err)
	}
	return l, nil
}

func listen(path string, own bool) (*Listener, error) {
	p, err := open(path, own)
	if err != nil {
		return nil, err
	}
	defer p.close()
	unlock, err := p.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if own {
		p.tidy()
	}
	if err := p.free(path); err != nil {
		return nil, err
	}
	return p.bind(path)
}

// lockBound is how long to wait for other erluvs in the same directory.
const lockBound = 2 * time.Second

// lock keeps other erluvs from the directory. Without it, two could both find the socket of a dead
// erluv, and one could remove the other's new one. Only root or this user can hold it.
func (p place) lock() (unlock func(), err error) {
	fd, err := eintr.Openat(p.fd, ".lock", unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s/.lock: %w", p.dir, err)
	}
	unlock = func() { _ = unix.Close(fd) }
	for end := time.Now().Add(lockBound); ; time.Sleep(time.Millisecond) {
		err := eintr.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return unlock, nil
		}
		if err != unix.EWOULDBLOCK || time.Now().After(end) {
			unlock()
			return nil, fmt.Errorf("cannot lock %s/.lock: %w", p.dir, err)
		}
	}
}

// tidy removes the sockets of killed erluvs, as far as possible.
func (p place) tidy() {
	names, _ := p.sockets()
	for _, name := range names {
		if path := PathOf(p.dir, name); errors.Is(knock(path), unix.ECONNREFUSED) {
			_ = eintr.Unlinkat(p.fd, name+suffix, 0)
		}
	}
}

// free makes sure that nothing is at path.
func (p place) free(path string) error {
	var st unix.Stat_t
	err := eintr.Fstatat(p.fd, p.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return &os.PathError{Op: "stat", Path: path, Err: err}
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return errors.New("there is a file that is no socket: remove it, or name another path")
	}
	switch err := knock(path); {
	case err == nil:
		return errors.New("another process listens there: give one of the two another name, or name another path")
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("cannot see whether another process listens there: %w", err)
	}
	if err := eintr.Unlinkat(p.fd, p.name, 0); err != nil {
		return fmt.Errorf("cannot remove the one that is left there: %w", err)
	}
	return nil
}

// knock reports whether a process has the socket: nil, or ECONNREFUSED if none has. That process
// does not notice.
func knock(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	// The types of the two sockets differ, so no connection is made. The kernel looks for the other
	// side before it compares the types (unix(7)).
	err = eintr.Do(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) })
	if err == nil || err == unix.EPROTOTYPE {
		return nil
	}
	return os.NewSyscallError("connect", err)
}

// backlog is how many connections may wait to be accepted.
const backlog = 64

// bind makes the socket. It does not listen before its mode is set, so no process can connect
// earlier.
func (p place) bind(path string) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := eintr.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	l := &Listener{path: path}
	err = func() error {
		if err := eintr.Fchmodat(p.fd, p.name, 0o600, 0); err != nil {
			return os.NewSyscallError("chmod", err)
		}
		var st unix.Stat_t
		if err := eintr.Fstatat(p.fd, p.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return os.NewSyscallError("stat", err)
		}
		l.dev, l.ino = st.Dev, st.Ino
		if err := unix.Listen(fd, backlog); err != nil {
			return os.NewSyscallError("listen", err)
		}
		var err error
		l.Listener, err = net.FileListener(f)
		return err
	}()
	if err != nil {
		_ = eintr.Unlinkat(p.fd, p.name, 0)
		return nil, err
	}
	return l, nil
}

// Close stops listening and removes the socket, unless another one has replaced it.
func (l *Listener) Close() error {
	if p, err := open(l.path, false); err == nil {
		var st unix.Stat_t
		err := eintr.Fstatat(p.fd, p.name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && st.Dev == l.dev && st.Ino == l.ino {
			_ = eintr.Unlinkat(p.fd, p.name, 0)
		}
		p.close()
	}
	return l.Listener.Close()
}
